"""Products of 8-bit integers in a module, and what their operands are made of.

Enters: operations at phase `input`. Leaves: a `Product`, if an operation adds up products of 8-bit integers, less their
zero points. Front ends write them as named operations on bytes, as quantised ones with zero points, or on wider
integers made of bytes by operations of their own; these are looked through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from webree.codegen_wgsl.schedules.nest import indexing_maps, linear

__all__ = ["Operand", "Product", "Zero", "find_product"]

_BYTE = 8
_WIDE = (32, 64)


@dataclass(frozen=True, slots=True)
class Zero:
    """What is subtracted from each element.

    Attributes:
        value: a number or a tensor of integers.
        access: the index of each of its dimensions, in the product's loops.
        is_signed: how it is widened, if it is narrow.
    """

    value: Any
    access: tuple[Any, ...]
    is_signed: bool


@dataclass(frozen=True, slots=True)
class Operand:
    """Bytes, and how they become numbers.

    Attributes:
        value: the tensor of bytes.
        access: the index of each of its dimensions, in the product's loops.
        is_signed: whether bytes count from -128; None while no conversion has been met.
        zeros: what is subtracted from them.
    """

    value: Any
    access: tuple[Any, ...]
    is_signed: bool | None = None
    zeros: tuple[Zero, ...] = ()

    @property
    def loops(self) -> tuple[int | None, ...]:
        """The loop of each dimension; None where the index is not one loop."""
        return tuple(_single(expression) for expression in self.access)


@dataclass(frozen=True, slots=True)
class Product:
    """An operation that adds up products.

    Attributes:
        op: the operation.
        left: its first factor.
        right: its second.
        output: the loop of each dimension of the result.
        loops: how many there are.
    """

    op: Any
    left: Operand
    right: Operand
    output: tuple[int, ...]
    loops: int


def find_product(op: Any) -> Product | None:
    """What an operation multiplies and adds up, if it is bytes."""
    from iree.compiler import ir

    if not op.name.startswith("linalg.") or len(op.results) != 1 or len(op.operands) not in (3, 5):
        return None
    if not isinstance(op.results[0].type, ir.RankedTensorType) or _width(op.results[0]) not in _WIDE:
        return None
    total, factors = _factors(op)
    if factors is None or total != op.regions[0].blocks[0].arguments[-1]:
        return None
    maps = indexing_maps(op)
    output = tuple(_single(expression) for expression in maps[-1].results)
    found = [_operand(op, factor, maps) for factor in factors]
    if not output or None in output or None in found:
        return None
    left, right = found
    assert left is not None
    assert right is not None
    if left.is_signed is None or right.is_signed is None:
        return None
    return Product(op, left, right, tuple(loop for loop in output if loop is not None), maps[-1].n_dims)


def _factors(op: Any) -> tuple[Any, tuple[Any, Any] | None]:
    """The running sum and the two factors of a body that multiplies and adds."""
    from iree.compiler import ir

    body = [inner.operation for inner in op.regions[0].blocks[0].operations]
    if len(body) < 3 or [item.name for item in body[-3:]] != ["arith.muli", "arith.addi", "linalg.yield"]:
        return None, None
    product, addition, done = body[-3:]
    others = [value for value in addition.operands if value != product.results[0]]
    if done.operands[0] != addition.results[0] or len(others) != 1 or not isinstance(others[0].owner, ir.Block):
        return None, None
    return others[0], (product.operands[0], product.operands[1])


def _operand(op: Any, number: Any, maps: Sequence[Any]) -> Operand | None:
    """A number in a body, as the bytes that it is made of."""
    from iree.compiler import ir

    if isinstance(number.owner, ir.Block):
        at = list(number.owner.arguments).index(number)
        if at >= len(op.operands) - 1 or not isinstance(op.operands[at].type, ir.RankedTensorType):
            return None
        return _through(Operand(op.operands[at], tuple(maps[at].results)))
    inner = number.owner.operation if hasattr(number.owner, "operation") else number.owner
    if inner.name in ("arith.extsi", "arith.extui"):
        is_signed = inner.name == "arith.extsi"
        found = _operand(op, inner.operands[0], maps)
        if found is None:
            return None
        # Bytes that have become numbers already are only made wider, and keep their signs.
        if found.is_signed is None:
            return replace(found, is_signed=is_signed)
        return found if is_signed else None
    if inner.name == "arith.subi":
        found, zero = _operand(op, inner.operands[0], maps), _zero(op, inner.operands[1], maps)
        if found is None or zero is None or found.is_signed is None:
            return None
        return replace(found, zeros=(*found.zeros, zero))
    return None


def _zero(op: Any, number: Any, maps: Sequence[Any]) -> Zero | None:
    """A number that is subtracted in a body."""
    from iree.compiler import ir

    is_signed = True
    if not isinstance(number.owner, ir.Block):
        inner = number.owner.operation if hasattr(number.owner, "operation") else number.owner
        if inner.name in ("arith.extsi", "arith.extui"):
            is_signed, number = inner.name == "arith.extsi", inner.operands[0]
    if isinstance(number.owner, ir.Block):
        if number.owner != op.regions[0].blocks[0]:
            return Zero(number, (), is_signed)
        at = list(number.owner.arguments).index(number)
        return Zero(op.operands[at], tuple(maps[at].results), is_signed) if at < len(op.operands) - 1 else None
    return Zero(number, (), is_signed) if _is_outside(number, op) else None


def _is_outside(value: Any, op: Any) -> bool:
    return bool(value.owner.operation.block == op.block)


def _through(operand: Operand) -> Operand | None:
    """An operand followed to its bytes."""
    from iree.compiler import ir

    if not isinstance(operand.value.type, ir.RankedTensorType) or not _is_integer(operand.value):
        return None
    owner = operand.value.owner
    op = None if isinstance(owner, ir.Block) else owner.operation if hasattr(owner, "operation") else owner
    if op is not None and op.name == "linalg.transpose":
        order = list(ir.DenseI64ArrayAttr(op.attributes["permutation"]))
        access = tuple(operand.access[order.index(dim)] for dim in range(len(order)))
        return _through(replace(operand, value=op.operands[0], access=access))
    if _width(operand.value) == _BYTE:
        return operand
    if op is None or op.name != "linalg.generic" or len(op.results) != 1:
        return None
    maps = indexing_maps(op)
    if maps[-1] != ir.AffineMap.get_identity(maps[-1].n_dims, maps[-1].context):
        return None
    if any("parallel" not in str(kind) for kind in ir.ArrayAttr(op.attributes["iterator_types"])):
        return None
    result = list(op.regions[0].blocks[0].operations)[-1].operation.operands[0]
    if not all(_is_plain(item) for item in maps):
        return None
    moved = [_composed(item, operand.access) for item in maps]
    return _operand(op, result, moved)


@dataclass(frozen=True, slots=True)
class _Moved:
    """An indexing map, in the loops of another operation."""

    results: tuple[Any, ...]


def _is_plain(access: Any) -> bool:
    from iree.compiler import ir

    return all(isinstance(item, ir.AffineDimExpr | ir.AffineConstantExpr) for item in access.results)


def _composed(access: Any, outer: Sequence[Any]) -> _Moved:
    from iree.compiler import ir

    return _Moved(
        tuple(outer[item.position] if isinstance(item, ir.AffineDimExpr) else item for item in access.results)
    )


def _single(expression: Any) -> int | None:
    index = linear(expression)
    return index[0][0] if index is not None and len(index) == 1 and index[0][1] == 1 else None


def _is_integer(value: Any) -> bool:
    from iree.compiler import ir

    return isinstance(_element(value), ir.IntegerType)


def _width(value: Any) -> int:
    from iree.compiler import ir

    element = _element(value)
    return int(element.width) if isinstance(element, ir.IntegerType) else 0


def _element(value: Any) -> Any:
    from iree.compiler import ir

    return value.type.element_type if isinstance(value.type, ir.ShapedType) else value.type
