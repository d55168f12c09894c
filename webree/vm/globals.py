"""A module's mutable state: a block of bytes for numbers and a table of references.

Enters: the sizes that the module states. Leaves: the names that translated functions use: `G` and one view per number
type (little-endian hosts only, as all that run WebGPU are), and functions for instructions that take the index from a
register.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from webree.errors import InvocationError, StatusCode, WebreeError

__all__ = ["GlobalState"]


class GlobalState:
    """Zeros and nulls at first.

    Attributes:
        references: the global references.
    """

    def __init__(self, byte_count: int, ref_count: int) -> None:
        if sys.byteorder != "little":
            raise WebreeError("webree runs on little-endian machines only", status=StatusCode.UNIMPLEMENTED)
        self.references: list[Any] = [None] * ref_count
        self._byte_count = byte_count
        self._bytes = bytearray(-(-byte_count // 8) * 8)
        view = memoryview(self._bytes)
        self._views: dict[str, memoryview[Any]] = {
            "i32": view.cast("i"),
            "i64": view.cast("q"),
            "f32": view.cast("f"),
            "f64": view.cast("d"),
        }

    def names(self) -> dict[str, Any]:
        """What translated functions need."""
        names: dict[str, Any] = {"G": self.references, "check_global": self._check_reference}
        for name, view in self._views.items():
            names[f"global_{name}"] = view
            names[f"load_global_{name}"] = self._loader(view)
            names[f"store_global_{name}"] = self._storer(view)
        return names

    def release(self) -> None:
        """Drop all references."""
        self.references[:] = [None] * len(self.references)

    def _check_reference(self, ordinal: int) -> int:
        if not 0 <= ordinal < len(self.references):
            raise InvocationError(
                f"global reference {ordinal} does not exist; there are {len(self.references)}",
                status=StatusCode.OUT_OF_RANGE,
            )
        return ordinal

    def _index(self, byte_offset: int, byte_size: int) -> int:
        if byte_offset < 0 or byte_offset + byte_size > self._byte_count or byte_offset % byte_size:
            raise InvocationError(
                f"global at byte {byte_offset} does not lie in the {self._byte_count} bytes of globals",
                status=StatusCode.OUT_OF_RANGE,
            )
        return byte_offset // byte_size

    def _loader(self, view: memoryview[Any]) -> Callable[[int], Any]:
        return lambda byte_offset: view[self._index(byte_offset, view.itemsize)]

    def _storer(self, view: memoryview[Any]) -> Callable[[int, Any], None]:
        def store(byte_offset: int, value: Any) -> None:
            view[self._index(byte_offset, view.itemsize)] = value

        return store
