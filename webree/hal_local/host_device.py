"""The device of inline programs: plain host memory, work done at once, no kernels of its own.

Enters: sizes, bytes, and the VM buffers of a program that computes by itself (`hal_inline`). Leaves: `Buffer`s whose
memory is a `VmBuffer`: a program's storage and a caller's tensor are the same bytes. Serves `webree/marshal.py` and
all else that works over a `Device`. Nothing is ever pending: fences settle and read-backs are done when called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn
from weakref import WeakValueDictionary

from webree.errors import DeviceError, StatusCode, WebreeError
from webree.hal.buffer import Allocation, Buffer
from webree.hal.command_buffer import CommandBuffer
from webree.hal.device import AdapterInfo, BindingTableEntry, Counters, Device
from webree.hal.enums import BufferUsage, CommandBufferMode, CommandCategory, MemoryType
from webree.hal.executable import Executable
from webree.hal.validation import check_fill, check_pattern
from webree.module.source import ByteSource
from webree.vm.buffers import MAX_BYTES, VmBuffer
from webree.waiting import Wait

__all__ = ["HostDevice", "host_device"]

_shared: WeakValueDictionary[str, HostDevice] = WeakValueDictionary()


def host_device() -> HostDevice:
    """The device that all inline programs of this process share, so that tensors can go from one to the other."""
    device = _shared.get("host")
    if device is None or device.closed:
        device = _shared["host"] = HostDevice()
    return device


class _HostAllocation(Allocation):
    __slots__ = ("_counters", "byte_size", "storage")

    def __init__(self, storage: VmBuffer, counters: Counters) -> None:
        self.byte_size = storage.byte_length
        self.storage: VmBuffer | None = storage
        self._counters = counters
        counters.allocated_bytes += self.byte_size
        counters.in_use_bytes += self.byte_size

    def release(self) -> None:
        if self.storage is not None:
            self.storage = None
            self._counters.allocated_bytes -= self.byte_size
            self._counters.in_use_bytes -= self.byte_size

    def __del__(self) -> None:
        self.release()


class _Done:
    """A wait for something that is there already."""

    __slots__ = ("_result",)

    def __init__(self, result: Any) -> None:
        self._result = result

    def block(self) -> Any:
        return self._result

    async def wait(self) -> Any:
        return self._result


class _OwnedBytes:
    """A `ByteSource` over bytes that nobody else writes to: arrays over them may be written without a copy."""

    __slots__ = ("_view",)

    def __init__(self, view: memoryview) -> None:
        self._view = view

    @property
    def size(self) -> int:
        return len(self._view)

    def read(self, byte_offset: int, byte_length: int) -> memoryview:
        if byte_offset < 0 or byte_length < 0 or byte_offset + byte_length > len(self._view):
            raise IndexError(f"bytes {byte_offset}..{byte_offset + byte_length} of {len(self._view)}")
        return self._view[byte_offset : byte_offset + byte_length]

    def slice(self, byte_offset: int, byte_length: int) -> _OwnedBytes:
        return _OwnedBytes(self.read(byte_offset, byte_length))


class HostDevice(Device):
    """See `webree.hal.device.Device`. Attributes beyond it: `closed`."""

    id = "host"
    executable_formats = ()

    def __init__(self) -> None:
        self.info = AdapterInfo(
            "cpu", "host", "Python's own memory, for inline programs", True, {"max_buffer_size": MAX_BYTES}
        )
        self.counters = Counters()
        self.closed = False

    def wrap(self, storage: VmBuffer, byte_offset: int, byte_length: int) -> Buffer:
        """A buffer over a program's own memory, not copied."""
        self._check_open()
        return Buffer(self, _HostAllocation(storage, self.counters), 0, storage.byte_length).subspan(
            byte_offset, byte_length
        )

    def storage(self, buffer: Buffer) -> VmBuffer:
        """A buffer's memory as programs see it: the same bytes."""
        self._check_open()
        allocation = buffer.allocation
        if buffer.device is not self or not isinstance(allocation, _HostAllocation):
            raise DeviceError(
                f"the buffer is on another device ({buffer.device.info.name}) than the program ({self.info.name}); "
                "copy it through the host",
                status=StatusCode.PERMISSION_DENIED,
            )
        storage = allocation.storage
        if storage is None:
            raise DeviceError("the buffer was closed", status=StatusCode.FAILED_PRECONDITION)
        return storage.subspan(buffer.byte_offset, buffer.byte_length)

    def allocate(
        self,
        byte_length: int,
        memory_type: MemoryType = MemoryType.DEVICE_LOCAL,
        usage: BufferUsage = BufferUsage.DEFAULT,
    ) -> Buffer:
        self._check_open()
        try:
            storage = VmBuffer.allocate(byte_length)
        except WebreeError as error:
            raise DeviceError(str(error), status=error.status) from error
        return Buffer(self, _HostAllocation(storage, self.counters), 0, byte_length, memory_type, usage)

    def fill(self, target: Buffer, byte_offset: int, byte_length: int, pattern: bytes) -> None:
        view = self._writable(target, byte_offset, byte_length)
        check_pattern(pattern)
        check_fill(byte_offset, len(view), len(pattern))
        view[:] = pattern * (len(view) // len(pattern))

    def update(self, source: ByteSource, target: Buffer, byte_offset: int = 0) -> None:
        self._writable(target, byte_offset, source.size)[:] = source.read(0, source.size)
        self.counters.uploaded_bytes += source.size

    def copy(self, source: Buffer, source_offset: int, target: Buffer, target_offset: int, byte_length: int) -> None:
        view = self._writable(target, target_offset, byte_length)
        view[:] = self._readable(source, source_offset, len(view))

    def read_back(self, ranges: Sequence[tuple[Buffer, int, int]]) -> Wait:
        copies = [bytearray(self._readable(*item)) for item in ranges]
        self.counters.read_back_bytes += sum(map(len, copies))
        return _Done([_OwnedBytes(memoryview(copy)) for copy in copies])

    def ready(self) -> Wait | None:
        self._check_open()
        return None

    def close(self) -> None:
        self.closed = True

    def create_executable(self, format: str, data: ByteSource, constants: bytes = b"") -> Executable:
        self._no_kernels()

    def create_command_buffer(
        self,
        mode: CommandBufferMode = CommandBufferMode.REUSABLE,
        categories: CommandCategory = CommandCategory.ANY,
        binding_capacity: int = 0,
    ) -> CommandBuffer:
        self._no_kernels()

    def execute(self, command_buffer: CommandBuffer, binding_table: Sequence[BindingTableEntry] = ()) -> None:
        self._no_kernels()

    def _readable(self, buffer: Buffer, byte_offset: int, byte_length: int) -> memoryview:
        byte_offset, byte_length = buffer.resolve(byte_offset, byte_length)
        return self.storage(buffer).view()[byte_offset : byte_offset + byte_length]

    def _writable(self, buffer: Buffer, byte_offset: int, byte_length: int) -> memoryview:
        view = self._readable(buffer, byte_offset, byte_length)
        if view.readonly:
            raise DeviceError("the buffer is a constant of the program", status=StatusCode.PERMISSION_DENIED)
        return view

    def _check_open(self) -> None:
        if self.closed:
            raise DeviceError(f"the {self.info.name} device was closed")

    def _no_kernels(self) -> NoReturn:
        self._check_open()
        raise DeviceError(
            "the host device has no queue and loads no kernels: it is there for programs that were compiled inline. "
            "Run others on device 'cpu' or 'vmvx'",
            status=StatusCode.UNIMPLEMENTED,
        )
