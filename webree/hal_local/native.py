"""The CPU device's engine over wasmtime: kernels run as machine code on as many threads as there are cores.

Enters: the calls of `engine.py`. Leaves: results in the linear memory. A stream is played to its end before `submit`
returns, so nothing here ever waits; a stream is one call into WebAssembly, whatever the number of its dispatches.
`WEBREE_CPU_THREADS` says how many threads share the work of a stream.
"""

from __future__ import annotations

import os
import struct
import threading
import weakref
from array import array
from collections import deque
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webree.errors import DeviceError, ModuleError, StatusCode
from webree.hal.device import Counters
from webree.hal_local.engine import MAXIMUM_MEMORY_BYTES, PAGE_BYTES, Library
from webree.hal_local.layout import (
    CONTROL_ADDRESS,
    FAILURE_ADDRESS,
    PAUSE_ADDRESS,
    PAUSE_INDEX,
    STREAM_ADDRESS,
    Layout,
    Placement,
    stream_pieces,
)
from webree.hal_local.library_tables import library_imports, read_exports
from webree.hal_local.native_signals import WASMTIME_SIGNALS
from webree.hal_local.wasm_binary import WasmBinary
from webree.module.source import ByteSource, MemorySource
from webree.waiting import Wait

if TYPE_CHECKING:
    from webree.hal_local.native_threads import Worker, WorkerPool

__all__ = ["NativeEngine", "create_engine"]

_THREADS_VARIABLE = "WEBREE_CPU_THREADS"
_MAXIMUM_THREADS = 64
_FOLDER = Path(__file__).resolve().parent / "player"


