"""Long sorts, as networks of parallel passes.

Enters: the module at phase `input`. Leaves: the same module, in which each `iree_linalg_ext.sort` along a dimension of
256 elements or more is a loop over the passes of a bitonic network: a `linalg.generic`, in which every element is
compared with one other. So is a `topk` of many among many, followed by a slice. The compiler's own lowering is a bubble
sort in one thread per row (and lavapipe ends a thread after 65,535 iterations of its loops).

The network is the one whose comparisons all put the smaller element first, so that what is missing to a power of two
need not be there: it would stay at the end. A network is not stable, so the elements' places are sorted with them, and
decide where the comparator calls two elements equal. Batcher: Sorting networks and their applications, 1968,
https://doi.org/10.1145/1468075.1468121.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from webree.codegen_wgsl.schedules.building import extent_of, index, loop_index
from webree.compiler.walking import replace

__all__ = ["spread_sorts"]

_SHORTEST = 256
_MANY_COMPARISONS = 1 << 14
_EQ, _SLT, _ULT = 0, 2, 6  # arith.cmpi's predicates


def spread_sorts(module: Any) -> int:
    """Change the module (an `ir.Module` or its operation) in place; returns the number of sorts rewritten."""
    rules = {"iree_linalg_ext.sort": _sort, **dict.fromkeys(("iree_linalg_ext.topk", "iree_linalg_ext.topk_v2"), _topk)}
    return replace(module.operation, rules)


def _dimension(op: Any) -> int:
    from iree.compiler import ir

    return int(ir.IntegerAttr(op.attributes["dimension"]).value)


def _sort(op: Any) -> list[Any] | None:
    from iree.compiler import ir

    kind = ir.RankedTensorType(op.operands[0].type)
    if kind.is_dynamic_dim(_dimension(op)) or kind.shape[_dimension(op)] < _SHORTEST or not _is_straight(op):
        return None
    return _network(op, list(op.operands))[:-1]


def _topk(op: Any) -> list[Any] | None:
    """All sorted, and the first taken: where one thread's comparisons of each element with each of them are many."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    count = len(op.results)  # values and indices, or values alone
    inputs, outputs = list(op.operands)[:-count], list(op.operands)[-count:]
    kind, taken = ir.RankedTensorType(inputs[0].type), ir.RankedTensorType(outputs[0].type)
    dimension = _dimension(op)
    if not kind.has_static_shape or not _is_straight(op) or not all(map(_is_fill, outputs)):
        return None
    if kind.shape[dimension] < _SHORTEST or kind.shape[dimension] * taken.shape[dimension] < _MANY_COMPARISONS:
        return None
    values = _network(op, inputs)
    found = [_first(value, dimension, taken.shape[dimension]) for value in values[:count]]
    if count == 2 and found[1].type != outputs[1].type:
        found[1] = arith.extsi(outputs[1].type, found[1])
    return found


def _is_straight(op: Any) -> bool:
    return not any(inner.operation.regions for inner in op.regions[0].blocks[0].operations)


def _is_fill(value: Any) -> bool:
    from iree.compiler import ir

    return not isinstance(value.owner, ir.Block) and value.owner.operation.name == "linalg.fill"


def _first(value: Any, dimension: int, count: int) -> Any:
    """The first elements along a dimension."""
    from iree.compiler import ir

    kind = ir.RankedTensorType(value.type)
    shape = [count if dim == dimension else extent for dim, extent in enumerate(kind.shape)]
    return ir.Operation.create(
        "tensor.extract_slice",
        results=[ir.RankedTensorType.get(shape, kind.element_type)],
        operands=[value],
        attributes={
            "static_offsets": ir.DenseI64ArrayAttr.get([0] * len(shape)),
            "static_sizes": ir.DenseI64ArrayAttr.get(shape),
            "static_strides": ir.DenseI64ArrayAttr.get([1] * len(shape)),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, 0, 0]),
        },
    ).results[0]


def partners(length: int) -> list[int]:
    """Pass by pass: what to flip in an element's place to get the place that it is compared with."""
    found, size = [], 2
    while size < 2 * length:
        found.append(size - 1)
        step = size // 4
        while step:
            found.append(step)
            step //= 2
        size *= 2
    return found


def _network(op: Any, elements: Sequence[Any]) -> list[Any]:
    """The elements sorted, and the places that they had.

    A loop of the host over the passes: its body is one kernel, and nothing is computed again in the next pass."""
    import numpy as np
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    values = [*elements, _places(elements[0], _dimension(op))]
    flips = np.array(partners(ir.RankedTensorType(values[0].type).shape[_dimension(op)]), np.int32)
    kind = ir.RankedTensorType.get([len(flips)], ir.IntegerType.get_signless(32))
    table = arith.constant(kind, ir.DenseElementsAttr.get(flips))
    bounds = [index(number) for number in (0, len(flips), 1)]
    kinds = [value.type for value in values]
    loop = ir.Operation.create("scf.for", results=kinds, operands=[*bounds, *values], regions=1)
    block = loop.regions[0].blocks.append(ir.IndexType.get(), *kinds)
    with ir.InsertionPoint(block):
        number, *carried = block.arguments
        ir.Operation.create("scf.yield", operands=_pass(op, carried, table, number))
    return list(loop.results)


