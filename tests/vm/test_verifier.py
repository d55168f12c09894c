"""What the verifier rejects: each row of its checklist, with the message and the place."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.vm.assembler import IMPORT, Function, Module, assemble, build, move, r
from webree.errors import ModuleError
from webree.module.reader import read_module
from webree.module.source import MemorySource
from webree.module.verifier import verify

BLOCK = ("block",)
RETURN: tuple[Any, ...] = ("return", [])
IMPORTS = (("test.plain", "0i_i", True), ("test.spans", "0iCiiD_v", True))


def body(*rows: tuple[Any, ...]) -> Function:
    """A function without arguments and results whose only block holds `rows`."""
    return Function("f", "0v_v", [BLOCK, *rows, RETURN])


def load(function: Function, **fields: Any) -> None:
    defaults: dict[str, Any] = {"imports": IMPORTS, "rodata": [b"12"], "global_bytes": 12, "global_refs": 1}
    verify(read_module(MemorySource(build(Module([function], **(defaults | fields))))))


def test_what_all_rows_start_from_is_valid() -> None:
    load(body(("const.i32", 5, 0), ("add.i32", 0, 0, 7), ("mul.i64", 0, 2, 6)))


REGISTERS = {
    "i32 beyond the count": (("add.i32", 0, 8, 1), "register %i8 is out of range; the function has 8"),
    "i64 at an odd register": (("add.i64", 0, 3, 2), "64-bit values need an even register, found %i3"),
    "i64 beyond the count": (("add.i64", 0, 8, 2), "register %i9 is out of range"),
    "f64 result at an odd register": (("const.f64.zero", 5), "64-bit values need an even register"),
    "reference where a number is needed": (("add.i32", 0, r(0), 1), "a reference register stands where a number"),
    "number where a reference is needed": (("list.size", 1, 0), "register %i1 stands where a reference"),
    "reference beyond the count": (("list.size", r(4), 0), "register %r4 is out of range; the function has 4"),
    "move that is not allowed": (("list.size", move(1), 0), "%r1 must not be moved"),
    "map between the banks": (("br", 0, [(1, r(1))]), "between the reference bank and the number bank"),
    "map source beyond the count": (("br", 0, [(9, 1)]), "register %i9 is out of range"),
    "map target beyond the count": (("br", 0, [(r(1), r(5))]), "register %r5 is out of range"),
    "switch value beyond the count": (("switch.i32", 0, 1, [2, 30], 3), "register %i30 is out of range"),
    "discard of a number": (("discard.refs", [1]), "stands where a reference register is needed"),
}


@pytest.mark.parametrize("row", REGISTERS)
def test_registers(row: str) -> None:
    instruction, message = REGISTERS[row]
    rows = [BLOCK, instruction] if instruction[0] == "br" else [BLOCK, instruction, RETURN]
    with pytest.raises(ModuleError, match=r"function 0 \(f\) at byte 0x1: ") as caught:
        load(Function("f", "0v_v", rows))
    assert message in str(caught.value)


ORDINALS = {
    "type": (("list.alloc", 4, 0, r(0)), "type 4 does not exist; there are 4"),
    "rodata": (("const.ref.rodata", 1, r(0)), "rodata segment 1 does not exist; there are 1"),
    "global reference": (("global.load.ref", 1, 1, r(0)), "global reference 1 does not exist; there are 1"),
    "global bytes": (("global.load.i32", 12, 0), "global.load.i32 at byte 12 is outside the 12 bytes of globals"),
    "global at the end": (("global.store.i64", 8, 0), "global.store.i64 at byte 8 is outside the 12 bytes"),
    "global alignment": (("global.load.i64", 4, 0), "global.load.i64 at byte 4 is not aligned to 8"),
    "internal callee": (("call", 7, [], []), "function 7 does not exist; there are 1"),
    "import callee": (("call", IMPORT | 2, [0], [0]), "import 2 does not exist; there are 2"),
    "resolved import": (("import.resolved", IMPORT | 9, 0), "import 9 does not exist"),
    "resolved internal function": (("import.resolved", 0, 0), "import.resolved of a function that is not an import"),
    "argument count": (("call", IMPORT | 0, [0, 1], [0]), "2 arguments passed, expected 1"),
    "result count": (("call", IMPORT | 0, [0], []), "0 results taken, expected 1"),
    "argument bank": (("call", IMPORT | 0, [r(0)], [0]), "a reference register stands where a number is needed"),
    "variadic internal callee": (("call.variadic", 0, [], [], []), "variadic call to a function that is not an import"),
    "plain call with spans": (("call", IMPORT | 1, [0], []), "has spans, without saying their sizes"),
    "segment count": (("call.variadic", IMPORT | 1, [0xFFFF], [0], []), "1 segments, expected 2"),
    "segment kind": (("call.variadic", IMPORT | 1, [0xFFFF, 0xFFFF], [0, 1], []), "segment 0xFFFF does not fit 'CiiD'"),
    "segment sum": (
        ("call.variadic", IMPORT | 1, [0xFFFF, 2], [0, 1, 2], []),
        "3 arguments passed, the segments add up",
    ),
    "return count": (("return", [0]), "1 results returned, expected 0"),
}


@pytest.mark.parametrize("row", ORDINALS)
def test_ordinals_and_calls(row: str) -> None:
    instruction, message = ORDINALS[row]
    rows = [BLOCK, instruction] if instruction[0] == "return" else [BLOCK, instruction, RETURN]
    with pytest.raises(ModuleError, match=r"function 0 \(f\) at byte 0x1: ") as caught:
        load(Function("f", "0v_v", rows))
    assert message in str(caught.value)


_RETURN_CODE = assemble([BLOCK, RETURN])
STRUCTURE = {
    "no block first": (
        {"code": assemble([("const.i32.zero", 0), RETURN]), "block_count": 1},
        "const.i32.zero stands outside any block",
    ),
    "no terminator": ({"rows": [BLOCK, ("const.i32", 1, 0)]}, "the last block has no terminator"),
    "block inside a block": ({"rows": [BLOCK, BLOCK, RETURN]}, "a block starts inside another block"),
    "code after a terminator": ({"rows": [BLOCK, RETURN, RETURN]}, "return stands outside any block"),
    "branch into an instruction": ({"rows": [BLOCK, ("br", 2, [])]}, "a branch goes to byte 0x2, where no block"),
    "branch far away": ({"rows": [BLOCK, ("br", 1 << 24, [])]}, "a branch goes to byte 0x1000000"),
    "too few blocks": ({"block_count": 2}, "has 1 blocks, its descriptor says 2"),
    "no blocks": ({"block_count": 0}, "has no blocks"),
    "unknown opcode": ({"code": b"\x79\xdf" + _RETURN_CODE[1:], "block_count": 1}, "unknown opcode 0xDF"),
    "unknown f32 opcode": ({"code": b"\x79\xe0\xee", "block_count": 1}, "runs past the function"),
    "cut off": ({"code": assemble([BLOCK, ("add.i32", 0, 1, 2)])[:-1], "block_count": 1}, "runs past the function"),
    "list cut off": ({"code": _RETURN_CODE[:-1] + b"\x09", "block_count": 1}, "runs past the function"),
    "no code": ({"code": b"", "block_count": 1}, "does not lie in the"),
    "f32 without its feature": ({"rows": [BLOCK, ("const.f32.zero", 0), RETURN], "requirements": 2}, "needs EXT_F32"),
    "f64 without its feature": ({"rows": [BLOCK, ("const.f64.zero", 0), RETURN], "requirements": 1}, "needs EXT_F64"),
    "unknown feature": ({"requirements": 0x10}, "unknown features 0x10"),
    "arguments beyond the registers": ({"convention": "0iIr_v", "i32_count": 3}, "need 4 + 1 registers"),
    "spans in an internal function": ({"convention": "0CiD_v"}, "has spans, which only imports may have"),
    "too many registers": ({"i32_count": 0x8000}, "uses 32768 + 4 registers"),
    "text that is not UTF-8": ({"code": b"\x79\x5b\x00\x00\x01\x00\xff", "block_count": 1}, "text is not UTF-8"),
}


@pytest.mark.parametrize("row", STRUCTURE)
def test_structure(row: str) -> None:
    fields, message = STRUCTURE[row]
    with pytest.raises(ModuleError, match=r"^function 0 \(f\)") as caught:
        load(replace(Function("f", "0v_v", [BLOCK, RETURN]), **fields))
    assert message in str(caught.value)


TABLES = {
    "newer version": ({"version": 0x00110001}, "bytecode_version: version 17.1 is not supported (supported: 17.0)"),
    "other version": ({"version": 0x00100000}, "bytecode_version: version 16.0 is not supported"),
    "type name": ({"types": ["i32", "!vm.buffer", "i33"]}, "types[2]: unknown type 'i33'"),
    "export": ({"exports": [("f", 3)]}, "exported_functions[0]: 'f' is function 3; there are 1"),
    "import name": ({"imports": [("nodot", "0v_v", True)]}, "'nodot' is not of the form module.function"),
    "import convention": ({"imports": [("a.b", "0q_v", True)]}, "has the unknown letter 'q'"),
    "convention version": ({"imports": [("a.b", "1v_v", True)]}, "has version '1', supported: '0'"),
    "open span": ({"imports": [("a.b", "0Ci_v", True)]}, "has a malformed span"),
    "globals": ({"global_bytes": 1 << 30}, "beyond the supported"),
}


@pytest.mark.parametrize("row", TABLES)
def test_tables(row: str) -> None:
    fields, message = TABLES[row]
    with pytest.raises(ModuleError) as caught:
        load(Function("f", "0v_v", [BLOCK, RETURN]), **fields)
    assert message in str(caught.value)


def _file() -> bytes:
    return build(Module([Function("f", "0v_v", [BLOCK, RETURN])]))


CONTAINERS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "file header: the file has 0 bytes, a module needs at least 16"),
    "text": (b"module { func.func @main() }", "the size prefix says"),
    "cut off": (_file()[:-9], "the file is cut off or not a module"),
    "other flatbuffer": (_file().replace(b"IREE", b"ABCD", 1), "the file identifier is b'ABCD', expected b'IREE'"),
    "ZIP cut off": (b"PK\x03\x04" + bytes(8), "the ZIP header is cut off"),
    "ZIP name beyond the end": (b"PK\x03\x04" + bytes(22) + b"\xff\xff\x00\x00" + bytes(40), "the file has 70 bytes"),
    "no fields": (struct.pack("<II4sHHi", 20, 12, b"IREE", 4, 4, 4) + bytes(8), "module name: is missing or empty"),
}


@pytest.mark.parametrize("row", CONTAINERS)
def test_containers(row: str) -> None:
    data, message = CONTAINERS[row]
    with pytest.raises(ModuleError) as caught:
        read_module(MemorySource(data))
    assert message in str(caught.value)


def test_overlapping_functions_are_refused() -> None:
    """Ten thousand descriptors of the same code would make verification quadratic."""
    data = bytearray(build(Module([Function(f"f{i}", "0v_v", [BLOCK, RETURN]) for i in range(3)])))
    descriptors = _descriptor_positions(data)
    for position in descriptors:
        struct.pack_into("<ii", data, position, 0, len(_RETURN_CODE) * 3)
    with pytest.raises(ModuleError, match="function_descriptors: the functions have"):
        verify(read_module(MemorySource(bytes(data))))


def _descriptor_positions(data: bytes) -> Sequence[int]:
    first = data.index(struct.pack("<iiIHHHH", 0, len(_RETURN_CODE), 0xF, 0, 1, 8, 4))
    return [first + 20 * index for index in range(3)]
