"""Small programs for the compiler's tests, as MLIR text, and a helper that makes small ONNX models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MATMUL_DYNAMIC = """
func.func @matmul(%lhs: tensor<?x?xf32>, %rhs: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %lhs, %c0 : tensor<?x?xf32>
  %n = tensor.dim %rhs, %c1 : tensor<?x?xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty(%m, %n) : tensor<?x?xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<?x?xf32>) -> tensor<?x?xf32>
  %r = linalg.matmul ins(%lhs, %rhs : tensor<?x?xf32>, tensor<?x?xf32>) outs(%f : tensor<?x?xf32>) -> tensor<?x?xf32>
  return %r : tensor<?x?xf32>
}
"""

STABLEHLO = """
func.func @main(%a: tensor<4x8xf32>, %b: tensor<8x16xf32>) -> tensor<4x16xf32> {
  %0 = stablehlo.dot_general %a, %b, contracting_dims = [1] x [0]
      : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
  %1 = stablehlo.tanh %0 : tensor<4x16xf32>
  return %1 : tensor<4x16xf32>
}
"""

TOSA = """
func.func @main(%a: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %0 = tosa.exp %a : (tensor<4x8xf32>) -> tensor<4x8xf32>
  %1 = tosa.add %0, %a : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return %1 : tensor<4x8xf32>
}
"""

TORCH = """
func.func @main(%a: !torch.vtensor<[4,8],f32>) -> !torch.vtensor<[4,8],f32> {
  %int1 = torch.constant.int 1
  %none = torch.constant.none
  %0 = torch.aten.softmax.int %a, %int1, %none
      : !torch.vtensor<[4,8],f32>, !torch.int, !torch.none -> !torch.vtensor<[4,8],f32>
  return %0 : !torch.vtensor<[4,8],f32>
}
"""

INT64 = """
func.func @main(%a: tensor<16xi64>, %b: tensor<16xi64>) -> tensor<16xi64> {
  %0 = arith.muli %a, %b : tensor<16xi64>
  %1 = arith.addi %0, %b : tensor<16xi64>
  return %1 : tensor<16xi64>
}
"""

CONTROL_FLOW = """
func.func @main(%x: tensor<8xf32>, %n: i32) -> (tensor<8xf32>, i32) {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %r:2 = scf.while (%i = %c0, %v = %x) : (i32, tensor<8xf32>) -> (i32, tensor<8xf32>) {
    %c = arith.cmpi slt, %i, %n : i32
    scf.condition(%c) %i, %v : i32, tensor<8xf32>
  } do {
  ^bb0(%i: i32, %v: tensor<8xf32>):
    %d = arith.addf %v, %v : tensor<8xf32>
    %j = arith.addi %i, %c1 : i32
    scf.yield %j, %d : i32, tensor<8xf32>
  }
  %big = arith.cmpi sgt, %n, %c1 : i32
  %o = scf.if %big -> tensor<8xf32> {
    %q = arith.mulf %r#1, %r#1 : tensor<8xf32>
    scf.yield %q : tensor<8xf32>
  } else {
    scf.yield %r#1 : tensor<8xf32>
  }
  return %o, %r#0 : tensor<8xf32>, i32
}
"""

STATE = """
util.global private mutable @state = dense<0.0> : tensor<4xf32>
func.func @add(%x: tensor<4xf32>) -> tensor<4xf32> {
  %s = util.global.load @state : tensor<4xf32>
  %n = arith.addf %s, %x : tensor<4xf32>
  util.global.store %n, @state : tensor<4xf32>
  return %n : tensor<4xf32>
}
func.func @get() -> tensor<4xf32> {
  %s = util.global.load @state : tensor<4xf32>
  return %s : tensor<4xf32>
}
"""

FLOAT64 = """
func.func @main(%a: tensor<16xf64>) -> tensor<16xf64> {
  %0 = arith.mulf %a, %a : tensor<16xf64>
  return %0 : tensor<16xf64>
}
"""

PROGRAMS = {
    "matmul_dynamic": MATMUL_DYNAMIC,
    "stablehlo": STABLEHLO,
    "tosa": TOSA,
    "torch": TORCH,
    "int64": INT64,
    "control_flow": CONTROL_FLOW,
    "state": STATE,
}

Value = tuple[str, int, Sequence[int | str] | None]


def onnx_model(
    nodes: Sequence[Any],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    initializers: Sequence[Any] = (),
    opset: int = 17,
) -> Any:
    """A `ModelProto`; values are (name, element type, shape)."""
    from onnx import helper

    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(*item) for item in inputs],
        [helper.make_tensor_value_info(*item) for item in outputs],
        list(initializers),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
