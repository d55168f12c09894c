"""`dot_general` of open sizes, for which the input conversion makes reshapes that it cannot convert itself.

Enters: the operation with any dimensions. Leaves: one over [batch, rows, depth] and [batch, depth, columns], or over
matrices where there is no batch, between collapsed operands and an expanded result.
Source: https://openxla.org/stablehlo/spec#dot_general
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from webree.compiler.stablehlo_build import create, numbers_in

__all__ = ["collapse_dot"]

_NUMBERS = ("lhs_batching_dimensions", "rhs_batching_dimensions", "lhs_contracting_dimensions",
            "rhs_contracting_dimensions")  # fmt: skip


def collapse_dot(op: Any) -> bool:
    """Replace the operation; False where all sizes are known, or it is in that form, or one side has no free one."""
    from iree.compiler import ir

    kinds = [ir.RankedTensorType(value.type) for value in op.operands]
    result = ir.RankedTensorType(op.results[0].type)
    text = str(op.attributes["dot_dimension_numbers"])
    batch, other_batch, depth, other_depth = (numbers_in(text, name) for name in _NUMBERS)
    rows, columns = (
        [dim for dim in range(kind.rank) if dim not in taken]
        for kind, taken in zip(kinds, ({*batch, *depth}, {*other_batch, *other_depth}), strict=True)
    )
    simple = len(batch) <= 1 and len(rows) == len(columns) == len(depth) == 1
    if all(kind.has_static_shape for kind in kinds) or simple or not rows or not columns or not depth:
        return False
    groups = (
        [group for group in (batch, rows, depth) if group],
        [group for group in (other_batch, other_depth, columns) if group],
    )
    sides = [_collapse(_ordered(value, of), of) for value, of in zip(op.operands, groups, strict=True)]
    shapes = [ir.RankedTensorType(side.type).shape for side in sides]
    extents = [*shapes[0][:-1], shapes[1][-1]]
    first = int(bool(batch))
    numbers = (
        f"#stablehlo.dot<{'lhs_batching_dimensions = [0], rhs_batching_dimensions = [0], ' if first else ''}"
        f"lhs_contracting_dimensions = [{first + 1}], rhs_contracting_dimensions = [{first}]>"
    )
    others = {name: op.attributes[name] for name in ("precision_config",) if name in op.attributes}
    product = create(
        "dot_general",
        [ir.RankedTensorType.get(extents, result.element_type)],
        sides,
        dot_dimension_numbers=ir.Attribute.parse(numbers),
        **others,
    )
    origins = [(op.operands[0], dim) for dim in (*batch, *rows)] + [(op.operands[1], dim) for dim in columns]
    op.results[0].replace_all_uses_with(
        _expand(product, result, [len(g) for g in (batch, rows, columns) if g], origins)
    )
    op.erase()
    return True


def _ordered(value: Any, groups: Sequence[list[int]]) -> Any:
    """The dimensions in the order of the groups."""
    from iree.compiler import ir

    order = [dim for group in groups for dim in group]
    if order == list(range(len(order))):
        return value
    kind = ir.RankedTensorType(value.type)
    turned = ir.RankedTensorType.get([kind.shape[dim] for dim in order], kind.element_type)
    return create("transpose", [turned], [value], permutation=ir.DenseI64ArrayAttr.get(order))


def _collapse(value: Any, groups: Sequence[list[int]]) -> Any:
    """One dimension for each group of neighbours."""
    from iree.compiler import ir
    from iree.compiler.dialects import tensor

    kind, start = ir.RankedTensorType(value.type), 0
    if all(len(group) == 1 for group in groups):
        return value
    parts, extents = [], []
    for group in groups:
        part = list(range(start, start + len(group)))
        is_open = any(kind.is_dynamic_dim(dim) for dim in part)
        extents.append(ir.ShapedType.get_dynamic_size() if is_open else prod(kind.shape[dim] for dim in part))
        parts.append(part)
        start += len(group)
    return tensor.collapse_shape(ir.RankedTensorType.get(extents, kind.element_type), value, parts)


def _expand(value: Any, result: Any, counts: Sequence[int], origins: Sequence[tuple[Any, int]]) -> Any:
    """The reverse; `origins` tell whose size each dimension has."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    if all(count == 1 for count in counts):
        return value
    index, start, parts = ir.IndexType.get(), 0, []
    for count in counts:
        parts.append(list(range(start, start + count)))
        start += count
    sizes = [
        tensor.dim(operand, arith.constant(index, dim))
        for place, (operand, dim) in enumerate(origins)
        if result.is_dynamic_dim(place)
    ]
    return tensor.expand_shape(result, value, parts, sizes, list(result.shape))
