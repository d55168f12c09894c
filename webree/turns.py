"""Turns: calls that must not overlap, one after another, whatever thread or task they come from.

Enters: calls that ask for a turn. Leaves: a fence for each, to be signalled when it is done. Waiting works both ways
(webree/waiting.py); a call that waits in place for a call that its own thread has suspended would wait for ever, and
is refused instead.
"""

from __future__ import annotations

import threading

from webree.errors import InvocationError, StatusCode
from webree.hal.fence import Fence, FenceWait
from webree.hal.registry import IN_BROWSER
from webree.waiting import Suspendable

__all__ = ["Turns"]


class Turns:
    """A queue of calls, first come, first served."""

    __slots__ = ("_last", "_lock", "_threads")

    def __init__(self) -> None:
        self._last: Fence | None = None
        self._lock = threading.Lock()
        self._threads: dict[Fence, int] = {}

    def take(self) -> Suspendable[Fence]:
        """Wait for one's turn; signal the returned fence when done."""
        mine = Fence()
        with self._lock:
            before, self._last = self._last, mine
            ahead = set(self._threads.values())
            self._threads[mine] = threading.get_ident()
        mine.on_settled(self._forget)
        if before is None or not before.pending:
            return mine
        try:
            yield _TurnWait(before, ahead)
        except BaseException:  # not waiting any more, but the next turn still comes after the one before
            before.on_settled(lambda _: mine.signal())
            raise
        return mine

    def _forget(self, fence: Fence) -> None:
        with self._lock:
            del self._threads[fence]


class _TurnWait(FenceWait):
    """Waits for the turn before; `ahead` are the threads of all calls in front."""

    __slots__ = ("_ahead",)

    def __init__(self, fence: Fence, ahead: set[int]) -> None:
        super().__init__(fence)
        self._ahead = ahead

    def block(self) -> StatusCode:
        if threading.get_ident() in self._ahead and not IN_BROWSER:
            raise InvocationError(
                "this call would wait for ever: it blocks the thread whose event loop has calls of this module under "
                "way; await the asynchronous form (`await module.main_async(...)`) here",
                status=StatusCode.FAILED_PRECONDITION,
            )
        return super().block()
