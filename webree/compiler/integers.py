"""Integer operations that the lowering to SPIR-V lacks or gets wrong, written out in those that it has.

Enters: the module at `executable-sources`. Leaves: the same kernels, in which
- 8- and 16-bit integers are widened to 32 bits for every operation that sees their upper bits: the emulation of narrow
  types keeps them in words whose upper bits are anything, and has no unsigned patterns;
- 64-bit divisions, absolute values and counts of bits, which the emulation by pairs of words does not cover, are made
  of 32-bit words (a division bit by bit);
- 32-bit unsigned divisions are made of signed ones where the kernel cannot be vectorised: the lowering has none for
  vectors of one element; remainders come from the quotient, for its own form fails for the smallest number;
- narrow integers without a sign that become indices are widened so that they stay without one;
- 8-bit integers become 16-bit ones by way of 32 bits: beside f16 the lowering has 16 bits, and takes for 8 what it
  keeps in a word;
- powers are products, by squaring.
Dividing by zero gives some number, as in WGSL. Kernels without these operations are not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from webree.compiler.walking import walk

__all__ = ["write_out_integer_powers", "write_out_integers"]

_EQ, _NE, _SLT, _ULT, _ULE, _UGT, _UGE = 0, 1, 2, 6, 7, 8, 9  # arith.cmpi's predicates
_BITS = 64
_WORD = 32

_SIGNED_DIVISIONS = frozenset({"arith.divsi", "arith.remsi", "arith.floordivsi", "arith.ceildivsi"})
_UNSIGNED_DIVISIONS = frozenset({"arith.divui", "arith.remui", "arith.ceildivui"})
_DIVISIONS = _SIGNED_DIVISIONS | _UNSIGNED_DIVISIONS
# Operations that give another answer if a narrow operand's upper bits are not its sign (or zero).
_SIGNED = _SIGNED_DIVISIONS | {"arith.shrsi", "arith.maxsi", "arith.minsi", "math.absi", "math.ipowi"}
_UNSIGNED = _UNSIGNED_DIVISIONS | {"arith.shrui", "arith.maxui", "arith.minui"}
_COUNTS = frozenset({"math.ctlz", "math.cttz", "math.ctpop"})
_EXTENDED = frozenset({"arith.addui_extended", "arith.mulsi_extended", "arith.mului_extended"})


def write_out_integer_powers(kernels: Sequence[Any]) -> int:
    """Only the powers, which no target has; returns how many there were."""
    return _write_out(kernels, frozenset({"math.ipowi"}))


def write_out_integers(kernels: Sequence[Any]) -> int:
    """Change the kernels in place; returns the number of operations written out."""
    return _write_out(kernels, None)


def _write_out(kernels: Sequence[Any], names: frozenset[str] | None) -> int:
    count = 0
    # Widening makes 32-bit operations, some of which are written out in turn.
    for rules in (_narrow_rule, _word_rule, _long_rule):
        for op in [op for kernel in kernels for op in walk(kernel)]:
            rule = rules(op) if names is None or op.name in names else None
            if rule is not None:
                _replace(op, rule)
                count += 1
    return count


def _replace(op: Any, rule: Callable[[Any], list[Any]]) -> None:
    from iree.compiler import ir

    with op.context, op.location, ir.InsertionPoint(op):
        for old, new in zip(op.results, rule(op), strict=True):
            old.replace_all_uses_with(new)
    op.erase()


# -- 8 and 16 bits ----------------------------------------------------------------------------------------------------


def _narrow_rule(op: Any) -> Callable[[Any], list[Any]] | None:
    if not 1 < _width(op) < _WORD:
        return None
    if op.name in _EXTENDED:
        return _narrow_extended
    if op.name in _COUNTS:
        return _narrow_count
    if op.name in _SIGNED | _UNSIGNED | {"arith.cmpi", "arith.sitofp", "arith.uitofp"}:
        return _widen
    if op.name in ("arith.extsi", "arith.extui") and _is_shorter(op):
        return _extend_in_words
    if op.name == "arith.index_castui" or (op.name == "arith.extui" and _makes_indices(op)):
        return _unsigned_index
    return None


def _is_shorter(op: Any) -> bool:
    from iree.compiler import ir

    kind = op.results[0].type
    return isinstance(kind, ir.IntegerType) and kind.width < _WORD


def _extend_in_words(op: Any) -> list[Any]:
    """So that it is not folded to one extension again."""
    from iree.compiler.dialects import arith

    width = op.operands[0].type.width
    if op.name == "arith.extui":
        word = arith.andi(_extended(op.operands[0], True), _constant(_WORD, (1 << width) - 1))
    else:
        distance = _constant(_WORD, _WORD - width)
        word = arith.shrsi(arith.shli(_extended(op.operands[0], False), distance), distance)
    return [arith.trunci(op.results[0].type, word)]


def _makes_indices(op: Any) -> bool:
    """Whether there are indices made of integers beside an operation: of its result, once all is simplified, maybe."""
    return any(other.operation.name in ("arith.index_cast", "arith.index_castui") for other in op.block.operations)


def _unsigned_index(op: Any) -> list[Any]:
    """Without a sign, and so that it is not folded to one operation: the emulation of narrow types would add a sign."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    narrow, result = op.operands[0].type, op.results[0].type
    word = arith.andi(_extended(op.operands[0], True), _constant(_WORD, (1 << narrow.width) - 1))
    if op.name == "arith.index_castui":
        return [arith.index_cast(result, word)]
    return [word if result == ir.IntegerType.get_signless(_WORD) else arith.extui(result, word)]


