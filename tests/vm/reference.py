"""Runs a module in IREE's own runtime and in ours, and reports results in one form.

Enters: MLIR text or module bytes, integer arguments. Leaves: an `Outcome`: the integer results, or the status of a
failure.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import iree.runtime as iree_runtime

from webree.errors import InvocationError, StatusCode
from webree.module.reader import read_module
from webree.module.source import MemorySource
from webree.vm.context import Context
from webree.vm.native import NativeModule
from webree.waiting import run_sync

COMPILER = Path(sys.executable).with_name("iree-compile")


@dataclass(frozen=True)
class Outcome:
    """What a call gave: results, or the name of a failure's status."""

    results: tuple[Any, ...] = ()
    failure: str | None = None


def compile_vm(text: str, *flags: str) -> bytes:
    """Compile MLIR in the vm dialect; other dialects with `--compile-mode=std` among the flags."""
    mode = [] if any(flag.startswith("--compile-mode") for flag in flags) else ["--compile-mode=vm"]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.mlir"), Path(folder, "out.vmfb")
        source.write_text(text)
        command = [COMPILER, *mode, "--iree-vm-target-extension-f64", *flags, source, "-o", target]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise AssertionError(f"iree-compile failed:\n{done.stderr[:4000]}")
        return target.read_bytes()


class IreeModule:
    """A module in IREE's runtime."""

    def __init__(self, data: bytes, others: Sequence[Any] = ()) -> None:
        self._instance = iree_runtime.VmInstance()
        self._module = iree_runtime.VmModule.copy_buffer(self._instance, data)
        self._context = iree_runtime.VmContext(self._instance, [*others, self._module])

    def call(self, name: str, arguments: Sequence[int]) -> Outcome:
        """Call with integers (floats travel as bits)."""
        inputs, outputs = iree_runtime.VmVariantList(8), iree_runtime.VmVariantList(8)
        for argument in arguments:
            inputs.push_int(argument)
        try:
            self._context.invoke(self._module.lookup_function(name), inputs, outputs)
        except (RuntimeError, IndexError, ValueError, PermissionError, MemoryError, LookupError) as error:
            return Outcome(failure=_status_name(str(error)))
        return Outcome(tuple(outputs.get_variant(i) for i in range(len(outputs))))


class OurModule:
    """A module in ours."""

    def __init__(self, data: bytes, natives: Sequence[NativeModule] = ()) -> None:
        self.context = run_sync(Context.create(read_module(MemorySource(data)), natives))

    def call(self, name: str, arguments: Sequence[int]) -> Outcome:
        try:
            return Outcome(run_sync(self.context.exports[name].invoke(arguments)))
        except InvocationError as error:
            return Outcome(failure=error.status.name)


_STATUS_NAMES = frozenset(code.name for code in StatusCode)


def _status_name(message: str) -> str:
    """IREE's Python binding says `Error invoking function: file.c:1: OUT_OF_RANGE; …`."""
    words = message.replace(";", " ").replace(":", " ").split()
    return next((word for word in words if word in _STATUS_NAMES), message)
