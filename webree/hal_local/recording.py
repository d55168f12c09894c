"""Command buffers of the CPU device: commands are validated once and written into a command stream.

Enters: commands over direct buffers and slots. Leaves: the words of a stream (stream.py), and the places in it that
depend on the binding table: addresses, and lengths that reach to the end of an entry. Executing writes those in (not at
all if the table puts everything where it was the last time) and submits: a few operations a binding that names a slot,
none a dispatch.

Commands between two barriers may run at the same time. Bytes of `update` lie in one block of device memory, written
when recording ends; the stream copies from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from webree.errors import DeviceError, StatusCode
from webree.hal.buffer import BufferRef
from webree.hal.command_buffer import CommandBuffer
from webree.hal.executable import Executable
from webree.hal.validation import (
    check_arguments,
    check_extent,
    check_fill,
    check_pattern,
    check_run,
    check_slot,
    kernel_at,
    own_executable,
    precondition,
)
from webree.hal_local.arena import ALIGNMENT, Block, block_address, closed_buffer
from webree.hal_local.engine import LibraryExport
from webree.hal_local.executable import LocalExecutable
from webree.hal_local.stream import StreamWriter
from webree.module.source import MemorySource

if TYPE_CHECKING:
    from webree.hal.device import BindingTableEntry
    from webree.hal_local.device import LocalDevice

__all__ = ["MAXIMUM_WORKGROUPS", "Launch", "LocalCommandBuffer"]

MAXIMUM_WORKGROUPS = (1 << 31) - 1
"""Of one dispatch, all dimensions together: engines count them in 32 bits."""
_MAXIMUM_DEPTH = (1 << 16) - 1  # the executable library's ABI has 16 bits for z
_INDIRECT_BYTES = 12
_COUNT_WORD = 5  # of DISPATCH_INDIRECT: where the workgroup count lies


class Launch(NamedTuple):
    """One dispatch of a stream, for profiles; the workgroup count is zeros if it is indirect."""

    name: str
    workgroup_count: tuple[int, int, int]
    begin: int
    end: int


class _Place(NamedTuple):
    """A range: of a direct buffer (`slot` -1, an absolute address) or of a slot's entry; length -1 to its end."""

    slot: int
    address: int
    byte_length: int


