"""Verdicts: which elements of a result are right.

Enters: what a device computed, the exact result in a wider type, a tolerance. Leaves: True per element. Tolerances are
in ulp, units in the last place of the exact result in the result's type; 0 ulp is the correctly rounded result with
the sign of its zero. NaN must be NaN, and only there. Where overflow is within the tolerance, infinity and the largest
number are both right.
"""

from __future__ import annotations

import numpy as np

from tests.ops.values import Array, FloatFormat, float_format, is_float

__all__ = ["flushed", "right", "rounded", "within"]


def _unit(exact: Array, format_: FloatFormat) -> Array:
    """The unit in the last place of each number."""
    with np.errstate(all="ignore"):
        _, exponent = np.frexp(np.abs(exact))
    return np.ldexp(np.longdouble(1), np.maximum(exponent - 1, format_.low) - format_.fraction)


def rounded(exact: Array, name: str) -> Array:
    """To the nearest number of the type, ties to even, in the wide type."""
    format_ = float_format(name)
    wide = np.asarray(exact, np.longdouble)
    finite = np.isfinite(wide)
    unit = _unit(np.where(finite, wide, 1), format_)
    near = np.copysign(np.rint(np.where(finite, wide, 1) / unit) * unit, wide)
    near = np.where(np.abs(near) > format_.largest, np.copysign(np.inf, wide), near)
    return np.where(finite, near, wide)


def right(found: Array, exact: Array, name: str, ulp: float, absolute: float = 0) -> Array:
    """Which elements are right, without tolerance for integers and booleans."""
    if not is_float(name):
        return np.asarray(found == exact)
    format_ = float_format(name)
    with np.errstate(all="ignore"):
        got, wide = np.asarray(found).astype(np.longdouble), np.asarray(exact, np.longdouble)
    near = rounded(wide, name)
    with np.errstate(all="ignore"):
        if ulp == absolute == 0:
            equal = (got == near) & (np.signbit(got) == np.signbit(near))
            return equal | (np.isnan(got) & np.isnan(near))
        unit = _unit(np.where(np.isfinite(wide), wide, format_.largest), format_)
        unit = np.minimum(unit, _unit(np.asarray(format_.largest), format_))
        close = np.abs(got - wide) <= np.maximum(ulp * unit, absolute)
        overflow = (np.abs(wide) + ulp * unit > format_.largest) & np.isfinite(wide)
        overflow &= np.isinf(got) & (np.signbit(got) == np.signbit(wide))
        saturated = np.isfinite(wide) & (np.abs(wide) > format_.largest) & (np.abs(got) >= format_.largest)
        saturated &= np.signbit(got) == np.signbit(wide)
        return close | (got == wide) | overflow | saturated | (np.isnan(got) & np.isnan(wide))


def flushed(values: Array, name: str) -> Array:
    """Denormal numbers as zeros of their sign, which WGSL allows anywhere.

    Spec: https://www.w3.org/TR/WGSL/#floating-point-evaluation
    """
    wide = np.asarray(values)
    if not is_float(name):
        return wide
    with np.errstate(all="ignore"):
        numbers = wide.astype(np.longdouble)
        zeros = np.copysign(np.longdouble(0), numbers)
        return np.where(np.abs(numbers) < float_format(name).tiny, zeros, numbers).astype(wide.dtype)


def within(found: Array, expected: Array, relative: float) -> bool:
    """The largest difference against the largest number: for results that sum up many products."""
    if found.shape != expected.shape:
        return False
    if found.dtype.kind in "biu" and expected.dtype.kind in "biu":
        return bool(np.array_equal(found, expected))
    got, wide = found.astype(np.float64), expected.astype(np.float64)
    same = (got == wide) | (np.isnan(got) & np.isnan(wide))
    finite = np.isfinite(got) & np.isfinite(wide)
    scale = float(np.max(np.abs(wide[finite]), initial=0.0))
    with np.errstate(all="ignore"):
        return bool((same | (finite & (np.abs(got - wide) <= relative * scale))).all())
