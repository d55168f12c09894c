"""Bytes computed from sums, four to a word: a kernel that stores single bytes has to exchange them atomically.

Enters: the sum of a product (packed.py) at phase `input`. Leaves: the same program, in which the elementwise operations
that make bytes of it are a kernel of their own, which puts four of them together and stores words. So both kernels
have operands of 32 bits and vectorise; in one kernel, bytes would be computed one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from webree.codegen_wgsl.schedules.building import extent_of
from webree.codegen_wgsl.schedules.nest import indexing_maps
from webree.codegen_wgsl.schedules.packed_values import bitcast, numbers, owner, width
from webree.compiler.weights_codes import expanded, generic

__all__ = ["apart", "store_words"]

_WORD = 32
_BITS = 8
_LANES = 4


def store_words(total: Any) -> None:
    """Part a sum from the operations that make bytes of it, and let these store words where their shape allows it."""
    from iree.compiler import ir

    ends = [op for op in _ends(total) if width(op.results[0]) == _BITS]
    if not ends:
        return
    producer = owner(total)
    assert producer is not None
    users = [(use.owner, use.operand_number) for use in total.uses]
    with producer.context, producer.location, ir.InsertionPoint(_following(producer)):
        parted = apart(total)
    for user, number in users:
        user.operation.operands[number] = parted
    for op in ends:
        if _has_words(op):
            with op.context, op.location, ir.InsertionPoint(op):
                op.results[0].replace_all_uses_with(_in_words(op))
            op.erase()


def apart(value: Any) -> Any:
    """A tensor that the compiler computes in full, and does not fuse into what reads it."""
    from iree.compiler import ir

    if not isinstance(value.type, ir.RankedTensorType):
        return value
    return ir.Operation.create("iree_tensor_ext.compute_barrier.start", results=[value.type], operands=[value]).results[
        0
    ]


def _following(op: Any) -> Any:
    found = list(op.block.operations) if hasattr(op, "block") else []
    return next(found[at + 1] for at, item in enumerate(found) if item.operation == op)


def _ends(value: Any) -> Iterator[Any]:
    """The elementwise operations at the end of those that a value alone goes through."""
    for use in list(value.uses):
        op = use.owner.operation
        if not _is_elementwise(op):
            continue
        users = {inner.owner.operation for inner in op.results[0].uses}
        if width(op.results[0]) != _BITS and len(users) == 1 and _is_elementwise(next(iter(users))):
            yield from _ends(op.results[0])
        else:
            yield op


def _is_elementwise(op: Any) -> bool:
    from iree.compiler import ir

    if op.name != "linalg.generic" or len(op.results) != 1:
        return False
    output = indexing_maps(op)[-1]
    return bool(output.n_dims) and output == ir.AffineMap.get_identity(output.n_dims, op.context)


def _has_words(op: Any) -> bool:
    """Whether four neighbouring results can be computed from operands of 32 bits."""
    from iree.compiler import ir

    kind = ir.RankedTensorType(op.results[0].type)
    if kind.is_dynamic_dim(kind.rank - 1) or kind.shape[-1] % _LANES:
        return False
    body = [item.operation for item in op.regions[0].blocks[0].operations]
    if any(item.regions or item.name.split(".")[0] not in ("arith", "math", "linalg") for item in body):
        return False
    if any(item.name == "linalg.index" for item in body) or list(list(op.regions[0].blocks[0].arguments)[-1].uses):
        return False
    for operand, access in zip(list(op.operands)[:-1], indexing_maps(op), strict=False):
        plain = all(isinstance(item, ir.AffineDimExpr | ir.AffineConstantExpr) for item in access.results)
        if not plain or (access.results and width(operand) != _WORD):
            return False
    return True


def _in_words(op: Any) -> Any:
    """The result of an operation, computed as words."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, linalg, tensor

    kind = ir.RankedTensorType(op.results[0].type)
    rank, word = kind.rank, ir.IntegerType.get_signless(_WORD)
    size = kind.shape[-1] // _LANES
    operands, maps = [], []
    for operand, access in zip(list(op.operands)[:-1], indexing_maps(op), strict=False):
        index: list[Any] = []
        for dim, item in enumerate(access.results):
            index.append(item)
            if isinstance(item, ir.AffineDimExpr) and item.position == rank - 1:
                operand = expanded(operand, dim, (size, _LANES))
                index.append(ir.AffineExpr.get_dim(rank))
        operands.append(operand)
        maps.append(ir.AffineMap.get(rank + 1, 0, index))
    places = numbers([_BITS * lane for lane in range(_LANES)])
    sizes = [extent_of(op.results[0], dim) if kind.is_dynamic_dim(dim) else kind.shape[dim] for dim in range(rank - 1)]
    start = linalg.fill(arith.constant(word, 0), outs=[tensor.empty([*sizes, size], word)])
    maps += [
        ir.AffineMap.get(rank + 1, 0, [ir.AffineExpr.get_dim(rank)]),
        ir.AffineMap.get(rank + 1, 0, [ir.AffineExpr.get_dim(dim) for dim in range(rank)]),
    ]

    def body(arguments: Sequence[Any]) -> list[Any]:
        *inputs, place, total = arguments
        made = _copied(op, inputs)
        return [arith.ori(total, arith.shli(arith.extui(word, made), place))]

    words = generic([*operands, places, start], maps, ["parallel"] * rank + ["reduction"], body)
    extents = [item for item in sizes if not isinstance(item, int)]
    return bitcast(words, kind, extents)


def _copied(op: Any, inputs: Sequence[Any]) -> Any:
    """The body of an operation on other values; returns what it yields."""
    block = op.regions[0].blocks[0]
    values = dict(zip(list(block.arguments)[:-1], inputs, strict=True))
    for item in list(block.operations)[:-1]:
        copy = item.operation.clone()
        for number, operand in enumerate(item.operation.operands):
            copy.operands[number] = values.get(operand, operand)
        values.update(zip(item.operation.results, copy.results, strict=True))
    result = list(block.operations)[-1].operation.operands[0]
    return values.get(result, result)
