"""Loop nests made of nothing but indices.

Enters: a value whose type is wanted, a function from indices to an element. Leaves: a `linalg.generic` at the current
insertion point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["empty", "extent_of", "generated", "index", "loop_index"]


def generated(like: Any, body: Callable[[list[Any]], Any], into: Any = None) -> Any:
    """A tensor of the type of `like`, whose elements `body` computes from their indices; `into` is what it fills."""
    from iree.compiler import ir

    kind = ir.RankedTensorType(like.type)
    identity = ir.AffineMapAttr.get(ir.AffineMap.get_identity(kind.rank))
    parallel = ir.Attribute.parse("#linalg.iterator_type<parallel>")
    new = ir.Operation.create(
        "linalg.generic",
        results=[kind],
        operands=[empty(like) if into is None else into],
        attributes={
            "indexing_maps": ir.ArrayAttr.get([identity]),
            "iterator_types": ir.ArrayAttr.get([parallel] * kind.rank),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, 1]),
        },
        regions=1,
    )
    block = new.regions[0].blocks.append(kind.element_type)
    with ir.InsertionPoint(block):
        indices = [loop_index(dim) for dim in range(kind.rank)]
        ir.Operation.create("linalg.yield", operands=[body(indices)])
    return new.results[0]


def empty(like: Any) -> Any:
    from iree.compiler import ir
    from iree.compiler.dialects import tensor

    kind = ir.RankedTensorType(like.type)
    sizes = [extent_of(like, dim) if kind.is_dynamic_dim(dim) else kind.shape[dim] for dim in range(kind.rank)]
    return tensor.empty(sizes, kind.element_type)


def extent_of(value: Any, dim: int) -> Any:
    """An extent of a tensor, as an index."""
    from iree.compiler import ir
    from iree.compiler.dialects import tensor

    kind = ir.RankedTensorType(value.type)
    return tensor.dim(value, index(dim)) if kind.is_dynamic_dim(dim) else index(kind.shape[dim])


def index(number: int) -> Any:
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    return arith.constant(ir.IndexType.get(), number)


def loop_index(loop: int) -> Any:
    from iree.compiler import ir

    number = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), loop)
    return ir.Operation.create("linalg.index", results=[ir.IndexType.get()], attributes={"dim": number}).results[0]
