"""Device memory on the CPU: a free list over the engine's one linear memory.

Enters: byte lengths. Leaves: `Block`s, address ranges of the memory. A block comes back when it is released or
collected, in any thread and at any moment of the garbage collector: coming back only appends to a deque, which the
arena empties when it is next asked for something. Everything acts in the order of the queue, so what came back may be
handed out again at once. The best fitting hole is taken and neighbouring holes are joined; the memory grows in steps
and never shrinks, as WebAssembly's cannot.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

from webree.errors import DeviceError, StatusCode
from webree.hal.buffer import Allocation, Buffer
from webree.hal.device import Counters, Device
from webree.hal_local.engine import MAXIMUM_MEMORY_BYTES, Engine

__all__ = ["ALIGNMENT", "Arena", "Block", "block_address", "closed_buffer"]

ALIGNMENT = 64
"""Of every block, in bytes: what IREE's kernels assume of a binding, and a cache line."""
SMALLEST_STEP = 1 << 20
"""The memory grows by this many bytes, or by a quarter of what there is if that is more."""


class Block(Allocation):
    """An address range on loan. Attributes: `address`, 0 once released; `byte_size`."""

    __slots__ = ("_returned", "address", "byte_size")

    def __init__(self, address: int, byte_size: int, returned: deque[tuple[int, int]]) -> None:
        self.address = address
        self.byte_size = byte_size
        self._returned = returned

    def release(self) -> None:
        address, self.address = self.address, 0
        if address:
            self._returned.append((address, self.byte_size))

    def __del__(self) -> None:
        self.release()


def block_address(device: Device, buffer: Buffer) -> int:
    """Where a buffer begins. Raises `DeviceError` if it is closed or another device's."""
    block = buffer.allocation
    if buffer.device is not device or not isinstance(block, Block):
        raise DeviceError("a buffer of another device", status=StatusCode.INVALID_ARGUMENT)
    if not block.address:
        raise closed_buffer()
    return block.address + buffer.byte_offset


def closed_buffer() -> DeviceError:
    return DeviceError("a buffer was used after it was closed", status=StatusCode.FAILED_PRECONDITION)


class Arena:
    """Not safe for several threads at once (the device's lock guards it); blocks may be released in any.

    Attributes: `limit`, bytes of the largest block that there can be."""

    def __init__(self, engine: Engine, counters: Counters) -> None:
        self.limit = MAXIMUM_MEMORY_BYTES - engine.base_address & -ALIGNMENT
        self._engine = engine
        self._counters = counters
        self._returned: deque[tuple[int, int]] = deque()
        self._end = engine.base_address
        # The holes: start -> size, end -> start, and (size, start) in order.
        self._sizes: dict[int, int] = {}
        self._starts: dict[int, int] = {}
        self._ordered: list[tuple[int, int]] = []

    def allocate(self, byte_length: int) -> Block:
        """A block of at least `byte_length` bytes, contents unspecified.

        Raises `DeviceError` (RESOURCE_EXHAUSTED) with the size and the limit, or the memory held so far."""
        if byte_length > self.limit:
            raise DeviceError(
                f"a buffer of {byte_length} bytes was asked for; the CPU device's memory (maxBufferSize) has "
                f"{self.limit} bytes",
                status=StatusCode.RESOURCE_EXHAUSTED,
            )
        self.drain()
        size = max(byte_length + ALIGNMENT - 1 & -ALIGNMENT, ALIGNMENT)
        index = bisect_left(self._ordered, (size, 0))
        if index == len(self._ordered):
            self._grow(size)
            index = bisect_left(self._ordered, (size, 0))
        hole, start = self._ordered[index]
        self._remove(start, hole)
        if hole > size:
            self._insert(start + size, hole - size)
        self._counters.in_use_bytes += size
        return Block(start, size, self._returned)

    def drain(self) -> None:
        """Take in what was released since the last call."""
        returned = self._returned
        while returned:
            start, size = returned.popleft()
            self._counters.in_use_bytes -= size
            self._insert(start, size)

    def close(self) -> None:
        """Forget everything; what comes back later is ignored."""
        self._returned.clear()
        self._sizes.clear()
        self._starts.clear()
        self._ordered.clear()
        self._counters.allocated_bytes = self._counters.in_use_bytes = 0

    def _grow(self, size: int) -> None:
        """Make a hole of at least `size` bytes at the memory's end."""
        last = self._starts.get(self._end)
        needed = size - (self._sizes[last] if last is not None else 0)
        base = self._engine.base_address
        room = base + self.limit - self._end
        step = max(SMALLEST_STEP, (self._end - base) // 4)
        wanted = min(-(-needed // step) * step, room)
        if needed > room or not (self._extend(wanted) or self._extend(needed)):
            raise DeviceError(
                f"the CPU device is out of memory: {size} bytes were asked for, {self._counters.in_use_bytes} of "
                f"{self._end - base} bytes are in use, and the system or the 4 GiB of 32-bit addresses give no more: "
                "free results that are no longer needed, or run a smaller batch",
                status=StatusCode.RESOURCE_EXHAUSTED,
            )

    def _extend(self, byte_length: int) -> bool:
        end = self._end + byte_length
        try:
            if end > self._engine.memory_bytes:
                self._engine.grow(end)
        except DeviceError as error:
            if error.status != StatusCode.RESOURCE_EXHAUSTED:
                raise
            return False
        self._insert(self._end, byte_length)
        self._end = end
        self._counters.allocated_bytes += byte_length
        return True

    def _insert(self, start: int, size: int) -> None:
        """Add a hole, joined with the holes on both sides."""
        before = self._starts.get(start)
        if before is not None:
            length = self._sizes[before]
            self._remove(before, length)
            start, size = before, size + length
        after = self._sizes.get(start + size)
        if after is not None:
            self._remove(start + size, after)
            size += after
        self._sizes[start] = size
        self._starts[start + size] = start
        insort(self._ordered, (size, start))

    def _remove(self, start: int, size: int) -> None:
        del self._sizes[start]
        del self._starts[start + size]
        del self._ordered[bisect_left(self._ordered, (size, start))]
