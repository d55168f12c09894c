"""The `hal` module's queue half: devices, queue operations and fences.

Enters: calls of a host program. Leaves: work on the device in queue order; every operation waits for its `wait` fence
and reaches its `signal` fence (`Device.enqueue`). On WebGPU's single queue this is almost always at once, so that only
`fence.await` on something outside the queue, and kernels still being compiled, ever suspend the program.
"""

from __future__ import annotations

from collections.abc import Sequence

from webree.errors import InvocationError, StatusCode
from webree.hal.buffer import Buffer
from webree.hal.command_buffer import CommandBuffer
from webree.hal.device import BindingTableEntry, Device
from webree.hal.enums import BufferUsage, MemoryType
from webree.hal.fence import Fence, FenceWait
from webree.module.source import MemorySource
from webree.vm.buffers import VmBuffer
from webree.vm.modules.hal_memory import Allocator, File, source_range
from webree.waiting import Suspendable

_U64_MASK = (1 << 64) - 1

# --- Devices ------------------------------------------------------------------------------------------------------


def device_allocator(device: Device) -> Allocator:
    return Allocator(device)


# --- Queue --------------------------------------------------------------------------------------------------------


def fill_pattern(pattern: int, byte_length: int) -> bytes:
    """The low bytes of a pattern that travels as i64."""
    if byte_length not in (1, 2, 4, 8):
        raise InvocationError(f"a fill pattern has 1, 2, 4 or 8 bytes, found {byte_length}")
    return (pattern & _U64_MASK).to_bytes(8, "little")[:byte_length]


def queue_alloca(
    device: Device,
    affinity: int,
    wait: Fence | None,
    signal: Fence | None,
    pool: int,
    memory_types: int,
    usage: int,
    size: int,
    flags: int,
) -> Buffer:
    """The buffer is there at once; the fences only pass on the order."""
    buffer = device.allocate(size, MemoryType(memory_types), BufferUsage(usage))
    device.enqueue(wait, signal, _nothing)
    return buffer


def queue_dealloca(
    device: Device, affinity: int, wait: Fence | None, signal: Fence | None, buffer: Buffer, flags: int
) -> None:
    """Back into the pool once `wait` is reached: later work that gets this memory is behind it in the queue."""
    device.enqueue(wait, signal, buffer.close)


def queue_fill(
    device: Device,
    affinity: int,
    wait: Fence | None,
    signal: Fence | None,
    buffer: Buffer,
    byte_offset: int,
    byte_length: int,
    pattern: int,
    pattern_length: int,
    flags: int,
) -> None:
    byte_offset, byte_length = buffer.resolve(byte_offset, byte_length)
    data = fill_pattern(pattern, pattern_length)
    device.enqueue(wait, signal, lambda: device.fill(buffer, byte_offset, byte_length, data))


def queue_update(
    device: Device,
    affinity: int,
    wait: Fence | None,
    signal: Fence | None,
    host: VmBuffer,
    host_offset: int,
    buffer: Buffer,
    byte_offset: int,
    byte_length: int,
    flags: int,
) -> None:
    source = source_range(host.source(), host_offset, byte_length)
    if wait is not None and wait.pending and host.mutable:  # the bytes are those at the time of the call
        source = MemorySource(bytes(source.read(0, source.size)))
    device.enqueue(wait, signal, lambda: device.update(source, buffer, byte_offset))


def queue_copy(
    device: Device,
    affinity: int,
    wait: Fence | None,
    signal: Fence | None,
    source: Buffer,
    source_offset: int,
    target: Buffer,
    target_offset: int,
    byte_length: int,
    flags: int,
) -> None:
    target_offset, byte_length = target.resolve(target_offset, byte_length)
    device.enqueue(wait, signal, lambda: device.copy(source, source_offset, target, target_offset, byte_length))


