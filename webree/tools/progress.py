"""Progress of long work, on standard error: one line that rewrites itself on a terminal, one line a step elsewhere.

Enters: calls `progress(step, fraction)`. Leaves: text. Nothing at all when it is off.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

__all__ = ["Progress"]

_WIDTH = 24


class Progress:
    """Called with the name of the step that begins and the fraction (0 to 1) of all work that lies behind it."""

    def __init__(self, title: str, *, on: bool = True, stream: TextIO | None = None) -> None:
        self._title, self._on = title, on
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._start = time.monotonic()
        self._last = ""

    def __call__(self, step: str, fraction: float) -> None:
        if not self._on:
            return
        seconds = time.monotonic() - self._start
        if self._terminal:
            full = round(min(max(fraction, 0.0), 1.0) * _WIDTH)
            bar = "#" * full + "." * (_WIDTH - full)
            self._stream.write(f"\r{self._title} [{bar}] {fraction:4.0%} {seconds:5.1f} s  {step}\033[K")
        elif step != self._last:
            self._stream.write(f"{self._title}: {fraction:4.0%} {seconds:5.1f} s  {step}\n")
        self._last = step
        self._stream.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._on and self._terminal and self._last:
            self._stream.write("\r\033[K")
            self._stream.flush()