def _widen(op: Any) -> list[Any]:
    """The operation on 32 bits."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    signed = op.name in _SIGNED or op.name == "arith.sitofp"
    if op.name == "arith.cmpi":
        signed = _SLT <= ir.IntegerAttr(op.attributes["predicate"]).value < _ULT
    wide = [_extended(operand, signed) for operand in op.operands]
    narrow = op.results[0].type
    keeps_type = op.name in ("arith.cmpi", "arith.sitofp", "arith.uitofp")
    attributes = {name: op.attributes[name] for name in op.attributes}
    result = ir.Operation.create(
        op.name, [narrow if keeps_type else wide[0].type], wide, attributes=attributes
    ).results[0]
    return [result if keeps_type else arith.trunci(narrow, result)]


def _narrow_extended(op: Any) -> list[Any]:
    """Sum and carry, or the two halves of a product, out of 32 bits."""
    from iree.compiler.dialects import arith

    narrow, second = (result.type for result in op.results)
    left, right = (_extended(operand, op.name == "arith.mulsi_extended") for operand in op.operands)
    whole = (arith.addi if op.name == "arith.addui_extended" else arith.muli)(left, right)
    return [arith.trunci(narrow, whole), arith.trunci(second, arith.shrui(whole, _constant(_WORD, narrow.width)))]


def _narrow_count(op: Any) -> list[Any]:
    from iree.compiler.dialects import arith
    from iree.compiler.dialects import math as math_ops

    kind = op.operands[0].type
    word = _extended(op.operands[0], False)
    if op.name == "math.ctpop":
        counted = math_ops.ctpop(word)
    elif op.name == "math.cttz":
        counted = math_ops.cttz(arith.ori(word, _constant(_WORD, 1 << kind.width)))
    else:
        counted = arith.subi(math_ops.ctlz(word), _constant(_WORD, _WORD - kind.width))
    return [arith.trunci(kind, counted)]


def _extended(value: Any, signed: bool) -> Any:
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    return (arith.extsi if signed else arith.extui)(ir.IntegerType.get_signless(_WORD), value)


# -- 32 bits ----------------------------------------------------------------------------------------------------------


def _word_rule(op: Any) -> Callable[[Any], list[Any]] | None:
    if op.name == "math.ipowi" and _width(op) in (_WORD, _BITS):
        return _power
    if _width(op) != _WORD:
        return None
    if op.name == "arith.remsi":
        return _signed_remainder
    if op.name in _UNSIGNED_DIVISIONS and not _is_vectorised(op):
        return _unsigned_division
    return None


def _is_vectorised(op: Any) -> bool:
    """Whether the tensors of the kernel's operation around this one are of words that come in fours."""
    from iree.compiler import ir

    kinds = [value.type for value in (*op.parent.operands, *op.parent.results)]
    return bool(kinds) and all(
        isinstance(kind, ir.RankedTensorType)
        and kind.rank > 0
        and kind.has_static_shape
        and kind.shape[-1] % 4 == 0
        and str(kind.element_type) in ("i32", "f32")
        for kind in kinds
    )


def _signed_remainder(op: Any) -> list[Any]:
    from iree.compiler.dialects import arith

    left, right = op.operands
    return [arith.subi(left, arith.muli(arith.divsi(left, right), right))]


