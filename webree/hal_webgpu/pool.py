"""Device memory, pooled: GPU buffers are kept by size class and handed out again.

Enters: byte lengths. Leaves: `PooledAllocation`s, each one GPU buffer of its own (WebGPU tracks hazards by whole
buffer, so sub-allocating would make independent tensors conflict). An allocation comes back when it is released or
collected, in any thread and at any moment of the garbage collector: coming back only appends to a deque, which the
pool empties when it is next asked for something. The last returned is the first reused, so a program that repeats
itself gets the same buffers again and the backend's cached bind groups fit.

A buffer has at least 16 bytes and a multiple of 16, so that `vec4` views of a tensor's last bytes can be bound.
"""

from __future__ import annotations

from collections import deque

from webree.errors import DeviceError, StatusCode
from webree.hal.buffer import Allocation, Buffer
from webree.hal.device import Counters, Device
from webree.hal_webgpu.backend import Backend

__all__ = ["BufferPool", "PooledAllocation", "buffer_handle", "closed_buffer", "size_class"]

MINIMUM_BYTES = 256
KEPT_FREE_BYTES = 64 << 20
"""Free buffers up to this size (or up to the peak of memory in use, if that is more) are kept for reuse."""


def size_class(byte_length: int) -> int:
    """Bytes of the buffer that serves `byte_length`: quarter steps between powers of two, 1/16 steps from 1 MiB on."""
    byte_length = max(byte_length, MINIMUM_BYTES)
    steps = 2 if byte_length < 1 << 20 else 4
    granule = 1 << ((byte_length - 1).bit_length() - 1 - steps)
    return -(-byte_length // granule) * granule


class PooledAllocation(Allocation):
    """One GPU buffer on loan. Attributes: `handle`, the backend's buffer, 0 once released; `byte_size`."""

    __slots__ = ("_returned", "byte_size", "handle")

    def __init__(self, handle: int, byte_size: int, returned: deque[tuple[int, int]]) -> None:
        self.handle = handle
        self.byte_size = byte_size
        self._returned = returned

    def release(self) -> None:
        handle, self.handle = self.handle, 0
        if handle:
            self._returned.append((handle, self.byte_size))

    def __del__(self) -> None:
        self.release()


def buffer_handle(device: Device, buffer: Buffer) -> int:
    """The backend's buffer behind a buffer. Raises `DeviceError` if it is closed or another device's."""
    allocation = buffer.allocation
    if buffer.device is not device or not isinstance(allocation, PooledAllocation):
        raise DeviceError("a buffer of another device", status=StatusCode.INVALID_ARGUMENT)
    if not allocation.handle:
        raise closed_buffer()
    return allocation.handle


def closed_buffer() -> DeviceError:
    return DeviceError("a buffer was used after it was closed", status=StatusCode.FAILED_PRECONDITION)


class BufferPool:
    """Not safe for several threads at once (the device's lock guards it); allocations may be released in any."""

    def __init__(self, backend: Backend, counters: Counters, maximum_byte_size: int) -> None:
        self._backend = backend
        self._counters = counters
        self._maximum_byte_size = maximum_byte_size
        self._returned: deque[tuple[int, int]] = deque()
        self._free: dict[int, list[int]] = {}
        self._free_bytes = 0
        self._peak_bytes = 0
        self._closed = False

    def allocate(self, byte_length: int) -> PooledAllocation:
        """A buffer of at least `byte_length` bytes, contents unspecified.

        Raises `DeviceError` (RESOURCE_EXHAUSTED) with the size and the limit, or the memory held so far."""
        if byte_length > self._maximum_byte_size:
            raise DeviceError(
                f"a buffer of {byte_length} bytes was asked for; this adapter's largest buffer "
                f"(maxBufferSize) has {self._maximum_byte_size} bytes",
                status=StatusCode.RESOURCE_EXHAUSTED,
            )
        self.drain()
        byte_size = min(size_class(byte_length), self._maximum_byte_size & ~15)
        handles = self._free.get(byte_size)
        if handles:
            handle = handles.pop()
            self._free_bytes -= byte_size
        else:
            handle = self._create(byte_size)
        counters = self._counters
        counters.in_use_bytes += byte_size
        self._peak_bytes = max(self._peak_bytes, counters.in_use_bytes)
        return PooledAllocation(handle, byte_size, self._returned)

    def drain(self) -> None:
        """Take in what was released since the last call."""
        returned = self._returned
        while returned:
            handle, byte_size = returned.popleft()
            if self._closed:
                continue
            self._free.setdefault(byte_size, []).append(handle)
            self._free_bytes += byte_size
            self._counters.in_use_bytes -= byte_size

    def trim(self, kept_bytes: int = 0) -> None:
        """Destroy free buffers, the size classes seen first, first, until at most `kept_bytes` of them are left."""
        self.drain()
        for byte_size in list(self._free):
            handles = self._free[byte_size]
            while handles and self._free_bytes > kept_bytes:
                self._backend.destroy_buffer(handles.pop(0))
                self._free_bytes -= byte_size
                self._counters.allocated_bytes -= byte_size
            if not handles:
                del self._free[byte_size]

    def close(self) -> None:
        """Forget everything; the backend destroys all buffers itself."""
        self._closed = True
        self._returned.clear()
        self._free.clear()
        self._free_bytes = 0
        self._counters.allocated_bytes = self._counters.in_use_bytes = 0

    def _create(self, byte_size: int) -> int:
        kept = max(KEPT_FREE_BYTES, self._peak_bytes)
        if self._free_bytes + byte_size > kept:
            self.trim(max(0, kept - byte_size))
        try:
            handle = self._backend.create_buffer(byte_size)
        except DeviceError as error:
            if error.status != StatusCode.RESOURCE_EXHAUSTED or not self._free_bytes:
                raise
            self.trim()
            handle = self._backend.create_buffer(byte_size)
        self._counters.allocated_bytes += byte_size
        return handle
