"""Reading FlatBuffers that may be damaged or hostile.

Enters: a buffer and the slots (vtable indices) that a schema gives its fields. Leaves: `Table` views that read single
fields on demand; bytes are never copied unless they become Python strings or numbers. Every offset is checked before
it is followed, and all damage raises `ModuleError`. Offsets may alias, so a small file could describe endless work;
each file therefore has a budget, a multiple of its own size, for what is read out of it.
Format: https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import struct
from typing import Any, NoReturn

from webree.errors import ModuleError

__all__ = ["Table", "root"]

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_I32 = struct.Struct("<i")
_BUDGET_FACTOR = 64
_BUDGET_BASE = 1 << 20
_TABLE_COST = 32  # what a table costs its reader, compared with a byte of a string


class _Data:
    """One file's bytes, with the budget of bytes that may still be read as numbers, strings and offsets."""

    __slots__ = ("budget", "size", "view")

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.size = len(view)
        self.budget = _BUDGET_FACTOR * len(view) + _BUDGET_BASE

    def spend(self, byte_count: int, position: int) -> None:
        self.budget -= byte_count
        if self.budget < 0:
            _fail(position, "the same data is referred to far more often than any writer does")


def root(buffer: bytes | bytearray | memoryview, identifier: str | bytes | None) -> Table:
    """The root table of `buffer`, which starts with the root offset and the four-letter `identifier` (None: any).

    The buffer is used without a copy and must stay unchanged. Raises `ModuleError`.
    """
    view = memoryview(buffer).cast("B")
    if len(view) < 8:
        raise ModuleError(f"has {len(view)} bytes; a flatbuffer has at least 8", where="flatbuffer root")
    found = bytes(view[4:8])
    wanted = identifier.encode("ascii") if isinstance(identifier, str) else identifier
    if wanted is not None and found != wanted:
        raise ModuleError(f"file identifier is {found!r}, expected {wanted!r}", where="flatbuffer root")
    return Table(_Data(view), _U32.unpack_from(view, 0)[0])


