"""Buffers: ranges of device memory, and references to them inside command buffers.

An `Allocation` is what a driver hands out and owns; a `Buffer` is a range of one. Buffers are cheap, are never copied,
and keep their allocation alive: when the last one is collected or closed, the driver takes the memory back into its
pool.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from webree.errors import DeviceError, StatusCode
from webree.hal.enums import WHOLE_BUFFER, BufferUsage, MemoryType

if TYPE_CHECKING:
    from webree.hal.device import Device

__all__ = ["Allocation", "Buffer", "BufferRef"]


class Allocation(ABC):
    """Device memory owned by a driver. `byte_size` is the usable size in bytes (at least what was asked for)."""

    __slots__ = ("__weakref__",)

    byte_size: int

    @abstractmethod
    def release(self) -> None:
        """Give the memory back to the driver's pool. Safe to call twice; later use raises `DeviceError`.

        The queue orders everything, so memory may be given back while submitted work still uses it."""


class Buffer:
    """A range of an allocation.

    Attributes:
        device: the device the memory belongs to.
        allocation: the memory.
        byte_offset: start of the range inside the allocation.
        byte_length: logical length of the range (what the program asked for, not the padded size).
        memory_type, usage: as the program asked.
        owners: IREE's count of owners of the allocation (`hal.buffer.allocation.*`), shared by all subspans.
    """

    __slots__ = (
        "__weakref__",
        "_owners",
        "allocation",
        "byte_length",
        "byte_offset",
        "device",
        "memory_type",
        "usage",
    )

    def __init__(
        self,
        device: Device,
        allocation: Allocation,
        byte_offset: int,
        byte_length: int,
        memory_type: MemoryType = MemoryType.DEVICE_LOCAL,
        usage: BufferUsage = BufferUsage.DEFAULT,
        owners: list[int] | None = None,
    ) -> None:
        self.device = device
        self.allocation = allocation
        self.byte_offset = byte_offset
        self.byte_length = byte_length
        self.memory_type = memory_type
        self.usage = usage
        self._owners = [1] if owners is None else owners

    @property
    def owners(self) -> list[int]:
        return self._owners

    def resolve(self, byte_offset: int, byte_length: int) -> tuple[int, int]:
        """Offset (relative to this buffer) and length of a range, with `WHOLE_BUFFER` replaced.

        Raises `DeviceError` (OUT_OF_RANGE) if the range is not inside the buffer."""
        if byte_length == WHOLE_BUFFER:
            byte_length = self.byte_length - byte_offset
        if byte_offset < 0 or byte_length < 0 or byte_offset + byte_length > self.byte_length:
            raise DeviceError(
                f"bytes {byte_offset}..{byte_offset + byte_length} lie outside a buffer of {self.byte_length} bytes",
                status=StatusCode.OUT_OF_RANGE,
            )
        return byte_offset, byte_length

    def subspan(self, byte_offset: int, byte_length: int) -> Buffer:
        """A view of a range of this buffer (`WHOLE_BUFFER` for the rest); no copy."""
        byte_offset, byte_length = self.resolve(byte_offset, byte_length)
        if byte_offset == 0 and byte_length == self.byte_length:
            return self
        return Buffer(
            self.device,
            self.allocation,
            self.byte_offset + byte_offset,
            byte_length,
            self.memory_type,
            self.usage,
            self._owners,
        )

    def close(self) -> None:
        """Release the allocation now instead of when it is collected."""
        self.allocation.release()


class BufferRef(NamedTuple):
    """A buffer range named while recording: direct (`buffer` set) or by slot of the binding table given at execution.

    The effective range of a slot is `table[slot].byte_offset + byte_offset`, length `byte_length`
    (`WHOLE_BUFFER`: to the end of the table entry's range).
    """

    buffer: Buffer | None
    slot: int = 0
    byte_offset: int = 0
    byte_length: int = WHOLE_BUFFER
