"""A linked WebAssembly library, finished.

Enters: a library as the linker made it. Leaves: the same library, valid (see half.py), with no import that the CPU
device lacks, and without the sections that only debuggers read.
"""

from __future__ import annotations

from webree.codegen_cpu.half import correct_half_conversions
from webree.codegen_cpu.imports import check_imports
from webree.codegen_cpu.sections import CUSTOM, join, split

__all__ = ["finish_library"]

_KEPT = frozenset({"dylink.0"})


def finish_library(data: bytes) -> bytes:
    """The library as it goes into the module. Raises `CompileError` if it cannot be one."""
    sections = split(data)
    correct_half_conversions(sections)
    check_imports(sections)
    return join(section for section in sections if section.kind != CUSTOM or section.name in _KEPT)
