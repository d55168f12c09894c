"""The `hal` module's memory half: allocators, buffers, buffer views and files.

Enters: calls of a host program (arguments as in webree/vm/native.py). Leaves: `webree.hal` objects. Constants never
pass through Python: `allocator.import` says no to a program that only tries, which then reads them from a file over the
module's own bytes (`ex.file.from_memory`), and a file is a `ByteSource` that goes to `Device.update` as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from webree.dtypes import by_element_type
from webree.errors import DeviceError, InvocationError, StatusCode
from webree.hal.buffer import Buffer
from webree.hal.buffer_view import BufferView
from webree.hal.device import Device
from webree.hal.enums import WHOLE_BUFFER, BufferUsage, EncodingType, MemoryType
from webree.module.source import ByteSource, MemorySource
from webree.vm.buffers import VmBuffer
from webree.waiting import Suspendable

__all__ = ["Allocator", "File", "source_range", "tensor_type", "text"]

_I32_SIGN, _I32_SPAN = 1 << 31, 1 << 32
_FILE_READ, _FILE_WRITE = 1, 2
_NUMERICAL_UNKNOWN, _INTEGER_CLASS = 0, range(0x10, 0x20)


class Allocator:
    """`!hal.allocator`: the face of a device that gives out memory."""

    __slots__ = ("device",)

    def __init__(self, device: Device) -> None:
        self.device = device


class File:
    """`!hal.file`: a byte range on the host that the queue reads from, and writes to if `target` is there."""

    __slots__ = ("source", "target", "target_offset")

    def __init__(self, source: ByteSource, target: VmBuffer | None = None, target_offset: int = 0) -> None:
        self.source = source
        self.target = target
        self.target_offset = target_offset


def text(buffer: VmBuffer) -> str:
    """The UTF-8 text a program passes in a buffer."""
    return bytes(buffer.read(0, buffer.byte_length)).decode("utf-8", "replace")


def source_range(source: ByteSource, byte_offset: int, byte_length: int) -> ByteSource:
    """A range of host bytes, `WHOLE_BUFFER` for the rest. Raises `InvocationError` (OUT_OF_RANGE)."""
    if byte_length == WHOLE_BUFFER:
        byte_length = source.size - byte_offset
    if byte_offset == 0 and byte_length == source.size:
        return source
    if byte_offset < 0 or byte_length < 0 or byte_offset + byte_length > source.size:
        raise InvocationError(
            f"bytes {byte_offset}..{byte_offset + byte_length} lie outside host memory of {source.size} bytes",
            status=StatusCode.OUT_OF_RANGE,
        )
    return source.slice(byte_offset, byte_length)


# --- Allocators and files -----------------------------------------------------------------------------------------


def allocator_select(
    memory_types: int, usage: int, flags: int, candidates: Sequence[tuple[Device, int]]
) -> tuple[Device, int]:
    """The first candidate: every device can hold every kind of buffer."""
    if not candidates:
        raise InvocationError("hal.allocator.select: no device to choose from; the module is faulty")
    return candidates[0]


def allocator_allocate(allocator: Allocator, affinity: int, memory_types: int, usage: int, size: int) -> Buffer:
    return allocator.device.allocate(size, MemoryType(memory_types), BufferUsage(usage))


def allocator_import(
    allocator: Allocator,
    try_only: int,
    affinity: int,
    memory_types: int,
    usage: int,
    host: VmBuffer,
    byte_offset: int,
    byte_length: int,
) -> Buffer | None:
    """GPU memory cannot alias the host's: null where the program can do without, else a copy."""
    if try_only:
        return None
    source = source_range(host.source(), byte_offset, byte_length)
    buffer = allocator.device.allocate(source.size, MemoryType(memory_types), BufferUsage(usage))
    allocator.device.update(source, buffer)
    return buffer


def file_from_memory(
    device: Device, affinity: int, access: int, host: VmBuffer, byte_offset: int, byte_length: int, flags: int
) -> File:
    source = source_range(host.source(), byte_offset, byte_length)
    if not access & _FILE_WRITE:
        return File(source)
    if not host.mutable:
        raise InvocationError(
            "hal.ex.file.from_memory: a writable file over constant memory", status=StatusCode.PERMISSION_DENIED
        )
    return File(source, host, byte_offset)


# --- Buffers ------------------------------------------------------------------------------------------------------


def buffer_assert(
    buffer: Buffer, message: VmBuffer, allocator: Allocator, minimum_length: int, memory_types: int, usage: int
) -> None:
    if buffer.device is not allocator.device:
        raise InvocationError(
            f"{text(message)}: the buffer is on another device ({buffer.device.info.name}) than the module "
            f"({allocator.device.info.name}); copy it through the host",
            status=StatusCode.PERMISSION_DENIED,
        )
    if buffer.byte_length < minimum_length:
        raise InvocationError(
            f"{text(message)}: expected a buffer of at least {minimum_length} bytes, found {buffer.byte_length}"
        )
    _expect_bits(message, "memory type", memory_types, buffer.memory_type)
    _expect_bits(message, "usage", usage, buffer.usage)


