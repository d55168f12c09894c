"""The `hal` module's recording half: executables and command buffers.

Enters: calls of a host program while it records, once at load for static shapes, every call for dynamic ones. Leaves:
the same commands on a `webree.hal` command buffer. A reference to a buffer is direct, or null with a slot of the
binding table that comes with each execution.
"""

from __future__ import annotations

from collections.abc import Sequence

from webree.errors import InvocationError
from webree.hal.buffer import Buffer, BufferRef
from webree.hal.command_buffer import CommandBuffer
from webree.hal.device import Device
from webree.hal.enums import CommandBufferMode, CommandCategory
from webree.hal.executable import Executable
from webree.vm.buffers import VmBuffer
from webree.vm.modules.hal_memory import source_range, text
from webree.vm.modules.hal_queue import fill_pattern

_INDIRECT_COUNT_BYTES = 12  # three u32

Binding = tuple[int, int, Buffer | None, int, int]
"""Reserved, slot, buffer, byte offset, byte length: as they travel in a dispatch."""

# --- Executables --------------------------------------------------------------------------------------------------


def executable_create(
    device: Device, affinity: int, format: VmBuffer, data: VmBuffer, constants: VmBuffer | None
) -> Executable:
    packed = b"" if constants is None else bytes(constants.read(0, constants.byte_length))
    return device.create_executable(text(format), data.source(), packed)


def executable_lookup(executable: Executable, name: VmBuffer) -> int:
    return executable.lookup(text(name))


# --- Command buffers ----------------------------------------------------------------------------------------------


def create(device: Device, modes: int, categories: int, affinity: int, binding_capacity: int) -> CommandBuffer:
    return device.create_command_buffer(
        CommandBufferMode(modes & CommandBufferMode.ONE_SHOT),
        CommandCategory(categories & CommandCategory.ANY),
        binding_capacity,
    )


def finalize(commands: CommandBuffer) -> None:
    commands.finalize()


def begin_debug_group(commands: CommandBuffer, label: VmBuffer) -> None:
    commands.begin_debug_group(text(label))


def end_debug_group(commands: CommandBuffer) -> None:
    commands.end_debug_group()


def execution_barrier(commands: CommandBuffer, source_stages: int, target_stages: int, flags: int) -> None:
    commands.barrier()


def hint(*_: object) -> None:
    """`advise`, `flush` and `invalidate` of a buffer: nothing to do where no memory is mapped."""


def fill_buffer(
    commands: CommandBuffer,
    buffer: Buffer | None,
    byte_offset: int,
    byte_length: int,
    slot: int,
    pattern: int,
    pattern_length: int,
    flags: int,
) -> None:
    commands.fill(BufferRef(buffer, slot, byte_offset, byte_length), fill_pattern(pattern, pattern_length))


def update_buffer(
    commands: CommandBuffer,
    host: VmBuffer,
    host_offset: int,
    buffer: Buffer | None,
    byte_offset: int,
    byte_length: int,
    slot: int,
    flags: int,
) -> None:
    source = source_range(host.source(), host_offset, byte_length)
    commands.update(source.read(0, source.size), BufferRef(buffer, slot, byte_offset, byte_length))


def copy_buffer(
    commands: CommandBuffer,
    source_slot: int,
    target_slot: int,
    source: Buffer | None,
    source_offset: int,
    target: Buffer | None,
    target_offset: int,
    byte_length: int,
    flags: int,
) -> None:
    commands.copy(
        BufferRef(source, source_slot, source_offset, byte_length),
        BufferRef(target, target_slot, target_offset, byte_length),
    )


def dispatch(
    commands: CommandBuffer,
    executable: Executable,
    ordinal: int,
    count_x: int,
    count_y: int,
    count_z: int,
    flags: int,
    constants: Sequence[int],
    bindings: Sequence[Binding],
) -> None:
    commands.dispatch(executable, ordinal, (count_x, count_y, count_z), constants, _refs(bindings))


def dispatch_indirect(
    commands: CommandBuffer,
    executable: Executable,
    ordinal: int,
    count_slot: int,
    count_buffer: Buffer | None,
    count_offset: int,
    flags: int,
    constants: Sequence[int],
    bindings: Sequence[Binding],
) -> None:
    count = BufferRef(count_buffer, count_slot, count_offset, _INDIRECT_COUNT_BYTES)
    commands.dispatch_indirect(executable, ordinal, count, constants, _refs(bindings))


def _refs(bindings: Sequence[Binding]) -> list[BufferRef]:
    refs = []
    for _, slot, buffer, byte_offset, byte_length in bindings:
        if buffer is not None and not isinstance(buffer, Buffer):
            raise InvocationError(f"a {type(buffer).__name__} is bound as a buffer; the module is faulty")
        refs.append(BufferRef(buffer, slot, byte_offset, byte_length))
    return refs
