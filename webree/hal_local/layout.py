"""Where an engine keeps what is its own: the area `[0, base_address)` of the linear memory, and the function table.

Enters: the number of threads, and the sizes that libraries ask for. Leaves: addresses, and the words of the control
block and of the thread blocks that `player.wat` describes. Both engines use it, so that a library lies at the same
address and at the same table indices in every thread.

    0           nothing: the null pointer and what lies near it
    1024        control block (512 bytes)
    4096        library identifier -> address of the library's structure (u32 each)
    65536       words of the stream being played
    ...         thread blocks: state, guard, stack, local memory
    ...         the libraries' data (4 MiB), then base_address
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from webree.errors import DeviceError, StatusCode
from webree.hal_local.engine import PAGE_BYTES, LibraryExport

__all__ = [
    "CONTROL_ADDRESS",
    "FAILURE_ADDRESS",
    "PAUSE_ADDRESS",
    "PAUSE_INDEX",
    "STREAM_ADDRESS",
    "STREAM_WORDS",
    "Layout",
    "Placement",
    "stream_pieces",
]

CONTROL_ADDRESS = 1024
FAILURE_ADDRESS = CONTROL_ADDRESS + 196
"""Three u32: status, address of the failed command, 1 for a trap."""

_LIBRARIES_ADDRESS = 4096
MAXIMUM_LIBRARIES = (64 << 10) // 4 - 4096 // 4

PAUSE_ADDRESS = CONTROL_ADDRESS + 32
PAUSE_INDEX = 1
"""Where the control block says how to wait, and the table index that is kept for it. Index 0 is never a function, as a
null pointer is none."""

STREAM_ADDRESS = 64 << 10
STREAM_WORDS = 64 << 10

_THREADS_ADDRESS = STREAM_ADDRESS + 4 * STREAM_WORDS
_STACK_BYTES = 512 << 10
_LOCAL_MEMORY_BYTES = 256 << 10
_STACK_START = 256
_LOCAL_OFFSET = _STACK_START + _STACK_BYTES
_STRIDE = (_LOCAL_OFFSET + _LOCAL_MEMORY_BYTES + 4095) & -4096
_GUARD = (128, 0x6B63_6174_735F_6277)

_DATA_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Placement:
    """Attributes:
    identifier: number of the library.
    data_base, data_bytes: its data, at `__memory_base`.
    table_base, table_size: its functions, at `__table_base`.
    """

    identifier: int
    data_base: int
    data_bytes: int
    table_base: int
    table_size: int


class _Ranges:
    """A first-fit allocator of ranges: few and small ones, so plain lists do."""

    def __init__(self, start: int, end: int) -> None:
        self.free = [(start, end)]

    def take(self, size: int, alignment: int) -> int | None:
        for position, (start, end) in enumerate(self.free):
            aligned = (start + alignment - 1) // alignment * alignment
            if aligned + size <= end:
                rest = [(start, aligned), (aligned + size, end)]
                self.free[position : position + 1] = [(first, last) for first, last in rest if first < last]
                return aligned
        return None

    def give(self, start: int, size: int) -> None:
        joined: list[tuple[int, int]] = []
        for first, last in sorted([*self.free, (start, start + size)]):
            if joined and joined[-1][1] == first:
                joined[-1] = (joined[-1][0], last)
            elif first < last:
                joined.append((first, last))
        self.free = joined


class Layout:
    """Attributes:
    thread_count: threads that have a block.
    base_address: the first address that is not the engine's.
    table_size: function table entries that every thread needs now.
    """

    def __init__(self, thread_count: int) -> None:
        self.thread_count = thread_count
        data = _THREADS_ADDRESS + thread_count * _STRIDE
        self.base_address = (data + _DATA_BYTES + PAGE_BYTES - 1) // PAGE_BYTES * PAGE_BYTES
        self.table_size = PAUSE_INDEX + 1
        self._data = _Ranges(data, self.base_address)
        self._table = _Ranges(PAUSE_INDEX + 1, 1 << 20)
        self._identifiers: set[int] = set()

    def initial_words(self) -> list[tuple[int, bytes]]:
        """(address, bytes) to write before the first stream; everything else is zero."""
        fields = (_LIBRARIES_ADDRESS, _THREADS_ADDRESS, _STRIDE, _LOCAL_OFFSET)
        words = [(CONTROL_ADDRESS + 16, b"".join(field.to_bytes(4, "little") for field in fields))]
        offset, guard = _GUARD
        for thread in range(self.thread_count):
            words.append((_THREADS_ADDRESS + thread * _STRIDE + offset, guard.to_bytes(8, "little")))
        return words

    def stack_pointer(self, thread: int) -> int:
        """The thread's initial `__stack_pointer`."""
        return _THREADS_ADDRESS + thread * _STRIDE + _LOCAL_OFFSET

    def library_slot(self, placement: Placement) -> int:
        """Address of the word that holds the address of the library's structure."""
        return _LIBRARIES_ADDRESS + 4 * placement.identifier

    def place(
        self, name: str, data_bytes: int, alignment: int, table_size: int, exports: tuple[LibraryExport, ...]
    ) -> Placement:
        """Room for a library. Raises `DeviceError` (RESOURCE_EXHAUSTED) when there is none."""
        for export in exports:
            if export.local_memory_bytes > _LOCAL_MEMORY_BYTES:
                raise DeviceError(
                    f"{name}: kernel {export.name} needs {export.local_memory_bytes} bytes of local memory, "
                    f"this device has {_LOCAL_MEMORY_BYTES}: compile it for smaller workgroups",
                    status=StatusCode.RESOURCE_EXHAUSTED,
                )
        identifier = next((slot for slot in range(MAXIMUM_LIBRARIES) if slot not in self._identifiers), None)
        data_base = self._data.take(max(data_bytes, 1), max(alignment, 16))
        table_base = self._table.take(max(table_size, 1), 1)
        if identifier is None or data_base is None or table_base is None:
            if data_base is not None:
                self._data.give(data_base, max(data_bytes, 1))
            if table_base is not None:
                self._table.give(table_base, max(table_size, 1))
            free = sum(end - start for start, end in self._data.free)
            raise DeviceError(
                f"{name}: no room for {data_bytes} bytes of data and {table_size} functions; all executables together "
                f"have {_DATA_BYTES} bytes, {free} of them are free: release other modules, or keep large "
                "constants out of the kernels",
                status=StatusCode.RESOURCE_EXHAUSTED,
            )
        self._identifiers.add(identifier)
        self.table_size = max(self.table_size, table_base + max(table_size, 1))
        return Placement(identifier, data_base, max(data_bytes, 1), table_base, max(table_size, 1))

    def release(self, placement: Placement) -> None:
        self._identifiers.discard(placement.identifier)
        self._data.give(placement.data_base, placement.data_bytes)
        self._table.give(placement.table_base, placement.table_size)


def stream_pieces(words: array[int]) -> Iterator[tuple[int, int]]:
    """Ranges of a stream's words that fit into the stream area, in order; one, as a rule.

    The end of a piece is a barrier. Raises `DeviceError` for a command that is longer than the area."""
    count = len(words)
    if count <= STREAM_WORDS:
        yield 0, count
        return
    start = position = 0
    while position < count:
        length = words[position] >> 8
        if not 0 < length <= STREAM_WORDS:
            raise DeviceError(
                f"a command of {length} words; the most is {STREAM_WORDS}", status=StatusCode.INVALID_ARGUMENT
            )
        if position + length - start > STREAM_WORDS:
            yield start, position
            start = position
        position += length
    yield start, count