class _Done:
    """A wait that is over."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def block(self) -> Any:
        return self._result

    async def wait(self) -> Any:
        return self._result


def create_engine(thread_count: int | None = None) -> NativeEngine:
    """An engine with that many threads; by default what `WEBREE_CPU_THREADS` says, or one per core.

    Raises `DeviceError` where wasmtime is not installed or does not know the machine."""
    try:
        import wasmtime  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        raise DeviceError(
            f"the CPU device runs kernels in wasmtime, which cannot be loaded ({error}): "
            "install it with `pip install 'wasmtime>=50,<51'`, or use the device vmvx"
        ) from error
    return NativeEngine(_thread_count() if thread_count is None else thread_count)


def _thread_count() -> int:
    text = os.environ.get(_THREADS_VARIABLE, "")
    if not text:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(cores, _MAXIMUM_THREADS)
    if not text.isdecimal() or not 1 <= int(text) <= _MAXIMUM_THREADS:
        raise DeviceError(
            f"{_THREADS_VARIABLE} is {text!r}, expected a number of threads from 1 to {_MAXIMUM_THREADS}",
            status=StatusCode.INVALID_ARGUMENT,
        )
    return int(text)


def _stop(pool: WorkerPool, leader: Worker) -> None:
    """End the threads of an engine that nobody uses any more."""
    if pool.forked:
        return
    if pool.serving:
        leader.dismiss(CONTROL_ADDRESS)
        pool.pause()
    pool.stop()


class NativeEngine:
    """See `webree.hal_local.engine.Engine`; `create_engine` makes one."""

    name = "wasm"

    def __init__(self, thread_count: int) -> None:
        import wasmtime

        from webree.hal_local import host_math
        from webree.hal_local.native_memory import LinearMemory
        from webree.hal_local.native_threads import Binaries, Pauses, Worker, WorkerPool

        self.thread_count = thread_count
        self.counters = Counters()
        self.failure: DeviceError | None = None
        # A stream lets other Python threads run, and a wasmtime store must never be entered twice.
        self._lock = threading.RLock()
        self._layout = Layout(thread_count)
        self.base_address = self.memory_bytes = self._layout.base_address
        plural = "s" if thread_count > 1 else ""
        self.description = f"wasmtime {version('wasmtime')}, {thread_count} thread{plural}"
        self._libraries: dict[int, tuple[Library, Placement]] = {}
        self._unloaded: deque[Library] = deque()
        try:
            self._memory = LinearMemory(self.base_address, thread_count)
        except wasmtime.WasmtimeError as error:
            raise DeviceError(
                f"the CPU device cannot reserve the addresses of its memory, 4 GiB: {' '.join(str(error).split())}; "
                "raise the limit of the process's address space (ulimit -v), or use the device vmvx",
                status=StatusCode.RESOURCE_EXHAUSTED,
            ) from error
        WASMTIME_SIGNALS.capture()
        binaries = Binaries(self._compile(_file("player.wasm"), "player"), self._compile(_file("libm.wasm"), "libm"))
        self._functions = host_math.LIBM | frozenset(host_math.FUNCTIONS)
        pauses = self._pauses = Pauses(self._memory)
        self._workers = [Worker(self._memory, binaries, self._layout, thread, pauses) for thread in range(thread_count)]
        self._leader = self._workers[0]
        self._pool = WorkerPool(self._workers[1:], thread_count)
        self._close = weakref.finalize(self, _stop, self._pool, self._leader)
        self._view = self._memory.view()
        for address, content in self._layout.initial_words():
            self._view[address : address + len(content)] = content
        self._view[PAUSE_ADDRESS : PAUSE_ADDRESS + 4] = PAUSE_INDEX.to_bytes(4, "little")

    # memory

    def grow(self, byte_length: int) -> None:
        import wasmtime

        with self._lock:
            self._check()
            if byte_length <= self.memory_bytes:
                return
            if byte_length > MAXIMUM_MEMORY_BYTES:
                raise _memory_error(byte_length, self.memory_bytes, f"the most is {MAXIMUM_MEMORY_BYTES} bytes")
            pages = (byte_length + PAGE_BYTES - 1) // PAGE_BYTES - self.memory_bytes // PAGE_BYTES
            try:
                self._memory.grow(pages)
            except wasmtime.WasmtimeError as error:
                raise _memory_error(byte_length, self.memory_bytes, "the system gives no more") from error
            self.memory_bytes += pages * PAGE_BYTES
            self._view = self._memory.view()

    def write(self, address: int, source: ByteSource) -> None:
        with self._lock:
            self._check()
            size = source.size
            self._inside(address, size)
            self._view[address : address + size] = source.read(0, size)
            self.counters.uploaded_bytes += size

    def read(self, ranges: list[tuple[int, int]]) -> Wait:
        with self._lock:
            self._check()
            copies: list[ByteSource] = []
            for address, size in ranges:
                self._inside(address, size)
                copies.append(MemorySource(bytes(self._view[address : address + size])))
                self.counters.read_back_bytes += size
            return _Done(copies)

    def _inside(self, address: int, size: int) -> None:
        if address < 0 or size < 0 or address + size > self.memory_bytes:
            raise DeviceError(
                f"bytes {address}..{address + size} lie outside the memory of {self.memory_bytes} bytes",
                status=StatusCode.OUT_OF_RANGE,
            )

    # libraries

    def _compile(self, data: bytes, name: str) -> Any:
        import wasmtime

        try:
            return wasmtime.Module(self._memory.engine, data)
        except wasmtime.WasmtimeError as error:
            raise ModuleError(
                f"wasmtime rejects its WebAssembly code: {' '.join(str(error).split())}; compile the module anew",
                where=name,
            ) from error

    def load(self, data: ByteSource) -> Library:
        with self._lock:
            self._check()
            content = bytes(data.read(0, data.size))
            binary = WasmBinary.parse(content)
            exports = read_exports(content)
            name = f"executable {exports[0].name[:80]}" if exports else "executable"
            self._check_imports(name, binary)
            module = self._compile(content, name)
            self._park()
            self._release_unloaded()
            placement = self._layout.place(
                name, binary.memory_size, binary.memory_alignment, binary.table_size, exports
            )
            try:
                self._link(name, module, placement)
            except BaseException:
                self._layout.release(placement)
                raise
            library = Library(exports, placement.identifier)
            self._libraries[placement.identifier] = library, placement
            return library

    def _check_imports(self, name: str, binary: WasmBinary) -> None:
        missing = [
            entry.name
            for entry in library_imports(binary)
            if entry.module != "env" or entry.name not in self._functions
        ]
        if missing:
            raise DeviceError(
                f"{name} imports {', '.join(missing)}; this device has {', '.join(sorted(self._functions))}: "
                "compile the module with `webree compile --target cpu`",
                status=StatusCode.UNIMPLEMENTED,
            )

    def _link(self, name: str, module: Any, placement: Placement) -> None:
        import wasmtime

        from webree.hal_local.native_threads import PlayerTrap

        start, size = placement.data_base, placement.data_bytes
        self._view[start : start + size] = bytes(size)
        address = 0
        for worker in self._workers:
            try:
                address = worker.link(module, placement, self._layout.table_size)
            except (wasmtime.WasmtimeError, wasmtime.Trap, PlayerTrap) as error:
                raise ModuleError(f"wasmtime cannot link it: {' '.join(str(error).split())}", where=name) from error
        slot = self._layout.library_slot(placement)
        self._view[slot : slot + 4] = address.to_bytes(4, "little")

    def unload(self, library: Library) -> None:
        # Without the lock: the garbage collector may call this in a thread of the player, for which a stream waits.
        self._unloaded.append(library)

    def _release_unloaded(self) -> None:
        while self._unloaded:
            library = self._unloaded.popleft()
            known, placement = self._libraries.get(library.identifier, (None, None))
            if known is library and placement is not None:
                del self._libraries[library.identifier]
                self._layout.release(placement)

    def ready(self) -> Wait | None:
        self._check()
        return None

    # streams

    def submit(self, words: array[int]) -> None:
        with self._lock:
            self._check()
            for start, end in stream_pieces(words):
                with WASMTIME_SIGNALS:
                    self._play(words[start:end] if end - start < len(words) else words)

    def _play(self, words: array[int]) -> None:
        from webree.hal_local.native_threads import PlayerTrap

        content = memoryview(words).cast("B")
        end = STREAM_ADDRESS + len(content)
        self._view[STREAM_ADDRESS:end] = content
        self.counters.crossings += 1
        leader = self._leader
        try:
            if self.thread_count == 1:
                status = leader.play(STREAM_ADDRESS, end, CONTROL_ADDRESS, 0, 1)
            else:
                if not self._pool.serving:
                    self._view[CONTROL_ADDRESS + 4 : CONTROL_ADDRESS + 8] = bytes(4)
                    self._pool.resume()
                status = leader.lead(STREAM_ADDRESS, end, CONTROL_ADDRESS, self.thread_count)
        except PlayerTrap as trap:
            leader.trap = str(trap)
            leader.trapped(CONTROL_ADDRESS, 0)
            status = int(StatusCode.INTERNAL)
        if status:
            self._fail()
        if self._pauses.interrupted:
            self._pauses.interrupted = False
            raise KeyboardInterrupt

    def _fail(self) -> None:
        """Keep what a stream failed with. Nothing may run any more, so the threads leave the player."""
        self._park()
        status, address, trapped = struct.unpack_from("<III", self._view, FAILURE_ADDRESS)
        what = "kernel"
        if STREAM_ADDRESS <= address < STREAM_ADDRESS + (1 << 18):
            header, library, export = struct.unpack_from("<III", self._view, address)
            if header & 0xFF in (1, 2) and library in self._libraries:
                what = f"kernel {self._libraries[library][0].exports[export].name}"
            elif header & 0xFF not in (1, 2):
                what = "a copy or fill"
        if trapped:
            text = next((worker.trap for worker in self._workers if worker.trap), "trap")
            message = f"{what} trapped in wasmtime: {text}"
        elif status == 0xFFFF_FFFF:
            message = f"{what} overflowed its stack"
        else:
            known = StatusCode(status).name if status in StatusCode._value2member_map_ else "unknown"
            message = f"{what} failed with status {status} ({known})"
        code = StatusCode(status) if status in StatusCode._value2member_map_ else StatusCode.INTERNAL
        self.failure = DeviceError(f"{message}; open the device anew to go on", status=code)

    def _go_on_alone(self) -> None:
        """In a forked process there are no other threads: thread 0 plays everything."""
        self.thread_count = 1
        self.description += ", 1 in this forked process"
        self._workers = self._workers[:1]

    def _park(self) -> None:
        """Have all threads leave the player, so that their stores can be touched."""
        if self.thread_count > 1 and self._pool.serving:
            self._leader.dismiss(CONTROL_ADDRESS)
            self._pool.pause()

    def idle(self) -> Wait | None:
        self._check()
        return None

    def _check(self) -> None:
        if self.thread_count > 1 and self._pool.forked:
            self._go_on_alone()
        if self.failure is not None:
            # A new one each time: an exception that is raised twice keeps the frames of both.
            raise DeviceError(str(self.failure), status=self.failure.status)

    def close(self) -> None:
        with self._lock:
            if not self._close.alive:
                return
            self._close()
            self._memory.close()
            self.failure = DeviceError(
                "the CPU device is closed: open another one", status=StatusCode.FAILED_PRECONDITION
            )


def _file(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


def _memory_error(wanted: int, present: int, why: str) -> DeviceError:
    return DeviceError(
        f"the CPU device cannot have {wanted} bytes of memory (it has {present}): {why}; "
        "use smaller models or batches, or release tensors",
        status=StatusCode.RESOURCE_EXHAUSTED,
    )
