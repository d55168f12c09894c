"""Operations of StableHLO whose sizes are operands, as JAX's exports with symbolic sizes have them.

Enters: an operation that the input conversion does not have, or not as it stands. Leaves, in its place,

- of a `dynamic_reshape` the operand collapsed to a vector and expanded again. A result with one open size needs no
  number of the shape operand: it is what the others leave of the element count, known without waiting for a device;
- of a `dynamic_broadcast_in_dim` the same, with the dimensions that grow said, for JAX's modules: a symbolic size there
  is never 1 where the result's is more;
- of a `dynamic_gather` of one window a slice.

Sources: https://openxla.org/stablehlo/spec#dynamic_reshape, #dynamic_broadcast_in_dim, #dynamic_gather;
https://docs.jax.dev/en/latest/export/shape_poly.html
"""

from __future__ import annotations

from math import prod
from typing import Any

from webree.compiler.stablehlo_build import numbers_in

__all__ = ["take_part", "tell_what_grows", "write_out_reshape"]


def write_out_reshape(op: Any) -> bool:
    """Replace the operation; False for scalars, which have no size to compute."""
    from iree.compiler import ir
    from iree.compiler.dialects import tensor

    operand, shape = op.operands
    source, result = ir.RankedTensorType(operand.type), ir.RankedTensorType(op.results[0].type)
    if not source.rank or not result.rank:
        return False
    open_size = ir.ShapedType.get_dynamic_size()
    vector = ir.RankedTensorType.get([open_size], source.element_type)
    value = operand
    if source.rank > 1:
        count = prod(source.shape) if source.has_static_shape else open_size
        flat = ir.RankedTensorType.get([count], source.element_type)
        value = tensor.collapse_shape(flat, value, [list(range(source.rank))])
    if value.type != vector:
        value = tensor.cast(vector, value)
    if result.rank > 1:
        sizes = _open_sizes(operand, result, shape)
        static = [open_size if result.is_dynamic_dim(dim) else extent for dim, extent in enumerate(result.shape)]
        value = tensor.expand_shape(result, value, [list(range(result.rank))], sizes, static)
    elif value.type != result:
        value = tensor.cast(result, value)
    op.results[0].replace_all_uses_with(value)
    op.erase()
    return True


def _open_sizes(operand: Any, result: Any, shape: Any) -> list[Any]:
    """The result's open sizes, as values of index type."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    index = ir.IndexType.get()
    dims = [dim for dim in range(result.rank) if result.is_dynamic_dim(dim)]
    if len(dims) > 1:
        numbers = [tensor.extract(shape, [arith.constant(index, dim)]) for dim in dims]
        return [number if number.type == index else arith.index_cast(index, number) for number in numbers]
    source = ir.RankedTensorType(operand.type)
    known = prod(extent for dim, extent in enumerate(source.shape) if not source.is_dynamic_dim(dim))
    total = arith.constant(index, known)
    for dim in range(source.rank):
        if source.is_dynamic_dim(dim):
            total = arith.muli(total, tensor.dim(operand, arith.constant(index, dim)))
    others = prod(extent for dim, extent in enumerate(result.shape) if not result.is_dynamic_dim(dim))
    return [arith.divui(total, arith.constant(index, max(1, others)))]


def tell_what_grows(op: Any) -> bool:
    """Write down which dimensions of the operand are repeated; False if that is not known."""
    from iree.compiler import ir

    if not _is_polymorphic(op):
        return False
    before = op.operands[0].owner
    while getattr(before, "name", "") == op.name:  # one of two, as the conversion would do, and forget what was said
        dims = list(op.attributes["broadcast_dimensions"])
        inner = [dims[dim] for dim in before.attributes["broadcast_dimensions"]]
        op.attributes["broadcast_dimensions"] = ir.DenseI64ArrayAttr.get(inner)
        op.operands[0] = before.operands[0]
        before = op.operands[0].owner
    names = ("known_expanding_dimensions", "known_nonexpanding_dimensions")
    kind = ir.RankedTensorType(op.operands[0].type)
    if kind.has_static_shape:
        return False
    grows = [not kind.is_dynamic_dim(dim) and extent == 1 for dim, extent in enumerate(kind.shape)]
    for name, wanted in zip(names, (True, False), strict=True):
        dims = [dim for dim, does in enumerate(grows) if does == wanted]
        op.attributes[name] = ir.DenseI64ArrayAttr.get(dims)
    return True


def _is_polymorphic(op: Any) -> bool:
    """Whether JAX says that its module has symbolic sizes."""
    while op is not None and op.name != "builtin.module":
        op = op.parent
    return op is not None and "jax.uses_shape_polymorphism" in op.attributes


def take_part(op: Any) -> bool:
    """Replace a gather of one window in all dimensions, its start moved so that it lies inside; False for others."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    operand, start, sizes = op.operands
    kind, result = ir.RankedTensorType(operand.type), ir.RankedTensorType(op.results[0].type)
    numbers = str(op.attributes["dimension_numbers"])
    moved = numbers_in(numbers, "start_index_map")
    if ir.RankedTensorType(start.type).rank != 1 or numbers_in(numbers, "offset_dims") != list(range(kind.rank)):
        return False
    index, open_size = ir.IndexType.get(), ir.ShapedType.get_dynamic_size()

    def number(vector: Any, place: int) -> Any:
        return arith.index_cast(index, tensor.extract(vector, [arith.constant(index, place)]))

    offsets, extents = [], []
    zero = arith.constant(index, 0)
    for dim in range(kind.rank):
        size = number(sizes, dim) if result.is_dynamic_dim(dim) else arith.constant(index, result.shape[dim])
        if result.is_dynamic_dim(dim):
            extents.append(size)
        if dim in moved:
            last = arith.subi(tensor.dim(operand, arith.constant(index, dim)), size)
            offsets.append(arith.maxsi(zero, arith.minsi(number(start, moved.index(dim)), last)))
        else:
            offsets.append(zero)
    rank = kind.rank
    part = tensor.extract_slice(
        result, operand, offsets, extents, [], [open_size] * rank, list(result.shape), [1] * rank
    )
    op.results[0].replace_all_uses_with(part)
    op.erase()
    return True
