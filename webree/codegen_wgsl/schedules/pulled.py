"""Operations that only move elements, or transform small tiles, as loop nests of linalg.

Enters: the module at phase `input`. Leaves: the same module, without `iree_linalg_ext.gather` and `map_load`, without
`linalg.pack` and `linalg.unpack`, without the transforms of Winograd convolutions, and without slices of tensors of
unknown shape that have strides: each is a `linalg.generic` over its result, which computes where an element comes from.
Such nests are scheduled as all others are; the operations themselves have no schedule in the SPIR-V backend that is
right for all shapes (or none at all).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from webree.codegen_wgsl.schedules import fourier, winograd
from webree.codegen_wgsl.schedules.building import extent_of, generated, index
from webree.compiler.walking import replace

__all__ = ["pull"]


def pull(module: Any, wanted: Callable[[Any], bool] = lambda op: True) -> int:
    """Change the module (an `ir.Module` or its operation) in place, all operations or those that are `wanted`; returns
    the number of operations rewritten."""
    return replace(module.operation, _RULES, wanted)


def _integers(op: Any, name: str) -> list[int]:
    from iree.compiler import ir

    return list(ir.DenseI64ArrayAttr(op.attributes[name])) if name in op.attributes else []


def _segments(op: Any) -> list[list[Any]]:
    """The operands by kind."""
    from iree.compiler import ir

    operands = iter(op.operands)
    sizes = ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"])
    return [[next(operands) for _ in range(size)] for size in sizes]


def _guarded(source: Any, indices: Sequence[Any], bounds: Sequence[tuple[int, Any]], otherwise: Any) -> Any:
    """`source[indices]` if each index of `bounds` (dimension, limit) is below its limit, else another value."""
    from iree.compiler.dialects import arith, tensor

    if not bounds:
        return tensor.extract(source, list(indices))
    zero, inside, safe = index(0), None, list(indices)
    for dim, limit in bounds:
        below = arith.cmpi(6, indices[dim], limit)  # unsigned: an index below zero is not inside either
        inside = below if inside is None else arith.andi(inside, below)
    for dim, _ in bounds:
        safe[dim] = arith.select(inside, indices[dim], zero)
    return arith.select(inside, tensor.extract(source, safe), otherwise)


def _gather(op: Any) -> Any | None:
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    source, indices, *mask, output = op.operands
    dimensions = _integers(op, "dimension_map")
    source_rank = ir.RankedTensorType(source.type).rank
    batch = ir.RankedTensorType(output.type).rank - source_rank + len(dimensions)
    has_depth = ir.RankedTensorType(indices.type).rank == batch + 1
    rest = [dim for dim in range(source_rank) if dim not in dimensions]

    def body(place: list[Any]) -> Any:
        found: dict[int, Any] = dict(zip(rest, place[batch:], strict=True))
        for position, dim in enumerate(dimensions):
            at = [*place[:batch], index(position)] if has_depth else place[:batch]
            found[dim] = arith.index_cast(ir.IndexType.get(), tensor.extract(indices, at))
        value = tensor.extract(source, [found[dim] for dim in range(source_rank)])
        if mask:  # where it is false, the output stays as it was
            value = arith.select(tensor.extract(mask[0], place[:batch]), value, tensor.extract(output, place))
        return value

    return generated(output, body)


def _map_load(op: Any) -> Any | None:
    from iree.compiler import ir

    source, output = op.operands
    old = op.regions[0].blocks[0]

    def body(place: list[Any]) -> Any:
        values = dict(zip(old.arguments, place, strict=True))
        for inner in old.operations:
            operands = [values.get(operand, operand) for operand in inner.operation.operands]
            if inner.operation.name == "iree_linalg_ext.yield":
                *indices, padding = operands
                bounds = [(dim, extent_of(source, dim)) for dim in range(len(indices))]
                return _guarded(source, indices, bounds, padding)
            copy = inner.operation.clone()
            for position, operand in enumerate(operands):
                copy.operands[position] = operand
            values.update(zip(inner.operation.results, copy.results, strict=True))
        raise AssertionError("a region without an end")

    if any(inner.operation.regions for inner in old.operations):
        return None
    assert isinstance(output.type, ir.RankedTensorType)
    return generated(output, body)


def _tiles(op: Any, sizes: Sequence[Any]) -> dict[int, Any]:
    """By dimension that `linalg.pack` splits: the size of its tiles."""
    from iree.compiler import ir

    dynamic = iter(sizes)
    marker = ir.ShapedType.get_dynamic_size()
    static = _integers(op, "static_inner_tiles")
    values = [next(dynamic) if size == marker else index(size) for size in static]
    return dict(zip(_integers(op, "inner_dims_pos"), values, strict=True))


def _outer(op: Any, rank: int) -> list[int]:
    """By dimension of the unpacked tensor: which outer dimension of the packed one it is."""
    order = _integers(op, "outer_dims_perm") or list(range(rank))
    return [order.index(dim) for dim in range(rank)]


def _pack(op: Any) -> Any | None:
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    (source,), (output,), padding, sizes = _segments(op)
    rank = ir.RankedTensorType(source.type).rank
    tiles, outer = _tiles(op, sizes), _outer(op, rank)

    def body(place: list[Any]) -> Any:
        found = [place[outer[dim]] for dim in range(rank)]
        for position, (dim, size) in enumerate(tiles.items()):
            found[dim] = arith.addi(arith.muli(found[dim], size), place[rank + position])
        bounds = [(dim, extent_of(source, dim)) for dim in tiles] if padding else []
        return _guarded(source, found, bounds, padding[0] if padding else None)

    return generated(output, body)


def _unpack(op: Any) -> Any | None:
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    source, output, *sizes = op.operands
    rank = ir.RankedTensorType(output.type).rank
    tiles, outer = _tiles(op, sizes), _outer(op, rank)

    def body(place: list[Any]) -> Any:
        found: list[Any] = [None] * rank
        for dim in range(rank):
            found[outer[dim]] = arith.divui(place[dim], tiles[dim]) if dim in tiles else place[dim]
        inner = [arith.remui(place[dim], size) for dim, size in tiles.items()]
        return tensor.extract(source, [*found, *inner])

    return generated(output, body)


def _slice(op: Any) -> Any | None:
    """Every n-th element of a tensor of unknown shape: the lowering of a load with strides takes neighbours instead."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    (source,), offsets, dynamic_sizes, strides = _segments(op)
    if set(_integers(op, "static_strides")) == {1} or ir.RankedTensorType(source.type).has_static_shape:
        return None
    result = ir.RankedTensorType(op.results[0].type)
    rank = ir.RankedTensorType(source.type).rank
    kept = _kept(_integers(op, "static_sizes"), list(result.shape))
    starts, steps = _mixed(op, "static_offsets", offsets), _mixed(op, "static_strides", strides)
    if len(kept) != result.rank:
        return None

    def body(place: list[Any]) -> Any:
        found = list(starts)
        for position, dim in enumerate(kept):
            found[dim] = arith.addi(starts[dim], arith.muli(place[position], steps[dim]))
        return tensor.extract(source, found[:rank])

    sizes = _mixed(op, "static_sizes", dynamic_sizes)
    extents = [sizes[dim] if result.is_dynamic_dim(at) else result.shape[at] for at, dim in enumerate(kept)]
    return generated(op.results[0], body, tensor.empty(extents, result.element_type))


def _mixed(op: Any, name: str, dynamic: Sequence[Any]) -> list[Any]:
    """Numbers and values of an attribute and its operands, as values."""
    from iree.compiler import ir

    values = iter(dynamic)
    marker = ir.ShapedType.get_dynamic_size()
    return [next(values) if number == marker else index(number) for number in _integers(op, name)]


def _kept(sizes: Sequence[int], shape: Sequence[int]) -> list[int]:
    """Which dimensions of a slice its result still has: some of extent 1 may be dropped."""
    kept: list[int] = []
    dropped = len(sizes) - len(shape)
    for dim, size in enumerate(sizes):
        matches = len(kept) < len(shape) and size == shape[len(kept)]
        if size == 1 and dropped > 0 and not (matches and sizes[dim + 1 :].count(1) >= dropped):
            dropped -= 1
        elif matches:
            kept.append(dim)
    return kept


_RULES: dict[str, Callable[[Any], Any | None]] = {
    "iree_linalg_ext.gather": _gather,
    "iree_linalg_ext.map_load": _map_load,
    "linalg.pack": _pack,
    "linalg.unpack": _unpack,
    "tensor.extract_slice": _slice,
    **winograd.RULES,
    **fourier.RULES,
}
