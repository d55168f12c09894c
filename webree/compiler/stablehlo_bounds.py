"""Scatter, without the updates that are outside of the operand.

Enters: `stablehlo.scatter` with windows of one element along the dimensions that it scatters along. Leaves: the same,
with an operand that is one element longer along one of these: updates from outside go there, and are cut off. The
input conversion stores them wherever their indices point to. https://openxla.org/stablehlo/spec#scatter
"""

from __future__ import annotations

from typing import Any

from webree.compiler.stablehlo_build import compare, constant, create, number_in, numbers_in, pad, splat, take_slice
from webree.compiler.walking import walk

__all__ = ["leave_out_outside"]

_INDEX_BITS = 32


def leave_out_outside(module: Any) -> int:
    """Change the scatters of a module in place; returns how many. Those of unknown shapes are left as they are."""
    from iree.compiler import ir

    count = 0
    for op in [op for op in walk(module.operation) if op.name == "stablehlo.scatter"]:
        with op.context, op.location, ir.InsertionPoint(op):
            count += _guard(op)
    return count


def _guard(op: Any) -> bool:
    from iree.compiler import ir

    number = (len(op.operands) - 1) // 2
    indices, text = op.operands[number], str(op.attributes["scatter_dimension_numbers"])
    kinds = [ir.RankedTensorType(operand.type) for operand in op.operands]
    dims, inserted = numbers_in(text, "scatter_dims_to_operand_dims"), numbers_in(text, "inserted_window_dims")
    shape = list(kinds[0].shape)
    if (
        not all(kind.has_static_shape for kind in kinds)
        or "input_batching_dims" in text
        or not dims
        or not set(dims) <= set(inserted)
        or _is_inside(indices, [shape[dim] for dim in dims])
    ):
        return False
    op.operands[number] = _moved(indices, number_in(text, "index_vector_dim"), [shape[dim] for dim in dims])
    longer = list(shape)
    longer[dims[0]] += 1
    after = [int(dim == dims[0]) for dim in range(len(shape))]
    for position in range(number):
        zero = constant([], kinds[position].element_type, _zero(kinds[position].element_type))
        op.operands[position] = pad(op.operands[position], zero, [0] * len(shape), after)
    results = [ir.RankedTensorType.get(longer, ir.RankedTensorType(result.type).element_type) for result in op.results]
    attributes = {name: op.attributes[name] for name in op.attributes}
    new = ir.Operation.create(op.name, results, list(op.operands), attributes=attributes, regions=1)
    op.regions[0].blocks[0].append_to(new.regions[0])
    for old, result in zip(op.results, new.results, strict=True):
        old.replace_all_uses_with(take_slice(result, [0] * len(shape), shape))
    op.erase()
    return True


def _moved(indices: Any, vector_dim: int, extents: list[int]) -> Any:
    """Indices of which those that are not inside point behind the operand's end along the first dimension."""
    from iree.compiler import ir

    kind = ir.RankedTensorType(indices.type)
    if ir.IntegerType(kind.element_type).width < _INDEX_BITS:
        kind = ir.RankedTensorType.get(kind.shape, ir.IntegerType.get_signless(_INDEX_BITS))
        indices = create("convert", [kind], [indices])
    parts = [indices]
    if vector_dim < kind.rank:
        parts = [_component(indices, vector_dim, number) for number in range(len(extents))]
    inside = None
    for part, extent in zip(parts, extents, strict=True):
        for limit, direction in ((0, "GE"), (extent, "LT")):
            holds = compare(part, splat(part.type, limit), direction)
            inside = holds if inside is None else create("and", [holds.type], [inside, holds])
    places = [extents[0], *[0] * (len(extents) - 1)]
    chosen = [
        create("select", [part.type], [inside, part, splat(part.type, place)])
        for part, place in zip(parts, places, strict=True)
    ]
    if len(chosen) == 1:
        return chosen[0]
    dimension = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), vector_dim)
    return create("concatenate", [kind], chosen, dimension=dimension)


def _component(indices: Any, vector_dim: int, number: int) -> Any:
    from iree.compiler import ir

    limits = list(ir.RankedTensorType(indices.type).shape)
    starts = [0] * len(limits)
    starts[vector_dim], limits[vector_dim] = number, number + 1
    return take_slice(indices, starts, limits)


def _is_inside(indices: Any, extents: list[int]) -> bool:
    """Whether the indices are constants, all inside (of the smallest extent)."""
    from iree.compiler import ir

    if isinstance(indices.owner, ir.Block) or indices.owner.operation.name != "stablehlo.constant":
        return False
    try:
        import numpy as np

        values = np.array(ir.DenseElementsAttr(indices.owner.operation.attributes["value"]))
    except ValueError:
        return False
    return bool(values.size == 0 or (values.min() >= 0 and values.max() < min(extents)))


def _zero(element: Any) -> Any:
    return "false" if str(element) == "i1" else 0
