"""Powers of floats, for any base and exponent.

Enters: kernels at `executable-sources`. Leaves: the same kernels, in which `math.powf` sees no negative base. The
passes behind make exp2(y * log2(x)) of it, which is NaN for every negative x, for 1 ** inf and for 0 ** 0; around the
power of |x| stand the sign that an odd exponent keeps, and these cases, as IEEE 754 has them (9.2.1, pow). Small
constant exponents become products later and are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from webree.compiler.walking import walk

__all__ = ["write_out_powers"]

_OEQ, _OLT, _UNE = 1, 4, 13  # arith.cmpf's predicates
_PRODUCTS = (-2.0, -1.0, -0.5, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)


def write_out_powers(kernels: Sequence[Any]) -> int:
    """Change the kernels in place; returns the number of operations written out."""
    found = [op for kernel in kernels for op in walk(kernel) if _is_power(op)]
    for op in found:
        _write_out(op)
    return len(found)


def _is_power(op: Any) -> bool:
    from iree.compiler import ir

    if op.name != "math.powf" or isinstance(op.operands[0].type, ir.ShapedType):
        return False
    owner = op.operands[1].owner
    if isinstance(owner, ir.Block) or owner.name != "arith.constant":
        return True
    return ir.FloatAttr(owner.attributes["value"]).value not in _PRODUCTS


def _write_out(op: Any) -> None:
    from iree.compiler import ir
    from iree.compiler.dialects import arith, math

    base, exponent = op.operands
    with op.context, op.location, ir.InsertionPoint(op):
        zero, half, one, infinity, nan = (
            arith.constant(base.type, number) for number in (0.0, 0.5, 1.0, float("inf"), float("nan"))
        )
        size = math.absf(base)
        power = arith.select(arith.cmpf(_OEQ, size, one), one, math.powf(size, exponent))
        halved = arith.mulf(exponent, half)
        whole = arith.cmpf(_OEQ, math.floor(exponent), exponent)
        odd = arith.andi(whole, arith.cmpf(_UNE, math.floor(halved), halved))
        power = arith.select(odd, math.copysign(power, base), power)
        finite = arith.andi(arith.cmpf(_OLT, base, zero), arith.cmpf(_UNE, size, infinity))
        no_number = arith.andi(finite, arith.cmpf(_UNE, math.floor(exponent), exponent))
        power = arith.select(no_number, nan, power)
        is_one = arith.ori(arith.cmpf(_OEQ, exponent, zero), arith.cmpf(_OEQ, base, one))
        op.results[0].replace_all_uses_with(arith.select(is_one, one, power))
    op.erase()
