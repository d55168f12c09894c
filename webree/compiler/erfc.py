"""The complementary error function, which no target has.

Enters: kernels at `executable-sources`, functions of 16-bit floats widened. Leaves: the same kernels, in which
`math.erfc` of an f32 is arithmetic, exponentials and `math.erf`. Near 0 it is 1 - erf(x). Elsewhere, with a = |x|, it
is exp(-a * a) p(q) / (1 + 2a), where q = (a - 3) / (a + 3) and p is the polynomial of degree 10 that fits
(1 + 2a) exp(a * a) erfc(a) with the least relative error at Chebyshev's nodes (2.3e-9, up to a = 10.5, from where on
the result is 0 in f32). The square is taken in two parts, for the exponential multiplies its rounding error by a * a.
Reference: M. Shepherd and J. Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x", 1981.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from webree.compiler.walking import replace

__all__ = ["write_out_erfc"]

_COEFFICIENTS = (
    1.2530080080032349,
    -0.13562114536762238,
    -0.04756239056587219,
    0.12964662909507751,
    -0.1192709282040596,
    0.06829430162906647,
    -0.023798787966370583,
    0.0025701895356178284,
    0.0020057058427482843,
    -0.0007770685479044914,
    -0.0002687535306904465,
)
"""Of p, from the constant on."""
_ZERO_FROM, _SMALL = 10.5, 0.75
_UPPER_BITS = 0xFFFFF000
_OGT, _OLT = 2, 4  # arith.cmpf's predicates


def write_out_erfc(kernels: Sequence[Any]) -> int:
    """Change the kernels in place; returns the number of operations written out."""
    return sum(replace(kernel, {"math.erfc": _rule}) for kernel in kernels)


def _rule(op: Any) -> Any:
    from iree.compiler import ir
    from iree.compiler.dialects import arith, math

    x = op.operands[0]
    single, word = ir.F32Type.get(), ir.IntegerType.get_signless(32)
    if x.type != single:
        return None

    def number(value: float) -> Any:
        return arith.constant(single, value)

    size = math.absf(x)
    a = arith.select(arith.cmpf(_OGT, size, number(_ZERO_FROM)), number(_ZERO_FROM), size)
    q = arith.divf(arith.subf(a, number(3.0)), arith.addf(a, number(3.0)))
    p = number(_COEFFICIENTS[-1])
    for coefficient in reversed(_COEFFICIENTS[:-1]):
        p = arith.addf(arith.mulf(p, q), number(coefficient))
    mask = arith.constant(word, ir.IntegerAttr.get(word, _UPPER_BITS - (1 << 32)))
    upper = arith.bitcast(single, arith.andi(arith.bitcast(word, a), mask))
    rest = arith.mulf(arith.subf(a, upper), arith.addf(a, upper))
    power = arith.mulf(math.exp(arith.negf(arith.mulf(upper, upper))), math.exp(arith.negf(rest)))
    tail = arith.divf(arith.mulf(power, p), arith.addf(number(1.0), arith.mulf(number(2.0), a)))
    result = arith.select(arith.cmpf(_OLT, x, number(0.0)), arith.subf(number(2.0), tail), tail)
    return arith.select(arith.cmpf(_OLT, size, number(_SMALL)), arith.subf(number(1.0), math.erf(x)), result)
