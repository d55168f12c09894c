"""The CPU device: the HAL's `Device` over an `Engine`, the same natively and in the browser, for WebAssembly and VMVX.

Enters: requests of the HAL. Leaves: validated calls of the engine, one for each execution of a command buffer. The
engine acts in the order of the calls, so memory is reused without waiting and fences resolve at submission.

A kernel that traps, or a worker that dies, ends the engine; from then on every call here raises the reason.
"""

from __future__ import annotations

import threading
from array import array
from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from webree.errors import DeviceError, StatusCode
from webree.hal.buffer import Buffer
from webree.hal.command_buffer import CommandBuffer
from webree.hal.device import AdapterInfo, BindingTableEntry, Counters, Device, DispatchTime
from webree.hal.enums import BufferUsage, CommandBufferMode, CommandCategory, MemoryType
from webree.hal_local.arena import Arena, Block, block_address
from webree.hal_local.engine import Engine, Library
from webree.hal_local.executable import LocalExecutable
from webree.hal_local.recording import MAXIMUM_WORKGROUPS, Launch, LocalCommandBuffer
from webree.module.source import ByteSource
from webree.waiting import Wait

__all__ = ["DEVICE_ID", "LocalDevice"]

DEVICE_ID = "local"
"""The name that programs compiled for the CPU ask for."""


class LocalDevice(Device):
    """Safe to use from several threads: a lock keeps each call whole."""

    id = DEVICE_ID

    def __init__(self, engine: Engine, formats: tuple[str, ...], driver: str = "cpu") -> None:
        self.executable_formats = formats
        self.lock = threading.RLock()
        self._engine = engine
        self._counters = engine.counters
        self._arena = Arena(engine, engine.counters)
        self._released: deque[Library] = deque()
        self._profile: list[tuple[Launch, Wait | float]] | None = None
        self._failure: DeviceError | None = None
        self._closed = False
        limits = {
            "max_buffer_size": self._arena.limit,
            "max_storage_buffer_binding_size": self._arena.limit,
            "min_storage_buffer_offset_alignment": 1,
            "max_compute_workgroups_per_dimension": MAXIMUM_WORKGROUPS,
        }
        self.info = AdapterInfo(
            driver, engine.name, engine.description, software=True, limits=limits, executable_formats=formats
        )

    @property
    def counters(self) -> Counters:  # type: ignore[override]  # read-only here
        if not self._closed:
            with self.lock:
                self._arena.drain()
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
        with self.lock:
            self._check()
            block = self._arena.allocate(byte_length)
        return Buffer(self, block, 0, byte_length, memory_type, usage)

    def update(self, source: ByteSource, target: Buffer, byte_offset: int = 0) -> None:
        byte_offset, size = target.resolve(byte_offset, source.size)
        with self.lock:
            self._check()
            address = block_address(self, target) + byte_offset
            if size:
                self._write(address, source)

    def read_back(self, ranges: Sequence[tuple[Buffer, int, int]]) -> Wait:
        with self.lock:
            self._check()
            places = []
            for buffer, offset, length in ranges:
                offset, length = buffer.resolve(offset, length)
                places.append((block_address(self, buffer) + offset, length))
            return _Guarded(self, self._engine.read(places))

    # --- Kernels and commands ---------------------------------------------------------------------------------------

    def create_executable(self, format: str, data: ByteSource, constants: bytes = b"") -> LocalExecutable:
        if format not in self.executable_formats:
            raise DeviceError(
                f"executable format {format!r}; this device loads {', '.join(map(repr, self.executable_formats))}: "
                f"compile the model for target {_target(self.executable_formats)}",
                status=StatusCode.INCOMPATIBLE,
            )
        if constants:
            raise DeviceError(
                f"{len(constants)} bytes of executable constants: the CPU device passes none to its kernels; compile "
                "the model with webree, which makes none",
                status=StatusCode.UNIMPLEMENTED,
            )
        with self.lock:
            self._check()
            library = self._engine.load(data)
            self._counters.pipelines += len(library.exports)
            return LocalExecutable(self, library, self._released)

    def create_command_buffer(
        self,
        mode: CommandBufferMode = CommandBufferMode.REUSABLE,
        categories: CommandCategory = CommandCategory.ANY,
        binding_capacity: int = 0,
    ) -> LocalCommandBuffer:
        self._check()
        return LocalCommandBuffer(self, bool(mode & CommandBufferMode.ONE_SHOT), binding_capacity)

    def ready(self) -> Wait | None:
        with self.lock:
            self._check()
            wait = self._engine.ready()
            return None if wait is None else _Guarded(self, wait)

    def execute(self, command_buffer: CommandBuffer, binding_table: Sequence[BindingTableEntry] = ()) -> None:
        if not isinstance(command_buffer, LocalCommandBuffer) or command_buffer.device is not self:
            raise DeviceError("a command buffer of another device", status=StatusCode.INVALID_ARGUMENT)
        with self.lock:
            self._check()
            command_buffer.run(binding_table)

    # --- For command buffers ----------------------------------------------------------------------------------------

    def upload_block(self, source: ByteSource) -> Block:
        """Device memory with these bytes, without a buffer around it; comes back when it is collected."""
        with self.lock:
            self._check()
            block = self._arena.allocate(source.size)
            self._write(block.address, source)
            return block

    def submit(self, commands: LocalCommandBuffer) -> None:
        """One crossing; the caller holds the lock."""
        self._counters.submissions += 1
        self._counters.dispatches += len(commands.launches)
        if self._profile is not None:
            self._submit_timed(commands, self._profile)
        else:
            self._play(commands.words)

    def _play(self, words: array[int]) -> None:
        try:
            self._engine.submit(words)
        except DeviceError as error:
            raise self.failure() or error from error
        if self._engine.failure is not None:
            self._check()

    def _write(self, address: int, source: ByteSource) -> None:
        try:
            self._engine.write(address, source)
        except DeviceError as error:
            raise self.failure() or error from error

    def failure(self) -> DeviceError | None:
        """What every call raises once the engine has failed."""
        if self._failure is None and (failure := self._engine.failure) is not None:
            text = str(failure)
            advice = "" if "load the module again" in text else "; load the module again"
            self._failure = DeviceError(f"the CPU device was lost: {text}{advice}", status=StatusCode.UNAVAILABLE)
            self._failure.__cause__ = failure
        return self._failure

    # --- Profiling, end ---------------------------------------------------------------------------------------------

    def start_profile(self) -> None:
        with self.lock:
            self._check()
            if self._profile is None:
                self._profile = []

    def stop_profile(self) -> Wait:
        with self.lock:
            profile, self._profile = self._profile or [], None
        return _Profile(self, profile)

    def _submit_timed(self, commands: LocalCommandBuffer, profile: list[tuple[Launch, Wait | float]]) -> None:
        """Every dispatch as a stream of its own; what lies between two of them goes untimed."""
        words, done = commands.words, 0
        timed = getattr(self._engine, "submit_timed", None)
        for launch in commands.launches:
            if done < launch.begin:
                self._play(words[done : launch.begin])
            done = launch.end
            stream = words[launch.begin : launch.end]
            if timed is not None:
                profile.append((launch, timed(stream)))
                continue
            begin = perf_counter()
            self._play(stream)
            profile.append((launch, (perf_counter() - begin) * 1e6))
        if done < len(words):
            self._play(words[done:])

    def close(self) -> None:
        with self.lock:
            if not self._closed:
                self._closed = True
                self._arena.close()
                self._released.clear()
                self._engine.close()

    def _check(self) -> None:
        if self._closed:
            raise DeviceError("the device was closed", status=StatusCode.FAILED_PRECONDITION)
        if self._engine.failure is not None:
            raise self.failure() or self._engine.failure
        while self._released:
            self._engine.unload(self._released.popleft())


