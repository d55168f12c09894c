"""IREE's parameter archive format, `.irpa`: a header, a table of entries, names, and aligned storage.

Enters: a file's bytes. Leaves: an entry for every parameter: stored bytes, or a pattern to be repeated (a splat).
Headers may follow one another in one file. All numbers are little-endian, all offsets relative to their header.
Format: docs/module-format.md.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from webree.errors import ModuleError
from webree.module.source import ByteSource
from webree.parameters.archive import Entry

__all__ = ["MAGIC", "read_irpa"]

MAGIC = b"IRPA"
_HEADER = struct.Struct("<4sHHQQQQQQQQQQ")
_ENTRY = struct.Struct("<QIQQQQQQ")
_DATA = struct.Struct("<QQ")
_SPLAT = struct.Struct("<Q16sB")
_SKIP, _SPLAT_TYPE, _DATA_TYPE, _EXTERNAL = range(4)
_ENTRY_ALIGNMENT = 16
_MAX_ENTRIES = 1 << 24
_MAX_PATTERN = 16
_TYPE_NAMES = {_EXTERNAL: "external"}


def read_irpa(source: ByteSource) -> Mapping[str, Entry]:
    """Entries by name. Raises `ModuleError` for damage, with the entry's number or name."""
    entries: dict[str, Entry] = {}
    position = 0
    while True:
        step = _read_header(source, position, entries)
        if step == 0:
            return entries
        if step < _HEADER.size:
            raise ModuleError(f"the next header is {step} bytes on, inside this one", where="header")
        position += step


def _read_header(source: ByteSource, position: int, entries: dict[str, Entry]) -> int:
    """Add a header's entries; returns the distance to the next header, or 0."""
    data = _range(source, position, _HEADER.size, "header").read(0, _HEADER.size)
    magic, major, minor, size, following, _, count, *segments = _HEADER.unpack(data)
    if magic != MAGIC:
        raise ModuleError(f"expected magic {MAGIC!r}, found {magic!r}", where="header")
    if major != 0:
        raise ModuleError(f"version {major}.{minor}; supported is 0.x", where="header")
    if size < _HEADER.size or count > _MAX_ENTRIES:
        raise ModuleError(f"{count} entries after a header of {size} bytes", where="header")
    table, metadata, storage = (
        _range(source, position + offset, length, name)
        for name, offset, length in zip(
            ("entry table", "metadata", "storage"), segments[::2], segments[1::2], strict=True
        )
    )
    at = 0
    for number in range(count):
        at = -(-at // _ENTRY_ALIGNMENT) * _ENTRY_ALIGNMENT
        at += _read_entry(table, at, metadata, storage, entries, f"entry {number}")
    return int(following)


def _read_entry(
    table: ByteSource, at: int, metadata: ByteSource, storage: ByteSource, entries: dict[str, Entry], where: str
) -> int:
    fields = _range(table, at, _ENTRY.size, where).read(0, _ENTRY.size)
    size, kind, _, name_offset, name_length, _, _, _ = _ENTRY.unpack(fields)
    body = _range(table, at, size, where)
    if size < _ENTRY.size:
        raise ModuleError(f"an entry of {size} bytes", where=where)
    if kind == _SKIP:
        return int(size)
    try:
        name = str(_range(metadata, name_offset, name_length, where).read(0, name_length), "utf-8")
    except UnicodeDecodeError as error:
        raise ModuleError("the name is not UTF-8", where=where) from error
    where = f"{where} ({name!r})"
    if name in entries:
        raise ModuleError("the name occurs twice", where=where)
    if kind == _DATA_TYPE:
        offset, length = _DATA.unpack(_range(body, _ENTRY.size, _DATA.size, where).read(0, _DATA.size))
        entries[name] = Entry(length, _range(storage, offset, length, where))
    elif kind == _SPLAT_TYPE:
        splat = _range(body, _ENTRY.size, _SPLAT.size, where).read(0, _SPLAT.size)
        length, pattern, pattern_length = _SPLAT.unpack(splat)
        if not 0 < pattern_length <= _MAX_PATTERN or length % pattern_length or length >= 1 << 63:
            raise ModuleError(f"a pattern of {pattern_length} bytes over {length} bytes", where=where)
        entries[name] = Entry(length, pattern=pattern[:pattern_length])
    else:
        raise ModuleError(f"entries of type {_TYPE_NAMES.get(kind, kind)} are not supported", where=where)
    return int(size)


def _range(source: ByteSource, byte_offset: int, byte_length: int, where: str) -> ByteSource:
    if byte_offset + byte_length > source.size:
        raise ModuleError(
            f"bytes {byte_offset}..{byte_offset + byte_length} lie outside {source.size} bytes; the file is truncated "
            "or damaged",
            where=where,
        )
    return source.slice(byte_offset, byte_length)
