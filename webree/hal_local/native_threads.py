"""The threads of the native engine: each has its own wasmtime store, all have the same memory.

Enters: a memory, the player, libraries with their places, and calls of the player. Leaves: the player's status, or a
`PlayerTrap`. wasmtime's calls release the interpreter lock, so Python threads really run side by side; thread 0 is the
one that calls. The others sit in the player's `serve` between streams, so that a stream costs no Python at all there,
and leave it only for libraries to be linked and at the end.

Besides native_memory.py this is the one file that touches wasmtime's private `_ffi`, because the public `Func.__call__`
asks for the function's type at every call.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi

from webree.hal_local import host_math
from webree.hal_local.layout import CONTROL_ADDRESS, PAUSE_INDEX, Layout, Placement
from webree.hal_local.library_tables import LIBRARY_VERSION, QUERY_EXPORT, RELOCATION_EXPORT
from webree.hal_local.native_memory import LinearMemory

__all__ = ["Binaries", "Pauses", "PlayerTrap", "Worker", "WorkerPool"]

_MASK = 0xFFFF_FFFF

_MAXIMUM_INSTANCES = 1 << 30
_WAKE, _SLEEP = -1, -2
_YIELDS = 50
_NAP_SECONDS = 50e-6


class PlayerTrap(Exception):
    """Code in the memory trapped; the text is wasmtime's own word for it."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """Attributes:
    player, libm: compiled.
    """

    player: wasmtime.Module
    libm: wasmtime.Module


class _Call:
    """A function of i32 parameters and at most one i32 result, called without going through its type."""

    def __init__(self, store: wasmtime.Store, function: wasmtime.Func, parameters: int, results: int) -> None:
        self._context = store._context()
        self._function = ctypes.byref(function._func)
        self._owners = (store, function)
        self._parameters = (ffi.wasmtime_val_t * max(parameters, 1))()
        for value in self._parameters:
            value.kind = ffi.WASMTIME_I32
        self._results = (ffi.wasmtime_val_t * 1)()
        self._counts = parameters, results

    def __call__(self, *values: int) -> int:
        for position, value in enumerate(values):
            self._parameters[position].of.i32 = value
        trap = ctypes.POINTER(ffi.wasm_trap_t)()
        parameters, results = self._counts
        error = ffi.wasmtime_func_call(
            self._context, self._function, self._parameters, parameters, self._results, results, ctypes.byref(trap)
        )
        if error:
            raise PlayerTrap(str(wasmtime.WasmtimeError._from_ptr(error)))
        if trap:
            raise PlayerTrap(_trap_text(wasmtime.Trap._from_ptr(trap)))
        return int(self._results[0].of.i32) & _MASK


def _trap_text(trap: wasmtime.Trap) -> str:
    """The last line of wasmtime's message, without the backtrace of addresses."""
    lines = [line.strip() for line in trap.message.splitlines() if line.strip()]
    for line in lines:
        if "wasm trap:" in line:
            return line.split("wasm trap:", 1)[1].strip()
    return lines[-1] if lines else "trap"


class Worker:
    """What one thread has of its own: store, function table, stack, instances."""

    def __init__(
        self,
        memory: LinearMemory,
        binaries: Binaries,
        layout: Layout,
        thread: int,
        pause: Callable[[int], None],
    ) -> None:
        self.thread = thread
        self.trap: str | None = None
        self.store = memory.stores[thread]
        # A store keeps what was instantiated in it; wasmtime would stop at 10,000 instances.
        self.store.set_limits(instances=_MAXIMUM_INSTANCES)
        self._globals: dict[int, wasmtime.Global] = {}
        i32 = wasmtime.ValType.i32()
        self.table = wasmtime.Table(
            self.store, wasmtime.TableType(wasmtime.ValType.funcref(), wasmtime.Limits(layout.table_size, None)), None
        )
        self.table_size = layout.table_size
        signature = wasmtime.FuncType([i32], [])
        self.table.set(self.store, PAUSE_INDEX, wasmtime.Func(self.store, signature, pause))
        stack = wasmtime.Global(
            self.store,
            wasmtime.GlobalType(i32, True),
            wasmtime.Val.i32(layout.stack_pointer(thread)),
        )
        self.linker = wasmtime.Linker(memory.engine)
        self.linker.allow_shadowing = True
        for name, item in (
            ("memory", memory.memories[thread]),
            ("__indirect_function_table", self.table),
            ("__stack_pointer", stack),
        ):
            self.linker.define(self.store, "env", name, item)
        libm = self.linker.instantiate(self.store, binaries.libm)
        self._define_functions(libm)
        player = self.linker.instantiate(self.store, binaries.player).exports(self.store)
        self.play = self._call(player, "play", 5, 1)
        self.lead = self._call(player, "lead", 4, 1)
        self.serve = self._call(player, "serve", 3, 1)
        self.dismiss = self._call(player, "dismiss", 1, 0)
        self.trapped = self._call(player, "trapped", 2, 0)

    def _define_functions(self, libm: wasmtime.Instance) -> None:
        f64 = wasmtime.ValType.f64
        for name in host_math.FUNCTIONS:
            signature = wasmtime.FuncType([f64() for _ in range(host_math.arity(name))], [f64()])
            encoded = name.encode()
            error = ffi.wasmtime_linker_define_func_unchecked(
                *(self.linker.ptr(), ctypes.create_string_buffer(b"env"), 3),
                *(ctypes.create_string_buffer(encoded), len(encoded)),
                *(signature.ptr(), _HOST_FUNCTIONS[name], None, _NO_FINALIZER),
            )
            assert not error
        for name, item in libm.exports(self.store).items():
            self.linker.define(self.store, "env", name, item)

    def _call(self, exports: Any, name: str, parameters: int, results: int) -> _Call:
        return _Call(self.store, exports[name], parameters, results)

    def link(self, module: wasmtime.Module, placement: Placement, table_size: int) -> int:
        """Instantiate a library at its place; returns the address of its structure."""
        if table_size > self.table_size:
            self.table.grow(self.store, table_size - self.table_size, None)
            self.table_size = table_size
        i32 = wasmtime.GlobalType(wasmtime.ValType.i32(), False)
        for name, value in (("__memory_base", placement.data_base), ("__table_base", placement.table_base)):
            if value not in self._globals:
                self._globals[value] = wasmtime.Global(self.store, i32, wasmtime.Val.i32(value))
            self.linker.define(self.store, "env", name, self._globals[value])
        exports = self.linker.instantiate(self.store, module).exports(self.store)
        if RELOCATION_EXPORT in exports:
            self._call(exports, RELOCATION_EXPORT, 0, 0)()
        return self._call(exports, QUERY_EXPORT, 2, 1)(LIBRARY_VERSION, CONTROL_ADDRESS + 256)


