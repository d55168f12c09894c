"""A device in plain Python for tests of what lies above the HAL: memory is bytearrays, kernels are Python functions.

Everything happens at once, in queue order. Executables are comma-separated names of functions registered in
`FakeDevice.kernels`. `pause()` makes kernels "compile" until `resume()`, so that tests can see what waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from webree.errors import DeviceError, StatusCode
from webree.hal.buffer import Allocation, Buffer, BufferRef
from webree.hal.command_buffer import CommandBuffer
from webree.hal.device import AdapterInfo, BindingTableEntry, Counters, Device
from webree.hal.driver import Driver
from webree.hal.enums import WHOLE_BUFFER, BufferUsage, CommandBufferMode, CommandCategory, MemoryType
from webree.hal.executable import Executable, ExportInfo
from webree.module.source import ByteSource, MemorySource
from webree.waiting import Suspendable, Wait

Kernel = Callable[[tuple[int, int, int], Sequence[int], Sequence[memoryview]], None]


class FakeAllocation(Allocation):
    __slots__ = ("byte_size", "counters", "memory")

    def __init__(self, byte_size: int, counters: Counters) -> None:
        self.byte_size = byte_size
        self.memory: bytearray | None = bytearray(b"\xa5" * byte_size)
        self.counters = counters
        counters.in_use_bytes += byte_size

    def release(self) -> None:
        if self.memory is not None:
            self.memory = None
            self.counters.in_use_bytes -= self.byte_size

    def __del__(self) -> None:
        self.release()


class FakeExecutable(Executable):
    def __init__(self, names: Sequence[str], kernels: Sequence[Kernel]) -> None:
        self.exports = tuple(ExportInfo(name, (1, 1, 1), 0, ()) for name in names)
        self.kernels = kernels

    def wgsl(self, ordinal: int) -> str | None:
        return None


class FakeCommandBuffer(CommandBuffer):
    """A list of functions of the binding table."""

    def __init__(self, device: FakeDevice, mode: CommandBufferMode, binding_capacity: int) -> None:
        self.device = device
        self.binding_capacity = binding_capacity
        self.one_shot = bool(mode & CommandBufferMode.ONE_SHOT)
        self.dispatch_count = 0
        self.final = False
        self.commands: list[Callable[[Sequence[BindingTableEntry]], None]] = []

    def fill(self, target: BufferRef, pattern: bytes) -> None:
        self.commands.append(lambda table: fill(self.device, resolve(target, table), pattern))

    def update(self, source: bytes | memoryview, target: BufferRef) -> None:
        data = bytes(source)

        def write(table: Sequence[BindingTableEntry]) -> None:
            resolve(target, table)[:] = data

        self.commands.append(write)

    def copy(self, source: BufferRef, target: BufferRef) -> None:
        def run(table: Sequence[BindingTableEntry]) -> None:
            resolve(target, table)[:] = resolve(source, table)

        self.commands.append(run)

    def dispatch(
        self,
        executable: Executable,
        ordinal: int,
        workgroup_count: tuple[int, int, int],
        constants: Sequence[int],
        bindings: Sequence[BufferRef],
    ) -> None:
        assert isinstance(executable, FakeExecutable)
        kernel, words, refs = executable.kernels[ordinal], list(constants), list(bindings)
        self.dispatch_count += 1
        self.commands.append(lambda table: kernel(workgroup_count, words, [resolve(ref, table) for ref in refs]))

    def dispatch_indirect(
        self,
        executable: Executable,
        ordinal: int,
        workgroup_count: BufferRef,
        constants: Sequence[int],
        bindings: Sequence[BufferRef],
    ) -> None:
        assert isinstance(executable, FakeExecutable)
        kernel, words, refs = executable.kernels[ordinal], list(constants), list(bindings)
        self.dispatch_count += 1

        def run(table: Sequence[BindingTableEntry]) -> None:
            x, y, z = resolve(workgroup_count, table).cast("I")
            kernel((x, y, z), words, [resolve(ref, table) for ref in refs])

        self.commands.append(run)

    def barrier(self) -> None:
        self.commands.append(lambda table: None)

    def finalize(self) -> None:
        self.final = True


class FakeCompilation:
    """The wait for kernels that `FakeDevice.pause` holds back."""

    def __init__(self, device: FakeDevice) -> None:
        self.device = device

    def block(self) -> None:
        self.device.resume()

    async def wait(self) -> None:
        while self.device.paused:
            await asyncio.sleep(0)


class FakeReadBack:
    """Bytes copied when the read-back was asked for, handed out when it is waited for."""

    def __init__(self, parts: list[ByteSource]) -> None:
        self.parts = parts

    def block(self) -> list[ByteSource]:
        return self.parts

    async def wait(self) -> list[ByteSource]:
        await asyncio.sleep(0)
        return self.parts


class FakeDevice(Device):
    """Attributes: `kernels`, functions by name; `read_backs`, how many times read_back was called."""

    def __init__(self, kernels: dict[str, Kernel] | None = None, id: str = "fake") -> None:
        self.id = id
        self.info = AdapterInfo(driver=id, name="Python", software=True)
        self.executable_formats = ("python",)
        self.counters = Counters()
        self.kernels = kernels or {}
        self.paused = False
        self.read_backs = 0
        self.closed = False

    def allocate(
        self,
        byte_length: int,
        memory_type: MemoryType = MemoryType.DEVICE_LOCAL,
        usage: BufferUsage = BufferUsage.DEFAULT,
    ) -> Buffer:
        if self.closed or byte_length < 0 or byte_length > 1 << 30:
            raise DeviceError("the device is closed or too small", status=StatusCode.RESOURCE_EXHAUSTED)
        return Buffer(self, FakeAllocation(byte_length, self.counters), 0, byte_length, memory_type, usage)

    def create_executable(self, format: str, data: ByteSource, constants: bytes = b"") -> Executable:
        if format not in self.executable_formats:
            raise DeviceError(f"no {format} executables here", status=StatusCode.INCOMPATIBLE)
        names = bytes(data.read(0, data.size)).decode().split(",")
        return FakeExecutable(names, [self.kernels[name] for name in names])

    def create_command_buffer(
        self,
        mode: CommandBufferMode = CommandBufferMode.REUSABLE,
        categories: CommandCategory = CommandCategory.ANY,
        binding_capacity: int = 0,
    ) -> CommandBuffer:
        return FakeCommandBuffer(self, mode, binding_capacity)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def ready(self) -> Wait | None:
        return FakeCompilation(self) if self.paused else None

    def fill(self, target: Buffer, byte_offset: int, byte_length: int, pattern: bytes) -> None:
        fill(self, memory(target, byte_offset, byte_length), pattern)

    def update(self, source: ByteSource, target: Buffer, byte_offset: int = 0) -> None:
        memory(target, byte_offset, source.size)[:] = source.read(0, source.size)
        self.counters.uploaded_bytes += source.size

    def copy(self, source: Buffer, source_offset: int, target: Buffer, target_offset: int, byte_length: int) -> None:
        memory(target, target_offset, byte_length)[:] = memory(source, source_offset, byte_length)

    def execute(self, command_buffer: CommandBuffer, binding_table: Sequence[BindingTableEntry] = ()) -> None:
        assert isinstance(command_buffer, FakeCommandBuffer)
        assert not self.paused
        if not command_buffer.final or len(binding_table) != command_buffer.binding_capacity:
            raise DeviceError("a command buffer that still records, or a table of another size")
        self.counters.submissions += 1
        self.counters.dispatches += command_buffer.dispatch_count
        for command in command_buffer.commands:
            command(binding_table)

    def read_back(self, ranges: Sequence[tuple[Buffer, int, int]]) -> Wait:
        self.read_backs += 1
        parts: list[ByteSource] = [MemorySource(bytes(memory(*part))) for part in ranges]
        return FakeReadBack(parts)

    def close(self) -> None:
        self.closed = True


class FakeDriver(Driver):
    """A driver with one fake device, for tests that load by name."""

    name = "fake"

    def __init__(self, device: FakeDevice) -> None:
        self.device = device

    def adapters(self) -> Suspendable[list[AdapterInfo]]:
        return [self.device.info]
        yield

    def open(self, adapter: AdapterInfo | None = None) -> Suspendable[Device]:
        return self.device
        yield


def memory(buffer: Buffer, byte_offset: int, byte_length: int) -> memoryview:
    byte_offset, byte_length = buffer.resolve(byte_offset, byte_length)
    assert isinstance(buffer.allocation, FakeAllocation)
    if buffer.allocation.memory is None:
        raise DeviceError("the buffer was released")
    start = buffer.byte_offset + byte_offset
    return memoryview(buffer.allocation.memory)[start : start + byte_length]


def resolve(ref: BufferRef, table: Sequence[BindingTableEntry]) -> memoryview:
    if ref.buffer is not None:
        return memory(ref.buffer, ref.byte_offset, ref.byte_length)
    if not 0 <= ref.slot < len(table):
        raise DeviceError(f"slot {ref.slot} of {len(table)}")
    buffer, byte_offset, byte_length = table[ref.slot]
    entry = memory(buffer, byte_offset, byte_length)
    end = len(entry) if ref.byte_length == WHOLE_BUFFER else ref.byte_offset + ref.byte_length
    if end > len(entry):
        raise DeviceError("a range outside of its slot")
    return entry[ref.byte_offset : end]


def fill(device: FakeDevice, target: memoryview, pattern: bytes) -> None:
    if len(target) % len(pattern):
        raise DeviceError("a range that is not a multiple of the pattern")
    target[:] = pattern * (len(target) // len(pattern))
