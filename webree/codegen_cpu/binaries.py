"""A linked WebAssembly library, finished.

Enters: a library as the linker made it. Leaves: the same library, valid (see half.py), and without the sections that
only debuggers read, which are two thirds of it.
"""

from __future__ import annotations

from webree.codegen_cpu.half import correct_half_conversions
from webree.codegen_cpu.sections import CUSTOM, join, split

__all__ = ["finish_library"]

_KEPT = frozenset({"dylink.0"})


def finish_library(data: bytes) -> bytes:
    """The library as it goes into the module. Raises `CompileError` if it cannot be one."""
    sections = split(data)
    correct_half_conversions(sections)
    return join(section for section in sections if section.kind != CUSTOM or section.name in _KEPT)
