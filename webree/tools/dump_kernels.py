"""The executables inside a module, whatever device they are for: which target, how large, which kernels.

Enters: a module file. Leaves: `Executable`s. A format is known by how its data begins: WGSL in a FlatBuffer (webgpu),
a WebAssembly library (cpu), a module inside the module (vmvx). Nothing is run: WebAssembly libraries tell their kernels
by their own tables, which `webree.hal_local.library_tables` evaluates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from webree.errors import ModuleError
from webree.module.executable import ExecutableFile, read_executable
from webree.module.reader import ModuleFile, read_module
from webree.module.source import ByteSource

__all__ = ["Executable", "executables", "execution_model", "webgpu_files"]

_WGSL, _WASM, _ZIP, _MODULE = b"WGS1", b"\0asm", b"PK\x03\x04", b"IREE"
_HEADER_BYTES = 12
_INTERNAL = ("__init", "__deinit", "__notify", "__set_constants")


@dataclass(frozen=True)
class Executable:
    """One executable: what `--target` calls its kind, its length, and its kernels' facts, by the names of `--json`."""

    target: str
    byte_size: int
    kernels: tuple[dict[str, Any], ...]
    webgpu: ExecutableFile | None = None


def executables(module: ModuleFile) -> Iterator[Executable]:
    """The executables among a module's constants, in the file's order."""
    for segment in module.rodata:
        if segment.size < _HEADER_BYTES:
            continue
        head = bytes(segment.read(0, _HEADER_BYTES))
        if head.startswith(_WGSL):
            file = read_executable(segment)
            kernels = tuple(_webgpu_kernel(file, index) for index in range(len(file.exports)))
            yield Executable("webgpu", segment.size, kernels, file)
        elif head.startswith(_WASM):
            yield Executable("cpu", segment.size, tuple(_wasm_kernels(segment)))
        elif head.startswith(_ZIP) or head[8:] == _MODULE:
            try:
                inner = read_module(segment)
            except ModuleError:  # a constant that happens to begin so
                continue
            yield Executable("vmvx", segment.size, tuple(_vmvx_kernels(inner)))


def webgpu_files(module: ModuleFile) -> Iterator[ExecutableFile]:
    """The WebGPU executables alone."""
    return (found.webgpu for found in executables(module) if found.webgpu is not None)


def execution_model(module: ModuleFile, asynchronous: bool) -> str:
    """As `webree compile --execution-model` names it, by what the program imports; "host" if it needs no device."""
    imported = {item.module for item in module.imports}
    if "hal" in imported:
        return "async-external" if asynchronous else "async-internal"
    if "hal_loader" in imported:
        return "inline-dynamic"
    return "inline-static" if "hal_inline" in imported else "host"


def _webgpu_kernel(file: ExecutableFile, index: int) -> dict[str, Any]:
    export = file.exports[index]
    return {
        "name": export.name,
        "workgroup_size": list(export.workgroup_size),
        "constant_count": export.constant_count,
        "binding_count": len(export.binding_flags),
        "read_only_bindings": sum(export.binding_read_only),
        "flops": export.flops,
        "byte_count": export.byte_count,
        "wgsl_bytes": file.shader_modules[export.shader_module].wgsl.size,
    }


def _wasm_kernels(segment: ByteSource) -> Iterator[dict[str, Any]]:
    from webree.hal_local.library_tables import read_exports

    for export in read_exports(bytes(segment.read(0, segment.size))):
        yield {
            "name": export.name,
            "workgroup_size": list(export.workgroup_size),
            "constant_count": export.constant_count,
            "binding_count": export.binding_count,
            "local_memory_bytes": export.local_memory_bytes,
        }


def _vmvx_kernels(inner: ModuleFile) -> Iterator[dict[str, Any]]:
    for export in inner.exports:
        if export.name not in _INTERNAL and 0 <= export.ordinal < len(inner.signatures):
            attributes = inner.signatures[export.ordinal].attributes
            yield {
                "name": export.name,
                "workgroup_size": [1, 1, 1],
                "constant_count": int(attributes.get("constant_count", 0)),
                "binding_count": int(attributes.get("binding_count", 0)),
                "local_memory_bytes": int(attributes.get("local_memory", 0)),
            }
