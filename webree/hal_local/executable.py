"""Executables on the CPU device: a library in an engine, its kernels found by name.

Enters: an engine's `Library`. Leaves: a `LocalExecutable`, which gives the library back to the engine when it is
collected: like a buffer's memory, by way of a deque that the device empties, since collection may happen in any thread.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from webree.hal.executable import Executable, ExportInfo
from webree.hal_local.engine import Library

if TYPE_CHECKING:
    from webree.hal_local.device import LocalDevice

__all__ = ["LocalExecutable"]


class LocalExecutable(Executable):
    """Attributes: `device`; `library`, what the engine knows it by; `exports`, what the host sees of its kernels. The
    file does not say which bindings a kernel only reads, nor what a dispatch costs."""

    def __init__(self, device: LocalDevice, library: Library, released: deque[Library]) -> None:
        self.device = device
        self.library = library
        self.exports = tuple(
            ExportInfo(
                export.name,
                export.workgroup_size,
                max(export.constant_count, 0),
                (False,) * max(export.binding_count, 0),
            )
            for export in library.exports
        )
        self._released = released

    def __del__(self) -> None:
        self._released.append(self.library)

    def wgsl(self, ordinal: int) -> str | None:
        return None
