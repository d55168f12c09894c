"""Products of bytes, four at a time: operands read as words along the dimension that is summed up.

Enters: the module at phase `input`, with images channels-last. Leaves: the same module, in which matrix products and
convolutions of 8-bit integers are one `linalg.generic` over 32-bit words whose body multiplies one byte of each, with a
loop of four over the bytes. Every operand is 32 bits wide, so the kernel vectorises as those of floats do, and
`codegen_wgsl/dots.py` makes packed dot products of it; without that it is right as it stands.

An operand whose last dimension is the summed one is taken as words as it lies. Any other is packed first: constants at
compile time, with neighbouring columns as neighbours in memory. Lengths that are no multiple of 4 are filled up with 0.
Operands of different signs are made the same by flipping the highest bits of one, which moves its numbers by 128; that
and zero points are made good afterwards: sum((a - x) * (b - y)) = sum(a * b) - y * sum(a) - x * sum(b) + x * y * count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from webree.codegen_wgsl.schedules.building import extent_of
from webree.codegen_wgsl.schedules.packed_operands import Operand, Product, Zero, find_product
from webree.codegen_wgsl.schedules.packed_results import apart, store_words
from webree.codegen_wgsl.schedules.packed_values import (
    bitcast,
    empty,
    filled,
    is_constant,
    is_zero,
    is_zero_fill,
    numbers,
    padded,
    width,
)
from webree.compiler.walking import walk
from webree.compiler.weights_codes import expanded, extended, generic

__all__ = ["pack_products"]

_WORD = 32
_BITS = 8
_LANES = 4
_SHORTEST = 3
_LARGEST_PRODUCT = 255 * 255
# A byte with its highest bit flipped is a number of the other sign, smaller or larger by 128.
_FLIP, _HALF = -0x7F7F7F80, 128


def pack_products(module: Any) -> int:
    """Rewrite the products of a module (an `ir.Module` or its operation) in place; returns how many there were."""
    count = 0
    for op in [op for op in walk(module.operation) if op.name.startswith("linalg.") and op.regions]:
        product = find_product(op)
        plan = None if product is None else _plan(product)
        if plan is not None:
            _rewrite(plan)
            count += 1
    return count


@dataclass(frozen=True, slots=True)
class _Side:
    """An operand of a product.

    Attributes:
        operand: its bytes.
        zeros: what is subtracted from them, without what is known to be 0.
        flipped: whether their highest bits are flipped.
    """

    operand: Operand
    zeros: tuple[Zero, ...]
    flipped: bool

    @property
    def moved_by(self) -> int:
        """What flipping added to each number."""
        return (-_HALF if self.operand.is_signed is False else _HALF) if self.flipped else 0

    @property
    def is_moved(self) -> bool:
        return self.flipped or bool(self.zeros)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a product is packed.

    Attributes:
        product: the product.
        summed: the loop that words are packed along.
        sides: its operands.
        is_signed: whether bytes are multiplied as signed ones.
        count: how many products make one result; 0 where nobody needs to know.
    """

    product: Product
    summed: int
    sides: tuple[_Side, _Side]
    is_signed: bool
    count: int


def _plan(product: Product) -> _Plan | None:
    summed = _summed_loop(product)
    if summed is None:
        return None
    operands = (product.left, product.right)
    zeros = [tuple(zero for zero in operand.zeros if not is_zero(zero.value)) for operand in operands]
    flipped = [False, False]
    if product.left.is_signed != product.right.is_signed:
        # The sum over the other side is needed, best one that is known now.
        flipped[0 if _can_be_summed(product, product.right) and not is_constant(product.left.value) else 1] = True
    sides = [_Side(*items) for items in zip(operands, zeros, flipped, strict=True)]
    counts = [_range(operands, loop) for loop in range(product.loops) if loop not in product.output]
    known = [number for number in counts if number is not None]
    count = prod(known) if len(known) == len(counts) else 0
    for side, other in (sides, sides[::-1]):
        if side.is_moved and not (_can_be_summed(product, other.operand) and count):
            return None
        if any(_loop(index) not in (*product.output, None) for zero in side.zeros for index in zero.access):
            return None
    if width(product.op.results[0]) > _WORD and not (_fits(product, count) and is_zero_fill(product.op.operands[-1])):
        return None
    is_signed = bool(product.left.is_signed) != flipped[0]
    return _Plan(product, summed, (sides[0], sides[1]), is_signed, count)


