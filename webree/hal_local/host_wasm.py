"""WebAssembly kernels that inline programs call on their own buffers.

Enters: executables of format `system-wasm-wasm_32`, and the buffers of a dispatch, which lie in Python's memory.
Leaves: results in those buffers. Kernels see one linear memory, that of an engine which all inline programs of a
process share: ranges go in before a dispatch and come out after it; constants go in once and stay while the program
has them.
"""

from __future__ import annotations

import sys
import weakref
from array import array
from collections.abc import Sequence
from typing import Any

from webree.errors import DeviceError
from webree.hal_local.arena import Arena, Block
from webree.hal_local.engine import Engine
from webree.hal_local.stream import StreamWriter
from webree.module.source import ByteSource, MemorySource
from webree.vm.buffers import VmBuffer

__all__ = ["WasmKernels", "load_wasm"]

WASM_FORMAT = "system-wasm-wasm_32"
_MINIMUM_CONSTANT_BYTES = 256
"""Smaller constants are not worth a block that stays."""


class _Memory:
    """An engine, and what lies in its memory. Attributes: `engine`, `arena`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.arena = Arena(engine, engine.counters)
        self._constants: weakref.WeakKeyDictionary[VmBuffer, Block] = weakref.WeakKeyDictionary()

    def constant(self, buffer: VmBuffer) -> int:
        """The address of a read-only buffer's bytes, which are written the first time and freed with the buffer."""
        block = self._constants.get(buffer)
        if block is None:
            block = self._constants[buffer] = self.arena.allocate(buffer.byte_length)
            self.engine.write(block.address, buffer.source())
        return block.address


_shared: weakref.WeakValueDictionary[str, _Memory] = weakref.WeakValueDictionary()


def _shared_memory() -> _Memory:
    memory = _shared.get("wasm")
    if memory is None or memory.engine.failure is not None:
        memory = _shared["wasm"] = _Memory(_create_engine())
    return memory


def _create_engine() -> Engine:
    """One thread; everything is done when a call returns."""
    if sys.platform == "emscripten":
        from webree.hal_local.host_wasm_browser import create_engine
    else:
        from webree.hal_local.host_wasm_native import create_engine
    engine: Engine = create_engine()
    return engine


def load_wasm(data: ByteSource, constants: bytes = b"") -> WasmKernels:
    """Link an executable. Raises `ModuleError` for damaged data, `DeviceError` for an import that nobody has."""
    if constants:
        raise DeviceError(f"{len(constants)} bytes of specialisation constants: WebAssembly libraries take none here")
    memory = _shared_memory()
    library = memory.engine.load(data)
    if (wait := memory.engine.ready()) is not None:
        wait.block()
    return WasmKernels(memory, library)


class WasmKernels:
    """Kernels of one executable. Attributes: `exports`, by ordinal."""

    def __init__(self, memory: _Memory, library: Any) -> None:
        self.exports = library.exports
        self._memory = memory
        self._library = library
        weakref.finalize(self, _unload, memory, library)

    def dispatch(
        self,
        export: int,
        workgroup_count: tuple[int, int, int],
        constants: bytes | memoryview,
        bindings: Sequence[VmBuffer],
    ) -> None:
        """All workgroups of one dispatch. Raises `DeviceError` if a kernel traps."""
        if 0 in workgroup_count:
            return
        engine = self._memory.engine
        addresses, spans = self._place(bindings)
        writer = StreamWriter()
        words = array("I", bytes(constants))
        lengths = [buffer.byte_length for buffer in bindings]
        writer.dispatch(self._library.identifier, export, workgroup_count, words, addresses, lengths)
        engine.submit(writer.words)
        results = engine.read([(block.address, len(view)) for view, block in spans]).block()
        for (view, block), source in zip(spans, results, strict=True):
            view[:] = source.read(0, len(view))
            block.release()

    def _place(self, bindings: Sequence[VmBuffer]) -> tuple[list[int], list[tuple[memoryview, Block]]]:
        """The address of every binding, and the copies that must come back afterwards.

        Bindings that overlap share one copy, so that a kernel sees one binding's writes through the other."""
        memory = self._memory
        addresses = [0] * len(bindings)
        spans: list[tuple[memoryview, Block]] = []
        ranges: dict[int, list[tuple[int, int, int]]] = {}
        for position, buffer in enumerate(bindings):
            root = buffer.parent or buffer
            if not root.mutable and root.byte_length >= _MINIMUM_CONSTANT_BYTES:
                addresses[position] = memory.constant(root) + buffer.parent_offset
                continue
            begin = buffer.parent_offset
            ranges.setdefault(id(root), []).append((begin, begin + buffer.byte_length, position))
        for group in ranges.values():
            for members in _overlapping(sorted(group)):
                begin, end = members[0][0], max(member[1] for member in members)
                root = bindings[members[0][2]].parent or bindings[members[0][2]]
                view = root.view()[begin:end]
                block = memory.arena.allocate(len(view))
                memory.engine.write(block.address, MemorySource(view))
                for member_begin, _, position in members:
                    addresses[position] = block.address + member_begin - begin
                spans.append((view if root.mutable else memoryview(bytearray(view)), block))
        return addresses, spans


def _overlapping(ranges: list[tuple[int, int, int]]) -> list[list[tuple[int, int, int]]]:
    """Sorted ranges in groups of those that overlap one another."""
    groups: list[list[tuple[int, int, int]]] = []
    end = -1
    for item in ranges:
        if item[0] < end:
            groups[-1].append(item)
        else:
            groups.append([item])
        end = max(end, item[1])
    return groups


def _unload(memory: _Memory, library: Any) -> None:
    if memory.engine.failure is None:
        memory.engine.unload(library)
