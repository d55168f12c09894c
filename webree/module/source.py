"""Where bytes come from: a file in memory, a mapped file, or (in the browser) a JavaScript ArrayBuffer.

Enters: anything with the buffer protocol. Leaves: a `ByteSource`, of which slices are made without a copy and bytes
are read only where Python itself must look at them. The browser's `JsByteSource` lives beside the other code that may
touch JavaScript (webree/hal_webgpu/browser.py): weights go from it to the GPU without entering Python's heap.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["ByteSource", "MemorySource"]


class ByteSource(Protocol):
    """A read-only range of bytes."""

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    def read(self, byte_offset: int, byte_length: int) -> memoryview:
        """The bytes of a range, as Python sees them (a copy in the browser; no copy natively).

        Raises `IndexError` if the range is not inside the source."""
        ...

    def slice(self, byte_offset: int, byte_length: int) -> ByteSource:
        """A sub-range, never a copy. Raises `IndexError` if it is not inside the source."""
        ...


class MemorySource:
    """A `ByteSource` over a Python buffer; keeps the buffer alive."""

    __slots__ = ("_view",)

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._view = memoryview(data).cast("B").toreadonly()

    @property
    def size(self) -> int:
        return len(self._view)

    def read(self, byte_offset: int, byte_length: int) -> memoryview:
        if byte_offset < 0 or byte_length < 0 or byte_offset + byte_length > len(self._view):
            raise IndexError(
                f"bytes {byte_offset}..{byte_offset + byte_length} lie outside a source of {len(self._view)} bytes"
            )
        return self._view[byte_offset : byte_offset + byte_length]

    def slice(self, byte_offset: int, byte_length: int) -> MemorySource:
        return MemorySource(self.read(byte_offset, byte_length))
