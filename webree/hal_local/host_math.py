"""The f64 functions of libm that libraries import and that take more than a few instructions, by Python's `math`.

Enters: the arguments of a kernel's call. Leaves: the result as C99 (annex F) has it, also where Python's `math` raises.
Only f64 models call these: what f32 kernels need, the compiler builds in, or libm.wasm has. Each call crosses into
Python, a microsecond or more; browsers have the same functions in JavaScript's `Math` and need none of this.
"""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["FUNCTIONS", "LIBM", "arity"]

LIBM = frozenset(
    (
        *("exp", "log", "fmax", "fmaxf", "fmin", "fminf", "fmod", "fmodf", "log10f", "nearbyint", "nearbyintf"),
        *("rint", "rintf", "round", "roundeven", "roundevenf", "roundf"),
    )
)
"""What libm.wasm exports."""

_BINARY = frozenset(("atan2", "pow"))


def arity(name: str) -> int:
    return 2 if name in _BINARY else 1


def _total(function: Callable[[float], float], overflow: Callable[[float], float]) -> Callable[[float], float]:
    """A function that never raises: outside of the domain NaN, too large `overflow` of the argument."""

    def call(x: float) -> float:
        try:
            return function(x)
        except ValueError:
            return math.nan
        except OverflowError:
            return overflow(x)

    return call


def _infinite(x: float) -> float:
    return math.inf


def _signed_infinite(x: float) -> float:
    return math.copysign(math.inf, x)


def _logarithm(function: Callable[[float], float], pole: float) -> Callable[[float], float]:
    def call(x: float) -> float:
        if x == pole:
            return -math.inf
        return function(x) if x > pole else math.nan

    return call


def _atanh(x: float) -> float:
    return math.copysign(math.inf, x) if abs(x) == 1 else _total(math.atanh, _infinite)(x)


def _power(x: float, y: float) -> float:
    try:
        return math.pow(x, y)
    except OverflowError:
        # Python raises for a result that is too large; an odd integral exponent keeps the sign.
        return -math.inf if x < 0 and math.fmod(y, 2) in (1, -1) else math.inf
    except ValueError:
        # A pole, or a negative number with a fractional exponent.
        if x == 0:
            return math.copysign(math.inf, x) if math.fmod(y, 2) in (1, -1) else math.inf
        return math.nan


FUNCTIONS: dict[str, Callable[..., float]] = {
    "acos": _total(math.acos, _infinite),
    "acosh": _total(math.acosh, _infinite),
    "asin": _total(math.asin, _infinite),
    "asinh": _total(math.asinh, _signed_infinite),
    "atan": math.atan,
    "atan2": math.atan2,
    "atanh": _atanh,
    "cbrt": math.cbrt,
    "cos": _total(math.cos, _infinite),
    "cosh": _total(math.cosh, _infinite),
    "exp2": _total(math.exp2, _infinite),
    "expm1": _total(math.expm1, _infinite),
    "log10": _logarithm(math.log10, 0),
    "log1p": _logarithm(math.log1p, -1),
    "log2": _logarithm(math.log2, 0),
    "pow": _power,
    "sin": _total(math.sin, _infinite),
    "sinh": _total(math.sinh, _signed_infinite),
    "tan": _total(math.tan, _infinite),
    "tanh": math.tanh,
}
