"""Rows of an image that no window reads, cut off.

Enters: the module after `input`. Leaves: the same module, in which a convolution or pooling with one result along a
dimension takes from its input what that one window covers. A stride can leave rows at the end that no window reaches
(a window of 3 rows, stride 2, on 4 rows). The compiler then drops the loop over the one result, finds that the rows
must be as many as the window's, and refuses the operation that it made itself.
"""

from __future__ import annotations

from typing import Any

from webree.compiler.walking import walk

__all__ = ["cut_unread_rows"]


def cut_unread_rows(module: Any) -> int:
    """Insert slices in place; returns how many."""
    found = [op for op in walk(module) if op.name.startswith(("linalg.conv", "linalg.depthwise", "linalg.pooling"))]
    return sum(_cut(op) for op in found)


def _cut(op: Any) -> bool:
    """The input is the first operand of all these operations."""
    from iree.compiler import ir
    from iree.compiler.dialects import linalg

    source = op.operands[0]
    maps = [ir.AffineMapAttr(item).value for item in linalg.get_indexing_maps(op) or ()]
    if not maps or not all(_is_static(operand) for operand in op.operands):
        return False
    extents = _extents(op, maps)
    sizes = list(ir.RankedTensorType(source.type).shape)
    kept = [
        _last_index(index, extents) + 1 if _is_one_window(index, extents) else size
        for index, size in zip(maps[0].results, sizes, strict=True)
    ]
    if kept == sizes:
        return False
    with op.context, op.location, ir.InsertionPoint(op):
        part = ir.Operation.create(
            "tensor.extract_slice",
            results=[ir.RankedTensorType.get(kept, ir.RankedTensorType(source.type).element_type)],
            operands=[source],
            attributes={
                "static_offsets": ir.DenseI64ArrayAttr.get([0] * len(kept)),
                "static_sizes": ir.DenseI64ArrayAttr.get(kept),
                "static_strides": ir.DenseI64ArrayAttr.get([1] * len(kept)),
                "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, 0, 0]),
            },
        )
    op.operands[0] = part.results[0]
    return True


def _is_static(value: Any) -> bool:
    from iree.compiler import ir

    return isinstance(value.type, ir.RankedTensorType) and ir.RankedTensorType(value.type).has_static_shape


def _extents(op: Any, maps: list[Any]) -> dict[int, int]:
    """Of the loops that index a dimension of some operand alone: all of them, in these operations."""
    from iree.compiler import ir

    return {
        ir.AffineDimExpr(index).position: size
        for operand, map_ in zip(op.operands, maps, strict=True)
        for index, size in zip(map_.results, ir.RankedTensorType(operand.type).shape, strict=True)
        if isinstance(index, ir.AffineDimExpr)
    }


def _is_one_window(index: Any, extents: dict[int, int]) -> bool:
    """Whether an index is a sum of a place in the window and of the window's place, of which there is one."""
    from iree.compiler import ir

    return isinstance(index, ir.AffineAddExpr) and _last_index(ir.AffineAddExpr(index).lhs, extents) == 0


def _last_index(index: Any, extents: dict[int, int]) -> int:
    from iree.compiler import ir

    if isinstance(index, ir.AffineDimExpr):
        return extents[ir.AffineDimExpr(index).position] - 1
    if isinstance(index, ir.AffineConstantExpr):
        return int(ir.AffineConstantExpr(index).value)
    both = ir.AffineBinaryExpr(index)
    left, right = _last_index(both.lhs, extents), _last_index(both.rhs, extents)
    return left + right if isinstance(index, ir.AffineAddExpr) else left * right
