"""A small program for tests of the API: one function for each way of calling, compiled once per process."""

from __future__ import annotations

import functools

import webree

__all__ = ["MLIR", "module_bytes"]

MLIR = """
util.global private mutable @state = dense<0> : tensor<i32>

func.func @add(%left: tensor<?xf32> {iree.abi.name = "left"}, %right: tensor<?xf32> {iree.abi.name = "right"})
    -> (tensor<?xf32> {iree.abi.name = "sum"}) {
  %sum = arith.addf %left, %right : tensor<?xf32>
  return %sum : tensor<?xf32>
}

func.func @both(%x: tensor<2x3xi32>) -> (tensor<2x3xi32>, tensor<2x3xi32>) {
  %double = arith.addi %x, %x : tensor<2x3xi32>
  %square = arith.muli %x, %x : tensor<2x3xi32>
  return %double, %square : tensor<2x3xi32>, tensor<2x3xi32>
}

func.func @scalars(%a: i32, %b: i64, %c: f32, %d: index, %e: i1) -> (i32, i64, f32, index, i1) {
  %one = arith.constant 1 : i32
  %a1 = arith.addi %a, %one : i32
  return %a1, %b, %c, %d, %e : i32, i64, f32, index, i1
}

func.func @identity(%x: tensor<?x?xi64>) -> tensor<?x?xi64> {
  return %x : tensor<?x?xi64>
}

func.func @nothing() {
  return
}

func.func @count() -> tensor<i32> {
  %value = util.global.load @state : tensor<i32>
  %one = arith.constant dense<1> : tensor<i32>
  %next = arith.addi %value, %one : tensor<i32>
  util.global.store %next, @state : tensor<i32>
  return %next : tensor<i32>
}

func.func @halve_until_small(%x: tensor<f32>) -> (tensor<f32>, i32) {
  %half = arith.constant dense<0.5> : tensor<f32>
  %one = arith.constant 1.0 : f32
  %zero = arith.constant 0 : i32
  %step = arith.constant 1 : i32
  %result:2 = scf.while (%value = %x, %n = %zero) : (tensor<f32>, i32) -> (tensor<f32>, i32) {
    %number = tensor.extract %value[] : tensor<f32>
    %big = arith.cmpf oge, %number, %one : f32
    scf.condition(%big) %value, %n : tensor<f32>, i32
  } do {
  ^bb0(%value: tensor<f32>, %n: i32):
    %next = arith.mulf %value, %half : tensor<f32>
    %m = arith.addi %n, %step : i32
    scf.yield %next, %m : tensor<f32>, i32
  }
  return %result#0, %result#1 : tensor<f32>, i32
}
"""


@functools.cache
def module_bytes() -> bytes:
    """The compiled program."""
    return webree.compile(MLIR.encode())
