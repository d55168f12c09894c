"""Which bindings of one dispatch may not share a GPU buffer, and which of them a copy can stand in for.

WebGPU's rules (https://www.w3.org/TR/webgpu/#programming-model-resource-usages): within one dispatch a buffer bound
read-only must not be bound writable as well, whatever the ranges; two writable bindings must not overlap.
"""

from __future__ import annotations

from webree.errors import DeviceError, StatusCode
from webree.hal_webgpu.command_stream import WHOLE
from webree.hal_webgpu.executable import Kernel

__all__ = ["Bound", "separate"]

Bound = tuple[int, int, int]
"""Buffer word, byte offset, byte size (WHOLE: open end)."""


def separate(kernel: Kernel, bound: list[Bound]) -> list[int]:
    """Indices of the bindings that must read a copy instead; each of them only reads.

    Raises `DeviceError` if two bindings that the kernel writes overlap."""
    declared_read_only = kernel.info.binding_read_only
    copied: set[int] = set()
    for second in range(1, len(bound)):
        for first in range(second):
            if first in copied or second in copied or bound[first][0] != bound[second][0]:
                continue
            if declared_read_only[first] and declared_read_only[second]:
                continue
            if declared_read_only[first]:
                copied.add(first)
            elif declared_read_only[second]:
                copied.add(second)
            elif _overlap(bound[first], bound[second]):
                copied.add(_reader(kernel, first, second))
    return sorted(copied)


def _overlap(first: Bound, second: Bound) -> bool:
    _, first_offset, first_size = first
    _, second_offset, second_size = second
    first_end = WHOLE if first_size == WHOLE else first_offset + first_size
    second_end = WHOLE if second_size == WHOLE else second_offset + second_size
    return first_offset < second_end and second_offset < first_end


def _reader(kernel: Kernel, first: int, second: int) -> int:
    for index in (first, second):
        if not kernel.binding_writes[index]:
            return index
    raise DeviceError(
        f"kernel {kernel.info.name!r} writes bindings {first} and {second}, which overlap in one buffer; "
        "WebGPU forbids that: pass different buffers",
        status=StatusCode.INVALID_ARGUMENT,
    )
