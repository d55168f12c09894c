"""Integer operations that the lowering to SPIR-V lacks, written out in those that it has.

Enters: the module at `executable-sources`. Leaves: the same kernels without
- divisions and remainders of 64-bit integers, which the emulation by pairs of words does not cover: they become a long
  division, bit by bit, on 32-bit words;
- unsigned comparisons of 8- and 16-bit integers, which the emulation of narrow storage does not cover: they are made
  on 32 bits.
Dividing by zero gives some number, as in WGSL. Kernels without these operations are not touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["write_out_integers"]

_SIGNED = frozenset({"arith.divsi", "arith.remsi", "arith.floordivsi", "arith.ceildivsi"})
_UNSIGNED = frozenset({"arith.divui", "arith.remui", "arith.ceildivui"})
_EQ, _NE, _SLT, _ULT, _ULE, _UGT, _UGE = 0, 1, 2, 6, 7, 8, 9  # arith.cmpi's predicates
_UNSIGNED_PREDICATES = (_ULT, _ULE, _UGT, _UGE)
_BITS = 64


def write_out_integers(module: Any) -> int:
    """Change the kernels in place; returns the number of operations written out."""
    found = [op for executable in _executables(module) for op in _walk(executable)]
    divisions = [op for op in found if op.name in _SIGNED | _UNSIGNED and _width(op) == _BITS]
    comparisons = [op for op in found if op.name == "arith.cmpi" and _is_narrow_unsigned(op)]
    for op in divisions:
        _divide(op)
    for op in comparisons:
        _widen(op)
    return len(divisions) + len(comparisons)


def _widen(op: Any) -> None:
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    with op.context, op.location, ir.InsertionPoint(op):
        word = ir.IntegerType.get_signless(32)
        wide = [arith.extui(word, operand) for operand in op.operands]
    for index, operand in enumerate(wide):
        op.operands[index] = operand


def _divide(op: Any) -> None:
    """Replace a 64-bit division or remainder."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    left, right = op.operands
    with op.context, op.location, ir.InsertionPoint(op):
        zero = _constant(_BITS, 0)
        if op.name in _UNSIGNED:
            quotient, remainder = _long_division(left, right)
            result = remainder if op.name == "arith.remui" else quotient
            if op.name == "arith.ceildivui":
                more = arith.cmpi(_NE, remainder, zero)
                result = arith.select(more, arith.addi(quotient, _constant(_BITS, 1)), quotient)
        else:
            left_negative, right_negative = (arith.cmpi(_SLT, value, zero) for value in (left, right))
            quotient, remainder = _long_division(_negated(left, left_negative), _negated(right, right_negative))
            signs_differ = arith.xori(left_negative, right_negative)
            quotient = _negated(quotient, signs_differ)
            result = _negated(remainder, left_negative) if op.name == "arith.remsi" else quotient
            inexact = arith.cmpi(_NE, remainder, zero)
            if op.name == "arith.floordivsi":
                below = arith.andi(inexact, signs_differ)
                result = arith.select(below, arith.subi(quotient, _constant(_BITS, 1)), quotient)
            elif op.name == "arith.ceildivsi":
                above = arith.andi(inexact, arith.xori(signs_differ, _constant(1, -1)))
                result = arith.select(above, arith.addi(quotient, _constant(_BITS, 1)), quotient)
    op.results[0].replace_all_uses_with(result)
    op.erase()


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


def _is_narrow_unsigned(op: Any) -> bool:
    from iree.compiler import ir

    predicate = ir.IntegerAttr(op.attributes["predicate"]).value
    return predicate in _UNSIGNED_PREDICATES and 1 < _width(op) < 32


def _width(op: Any) -> int:
    """Bits of an operation's first operand; 0 if it is no scalar integer."""
    from iree.compiler import ir

    kind = op.operands[0].type
    return int(kind.width) if isinstance(kind, ir.IntegerType) else 0


def _executables(module: Any) -> list[Any]:
    return [inner.operation for inner in module.regions[0].blocks[0] if inner.operation.name == "hal.executable"]


def _walk(op: Any) -> Iterator[Any]:
    for region in op.regions:
        for block in region:
            for inner in block:
                yield inner.operation
                yield from _walk(inner.operation)
