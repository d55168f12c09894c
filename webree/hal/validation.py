"""What every driver checks of a command, in one wording.

Enters: numbers of a command as a recorder knows them. Leaves: nothing, or a `DeviceError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from webree.errors import DeviceError, StatusCode
from webree.hal.enums import WHOLE_BUFFER
from webree.hal.executable import Executable

__all__ = [
    "check_arguments",
    "check_extent",
    "check_fill",
    "check_pattern",
    "check_run",
    "check_slot",
    "kernel_at",
    "own_executable",
    "precondition",
]

E = TypeVar("E", bound=Executable)
K = TypeVar("K")

_END_OF_MEMORY = 1 << 32  # offsets of command streams have 32 bits


def precondition(message: str) -> DeviceError:
    """A call at the wrong time."""
    return DeviceError(message, status=StatusCode.FAILED_PRECONDITION)


def check_pattern(pattern: bytes) -> None:
    """Of a fill."""
    if len(pattern) not in (1, 2, 4, 8):
        raise DeviceError(
            f"a fill pattern has 1, 2, 4 or 8 bytes, not {len(pattern)}", status=StatusCode.INVALID_ARGUMENT
        )


def check_fill(byte_offset: int, byte_length: int, pattern_length: int) -> None:
    """Offset and length of a fill, each 0 if not known yet."""
    if (byte_offset | byte_length) % pattern_length:
        raise DeviceError(
            f"fill of {byte_length} bytes at offset {byte_offset}: both must be multiples of the pattern's "
            f"{pattern_length} bytes",
            status=StatusCode.INVALID_ARGUMENT,
        )


def check_slot(slot: int, byte_offset: int, byte_length: int, capacity: int) -> None:
    """A range of an entry of the binding table that is to come."""
    if not 0 <= slot < capacity:
        raise DeviceError(f"slot {slot} of a command buffer with {capacity} slots", status=StatusCode.OUT_OF_RANGE)
    if byte_offset < 0 or byte_length < WHOLE_BUFFER or byte_offset + byte_length >= _END_OF_MEMORY:
        raise DeviceError(
            f"slot {slot}: offset {byte_offset} and length {byte_length} are not a range of bytes",
            status=StatusCode.OUT_OF_RANGE,
        )


def check_extent(slot: int, used: int, given: int) -> None:
    """Bytes that the commands use of a slot against those of the table's entry."""
    if used > given:
        raise DeviceError(
            f"slot {slot}: the commands use {used} bytes, the binding table gives {given}",
            status=StatusCode.OUT_OF_RANGE,
        )


def check_run(binding_table: Sequence[Any], capacity: int, *, final: bool, again: bool) -> None:
    """Before a command buffer is executed; `again` says that it was already, and may be only once."""
    if not final:
        raise precondition("a command buffer was executed before it was finalized")
    if again:
        raise precondition("a one-shot command buffer was executed a second time")
    if len(binding_table) < capacity:
        raise DeviceError(
            f"the command buffer has {capacity} slots, the binding table {len(binding_table)} entries",
            status=StatusCode.INVALID_ARGUMENT,
        )


def own_executable(executable: Executable, kind: type[E], device: object) -> E:
    """The executable as the driver's own class, made by this device."""
    if not isinstance(executable, kind):
        raise DeviceError(
            f"an executable of another driver ({type(executable).__name__})", status=StatusCode.INVALID_ARGUMENT
        )
    if executable.device is not device:
        raise DeviceError("an executable of another device", status=StatusCode.INVALID_ARGUMENT)
    return executable


def kernel_at(kernels: Sequence[K], ordinal: int) -> K:
    """The kernel of that number."""
    if not 0 <= ordinal < len(kernels):
        raise DeviceError(f"kernel {ordinal} of an executable with {len(kernels)}", status=StatusCode.OUT_OF_RANGE)
    return kernels[ordinal]


def check_arguments(name: str, expected: tuple[int, int], found: tuple[int, int]) -> None:
    """Numbers of constants and bindings of a dispatch; -1 where a kernel does not say how many it takes."""
    if any(number not in (count, -1) for number, count in zip(expected, found, strict=True)):
        raise DeviceError(
            f"kernel {name!r} takes {expected[0]} constants and {expected[1]} bindings; "
            f"found {found[0]} and {found[1]}",
            status=StatusCode.INVALID_ARGUMENT,
        )
