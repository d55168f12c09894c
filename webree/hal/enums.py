"""Flag and enum values of IREE's HAL, with the numbers that compiled programs carry (docs/module-format.md)."""

from __future__ import annotations

from enum import IntEnum, IntFlag

__all__ = [
    "WHOLE_BUFFER",
    "BufferUsage",
    "CommandBufferMode",
    "CommandCategory",
    "EncodingType",
    "MemoryType",
]

WHOLE_BUFFER = -1
"""As a byte length: everything from the offset to the end of the buffer."""


class MemoryType(IntFlag):
    OPTIMAL = 0x01
    HOST_VISIBLE = 0x02
    HOST_COHERENT = 0x04
    HOST_CACHED = 0x08
    DEVICE_VISIBLE = 0x10
    DEVICE_LOCAL = 0x30
    HOST_LOCAL = 0x46


class BufferUsage(IntFlag):
    TRANSFER_SOURCE = 0x1
    TRANSFER_TARGET = 0x2
    DISPATCH_INDIRECT_PARAMETERS = 0x100
    DISPATCH_UNIFORM_READ = 0x200
    DISPATCH_STORAGE_READ = 0x400
    DISPATCH_STORAGE_WRITE = 0x800
    SHARING_IMMUTABLE = 0x80000
    MAPPING_SCOPED = 0x1000000
    MAPPING_PERSISTENT = 0x2000000
    DEFAULT = 0xC03


class CommandBufferMode(IntFlag):
    REUSABLE = 0
    ONE_SHOT = 0x1


class CommandCategory(IntFlag):
    TRANSFER = 0x1
    DISPATCH = 0x2
    ANY = 0x3


class EncodingType(IntEnum):
    OPAQUE = 0
    DENSE_ROW_MAJOR = 1
