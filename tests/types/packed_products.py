"""Products of bytes: modules in MLIR, and what they give, with NumPy in 64 bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["CASES", "Case", "Made"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Made:
    """A module, inputs for it, and its result."""

    text: str
    inputs: tuple[Array, ...]
    expected: Array


@dataclass(frozen=True)
class Case:
    """A module made of random bytes, and the function that its kernels must call (`I` signed, `U` unsigned)."""

    make: Callable[[np.random.Generator], Made]
    function: str = "dot4I8Packed"


def _bytes(random: np.random.Generator, *shape: int) -> Array:
    """The whole range; the first row is the smallest number, the product of two of which is the largest."""
    values = random.integers(-128, 128, shape).astype(np.int8)
    values[0] = -128
    return values


def _filled(kind: str) -> str:
    return f"""%zero = arith.constant 0 : i32
  %empty = tensor.empty() : {kind}
  %start = linalg.fill ins(%zero : i32) outs(%empty : {kind}) -> {kind}"""


def _matmul(
    rows: int,
    inner: int,
    columns: int,
    *,
    turned: tuple[bool, bool] = (False, False),
    signed: tuple[bool, bool] = (True, True),
    constant: bool = False,
) -> Callable[[np.random.Generator], Made]:
    """A product with either side transposed, of either sign, the right side perhaps a constant."""

    def make(random: np.random.Generator) -> Made:
        left, right = _bytes(random, rows, inner), _bytes(random, columns, inner).T
        numbers = [
            (side if is_signed else side.view(np.uint8)).astype(np.int64)
            for side, is_signed in zip((left, np.ascontiguousarray(right)), signed, strict=True)
        ]
        stored = [
            np.ascontiguousarray(side.T if is_turned else side)
            for side, is_turned in zip((left, right), turned, strict=True)
        ]
        maps = ["(m, k)", "(k, n)"]
        maps = [f"({item[4]}, {item[1]})" if is_turned else item for item, is_turned in zip(maps, turned, strict=True)]
        kinds = [f"tensor<{'x'.join(map(str, side.shape))}xi8>" for side in stored]
        result = f"tensor<{rows}x{columns}xi32>"
        widen = ["arith.extsi" if is_signed else "arith.extui" for is_signed in signed]
        weights = f'%b = arith.constant dense<"0x{stored[1].tobytes().hex().upper()}"> : {kinds[1]}' if constant else ""
        arguments = f"%a: {kinds[0]}" if constant else f"%a: {kinds[0]}, %b: {kinds[1]}"
        text = f"""func.func @main({arguments}) -> {result} {{
  {weights}
  {_filled(result)}
  %r = linalg.generic {{
      indexing_maps = [{", ".join(f"affine_map<(m, n, k) -> {item}>" for item in (*maps, "(m, n)"))}],
      iterator_types = ["parallel", "parallel", "reduction"]}}
      ins(%a, %b : {kinds[0]}, {kinds[1]}) outs(%start : {result}) {{
  ^bb0(%x: i8, %y: i8, %total: i32):
    %wide_x = {widen[0]} %x : i8 to i32
    %wide_y = {widen[1]} %y : i8 to i32
    %product = arith.muli %wide_x, %wide_y : i32
    %sum = arith.addi %total, %product : i32
    linalg.yield %sum : i32
  }} -> {result}
  return %r : {result}
}}"""
        inputs = (stored[0],) if constant else (stored[0], stored[1])
        return Made(text, inputs, (numbers[0] @ numbers[1]).astype(np.int32))

    return make


def _batch(random: np.random.Generator) -> Made:
    left, right = _bytes(random, 3, 5, 12), _bytes(random, 3, 12, 8)
    text = f"""func.func @main(%a: tensor<3x5x12xi8>, %b: tensor<3x12x8xi8>) -> tensor<3x5x8xi32> {{
  {_filled("tensor<3x5x8xi32>")}
  %r = linalg.batch_matmul ins(%a, %b : tensor<3x5x12xi8>, tensor<3x12x8xi8>) outs(%start : tensor<3x5x8xi32>)
    -> tensor<3x5x8xi32>
  return %r : tensor<3x5x8xi32>
}}"""
    return Made(text, (left, right), (left.astype(np.int64) @ right.astype(np.int64)).astype(np.int32))


def _zero_points(random: np.random.Generator) -> Made:
    """Both sides less a number that only the call knows."""
    left, right = _bytes(random, 6, 40), _bytes(random, 40, 12)
    zeros = random.integers(-128, 128, 2).astype(np.int32)
    text = f"""func.func @main(%a: tensor<6x40xi8>, %b: tensor<40x12xi8>, %x: i32, %y: i32) -> tensor<6x12xi32> {{
  {_filled("tensor<6x12xi32>")}
  %r = linalg.quantized_matmul ins(%a, %b, %x, %y : tensor<6x40xi8>, tensor<40x12xi8>, i32, i32)
    outs(%start : tensor<6x12xi32>) -> tensor<6x12xi32>
  return %r : tensor<6x12xi32>
}}"""
    expected = (left.astype(np.int64) - zeros[0]) @ (right.astype(np.int64) - zeros[1])
    return Made(text, (left, right, zeros[0], zeros[1]), expected.astype(np.int32))


def _convolution(size: int, channels: int, filters: int, reach: int, stride: int) -> Callable[..., Made]:
    """Channels last, then made bytes of again: two kernels, both without single bytes."""

    def make(random: np.random.Generator) -> Made:
        image, weights = _bytes(random, 1, size, size, channels), _bytes(random, reach, reach, channels, filters)
        out = (size - reach) // stride + 1
        sums, result = f"tensor<1x{out}x{out}x{filters}xi32>", f"tensor<1x{out}x{out}x{filters}xi8>"
        kinds = f"tensor<1x{size}x{size}x{channels}xi8>", f"tensor<{reach}x{reach}x{channels}x{filters}xi8>"
        text = f"""#same = affine_map<(a, b, c, d) -> (a, b, c, d)>