def _rewrite(plan: _Plan) -> None:
    from iree.compiler import ir

    op = plan.product.op
    with op.context, op.location, ir.InsertionPoint(op):
        total = _Builder(plan).build()
        op.results[0].replace_all_uses_with(total)
    op.erase()
    store_words(total)


def _summed_loop(product: Product) -> int | None:
    """The loop that words are packed along: one that is a dimension of both; best one that lies so in memory."""
    sides = (product.left, product.right)
    found = []
    for loop in range(product.loops):
        size = _range(sides, loop)
        if loop in product.output or size is None or size < _SHORTEST:
            continue
        if any(side.loops.count(loop) != 1 or _mentions(side, loop) != 1 for side in sides):
            continue
        last = sum(side.loops[-1] == loop for side in sides if not is_constant(side.value))
        found.append((last, size, loop))
    return max(found)[2] if found else None


def _mentions(side: Operand, loop: int) -> int:
    """In how many dimensions of an operand a loop is part of the index."""
    return sum(f"d{loop}" in _names(index) for index in side.access)


def _range(sides: Sequence[Operand], loop: int) -> int | None:
    """The known length of a loop."""
    from iree.compiler import ir

    for side in sides:
        kind = ir.RankedTensorType(side.value.type)
        dims = [dim for dim, here in enumerate(side.loops) if here == loop and not kind.is_dynamic_dim(dim)]
        if dims:
            return int(kind.get_dim_size(dims[0]))
    return None


def _can_be_summed(product: Product, side: Operand) -> bool:
    """Whether an operand alone has all loops that are summed up, each as a dimension."""
    reductions = {loop for loop in range(product.loops) if loop not in product.output}
    return None not in side.loops and len(set(side.loops)) == len(side.loops) and reductions <= set(side.loops)


def _loop(index: Any) -> int | None:
    from iree.compiler import ir

    return index.position if isinstance(index, ir.AffineDimExpr) else None


def _fits(product: Product, count: int) -> bool:
    """Whether sums in 64 bits may be made in 32: none can be larger, or nobody reads the upper half."""
    if 0 < count * _LARGEST_PRODUCT < 1 << (_WORD - 1):
        return True
    users = [use.owner for use in product.op.results[0].uses]
    return bool(users) and all(_narrows(user) for user in users)


def _narrows(op: Any) -> bool:
    """An operation on elements that only takes the lower 32 bits of its input."""
    if op.name != "linalg.generic" or len(op.operands) != 2:
        return False
    body = [inner.operation for inner in op.regions[0].blocks[0].operations]
    return [item.name for item in body] == ["arith.trunci", "linalg.yield"] and width(op.results[0]) == _WORD