def _host_function(function: Callable[..., float], arity: int) -> Any:
    """A function of f64 as wasmtime's C interface calls it, with the arguments where the result goes."""
    if arity == 1:

        def call(_environment: Any, _caller: Any, values: Any, _count: int) -> int:
            values[0].f64 = function(values[0].f64)
            return 0
    else:

        def call(_environment: Any, _caller: Any, values: Any, _count: int) -> int:
            values[0].f64 = function(values[0].f64, values[1].f64)
            return 0

    return ffi.wasmtime_func_unchecked_callback_t(call)


# Kept for good: linkers have their addresses.
_HOST_FUNCTIONS = {name: _host_function(call, host_math.arity(name)) for name, call in host_math.FUNCTIONS.items()}
_NO_FINALIZER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)()


class Pauses:
    """How threads wait that have spun for a while; the player calls this.

    Attributes:
        interrupted: Ctrl-C came in between; to be raised when the stream is done, for it cannot be left half-way.
    """

    def __init__(self, memory: LinearMemory) -> None:
        self.interrupted = False
        self._generation = memory.view()[CONTROL_ADDRESS : CONTROL_ADDRESS + 3]
        self._changed = threading.Condition(threading.Lock())

    def __call__(self, what: int) -> None:
        while True:
            try:
                return self._pause(what)
            except KeyboardInterrupt:
                self.interrupted = True

    def _pause(self, what: int) -> None:
        if what <= _SLEEP:
            seen = (_SLEEP - what).to_bytes(3, "little")
            with self._changed:
                while self._generation == seen:
                    self._changed.wait()
        elif what == _WAKE:
            with self._changed:
                self._changed.notify_all()
        elif what < _YIELDS and hasattr(os, "sched_yield"):
            os.sched_yield()
        else:
            time.sleep(_NAP_SECONDS)


class WorkerPool:
    """Threads 1.. of an engine. They are started with the first stream and sleep in the player between streams."""

    def __init__(self, workers: list[Worker], thread_count: int) -> None:
        self._workers = workers
        self._thread_count = thread_count
        self._threads: list[threading.Thread] = []
        self._begin = [threading.Semaphore(0) for _ in workers]
        self._ended = threading.Semaphore(0)
        self._serving = False
        self._stopping = False
        self._process = os.getpid()

    @property
    def forked(self) -> bool:
        """Whether this process is a fork of the one that has the threads. Their stores cannot be used here."""
        return os.getpid() != self._process

    @property
    def trap(self) -> str | None:
        """The first trap of a thread, as wasmtime tells it."""
        return next((worker.trap for worker in self._workers if worker.trap), None)

    @property
    def serving(self) -> bool:
        return self._serving

    def resume(self) -> None:
        """Let all threads serve. The control block's `quit` is 0."""
        if not self._threads:
            for position, worker in enumerate(self._workers):
                thread = threading.Thread(
                    target=self._run,
                    args=(worker, self._begin[position]),
                    name=f"webree-cpu-{worker.thread}",
                    daemon=True,
                )
                self._threads.append(thread)
                thread.start()
        for semaphore in self._begin:
            semaphore.release()
        self._serving = True

    def pause(self) -> None:
        """Wait until no thread is in the player. `dismiss` has been called."""
        if self._serving:
            for _ in self._workers:
                self._ended.acquire()
            self._serving = False

    def stop(self) -> None:
        """End the threads; `pause` came before."""
        self._stopping = True
        for semaphore in self._begin:
            semaphore.release()
        for thread in self._threads:
            thread.join()
        self._threads = []

    def _run(self, worker: Worker, begin: threading.Semaphore) -> None:
        while True:
            begin.acquire()
            if self._stopping:
                return
            try:
                worker.serve(CONTROL_ADDRESS, worker.thread, self._thread_count)
            except PlayerTrap as trap:
                worker.trap = str(trap)
                worker.trapped(CONTROL_ADDRESS, worker.thread)
            self._ended.release()
