"""WebAssembly's binary format as far as libraries are changed: sections, numbers, vectors, names.

Format: https://webassembly.github.io/spec/core/binary/modules.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from webree.errors import CompileError

__all__ = [
    "CODE",
    "CUSTOM",
    "EXPORT",
    "FUNCTION",
    "IMPORT",
    "TYPE",
    "Reader",
    "Section",
    "join",
    "number",
    "split",
    "vector",
]

CUSTOM, TYPE, IMPORT, FUNCTION, EXPORT, CODE = 0, 1, 2, 3, 7, 10

_HEADER = b"\0asm\x01\0\0\0"


@dataclass(slots=True)
class Section:
    """One section.

    Attributes:
        kind: its number in the format.
        name: of a custom section, else empty.
        content: what follows the size (and the name).
    """

    kind: int
    name: str
    content: bytes


class Reader:
    """Reads on through bytes from `offset`."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0

    def byte(self) -> int:
        self.offset += 1
        return self.data[self.offset - 1]

    def number(self) -> int:
        """An unsigned LEB128 number."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def take(self, size: int) -> bytes:
        self.offset += size
        return self.data[self.offset - size : self.offset]

    def vector(self) -> bytes:
        """Bytes behind their count."""
        return self.take(self.number())

    def name(self) -> str:
        return self.vector().decode()

    @property
    def at_end(self) -> bool:
        return self.offset >= len(self.data)


def split(data: bytes) -> list[Section]:
    """The sections of a file. Raises `CompileError` if it is none."""
    if not data.startswith(_HEADER):
        raise CompileError(f"the linker made no WebAssembly library: it starts with {data[:8]!r}")
    reader = Reader(data)
    reader.offset = len(_HEADER)
    sections = []
    while not reader.at_end:
        kind = reader.byte()
        content = reader.vector()
        name = ""
        if kind == CUSTOM:
            inner = Reader(content)
            name = inner.name()
            content = content[inner.offset :]
        sections.append(Section(kind, name, content))
    return sections


def join(sections: Iterable[Section]) -> bytes:
    """The file of sections."""
    parts = [_HEADER]
    for section in sections:
        name = vector(section.name.encode()) if section.kind == CUSTOM else b""
        parts += [bytes([section.kind]), vector(name + section.content)]
    return b"".join(parts)


def number(value: int) -> bytes:
    """Unsigned LEB128."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def vector(content: bytes) -> bytes:
    """Bytes behind their count."""
    return number(len(content)) + content
