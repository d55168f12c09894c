"""The transforms of Winograd convolutions, as loop nests of linalg.

Enters: `iree_linalg_ext.winograd.*_transform` on static shapes. Leaves: for each a `linalg.generic` that multiplies a
tile by a constant matrix from both sides. Lavin, Gray: Fast Algorithms for Convolutional Neural Networks,
https://arxiv.org/abs/1509.09308; the matrices are those of F(6x6, 3x3) with the points 0, 1, -1, 2, -2, 1/2, -1/2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["RULES"]

_OUTPUT_TILE, _KERNEL = 6, 3
_TILE = _OUTPUT_TILE + _KERNEL - 1

_IMAGE: list[list[float]] = [
    [1, 0, -21 / 4, 0, 21 / 4, 0, -1, 0],
    [0, 1, 1, -17 / 4, -17 / 4, 1, 1, 0],
    [0, -1, 1, 17 / 4, -17 / 4, -1, 1, 0],
    [0, 1 / 2, 1 / 4, -5 / 2, -5 / 4, 2, 1, 0],
    [0, -1 / 2, 1 / 4, 5 / 2, -5 / 4, -2, 1, 0],
    [0, 2, 4, -5 / 2, -5, 1 / 2, 1, 0],
    [0, -2, 4, 5 / 2, -5, -1 / 2, 1, 0],
    [0, -1, 0, 21 / 4, 0, -21 / 4, 0, 1],
]
_FILTER: list[list[float]] = [
    [1, 0, 0],
    [-2 / 9, -2 / 9, -2 / 9],
    [-2 / 9, 2 / 9, -2 / 9],
    [1 / 90, 1 / 45, 2 / 45],
    [1 / 90, -1 / 45, 2 / 45],
    [32 / 45, 16 / 45, 8 / 45],
    [32 / 45, -16 / 45, 8 / 45],
    [0, 0, 1],
]
_POINTS = (1, -1, 2, -2, 1 / 2, -1 / 2)
_OUTPUT: list[list[float]] = [
    [float(power == 0), *(float(point**power) for point in _POINTS), float(power == _OUTPUT_TILE - 1)]
    for power in range(_OUTPUT_TILE)
]


def _supported(op: Any) -> bool:
    from iree.compiler import ir

    sizes = [ir.IntegerAttr(op.attributes[name]).value for name in ("output_tile_size", "kernel_size")]
    kinds = [ir.RankedTensorType(operand.type) for operand in op.operands]
    floats = (ir.F16Type, ir.F32Type)
    return sizes == [_OUTPUT_TILE, _KERNEL] and all(
        kind.has_static_shape and isinstance(kind.element_type, floats) for kind in kinds
    )


def _dims(op: Any, name: str) -> list[int]:
    from iree.compiler import ir

    return list(ir.DenseI64ArrayAttr(op.attributes[name]))


def _two_sided(source: Any, matrix: Sequence[Sequence[float]], parallel: int, maps: Sequence[str], shape: Any) -> Any:
    """`sum over k, l of matrix[i, k] * matrix[j, l] * source[..]`; `maps` index matrix, matrix, source and result."""
    import numpy as np
    from iree.compiler import ir
    from iree.compiler.dialects import arith, linalg, tensor

    element = ir.RankedTensorType(source.type).element_type
    dtype = np.float16 if isinstance(element, ir.F16Type) else np.float32
    constant = arith.constant(
        ir.RankedTensorType.get([len(matrix), len(matrix[0])], element),
        ir.DenseElementsAttr.get(np.array(matrix, dtype)),
    )
    zero = arith.constant(element, ir.FloatAttr.get(element, 0.0))
    start = linalg.fill(zero, outs=[tensor.empty(list(shape), element)])
    kinds = ["parallel"] * parallel + ["reduction"] * 2
    loops = ", ".join(f"d{loop}" for loop in range(len(kinds)))
    parsed = [ir.Attribute.parse(f"affine_map<({loops}) -> ({text})>") for text in maps]
    new = ir.Operation.create(
        "linalg.generic",
        results=[ir.RankedTensorType.get(list(shape), element)],
        operands=[constant, constant, source, start],
        attributes={
            "indexing_maps": ir.ArrayAttr.get(parsed),
            "iterator_types": ir.ArrayAttr.get(
                [ir.Attribute.parse(f"#linalg.iterator_type<{kind}>") for kind in kinds]
            ),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([3, 1]),
        },
        regions=1,
    )
    block = new.regions[0].blocks.append(*[element] * 4)
    with ir.InsertionPoint(block):
        left, right, value, total = block.arguments
        product = arith.mulf(arith.mulf(left, right), value)
        ir.Operation.create("linalg.yield", operands=[arith.addf(total, product)])
    return new.results[0]


def _input(op: Any) -> Any | None:
    from iree.compiler import ir

    if not _supported(op):
        return None
    source, output = op.operands
    image = _dims(op, "image_dimensions")
    shape = ir.RankedTensorType(output.type).shape
    source_shape = list(ir.RankedTensorType(source.type).shape)
    missing = [0] * len(source_shape)
    for position, dim in enumerate(image):
        missing[dim] = _OUTPUT_TILE * shape[3 + position] + _KERNEL - 1 - source_shape[dim]
    # Loops: row, column, batch, tile row, tile column, channel, and the two sums.
    places = {image[0]: "d3 * 6 + d6", image[1]: "d4 * 6 + d7", 0: "d2"}
    read = ", ".join(places.get(dim, "d5") for dim in range(4))
    maps = ["d0, d6", "d1, d7", read, "d0, d1, d2, d3, d4, d5"]
    return _two_sided(_padded(source, missing), _IMAGE, 6, maps, shape)


def _padded(source: Any, high: Sequence[int]) -> Any:
    """`source` with zeros behind it."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    if not any(high):
        return source
    old = ir.RankedTensorType(source.type)
    zero = arith.constant(old.element_type, ir.FloatAttr.get(old.element_type, 0.0))
    new = ir.Operation.create(
        "tensor.pad",
        results=[ir.RankedTensorType.get([a + b for a, b in zip(old.shape, high, strict=True)], old.element_type)],
        operands=[source],
        attributes={
            "static_low": ir.DenseI64ArrayAttr.get([0] * old.rank),
            "static_high": ir.DenseI64ArrayAttr.get(list(high)),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, 0]),
        },
        regions=1,
    )
    block = new.regions[0].blocks.append(*[ir.IndexType.get()] * old.rank)
    with ir.InsertionPoint(block):
        ir.Operation.create("tensor.yield", operands=[zero])
    return new.results[0]