class _Builder:
    """Makes the packed form of one product at the current insertion point."""

    def __init__(self, plan: _Plan) -> None:
        from iree.compiler import ir

        self._plan, self._product = plan, plan.product
        self._word = ir.IntegerType.get_signless(_WORD)
        self._lane = self._product.loops
        bits = [_WORD - _BITS * (lane + 1) for lane in range(_LANES)]
        self._shifts = numbers(bits)

    def build(self) -> Any:
        """The product's result."""
        from iree.compiler import ir
        from iree.compiler.dialects import arith

        plan, product = self._plan, self._product
        packed = [self._words(side.operand) for side in plan.sides]
        start = product.op.operands[-1]
        is_long = width(start) > _WORD
        if is_long:
            start = filled(empty(start, self._word))
        operands, accesses = [words for words, _ in packed], [access for _, access in packed]
        if self._has_tiles(accesses):
            total = self._generic(
                [*operands, self._shifts, start], [*accesses, [self._dim(self._lane)], self._output()], self._multiplied
            )
        else:
            total = self._generic([*operands, start], [*accesses, self._output()], self._all_multiplied)
        if any(side.is_moved for side in plan.sides):
            total = self._corrected(total, packed)
        if not is_long:
            return total
        wide = empty(total, ir.IntegerType.get_signless(width(product.op.results[0])))
        identity = [ir.AffineMap.get_identity(len(product.output))] * 2
        kinds = ["parallel"] * len(product.output)
        return generic([total, wide], identity, kinds, lambda items: [arith.extsi(items[1].type, items[0])])

    def _has_tiles(self, accesses: Sequence[Sequence[Any]]) -> bool:
        """Whether a thread can compute several results side by side; a row times a vector is one sum."""
        sides = [side.operand for side in self._plan.sides]
        long = [loop for loop in self._product.output if _range(sides, loop) != 1]
        return len(long) > 1 or any(_loop(access[-1]) in long for access in accesses)

    def _dim(self, loop: int) -> Any:
        from iree.compiler import ir

        return ir.AffineExpr.get_dim(loop)

    def _output(self) -> list[Any]:
        return [self._dim(loop) for loop in self._product.output]

    def _generic(self, operands: Sequence[Any], accesses: Sequence[Sequence[Any]], body: Any) -> Any:
        """Over the loops that the accesses use, in their order; those of the last access are parallel."""
        from iree.compiler import ir

        count = self._lane + 1
        used = [
            loop for loop in range(count) if any(f"d{loop}" in _names(item) for access in accesses for item in access)
        ]
        dims = [self._dim(used.index(loop)) if loop in used else ir.AffineExpr.get_constant(0) for loop in range(count)]
        renaming = ir.AffineMap.get(len(used), 0, dims)
        maps = [ir.AffineMap.get(len(used), 0, [item.compose(renaming) for item in access]) for access in accesses]
        parallel = {_loop(item) for item in accesses[-1]}
        kinds = ["parallel" if loop in parallel else "reduction" for loop in used]
        return generic(list(operands), maps, kinds, body)

    def _byte(self, word: Any, shift: Any, *, is_signed: bool, flipped: bool = False) -> Any:
        """One byte of a word as a number."""
        from iree.compiler.dialects import arith

        if flipped:
            word = arith.xori(word, arith.constant(self._word, _FLIP))
        moved = arith.shli(word, shift)
        return (arith.shrsi if is_signed else arith.shrui)(moved, arith.constant(self._word, _WORD - _BITS))

    def _multiplied(self, arguments: Sequence[Any]) -> list[Any]:
        from iree.compiler.dialects import arith

        *words, shift, total = arguments
        plan = self._plan
        left, right = (
            self._byte(word, shift, is_signed=plan.is_signed, flipped=side.flipped)
            for word, side in zip(words, plan.sides, strict=True)
        )
        return [arith.addi(total, arith.muli(left, right))]

    def _all_multiplied(self, arguments: Sequence[Any]) -> list[Any]:
        """All four bytes at once, so that there is no loop over them."""

        left, right, total = arguments
        for lane in range(_LANES):
            shift = self._constant(_WORD - _BITS * (lane + 1))
            total = self._multiplied([left, right, shift, total])[0]
        return [total]

    # -- words ----------------------------------------------------------------------------------------------------

    def _words(self, operand: Operand) -> tuple[Any, list[Any]]:
        """An operand's bytes as words along the summed loop, and the index of each of their dimensions."""
        from iree.compiler import ir

        at = operand.loops.index(self._plan.summed)
        value = padded(operand.value, at)
        kind = ir.RankedTensorType(value.type)
        size = kind.get_dim_size(at) // _LANES
        if at == kind.rank - 1 and not is_constant(operand.value):
            shape = [*kind.shape[:-1], size]
            extents = [extent_of(value, dim) for dim in range(kind.rank) if kind.is_dynamic_dim(dim)]
            return bitcast(value, ir.RankedTensorType.get(shape, self._word), extents), list(operand.access)
        return self._packed(expanded(value, at, (size, _LANES)), operand, at)

    def _packed(self, parts: Any, operand: Operand, at: int) -> tuple[Any, list[Any]]:
        """Words made of bytes whose four are a dimension behind `at`: the last columns of the result innermost."""
        from iree.compiler import ir
        from iree.compiler.dialects import arith, tensor

        column = self._product.output[-1]
        rank = len(operand.access)
        order = [dim for dim in range(rank) if dim != at and operand.loops[dim] != column]
        order += [at, *(dim for dim in range(rank) if dim != at and operand.loops[dim] == column)]
        place = [index + (index > at) for index in range(rank)]  # of each dimension among the parts
        kind = ir.RankedTensorType(parts.type)
        sizes = [
            extent_of(parts, place[dim]) if kind.is_dynamic_dim(place[dim]) else kind.shape[place[dim]] for dim in order
        ]
        source: list[Any] = [None] * (rank + 1)
        for loop, dim in enumerate(order):
            source[place[dim]] = self._dim(loop)
        source[at + 1] = self._dim(rank)
        maps = [
            ir.AffineMap.get(rank + 1, 0, source),
            ir.AffineMap.get(rank + 1, 0, [self._dim(rank)]),
            ir.AffineMap.get(rank + 1, 0, [self._dim(loop) for loop in range(rank)]),
        ]

        def body(arguments: Sequence[Any]) -> list[Any]:
            byte, shift, word = arguments
            return [arith.ori(word, arith.shli(arith.extui(self._word, byte), shift))]

        places = numbers([_BITS * lane for lane in range(_LANES)])
        kinds = ["parallel"] * rank + ["reduction"]
        words = generic([parts, places, filled(tensor.empty(sizes, self._word))], maps, kinds, body)
        return words, [operand.access[dim] for dim in order]

    # -- zero points ----------------------------------------------------------------------------------------------

    def _corrected(self, total: Any, packed: Sequence[tuple[Any, list[Any]]]) -> Any:
        """Less what zero points and flipped bits have added."""
        from iree.compiler.dialects import arith

        plan = self._plan
        operands, accesses = [total], [self._output()]
        for side, other, words in zip(plan.sides, plan.sides[::-1], packed[::-1], strict=True):
            if side.is_moved:
                value, access = self._summed(other, *words)
                operands.append(value)
                accesses.append(access)
            operands += [_in_word(zero) for zero in side.zeros]
            accesses += [list(zero.access) for zero in side.zeros]
        operands.append(empty(total, self._word))
        accesses.append(self._output())

        def body(arguments: Sequence[Any]) -> list[Any]:
            result, *rest = list(arguments)[:-1]
            zeros = []
            for side, other in zip(plan.sides, plan.sides[::-1], strict=True):
                if not side.is_moved:
                    continue
                number = rest.pop(0)
                zero = self._constant(side.moved_by)
                for _ in side.zeros:
                    zero = arith.addi(zero, rest.pop(0))
                result = arith.subi(result, arith.muli(zero, number))
                if other.moved_by:
                    moved = self._constant(other.moved_by * plan.count)
                    result = arith.subi(result, arith.muli(zero, moved))
                zeros.append(zero)
            if len(zeros) == len(plan.sides):
                both = arith.muli(arith.muli(zeros[0], zeros[1]), self._constant(plan.count))
                result = arith.addi(result, both)
            return [result]

        return self._generic(operands, accesses, body)

    def _summed(self, side: _Side, words: Any, access: list[Any]) -> tuple[Any, list[Any]]:
        """The sums of an operand's bytes, as they are in memory, over what is summed up."""
        from iree.compiler.dialects import arith, tensor

        loops = [loop for loop in self._product.output if loop in side.operand.loops]
        dims = [[_loop(item) for item in access].index(loop) for loop in loops]
        sizes = [words.type.shape[dim] if not words.type.is_dynamic_dim(dim) else extent_of(words, dim) for dim in dims]
        signed = bool(side.operand.is_signed)

        def body(arguments: Sequence[Any]) -> list[Any]:
            word, shift, total = arguments
            return [arith.addi(total, self._byte(word, shift, is_signed=signed))]

        found = [self._dim(loop) for loop in loops]
        start = filled(tensor.empty(sizes, self._word))
        return self._generic([words, self._shifts, start], [access, [self._dim(self._lane)], found], body), found

    def _constant(self, number: int) -> Any:
        from iree.compiler.dialects import arith

        wrapped = (number + (1 << (_WORD - 1))) % (1 << _WORD) - (1 << (_WORD - 1))
        return arith.constant(self._word, wrapped)


def _in_word(zero: Zero) -> Any:
    """A zero point in 32 bits: a kernel that reads single bytes does not vectorise."""
    wide = extended(zero.value, not zero.is_signed)
    return wide if wide == zero.value or is_constant(zero.value) else apart(wide)


def _names(expression: Any) -> list[str]:
    return str(expression).replace("(", " ").replace(")", " ").split()
