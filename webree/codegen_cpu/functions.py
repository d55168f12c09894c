"""The functions of a WebAssembly library: what it imports, what its functions are called, and other bodies for them.

Enters: a library's sections. Leaves: names and types, and the sections with some functions replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from webree.codegen_cpu.sections import CODE, CUSTOM, EXPORT, FUNCTION, IMPORT, TYPE, Reader, Section, number, vector

__all__ = [
    "FunctionType",
    "Import",
    "exported_functions",
    "function_names",
    "function_type",
    "imported_functions",
    "replace_function",
]

_NAME_SECTION, _FUNCTION_NAMES = "name", 1
_FUNCTION_TYPE = 0x60
_KIND_FUNCTION, _KIND_TABLE, _KIND_MEMORY, _KIND_GLOBAL = range(4)
_VALUE_TYPES = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128"}


@dataclass(frozen=True, slots=True)
class FunctionType:
    """Types of the arguments and results, by their names in the text format."""

    arguments: tuple[str, ...]
    results: tuple[str, ...]

    def __str__(self) -> str:
        return f"({', '.join(self.arguments)}) -> ({', '.join(self.results)})"

    def encoded(self) -> bytes:
        codes = {name: code for code, name in _VALUE_TYPES.items()}
        return bytes([_FUNCTION_TYPE]) + b"".join(
            vector(bytes(codes[name] for name in names)) for names in (self.arguments, self.results)
        )


@dataclass(frozen=True, slots=True)
class Import:
    """A function that a library imports."""

    module: str
    name: str
    type: FunctionType


def imported_functions(sections: Sequence[Section]) -> tuple[Import, ...]:
    """In their order, which is that of their indices."""
    types = _types(sections)
    reader = Reader(_content(sections, IMPORT) or b"\0")
    found = []
    for _ in range(reader.number()):
        module, name, kind = reader.name(), reader.name(), reader.byte()
        if kind == _KIND_FUNCTION:
            found.append(Import(module, name, types[reader.number()]))
        elif kind == _KIND_GLOBAL:
            reader.take(2)
        else:
            if kind == _KIND_TABLE:
                reader.byte()
            has_maximum = reader.byte() & 1
            reader.number()
            if has_maximum:
                reader.number()
    return tuple(found)


def exported_functions(sections: Sequence[Section]) -> dict[str, FunctionType]:
    """Types of the exported functions by name."""
    reader = Reader(_content(sections, EXPORT) or b"\0")
    exports = [(reader.name(), reader.byte(), reader.number()) for _ in range(reader.number())]
    return {name: function_type(sections, index) for name, kind, index in exports if kind == _KIND_FUNCTION}


def function_names(sections: Iterable[Section]) -> dict[str, int]:
    """Index by name, from the section for debuggers."""
    names = {}
    for section in sections:
        if section.kind == CUSTOM and section.name == _NAME_SECTION:
            reader = Reader(section.content)
            while not reader.at_end:
                kind, inner = reader.byte(), Reader(reader.vector())
                for _ in range(inner.number() if kind == _FUNCTION_NAMES else 0):
                    index = inner.number()
                    names[inner.name()] = index
    return names


def replace_function(sections: Sequence[Section], index: int, kind: FunctionType, body: bytes) -> None:
    """Give the function with an index (imports counted) a type and a body (locals and code)."""
    position = index - len(imported_functions(sections))
    types = _section(sections, TYPE)
    count, rest = _counted(types.content)
    types.content = number(count + 1) + rest + kind.encoded()
    reader = Reader(_section(sections, FUNCTION).content)
    indices = [reader.number() for _ in range(reader.number())]
    indices[position] = count
    _section(sections, FUNCTION).content = number(len(indices)) + b"".join(map(number, indices))
    reader = Reader(_section(sections, CODE).content)
    bodies = [reader.vector() for _ in range(reader.number())]
    bodies[position] = body
    _section(sections, CODE).content = number(len(bodies)) + b"".join(map(vector, bodies))


def function_type(sections: Sequence[Section], index: int) -> FunctionType:
    """Of the function with an index (imports counted)."""
    imports = imported_functions(sections)
    if index < len(imports):
        return imports[index].type
    reader = Reader(_section(sections, FUNCTION).content)
    indices = [reader.number() for _ in range(reader.number())]
    return _types(sections)[indices[index - len(imports)]]


def _types(sections: Iterable[Section]) -> list[FunctionType]:
    reader = Reader(_content(sections, TYPE) or b"\0")
    types = []
    for _ in range(reader.number()):
        reader.byte()
        arguments, results = reader.vector(), reader.vector()
        types.append(
            FunctionType(tuple(_VALUE_TYPES[code] for code in arguments), tuple(_VALUE_TYPES[code] for code in results))
        )
    return types


def _section(sections: Iterable[Section], kind: int) -> Section:
    return next(section for section in sections if section.kind == kind)


def _content(sections: Iterable[Section], kind: int) -> bytes | None:
    return next((section.content for section in sections if section.kind == kind), None)


def _counted(content: bytes) -> tuple[int, bytes]:
    reader = Reader(content)
    count = reader.number()
    return count, content[reader.offset :]
