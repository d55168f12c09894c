"""A device: memory, executables, command buffers, and one queue that orders everything.

Enters: requests of the `hal` module, the API, the tools and the tests, none of which know a driver. Leaves: work on the
driver's queue. A driver implements the abstract methods, which act in queue order and return at once; whatever may take
time gives a `Wait` (webree/waiting.py). Waiting and signalling of fences is done once, here, in `enqueue`.
"""

from __future__ import annotations

import fnmatch
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from webree.hal.buffer import Buffer, BufferRef
from webree.hal.command_buffer import CommandBuffer
from webree.hal.enums import BufferUsage, CommandBufferMode, CommandCategory, MemoryType
from webree.hal.executable import Executable
from webree.hal.fence import Fence
from webree.module.source import ByteSource
from webree.waiting import Wait

__all__ = ["AdapterInfo", "BindingTableEntry", "Counters", "Device", "DispatchTime"]

T = TypeVar("T")

BindingTableEntry = tuple[Buffer, int, int]
"""Buffer, byte offset inside it, byte length (or WHOLE_BUFFER)."""


@dataclass(frozen=True)
class AdapterInfo:
    """An adapter that a driver offers.

    Attributes:
        driver: name of the driver in the registry.
        name: the adapter's name, as the system tells it.
        description: backend, driver version and the like, for people.
        software: True if it computes on the CPU (lavapipe, SwiftShader).
        limits: WebGPU limit names in snake_case -> number.
        features: WebGPU feature names (`shader-f16`, `subgroups`, `timestamp-query`).
        executable_formats: formats that a device on it loads; empty if the driver does not tell.
    """

    driver: str
    name: str
    description: str = ""
    software: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)
    features: frozenset[str] = frozenset()
    executable_formats: tuple[str, ...] = ()


@dataclass(slots=True)
class Counters:
    """What a device did since it was opened; benchmarks and leak tests read it.

    Attributes:
        submissions: queue submissions of command buffers.
        crossings: calls over the language border (Python to JavaScript; natively, to the GPU library's submit).
        dispatches: kernel dispatches submitted.
        uploaded_bytes, read_back_bytes: host to device, device to host.
        allocated_bytes: device memory held now, pool included.
        in_use_bytes: device memory held by live allocations now.
        pipelines: compute pipelines created.
    """

    submissions: int = 0
    crossings: int = 0
    dispatches: int = 0
    uploaded_bytes: int = 0
    read_back_bytes: int = 0
    allocated_bytes: int = 0
    in_use_bytes: int = 0
    pipelines: int = 0


@dataclass(frozen=True, slots=True)
class DispatchTime:
    """One dispatch of a profiled execution: export name, workgroup count, time on the device in microseconds."""

    name: str
    workgroup_count: tuple[int, int, int]
    time_us: float
    flops: int = -1
    byte_count: int = -1


