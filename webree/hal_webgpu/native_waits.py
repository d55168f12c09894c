"""What the native backend waits for: pipelines, read-backs, timestamps; and the buffers that are mapped for it.

Enters: futures and promises of wgpu-py. Leaves: `Wait`s of the HAL, blocking or awaited. No wgpu
import here: native.py makes the objects.
"""

from __future__ import annotations

import asyncio
import threading
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from webree.hal_webgpu.pool import size_class
from webree.module.source import ByteSource, MemorySource

__all__ = ["CompileWait", "MapWait", "Staging", "slices", "ticks_to_us"]

KEPT_STAGING_BUFFERS = 4
SMALLEST_STAGING_BYTES = 4096


class CompileWait:
    """Waits for futures of pipelines, then calls `finish`, which raises the first failure."""

    def __init__(self, futures: Sequence[Future[Any]], finish: Callable[[], None]) -> None:
        self._futures = futures
        self._finish = finish

    def block(self) -> None:
        for future in self._futures:
            future.exception()
        self._finish()

    async def wait(self) -> None:
        await asyncio.gather(*map(asyncio.wrap_future, self._futures), return_exceptions=True)
        self._finish()


class MapWait:
    """Waits for a staging buffer to be mapped, then calls `finish(error or None)` once for the result; waiting again
    gives the same result."""

    def __init__(self, promise: Any, finish: Callable[[Exception | None], Any]) -> None:
        self._promise = promise
        self._finish = finish
        self._done: tuple[Any] | None = None

    def block(self) -> Any:
        if self._done is None:
            error: Exception | None = None
            try:
                self._promise.sync_wait()
            except Exception as caught:
                error = caught
            self._done = (self._finish(error),)
        return self._done[0]

    async def wait(self) -> Any:
        if self._done is None:
            error: Exception | None = None
            try:
                await self._promise
            except Exception as caught:
                error = caught
            self._done = (self._finish(error),)
        return self._done[0]


def slices(data: memoryview, places: Sequence[tuple[int, int]]) -> list[ByteSource]:
    """Sources over the (offset, length) places of what was read back."""
    return [MemorySource(data[offset : offset + byte_length]) for offset, byte_length in places]


def ticks_to_us(data: memoryview, ns_per_tick: float) -> list[float]:
    """Pairs of 64-bit ticks, begin and end -> microseconds between them."""
    stamps = array("Q", bytes(data))
    return [(end - begin) * ns_per_tick / 1000 for begin, end in zip(stamps[::2], stamps[1::2], strict=True)]


class Staging:
    """Mappable buffers, kept for the next read-back. `create(byte_size)` makes one."""

    def __init__(self, create: Callable[[int], Any]) -> None:
        self._create = create
        self._free: list[Any] = []
        self._lock = threading.Lock()
        self._closed = False

    def take(self, byte_size: int) -> Any:
        """An unmapped buffer of at least `byte_size` bytes, the smallest there is."""
        with self._lock:
            fitting = [buffer for buffer in self._free if buffer.size >= byte_size]
            if fitting:
                buffer = min(fitting, key=lambda buffer: buffer.size)
                self._free.remove(buffer)
                return buffer
        return self._create(size_class(max(SMALLEST_STAGING_BYTES, byte_size)))

    def give(self, buffer: Any) -> None:
        """Take a buffer back; the one that was back longest goes if there are too many."""
        with self._lock:
            self._free.append(buffer)
            surplus = self._free.pop(0) if self._closed or len(self._free) > KEPT_STAGING_BUFFERS else None
        if surplus is not None:
            surplus.destroy()

    def close(self) -> None:
        """Free all; buffers given back later are freed then."""
        with self._lock:
            free, self._free, self._closed = self._free, [], True
        for buffer in free:
            buffer.destroy()
