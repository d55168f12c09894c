"""Keeps traps of kernels traps: wasmtime's signal handlers are in force while a stream is played.

Enters: nothing. Leaves: a context manager for the time of a call into WebAssembly. wasmtime finds accesses out of
bounds and `unreachable` by the signals that they raise, and installs its handlers once in a process. Other libraries do
the same and replace them: the compiler does when it is loaded, `faulthandler.enable()` does. A kernel's trap would then
end the process. So a stream swaps wasmtime's handlers in where they are not, and leaves the others' in force after it.
Only Linux needs this: elsewhere wasmtime uses what the system has for it (Mach ports, vectored exceptions).
"""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from typing import Any

__all__ = ["WASMTIME_SIGNALS"]

_NAMES = ("SIGSEGV", "SIGILL", "SIGFPE", "SIGBUS")
_NUMBERS = tuple(int(getattr(signal, name)) for name in _NAMES) if sys.platform == "linux" else ()
_ACTION_BYTES = 256
"""More than any `struct sigaction` has; the handler's address is its first field."""


class _Signals:
    """Enters and leaves in any thread, also nested."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._own: list[Any] | None = None
        self._others: list[Any] | None = None
        if _NUMBERS:
            self._sigaction = ctypes.PyDLL(None).sigaction
            self._found = ctypes.create_string_buffer(_ACTION_BYTES)
            self._handler = ctypes.c_void_p.from_buffer(self._found)

    def capture(self) -> None:
        """Remember wasmtime's handlers: called once the first `wasmtime.Engine` is there, and once only."""
        with self._lock:
            if self._own is None and _NUMBERS:
                self._own = [ctypes.create_string_buffer(_ACTION_BYTES) for _ in _NUMBERS]
                for number, action in zip(_NUMBERS, self._own, strict=True):
                    self._sigaction(number, None, action)
                self._address = ctypes.c_void_p.from_buffer(self._own[0]).value

    def __enter__(self) -> None:
        with self._lock:
            if self._depth == 0 and self._own is not None:
                # Who replaces one replaces all: one look is enough.
                self._sigaction(_NUMBERS[0], None, self._found)
                if self._handler.value != self._address:
                    self._others = self._swap(self._own)
            self._depth += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0 and self._others is not None:
                self._swap(self._others)
                self._others = None

    def _swap(self, actions: list[Any]) -> list[Any]:
        before = [ctypes.create_string_buffer(_ACTION_BYTES) for _ in _NUMBERS]
        for number, action, old in zip(_NUMBERS, actions, before, strict=True):
            self._sigaction(number, action, old)
        return before


WASMTIME_SIGNALS = _Signals()
