"""Command buffers: a recorded list of transfers and dispatches, executed once or many times.

Commands between two barriers may run in any order: a WebGPU queue orders all of them anyway, the CPU device may run
them at the same time. Recording validates (ranges of direct buffers, counts, limits); execution resolves slots against
the binding table and submits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from webree.hal.buffer import BufferRef
from webree.hal.executable import Executable

__all__ = ["CommandBuffer"]


class CommandBuffer(ABC):
    """Attributes: `binding_capacity`, the slots of the binding table; `one_shot`, executed at most once;
    `dispatch_count`, dispatches recorded so far."""

    binding_capacity: int
    one_shot: bool
    dispatch_count: int

    @abstractmethod
    def fill(self, target: BufferRef, pattern: bytes) -> None:
        """Repeat `pattern` (1, 2, 4 or 8 bytes) over the target; its offset and length are multiples of the pattern."""

    @abstractmethod
    def update(self, source: bytes | memoryview, target: BufferRef) -> None:
        """Write host bytes, captured now, to the target (any byte offset and length)."""

    @abstractmethod
    def copy(self, source: BufferRef, target: BufferRef) -> None:
        """Copy `target.byte_length` bytes (any byte offsets and length; ranges must not overlap)."""

    @abstractmethod
    def dispatch(
        self,
        executable: Executable,
        ordinal: int,
        workgroup_count: tuple[int, int, int],
        constants: Sequence[int],
        bindings: Sequence[BufferRef],
    ) -> None:
        """Run a kernel. `constants` are 32-bit words (signed or unsigned ints); a zero workgroup count runs nothing."""

    @abstractmethod
    def dispatch_indirect(
        self,
        executable: Executable,
        ordinal: int,
        workgroup_count: BufferRef,
        constants: Sequence[int],
        bindings: Sequence[BufferRef],
    ) -> None:
        """Run a kernel whose workgroup count is three u32 read from a buffer when it executes."""

    @abstractmethod
    def barrier(self) -> None:
        """Everything before happens before everything after."""

    def begin_debug_group(self, label: str) -> None:  # noqa: B027 - optional
        """Open a named group for GPU debuggers."""

    def end_debug_group(self) -> None:  # noqa: B027 - optional
        """Close the innermost group."""

    @abstractmethod
    def finalize(self) -> None:
        """End recording; after this the command buffer is immutable."""
