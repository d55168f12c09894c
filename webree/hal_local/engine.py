"""An engine: one linear WebAssembly memory, the kernels linked into it, and threads that play command streams.

Enters: addresses, byte sources, WebAssembly libraries of the compiler, and command streams of `stream.py`. Leaves:
results in the memory. Everything that a tensor is made of lies in the engine's memory, never on Python's heap.
`native.py` is the engine over wasmtime, `browser.py` the one over the browser's own `WebAssembly`; `device.py` drives
both through this protocol alone.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Protocol

from webree.errors import DeviceError
from webree.hal.device import Counters
from webree.module.source import ByteSource
from webree.waiting import Wait

__all__ = ["MAXIMUM_MEMORY_BYTES", "PAGE_BYTES", "Engine", "Library", "LibraryExport"]

PAGE_BYTES = 64 << 10
MAXIMUM_MEMORY_BYTES = (1 << 32) - PAGE_BYTES
"""Addresses have 32 bits; the last page is left out so that an end address is one too."""


@dataclass(frozen=True, slots=True)
class LibraryExport:
    """One kernel of a library, as its own tables describe it (IREE's executable library ABI, version 6).

    Attributes:
        name: the export's name, as the host program looks it up.
        constant_count, binding_count: what a dispatch must pass.
        workgroup_size: as the library declares it; (1, 1, 1) where it declares nothing.
        local_memory_bytes: scratch memory that each workgroup needs.
    """

    name: str
    constant_count: int
    binding_count: int
    workgroup_size: tuple[int, int, int] = (1, 1, 1)
    local_memory_bytes: int = 0


@dataclass(slots=True)
class Library:
    """A library that was given to an engine.

    Attributes:
        exports: its kernels in order; known at once, read from the file's own tables.
        identifier: what DISPATCH commands name it by; after `unload` another library may get it.
    """

    exports: tuple[LibraryExport, ...]
    identifier: int


class Engine(Protocol):
    """Everything acts in the order of the calls, as a queue does, and returns at once.

    A late failure (a trap in a kernel, a kernel's non-zero status, a worker that died) is kept in `failure`, and every
    later call raises it.

    Attributes:
        name: the adapter's name (`wasm`).
        description: the engine and its version, the number of threads and why it is not more, for people.
        thread_count: threads that share the workgroups of a dispatch.
        counters: `crossings`, `uploaded_bytes`, `read_back_bytes` are counted here, the rest by the device.
        memory_bytes: length of the memory now. The engine keeps `[0, base_address)` for itself (stacks, libraries'
            data, its own scratch) and the device owns everything above.
        base_address: the first address that the device may use; a multiple of 64.
        failure: why the engine is of no more use, or None.
    """

    name: str
    description: str
    thread_count: int
    counters: Counters
    memory_bytes: int
    base_address: int
    failure: DeviceError | None

    def grow(self, byte_length: int) -> None:
        """Make the memory at least that long; new bytes are zero. Raises `DeviceError` (RESOURCE_EXHAUSTED)."""
        ...

    def write(self, address: int, source: ByteSource) -> None:
        """Write all of `source`, after the streams that were submitted before; it may be reused on return."""
        ...

    def read(self, ranges: list[tuple[int, int]]) -> Wait:
        """Copies of (address, byte length) ranges, after all that was submitted: a list of `ByteSource`."""
        ...

    def load(self, data: ByteSource) -> Library:
        """Link a library; its compilation may go on until `ready`. Raises `ModuleError` for damaged data,
        `DeviceError` for an import that nobody has."""
        ...

    def unload(self, library: Library) -> None:
        """Free the library's data, once the streams that were submitted before are done."""
        ...

    def ready(self) -> Wait | None:
        """None when every library is compiled, else a wait for it. Raises `DeviceError` for one that is rejected."""
        ...

    def submit(self, words: array[int]) -> None:
        """Play a stream of `stream.py` after all others; the array may be reused on return. All libraries that it
        names are ready."""
        ...

    def idle(self) -> Wait | None:
        """None when all that was submitted is done, else a wait for it; raises the failure if there is one."""
        ...

    def close(self) -> None:
        """Free everything. Safe to call twice."""
        ...
