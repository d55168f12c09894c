"""The linker of WebAssembly libraries, as the compiler's flag names it.

Enters: nothing but where the compiler's package is. Leaves: the session flag `--iree-llvmcpu-wasm-linker-path`. The
kernels call functions of the C math library that the compiler does not bring along (`fmaxf`, `roundf`, `fmod`, …).
With `--allow-undefined` the linker makes imports of them, which the device provides. The flag's text goes to a shell as
the first words of a command, so it can hold the shell's own call and needs no script file.
"""

from __future__ import annotations

import importlib
import shlex
import sys
from pathlib import Path

from webree.errors import CompileError

__all__ = ["linker_flag"]

_OPTIONS = "--allow-undefined -O2"


def linker_flag() -> str:
    """The flag that names the linker. Raises `CompileError` where there is none that can be used."""
    if sys.platform == "win32":
        raise CompileError(
            "compiling for the target cpu needs a POSIX shell to call the linker, which Windows does not have; compile "
            "on Linux or macOS (or under WSL), or for the targets webgpu and vmvx, which need no linker"
        )
    libraries = Path(str(importlib.import_module("iree.compiler._mlir_libs").__file__)).parent
    linker = libraries / "iree-lld"
    if not linker.is_file():
        raise CompileError(
            f"the target cpu needs the linker iree-lld of the package iree-base-compiler, and {linker} is "
            'no file; install the package anew: pip install --force-reinstall "webree[compiler]"'
        )
    command = f'exec {shlex.quote(str(linker))} "$@" {_OPTIONS}'
    return f"--iree-llvmcpu-wasm-linker-path=sh -c {shlex.quote(command)} iree-lld"
