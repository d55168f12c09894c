"""A small assembler: what the compiler never emits, and what no compiler should.

Enters: functions as rows `(mnemonic, operand, …)`; registers as numbers (`r(n)` for references, `move(n)` to move
one), branch targets as names of `("block", name)` rows, lists and maps as Python lists. Leaves: a bare module file,
written by the `flatbuffers` package, which shares no code with our reader.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers

from webree.module.isa import Opcode, all_opcodes

_OPCODES = {opcode.name: opcode for opcode in all_opcodes()}
_LETTERS = {"g": "I", "gr": "I", "ro": "I", "fn": "I", "ty": "I", "#i32": "i", "#i64": "q", "#f32": "f", "#f64": "d"}
IMPORT = 0x80000000
PLAIN = 0xFFFF


def r(register: int) -> int:
    """A reference register."""
    return 0x8000 | register


def move(register: int) -> int:
    """A reference register whose reference moves away."""
    return 0xC000 | register


@dataclass
class Function:
    """A function to assemble. `code` overrides `rows`, `block_count` and `requirements` what they say."""

    name: str
    convention: str
    rows: Sequence[tuple[Any, ...]] = ()
    i32_count: int = 8
    ref_count: int = 4
    code: bytes | None = None
    block_count: int | None = None
    requirements: int = 0xF


@dataclass
class Module:
    """A module to assemble."""

    functions: Sequence[Function]
    types: Sequence[str] = ("i32", "!vm.buffer", "!vm.opaque", "!vm.list<?>")
    imports: Sequence[tuple[str, str, bool]] = ()
    rodata: Sequence[bytes] = ()
    global_bytes: int = 0
    global_refs: int = 0
    version: int = 0x00110000
    exports: Sequence[tuple[str, int]] = field(default_factory=list)


def assemble(rows: Sequence[tuple[Any, ...]]) -> bytes:
    """Bytecode of a function."""
    labels: dict[str, int] = {}
    code = b""
    for _pass in range(2):
        code = b""
        for name, *operands in rows:
            if name == "block" and operands:
                labels[operands[0]] = len(code)
                operands = []
            code = _encode(code, _OPCODES[name], operands, labels)
    return code


def _encode(code: bytes, opcode: Opcode, operands: Sequence[Any], labels: dict[str, int]) -> bytes:
    code += bytes([opcode.code] if opcode.prefix is None else [opcode.prefix, opcode.code])
    assert len(operands) == len(opcode.operands), opcode
    for operand, value in zip(opcode.operands, operands, strict=True):
        kind = operand.kind
        if kind == "pc":
            code += struct.pack("<I", labels.get(value, 0) if isinstance(value, str) else value)
        elif kind in _LETTERS:
            code += struct.pack("<" + _LETTERS[kind], value)
        elif kind == "str":
            code += struct.pack("<H", len(value)) + value.encode()
        elif kind == "map":
            code = _encode_map(code, value)
        elif kind == "cases":
            code += struct.pack("<H", len(value))
            for target, pairs in value:
                code += struct.pack("<I", labels.get(target, 0) if isinstance(target, str) else target)
                code = _encode_map(code, pairs)
        elif isinstance(value, Sequence):
            code += bytes(len(code) & 1) + struct.pack(f"<H{len(value)}H", len(value), *value)
        else:
            code += struct.pack("<H", value)
    return code


def _encode_map(code: bytes, pairs: Sequence[tuple[int, int]]) -> bytes:
    code += bytes(len(code) & 1) + struct.pack("<H", len(pairs))
    return code + b"".join(struct.pack("<HH", *pair) for pair in pairs)


def build(module: Module) -> bytes:
    """The module file."""
    b = flatbuffers.Builder(1024)
    bytecode = b""
    descriptors = []
    for f in module.functions:
        code = assemble(f.rows) if f.code is None else f.code
        blocks = sum(row[0] == "block" for row in f.rows) if f.block_count is None else f.block_count
        bytecode += bytes(-len(bytecode) % 8)
        descriptors.append((len(bytecode), len(code), f.requirements, blocks, f.i32_count, f.ref_count))
        bytecode += code
    exports = module.exports or [(f.name, i) for i, f in enumerate(module.functions)]
    fields: dict[int, Any] = {
        0: b.CreateString("assembled"),
        4: _vector(b, [_table(b, {0: b.CreateString(name)}) for name in module.types]),
        6: _vector(b, [_import(b, *row) for row in module.imports]),
        7: _vector(b, [_export(b, *row) for row in exports]),
        8: _vector(b, [_table(b, {0: b.CreateString(f.convention)}) for f in module.functions]),
        9: _vector(b, [_table(b, {2: b.CreateByteVector(data)}) for data in module.rodata]),
        11: _table(b, {0: ("i", module.global_bytes), 1: ("i", module.global_refs)}),
        12: _structs(b, descriptors),
        14: b.CreateByteVector(bytecode),
    }
    requirements = 0
    for f in module.functions:
        requirements |= f.requirements & 0xF
    fields |= {2: ("I", requirements), 13: ("I", module.version)}
    b.Finish(_table(b, fields, 16), file_identifier=b"IREE")
    data = bytes(b.Output())
    return struct.pack("<I", len(data)) + data


def _table(b: flatbuffers.Builder, fields: dict[int, Any], slots: int = 8) -> int:
    b.StartObject(slots)
    for slot, value in fields.items():
        if not isinstance(value, tuple):
            b.PrependUOffsetTRelativeSlot(slot, value, 0)
        elif value[0] == "I":
            b.PrependUint32Slot(slot, value[1], 0)
        else:
            b.PrependInt32Slot(slot, value[1], 0)
    return int(b.EndObject())


def _import(b: flatbuffers.Builder, name: str, convention: str, optional: bool) -> int:
    signature = _table(b, {0: b.CreateString(convention)})
    return _table(b, {0: b.CreateString(name), 1: signature, 2: ("I", 2 if optional else 1)})


def _export(b: flatbuffers.Builder, name: str, ordinal: int) -> int:
    return _table(b, {0: b.CreateString(name), 1: ("i", ordinal)})


def _vector(b: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())


def _structs(b: flatbuffers.Builder, descriptors: Sequence[tuple[int, ...]]) -> int:
    b.StartVector(20, len(descriptors), 4)
    for offset, length, requirements, blocks, i32_count, ref_count in reversed(descriptors):
        b.Prep(4, 20)
        b.PrependUint16(ref_count)
        b.PrependUint16(i32_count)
        b.PrependUint16(blocks)
        b.PrependUint16(0)
        b.PrependUint32(requirements)
        b.PrependInt32(length)
        b.PrependInt32(offset)
    return int(b.EndVector())