class LocalCommandBuffer(CommandBuffer):
    """Attributes beyond the interface: `launches`, the dispatches in order; `words`, the stream as last executed."""

    def __init__(self, device: LocalDevice, one_shot: bool, binding_capacity: int) -> None:
        self.device = device
        self.one_shot = one_shot
        self.binding_capacity = binding_capacity
        self.launches: list[Launch] = []
        self._writer = StreamWriter()
        self.words = self._writer.words
        self._final = False
        self._executed = False
        self._barrier = False
        # Per slot: bytes needed from the entry's start.
        self._extents = [0] * binding_capacity
        # (position in the stream, slot, offset): the entry's address + offset; the entry's length - offset.
        self._addresses: list[tuple[int, int, int]] = []
        self._lengths: list[tuple[int, int, int]] = []
        # What only the table decides: (position of a copy, source's slot or -1, source's offset, or bytes it has);
        # (position of a fill whose length is open, its pattern's length).
        self._copies: list[tuple[int, int, int]] = []
        self._fills: list[tuple[int, int]] = []
        self._placed: list[tuple[int, int]] | None = [] if not binding_capacity else None
        # What the stream names, kept alive.
        self._direct: dict[int, Block] = {}
        self._executables: set[LocalExecutable] = set()
        self._data = bytearray()
        self._data_copies: list[int] = []
        self._data_block: Block | None = None

    @property
    def dispatch_count(self) -> int:  # type: ignore[override]  # read-only here
        return len(self.launches)

    # --- Commands ---------------------------------------------------------------------------------------------------

    def fill(self, target: BufferRef, pattern: bytes) -> None:
        self._recording()
        check_pattern(pattern)
        place = self._place(target)
        check_fill(target.byte_offset, max(place.byte_length, 0), len(pattern))
        if not place.byte_length:
            return
        self._separate()
        position = self._writer.fill(place.address, max(place.byte_length, 0), pattern)
        self._patch(place, position, position + 1)
        if place.byte_length < 0:
            self._fills.append((position, len(pattern)))

    def update(self, source: bytes | memoryview, target: BufferRef) -> None:
        self._recording()
        source = bytes(source)
        place = self._place(target._replace(byte_length=len(source)))
        if not source:
            return
        self._separate()
        position = self._writer.copy(len(self._data), place.address, len(source))
        self._patch(place, position + 1)
        self._data_copies.append(position)
        self._data += source
        self._data += bytes(-len(self._data) % ALIGNMENT)

    def copy(self, source: BufferRef, target: BufferRef) -> None:
        self._recording()
        to = self._place(target)
        byte_length = max(to.byte_length, 0)
        whence = self._place(source._replace(byte_length=byte_length))
        if not to.byte_length:
            return
        self._separate()
        position = self._writer.copy(whence.address, to.address, byte_length)
        self._patch(whence, position)
        self._patch(to, position + 1, position + 2)
        if whence.slot >= 0:
            self._copies.append((position, whence.slot, source.byte_offset))
        elif to.slot >= 0 and source.buffer is not None:
            self._copies.append((position, -1, source.buffer.byte_length - source.byte_offset))
        else:
            _check_copy(whence.address, to.address, byte_length, byte_length)

    def dispatch(
        self,
        executable: Executable,
        ordinal: int,
        workgroup_count: tuple[int, int, int],
        constants: Sequence[int],
        bindings: Sequence[BufferRef],
    ) -> None:
        self._recording()
        kernel = self._kernel(executable, ordinal, constants, bindings)
        x, y, z = workgroup_count
        if min(x, y, z) < 0 or z > _MAXIMUM_DEPTH or x * y * z > MAXIMUM_WORKGROUPS:
            raise DeviceError(
                f"kernel {kernel.name!r}: {x}×{y}×{z} workgroups; the CPU device runs at most {MAXIMUM_WORKGROUPS}, "
                f"and at most {_MAXIMUM_DEPTH} in z",
                status=StatusCode.OUT_OF_RANGE,
            )
        if x and y and z:
            self._launch(kernel, executable, ordinal, (x, y, z), constants, bindings)
        else:
            for ref in bindings:
                self._place(ref)

    def dispatch_indirect(
        self,
        executable: Executable,
        ordinal: int,
        workgroup_count: BufferRef,
        constants: Sequence[int],
        bindings: Sequence[BufferRef],
    ) -> None:
        self._recording()
        kernel = self._kernel(executable, ordinal, constants, bindings)
        place = self._place(workgroup_count._replace(byte_length=_INDIRECT_BYTES))
        if place.address & 3:
            raise DeviceError(
                f"kernel {kernel.name!r}: the workgroup count lies at byte {workgroup_count.byte_offset}, which is not "
                "a multiple of 4",
                status=StatusCode.INVALID_ARGUMENT,
            )
        self._launch(kernel, executable, ordinal, place, constants, bindings)

    def barrier(self) -> None:
        self._recording()
        self._barrier = bool(self.words)

    def finalize(self) -> None:
        if self._final:
            return
        self._final = True
        if self._data:
            self._data_block = self.device.upload_block(MemorySource(self._data))
            for position in self._data_copies:
                self.words[position] += self._data_block.address
            self._data = bytearray()

    # --- Execution --------------------------------------------------------------------------------------------------

    def run(self, binding_table: Sequence[BindingTableEntry]) -> None:
        """Write the table in and submit; called by the device, which holds its lock."""
        again = self.one_shot and self._executed
        check_run(binding_table, self.binding_capacity, final=self._final, again=again)
        for block in self._direct.values():
            if not block.address:
                raise closed_buffer()
        placed: list[tuple[int, int]] = []
        for (buffer, offset, length), extent in zip(binding_table, self._extents, strict=False):
            offset, length = buffer.resolve(offset, length)
            check_extent(len(placed), extent, length)
            placed.append((block_address(self.device, buffer) + offset, length))
        if placed != self._placed:
            self._write(placed)
        self._executed = True
        if self.words:
            self.device.submit(self)
        if self.one_shot:
            self._direct.clear()
            self._executables.clear()
            self._data_block = None

    def _write(self, placed: list[tuple[int, int]]) -> None:
        """Write addresses and lengths of the table's entries into the stream."""
        self._placed = None
        words = self.words
        for position, slot, offset in self._addresses:
            words[position] = placed[slot][0] + offset
        for position, slot, offset in self._lengths:
            words[position] = placed[slot][1] - offset
        for position, slot, amount in self._copies:
            available = placed[slot][1] - amount if slot >= 0 else amount
            source, target, byte_length = words[position : position + 3]
            _check_copy(source, target, byte_length, available)
        for position, pattern_length in self._fills:
            check_fill(0, words[position + 1], pattern_length)
        self._placed = placed

    # --- Recording --------------------------------------------------------------------------------------------------

    def _recording(self) -> None:
        if self._final:
            raise precondition("a command was recorded into a finalized command buffer")

    def _separate(self) -> None:
        """A barrier is written only before a command: none at the end, never two in a row."""
        if self._barrier:
            self._barrier = False
            self._writer.barrier()

    def _place(self, ref: BufferRef) -> _Place:
        """Check a range. A slot's address is only its offset until the table is known."""
        buffer, slot, offset, length = ref
        if buffer is not None:
            offset, length = buffer.resolve(offset, length)
            address = block_address(self.device, buffer)
            block = buffer.allocation
            self._direct[id(block)] = block  # type: ignore[assignment]  # block_address checked the device
            return _Place(-1, address + offset, length)
        check_slot(slot, offset, length, self.binding_capacity)
        self._extents[slot] = max(self._extents[slot], offset + max(length, 0))
        return _Place(slot, offset, length)

    def _patch(self, place: _Place, address_position: int, length_position: int = -1) -> None:
        """Note the words that depend on the table, if there are any."""
        if place.slot >= 0:
            self._addresses.append((address_position, place.slot, place.address))
            if place.byte_length < 0 <= length_position:
                self._lengths.append((length_position, place.slot, place.address))

    def _kernel(
        self, executable: Executable, ordinal: int, constants: Sequence[int], bindings: Sequence[BufferRef]
    ) -> LibraryExport:
        kernel = kernel_at(own_executable(executable, LocalExecutable, self.device).library.exports, ordinal)
        expected = kernel.constant_count, kernel.binding_count
        check_arguments(kernel.name, expected, (len(constants), len(bindings)))
        return kernel

    def _launch(
        self,
        kernel: LibraryExport,
        executable: Executable,
        ordinal: int,
        where: tuple[int, int, int] | _Place,
        constants: Sequence[int],
        bindings: Sequence[BufferRef],
    ) -> None:
        """`where` is the workgroup count, or the place that it is read from."""
        assert isinstance(executable, LocalExecutable)
        places = [self._place(ref) for ref in bindings]
        self._executables.add(executable)
        self._separate()
        begin = len(self.words)
        indirect = isinstance(where, _Place)
        position = self._writer.dispatch(
            executable.library.identifier,
            ordinal,
            (where.address, 0, 0) if isinstance(where, _Place) else where,
            constants,
            [place.address for place in places],
            [max(place.byte_length, 0) for place in places],
            indirect=indirect,
        )
        if isinstance(where, _Place):
            self._patch(where, begin + _COUNT_WORD)
        for index, place in enumerate(places):
            self._patch(place, position + index, position + len(places) + index)
        count = (0, 0, 0) if isinstance(where, _Place) else where
        self.launches.append(Launch(kernel.name, count, begin, len(self.words)))


def _check_copy(source: int, target: int, byte_length: int, available: int) -> None:
    if byte_length > available:
        raise DeviceError(
            f"copy of {byte_length} bytes from a range of {available} bytes", status=StatusCode.OUT_OF_RANGE
        )
    if byte_length and abs(source - target) < byte_length:
        raise DeviceError(
            f"copy of {byte_length} bytes to a place {target - source} bytes after its source: the ranges overlap",
            status=StatusCode.INVALID_ARGUMENT,
        )
