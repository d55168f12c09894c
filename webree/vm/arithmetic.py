"""Arithmetic that Python's operators do not do the way the VM's instructions do.

Enters: ints in the signed range of their type, floats (f32 values as rounded floats). Leaves: the same. Translated
functions call these by name. Where C leaves a result open (division by zero, casts out of range), integers follow what
IREE's runtime does on x86-64, except that division by zero is an error here instead of a crash.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from webree.errors import InvocationError, StatusCode

_INT32_LIMIT = 0x80000000
_INT64_LIMIT = 0x8000000000000000
_MASK32 = 0xFFFFFFFF
_MASK64 = 0xFFFFFFFFFFFFFFFF
_F32 = struct.Struct("<f")
_F64 = struct.Struct("<d")
_I32 = struct.Struct("<i")
_I64 = struct.Struct("<q")


def wrap32(x: int) -> int:
    """The signed 32-bit value with the low bits of `x`."""
    return (x + _INT32_LIMIT & _MASK32) - _INT32_LIMIT


def wrap64(x: int) -> int:
    """The signed 64-bit value with the low bits of `x`."""
    return (x + _INT64_LIMIT & _MASK64) - _INT64_LIMIT


def _divide(a: int, b: int) -> int:
    """The quotient rounded towards zero, as C has it."""
    if b == 0:
        raise InvocationError("integer division by zero", status=StatusCode.INVALID_ARGUMENT)
    quotient = abs(a) // abs(b)
    return -quotient if (a < 0) != (b < 0) else quotient


def _remainder(a: int, b: int) -> int:
    return a - _divide(a, b) * b


def div_i32_s(a: int, b: int) -> int:
    return wrap32(_divide(a, b))


def div_i32_u(a: int, b: int) -> int:
    return wrap32(_divide(a & _MASK32, b & _MASK32))


def rem_i32_s(a: int, b: int) -> int:
    return _remainder(a, b)


def rem_i32_u(a: int, b: int) -> int:
    return wrap32(_remainder(a & _MASK32, b & _MASK32))


def div_i64_s(a: int, b: int) -> int:
    return wrap64(_divide(a, b))


def div_i64_u(a: int, b: int) -> int:
    return wrap64(_divide(a & _MASK64, b & _MASK64))


def rem_i64_s(a: int, b: int) -> int:
    return _remainder(a, b)


def rem_i64_u(a: int, b: int) -> int:
    return wrap64(_remainder(a & _MASK64, b & _MASK64))


def round_f32(x: float) -> float:
    """The nearest f32 of `x`, ties to even; infinite beyond the range."""
    try:
        return _F32.unpack(_F32.pack(x))[0]  # type: ignore[no-any-return]
    except OverflowError:
        return math.copysign(math.inf, x)


def i32_of_f32(x: float) -> int:
    """The bits of an f32."""
    return _I32.unpack(_F32.pack(x))[0]  # type: ignore[no-any-return]


def f32_of_i32(x: int) -> float:
    """The f32 with these bits. Python turns a signalling NaN into a quiet one."""
    return _F32.unpack(_I32.pack(x))[0]  # type: ignore[no-any-return]


def i64_of_f64(x: float) -> int:
    """The bits of an f64."""
    return _I64.unpack(_F64.pack(x))[0]  # type: ignore[no-any-return]


def f64_of_i64(x: int) -> float:
    """The f64 with these bits."""
    return _F64.unpack(_I64.pack(x))[0]  # type: ignore[no-any-return]


def i64_of_words(low: int, high: int) -> int:
    """The 64-bit value of two register words."""
    return (high << 32) + (low & _MASK32)


def low_word(x: int) -> int:
    """The low register word of a 64-bit value."""
    return (x + _INT32_LIMIT & _MASK32) - _INT32_LIMIT


def div_f(a: float, b: float) -> float:
    """IEEE division."""
    if b:
        return a / b
    if a == 0 or a != a or b != b:
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def rem_f(a: float, b: float) -> float:
    """IEEE remainder."""
    try:
        return math.remainder(a, b)
    except ValueError:
        return math.nan


def ceil_f(x: float) -> float:
    return math.copysign(float(math.ceil(x)), x) if math.isfinite(x) else x


def floor_f(x: float) -> float:
    return math.copysign(float(math.floor(x)), x) if math.isfinite(x) else x


def round_away(x: float) -> float:
    """The nearest integer, halves away from zero."""
    if not math.isfinite(x):
        return x
    magnitude = abs(x)
    whole = float(math.floor(magnitude))
    return math.copysign(whole + 1.0 if magnitude - whole >= 0.5 else whole, x)


def round_even(x: float) -> float:
    """The nearest integer, halves to even."""
    return math.copysign(float(round(x)), x) if math.isfinite(x) else x


def _to_int64(x: float) -> int:
    """What x86-64's conversion gives: the smallest i64 for NaN and for all that is out of range."""
    if x != x or math.isinf(x):
        return -_INT64_LIMIT
    value = int(round_away(x))
    return value if -_INT64_LIMIT <= value < _INT64_LIMIT else -_INT64_LIMIT


def i32_from_float(x: float) -> int:
    return wrap32(_to_int64(x))


def i64_from_float(x: float) -> int:
    return _to_int64(x)


def f32_from_int(x: int) -> float:
    """The nearest f32 of an integer, rounded once."""
    value = float(x)
    if abs(x) < 1 << 53:
        return round_f32(value)
    # float(x) has rounded already: keep a sticky bit so that rounding again goes the right way.
    shift = x.bit_length() - 40
    magnitude = abs(x)
    sticky = 1 if magnitude & ((1 << shift) - 1) else 0
    return math.copysign(round_f32(float(((magnitude >> shift) | sticky) << shift)), x)


def _guarded(function: Callable[[float], float], at_overflow: float) -> Callable[[float], float]:
    """`function` with C's results where Python raises: NaN outside the domain, `at_overflow` beyond the range."""

    def guarded(x: float) -> float:
        try:
            return function(x)
        except ValueError:
            return math.nan
        except OverflowError:
            return at_overflow

    return guarded


def _log_like(function: Callable[[float], float], pole: float) -> Callable[[float], float]:
    """A logarithm: -inf at its pole, NaN below."""

    def logarithm(x: float) -> float:
        if x > pole:
            return function(x)
        return -math.inf if x == pole else math.nan

    return logarithm


sin_f = _guarded(math.sin, math.nan)
cos_f = _guarded(math.cos, math.nan)
exp_f = _guarded(math.exp, math.inf)
exp2_f = _guarded(math.exp2, math.inf)
expm1_f = _guarded(math.expm1, math.inf)
sqrt_f = _guarded(math.sqrt, math.nan)
log_f = _log_like(math.log, 0.0)
log2_f = _log_like(math.log2, 0.0)
log10_f = _log_like(math.log10, 0.0)
log1p_f = _log_like(math.log1p, -1.0)


def rsqrt_f(x: float) -> float:
    return div_f(1.0, sqrt_f(x))


def pow_f(a: float, b: float) -> float:
    """C's pow."""
    try:
        return math.pow(a, b)
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf
    except ValueError:
        if a == 0:  # a pole: negative exponent
            return math.copysign(math.inf, a) if b % 2 == 1 else math.inf
        return math.nan