class _Guarded:
    """An engine's wait, whose failure is told as the device's."""

    def __init__(self, device: LocalDevice, wait: Wait) -> None:
        self._device = device
        self._wait = wait

    def block(self) -> Any:
        try:
            return self._wait.block()
        except DeviceError as error:
            raise self._device.failure() or error from error

    async def wait(self) -> Any:
        try:
            return await self._wait.wait()
        except DeviceError as error:
            raise self._device.failure() or error from error


class _Profile:
    """All profiled dispatches, in order; a time in microseconds may still have to be waited for."""

    def __init__(self, device: LocalDevice, launches: list[tuple[Launch, Wait | float]]) -> None:
        self._device = device
        self._launches = launches

    def block(self) -> list[DispatchTime]:
        return [
            DispatchTime(
                launch.name,
                launch.workgroup_count,
                time if isinstance(time, float) else _Guarded(self._device, time).block(),
            )
            for launch, time in self._launches
        ]

    async def wait(self) -> list[DispatchTime]:
        return [
            DispatchTime(
                launch.name,
                launch.workgroup_count,
                time if isinstance(time, float) else await _Guarded(self._device, time).wait(),
            )
            for launch, time in self._launches
        ]


def _target(formats: tuple[str, ...]) -> str:
    return "vmvx" if "vmvx-bytecode-fb" in formats else "cpu"
