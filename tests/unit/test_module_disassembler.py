"""The bytecode listing: every instruction on a line of its own, with the names of what it refers to."""

from __future__ import annotations

import json

import pytest

from tests.vm.assembled import MODULE, VARIADIC
from tests.vm.assembler import Function, Module, build
from webree.errors import ModuleError
from webree.module.disassembler import describe, disassemble
from webree.module.isa import decode
from webree.module.reader import ModuleFile, read_module
from webree.module.source import MemorySource


def _read(module: Module) -> ModuleFile:
    return read_module(MemorySource(build(module)))


def test_every_instruction_has_a_line() -> None:
    module = _read(MODULE)
    count = sum(len(decode(module.code(i), "test")) for i in range(len(module.functions)))
    text = disassemble(module)
    lines = [line for line in text.splitlines() if line.startswith(("  ^", "    0"))]
    assert len(lines) == count


def test_what_lines_say() -> None:
    text = disassemble(_read(VARIADIC))
    assert "module @assembled version 0, bytecode 17.0" in text
    assert "import 0: test.spans '0iCiDICiID_I'" in text
    assert "import 2: test.plain '0i_i' optional" in text
    assert "function 0 @variadic '0iI_I'" in text
    assert "%i4:5 = call.variadic test.spans(%i0, [%i0, %i2], %i2:3, [(%i0, %i2:3), (%i2, %i2:3)])" in text
    assert "%i6:7 = call.variadic.yieldable test.later([%i4:5]), ^1" in text


def test_branches_and_constants() -> None:
    text = disassemble(_read(MODULE))
    assert "br ^1(%i0 -> %i5, %i1 -> %i4)" in text
    assert "br_table %i6, ^1, 0: ^3, 1: ^4(%i1 -> %i7), 2: ^3" in text
    assert "%r0 = const.ref.rodata rodata[0] '0123456789abcdef'" in text
    assert "fail %i0, 'status in a register'" in text
    assert "%r1 = cast.any.ref move %r0, !vm.buffer" in text
    assert "%i1 = call @factorial(%i1)" in text


def test_it_is_data_too() -> None:
    listing = json.loads(json.dumps(describe(_read(MODULE))))
    assert listing["functions"][0]["instructions"][1]["op"] == "cast.si32.f64"


def test_invalid_modules_are_refused() -> None:
    with pytest.raises(ModuleError, match="no terminator"):
        disassemble(_read(Module([Function("f", "0v_v", [("block",)])])))
