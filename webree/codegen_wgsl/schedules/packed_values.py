"""Small values for products of bytes: constants of words, tensors to begin with, and what is known of a value.

Enters: values at phase `input`. Leaves: others, made at the insertion point, or facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from webree.codegen_wgsl.schedules.building import extent_of

__all__ = [
    "bitcast",
    "empty",
    "filled",
    "is_constant",
    "is_zero",
    "is_zero_fill",
    "numbers",
    "owner",
    "padded",
    "width",
]

_WORD = 32
_LANES = 4


def padded(value: Any, at: int) -> Any:
    """A tensor with zeros behind one dimension, up to whole words."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    kind = ir.RankedTensorType(value.type)
    missing = -kind.get_dim_size(at) % _LANES
    if not missing:
        return value
    shape = [size + missing * (dim == at) for dim, size in enumerate(kind.shape)]
    behind = [missing * (dim == at) for dim in range(kind.rank)]
    zero = arith.constant(kind.element_type, 0)
    op = ir.Operation.create(
        "tensor.pad",
        [ir.RankedTensorType.get(shape, kind.element_type)],
        [value],
        attributes={
            "static_low": ir.DenseI64ArrayAttr.get([0] * kind.rank),
            "static_high": ir.DenseI64ArrayAttr.get(behind),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, 0]),
        },
        regions=1,
    )
    block = op.regions[0].blocks.append(*[ir.IndexType.get()] * kind.rank)
    with ir.InsertionPoint(block):
        ir.Operation.create("tensor.yield", operands=[zero])
    return op.results[0]


def numbers(values: Sequence[int]) -> Any:
    """A constant tensor of words."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    word = ir.IntegerType.get_signless(_WORD)
    kind = ir.RankedTensorType.get([len(values)], word)
    return arith.constant(
        kind, ir.DenseIntElementsAttr.get([ir.IntegerAttr.get(word, item) for item in values], type=kind)
    )


def filled(empty: Any) -> Any:
    """Zeros."""
    from iree.compiler.dialects import arith, linalg

    return linalg.fill(arith.constant(empty.type.element_type, 0), outs=[empty])


def empty(like: Any, element: Any) -> Any:
    """A tensor of another's sizes, its contents not said."""
    from iree.compiler import ir
    from iree.compiler.dialects import tensor

    kind = ir.RankedTensorType(like.type)
    sizes = [extent_of(like, dim) if kind.is_dynamic_dim(dim) else kind.shape[dim] for dim in range(kind.rank)]
    return tensor.empty(sizes, element)


def bitcast(value: Any, kind: Any, extents: Sequence[Any]) -> Any:
    """The same bytes as a tensor of another type, whose open sizes, like the value's, are `extents`."""
    from iree.compiler import ir

    segments = ir.DenseI32ArrayAttr.get([1, len(extents), len(extents)])
    return ir.Operation.create(
        "iree_tensor_ext.bitcast",
        [kind],
        [value, *extents, *extents],
        attributes={"operandSegmentSizes": segments},
    ).results[0]


def width(value: Any) -> int:
    """Bits of a number, or of a tensor's element; 0 for an index."""
    from iree.compiler import ir

    element = value.type.element_type if isinstance(value.type, ir.ShapedType) else value.type
    return int(element.width) if isinstance(element, ir.IntegerType | ir.FloatType) else 0


def is_zero_fill(value: Any) -> bool:
    op = owner(value)
    return op is not None and op.name == "linalg.fill" and is_zero(op.operands[0])


def is_zero(value: Any) -> bool:
    """Whether a value is a constant of zeros."""
    from iree.compiler import ir

    op = owner(value)
    if op is None or op.name != "arith.constant":
        return False
    number = op.attributes["value"]
    if isinstance(number, ir.DenseElementsAttr):
        return bool(number.is_splat) and str(number).startswith(("dense<0>", "dense<0 "))
    return isinstance(number, ir.IntegerAttr) and number.value == 0


def is_constant(value: Any) -> bool:
    op = owner(value)
    return op is not None and (
        op.name == "arith.constant" or (op.name == "util.global.load" and "is_immutable" in op.attributes)
    )


def owner(value: Any) -> Any | None:
    """The operation that gives a value; None for an argument."""
    from iree.compiler import ir

    if isinstance(value.owner, ir.Block):
        return None
    return value.owner.operation if hasattr(value.owner, "operation") else value.owner
