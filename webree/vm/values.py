"""Values at the boundary between callers and translated functions.

Enters: what a caller passes for one letter of a calling convention. Leaves: the form that translated functions rely on.
"""

from __future__ import annotations

from typing import Any

from webree.errors import InvocationError
from webree.vm.arithmetic import round_f32, wrap32, wrap64

__all__ = ["to_argument"]


def to_argument(letter: str, value: Any, where: str) -> Any:
    """`value` as an `i` or `I` (an int in the signed or unsigned range), `f` or `F` (a number) or `r`.

    Raises `InvocationError`, starting with `where`."""
    if letter == "r":
        return value
    try:
        if letter in "fF":
            return round_f32(float(value)) if letter == "f" else float(value)
        number = value.__index__()
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        kind = "a number" if letter in "fF" else "an integer"
        raise InvocationError(f"{where}: expected {kind}, found {type(value).__name__}") from error
    bits = 32 if letter == "i" else 64
    if not -(1 << bits - 1) <= number < 1 << bits:
        raise InvocationError(f"{where}: {number} does not fit {bits} bits")
    return wrap32(number) if letter == "i" else wrap64(number)
