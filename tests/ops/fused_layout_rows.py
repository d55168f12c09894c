"""Rows between operations that the compiler fuses with them: packs, pads, slices, and sums of products.

Enters: nothing. Leaves: cases whose functions compute an operation's operand elementwise, run the operation, and go on
with its result elementwise or by a sum: what is handed over within one kernel. Sizes are multiples of nothing.
"""

from __future__ import annotations

import numpy as np

from tests.ops.cases import Case
from tests.ops.fused import affine_map, case, linear, row_sums, tensor
from tests.ops.values import Array

__all__ = ["rows"]


def rows() -> list[Case]:
    """All cases."""
    return [*_layouts(), *_pads(), *_slices(), *_reductions(), *_pools()]


# -- layouts ----------------------------------------------------------------------------------------------------------


def _layouts() -> list[Case]:
    shape, packed = (21, 34), (3, 5, 8, 8)
    pack = (
        linear("x", "a", shape, "f32", 2, 1)
        + f"""
  %nothing = arith.constant 7.0 : f32
  %empty = tensor.empty() : {tensor(packed)}
  %s = linalg.pack %x padding_value(%nothing : f32) inner_dims_pos = [0, 1] inner_tiles = [8, 8] into %empty
      : {tensor(shape)} -> {tensor(packed)}"""
        + linear("y", "s", packed, "f32", 3, 1)
    )

    def into_tiles(a: Array) -> list[Array]:
        padded = np.pad(a * 2 + 1, ((0, 3), (0, 6)), constant_values=7)
        return [padded.reshape(3, 8, 5, 8).transpose(0, 2, 1, 3) * 3 + 1]

    unpack = (
        linear("x", "a", packed, "f32", 2, 1)
        + f"""
  %empty = tensor.empty() : {tensor(shape)}
  %s = linalg.unpack %x inner_dims_pos = [0, 1] inner_tiles = [8, 8] into %empty
      : {tensor(packed)} -> {tensor(shape)}"""
        + linear("y", "s", shape, "f32", 3, 1)
    )

    def out_of_tiles(a: Array) -> list[Array]:
        return [(a * 2 + 1).transpose(0, 2, 1, 3).reshape(24, 40)[:21, :34] * 3 + 1]

    return [
        case("pack.padded", [(shape, "f32")], pack, [("y", packed, "f32")], into_tiles),
        case("unpack.cut", [(packed, "f32")], unpack, [("y", shape, "f32")], out_of_tiles),
    ]


def _pads() -> list[Case]:
    shape, padded = (13, 19), (18, 24)
    pad = f"""
  %nothing = arith.constant 5.0 : f32
  %p = tensor.pad %x low[2, 1] high[3, 4] {{
  ^bb0(%row: index, %column: index):
    tensor.yield %nothing : f32
  }} : {tensor(shape)} to {tensor(padded)}"""

    def edge(a: Array) -> Array:
        return np.pad(a * 2 + 1, ((2, 3), (1, 4)), constant_values=5)

    return [
        case(
            "pad.linear",
            [(shape, "f32")],
            linear("x", "a", shape, "f32", 2, 1) + pad + linear("y", "p", padded, "f32", 3, 1),
            [("y", padded, "f32")],
            lambda a: [edge(a) * 3 + 1],
        ),
        case(
            "pad.sums",
            [(shape, "f32")],
            linear("x", "a", shape, "f32", 2, 1) + pad + row_sums("y", "p", padded, "f32"),
            [("y", (18,), "f32"), ("p", padded, "f32")],
            lambda a: [edge(a).sum(1), edge(a)],
        ),
    ]


