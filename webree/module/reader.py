"""A module file (`.vmfb`, bare or as a ZIP polyglot) as frozen data.

Enters: a `ByteSource`. Leaves: a `ModuleFile`. Only the flatbuffer itself (tables, bytecode, small constants) is read
into Python; large constants stay slices of the source, which in the browser never leave JavaScript. All damage to the
container and to the tables raises `ModuleError`; what the tables mean is checked by the verifier.
Format: docs/module-format.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from webree.errors import ModuleError
from webree.module.debug import DebugDatabase
from webree.module.flatbuffer import Table, root
from webree.module.signature import Signature, parse_calling_convention
from webree.module.source import ByteSource, MemorySource

__all__ = ["Dependency", "ExportedFunction", "FunctionDescriptor", "ImportedFunction", "ModuleFile", "read_module"]

_ZIP_MAGIC = b"PK\x03\x04"
_ALIGNMENT = 64
_OPTIONAL = 2


@dataclass(frozen=True, slots=True)
class Dependency:
    """A module that this one needs (or, if optional, can use)."""

    name: str
    minimum_version: int
    optional: bool


@dataclass(frozen=True, slots=True)
class ImportedFunction:
    """A function of another module; `signature` is None if the file does not state one."""

    module: str
    name: str
    signature: Signature | None
    optional: bool

    @property
    def full_name(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class ExportedFunction:
    """A public name of an internal function."""

    name: str
    ordinal: int


@dataclass(frozen=True, slots=True)
class FunctionDescriptor:
    """Where an internal function's bytecode lies (bytes) and what registers and features it uses."""

    byte_offset: int
    byte_length: int
    requirements: int
    block_count: int
    i32_register_count: int
    ref_register_count: int


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """Everything in a module file.

    Attributes:
        name, version, attributes: of the module.
        requirements: feature bits.
        bytecode_version: `major << 16 | minor`.
        types: names of the types that instructions refer to.
        dependencies, imports, exports: see their classes.
        signatures: one per internal function.
        functions: one descriptor per internal function.
        rodata: constant segments; large ones are slices of the file.
        global_byte_count, global_ref_count: size of the module's mutable state.
        bytecode: code of all functions.
        debug: source locations, read when first asked for.
        byte_size: size of the file.
    """

    name: str
    version: int
    attributes: Mapping[str, str]
    requirements: int
    bytecode_version: int
    types: tuple[str, ...]
    dependencies: tuple[Dependency, ...]
    imports: tuple[ImportedFunction, ...]
    exports: tuple[ExportedFunction, ...]
    signatures: tuple[Signature, ...]
    functions: tuple[FunctionDescriptor, ...]
    rodata: tuple[ByteSource, ...]
    global_byte_count: int
    global_ref_count: int
    bytecode: memoryview = field(repr=False)
    debug: DebugDatabase = field(repr=False)
    byte_size: int

    def code(self, ordinal: int) -> memoryview:
        """The bytecode of internal function `ordinal` (whose descriptor has been verified)."""
        descriptor = self.functions[ordinal]
        return self.bytecode[descriptor.byte_offset : descriptor.byte_offset + descriptor.byte_length]

    def function_name(self, ordinal: int) -> str:
        """The first exported name of an internal function, else `function N`."""
        return next((e.name for e in self.exports if e.ordinal == ordinal), f"function {ordinal}")


