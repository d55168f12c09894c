"""Fences: points in the queue's order that can be waited for, signalled, or failed.

On a device with one ordered queue (WebGPU) a fence that only device work waits for resolves when that work is
submitted; the host truly waits only where it reads memory back.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable

from webree.errors import DeviceError, StatusCode, WebreeError
from webree.waiting import Suspendable

__all__ = ["Fence", "FenceWait", "until"]


class Fence:
    """A one-way switch: pending, then either reached or failed. Safe to signal from another thread."""

    __slots__ = ("__weakref__", "_callbacks", "_lock", "error", "status")

    def __init__(self) -> None:
        self.status = StatusCode.DEFERRED
        self.error: BaseException | None = None
        self._callbacks: list[Callable[[Fence], None]] = []
        self._lock = threading.Lock()

    @property
    def pending(self) -> bool:
        return self.status == StatusCode.DEFERRED

    def signal(self) -> None:
        """Mark as reached and run the callbacks. A second signal changes nothing."""
        self._settle(StatusCode.OK, None)

    def fail(self, error: BaseException | StatusCode) -> None:
        """Mark as failed; everything that waits gets the same error."""
        if isinstance(error, StatusCode):
            error = DeviceError(f"a fence was failed by the program with status {error.name}", status=error)
        status = error.status if isinstance(error, WebreeError) else StatusCode.INTERNAL
        self._settle(status, error)

    def on_settled(self, callback: Callable[[Fence], None]) -> None:
        """Call `callback(self)` once the fence is reached or failed: at once if it already is."""
        with self._lock:
            if self.pending:
                self._callbacks.append(callback)
                return
        callback(self)

    def check(self) -> None:
        """Raise what the fence failed with, if it did."""
        if self.error is not None:
            raise self.error

    def _settle(self, status: StatusCode, error: BaseException | None) -> None:
        with self._lock:
            if not self.pending:
                return
            self.status, self.error = status, error
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    @staticmethod
    def join(fences: Iterable[Fence | None]) -> Fence | None:
        """A fence reached when all are; None if there is nothing to wait for. Fails with the first failure."""
        left = [fence for fence in fences if fence is not None and fence.status != StatusCode.OK]
        if not left:
            return None
        if len(left) == 1:
            return left[0]
        joined, count = Fence(), [len(left)]
        lock = threading.Lock()

        def settled(fence: Fence) -> None:
            if fence.error is not None:
                joined.fail(fence.error)
                return
            with lock:
                count[0] -= 1
                done = count[0] == 0
            if done:
                joined.signal()

        for fence in left:
            fence.on_settled(settled)
        return joined


def until(fence: Fence) -> Suspendable[None]:
    """Wait for a fence; raises what it failed with."""
    if fence.pending:
        yield FenceWait(fence)
    fence.check()


class FenceWait:
    """Waits on the host until a fence settles (see webree.waiting.Wait); the result is its status code.

    A timeout gives DEADLINE_EXCEEDED as the result, not an exception; a failed fence raises its error.
    """

    __slots__ = ("_fence", "_timeout_s")

    def __init__(self, fence: Fence, timeout_ms: int = -1) -> None:
        self._fence = fence
        self._timeout_s = None if timeout_ms < 0 else timeout_ms / 1000

    def block(self) -> StatusCode:
        if sys.platform == "emscripten":  # no threads: only other tasks of this one can signal
            return self._suspend()
        settled = threading.Event()
        self._fence.on_settled(lambda _: settled.set())
        settled.wait(self._timeout_s)
        return self._result()

    async def wait(self) -> StatusCode:
        import asyncio  # a sixth of the time to import the HAL; whoever awaits has it already

        loop = asyncio.get_running_loop()
        settled = asyncio.Event()

        def wake(_: Fence) -> None:
            if not loop.is_closed():  # after a timeout the fence may settle long after the loop is gone
                loop.call_soon_threadsafe(settled.set)

        self._fence.on_settled(wake)
        try:
            await asyncio.wait_for(settled.wait(), self._timeout_s)
        except TimeoutError:
            pass
        except ValueError as error:
            if "schedule in the past" not in str(error):  # Pyodide's event loop, when the time is over at once
                raise
        return self._result()

    def _suspend(self) -> StatusCode:
        from webree.browser.promises import PromiseWait

        waiting = self.wait()
        try:
            return StatusCode(PromiseWait(waiting).block())
        finally:
            waiting.close()

    def _result(self) -> StatusCode:
        if self._fence.pending:
            return StatusCode.DEADLINE_EXCEEDED
        self._fence.check()
        return self._fence.status
