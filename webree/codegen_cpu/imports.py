"""What a WebAssembly library of kernels may import.

Enters: a library's sections. Leaves: nothing, or the error that names the function that nobody provides. A device
provides the functions of its own libm.wasm, and those of C's math library that take and give f64 (host_math.py).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from importlib import resources

from webree.codegen_cpu.functions import FunctionType, exported_functions, imported_functions
from webree.codegen_cpu.sections import Section, split
from webree.errors import CompileError
from webree.hal_local import host_math

__all__ = ["check_imports", "provided_functions"]


def check_imports(sections: Sequence[Section]) -> None:
    """Raises `CompileError` if a library imports a function that the CPU device does not have."""
    provided = provided_functions()
    missing = [item for item in imported_functions(sections) if provided.get(item.name) != item.type]
    if missing:
        named = "; ".join(f"{item.name} {item.type}" for item in missing)
        raise CompileError(
            f"the kernels need functions that the CPU device does not provide: {named}. It has those of C's math "
            f"library for f32 and f64: {', '.join(sorted(provided))}. Compute with other operations or element types",
            unsupported=True,
        )


@functools.cache
def provided_functions() -> Mapping[str, FunctionType]:
    """Types by name of the functions that the CPU device has for libraries."""
    libm = resources.files("webree.hal_local").joinpath("player/libm.wasm").read_bytes()
    doubles = {name: FunctionType(("f64",) * host_math.arity(name), ("f64",)) for name in host_math.FUNCTIONS}
    return {**doubles, **exported_functions(split(libm))}
