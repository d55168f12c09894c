"""Executables: compiled kernels on a device, found by the export's name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webree.errors import DeviceError, StatusCode

if TYPE_CHECKING:
    from webree.hal.device import Device

__all__ = ["Executable", "ExportInfo"]


@dataclass(frozen=True, slots=True)
class ExportInfo:
    """What the host must know of one kernel.

    Attributes:
        name: the export's name, as the host program looks it up.
        workgroup_size: invocations in x, y, z.
        constant_count: 32-bit push constants.
        binding_read_only: for every binding, whether the kernel only reads it and declares it so.
        flops, byte_count: of one dispatch, counted by the compiler; -1 where shapes are dynamic.
    """

    name: str
    workgroup_size: tuple[int, int, int]
    constant_count: int
    binding_read_only: tuple[bool, ...]
    flops: int = -1
    byte_count: int = -1


class Executable(ABC):
    """Kernels loaded on a device. Compilation may still be under way: see `Device.ready`.

    Attributes:
        device: what loaded it, and alone runs it.
        exports: its kernels, in the file's order.
    """

    device: Device
    exports: tuple[ExportInfo, ...]

    def lookup(self, name: str) -> int:
        """Ordinal of an export. Raises `DeviceError` (NOT_FOUND) with the names there are."""
        for ordinal, export in enumerate(self.exports):
            if export.name == name:
                return ordinal
        names = ", ".join(export.name for export in self.exports)
        raise DeviceError(f"no kernel named {name!r} in this executable; it has {names}", status=StatusCode.NOT_FOUND)

    @abstractmethod
    def wgsl(self, ordinal: int) -> str | None:
        """Source text of an export's shader, or None where the format has none."""
