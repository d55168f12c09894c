"""The `hal` module: the 60 functions through which compiled programs use devices, as one table.

Enters: the devices a program may choose from. Leaves: a `NativeModule` for `webree.vm.context`. Names, calling
conventions and meanings are IREE's (docs/module-format.md); what the functions do stands by topic in hal_memory,
hal_commands and hal_queue. Functions with `suspends=True` may have to wait; all others return at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from webree.hal.buffer import Buffer
from webree.hal.buffer_view import BufferView
from webree.hal.command_buffer import CommandBuffer
from webree.hal.device import Device
from webree.hal.executable import Executable
from webree.hal.fence import Fence
from webree.vm.buffers import VmBuffer
from webree.vm.modules import hal_commands as commands
from webree.vm.modules import hal_memory as memory
from webree.vm.modules import hal_queue as queue
from webree.vm.modules.hal_memory import Allocator, File, text
from webree.vm.modules.rows import by_name, or_null, row
from webree.vm.native import NativeFunction

__all__ = ["HalModule"]

_VERSION = 7

_hal = partial(row, "hal")
_buffer = or_null(Buffer)
_fence = or_null(Fence)
_bytes = or_null(VmBuffer)


class Channel:
    """`!hal.channel`: never made, so that every use of one is refused."""


_ALLOCATORS_AND_FILES = (
    _hal("ex.file.from_memory", "0rIirIIi_r", memory.file_from_memory, Device, VmBuffer),
    _hal("allocator.select", "0iiICrID_rI", memory.allocator_select),
    _hal("allocator.allocate", "0rIiiI_r", memory.allocator_allocate, Allocator),
    _hal("allocator.import", "0riIiirII_r", memory.allocator_import, Allocator, VmBuffer),
)

_BUFFERS = (
    _hal("buffer.assert", "0rrrIii_v", memory.buffer_assert, Buffer, VmBuffer, Allocator),
    _hal("buffer.allocation.preserve", "0r_v", memory.allocation_preserve, Buffer),
    _hal("buffer.allocation.discard", "0r_i", memory.allocation_discard, Buffer),
    _hal("buffer.allocation.is_terminal", "0r_i", memory.allocation_is_terminal, Buffer),
    _hal("buffer.subspan", "0rII_r", Buffer.subspan, Buffer),
    _hal("buffer.length", "0r_I", memory.buffer_length, Buffer),
    _hal("buffer.load", "0rIi_i", memory.buffer_load, Buffer, suspends=True),
    _hal("buffer.store", "0irIi_v", memory.buffer_store, Buffer),
)

_BUFFER_VIEWS = (
    _hal("buffer_view.create", "0rIIiiCID_r", memory.view_create, Buffer),
    _hal("buffer_view.assert", "0rriiCID_v", memory.view_assert, BufferView, VmBuffer),
    _hal("buffer_view.buffer", "0r_r", memory.view_buffer, BufferView),
    _hal("buffer_view.element_type", "0r_i", memory.view_element_type, BufferView),
    _hal("buffer_view.encoding_type", "0r_i", memory.view_encoding, BufferView),
    _hal("buffer_view.rank", "0r_i", memory.view_rank, BufferView),
    _hal("buffer_view.dim", "0ri_I", memory.view_dim, BufferView),
    _hal("buffer_view.trace", "0rCrD_v", memory.view_trace, VmBuffer, suspends=True),
)

_COLLECTIVES = (
    _hal("channel.create", "0rIIrrii_r", memory.collectives_unavailable, Device, _bytes, _bytes),
    _hal("channel.split", "0riiI_r", memory.collectives_unavailable, Channel),
    _hal("channel.rank_and_count", "0r_ii", memory.collectives_unavailable, Channel),
    _hal(
        "command_buffer.collective",
        "0rriiiirrIIIII_v",
        memory.collectives_unavailable,
        CommandBuffer,
        Channel,
        _buffer,
        _buffer,
    ),
)

_COMMAND_BUFFERS = (
    _hal("command_buffer.create", "0riiIi_r", commands.create, Device),
    _hal("command_buffer.finalize", "0r_v", commands.finalize, CommandBuffer),
    _hal("command_buffer.begin_debug_group", "0rr_v", commands.begin_debug_group, CommandBuffer, VmBuffer),
    _hal("command_buffer.end_debug_group", "0r_v", commands.end_debug_group, CommandBuffer),
    _hal("command_buffer.execution_barrier", "0riiI_v", commands.execution_barrier, CommandBuffer),
    _hal("command_buffer.advise_buffer", "0rrIIIi_v", commands.hint, CommandBuffer, _buffer),
    _hal("command_buffer.flush_buffer", "0rirII_v", commands.hint, CommandBuffer, _buffer),
    _hal("command_buffer.invalidate_buffer", "0rirII_v", commands.hint, CommandBuffer, _buffer),
    _hal("command_buffer.fill_buffer", "0rrIIiIiI_v", commands.fill_buffer, CommandBuffer, _buffer),
    _hal("command_buffer.update_buffer", "0rrIrIIiI_v", commands.update_buffer, CommandBuffer, VmBuffer, _buffer),
    _hal("command_buffer.copy_buffer", "0riirIrIII_v", commands.copy_buffer, CommandBuffer, _buffer, _buffer),
    _hal("command_buffer.dispatch", "0rrIiiiICiDCiirIID_v", commands.dispatch, CommandBuffer, Executable),
    _hal(
        "command_buffer.dispatch.indirect",
        "0rrIirIICiDCiirIID_v",
        commands.dispatch_indirect,
        CommandBuffer,
        Executable,
        _buffer,
    ),
)

_EXECUTABLES = (
    _hal("executable.create", "0rIrrr_r", commands.executable_create, Device, VmBuffer, VmBuffer, _bytes),
    _hal("executable.lookup.function", "0rr_I", commands.executable_lookup, Executable, VmBuffer),
)

_DEVICES = (
    _hal("device.allocator", "0r_r", queue.device_allocator, Device),
    _hal("device.queue.alloca", "0rIrrIiiII_r", queue.queue_alloca, Device, _fence, _fence),
    _hal("device.queue.dealloca", "0rIrrrI_v", queue.queue_dealloca, Device, _fence, _fence, Buffer),
    _hal("device.queue.fill", "0rIrrrIIIiI_v", queue.queue_fill, Device, _fence, _fence, Buffer),
    _hal("device.queue.update", "0rIrrrIrIII_v", queue.queue_update, Device, _fence, _fence, VmBuffer, Buffer),
    _hal("device.queue.copy", "0rIrrrIrIII_v", queue.queue_copy, Device, _fence, _fence, Buffer, Buffer),
    _hal("device.queue.read", "0rIrrrIrIII_v", queue.queue_read, Device, _fence, _fence, File, Buffer),
    _hal("device.queue.write", "0rIrrrIrIII_v", queue.queue_write, Device, _fence, _fence, Buffer, File, suspends=True),
    _hal("device.queue.barrier", "0rIrrI_v", queue.queue_barrier, Device, _fence, _fence),
    _hal(
        "device.queue.execute", "0rIrrrI_v", queue.queue_execute, Device, _fence, _fence, CommandBuffer, suspends=True
    ),
    _hal(
        "device.queue.execute.indirect",
        "0rIrrrICrIID_v",
        queue.queue_execute_indirect,
        Device,
        _fence,
        _fence,
        CommandBuffer,
        suspends=True,
    ),
    _hal("device.queue.flush", "0rI_v", queue.queue_flush, Device),
)

_FENCES = (
    _hal("fence.create", "0rI_r", queue.fence_create, Device),
    _hal("fence.join", "0ICrD_r", queue.fence_join),
    _hal("fence.query", "0r_i", queue.fence_query, Fence),
    _hal("fence.signal", "0r_v", queue.fence_signal, Fence),
    _hal("fence.fail", "0ri_v", queue.fence_fail, Fence),
    _hal("fence.await", "0iICrD_i", queue.fence_await, suspends=True),
)

_SHARED = by_name(
    (
        *_ALLOCATORS_AND_FILES,
        *_BUFFERS,
        *_BUFFER_VIEWS,
        *_COLLECTIVES,
        *_COMMAND_BUFFERS,
        *_EXECUTABLES,
        *_DEVICES,
        *_FENCES,
    )
)


_TYPES = {
    "hal.allocator": Allocator,
    "hal.buffer": Buffer,
    "hal.buffer_view": BufferView,
    "hal.channel": Channel,
    "hal.command_buffer": CommandBuffer,
    "hal.device": Device,
    "hal.executable": Executable,
    "hal.fence": Fence,
    "hal.file": File,
}


class HalModule:
    """The `hal` module over the given devices, of which programs take the first that suits them.

    Attributes:
        types: the classes of the module's references.
        queries: what the program asked of devices, (category, key) -> answer, to explain why none suited it.
    """

    name = "hal"
    version = _VERSION
    types: Mapping[str, type] = _TYPES

    def __init__(self, devices: Sequence[Device]) -> None:
        self._devices = tuple(devices)
        self.queries: dict[tuple[str, str], int | None] = {}
        self.functions: Mapping[str, NativeFunction] = {
            **_SHARED,
            "devices.count": _hal("devices.count", "0v_i", self._count),
            "devices.get": _hal("devices.get", "0i_r", self._get),
            "device.query.i64": _hal("device.query.i64", "0rrr_iI", self._query, Device, VmBuffer, VmBuffer),
        }

    def _count(self) -> int:
        return len(self._devices)

    def _get(self, index: int) -> Device | None:
        return self._devices[index] if 0 <= index < len(self._devices) else None

    def _query(self, device: Device, category_bytes: VmBuffer, key_bytes: VmBuffer) -> tuple[int, int]:
        category, key = text(category_bytes), text(key_bytes)
        value = self.queries[category, key] = device.query_i64(category, key)
        return (0, 0) if value is None else (1, value)
