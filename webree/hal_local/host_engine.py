"""An engine in plain Python: memory is a bytearray, and kernels are whatever a loader makes of an executable.

Enters: what `engine.py` says. Leaves: the same. The device over it is the one that drives WebAssembly, so everything
but the kernels is shared. VMVX programs run on it (vmvx_executable.py), and so do tests' kernels written in Python.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from itertools import count
from typing import Protocol

from webree.errors import DeviceError, StatusCode, WebreeError
from webree.hal.device import Counters
from webree.hal_local.engine import MAXIMUM_MEMORY_BYTES, Library, LibraryExport
from webree.hal_local.stream import BARRIER, COPY, DISPATCH, DISPATCH_HEADER_WORDS, DISPATCH_INDIRECT, FILL
from webree.module.source import ByteSource, MemorySource
from webree.waiting import Wait

__all__ = ["HostEngine", "HostLibrary"]

_BASE_ADDRESS = 64  # 0 means a released block


class HostLibrary(Protocol):
    """Kernels that work on host memory. Attributes: `exports`; counts are -1 where the file does not tell them."""

    exports: tuple[LibraryExport, ...]

    def run(
        self,
        export: int,
        workgroup_count: tuple[int, int, int],
        constants: memoryview,
        bindings: Sequence[memoryview],
    ) -> None:
        """All workgroups of one dispatch. `constants` are the bytes of 32-bit words, `bindings` writable bytes; not
        to be kept. Raises a `WebreeError` if a kernel fails."""
        ...


class HostEngine:
    """See `webree.hal_local.engine.Engine`. Everything is done when a call returns."""

    thread_count = 1
    base_address = _BASE_ADDRESS

    def __init__(self, load: Callable[[ByteSource], HostLibrary], name: str, description: str) -> None:
        self.name = name
        self.description = description
        self.counters = Counters()
        self.memory_bytes = _BASE_ADDRESS
        self.failure: DeviceError | None = None
        self._load = load
        self._memory = bytearray(_BASE_ADDRESS)
        self._libraries: dict[int, HostLibrary] = {}
        self._identifiers = count(1)

    def grow(self, byte_length: int) -> None:
        if byte_length > MAXIMUM_MEMORY_BYTES:
            raise DeviceError(f"memory of {byte_length} bytes", status=StatusCode.RESOURCE_EXHAUSTED)
        if byte_length > self.memory_bytes:
            try:
                # Not resized in place: that is forbidden while a view of it is left anywhere, in a traceback say.
                grown = bytearray(byte_length)
            except MemoryError as error:
                raise DeviceError(
                    f"the system has no {byte_length} bytes of memory", status=StatusCode.RESOURCE_EXHAUSTED
                ) from error
            grown[: self.memory_bytes] = self._memory
            self._memory, self.memory_bytes = grown, byte_length

    def write(self, address: int, source: ByteSource) -> None:
        self._check()
        self.counters.uploaded_bytes += source.size
        self._memory[address : address + source.size] = source.read(0, source.size)

    def read(self, ranges: list[tuple[int, int]]) -> Wait:
        self._check()
        self.counters.read_back_bytes += sum(length for _, length in ranges)
        view = memoryview(self._memory)
        return _Done([MemorySource(view[address : address + length].tobytes()) for address, length in ranges])

    def load(self, data: ByteSource) -> Library:
        self._check()
        library = self._load(data)
        identifier = next(self._identifiers)
        self._libraries[identifier] = library
        return Library(library.exports, identifier)

    def unload(self, library: Library) -> None:
        self._libraries.pop(library.identifier, None)

    def ready(self) -> Wait | None:
        self._check()
        return None

    def submit(self, words: array[int]) -> None:
        self._check()
        self.counters.crossings += 1
        position, end = 0, len(words)
        while position < end:
            opcode, length = words[position] & 0xFF, words[position] >> 8
            if opcode == COPY:
                source, target, size = words[position + 1 : position + 4]
                self._memory[target : target + size] = self._memory[source : source + size]
            elif opcode == FILL:
                address, size, pattern_length, low, high = words[position + 1 : position + 6]
                pattern = (low | high << 32).to_bytes(8, "little")[:pattern_length]
                self._memory[address : address + size] = pattern * (size // pattern_length)
            elif opcode in (DISPATCH, DISPATCH_INDIRECT):
                self._dispatch(words[position : position + length], opcode == DISPATCH_INDIRECT)
            else:
                assert opcode == BARRIER, f"opcode {opcode}"
            position += length

    def idle(self) -> Wait | None:
        self._check()
        return None

    def close(self) -> None:
        self._libraries.clear()
        self._memory, self.memory_bytes = bytearray(), 0

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _dispatch(self, words: array[int], indirect: bool) -> None:
        _, identifier, export, constant_count, binding_count, x, y, z = words[:DISPATCH_HEADER_WORDS]
        library = self._libraries[identifier]
        addresses = DISPATCH_HEADER_WORDS + constant_count
        lengths = addresses + binding_count
        memory = memoryview(self._memory)
        if indirect:
            x, y, z = memory[x : x + 12].cast("I")
        if not x * y * z:
            return
        constants = memoryview(words[DISPATCH_HEADER_WORDS:addresses].tobytes())
        places = zip(words[addresses:lengths], words[lengths:], strict=True)
        try:
            library.run(export, (x, y, z), constants, [memory[begin : begin + size] for begin, size in places])
        except WebreeError as error:
            name = library.exports[export].name
            self.failure = DeviceError(f"kernel {name!r} failed: {error}", status=StatusCode.INTERNAL)
            raise self.failure from error


class _Done:
    """A wait whose result is there."""

    def __init__(self, result: list[ByteSource]) -> None:
        self._result = result

    def block(self) -> list[ByteSource]:
        return self._result

    async def wait(self) -> list[ByteSource]:
        return self._result