func.func @main(%a: {kinds[0]}) -> {result} {{
  %b = arith.constant dense<"0x{weights.tobytes().hex().upper()}"> : {kinds[1]}
  %bits = arith.constant 11 : i32
  {_filled(sums)}
  %r = linalg.conv_2d_nhwc_hwcf {{dilations = dense<1> : tensor<2xi64>, strides = dense<{stride}> : tensor<2xi64>}}
    ins(%a, %b : {kinds[0]}, {kinds[1]}) outs(%start : {sums}) -> {sums}
  %bytes = tensor.empty() : {result}
  %s = linalg.generic {{indexing_maps = [#same, #same],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}} ins(%r : {sums}) outs(%bytes : {result}) {{
  ^bb0(%x: i32, %y: i8):
    %moved = arith.shrsi %x, %bits : i32
    %byte = arith.trunci %moved : i32 to i8
    linalg.yield %byte : i8
  }} -> {result}
  return %s : {result}
}}"""
        wide = np.lib.stride_tricks.sliding_window_view(image.astype(np.int64), (reach, reach), (1, 2))
        total = np.einsum("nhwcij,ijcf->nhwf", wide[:, ::stride, ::stride], weights.astype(np.int64))
        return Made(text, (image,), (total >> 11).astype(np.int8))

    return make


CASES = {
    "rows by columns": Case(_matmul(9, 64, 24)),
    "constant weights": Case(_matmul(9, 64, 24, constant=True)),
    "rows by rows": Case(_matmul(9, 64, 24, turned=(False, True))),
    "columns by columns": Case(_matmul(9, 64, 24, turned=(True, False))),
    "no multiple of four": Case(_matmul(5, 13, 7, constant=True)),
    "long": Case(_matmul(2, 20_000, 4)),
    "a row": Case(_matmul(1, 100, 16, constant=True)),
    "a row by rows": Case(_matmul(1, 100, 16, turned=(False, True))),
    "a dot product": Case(_matmul(1, 100, 1)),
    "unsigned": Case(_matmul(9, 64, 24, signed=(False, False)), "dot4U8Packed"),
    "unsigned by signed": Case(_matmul(9, 61, 24, signed=(False, True), constant=True)),
    "signed by unsigned": Case(_matmul(9, 64, 24, signed=(True, False)), "dot4U8Packed"),
    "batch": Case(_batch),
    "zero points": Case(_zero_points),
    "convolution": Case(_convolution(9, 16, 24, 3, 2)),
    "image of three channels": Case(_convolution(8, 3, 8, 3, 1)),
    "pointwise": Case(_convolution(6, 32, 12, 1, 1)),
}
