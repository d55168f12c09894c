"""Rows of a native module's table: a name, a calling convention, the types of the references, a Python function.

Enters: the row. Leaves: a `NativeFunction` that checks its references before the function sees them, since the bytecode
verifier cannot know what kind of object a reference register will hold. Spans are checked by the functions themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from webree.errors import InvocationError
from webree.vm.native import NativeFunction

__all__ = ["by_name", "or_null", "row"]

RefType = type | tuple[type, ...]


def or_null(kind: type) -> tuple[type, ...]:
    """The type of a reference that may be null."""
    return (kind, type(None))


def row(
    module: str,
    name: str,
    calling_convention: str,
    function: Callable[..., Any],
    *refs: RefType,
    suspends: bool = False,
) -> NativeFunction:
    """A table row. `refs` are the types of the `r` arguments outside spans, in order."""
    positions = _ref_positions(calling_convention)
    assert len(positions) == len(refs), f"{module}.{name}: {len(positions)} references, {len(refs)} types"
    if not refs:
        return NativeFunction(name, calling_convention, function, suspends)
    checks = tuple(zip(positions, refs, strict=True))

    def call(*arguments: Any) -> Any:
        for position, kind in checks:
            if not isinstance(arguments[position], kind):
                raise _wrong_reference(f"{module}.{name}", position, kind, arguments[position])
        return function(*arguments)

    return NativeFunction(name, calling_convention, call, suspends)


def by_name(functions: Iterable[NativeFunction]) -> Mapping[str, NativeFunction]:
    """The table as a mapping; names are unique."""
    table = {function.name: function for function in functions}
    return table


def _ref_positions(calling_convention: str) -> list[int]:
    """Positions of `r` among the top-level arguments; a span counts as one argument."""
    positions, position, depth = [], 0, 0
    for letter in calling_convention[1:].partition("_")[0]:
        if letter == "D":
            depth = 0
            position += 1
        elif letter == "C":
            depth = 1
        elif depth == 0 and letter != "v":
            if letter == "r":
                positions.append(position)
            position += 1
    return positions


def _wrong_reference(name: str, position: int, kind: RefType, found: object) -> InvocationError:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    expected = " or ".join("null" if one is type(None) else f"a {one.__name__}" for one in kinds)
    what = "null" if found is None else f"a {type(found).__name__}"
    return InvocationError(f"{name}: argument {position} is {what}, expected {expected}; the module is faulty")