def _generic(likes: Sequence[Any]) -> Any:
    """A `linalg.generic` over all elements of tensors of one shape; its body is empty yet."""
    from iree.compiler import ir
    from iree.compiler.dialects import tensor

    kinds = [ir.RankedTensorType(like.type) for like in likes]
    rank = kinds[0].rank
    sizes = [extent_of(likes[0], dim) if kinds[0].is_dynamic_dim(dim) else kinds[0].shape[dim] for dim in range(rank)]
    identity = ir.AffineMapAttr.get(ir.AffineMap.get_identity(rank))
    new = ir.Operation.create(
        "linalg.generic",
        results=kinds,
        operands=[tensor.empty(sizes, kind.element_type) for kind in kinds],
        attributes={
            "indexing_maps": ir.ArrayAttr.get([identity] * len(kinds)),
            "iterator_types": ir.ArrayAttr.get([ir.Attribute.parse("#linalg.iterator_type<parallel>")] * rank),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, len(kinds)]),
        },
        regions=1,
    )
    new.regions[0].blocks.append(*[kind.element_type for kind in kinds])
    return new


def _places(like: Any, dimension: int) -> Any:
    """The place of each element along a dimension, as i32."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    kind = ir.RankedTensorType(like.type)
    word = ir.IntegerType.get_signless(32)
    sizes = [extent_of(like, dim) if kind.is_dynamic_dim(dim) else kind.shape[dim] for dim in range(kind.rank)]
    new = _generic([tensor.empty(sizes, word)])
    with ir.InsertionPoint(new.regions[0].blocks[0]):
        place = arith.index_cast(word, loop_index(dimension))
        ir.Operation.create("linalg.yield", operands=[place])
    return new.results[0]


def _pass(op: Any, values: Sequence[Any], table: Any, number: Any) -> list[Any]:
    """Every element compared with the one whose place differs by a pass's flips; the smaller of the two goes first."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    dimension = _dimension(op)
    new = _generic(values)
    with ir.InsertionPoint(new.regions[0].blocks[0]):
        at = [loop_index(dim) for dim in range(ir.RankedTensorType(values[0].type).rank)]
        here = at[dimension]
        mask = arith.index_cast(ir.IndexType.get(), tensor.extract(table, [number]))
        partner = arith.xori(here, mask)
        exists = arith.cmpi(_ULT, partner, extent_of(values[0], dimension))
        other = arith.select(exists, partner, here)
        pairs = [
            (tensor.extract(value, at), tensor.extract(value, [*at[:dimension], other, *at[dimension + 1 :]]))
            for value in values
        ]
        # The comparator is asked of the two in their order in memory, so that both threads get the same answer.
        is_first = arith.cmpi(_ULT, here, other)
        ordered = [(arith.select(is_first, mine, its), arith.select(is_first, its, mine)) for mine, its in pairs]
        keep = arith.ori(_in_order(op, ordered), arith.cmpi(_EQ, here, other))
        ir.Operation.create("linalg.yield", operands=[arith.select(keep, mine, its) for mine, its in pairs])
    return list(new.results)


def _in_order(op: Any, pairs: Sequence[tuple[Any, Any]]) -> Any:
    """Whether the first of two elements stays first; their places, which are the last pair, decide between equals."""
    from iree.compiler.dialects import arith

    *elements, (first_place, second_place) = pairs
    asked = elements[: len(op.regions[0].blocks[0].arguments) // 2]
    forth = _compared(op, [value for pair in asked for value in pair])
    back = _compared(op, [value for first, second in asked for value in (second, first)])
    are_equal = arith.cmpi(_EQ, forth, back)
    return arith.select(are_equal, arith.cmpi(_SLT, first_place, second_place), forth)


def _compared(op: Any, arguments: Sequence[Any]) -> Any:
    """The comparator's verdict, its body copied here."""
    block = op.regions[0].blocks[0]
    values = dict(zip(block.arguments, arguments, strict=True))
    for inner in block.operations:
        operands = [values.get(operand, operand) for operand in inner.operation.operands]
        if inner.operation.name == "iree_linalg_ext.yield":
            return operands[0]
        copy = inner.operation.clone()
        for position, operand in enumerate(operands):
            copy.operands[position] = operand
        values.update(zip(inner.operation.results, copy.results, strict=True))
    raise AssertionError("a region without an end")
