"""The `hal_loader` module: kernels that inline programs load and call on their own buffers, synchronously.

Enters: calls of a host program. Leaves: executables (`webree/hal_local/host_kernels.py`) and their effects.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import partial

from webree.errors import DeviceError, InvocationError, StatusCode
from webree.hal.device import Counters
from webree.hal_local.host_kernels import LOADERS, HostKernels, load_kernels
from webree.vm.buffers import VmBuffer
from webree.vm.modules.hal_memory import text
from webree.vm.modules.rows import by_name, or_null, row
from webree.vm.native import NativeFunction

__all__ = ["HalLoaderModule"]

_loader = partial(row, "hal_loader")


class HostExecutable:
    """`!hal.executable`: loaded kernels."""

    __slots__ = ("kernels", "ordinals")

    def __init__(self, kernels: HostKernels) -> None:
        self.kernels = kernels
        self.ordinals = {export.name: ordinal for ordinal, export in enumerate(kernels.exports)}


class HalLoaderModule:
    """The `hal_loader` module. Attributes: `types`, the classes of the module's references."""

    name = "hal_loader"
    version = 1
    types: Mapping[str, type] = {"hal.executable": HostExecutable}

    def __init__(self, counters: Counters) -> None:
        """`counters.dispatches` is counted here."""
        self._counters = counters
        self.functions: Mapping[str, NativeFunction] = by_name(
            (
                _loader("executable.query_support", "0r_i", _query_support, VmBuffer),
                _loader("executable.load", "0rrr_r", _load, VmBuffer, VmBuffer, or_null(VmBuffer)),
                _loader("executable.lookup.function", "0rr_I", _lookup, HostExecutable, VmBuffer),
                _loader("executable.dispatch", "0rIiiiCiDCrIID_v", self._dispatch, HostExecutable),
            )
        )

    def _dispatch(
        self,
        executable: HostExecutable,
        ordinal: int,
        count_x: int,
        count_y: int,
        count_z: int,
        constants: Sequence[int],
        bindings: Sequence[tuple[VmBuffer | None, int, int]],
    ) -> None:
        exports = executable.kernels.exports
        if not 0 <= ordinal < len(exports):
            raise InvocationError(f"hal_loader.executable.dispatch: no kernel {ordinal}; the module is faulty")
        export = exports[ordinal]
        if (len(constants), len(bindings)) != (export.constant_count, export.binding_count):
            raise InvocationError(
                f"kernel {export.name!r} takes {export.constant_count} constants and {export.binding_count} bindings, "
                f"found {len(constants)} and {len(bindings)}; the module is faulty"
            )
        buffers = []
        for buffer, byte_offset, byte_length in bindings:
            if not isinstance(buffer, VmBuffer):
                found = "null" if buffer is None else f"a {type(buffer).__name__}"
                raise InvocationError(f"kernel {export.name!r}: {found} is bound as a buffer; the module is faulty")
            buffers.append(buffer.subspan(byte_offset, byte_length))
        words = struct.pack(f"<{len(constants)}i", *constants)
        self._counters.dispatches += 1
        executable.kernels.dispatch(ordinal, (count_x, count_y, count_z), words, buffers)


def _query_support(format: VmBuffer) -> int:
    return int(text(format) in LOADERS)


def _load(format: VmBuffer, data: VmBuffer, constants: VmBuffer | None) -> HostExecutable:
    packed = b"" if constants is None else bytes(constants.view())
    return HostExecutable(load_kernels(text(format), data.source(), packed))


def _lookup(executable: HostExecutable, name: VmBuffer) -> int:
    ordinal = executable.ordinals.get(text(name))
    if ordinal is None:
        raise DeviceError(
            f"no kernel named {text(name)!r} in this executable; it has {', '.join(executable.ordinals)}",
            status=StatusCode.NOT_FOUND,
        )
    return ordinal
