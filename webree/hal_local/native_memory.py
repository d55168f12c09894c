"""The native engine's linear memory: one range of bytes that is the memory of every thread's wasmtime store.

Enters: a byte length. Leaves: for each store a `wasmtime.Memory` over the same bytes, and a view of them for the host.

Why not wasmtime's own shared memories: each instantiation wraps a shared memory anew in its store, and with the second
one an access out of bounds ends the process (an assertion in `Store::wasm_fault`, wasmtime 50), where it must be a
trap. So one ordinary memory, which nothing but this file uses, owns the bytes with its reserve of addresses and its
guard pages; the stores of the threads belong to another `wasmtime.Engine`, whose memories come from a host memory
creator (C interface) that hands out those same bytes. Atomic instructions mean the same there; only
`memory.atomic.wait` does not work, and the player waits otherwise.
"""

from __future__ import annotations

import ctypes
from typing import Any

import wasmtime
from wasmtime import _bindings, _ffi

from webree.hal_local.engine import PAGE_BYTES

__all__ = ["LinearMemory", "configuration"]

_CAPACITY = 1 << 32


def configuration() -> wasmtime.Config:
    """Threads, and machine code that is kept in the user's cache directory."""
    result = _threads()
    try:
        result.cache = True
    except wasmtime.WasmtimeError:
        # No home directory: code is compiled anew each time.
        return _threads()
    return result


def _threads() -> wasmtime.Config:
    result = wasmtime.Config()
    result.wasm_threads = True
    # Written out, because the owner and the other stores must agree on it: 32-bit addresses need no checks then.
    result.memory_reservation = _CAPACITY
    result.memory_guard_size = 32 << 20
    return result


class LinearMemory:
    """Attributes:
    engine: to compile for.
    stores: one for each thread.
    memories: the same bytes in each of the stores.
    """

    def __init__(self, byte_length: int, thread_count: int) -> None:
        """Raises `WasmtimeError` where the system does not give the addresses."""
        pages = byte_length // PAGE_BYTES
        self._size = byte_length
        self._owner_store = wasmtime.Store(wasmtime.Engine(configuration()))
        self._owner = wasmtime.Memory(self._owner_store, _memory_type(pages))
        self._base = ctypes.addressof(self._owner.data_ptr(self._owner_store).contents)
        if thread_count == 1:
            self.engine = self._owner_store.engine
            self.stores, self.memories = [self._owner_store], [self._owner]
            return
        self.engine = wasmtime.Engine(self._creator_configuration())
        self.stores = [wasmtime.Store(self.engine) for _ in range(thread_count)]
        # Only memories that a module defines come from the creator.
        module = wasmtime.Module(self.engine, _memory_module(pages))
        self.memories = []
        for store in self.stores:
            memory = wasmtime.Instance(store, module, []).exports(store)["memory"]
            assert isinstance(memory, wasmtime.Memory)
            assert ctypes.addressof(memory.data_ptr(store).contents) == self._base
            self.memories.append(memory)

    def _creator_configuration(self) -> wasmtime.Config:
        base = self._base
        # What each store believes the memory's size to be: wasmtime adds what it grows by to that.
        sizes: list[int] = []

        def get(memory: int, size: Any, capacity: Any) -> int:
            size[0], capacity[0] = sizes[memory - 1], _CAPACITY
            return base

        def grow(memory: int, size: int) -> int:
            # The owner grew before: this store only has to know.
            sizes[memory - 1] = size
            return 0

        def create(_: Any, kind: Any, minimum: int, maximum: int, reserved: int, guard: int, result: Any) -> int:
            sizes.append(minimum)
            result[0].env = len(sizes)
            result[0].get_memory, result[0].grow_memory = callbacks[:2]
            return 0

        callbacks: tuple[Any, ...] = (
            _bindings.wasmtime_memory_get_callback_t(get),
            _bindings.wasmtime_memory_grow_callback_t(grow),
            _bindings.wasmtime_new_memory_callback_t(create),
        )
        # wasmtime calls them as long as the stores live.
        self._callbacks = callbacks
        creator = _bindings.wasmtime_memory_creator_t()
        creator.new_memory = callbacks[2]
        result = configuration()
        _ffi.wasmtime_config_host_memory_creator_set(result.ptr(), ctypes.byref(creator))
        return result

    def grow(self, pages: int) -> None:
        """No thread runs. Raises `WasmtimeError` if the system gives no more."""
        self._owner.grow(self._owner_store, pages)
        self._size += pages * PAGE_BYTES
        for store, memory in zip(self.stores, self.memories, strict=True):
            if memory is not self._owner:
                memory.grow(store, pages)

    def close(self) -> None:
        """Give the memory back at once. No thread runs, and views are not used any more."""
        for store in {id(store): store for store in (*self.stores, self._owner_store)}.values():
            store.close()

    def view(self) -> memoryview:
        """All bytes; good until the memory grows, and as long as this object lives."""
        return memoryview((ctypes.c_ubyte * self._size).from_address(self._base)).cast("B")


def _memory_type(pages: int) -> wasmtime.MemoryType:
    return wasmtime.MemoryType(wasmtime.Limits(pages, None))


def _memory_module(pages: int) -> bytes:
    """A module that has a memory of that many pages (less than 2**21) and exports it."""
    minimum = bytes((pages & 0x7F | 0x80, pages >> 7 & 0x7F | 0x80, pages >> 14 & 0x7F))
    return b"\0asm\1\0\0\0" + b"\5\5\1\0" + minimum + b"\7\x0a\1\6memory\2\0"