class Device(ABC):
    """Attributes:
    id: the name host programs match by glob (`webgpu`).
    info: the adapter it was opened on; `info.limits` are the limits it was opened with.
    executable_formats: formats it loads (`webgpu-wgsl-fb`).
    counters: see `Counters`.
    """

    id: str
    info: AdapterInfo
    executable_formats: tuple[str, ...]
    counters: Counters

    # --- What a driver implements; all in queue order -------------------------------------------------------------

    @abstractmethod
    def allocate(
        self,
        byte_length: int,
        memory_type: MemoryType = MemoryType.DEVICE_LOCAL,
        usage: BufferUsage = BufferUsage.DEFAULT,
    ) -> Buffer:
        """New memory, contents unspecified. Zero bytes are allowed.

        Raises `DeviceError` (RESOURCE_EXHAUSTED) with the size asked for and the limit, or when memory is out."""

    @abstractmethod
    def create_executable(self, format: str, data: ByteSource, constants: bytes = b"") -> Executable:
        """Load kernels; compilation starts now and goes on in the background until `ready()`.

        Raises `ModuleError` for damaged data, `DeviceError` for a format or limit the device does not have."""

    @abstractmethod
    def create_command_buffer(
        self,
        mode: CommandBufferMode = CommandBufferMode.REUSABLE,
        categories: CommandCategory = CommandCategory.ANY,
        binding_capacity: int = 0,
    ) -> CommandBuffer:
        """A new command buffer, recording."""

    @abstractmethod
    def ready(self) -> Wait | None:
        """None when every executable is compiled, else a wait for it.

        The wait raises `DeviceError` for a shader that the driver rejects, with the kernel's name, the message and the
        numbered source lines around it."""

    @abstractmethod
    def update(self, source: ByteSource, target: Buffer, byte_offset: int = 0) -> None:
        """Write all of `source` into the buffer at any byte offset; the source may be reused when this returns."""

    @abstractmethod
    def execute(self, command_buffer: CommandBuffer, binding_table: Sequence[BindingTableEntry] = ()) -> None:
        """Submit a finalized command buffer. `ready()` must be None by then."""

    @abstractmethod
    def read_back(self, ranges: Sequence[tuple[Buffer, int, int]]) -> Wait:
        """Copy (buffer, byte offset, byte length) ranges to the host, all with one wait.

        The wait's result is a list of `ByteSource`, one a range, which the caller owns. Raises `DeviceError` if the
        device was lost or earlier work failed."""

    @abstractmethod
    def close(self) -> None:
        """Free everything. Later use raises `DeviceError`. Safe to call twice."""

    def flush(self) -> None:  # noqa: B027 - optional
        """Hint that queued work should start."""

    def start_profile(self) -> None:
        """From now on time every dispatch by itself (slower). Raises `DeviceError` where a driver cannot."""
        from webree.errors import DeviceError, StatusCode

        raise DeviceError(f"the {self.id} driver cannot time dispatches", status=StatusCode.UNIMPLEMENTED)

    def stop_profile(self) -> Wait:
        """Stop timing; the wait's result is a list of `DispatchTime` in order of execution."""
        raise NotImplementedError

    # --- The same for all drivers -----------------------------------------------------------------------------------

    def fill(self, target: Buffer, byte_offset: int, byte_length: int, pattern: bytes) -> None:
        """As `CommandBuffer.fill`, at once."""
        self._do(lambda commands: commands.fill(BufferRef(target, 0, byte_offset, byte_length), pattern))

    def copy(self, source: Buffer, source_offset: int, target: Buffer, target_offset: int, byte_length: int) -> None:
        """As `CommandBuffer.copy`, at once."""
        whence = BufferRef(source, 0, source_offset, byte_length)
        self._do(lambda commands: commands.copy(whence, BufferRef(target, 0, target_offset, byte_length)))

    def _do(self, record: Callable[[CommandBuffer], None]) -> None:
        """Record and execute."""
        commands = self.create_command_buffer(CommandBufferMode.ONE_SHOT)
        record(commands)
        commands.finalize()
        self.execute(commands)

    def query_i64(self, category: str, key: str) -> int | None:
        """Answer `hal.device.query`: None for an unknown category."""
        if category == "hal.device.id":
            return int(fnmatch.fnmatchcase(self.id, key))
        if category == "hal.executable.format":
            return int(key in self.executable_formats)
        if category in ("hal.device", "hal.dispatch"):
            return {"concurrency": 1}.get(key)
        return None

    def enqueue(self, wait: Fence | None, signal: Fence | None, action: Callable[[], T]) -> None:
        """Do `action` once `wait` is reached, then reach `signal`; a failure fails `signal` instead.

        If `wait` is already reached (the usual case) the action runs now, and its exception, if there is nobody to
        tell through `signal`, is raised here."""
        if wait is not None and wait.pending:
            wait.on_settled(lambda settled: self._act(settled, signal, action))
        else:
            self._act(wait, signal, action)

    @staticmethod
    def _act(wait: Fence | None, signal: Fence | None, action: Callable[[], T]) -> None:
        try:
            if wait is not None:
                wait.check()
            action()
        except BaseException as error:
            if signal is None:
                raise
            signal.fail(error)
        else:
            if signal is not None:
                signal.signal()
