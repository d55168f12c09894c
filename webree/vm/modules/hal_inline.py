"""The `hal_inline` module: the HAL of programs that compute in the host's own memory.

Enters: calls of a host program. Leaves: buffers over VM buffers, on the one `HostDevice`; everything is synchronous.
Buffer views are the `hal` module's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from webree.errors import InvocationError, StatusCode
from webree.hal.buffer import Buffer
from webree.hal.buffer_view import BufferView
from webree.hal_local.host_device import HostDevice
from webree.vm.buffers import VmBuffer, buffer_clone
from webree.vm.modules import hal_memory as memory
from webree.vm.modules.hal_memory import text
from webree.vm.modules.rows import by_name, row
from webree.vm.native import NativeFunction

__all__ = ["HalInlineModule"]

_inline = partial(row, "hal_inline")

_SHARED = (
    _inline("buffer.subspan", "0rII_r", Buffer.subspan, Buffer),
    _inline("buffer.length", "0r_I", memory.buffer_length, Buffer),
    _inline("buffer_view.create", "0rIIiiCID_r", memory.view_create, Buffer),
    _inline("buffer_view.assert", "0rriiCID_v", memory.view_assert, BufferView, VmBuffer),
    _inline("buffer_view.buffer", "0r_r", memory.view_buffer, BufferView),
    _inline("buffer_view.element_type", "0r_i", memory.view_element_type, BufferView),
    _inline("buffer_view.encoding_type", "0r_i", memory.view_encoding, BufferView),
    _inline("buffer_view.rank", "0r_i", memory.view_rank, BufferView),
    _inline("buffer_view.dim", "0ri_I", memory.view_dim, BufferView),
    _inline("buffer_view.trace", "0rCrD_v", memory.view_trace, VmBuffer, suspends=True),
)


class HalInlineModule:
    """The `hal_inline` module over a device. Attributes: `types`, the classes of the module's references."""

    name = "hal_inline"
    version = 0
    types: Mapping[str, type] = {"hal.buffer": Buffer, "hal.buffer_view": BufferView}

    def __init__(self, device: HostDevice) -> None:
        self._device = device
        self.functions: Mapping[str, NativeFunction] = by_name(
            (
                *_SHARED,
                _inline("buffer.allocate", "0iI_rr", self._allocate),
                _inline("buffer.allocate.initialized", "0irII_rr", self._initialized, VmBuffer),
                _inline("buffer.wrap", "0rII_r", device.wrap, VmBuffer),
                _inline("buffer.storage", "0r_r", device.storage, Buffer),
                _inline("device.query.i64", "0rr_iI", self._query, VmBuffer, VmBuffer),
            )
        )

    def _allocate(self, minimum_alignment: int, byte_length: int) -> tuple[Buffer, VmBuffer]:
        buffer = self._device.allocate(byte_length)
        return buffer, self._device.storage(buffer)

    def _initialized(
        self, minimum_alignment: int, source: VmBuffer, byte_offset: int, byte_length: int
    ) -> tuple[Buffer, VmBuffer]:
        storage = buffer_clone(source, byte_offset, byte_length, minimum_alignment)
        return self._device.wrap(storage, 0, byte_length), storage

    def _query(self, category: VmBuffer, key: VmBuffer) -> tuple[int, int]:
        """Only features of the host's processor are asked for, and kernels in Python use none."""
        if text(category) == "hal.cpu":
            return (1, 0)
        raise InvocationError(
            f"hal_inline.device.query: unknown category {text(category)!r} (key {text(key)!r}); there is 'hal.cpu'",
            status=StatusCode.NOT_FOUND,
        )
