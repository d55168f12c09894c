"""Reads the outer structure of a WebAssembly binary, and turns its memory import into a shared one.

Enters: bytes of a module file, which may be damaged or hostile. Leaves: its imports, exports, function bodies and data
segments as ranges of those bytes, or a `ModuleError`; code is never decoded here. The work is linear in the file.
Source: WebAssembly core specification, "Binary Format"; tool conventions, "Dynamic Linking" (section `dylink.0`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from webree.errors import ModuleError

__all__ = ["FUNCTION", "GLOBAL", "MEMORY", "TABLE", "Import", "Reader", "WasmBinary", "with_shared_memory"]

FUNCTION, TABLE, MEMORY, GLOBAL, TAG = range(5)

_CUSTOM, _TYPES, _IMPORTS, _GLOBALS, _EXPORTS, _START, _CODE, _DATA = 0, 1, 2, 6, 7, 8, 10, 11
_VALUE_TYPES = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128", 0x70: "funcref", 0x6F: "externref"}

T = TypeVar("T")


class Reader:
    """A place in a range of bytes; every read is checked.

    Attributes:
        data: all bytes; offset: of the next one; end: of the range.
    """

    __slots__ = ("data", "end", "offset")

    def __init__(self, data: bytes, offset: int = 0, end: int | None = None) -> None:
        self.data = data
        self.offset = offset
        self.end = len(data) if end is None else end

    def fail(self, message: str) -> ModuleError:
        return ModuleError(
            f"{message}: the WebAssembly code is damaged, build the module anew", where=f"byte {self.offset:#x}"
        )

    def byte(self) -> int:
        if self.offset >= self.end:
            raise self.fail("a section or the file ends too early")
        self.offset += 1
        return self.data[self.offset - 1]

    def skip(self, count: int) -> int:
        """Steps over bytes; returns the offset of the first."""
        if count > self.end - self.offset:
            raise self.fail(f"{count} bytes do not fit into a section or the file")
        self.offset += count
        return self.offset - count

    def unsigned(self, bits: int = 32) -> int:
        result = shift = 0
        while True:
            byte = self.byte()
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift >= bits:
                raise self.fail("a number is too long")
        if result >> bits:
            raise self.fail("a number is too large")
        return result

    def signed(self, bits: int = 32) -> int:
        result = shift = 0
        while True:
            byte = self.byte()
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift >= bits:
                raise self.fail("a number is too long")
        return result - (1 << shift) if byte & 0x40 else result

    def name(self) -> str:
        start = self.skip(self.unsigned())
        try:
            return self.data[start : self.offset].decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.fail("a name is not UTF-8") from error

    def part(self, length: int) -> Reader:
        """A reader of the next bytes, stepped over here."""
        start = self.skip(length)
        return Reader(self.data, start, start + length)

    def vector(self, read: Callable[[], T]) -> list[T]:
        """A counted list; every element has at least one byte, so a wrong count fails soon."""
        return [read() for _ in range(self.unsigned())]


@dataclass(frozen=True, slots=True)
class Import:
    """Attributes:
    kind: FUNCTION, TABLE, MEMORY or GLOBAL.
    signature: for a function its type, `f32,f32->f32`; else "".
    """

    module: str
    name: str
    kind: int
    signature: str = ""


@dataclass(slots=True)
class WasmBinary:
    """Attributes:
    imports: in order, of every kind.
    exports: name -> (kind, index).
    bodies: of the functions defined here, their code (locals and instructions) in order.
    global_values: of the globals defined here, their initial value's expression.
    segments: (active, offset expression, bytes) of the data.
    memory_size, memory_alignment, table_size: what `dylink.0` asks for; alignment in bytes.
    starts: there is code that would run as soon as it is instantiated.
    memory_limits: byte range of the limits of the memory import, and its minimum; None without such an import.
    """

    data: bytes
    types: list[str] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    exports: dict[str, tuple[int, int]] = field(default_factory=dict)
    bodies: list[Reader] = field(default_factory=list)
    global_values: list[Reader] = field(default_factory=list)
    segments: list[tuple[bool, Reader, memoryview]] = field(default_factory=list)
    memory_size: int = 0
    memory_alignment: int = 1
    table_size: int = 0
    starts: bool = False
    memory_limits: tuple[int, int, int] | None = None
    import_section: tuple[int, int] = (0, 0)

    @classmethod
    def parse(cls, data: bytes) -> WasmBinary:
        reader = Reader(data)
        if data[:8] != b"\0asm\1\0\0\0":
            raise reader.fail("not a WebAssembly module of version 1")
        reader.skip(8)
        binary = cls(data)
        rows = {
            _TYPES: binary._read_types,
            _IMPORTS: binary._read_imports,
            _GLOBALS: binary._read_globals,
            _EXPORTS: binary._read_exports,
            _CODE: binary._read_code,
            _DATA: binary._read_data,
        }
        while reader.offset < reader.end:
            start = reader.offset
            identifier = reader.byte()
            section = reader.part(reader.unsigned())
            if identifier == _CUSTOM:
                if section.name() == "dylink.0":
                    binary._read_dylink(section)
            elif identifier == _START:
                binary.starts = True
            elif identifier in rows:
                if identifier == _IMPORTS:
                    binary.import_section = (start, section.end)
                rows[identifier](section)
                if section.offset != section.end:
                    raise section.fail(f"section {identifier} is longer than what it holds")
        return binary

    def _read_types(self, reader: Reader) -> None:
        def value_type() -> str:
            return _VALUE_TYPES.get(reader.byte(), "?")

        def function_type() -> str:
            if reader.byte() != 0x60:
                raise reader.fail("a type is not a function type")
            parameters = reader.vector(value_type)
            return f"{','.join(parameters)}->{','.join(reader.vector(value_type))}"

        self.types = reader.vector(function_type)

    def _read_imports(self, reader: Reader) -> None:
        def entry() -> Import:
            module, name, kind, signature = reader.name(), reader.name(), reader.byte(), ""
            if kind == FUNCTION:
                index = reader.unsigned()
                if index >= len(self.types):
                    raise reader.fail(f"import {name} has type {index} of {len(self.types)}")
                signature = self.types[index]
            elif kind == TABLE:
                reader.byte()
                _limits(reader)
            elif kind == MEMORY:
                start = reader.offset
                minimum = _limits(reader)
                self.memory_limits = (start, reader.offset, minimum)
            elif kind == GLOBAL:
                reader.skip(2)
            elif kind == TAG:
                reader.byte()
                reader.unsigned()
            else:
                raise reader.fail(f"import {name} is of unknown kind {kind}")
            return Import(module, name, kind, signature)

        self.imports = reader.vector(entry)

    def _read_globals(self, reader: Reader) -> None:
        def entry() -> Reader:
            reader.skip(2)
            return _expression(reader)

        self.global_values = reader.vector(entry)

    def _read_exports(self, reader: Reader) -> None:
        def entry() -> tuple[str, tuple[int, int]]:
            return reader.name(), (reader.byte(), reader.unsigned())

        self.exports = dict(reader.vector(entry))

    def _read_code(self, reader: Reader) -> None:
        self.bodies = reader.vector(lambda: reader.part(reader.unsigned()))

    def _read_data(self, reader: Reader) -> None:
        view = memoryview(self.data)

        def entry() -> tuple[bool, Reader, memoryview]:
            flags = reader.unsigned()
            if flags > 2:
                raise reader.fail(f"a data segment has unknown flags {flags}")
            if flags == 2:
                reader.unsigned()
            offset = Reader(self.data, 0, 0) if flags == 1 else _expression(reader)
            start = reader.skip(reader.unsigned())
            return flags != 1, offset, view[start : reader.offset]

        self.segments = reader.vector(entry)

    def _read_dylink(self, reader: Reader) -> None:
        while reader.offset < reader.end:
            kind, part = reader.byte(), reader.part(reader.unsigned())
            if kind == 1:
                self.memory_size, power = part.unsigned(), part.unsigned()
                self.table_size = part.unsigned()
                if power > 16:
                    raise part.fail(f"the data wants an alignment of 2**{power} bytes")
                self.memory_alignment = 1 << power


def _limits(reader: Reader) -> int:
    """Steps over limits; returns the minimum."""
    flags = reader.byte()
    if flags > 7:
        raise reader.fail(f"limits have unknown flags {flags}")
    minimum = reader.unsigned(64)
    if flags & 1:
        reader.unsigned(64)
    return minimum


def _expression(reader: Reader) -> Reader:
    """Steps over a constant expression of the instructions that linkers write; returns a reader of it."""
    start = reader.offset
    while True:
        code = reader.byte()
        if code == 0x0B:
            return Reader(reader.data, start, reader.offset)
        if code in (0x41, 0x42):
            reader.signed(64)
        elif code in (0x23, 0xD2):
            reader.unsigned()
        elif code in (0x43, 0x44):
            reader.skip(4 if code == 0x43 else 8)
        elif code == 0xD0:
            reader.byte()
        elif code not in (0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E):
            raise reader.fail(f"instruction {code:#x} in a constant expression")


def _leb(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def with_shared_memory(data: bytes, maximum_pages: int) -> bytes:
    """The same module, its memory import shared with that maximum; unchanged if it imports no memory."""
    binary = WasmBinary.parse(data)
    if binary.memory_limits is None:
        return data
    start, end, minimum = binary.memory_limits
    section_start, section_end = binary.import_section
    body = Reader(data, section_start + 1, section_end)
    body.unsigned()
    limits = b"\3" + _leb(minimum) + _leb(maximum_pages)
    content = data[body.offset : start] + limits + data[end:section_end]
    return data[:section_start] + bytes((_IMPORTS,)) + _leb(len(content)) + content + data[section_end:]