def _unsigned_division(op: Any) -> list[Any]:
    """Half the numerator is no negative number; the quotient of twice that is at most one too small.

    It is negated, or the passes that come would see that both are positive, and take the unsigned division back."""
    from iree.compiler.dialects import arith

    left, right = op.operands
    one, zero = _constant(_WORD, 1), _constant(_WORD, 0)
    half = arith.subi(zero, arith.shrui(left, one))
    quotient = arith.shli(arith.subi(zero, arith.divsi(half, right)), one)
    quotient = arith.select(arith.cmpi(_SLT, right, zero), zero, quotient)
    rest = arith.subi(left, arith.muli(quotient, right))
    quotient = arith.addi(quotient, arith.extui(one.type, arith.cmpi(_UGE, rest, right)))
    rest = arith.subi(left, arith.muli(quotient, right))
    if op.name == "arith.ceildivui":
        quotient = arith.addi(quotient, arith.extui(one.type, arith.cmpi(_NE, rest, zero)))
    return [rest if op.name == "arith.remui" else quotient]


def _power(op: Any) -> list[Any]:
    """By squaring, bit by bit of the exponent. With a negative one, all but the powers of 1 and -1 round to zero."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, scf

    base, exponent = op.operands
    width = base.type.width
    zero, one, minus_one = (_constant(width, number) for number in (0, 1, -1))
    bounds = [arith.constant(ir.IndexType.get(), number) for number in (0, width, 1)]
    loop = scf.ForOp(*bounds, [word for value in (base, exponent, one) for word in _split(value)])
    with ir.InsertionPoint(loop.body):
        square, rest, product = _merged(loop.inner_iter_args, width)
        odd = arith.cmpi(_NE, arith.andi(rest, one), zero)
        product = arith.select(odd, arith.muli(product, square), product)
        values = (arith.muli(square, square), arith.shrui(rest, one), product)
        scf.yield_([word for value in values for word in _split(value)])
    result = _merged(loop.results, width)[2]
    odd = arith.cmpi(_NE, arith.andi(exponent, one), zero)
    inverse = arith.select(arith.cmpi(_EQ, base, one), one, zero)
    inverse = arith.select(arith.cmpi(_EQ, base, minus_one), arith.select(odd, minus_one, one), inverse)
    return [arith.select(arith.cmpi(_SLT, exponent, zero), inverse, result)]


def _split(value: Any) -> list[Any]:
    """Loops carry 32-bit words."""
    return list(_words(value)) if value.type.width == _BITS else [value]


def _merged(words: Any, width: int) -> list[Any]:
    listed = list(words)
    if width != _BITS:
        return listed
    return [_joined(*pair) for pair in zip(listed[::2], listed[1::2], strict=True)]


# -- 64 bits ----------------------------------------------------------------------------------------------------------


def _long_rule(op: Any) -> Callable[[Any], list[Any]] | None:
    if _width(op) != _BITS:
        return None
    if op.name in _DIVISIONS:
        return _divide
    if op.name in _COUNTS:
        return _count
    return {"math.absi": _absolute, "arith.addui_extended": _add_with_carry}.get(op.name)


def _absolute(op: Any) -> list[Any]:
    from iree.compiler.dialects import arith

    (value,) = op.operands
    return [_negated(value, arith.cmpi(_SLT, value, _constant(_BITS, 0)))]


def _add_with_carry(op: Any) -> list[Any]:
    from iree.compiler.dialects import arith

    left, right = op.operands
    total = arith.addi(left, right)
    return [total, arith.cmpi(_ULT, total, left)]


def _count(op: Any) -> list[Any]:
    from iree.compiler.dialects import arith
    from iree.compiler.dialects import math as math_ops

    low, high = _words(op.operands[0])
    zero, full = _constant(_WORD, 0), _constant(_WORD, _WORD)
    if op.name == "math.ctpop":
        counted = arith.addi(math_ops.ctpop(low), math_ops.ctpop(high))
    elif op.name == "math.ctlz":
        counted = arith.select(arith.cmpi(_EQ, high, zero), arith.addi(math_ops.ctlz(low), full), math_ops.ctlz(high))
    else:
        counted = arith.select(arith.cmpi(_EQ, low, zero), arith.addi(math_ops.cttz(high), full), math_ops.cttz(low))
    return [arith.extui(op.results[0].type, counted)]


def _divide(op: Any) -> list[Any]:
    """A division or remainder."""
    from iree.compiler.dialects import arith

    left, right = op.operands
    zero = _constant(_BITS, 0)
    if op.name in _UNSIGNED_DIVISIONS:
        quotient, remainder = _long_division(left, right)
        if op.name == "arith.ceildivui":
            more = arith.cmpi(_NE, remainder, zero)
            quotient = arith.select(more, arith.addi(quotient, _constant(_BITS, 1)), quotient)
        return [remainder if op.name == "arith.remui" else quotient]
    left_negative, right_negative = (arith.cmpi(_SLT, value, zero) for value in (left, right))
    quotient, remainder = _long_division(_negated(left, left_negative), _negated(right, right_negative))
    signs_differ = arith.xori(left_negative, right_negative)
    quotient = _negated(quotient, signs_differ)
    inexact = arith.cmpi(_NE, remainder, zero)
    if op.name == "arith.remsi":
        return [_negated(remainder, left_negative)]
    if op.name == "arith.floordivsi":
        below = arith.andi(inexact, signs_differ)
        return [arith.select(below, arith.subi(quotient, _constant(_BITS, 1)), quotient)]
    if op.name == "arith.ceildivsi":
        above = arith.andi(inexact, arith.xori(signs_differ, _constant(1, -1)))
        return [arith.select(above, arith.addi(quotient, _constant(_BITS, 1)), quotient)]
    return [quotient]


def _long_division(numerator: Any, denominator: Any) -> tuple[Any, Any]:
    """Quotient and remainder of unsigned 64-bit integers: one bit of the quotient per step, highest first.

    The loop carries 32-bit words. The numerator's bits leave at the top while the quotient's enter at the bottom."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, scf

    denominator_low, denominator_high = _words(denominator)
    zero = _constant(32, 0)
    index = ir.IndexType.get()
    bounds = [arith.constant(index, number) for number in (0, _BITS, 1)]
    loop = scf.ForOp(*bounds, [*_words(numerator), zero, zero])
    with ir.InsertionPoint(loop.body):
        low, high, rest_low, rest_high = loop.inner_iter_args
        overflow = _top_bit(rest_high)
        rest_low, rest_high = _shifted(rest_low, rest_high, _top_bit(high))
        low, high = _shifted(low, high, zero)
        fits = arith.andi(arith.cmpi(_EQ, rest_high, denominator_high), arith.cmpi(_UGE, rest_low, denominator_low))
        fits = arith.ori(
            arith.ori(fits, arith.cmpi(_UGT, rest_high, denominator_high)), arith.cmpi(_NE, overflow, zero)
        )
        borrow = arith.extui(zero.type, arith.cmpi(_ULT, rest_low, denominator_low))
        less_low = arith.subi(rest_low, denominator_low)
        less_high = arith.subi(arith.subi(rest_high, denominator_high), borrow)
        scf.yield_(
            [
                arith.ori(low, arith.extui(zero.type, fits)),
                high,
                arith.select(fits, less_low, rest_low),
                arith.select(fits, less_high, rest_high),
            ]
        )
    quotient_low, quotient_high, rest_low, rest_high = loop.results
    return _joined(quotient_low, quotient_high), _joined(rest_low, rest_high)


