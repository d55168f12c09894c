"""Command buffers of WebGPU devices: commands are validated once and written into a command stream.

Enters: commands over direct buffers and slots. Leaves: words, a constants region, and per slot what the stream needs
of a binding-table entry (bytes, alignment). Executing then costs a few operations a slot, none a dispatch.

A stream cannot express everything: an entry may be misaligned, two entries may overlap where WebGPU forbids it, a
length may depend on the table. Then the recorded commands are written again for that one execution, with the table's
buffers in place of the slots, and scratch copies stand in where they must. Programs compiled by webree do not
need that path: the compiler aligns their offsets and keeps one resource to one binding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from webree.errors import DeviceError, StatusCode
from webree.hal.buffer import BufferRef
from webree.hal.command_buffer import CommandBuffer
from webree.hal.enums import WHOLE_BUFFER
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
from webree.hal_webgpu.bindings import Bound, separate
from webree.hal_webgpu.command_stream import (
    DISPATCH,
    DISPATCH_HEADER_WORDS,
    DISPATCH_INDIRECT,
    SLOT,
    WHOLE,
    StreamWriter,
)
from webree.hal_webgpu.executable import Kernel, WebGpuExecutable
from webree.hal_webgpu.pool import PooledAllocation, buffer_handle, closed_buffer
from webree.hal_webgpu.transfers import Place, TransferWriter

if TYPE_CHECKING:
    from array import array

    from webree.hal.buffer import Buffer
    from webree.hal.device import BindingTableEntry
    from webree.hal_webgpu.device import WebGpuDevice

__all__ = ["Launch", "WebGpuCommandBuffer"]

Launch = tuple[str, tuple[int, int, int], int, int]
"""Of one dispatch, for profiles: export name, workgroup count (zeros if indirect), FLOPs, bytes (-1: unknown)."""

_INDIRECT_BYTES = 12


class WebGpuCommandBuffer(CommandBuffer):
    """Attributes beyond the interface: `launches`, what was dispatched in order, the driver's own kernels included."""

    def __init__(self, device: WebGpuDevice, one_shot: bool, binding_capacity: int) -> None:
        self.device = device
        self.one_shot = one_shot
        self.binding_capacity = binding_capacity
        self.dispatch_count = 0
        self.launches: list[Launch] = []
        self._writer = StreamWriter()
        self._transfers = TransferWriter(self._writer, device.builtins, self._require, self._launched)
        self._words: array[int] | None = None
        self._constants = bytearray()
        self._stream = 0
        self._executed = False
        self._alignment_mask = device.offset_alignment - 1
        # Per slot: bytes needed from the entry's start; offset bits that must be 0; least and greatest WHOLE offsets.
        self._extents = [0] * binding_capacity
        self._masks = [0] * binding_capacity
        self._whole_offsets = [-1] * binding_capacity
        # What the stream names directly, kept alive; its scratch memory too.
        self._direct: dict[int, PooledAllocation] = {}
        self._keep: list[object] = []
        # For the second writing: None where there are no slots, so that it can never happen.
        self._commands: list[tuple[str, tuple[Any, ...]]] | None = [] if binding_capacity else None
        self._irregular = False
        self._separated = False
        self._aliased_tables: dict[tuple[tuple[int, int, int], ...], bool] = {}

    # --- Commands ---------------------------------------------------------------------------------------------------

    def fill(self, target: BufferRef, pattern: bytes) -> None:
        self._recording("fill", target, pattern)
        check_pattern(pattern)
        place, byte_length = self._range(target)
        if byte_length < 0:
            self._irregular = True
            return
        check_fill(target.byte_offset, byte_length, len(pattern))
        self._transfers.fill(place, byte_length, pattern)

    def update(self, source: bytes | memoryview, target: BufferRef) -> None:
        source = bytes(source)
        target = target._replace(byte_length=len(source))
        self._recording("update", source, target)
        place, _ = self._range(target)
        self._transfers.update(source, place)

    def copy(self, source: BufferRef, target: BufferRef) -> None:
        self._recording("copy", source, target)
        target_place, byte_length = self._range(target)
        if byte_length < 0:
            self._irregular = True
            return
        source_place, _ = self._range(source._replace(byte_length=byte_length))
        self._copy(source_place, target_place, byte_length)

    def dispatch(
        self,
        executable: Executable,
        ordinal: int,
        workgroup_count: tuple[int, int, int],
        constants: Sequence[int],
        bindings: Sequence[BufferRef],
    ) -> None:
        constants, bindings = tuple(constants), tuple(bindings)
        self._recording("dispatch", executable, ordinal, workgroup_count, constants, bindings)
        kernel = self._kernel(executable, ordinal, constants, bindings)
        x, y, z = workgroup_count
        limit = self.device.workgroup_limit
        if not (0 <= x <= limit and 0 <= y <= limit and 0 <= z <= limit):
            raise DeviceError(
                f"kernel {kernel.info.name!r}: {x}×{y}×{z} workgroups; this adapter runs at most {limit} in each "
                "dimension (max_compute_workgroups_per_dimension)",
                status=StatusCode.OUT_OF_RANGE,
            )
        if x and y and z:
            self._launch(kernel, DISPATCH, (x, y, z), constants, bindings)

    def dispatch_indirect(
        self,
        executable: Executable,
        ordinal: int,
        workgroup_count: BufferRef,
        constants: Sequence[int],
        bindings: Sequence[BufferRef],
    ) -> None:
        constants, bindings = tuple(constants), tuple(bindings)
        self._recording("dispatch_indirect", executable, ordinal, workgroup_count, constants, bindings)
        kernel = self._kernel(executable, ordinal, constants, bindings)
        (word, offset), _ = self._range(workgroup_count._replace(byte_length=_INDIRECT_BYTES))
        if offset & 3:
            raise DeviceError(
                f"kernel {kernel.info.name!r}: the workgroup count lies at byte {offset}, which is not a multiple of 4",
                status=StatusCode.INVALID_ARGUMENT,
            )
        # The count is copied out first: WebGPU forbids a buffer to be both written and read as INDIRECT in a dispatch.
        scratch = self._scratch(_INDIRECT_BYTES)
        self._transfers.copy((word, offset), (scratch, 0), _INDIRECT_BYTES)
        self._launch(kernel, DISPATCH_INDIRECT, (scratch, 0, 0), constants, bindings)

    def barrier(self) -> None:
        self._recording("barrier")  # The queue and WebGPU's usage scopes already order everything.

    def finalize(self) -> None:
        if self._words is not None:
            return
        self._words, self._constants = self._writer.finish()
        del self._transfers  # It refers back here: without it, buffers go back to the pool with the last reference.
        if self._words and not self.one_shot and not self._irregular:
            with self.device.lock:
                self._stream = self.device.load_stream(self, self._words, self._constants)

    # --- Execution --------------------------------------------------------------------------------------------------

    def run(self, binding_table: Sequence[BindingTableEntry]) -> None:
        """Submit; called by the device, which holds its lock."""
        again = self.one_shot and self._executed
        check_run(binding_table, self.binding_capacity, final=self._words is not None, again=again)
        assert self._words is not None
        self._executed = True
        for allocation in self._direct.values():
            if not allocation.handle:
                raise closed_buffer()
        table: list[int] = []
        if self._place_table(binding_table, table):
            self.device.submit(self._stream, self._words, self._constants, table, self.launches)
        else:
            self._rewritten(binding_table).run(())
        if self.one_shot:
            self._keep.clear()
            self._direct.clear()

    def _place_table(self, binding_table: Sequence[BindingTableEntry], table: list[int]) -> bool:
        """Append the table's words; False if the stream cannot be used with it."""
        regular = not self._irregular
        handles = set(self._direct)
        device = self.device
        for slot in range(self.binding_capacity):
            buffer, offset, length = binding_table[slot]
            offset, length = buffer.resolve(offset, length)
            check_extent(slot, self._extents[slot], length)
            handle = buffer_handle(device, buffer)
            start = buffer.byte_offset + offset
            if start & self._masks[slot] or (
                self._whole_offsets[slot] >= 0 and not self._whole_offsets[slot] < length <= device.maximum_binding
            ):
                regular = False
            handles.add(handle)
            table += (handle, start, (length + 15) & ~15)
        if not regular or len(handles) == len(self._direct) + self.binding_capacity:
            return regular
        return not self._aliases(binding_table)

    def _aliases(self, binding_table: Sequence[BindingTableEntry]) -> bool:
        """Whether a table in which a buffer occurs twice breaks a rule in some command. Walks all commands, once a
        table: the answers for the last few are kept."""
        key = tuple(
            (buffer_handle(self.device, buffer), buffer.byte_offset + offset, length)
            for buffer, offset, length in binding_table
        )
        known = self._aliased_tables.get(key)
        if known is None:
            if len(self._aliased_tables) >= 16:
                self._aliased_tables.clear()
            known = self._aliased_tables[key] = self._rewritten(binding_table)._separated
        return known

    def _rewritten(self, binding_table: Sequence[BindingTableEntry]) -> WebGpuCommandBuffer:
        """These commands once more, with the table's buffers in place of the slots."""

        def bind(argument: Any) -> Any:
            if isinstance(argument, BufferRef):
                if argument.buffer is not None:
                    return argument
                buffer, offset, length = binding_table[argument.slot]
                return BufferRef(buffer.subspan(offset, length), 0, argument.byte_offset, argument.byte_length)
            if isinstance(argument, tuple):
                return tuple(map(bind, argument))
            return argument

        direct = WebGpuCommandBuffer(self.device, one_shot=True, binding_capacity=0)
        for name, arguments in self._commands or ():
            getattr(direct, name)(*map(bind, arguments))
        direct.finalize()
        return direct

    # --- Recording --------------------------------------------------------------------------------------------------

    def _recording(self, name: str, *arguments: Any) -> None:
        """Guard of every command, which is also remembered for `_rewritten` where there are slots."""
        if self._words is not None:
            raise precondition("a command was recorded into a finalized command buffer")
        if self._commands is not None:
            self._commands.append((name, arguments))

    def _require(self, word: int, alignment: int) -> None:
        if word & SLOT:
            self._masks[word ^ SLOT] |= alignment - 1

    def _launched(self, name: str, workgroups: int) -> None:
        self.launches.append((name, (workgroups, 1, 1), -1, -1))

    def _range(self, ref: BufferRef) -> tuple[Place, int]:
        """Place and length of a checked range; length -1 if it is what is left of a slot."""
        buffer, slot, offset, length = ref
        if buffer is not None:
            offset, length = buffer.resolve(offset, length)
            return (self._name(buffer), buffer.byte_offset + offset), length
        check_slot(slot, offset, length, self.binding_capacity)
        self._extents[slot] = max(self._extents[slot], offset + max(length, 0))
        return (SLOT | slot, offset), length

    def _name(self, buffer: Buffer) -> int:
        handle = buffer_handle(self.device, buffer)
        if handle not in self._direct:
            self._direct[handle] = buffer.allocation  # type: ignore[assignment]  # buffer_handle checked the device
        return handle

    def _scratch(self, byte_length: int) -> int:
        allocation = self.device.allocate_scratch(byte_length)
        self._keep.append(allocation)
        return allocation.handle

    def _copy(self, source: Place, target: Place, byte_length: int) -> None:
        if source[0] != target[0] or not byte_length:
            self._transfers.copy(source, target, byte_length)
            return
        if max(source[1], target[1]) < min(source[1], target[1]) + byte_length:
            raise DeviceError(
                f"copy of {byte_length} bytes from byte {source[1]} to byte {target[1]} of the same buffer: the ranges "
                "overlap",
                status=StatusCode.INVALID_ARGUMENT,
            )
        if source[0] & SLOT:
            self._irregular = True
            return
        self._separated = True
        through = (self._scratch(byte_length + 4), source[1] & 3)
        self._transfers.copy(source, through, byte_length)
        self._transfers.copy(through, target, byte_length)

    def _kernel(
        self, executable: Executable, ordinal: int, constants: Sequence[int], bindings: Sequence[BufferRef]
    ) -> Kernel:
        kernel = kernel_at(own_executable(executable, WebGpuExecutable, self.device).kernels, ordinal)
        expected = kernel.info.constant_count, len(kernel.binding_writes)
        check_arguments(kernel.info.name, expected, (len(constants), len(bindings)))
        return kernel

    def _launch(
        self,
        kernel: Kernel,
        opcode: int,
        where: tuple[int, int, int],
        constants: tuple[int, ...],
        bindings: tuple[BufferRef, ...],
    ) -> None:
        block = self._writer.constants(constants) if constants else (0, 0)
        written_back: list[tuple[int, Place, int]] = []
        bound = [self._bind(kernel, index, ref, written_back) for index, ref in enumerate(bindings)]
        if len({word for word, _, _ in bound}) < len(bound):
            self._separate(kernel, bound)
        words = self._writer.words
        words += (
            opcode | (DISPATCH_HEADER_WORDS + 3 * len(bound)) << 8,
            kernel.pipeline,
            *where,
            *block,
        )
        for binding in bound:
            words += binding
        self.dispatch_count += 1
        info = kernel.info
        self.launches.append((info.name, where if opcode == DISPATCH else (0, 0, 0), info.flops, info.byte_count))
        for scratch, place, byte_length in written_back:
            self._transfers.copy((scratch, 0), place, byte_length)

    def _bind(self, kernel: Kernel, index: int, ref: BufferRef, written_back: list[tuple[int, Place, int]]) -> Bound:
        """Buffer word, offset and size as a dispatch binds them."""
        buffer, slot, offset, length = ref
        if buffer is None:
            return self._bind_slot(kernel, index, slot, offset, length)
        offset, length = buffer.resolve(offset, length)
        start = buffer.byte_offset + offset
        size = (length + 15) & ~15
        self._check_binding(kernel, index, length)
        if not length:
            return self._scratch(16), 0, 16
        if not start & self._alignment_mask:
            return self._name(buffer), start, size
        place = (self._name(buffer), start)
        scratch = self._scratch(length)
        self._transfers.copy(place, (scratch, 0), length)
        if kernel.binding_writes[index]:
            written_back.append((scratch, place, length))
        return scratch, 0, size

    def _bind_slot(self, kernel: Kernel, index: int, slot: int, offset: int, length: int) -> Bound:
        check_slot(slot, offset, length, self.binding_capacity)
        if offset & self._alignment_mask or not length:
            self._irregular = True
        self._masks[slot] |= self._alignment_mask
        if length == WHOLE_BUFFER:
            self._whole_offsets[slot] = max(self._whole_offsets[slot], offset)
            self._extents[slot] = max(self._extents[slot], offset)
            return SLOT | slot, offset, WHOLE
        self._check_binding(kernel, index, length)
        self._extents[slot] = max(self._extents[slot], offset + length)
        return SLOT | slot, offset, (length + 15) & ~15

    def _check_binding(self, kernel: Kernel, index: int, byte_length: int) -> None:
        if byte_length > self.device.maximum_binding:
            raise DeviceError(
                f"kernel {kernel.info.name!r} binds {byte_length} bytes to binding {index}; this adapter's largest "
                f"binding (max_storage_buffer_binding_size) has {self.device.maximum_binding} bytes",
                status=StatusCode.RESOURCE_EXHAUSTED,
            )

    def _separate(self, kernel: Kernel, bound: list[Bound]) -> None:
        """Give bindings that WebGPU does not allow to share a buffer a scratch copy."""
        for index in separate(kernel, bound):
            self._separated = True
            word, offset, size = bound[index]
            if word & SLOT:
                self._irregular = True
                continue
            scratch = self._scratch(size)
            self._transfers.copy((word, offset), (scratch, 0), size)
            bound[index] = (scratch, 0, size)
