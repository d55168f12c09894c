"""MLIR bytecode from a file, tried in a process of its own before this one reads it.

Enters: bytecode that came from outside. Leaves: nothing, or a `CompileError`. MLIR's reader trusts what it reads:
counts and indices of a damaged file end the process, by a segmentation fault or for want of memory. The reader of text
does not. The tool that tries is in the compiler's wheel; it takes 0.2 s, and as long as reading takes.
"""

from __future__ import annotations

import os
import signal
import subprocess

from webree.errors import CompileError

__all__ = ["MAGIC", "try_bytecode"]

MAGIC = b"ML\xefR"
_SECONDS, _BYTES_A_SECOND = 30, 1 << 20  # far more than reading takes
_REFUSED = 1  # the tool's exit code for bytecode whose damage the reader sees


def try_bytecode(data: bytes, label: str) -> None:
    """Raises `CompileError` if reading `data` ends the process that does it."""
    from iree.compiler.tools.binaries import find_tool

    try:
        code = subprocess.run(
            [find_tool("iree-opt"), "-", "--mlir-disable-threading", "--emit-bytecode", "-o", os.devnull],
            input=data,
            capture_output=True,
            check=False,
            timeout=_SECONDS + len(data) / _BYTES_A_SECOND,
        ).returncode
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except subprocess.TimeoutExpired:
        code, how = -1, "it does not end"
    if code not in (0, _REFUSED):
        raise CompileError(
            f"{label} is damaged: MLIR's reader of bytecode does not survive it ({how}); write the file again, or save "
            "the program as text",
            location=label,
        )