def _words(value: Any) -> tuple[Any, Any]:
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    word = ir.IntegerType.get_signless(32)
    return arith.trunci(word, value), arith.trunci(word, arith.shrui(value, _constant(_BITS, 32)))


def _joined(low: Any, high: Any) -> Any:
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    long = ir.IntegerType.get_signless(_BITS)
    return arith.ori(arith.extui(long, low), arith.shli(arith.extui(long, high), _constant(_BITS, 32)))


def _shifted(low: Any, high: Any, entering: Any) -> tuple[Any, Any]:
    """Two words shifted left by one bit, `entering` at the bottom."""
    from iree.compiler.dialects import arith

    one = _constant(32, 1)
    return arith.ori(arith.shli(low, one), entering), arith.ori(arith.shli(high, one), _top_bit(low))


def _top_bit(word: Any) -> Any:
    from iree.compiler.dialects import arith

    return arith.shrui(word, _constant(32, 31))


def _negated(value: Any, condition: Any) -> Any:
    from iree.compiler.dialects import arith

    return arith.select(condition, arith.subi(_constant(_BITS, 0), value), value)


def _constant(width: int, number: int) -> Any:
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    return arith.constant(ir.IntegerType.get_signless(width), number)


def _width(op: Any) -> int:
    """Bits of an operation's first operand; 0 if it is no scalar integer."""
    from iree.compiler import ir

    if len(op.operands) == 0:
        return 0
    kind = op.operands[0].type
    return int(kind.width) if isinstance(kind, ir.IntegerType) else 0
