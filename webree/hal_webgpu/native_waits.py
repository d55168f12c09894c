"""What the native backend waits for: pipelines, read-backs, timestamps. No wgpu import here (see native.py).

Enters: futures and promises of wgpu-py. Leaves: `Wait`s of the HAL, blocking or awaited.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from webree.module.source import ByteSource, MemorySource

__all__ = ["CompileWait", "MapWait", "slices", "timestamps_to_us"]


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


def timestamps_to_us(data: memoryview) -> list[float]:
    """Pairs of 64-bit nanoseconds, begin and end -> microseconds."""
    stamps = array("Q", bytes(data))
    return [(end - begin) / 1000 for begin, end in zip(stamps[::2], stamps[1::2], strict=True)]
