"""Indices outside of a tensor, in the operations of StableHLO that say what they mean.

`gather`, `dynamic_slice` and `dynamic_update_slice` move a part into the tensor, `scatter` leaves out what is not whole
inside: https://openxla.org/stablehlo/spec#gather, #dynamic_slice, #dynamic_update_slice, #scatter. Indices are drawn
from far below zero to far beyond the end, with the extremes of their type among them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.ops.cases import Case
from tests.ops.fused import Shape, case, draw, tensor
from tests.ops.values import Array, numpy_type

__all__ = ["rows"]

_EXTREMES = {"i32": (-(1 << 31), (1 << 31) - 1), "i64": (-(1 << 63), (1 << 63) - 1)}
_WHOLE, _ROWS, _COUNT = (29, 13), (17, 13), 17


def rows() -> list[Case]:
    """All cases."""
    return [*_gathers(), *_scatters(), *_dynamic_slices(), *_unsigned()]


def _indices(random: np.random.Generator, kind: str, count: int, extent: int) -> Array:
    found = random.integers(-extent, 2 * extent, count).astype(numpy_type(kind))
    found[:2] = _EXTREMES[kind]
    return random.permutation(found)


def _inputs(kind: str, *shapes: Shape) -> Callable[[np.random.Generator], list[Array]]:
    def make(random: np.random.Generator) -> list[Array]:
        return [*(draw(random, shape, "f32") for shape in shapes), _indices(random, kind, _COUNT, 29)[:, None]]

    return make


def _gathers() -> list[Case]:
    found = []
    for kind in ("i32", "i64"):
        body = f"""
  %y = "stablehlo.gather"(%a, %b) <{{dimension_numbers = #stablehlo.gather<offset_dims = [1],
      collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, 13>,
      indices_are_sorted = false}}> : ({tensor(_WHOLE)}, tensor<{_COUNT}x1x{kind}>) -> {tensor(_ROWS)}"""

        def reference(a: Array, b: Array) -> list[Array]:
            return [a[np.clip(b[:, 0], 0, 28)]]

        arguments = [(_WHOLE, "f32"), ((_COUNT, 1), kind)]
        found.append(
            case(f"gather_outside.{kind}", arguments, body, [("y", _ROWS, "f32")], reference, _inputs(kind, _WHOLE))
        )
    return found


def _scatters() -> list[Case]:
    found = []
    for kind in ("i32", "i64"):
        body = f"""
  %y = "stablehlo.scatter"(%a, %c, %b) <{{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1],
      inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>,
      indices_are_sorted = false, unique_indices = false}}> ({{
  ^bb0(%old: tensor<f32>, %new: tensor<f32>):
    %sum = stablehlo.add %old, %new : tensor<f32>
    stablehlo.return %sum : tensor<f32>
  }}) : ({tensor(_WHOLE)}, tensor<{_COUNT}x1x{kind}>, {tensor(_ROWS)}) -> {tensor(_WHOLE)}"""

        def reference(a: Array, b: Array, c: Array) -> list[Array]:
            out = a.copy()
            inside = (c[:, 0] >= 0) & (c[:, 0] < 29)
            np.add.at(out, c[inside, 0], b[inside])
            return [out]

        arguments = [(_WHOLE, "f32"), (_ROWS, "f32"), ((_COUNT, 1), kind)]
        make = _inputs(kind, _WHOLE, _ROWS)
        found.append(case(f"scatter_outside.{kind}", arguments, body, [("y", _WHOLE, "f32")], reference, make))
    return found


def _dynamic_slices() -> list[Case]:
    part, found = (4, 5), []
    for kind in ("i32", "i64"):
        scalar = f"tensor<{kind}>"

        def starts(random: np.random.Generator, kind: str = kind) -> list[Array]:
            return [np.array(index, numpy_type(kind)) for index in _indices(random, kind, 4, 20)[:2]]

        def begin(i: Array, j: Array) -> tuple[int, int]:
            return int(np.clip(i, 0, 29 - 4)), int(np.clip(j, 0, 13 - 5))

        def cut(a: Array, i: Array, j: Array) -> list[Array]:
            row, column = begin(i, j)
            return [a[row : row + 4, column : column + 5]]

        def put(a: Array, b: Array, i: Array, j: Array) -> list[Array]:
            (row, column), out = begin(i, j), a.copy()
            out[row : row + 4, column : column + 5] = b
            return [out]

        indices = [((), kind), ((), kind)]
        found += [
            case(
                f"dynamic_slice_outside.{kind}",
                [(_WHOLE, "f32"), *indices],
                f"""
  %y = stablehlo.dynamic_slice %a, %b, %c, sizes = [4, 5]
      : ({tensor(_WHOLE)}, {scalar}, {scalar}) -> {tensor(part)}""",
                [("y", part, "f32")],
                cut,
                lambda random, starts=starts: [draw(random, _WHOLE, "f32"), *starts(random)],
            ),
            case(
                f"dynamic_update_slice_outside.{kind}",
                [(_WHOLE, "f32"), (part, "f32"), *indices],
                f"""
  %y = stablehlo.dynamic_update_slice %a, %b, %c, %d
      : ({tensor(_WHOLE)}, {tensor(part)}, {scalar}, {scalar}) -> {tensor(_WHOLE)}""",
                [("y", _WHOLE, "f32")],
                put,
                lambda random, starts=starts: [draw(random, _WHOLE, "f32"), draw(random, part, "f32"), *starts(random)],
            ),
        ]
    return found


def _unsigned() -> list[Case]:
    """Narrow integers without a sign as indices: as the lookups of quantised models have them."""
    found = []
    for kind, extent in (("i8", 1 << 8), ("i16", 1 << 16)):
        body = f"""
  %empty = tensor.empty() : tensor<{_COUNT}xf32>
  %high = arith.constant {extent} : i32
  %none = arith.constant 0 : i64
  %y = linalg.generic {{indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
      iterator_types = ["parallel"]}} ins(%b : tensor<{_COUNT}x{kind}>) outs(%empty : tensor<{_COUNT}xf32>) {{
  ^bb0(%in: {kind}, %out: f32):
    %word = arith.extui %in : {kind} to i32
    %long = arith.extui %in : {kind} to i64
    %below = arith.cmpi slt, %long, %none : i64
    %moved = arith.addi %word, %high : i32
    %chosen = arith.select %below, %moved, %word : i32
    %index = arith.index_cast %chosen : i32 to index
    %element = tensor.extract %a[%index] : tensor<{extent}xf32>
    linalg.yield %element : f32
  }} -> tensor<{_COUNT}xf32>"""

        def inputs(random: np.random.Generator, kind: str = kind, extent: int = extent) -> list[Array]:
            codes = random.integers(0, extent, _COUNT)
            codes[:3] = [0, extent // 2, extent - 1]
            return [draw(random, (extent,), "f32"), codes.astype(f"u{extent.bit_length() // 8}").view(numpy_type(kind))]

        def reference(a: Array, b: Array) -> list[Array]:
            return [a[b.view(f"u{b.dtype.itemsize}")]]

        arguments = [((extent,), "f32"), ((_COUNT,), kind)]
        found.append(case(f"unsigned_index.{kind}", arguments, body, [("y", (_COUNT,), "f32")], reference, inputs))
    return found
