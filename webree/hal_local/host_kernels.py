"""Kernels that inline programs call: which executable formats there are, and who loads them.

Enters: a format's name and an executable. Leaves: `HostKernels`, called synchronously on the program's own buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from webree.errors import DeviceError, StatusCode
from webree.hal_local.engine import LibraryExport
from webree.module.source import ByteSource
from webree.vm.buffers import VmBuffer

__all__ = ["LOADERS", "HostKernels", "load_kernels"]


class HostKernels(Protocol):
    """Kernels of one executable. Attributes: `exports`, by ordinal."""

    exports: tuple[LibraryExport, ...]

    def dispatch(
        self,
        export: int,
        workgroup_count: tuple[int, int, int],
        constants: bytes | memoryview,
        bindings: Sequence[VmBuffer],
    ) -> None:
        """All workgroups of one dispatch; `constants` are 32-bit words. Raises a `WebreeError` if a kernel fails."""
        ...


def _vmvx(data: ByteSource, constants: bytes) -> HostKernels:
    from webree.hal_local.vmvx_executable import load_vmvx

    return load_vmvx(data, constants)


def _wasm(data: ByteSource, constants: bytes) -> HostKernels:
    from webree.hal_local.host_wasm import load_wasm

    return load_wasm(data, constants)


LOADERS: dict[str, Callable[[ByteSource, bytes], HostKernels]] = {
    "system-wasm-wasm_32": _wasm,
    "vmvx-bytecode-fb": _vmvx,
}


def load_kernels(format: str, data: ByteSource, constants: bytes) -> HostKernels:
    """Load an executable. Raises `ModuleError` for damaged data, `DeviceError` for an unknown format."""
    loader = LOADERS.get(format)
    if loader is None:
        raise DeviceError(
            f"kernels in format {format!r} cannot be called; supported are {', '.join(LOADERS)}",
            status=StatusCode.INCOMPATIBLE,
        )
    return loader(data, constants)
