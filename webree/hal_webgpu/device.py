"""The WebGPU device: the HAL's `Device` over a `Backend`, the same natively and in the browser.

Enters: requests of the HAL. Leaves: validated calls of the backend, whose every submission is one crossing. The queue
orders everything, so memory is pooled without waiting, fences resolve at submission, and the host waits at two places
only: `ready()` (pipelines) and `read_back` (a map).

A backend reports late failures (a lost device, memory) in its `failure`; from then on every call here raises it.
"""

from __future__ import annotations

import threading
from array import array
from collections import deque
from collections.abc import Sequence
from typing import Any
from weakref import finalize

from webree.errors import DeviceError, StatusCode
from webree.hal.buffer import Buffer, BufferRef
from webree.hal.command_buffer import CommandBuffer
from webree.hal.device import BindingTableEntry, Counters, Device, DispatchTime
from webree.hal.enums import BufferUsage, CommandBufferMode, CommandCategory, MemoryType
from webree.hal_webgpu.backend import Backend
from webree.hal_webgpu.command_buffer import Launch, WebGpuCommandBuffer
from webree.hal_webgpu.executable import FORMAT, PipelineCache, WebGpuExecutable, check_requirements
from webree.hal_webgpu.pool import BufferPool, PooledAllocation, buffer_handle
from webree.hal_webgpu.transfers import Builtins
from webree.module.source import ByteSource, MemorySource
from webree.waiting import Suspendable, Wait

__all__ = ["WebGpuDevice"]

DEFAULT_LIMITS = {
    "max_buffer_size": 256 << 20,
    "max_storage_buffer_binding_size": 128 << 20,
    "min_storage_buffer_offset_alignment": 256,
    "max_compute_workgroups_per_dimension": 65535,
}
"""WebGPU's guaranteed limits, for adapters that do not list one: https://www.w3.org/TR/webgpu/#limits"""

ADDRESSABLE_BYTES = (1 << 32) - 16
"""A command stream has 32-bit offsets."""