def read_module(source: ByteSource) -> ModuleFile:
    """Read a module file. Raises `ModuleError`."""
    start, size = _locate_flatbuffer(source)
    view = source.read(start, size)
    table = root(view, "IREE")
    rodata_base = -(-(start + size) // _ALIGNMENT) * _ALIGNMENT
    state = table.table(11)
    return ModuleFile(
        name=_required(table.string(0), "module name"),
        version=table.scalar(1, "I", 0),
        attributes=_attributes(table, 3),
        requirements=table.scalar(2, "I", 0),
        bytecode_version=table.scalar(13, "I", 0),
        types=tuple(_required(t.string(0), f"types[{i}].full_name") for i, t in enumerate(table.tables(4))),
        dependencies=tuple(_dependency(t, i) for i, t in enumerate(table.tables(5))),
        imports=tuple(_import(t, i) for i, t in enumerate(table.tables(6))),
        exports=tuple(
            ExportedFunction(_required(t.string(0), f"exported_functions[{i}].local_name"), t.scalar(1, "i", 0))
            for i, t in enumerate(table.tables(7))
        ),
        signatures=tuple(_signature(t, f"function_signatures[{i}]") for i, t in enumerate(table.tables(8))),
        functions=tuple(FunctionDescriptor(*fields) for fields in table.structs(12, "iiI2xHHH")),
        rodata=tuple(_rodata(t, i, source, rodata_base) for i, t in enumerate(table.tables(9))),
        global_byte_count=state.scalar(0, "i", 0) if state else 0,
        global_ref_count=state.scalar(1, "i", 0) if state else 0,
        bytecode=table.bytes(14) or memoryview(b""),
        debug=DebugDatabase(table.table(15)),
        byte_size=source.size,
    )


def _locate_flatbuffer(source: ByteSource) -> tuple[int, int]:
    """Byte offset and length of the flatbuffer in the file."""
    header = bytes(source.read(0, min(source.size, 30)))
    start = 0
    if header[:4] == _ZIP_MAGIC:
        if len(header) < 30:
            raise ModuleError("the ZIP header is cut off", where="file header")
        start = 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    if source.size - start < 16:
        raise ModuleError(
            f"the file has {source.size} bytes, a module needs at least {start + 16}; "
            "is it a complete .vmfb file as `webree compile` writes it?",
            where="file header",
        )
    prefix = header[:4] if start == 0 else bytes(source.read(start, 4))
    size = int.from_bytes(prefix, "little")
    available = source.size - start - 4
    if size < 8 or size > available:
        raise ModuleError(
            f"the size prefix says {size} bytes and {available} follow; the file is cut off or not a module (.vmfb)",
            where="file header",
        )
    identifier = bytes(source.read(start + 8, 4))
    if identifier != b"IREE":
        raise ModuleError(
            f"the file identifier is {identifier!r}, expected b'IREE'; is it a .vmfb file?", where="file header"
        )
    return start + 4, size


def _required(value: str | None, what: str) -> str:
    if not value:
        raise ModuleError("is missing or empty", where=what)
    return value


def _attributes(table: Table, slot: int) -> dict[str, str]:
    return {t.string(0) or "": t.string(1) or "" for t in table.tables(slot)}


def _signature(table: Table, where: str) -> Signature:
    try:
        convention = parse_calling_convention(table.string(0) or "")
    except ModuleError as error:
        raise ModuleError(str(error), where=where) from error
    return Signature(convention, _attributes(table, 1))


def _dependency(table: Table, index: int) -> Dependency:
    name = _required(table.string(0), f"dependencies[{index}].name")
    return Dependency(name, table.scalar(1, "I", 0), bool(table.scalar(2, "I", 1) & _OPTIONAL))


def _import(table: Table, index: int) -> ImportedFunction:
    where = f"imported_functions[{index}]"
    full_name = _required(table.string(0), f"{where}.full_name")
    module, dot, name = full_name.partition(".")
    if not (module and dot and name):
        raise ModuleError(f"{full_name!r} is not of the form module.function", where=f"{where}.full_name")
    signature_table = table.table(1)
    signature = _signature(signature_table, where) if signature_table else None
    return ImportedFunction(module, name, signature, bool(table.scalar(2, "I", 1) & _OPTIONAL))


def _rodata(table: Table, index: int, source: ByteSource, base: int) -> ByteSource:
    embedded = table.bytes(2)
    if table.scalar(0, "B", 0) != 0:
        raise ModuleError("is compressed, which no known compiler writes", where=f"rodata_segments[{index}]")
    if embedded is not None:
        return MemorySource(embedded)
    offset, length = table.scalar(3, "Q", 0), table.scalar(4, "Q", 0)
    if base + offset + length > source.size and length:
        raise ModuleError(
            f"needs bytes {base + offset}..{base + offset + length}; the file has {source.size}: is it cut off?",
            where=f"rodata_segments[{index}]",
        )
    return source.slice(base + offset, length) if length else MemorySource(b"")