def _slices() -> list[Case]:
    """Parts that begin in the middle of what a kernel could load as a vector."""
    whole, part, wide = (8, 32), (8, 8), (8, 12)
    found = []
    for start, stride in ((1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (0, 3)):
        cut = f"""
  %s = tensor.extract_slice %a[0, {start}] [8, 8] [1, {stride}] : {tensor(whole)} to {tensor(part)}"""
        product = f"""
  %zero = arith.constant 0.0 : f32
  %p_empty = tensor.empty() : {tensor(wide)}
  %p_start = linalg.fill ins(%zero : f32) outs(%p_empty : {tensor(wide)}) -> {tensor(wide)}
  %p = linalg.matmul ins(%s, %b : {tensor(part)}, {tensor(wide)}) outs(%p_start : {tensor(wide)}) -> {tensor(wide)}"""

        def columns(a: Array, start: int = start, stride: int = stride) -> Array:
            return a[:, start : start + 8 * stride : stride]

        found += [
            case(
                f"slice.{start}.{stride}",
                [(whole, "f32"), (wide, "f32")],
                cut + linear("y", "s", part, "f32", 2, 1) + product,
                [("y", part, "f32"), ("p", wide, "f32")],
                lambda a, b, columns=columns: [columns(a) * 2 + 1, columns(a) @ b],
            ),
            case(
                f"slice.unknown_rows.{start}.{stride}",
                [(whole, "f32")],
                cut.replace(tensor(whole), "tensor<8x?xf32>") + linear("y", "s", part, "f32", 2, 1),
                [("y", part, "f32")],
                lambda a, columns=columns: [columns(a) * 2 + 1],
                declared="%a: tensor<8x?xf32>",
            ),
        ]
    store = (
        linear("y", "a", part, "f32", 2, 1)
        + f"""
  %s = tensor.insert_slice %y into %b[0, 2] [8, 8] [1, 1] : {tensor(part)} into {tensor(wide)}"""
    )

    def stored(a: Array, b: Array) -> list[Array]:
        out = b.copy()
        out[:, 2:10] = a * 2 + 1
        return [out]

    return [
        *found,
        case("slice.store", [(part, "f32"), (wide, "f32")], store, [("s", wide, "f32")], stored),
    ]


def _reductions() -> list[Case]:
    """Sums of products whose operands stay the same along a loop, and that read a loop's index; one sum per thread."""
    found = []
    for kind in ("f32", "i32"):
        x, w, y = (6, 4, 8), (6, 4, 63), (63,)
        add, mul, zero = ("addf", "mulf", "0.0") if kind == "f32" else ("addi", "muli", "0")
        maps = ", ".join(affine_map(4, dims) for dims in ((1, 2, 3), (1, 2, 0), (0,)))
        convert = "arith.sitofp %index : i32 to f32" if kind == "f32" else "arith.addi %index, %none : i32"
        body = f"""
  %zero = arith.constant {zero} : {kind}
  %none = arith.constant 0 : i32
  %empty = tensor.empty() : {tensor(y, kind)}
  %start = linalg.fill ins(%zero : {kind}) outs(%empty : {tensor(y, kind)}) -> {tensor(y, kind)}
  %y = linalg.generic {{indexing_maps = [{maps}],
      iterator_types = ["parallel", "reduction", "reduction", "reduction"]}}
      ins(%a, %b : {tensor(x, kind)}, {tensor(w, kind)}) outs(%start : {tensor(y, kind)}) {{
  ^bb0(%left: {kind}, %right: {kind}, %total: {kind}):
    %loop = linalg.index 3 : index
    %index = arith.index_cast %loop : index to i32
    %step = {convert}
    %moved = arith.{add} %right, %step : {kind}
    %product = arith.{mul} %left, %moved : {kind}
    %sum = arith.{add} %total, %product : {kind}
    linalg.yield %sum : {kind}
  }} -> {tensor(y, kind)}"""

        def reference(a: Array, b: Array) -> list[Array]:
            moved = b[:, :, None, :] + np.arange(8, dtype=b.dtype)[:, None]
            return [np.einsum("gwj,gwjn->n", a, moved)]

        found.append(case(f"product.{kind}", [(x, kind), (w, kind)], body, [("y", y, kind)], reference))
    return found


def _pools() -> list[Case]:
    """A sliding window over images of which the number is not known, with nothing behind it."""
    image, result, unknown = (3, 12, 15, 5), (3, 6, 7, 5), "tensor<?x12x15x5xf32>"
    body = f"""
  %zero = arith.constant 0 : index
  %count = tensor.dim %a, %zero : {unknown}
  %window = tensor.empty() : tensor<2x2xf32>
  %low = arith.constant 0xFF800000 : f32
  %empty = tensor.empty(%count) : tensor<?x6x7x5xf32>
  %start = linalg.fill ins(%low : f32) outs(%empty : tensor<?x6x7x5xf32>) -> tensor<?x6x7x5xf32>
  %pooled = linalg.pooling_nhwc_max {{dilations = dense<1> : tensor<2xi64>, strides = dense<2> : tensor<2xi64>}}
      ins(%a, %window : {unknown}, tensor<2x2xf32>) outs(%start : tensor<?x6x7x5xf32>) -> tensor<?x6x7x5xf32>
  %y = tensor.cast %pooled : tensor<?x6x7x5xf32> to {tensor(result)}"""

    def reference(a: Array) -> list[Array]:
        return [np.max([a[:, row : row + 11 : 2, column : column + 13 : 2] for row in (0, 1) for column in (0, 1)], 0)]

    declared = f"%a: {unknown}"
    return [case("pool.unknown_batch", [(image, "f32")], body, [("y", result, "f32")], reference, declared=declared)]
