"""Extents of inputs that must be equal, compared when a function is called.

Enters: the module after `input`. Leaves: the same module, in which a function that takes tensors of unknown size first
asserts that those extents are equal which an operation reads along one loop. The sum of two tensors runs over the
extent of the first, so that without this [1.0] + [1.0, 2.0] would be [2.0], and [1.0, 2.0] + [1.0] would read what lies
behind the second. Looked at are operations that every call reaches, and values that come from arguments by such
operations. What a front end asserts itself (ONNX's named dimensions) is not asserted again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["assert_equal", "compare_extents"]

_Extent = tuple[int, int]
"""Number of an argument, dimension."""
_ELEMENTWISE = ("arith.", "math.")


class _Classes:
    """Extents that are known to be equal: each points to one of its class, the first to itself."""

    def __init__(self) -> None:
        self._parents: dict[_Extent, _Extent] = {}

    def find(self, extent: _Extent) -> _Extent:
        while (parent := self._parents.get(extent, extent)) != extent:
            extent = parent
        return extent

    def join(self, one: _Extent, other: _Extent) -> bool:
        """Whether they were not known to be equal before."""
        first, last = sorted((self.find(one), self.find(other)))
        self._parents[last] = first
        return first != last


def compare_extents(module: Any) -> int:
    """Insert assertions in place; returns how many."""
    return sum(
        _compare(op.operation)
        for op in module.regions[0].blocks[0]
        if op.operation.name == "util.func" and len(op.operation.regions[0].blocks) > 0 and _is_public(op.operation)
    )


def _compare(function: Any) -> int:
    from iree.compiler import ir

    block = function.regions[0].blocks[0]
    tensors = [argument for argument in block.arguments if isinstance(argument.type, ir.RankedTensorType)]
    if sum(not argument.type.has_static_shape for argument in tensors) < 2:
        return 0
    reader = _Reader(block)
    classes = _Classes()
    for one, other in _asserted(block, reader):
        classes.join(one, other)
    pairs = [
        (one, other, op)
        for op in (item.operation for item in block.operations)
        if op.name.startswith(("linalg.", *_ELEMENTWISE))
        for one, other in reader.read_together(op)
        if classes.join(one, other)
    ]
    names = _names(function, len(block.arguments))
    with function.context, ir.InsertionPoint.at_block_begin(block):
        for one, other, op in pairs:
            with op.location:
                _assert_equal(block, sorted((one, other)), names)
    return len(pairs)


class _Reader:
    """Which extent of an argument an extent of a value is."""

    def __init__(self, block: Any) -> None:
        self._arguments = list(block.arguments)
        self._known: dict[tuple[Any, int], _Extent | None] = {}

    def extent(self, value: Any, dim: int) -> _Extent | None:
        key = (value, dim)
        if key not in self._known:
            self._known[key] = self._find(value, dim)
        return self._known[key]

    def _find(self, value: Any, dim: int) -> _Extent | None:
        from iree.compiler import ir

        if not value.type.is_dynamic_dim(dim):
            return None
        if isinstance(value.owner, ir.Block):
            return (self._arguments.index(value), dim) if value in self._arguments else None
        op = value.owner.operation
        if op.name == "tensor.empty":
            number = [at for at in range(value.type.rank) if value.type.is_dynamic_dim(at)].index(dim)
            return self.of_size(op.operands[number])
        if op.name == "tensor.cast":
            return self.extent(op.operands[0], dim)
        if op.name.startswith(_ELEMENTWISE):
            first = next(operand for operand in op.operands if operand.type == value.type)
            return self.extent(first, dim)
        if op.name.startswith("linalg."):
            results = list(op.results)
            return self.extent(op.operands[len(op.operands) - len(results) + results.index(value)], dim)
        return None

    def of_size(self, size: Any) -> _Extent | None:
        """The extent that a `tensor.dim` gives."""
        from iree.compiler import ir

        if isinstance(size.owner, ir.Block) or size.owner.operation.name != "tensor.dim":
            return None
        value, index = size.owner.operation.operands
        if isinstance(index.owner, ir.Block) or index.owner.operation.name != "arith.constant":
            return None
        return self.extent(value, int(ir.IntegerAttr(index.owner.operation.attributes["value"]).value))

    def read_together(self, op: Any) -> Iterator[tuple[_Extent, _Extent]]:
        """Pairs of extents that one loop of an operation runs over, alone."""
        first: dict[int, _Extent] = {}
        for operand, loops in _loops(op):
            for dim, loop in enumerate(loops):
                extent = self.extent(operand, dim) if loop is not None else None
                if loop is not None and extent is not None:
                    yield first.setdefault(loop, extent), extent


def _loops(op: Any) -> Iterator[tuple[Any, list[int | None]]]:
    """The tensors that an operation takes, and the loop that indexes each dimension, or None if it is not one alone."""
    from iree.compiler import ir
    from iree.compiler.dialects import linalg

    tensors = [operand for operand in op.operands if isinstance(operand.type, ir.RankedTensorType)]
    if op.name.startswith(_ELEMENTWISE):
        for operand in tensors:
            yield operand, list(range(operand.type.rank))
        return
    maps = [ir.AffineMapAttr(item).value for item in linalg.get_indexing_maps(op) or ()]
    for operand, map_ in zip(op.operands, maps, strict=False):  # some operations have none
        if operand in tensors:
            yield (
                operand,
                [index.position if isinstance(index, ir.AffineDimExpr) else None for index in map_.results],
            )


def _asserted(block: Any, reader: _Reader) -> Iterator[tuple[_Extent, _Extent]]:
    for item in block.operations:
        if item.operation.name != "cf.assert":
            continue
        condition = item.operation.operands[0].owner
        if getattr(condition, "name", "") == "arith.cmpi":
            one, other = (reader.of_size(operand) for operand in condition.operation.operands)
            if one is not None and other is not None:
                yield one, other


def _assert_equal(block: Any, pair: list[_Extent], names: list[str]) -> None:
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    sizes = []
    for argument, dim in pair:
        index = arith.constant(ir.IndexType.get(), dim)
        sizes.append(tensor.dim(block.arguments[argument], index))
    (one, dim), (other, other_dim) = pair
    words = f"dimension {other_dim} of {names[other]} and dimension {dim} of {names[one]} must be equal"
    assert_equal(sizes[0], sizes[1], words)


def assert_equal(one: Any, other: Any, message: str) -> None:
    """At the insertion point: a call with two values of index type that differ fails with the message."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    condition = arith.cmpi(arith.CmpIPredicate.eq, one, other)
    ir.Operation.create("cf.assert", operands=[condition], attributes={"msg": ir.StringAttr.get(message)})


def _names(function: Any, count: int) -> list[str]:
    """Of the arguments, as the front end has them."""
    from iree.compiler import ir

    attributes = list(ir.ArrayAttr(function.attributes["arg_attrs"])) if "arg_attrs" in function.attributes else []
    names = []
    for index in range(count):
        known = ir.DictAttr(attributes[index]) if index < len(attributes) else {}
        names.append(
            f"input '{ir.StringAttr(known['iree.abi.name']).value}'" if "iree.abi.name" in known else f"input {index}"
        )
    return names


def _is_public(op: Any) -> bool:
    return "sym_visibility" not in op.attributes or str(op.attributes["sym_visibility"]) == '"public"'