def _filter(op: Any) -> Any | None:
    from iree.compiler import ir

    if not _supported(op):
        return None
    source, output = op.operands
    kernel = _dims(op, "kernel_dimensions")
    # Loops: row, column, channel, filter, and the two sums.
    read = "d4, d5, d2, d3" if kernel == [0, 1] else "d3, d2, d4, d5"
    maps = ["d0, d4", "d1, d5", read, "d0, d1, d2, d3"]
    return _two_sided(source, _FILTER, 4, maps, ir.RankedTensorType(output.type).shape)


def _output(op: Any) -> Any | None:
    from iree.compiler import ir

    if not _supported(op):
        return None
    source, output = op.operands
    _, _, batch, rows, columns, channels = ir.RankedTensorType(source.type).shape
    # Loops, channels last: batch, tile row, row, tile column, column, channel, and the two sums.
    sizes = {"batch": batch, "rows": rows, "row": 6, "columns": columns, "column": 6, "channels": channels}
    groups = [["batch"], ["rows", "row"], ["columns", "column"], ["channels"]]
    if _dims(op, "image_dimensions") != [1, 2]:
        groups = [groups[0], groups[3], groups[1], groups[2]]
    order = [name for group in groups for name in group]
    loop = {name: f"d{position}" for position, name in enumerate(order)}
    read = ", ".join(["d6", "d7", *(loop[name] for name in ("batch", "rows", "columns", "channels"))])
    maps = [f"{loop['row']}, d6", f"{loop['column']}, d7", read, ", ".join(loop.values())]
    tiles = _two_sided(source, _OUTPUT, 6, maps, [sizes[name] for name in order])
    index = ir.IntegerType.get_signless(64)
    reassociation = [[ir.IntegerAttr.get(index, order.index(name)) for name in group] for group in groups]
    return ir.Operation.create(
        "tensor.collapse_shape",
        results=[output.type],
        operands=[tiles],
        attributes={"reassociation": ir.ArrayAttr.get([ir.ArrayAttr.get(group) for group in reassociation])},
    ).results[0]


RULES: dict[str, Callable[[Any], Any | None]] = {
    "iree_linalg_ext.winograd.input_transform": _input,
    "iree_linalg_ext.winograd.filter_transform": _filter,
    "iree_linalg_ext.winograd.output_transform": _output,
}
"""What makes the value of each transform; None for shapes and sizes that it does not know."""
