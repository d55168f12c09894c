"""The `io_parameters` module: weights from parameter files to device memory.

Enters: the archives a user passed, by scope, and requests that name keys and ranges in packed tables. Leaves: uploads
in queue order; bytes go from the file (or JavaScript's memory) to the device as they are.

Tables: keys are n × {u32 offset, u32 length} into the key bytes; spans are n × {u64 parameter offset, u64 buffer
offset, u64 length}.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from webree.errors import InvocationError, StatusCode
from webree.hal.buffer import Buffer
from webree.hal.device import Device
from webree.hal.enums import BufferUsage, MemoryType
from webree.hal.fence import Fence
from webree.module.source import MemorySource
from webree.parameters.archive import Entry, Scopes
from webree.vm.buffers import VmBuffer
from webree.vm.lists import VmList
from webree.vm.modules.hal_memory import source_range, text
from webree.vm.modules.rows import by_name, or_null, row
from webree.vm.native import NativeFunction

__all__ = ["IoParametersModule"]

_KEY = struct.Struct("<II")
_SPAN = struct.Struct("<QQQ")
_FILL_SIZES = (1, 2, 4, 8)


class Request(NamedTuple):
    """A range of a parameter, and where it goes in the target buffer."""

    key: str
    parameter_offset: int
    buffer_offset: int
    byte_length: int


class IoParametersModule:
    """The `io_parameters` module over the given archives."""

    name = "io_parameters"
    version = 0

    def __init__(self, scopes: Scopes) -> None:
        self._scopes = scopes
        fence, scope = or_null(Fence), or_null(VmBuffer)
        make = partial(row, self.name)
        tables = (VmBuffer, VmBuffer, VmBuffer)
        self.functions: Mapping[str, NativeFunction] = by_name(
            (
                make("load", "0rIrrrIiirrr_r", self._load, Device, fence, fence, scope, *tables),
                make("gather", "0rIrrrrrrr_v", self._gather, Device, fence, fence, scope, Buffer, *tables),
                make("scatter", "0rIrrrrrrr_v", self._scatter, Device, fence, fence, Buffer, scope, *tables),
            )
        )

    def _load(
        self,
        device: Device,
        affinity: int,
        wait: Fence | None,
        signal: Fence | None,
        scope: VmBuffer | None,
        target_affinity: int,
        memory_types: int,
        usage: int,
        key_table: VmBuffer,
        key_data: VmBuffer,
        spans: VmBuffer,
    ) -> VmList:
        """A new buffer for every span."""
        uploads = []
        for request in _requests(key_table, key_data, spans):
            entry = self._find(scope, request)
            end = request.buffer_offset + request.byte_length
            buffer = device.allocate(end, MemoryType(memory_types), BufferUsage(usage))
            uploads.append((entry, request, buffer))
        device.enqueue(wait, signal, partial(_upload_all, device, uploads))
        return VmList("!hal.buffer", [buffer for _, _, buffer in uploads], Buffer)

    def _gather(
        self,
        device: Device,
        affinity: int,
        wait: Fence | None,
        signal: Fence | None,
        scope: VmBuffer | None,
        target: Buffer,
        key_table: VmBuffer,
        key_data: VmBuffer,
        spans: VmBuffer,
    ) -> None:
        """Ranges of parameters into ranges of one buffer."""
        requests = _requests(key_table, key_data, spans)
        uploads = [(self._find(scope, request), request, target) for request in requests]
        device.enqueue(wait, signal, partial(_upload_all, device, uploads))

    def _scatter(self, *_: Any) -> None:
        raise InvocationError(
            "the program writes parameters back; parameter files are read-only here",
            status=StatusCode.PERMISSION_DENIED,
        )

    def _find(self, scope_bytes: VmBuffer | None, request: Request) -> Entry:
        scope = "" if scope_bytes is None else text(scope_bytes)
        archive = self._scopes.find(scope)
        entry = archive.find(request.key, scope)
        end = request.parameter_offset + request.byte_length
        if end > entry.byte_length:
            raise InvocationError(
                f"{archive.name or 'the parameter file'}: the module reads bytes {request.parameter_offset}..{end} of "
                f"parameter {request.key!r}, which has {entry.byte_length}; is this the file of another model?",
                status=StatusCode.OUT_OF_RANGE,
            )
        return entry


def _requests(key_table: VmBuffer, key_data: VmBuffer, spans: VmBuffer) -> Iterator[Request]:
    count = spans.byte_length // _SPAN.size
    keys = key_table.read(0, count * _KEY.size)
    rows = spans.read(0, count * _SPAN.size)
    for (offset, length), span in zip(_KEY.iter_unpack(keys), _SPAN.iter_unpack(rows), strict=True):
        yield Request(bytes(key_data.read(offset, length)).decode("utf-8", "replace"), *span)


def _upload_all(device: Device, uploads: list[tuple[Entry, Request, Buffer]]) -> None:
    for entry, request, buffer in uploads:
        if entry.source is None:
            _splat(device, entry.pattern, request, buffer)
        elif request.byte_length:
            source = source_range(entry.source, request.parameter_offset, request.byte_length)
            device.update(source, buffer, request.buffer_offset)


def _splat(device: Device, pattern: bytes, request: Request, buffer: Buffer) -> None:
    size = len(pattern)
    turn = request.parameter_offset % size
    pattern = pattern[turn:] + pattern[:turn]
    if size in _FILL_SIZES and request.buffer_offset % size == 0 and request.byte_length % size == 0:
        device.fill(buffer, request.buffer_offset, request.byte_length, pattern)
        return
    data = pattern * (request.byte_length // size) + pattern[: request.byte_length % size]
    device.update(MemorySource(data), buffer, request.buffer_offset)
