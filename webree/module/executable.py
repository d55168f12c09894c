"""WebGPU executables, format `webgpu-wgsl-fb` (`WGS1`): what the compiler writes and a WebGPU device loads.

Enters: the bytes of an executable, or the dataclasses below. Leaves: the other one. The file is a 64-byte header
(magic, version, size of the content, zeros) and a FlatBuffer; docs/module-format.md lists its tables. Fields 0 to 5
are those that IREE's own WebGPU driver reads; ours start at slot 16, so that readers of either side skip what they do
not know. Identical dataclasses give identical bytes. Reading checks everything and raises `ModuleError` only; WGSL
stays where the file is (a `ByteSource`), so that the browser can hand it on without a copy through Python.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from webree.errors import ModuleError
from webree.module.flatbuffer import Table, root
from webree.module.source import ByteSource, MemorySource

__all__ = [
    "BINDING_INDIRECT",
    "BINDING_READ_ONLY",
    "ExecutableExport",
    "ExecutableFile",
    "ShaderModule",
    "SourceFile",
    "read_executable",
    "write_executable",
]

BINDING_READ_ONLY = 1
"""Binding flag: the kernel only reads the binding."""
BINDING_INDIRECT = 2
"""Binding flag: the binding may come from a binding table when the commands are submitted."""

_MAGIC = b"WGS1"
_VERSION = 0
_HEADER = struct.Struct("<4sIQ48x")

# ExecutableDef
_EXPORTS, _SHADER_MODULES, _SOURCE_FILES = 0, 1, 2
_PROFILE, _REQUIRED_LIMITS, _REQUIRED_FEATURES, _CONSTANTS_GROUP, _CONSTANTS_BINDING = 16, 17, 18, 19, 20
# ShaderModuleDef
_WGSL_SOURCE, _SOURCE_MAP = 0, 1
# ExportDef
_SHADER_MODULE, _ENTRY_POINT, _WORKGROUP_SIZE, _CONSTANT_COUNT, _BINDING_FLAGS, _DEBUG_INFO = 0, 1, 2, 3, 4, 5
_FLOPS, _BYTE_COUNT = 16, 17
# debug.ExportDef, debug.SourceFileDef, LimitDef (ours)
_DEBUG_NAME = 0
_SOURCE_PATH, _SOURCE_CONTENT = 0, 1
_LIMIT_NAME, _LIMIT_VALUE = 0, 1

_CONSTANTS_AT = (1, 0)


@dataclass(frozen=True, slots=True)
class ShaderModule:
    """One WGSL module. `wgsl` is UTF-8 text."""

    wgsl: ByteSource
    source_map: str = ""

    @classmethod
    def from_text(cls, wgsl: str, source_map: str = "") -> ShaderModule:
        """A shader module of a Python string."""
        return cls(MemorySource(wgsl.encode()), source_map)

    def text(self) -> str:
        """The WGSL as a Python string. Raises `ModuleError` if it is not UTF-8."""
        try:
            return str(self.wgsl.read(0, self.wgsl.size), "utf-8")
        except UnicodeDecodeError as error:
            raise ModuleError(f"the text is not UTF-8: {error}", where="WGSL source") from error


@dataclass(frozen=True, slots=True)
class ExecutableExport:
    """One kernel.

    Attributes:
        name: as the host program looks it up.
        entry_point: the WGSL function.
        shader_module: index into `ExecutableFile.shader_modules`.
        workgroup_size: invocations in x, y, z.
        constant_count: 32-bit push constants.
        binding_flags: for every binding, BINDING_READ_ONLY and BINDING_INDIRECT.
        flops, byte_count: of one dispatch; -1 where shapes are dynamic.
    """

    name: str
    entry_point: str
    shader_module: int
    workgroup_size: tuple[int, int, int]
    constant_count: int
    binding_flags: tuple[int, ...]
    flops: int = -1
    byte_count: int = -1

    @property
    def binding_read_only(self) -> tuple[bool, ...]:
        """Which bindings the shader declares `read`: those never written and never part of a shared slab."""
        return tuple(
            flags & (BINDING_READ_ONLY | BINDING_INDIRECT) == BINDING_READ_ONLY for flags in self.binding_flags
        )


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that travels along for people (an intermediate of the compiler)."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class ExecutableFile:
    """An executable: kernels, their shaders, and what they need of a device.

    Attributes:
        profile: the profile it was compiled for; "" if another compiler wrote it.
        required_limits: (WebGPU limit in snake_case, least value), sorted by name; for a limit that is a minimum
            (`min_…_alignment`), the greatest value.
        required_features: WebGPU feature names, sorted.
        constants_at: bind group and binding of the uniform buffer that holds the push constants.
    """

    exports: tuple[ExecutableExport, ...]
    shader_modules: tuple[ShaderModule, ...]
    profile: str = ""
    required_limits: tuple[tuple[str, int], ...] = ()
    required_features: tuple[str, ...] = ()
    sources: tuple[SourceFile, ...] = field(default=())
    constants_at: tuple[int, int] = _CONSTANTS_AT


def read_executable(source: ByteSource) -> ExecutableFile:
    """The executable in `source`. Raises `ModuleError`."""
    table, offset = _content(source)
    shader_modules = tuple(
        _shader_module(source, offset, item, f"shader module {index}")
        for index, item in enumerate(table.tables(_SHADER_MODULES))
    )
    exports = tuple(
        _export(item, len(shader_modules), f"export {index}") for index, item in enumerate(table.tables(_EXPORTS))
    )
    if not exports:
        raise ModuleError("has no exports", where="WebGPU executable")
    return ExecutableFile(
        exports=exports,
        shader_modules=shader_modules,
        profile=table.string(_PROFILE) or "",
        required_limits=tuple(
            (_required(item.string(_LIMIT_NAME), "required limit", "name"), item.scalar(_LIMIT_VALUE, "Q", 0))
            for item in table.tables(_REQUIRED_LIMITS)
        ),
        required_features=tuple(table.strings(_REQUIRED_FEATURES)),
        sources=tuple(
            SourceFile(item.string(_SOURCE_PATH) or "", bytes(item.bytes(_SOURCE_CONTENT) or b""))
            for item in table.tables(_SOURCE_FILES)
        ),
        constants_at=(
            table.scalar(_CONSTANTS_GROUP, "I", _CONSTANTS_AT[0]),
            table.scalar(_CONSTANTS_BINDING, "I", _CONSTANTS_AT[1]),
        ),
    )


def _content(source: ByteSource) -> tuple[Table, int]:
    """The root table and the byte offset of the FlatBuffer in `source`."""
    where = "WebGPU executable"
    if source.size < _HEADER.size:
        raise ModuleError(f"has {source.size} bytes; the header alone has {_HEADER.size}", where=where)
    magic, version, size = _HEADER.unpack(source.read(0, _HEADER.size))
    if magic != _MAGIC:
        raise ModuleError(f"starts with {magic!r}, expected {_MAGIC!r}", where=where)
    if version != _VERSION:
        raise ModuleError(f"is version {version}; this runtime reads version {_VERSION}", where=where)
    if size > source.size - _HEADER.size:
        raise ModuleError(f"is cut off: {source.size - _HEADER.size} of {size} bytes of content are there", where=where)
    return root(source.read(_HEADER.size, size), _MAGIC), _HEADER.size


def _shader_module(source: ByteSource, content_offset: int, table: Table, where: str) -> ShaderModule:
    extent = table.bytes_extent(_WGSL_SOURCE)
    if extent is None or extent[1] == 0:
        raise ModuleError("has no WGSL", where=where)
    return ShaderModule(source.slice(content_offset + extent[0], extent[1]), table.string(_SOURCE_MAP) or "")


def _export(table: Table, shader_module_count: int, where: str) -> ExecutableExport:
    entry_point = _required(table.string(_ENTRY_POINT), where, "entry point")
    shader_module = table.scalar(_SHADER_MODULE, "I", 0)
    if shader_module >= shader_module_count:
        raise ModuleError(f"names shader module {shader_module} of {shader_module_count}", where=where)
    size = table.struct(_WORKGROUP_SIZE, "III")
    if size is None or 0 in size:
        raise ModuleError(f"has the workgroup size {size}", where=where)
    debug = table.table(_DEBUG_INFO)
    return ExecutableExport(
        name=(debug.string(_DEBUG_NAME) if debug is not None else None) or entry_point,
        entry_point=entry_point,
        shader_module=shader_module,
        workgroup_size=(size[0], size[1], size[2]),
        constant_count=table.scalar(_CONSTANT_COUNT, "I", 0),
        binding_flags=table.scalars(_BINDING_FLAGS, "Q"),
        flops=table.scalar(_FLOPS, "q", -1),
        byte_count=table.scalar(_BYTE_COUNT, "q", -1),
    )


def _required(text: str | None, where: str, what: str) -> str:
    if not text:
        raise ModuleError(f"has no {what}", where=where)
    return text


def write_executable(file: ExecutableFile) -> bytes:
    """The bytes of an executable; needs the package `flatbuffers` (part of webree[compiler])."""
    import flatbuffers

    builder = flatbuffers.Builder(1024 + sum(shader.wgsl.size for shader in file.shader_modules))
    sources = [_write_source(builder, item) for item in file.sources]
    shaders = [_write_shader_module(builder, item) for item in file.shader_modules]
    exports = [_write_export(builder, item) for item in file.exports]
    limits = [_write_limit(builder, name, value) for name, value in file.required_limits]
    features = [builder.CreateString(name) for name in file.required_features]
    vectors = [
        (slot, _offsets(builder, items))
        for slot, items in (
            (_EXPORTS, exports),
            (_SHADER_MODULES, shaders),
            (_SOURCE_FILES, sources),
            (_REQUIRED_LIMITS, limits),
            (_REQUIRED_FEATURES, features),
        )
        if items
    ]
    profile = builder.CreateString(file.profile)
    builder.StartObject(_CONSTANTS_BINDING + 1)
    for slot, vector in vectors:
        builder.PrependUOffsetTRelativeSlot(slot, vector, 0)
    builder.PrependUOffsetTRelativeSlot(_PROFILE, profile, 0)
    builder.PrependUint32Slot(_CONSTANTS_GROUP, file.constants_at[0], _CONSTANTS_AT[0])
    builder.PrependUint32Slot(_CONSTANTS_BINDING, file.constants_at[1], _CONSTANTS_AT[1])
    builder.Finish(builder.EndObject(), file_identifier=_MAGIC)
    content = builder.Output()
    return _HEADER.pack(_MAGIC, _VERSION, len(content)) + bytes(content)


def _write_source(builder: Any, item: SourceFile) -> int:
    content = builder.CreateByteVector(item.content)
    path = builder.CreateString(item.path)
    return _object(builder, 2, {_SOURCE_PATH: path, _SOURCE_CONTENT: content})


def _write_shader_module(builder: Any, item: ShaderModule) -> int:
    wgsl = builder.CreateString(item.text())
    source_map = builder.CreateString(item.source_map) if item.source_map else 0
    return _object(builder, 2, {_WGSL_SOURCE: wgsl, _SOURCE_MAP: source_map})


def _write_limit(builder: Any, name: str, value: int) -> int:
    text = builder.CreateString(name)
    builder.StartObject(2)
    builder.PrependUint64Slot(_LIMIT_VALUE, value, 0)
    builder.PrependUOffsetTRelativeSlot(_LIMIT_NAME, text, 0)
    return int(builder.EndObject())


def _write_export(builder: Any, item: ExecutableExport) -> int:
    debug = _object(builder, 2, {_DEBUG_NAME: builder.CreateString(item.name)})
    entry_point = builder.CreateString(item.entry_point)
    flags = _vector(builder, item.binding_flags, 8, builder.PrependUint64) if item.binding_flags else 0
    builder.StartObject(_BYTE_COUNT + 1)
    builder.PrependInt64Slot(_FLOPS, item.flops, -1)
    builder.PrependInt64Slot(_BYTE_COUNT, item.byte_count, -1)
    builder.PrependUOffsetTRelativeSlot(_ENTRY_POINT, entry_point, 0)
    builder.PrependUOffsetTRelativeSlot(_BINDING_FLAGS, flags, 0)
    builder.PrependUOffsetTRelativeSlot(_DEBUG_INFO, debug, 0)
    builder.PrependUint32Slot(_SHADER_MODULE, item.shader_module, 0)
    builder.PrependUint32Slot(_CONSTANT_COUNT, item.constant_count, 0)
    builder.Prep(4, 12)
    for extent in reversed(item.workgroup_size):
        builder.PrependUint32(extent)
    builder.PrependStructSlot(_WORKGROUP_SIZE, builder.Offset(), 0)
    return int(builder.EndObject())


def _object(builder: Any, slot_count: int, offsets: dict[int, int]) -> int:
    builder.StartObject(slot_count)
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return int(builder.EndObject())


def _offsets(builder: Any, offsets: Sequence[int]) -> int:
    return _vector(builder, offsets, 4, builder.PrependUOffsetTRelative)


def _vector(builder: Any, items: Sequence[int], element_size: int, prepend: Callable[[int], None]) -> int:
    builder.StartVector(element_size, len(items), element_size)
    for item in reversed(items):
        prepend(item)
    return int(builder.EndVector())
