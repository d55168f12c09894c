"""What a module written in Python (`hal`, `io_parameters`, `check`, …) offers to bytecode programs.

Enters: argument values as the calling convention names them. Leaves: results in the same form: `i`/`I` are Python ints
in the signed range of 32/64 bits, `f`/`F` floats (f32 values already rounded), `r` any Python object or None for null;
a span `C..D` is one list, of values if its element is one item and of tuples if it is several. No result is None, one
result the value itself, several a tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["NativeFunction", "NativeModule"]


@dataclass(frozen=True, slots=True)
class NativeFunction:
    """One importable function.

    Attributes:
        name: local name with dots (`buffer_view.create`).
        calling_convention: IREE's string (`0rIIiiCID_r`); an importer's must be equal.
        call: the Python callable, given the arguments by position.
        suspends: True if `call` returns a `Suspendable` (webree/waiting.py), whose return value is the result.
    """

    name: str
    calling_convention: str
    call: Callable[..., Any]
    suspends: bool = False


class NativeModule(Protocol):
    """A named set of native functions at one version."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def functions(self) -> Mapping[str, NativeFunction]: ...