def queue_read(
    device: Device,
    affinity: int,
    wait: Fence | None,
    signal: Fence | None,
    file: File,
    file_offset: int,
    buffer: Buffer,
    byte_offset: int,
    byte_length: int,
    flags: int,
) -> None:
    """Host bytes (constants of the module, mostly) to the device, without a copy in Python."""
    source = source_range(file.source, file_offset, byte_length)
    device.enqueue(wait, signal, lambda: device.update(source, buffer, byte_offset))


def queue_write(
    device: Device,
    affinity: int,
    wait: Fence | None,
    signal: Fence | None,
    buffer: Buffer,
    byte_offset: int,
    file: File,
    file_offset: int,
    byte_length: int,
    flags: int,
) -> Suspendable[None]:
    """Device to host: the one queue operation that must wait for the queue, and suspends the program to do so."""
    byte_offset, byte_length = buffer.resolve(byte_offset, byte_length)
    if file.target is None:
        raise InvocationError("hal.device.queue.write: the file is read-only", status=StatusCode.PERMISSION_DENIED)
    source_range(file.source, file_offset, byte_length)
    try:
        if wait is not None and wait.pending:
            yield FenceWait(wait)
        if wait is not None:
            wait.check()
        (data,) = yield device.read_back([(buffer, byte_offset, byte_length)])
        file.target.write(file.target_offset + file_offset, data.read(0, byte_length))
    except Exception as error:
        if signal is None:
            raise
        signal.fail(error)
    else:
        if signal is not None:
            signal.signal()


def queue_barrier(device: Device, affinity: int, wait: Fence | None, signal: Fence | None, flags: int) -> None:
    device.enqueue(wait, signal, _nothing)


def queue_execute(
    device: Device, affinity: int, wait: Fence | None, signal: Fence | None, commands: CommandBuffer, flags: int
) -> Suspendable[None]:
    kernels = device.ready()
    if kernels is not None:
        yield kernels
    device.enqueue(wait, signal, lambda: device.execute(commands))


def queue_execute_indirect(
    device: Device,
    affinity: int,
    wait: Fence | None,
    signal: Fence | None,
    commands: CommandBuffer,
    flags: int,
    binding_table: Sequence[BindingTableEntry],
) -> Suspendable[None]:
    for slot, entry in enumerate(binding_table):
        if not isinstance(entry[0], Buffer):
            raise InvocationError(f"hal.device.queue.execute.indirect: no buffer in slot {slot}; the module is faulty")
    kernels = device.ready()
    if kernels is not None:
        yield kernels
    device.enqueue(wait, signal, lambda: device.execute(commands, binding_table))


def queue_flush(device: Device, affinity: int) -> None:
    device.flush()


def _nothing() -> None:
    """An operation that only passes a fence on."""


# --- Fences -------------------------------------------------------------------------------------------------------


def fence_create(device: Device, flags: int) -> Fence:
    return Fence()


def fence_join(flags: int, fences: Sequence[Fence | None]) -> Fence | None:
    return _join(fences)


def _join(fences: Sequence[Fence | None]) -> Fence | None:
    for fence in fences:
        if fence is not None and not isinstance(fence, Fence):
            raise InvocationError(f"a {type(fence).__name__} is joined as a fence; the module is faulty")
    return Fence.join(fences)


def fence_query(fence: Fence) -> int:
    return int(fence.status)


def fence_signal(fence: Fence) -> None:
    fence.signal()


def fence_fail(fence: Fence, status: int) -> None:
    try:
        fence.fail(StatusCode(status & 0x1F))
    except ValueError:
        fence.fail(StatusCode.UNKNOWN)


def fence_await(timeout_ms: int, flags: int, fences: Sequence[Fence | None]) -> Suspendable[int]:
    """0 when all are reached, DEADLINE_EXCEEDED after the timeout; a failed fence raises what it failed with."""
    joined = _join(fences)
    if joined is None:
        return StatusCode.OK
    if joined.pending:
        status: int = yield FenceWait(joined, timeout_ms)
        return int(status)
    joined.check()
    return StatusCode.OK