def _expect_bits(message: VmBuffer, what: str, expected: int, found: int) -> None:
    if expected & ~int(found):  # operators of IntFlag are slow, and every input of every call comes by here
        raise InvocationError(
            f"{text(message)}: expected a buffer with {what} {expected:#x}, found {int(found):#x}",
            status=StatusCode.PERMISSION_DENIED,
        )


def allocation_preserve(buffer: Buffer) -> None:
    buffer.owners[0] += 1


def allocation_discard(buffer: Buffer) -> int:
    buffer.owners[0] -= 1
    return int(buffer.owners[0] == 0)


def allocation_is_terminal(buffer: Buffer) -> int:
    return int(buffer.owners[0] == 1)


def buffer_length(buffer: Buffer) -> int:
    return buffer.byte_length


def buffer_load(buffer: Buffer, byte_offset: int, byte_length: int) -> Suspendable[int]:
    """Read 1, 2 or 4 bytes, zero-extended, once everything queued before is done."""
    if byte_length not in (1, 2, 4):
        raise InvocationError(f"hal.buffer.load: a value of {byte_length} bytes")
    buffer.resolve(byte_offset, byte_length)
    (source,) = yield buffer.device.read_back([(buffer, byte_offset, byte_length)])
    value = int.from_bytes(source.read(0, byte_length), "little")
    return value - _I32_SPAN if value >= _I32_SIGN else value


def buffer_store(value: int, buffer: Buffer, byte_offset: int, byte_length: int) -> None:
    if byte_length not in (1, 2, 4):
        raise InvocationError(f"hal.buffer.store: a value of {byte_length} bytes")
    data = (value & (_I32_SPAN - 1)).to_bytes(4, "little")[:byte_length]
    buffer.device.update(MemorySource(data), buffer, byte_offset)


# --- Buffer views -------------------------------------------------------------------------------------------------


def tensor_type(shape: Sequence[int], element_type: int) -> str:
    """A tensor's type for messages: `tensor<2x3xf32>`."""
    try:
        name = by_element_type(element_type).mlir
    except KeyError:
        name = f"<element type {element_type:#010x}>"
    return f"tensor<{''.join(f'{extent}x' for extent in shape)}{name}>"


def view_create(
    buffer: Buffer, byte_offset: int, byte_length: int, element_type: int, encoding: int, shape: Sequence[int]
) -> BufferView:
    if any(extent < 0 for extent in shape):
        raise InvocationError(f"hal.buffer_view.create: {tensor_type(shape, element_type)} has a negative extent")
    return BufferView(buffer.subspan(byte_offset, byte_length), tuple(shape), element_type, encoding)


def view_assert(view: BufferView, message: VmBuffer, element_type: int, encoding: int, shape: Sequence[int]) -> None:
    if (
        view.shape == tuple(shape)
        and (view.element_type == element_type or _compatible(view.element_type, element_type))
        and (view.encoding == encoding or view.encoding == EncodingType.OPAQUE)
    ):
        return
    if view.encoding not in (encoding, EncodingType.OPAQUE):
        raise InvocationError(f"{text(message)}: expected encoding {encoding}, found {view.encoding}")
    raise InvocationError(
        f"{text(message)}: expected {tensor_type(shape, element_type)}, "
        f"found {tensor_type(view.shape, view.element_type)}"
    )


def _compatible(found: int, expected: int) -> bool:
    """IREE's rule: unknown types pass, and integers of one width whatever their sign."""
    if found >> 24 == _NUMERICAL_UNKNOWN:
        return True
    return found & 0xFFFF == expected & 0xFFFF and found >> 24 in _INTEGER_CLASS and expected >> 24 in _INTEGER_CLASS


def view_buffer(view: BufferView) -> Buffer:
    return view.buffer


def view_element_type(view: BufferView) -> int:
    return view.element_type


def view_encoding(view: BufferView) -> int:
    return view.encoding


def view_rank(view: BufferView) -> int:
    return len(view.shape)


def view_dim(view: BufferView, index: int) -> int:
    if not 0 <= index < len(view.shape):
        raise InvocationError(
            f"hal.buffer_view.dim: dimension {index} of {tensor_type(view.shape, view.element_type)}",
            status=StatusCode.OUT_OF_RANGE,
        )
    return view.shape[index]


def view_trace(key: VmBuffer, views: Sequence[BufferView | None]) -> Suspendable[None]:
    """Print tensors to stderr, as `flow.tensor.trace` asks."""
    from webree.array import Array

    lines = [f"=== {text(key)} ==="]
    for view in views:
        if view is None:
            lines.append("null")
            continue
        (source,) = yield view.buffer.device.read_back([(view.buffer, 0, view.buffer.byte_length)])
        array = Array(source, view.shape, by_element_type(view.element_type))
        lines.append(f"{tensor_type(view.shape, view.element_type)} = {array.tolist()}")
    print("\n".join(lines), file=sys.stderr)


# --- Collectives --------------------------------------------------------------------------------------------------


def collectives_unavailable(*_: Any) -> Any:
    raise DeviceError(
        "this module uses collective operations over several devices; webree runs on one device",
        status=StatusCode.UNIMPLEMENTED,
    )