class Table:
    """One table of a flatbuffer. Fields are named by slot; an absent field gives the default, None or an empty list."""

    __slots__ = ("_data", "_field_count", "_object_size", "_vtable", "position")

    def __init__(self, data: _Data, position: int) -> None:
        size = data.size
        if position < 0 or position + 4 > size:
            _fail(position, f"table lies outside the {size} bytes of the file")
        view = data.view
        vtable = position - _I32.unpack_from(view, position)[0]
        if vtable < 0 or vtable + 4 > size:
            _fail(position, f"vtable at byte {vtable} lies outside the {size} bytes of the file")
        vtable_size = _U16.unpack_from(view, vtable)[0]
        object_size = _U16.unpack_from(view, vtable + 2)[0]
        if vtable_size < 4 or vtable_size & 1 or vtable + vtable_size > size:
            _fail(position, f"vtable at byte {vtable} has the impossible size {vtable_size}")
        if object_size < 4 or position + object_size > size:
            _fail(position, f"table of {object_size} bytes does not fit the {size} bytes of the file")
        self._data = data
        self._vtable = vtable
        self._field_count = (vtable_size - 4) >> 1
        self._object_size = object_size
        self.position = position

    def has(self, slot: int) -> bool:
        """Whether the field is present."""
        return self._field(slot, 0) is not None

    def scalar(self, slot: int, struct_format: str, default: Any) -> Any:
        """A number, read with a little-endian `struct` letter."""
        position = self._field(slot, struct.calcsize("<" + struct_format))
        if position is None:
            return default
        return struct.unpack_from("<" + struct_format, self._data.view, position)[0]

    def struct(self, slot: int, struct_format: str) -> tuple[Any, ...] | None:
        """An inline struct, read with `struct_format` (padding spelled out as `x`)."""
        position = self._field(slot, struct.calcsize("<" + struct_format))
        if position is None:
            return None
        return struct.unpack_from("<" + struct_format, self._data.view, position)

    def string(self, slot: int) -> str | None:
        """A UTF-8 string."""
        position = self._target(slot)
        return None if position is None else self._string_at(position)

    def table(self, slot: int) -> Table | None:
        """A sub-table (also the value of a union, whose type is the scalar `B` in the slot before)."""
        position = self._target(slot)
        if position is None:
            return None
        self._data.spend(_TABLE_COST, position)
        return Table(self._data, position)

    def vector_length(self, slot: int) -> int:
        """Number of elements of a vector; 0 if it is absent. The elements themselves are not checked."""
        position = self._target(slot)
        return 0 if position is None else self._length_at(position, 0)

    def tables(self, slot: int) -> list[Table]:
        """A vector of tables."""
        return [Table(self._data, target) for target in self._targets(slot)]

    def union_tables(self, slot: int) -> list[Table | None]:
        """A vector of union values, None where an element is absent (type 0)."""
        data = self._data
        return [None if target is None else Table(data, target) for target in self._nullable_targets(slot)]

    def strings(self, slot: int) -> list[str]:
        """A vector of strings."""
        return [self._string_at(target) for target in self._targets(slot)]

    def scalars(self, slot: int, struct_format: str) -> tuple[Any, ...]:
        """A vector of numbers of one `struct` letter."""
        position = self._target(slot)
        if position is None:
            return ()
        element_size = struct.calcsize("<" + struct_format)
        count = self._length_at(position, element_size)
        self._data.spend(count * element_size, position)
        return struct.unpack_from(f"<{count}{struct_format}", self._data.view, position + 4)

    def structs(self, slot: int, struct_format: str) -> list[tuple[Any, ...]]:
        """A vector of structs, each read with `struct_format` (padding spelled out as `x`)."""
        position = self._target(slot)
        if position is None:
            return []
        layout = struct.Struct("<" + struct_format)
        count = self._length_at(position, layout.size)
        self._data.spend(count * layout.size, position)
        return list(layout.iter_unpack(self._data.view[position + 4 : position + 4 + count * layout.size]))

    def bytes(self, slot: int) -> memoryview | None:
        """A vector of bytes, not copied; None if it is absent."""
        extent = self.bytes_extent(slot)
        return None if extent is None else self._data.view[extent[0] : extent[0] + extent[1]]

    def bytes_extent(self, slot: int) -> tuple[int, int] | None:
        """Where a vector of bytes lies: its byte offset in the flatbuffer and its length; None if it is absent."""
        position = self._target(slot)
        return None if position is None else (position + 4, self._length_at(position, 1))

    def _field(self, slot: int, byte_size: int) -> int | None:
        """Position of a field's inline bytes, or None if it is absent."""
        if slot >= self._field_count:
            return None
        offset: int = _U16.unpack_from(self._data.view, self._vtable + 4 + 2 * slot)[0]
        if offset == 0:
            return None
        if offset < 4 or offset + byte_size > self._object_size:
            _fail(self.position, f"field {slot} at offset {offset} does not fit a table of {self._object_size} bytes")
        return self.position + offset

    def _target(self, slot: int) -> int | None:
        """Position that an offset field points to."""
        position = self._field(slot, 4)
        if position is None:
            return None
        target: int = position + _U32.unpack_from(self._data.view, position)[0]
        if target == position or target + 4 > self._data.size:
            _fail(self.position, f"field {slot} points to byte {target}, outside the {self._data.size} bytes")
        return target

    def _targets(self, slot: int) -> list[int]:
        targets: list[int] = []
        for index, target in enumerate(self._nullable_targets(slot)):
            if target is None:
                _fail(self.position, f"element {index} of the vector in field {slot} is null")
            targets.append(target)
        return targets

    def _nullable_targets(self, slot: int) -> list[int | None]:
        position = self._target(slot)
        if position is None:
            return []
        data = self._data
        count = self._length_at(position, 4)
        data.spend(_TABLE_COST * count, position)
        first = position + 4
        offsets = struct.unpack_from(f"<{count}I", data.view, first)
        targets = [first + 4 * index + offset if offset else None for index, offset in enumerate(offsets)]
        for index, target in enumerate(targets):
            if target is not None and target + 4 > data.size:
                _fail(self.position, f"element {index} of the vector in field {slot} points outside the file")
        return targets

    def _length_at(self, position: int, element_size: int) -> int:
        count: int = _U32.unpack_from(self._data.view, position)[0]
        if position + 4 + count * element_size > self._data.size:
            _fail(position, f"vector of {count} elements of {element_size} bytes does not fit the file")
        return count

    def _string_at(self, position: int) -> str:
        count = self._length_at(position, 1)
        self._data.spend(count, position)
        try:
            return str(self._data.view[position + 4 : position + 4 + count], "utf-8")
        except UnicodeDecodeError as error:
            raise ModuleError(f"string is not UTF-8: {error}", where=_where(position)) from error


def _where(position: int) -> str:
    return f"flatbuffer at byte {position}"


def _fail(position: int, message: str) -> NoReturn:
    raise ModuleError(message, where=_where(position))