class WebGpuDevice(Device):
    """Safe to use from several threads: a lock keeps each call whole.

    Attributes beyond the interface:
        builtins: the driver's own kernels.
        offset_alignment, maximum_binding, workgroup_limit: the limits that recording checks.
    """

    id = "webgpu"
    executable_formats = (FORMAT,)

    def __init__(self, backend: Backend) -> None:
        limits = {**DEFAULT_LIMITS, **backend.info.limits}
        self.info = backend.info
        self.lock = threading.RLock()
        self.offset_alignment = limits["min_storage_buffer_offset_alignment"]
        self.maximum_binding = min(limits["max_storage_buffer_binding_size"], ADDRESSABLE_BYTES) & ~15
        self.workgroup_limit = limits["max_compute_workgroups_per_dimension"]
        self._backend = backend
        self._counters = backend.counters
        self._pool = BufferPool(backend, backend.counters, min(limits["max_buffer_size"], ADDRESSABLE_BYTES) & ~15)
        self._pipelines = PipelineCache(backend)
        self._released_streams: deque[int] = deque()
        self._profile: list[tuple[list[Launch], Wait]] | None = None
        self._closed = False
        self.builtins = Builtins.load(
            self._pipelines, self.offset_alignment, self.maximum_binding, self.workgroup_limit
        )

    @staticmethod
    def open(backend: Backend) -> Suspendable[WebGpuDevice]:
        """A device over a backend, its own kernels compiled."""
        device = WebGpuDevice(backend)
        while (wait := device.ready()) is not None:
            yield wait
        return device

    @property
    def counters(self) -> Counters:  # type: ignore[override]  # read-only here
        if not self._closed:
            with self.lock:
                self._pool.drain()
        return self._counters

    # --- Memory -----------------------------------------------------------------------------------------------------

    def allocate(
        self,
        byte_length: int,
        memory_type: MemoryType = MemoryType.DEVICE_LOCAL,
        usage: BufferUsage = BufferUsage.DEFAULT,
    ) -> Buffer:
        if byte_length < 0:
            raise DeviceError(f"a buffer of {byte_length} bytes", status=StatusCode.INVALID_ARGUMENT)
        return Buffer(self, self.allocate_scratch(byte_length), 0, byte_length, memory_type, usage)

    def allocate_scratch(self, byte_length: int) -> PooledAllocation:
        """Memory without a buffer around it; comes back when it is collected."""
        with self.lock:
            self._check()
            return self._pool.allocate(byte_length)

    def update(self, source: ByteSource, target: Buffer, byte_offset: int = 0) -> None:
        byte_offset, size = target.resolve(byte_offset, source.size)
        start = target.byte_offset + byte_offset
        if not start & 3:
            whole = size & ~3
            with self.lock:
                self._check()
                if whole:
                    source_words = source if whole == size else source.slice(0, whole)
                    self._backend.write_buffer(buffer_handle(self, target), start, source_words)
            if whole < size:
                tail = bytes(source.read(whole, size - whole))
                self._update_bytes(tail, target, byte_offset + whole)
            return
        if size <= self.offset_alignment:
            self._update_bytes(bytes(source.read(0, size)), target, byte_offset)
            return
        aligned = self.allocate(size)
        self.update(source, aligned)
        self.copy(aligned, 0, target, byte_offset, size)
        aligned.close()

    def read_back(self, ranges: Sequence[tuple[Buffer, int, int]]) -> Wait:
        resolved = [(buffer, *buffer.resolve(offset, length)) for buffer, offset, length in ranges]
        aligned: list[tuple[int, int, int]] = []
        pieces: list[tuple[int, int, int]] = []
        for buffer, offset, length in resolved:
            start = buffer.byte_offset + offset
            lead = start & 3
            handle = buffer_handle(self, buffer)
            pieces.append((len(aligned) if length else -1, lead, length))
            if length:
                aligned.append((handle, start - lead, (lead + length + 3) & ~3))
        with self.lock:
            self._check()
            return _ReadBack(self._backend.read_back(aligned) if aligned else None, pieces)

    # --- Kernels and commands ---------------------------------------------------------------------------------------

    def create_executable(self, format: str, data: ByteSource, constants: bytes = b"") -> WebGpuExecutable:
        if format != FORMAT:
            raise DeviceError(
                f"executable format {format!r}; this device loads {FORMAT!r}: compile the model for target webgpu",
                status=StatusCode.INCOMPATIBLE,
            )
        from webree.module.executable import read_executable

        file = read_executable(data)
        check_requirements(file, self.info)
        with self.lock:
            self._check()
            return self._pipelines.load(self, file)

    def create_command_buffer(
        self,
        mode: CommandBufferMode = CommandBufferMode.REUSABLE,
        categories: CommandCategory = CommandCategory.ANY,
        binding_capacity: int = 0,
    ) -> WebGpuCommandBuffer:
        self._check()
        return WebGpuCommandBuffer(self, bool(mode & CommandBufferMode.ONE_SHOT), binding_capacity)

    def ready(self) -> Wait | None:
        with self.lock:
            self._check()
            wait = self._backend.pipelines_ready()
            if wait is None:
                self._pipelines.settle(succeeded=True)
                return None
            return _Compilation(wait, self._pipelines)

    def execute(self, command_buffer: CommandBuffer, binding_table: Sequence[BindingTableEntry] = ()) -> None:
        if not isinstance(command_buffer, WebGpuCommandBuffer) or command_buffer.device is not self:
            raise DeviceError("a command buffer of another device", status=StatusCode.INVALID_ARGUMENT)
        with self.lock:
            self._check()
            command_buffer.run(binding_table)

    # --- For command buffers, under the lock ------------------------------------------------------------------------

    def load_stream(self, owner: object, words: array[int], constants: bytearray) -> int:
        """Give a reusable stream to the backend until `owner` is collected."""
        self._check()
        self._release_streams()
        stream = self._backend.load_stream(words, constants)
        finalize(owner, self._released_streams.append, stream).atexit = False
        return stream

    def submit(
        self, stream: int, words: array[int], constants: bytearray, table: list[int], launches: list[Launch]
    ) -> None:
        """One crossing. `stream` is 0 for words that are submitted once."""
        if not words:
            return
        entries = array("I", table)
        self._counters.dispatches += len(launches)
        if self._profile is not None:
            self._profile.append((launches, self._backend.profile(words, constants, entries)))
        elif stream:
            self._backend.submit_stream(stream, entries)
        else:
            self._backend.submit(words, constants, entries)
        if self._backend.failure is not None:
            raise self._backend.failure

    # --- Profiling, end ---------------------------------------------------------------------------------------------

    def start_profile(self) -> None:
        with self.lock:
            self._check()
            if self._profile is None:
                self._profile = []

    def stop_profile(self) -> Wait:
        with self.lock:
            profile, self._profile = self._profile or [], None
        return _Profile(profile)

    def close(self) -> None:
        with self.lock:
            if not self._closed:
                self._closed = True
                self._pool.close()
                self._backend.destroy()

    def _check(self) -> None:
        if self._closed:
            raise DeviceError("the device was closed", status=StatusCode.FAILED_PRECONDITION)
        if self._backend.failure is not None:
            raise self._backend.failure

    def _release_streams(self) -> None:
        while self._released_streams:
            self._backend.release_stream(self._released_streams.popleft())

    def _update_bytes(self, source: bytes, target: Buffer, byte_offset: int) -> None:
        self._do(lambda commands: commands.update(source, BufferRef(target, 0, byte_offset, len(source))))


class _Compilation:
    """A backend's wait for its pipelines."""

    def __init__(self, wait: Wait, pipelines: PipelineCache) -> None:
        self._wait = wait
        self._pipelines = pipelines

    def block(self) -> None:
        try:
            self._wait.block()
        except DeviceError:
            self._pipelines.settle(succeeded=False)
            raise

    async def wait(self) -> None:
        try:
            await self._wait.wait()
        except DeviceError:
            self._pipelines.settle(succeeded=False)
            raise


class _ReadBack:
    """A backend's read-back, cut to the ranges asked for: `pieces` are (index or -1, lead bytes, length)."""

    def __init__(self, wait: Wait | None, pieces: list[tuple[int, int, int]]) -> None:
        self._wait = wait
        self._pieces = pieces

    def block(self) -> list[ByteSource]:
        return self._cut(self._wait.block() if self._wait is not None else [])

    async def wait(self) -> list[ByteSource]:
        return self._cut(await self._wait.wait() if self._wait is not None else [])

    def _cut(self, sources: list[ByteSource]) -> list[ByteSource]:
        return [
            MemorySource(b"") if index < 0 else sources[index].slice(lead, length)
            for index, lead, length in self._pieces
        ]


class _Profile:
    """All profiled submissions, in order."""

    def __init__(self, submissions: list[tuple[list[Launch], Wait]]) -> None:
        self._submissions = submissions

    def block(self) -> list[DispatchTime]:
        return self._times([wait.block() for _, wait in self._submissions])

    async def wait(self) -> list[DispatchTime]:
        return self._times([await wait.wait() for _, wait in self._submissions])

    def _times(self, measured: list[Any]) -> list[DispatchTime]:
        return [
            DispatchTime(name, workgroup_count, time_us, flops, byte_count)
            for (launches, _), times in zip(self._submissions, measured, strict=True)
            for (name, workgroup_count, flops, byte_count), time_us in zip(launches, times, strict=True)
        ]
