"""The instruction set: `isa.json` as a table, and the decoder that the verifier, the VM and the disassembler share.

Enters: a function's bytecode. Leaves: a list of `Instruction`s, or a `ModuleError` that names the byte. Decoding checks
framing only (opcodes known, every fetch inside the function); what operands refer to is the verifier's business.

An operand's kind in `isa.json` is one of
    i I f F   register of the 32-bit bank holding i32, i64, f32, f64     r R   reference register (R may carry MOVE)
    #i32 #i64 #f32 #f64   immediates          g gr   byte offset into, reference ordinal of the globals
    ro fn ty pc   rodata, function, type ordinal, branch target          str   text
    v vi vI vf vF vR   registers (v: of any bank)       segments   span sizes of a variadic call
    map   (source, target) register pairs of a branch   cases   (target, map) rows of a branch table
Register words are kept as encoded: bit 15 marks the reference bank, bit 14 a move (see `REF`, `MOVE`, `REF_MASK`).
"""

from __future__ import annotations

import functools
import json
import pkgutil
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from webree.errors import ModuleError

__all__ = [
    "FEATURE_F32",
    "FEATURE_F64",
    "IMPORT_BIT",
    "MOVE",
    "PLAIN_SEGMENT",
    "REF",
    "REF_MASK",
    "SUPPORTED_FEATURES",
    "Instruction",
    "Opcode",
    "Operand",
    "all_opcodes",
    "decode",
]

REF = 0x8000
MOVE = 0x4000
REF_MASK = 0x3FFF
IMPORT_BIT = 0x80000000
PLAIN_SEGMENT = 0xFFFF

FEATURE_F32 = 1
FEATURE_F64 = 2
SUPPORTED_FEATURES = 0xF  # f32, f64, yield, unwind

_PREFIXES = {"core": None, "f32": 0xE0, "f64": 0xE1}
_FEATURES = {"core": 0, "f32": FEATURE_F32, "f64": FEATURE_F64}
_TERMINATORS = frozenset(
    "br cond_br br_table return fail yield call.yieldable call.variadic.yieldable break cond_break".split()
)
_LETTERS = {
    **dict.fromkeys(("i", "I", "f", "F", "r", "R"), "H"),
    **dict.fromkeys(("g", "gr", "ro", "fn", "ty", "pc"), "I"),
    "#i32": "i",
    "#i64": "q",
    "#f32": "f",
    "#f64": "d",
}
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")


class Operand(NamedTuple):
    """One operand: its name, its kind (see the module's docstring) and whether the instruction writes it."""

    name: str
    kind: str
    is_result: bool


@dataclass(frozen=True, slots=True, eq=False)
class Opcode:
    """One row of the instruction set.

    Attributes:
        name: mnemonic without the dialect (`add.i32`).
        prefix: first byte of a two-byte opcode, or None.
        code: the (last) opcode byte.
        feature: bit that a function's requirements must have to use it, 0 for core opcodes.
        operands: in the order of their encoding.
        is_terminator: True if it ends a block.
        fixed: layout of all operands if none is of variable length, else None.
    """

    name: str
    prefix: int | None
    code: int
    feature: int
    operands: tuple[Operand, ...]
    is_terminator: bool
    fixed: struct.Struct | None


class Instruction(NamedTuple):
    """A decoded instruction: byte offset in its function, opcode, operand values, byte offset of the next one.

    Values: numbers for single operands, tuples of numbers for lists, tuples of pairs for maps, `str` for text.
    """

    pc: int
    opcode: Opcode
    values: tuple[Any, ...]
    next_pc: int


@functools.cache
def _tables() -> dict[int | None, list[Opcode]]:
    data = pkgutil.get_data(__package__, "isa.json")  # importlib.resources takes longer to import than all of this
    assert data is not None
    rows = json.loads(data)
    return {
        prefix: [_parse_row(row, index, prefix, _FEATURES[name]) for index, row in enumerate(rows[name])]
        for name, prefix in _PREFIXES.items()
    }


def all_opcodes() -> list[Opcode]:
    """Every opcode, core first."""
    return [opcode for table in _tables().values() for opcode in table]


def _parse_row(row: str, code: int, prefix: int | None, feature: int) -> Opcode:
    name, *fields = row.split()
    operands = []
    for field in fields:
        operand, kind = field.split(":")
        operands.append(Operand(operand.removeprefix(">"), kind, field[0] == ">"))
    letters = [_LETTERS.get(operand.kind) for operand in operands]
    fixed = None if None in letters else struct.Struct("<" + "".join(filter(None, letters)))
    return Opcode(name, prefix, code, feature, tuple(operands), name in _TERMINATORS, fixed)


def decode(code: memoryview, where: str) -> list[Instruction]:
    """All instructions of a function whose bytecode is exactly `code`; `where` names the function in errors."""
    tables = _tables()
    core = tables[None]
    size = len(code)
    instructions = []
    pc = 0
    try:
        while pc < size:
            byte = code[pc]
            position = pc + 1
            if byte < len(core):
                opcode = core[byte]
            elif byte in tables:
                byte = code[position]
                position += 1
                opcode = tables[code[pc]][byte]
            else:
                raise ModuleError(f"unknown opcode 0x{byte:02X}", where=f"{where} at byte {pc}")
            fixed = opcode.fixed
            if fixed is not None:
                values = fixed.unpack_from(code, position)
                position += fixed.size
            else:
                values, position = _decode_operands(opcode, code, position)
            instructions.append(Instruction(pc, opcode, values, position))
            pc = position
    except (IndexError, struct.error) as error:
        raise ModuleError(
            f"an instruction is unknown or runs past the function's {size} bytes", where=f"{where} at byte {pc}"
        ) from error
    except UnicodeDecodeError as error:
        raise ModuleError(f"text is not UTF-8: {error}", where=f"{where} at byte {pc}") from error
    return instructions


def _decode_operands(opcode: Opcode, code: memoryview, position: int) -> tuple[tuple[Any, ...], int]:
    values = []
    for _name, kind, _is_result in opcode.operands:
        value, position = _DECODERS[kind](code, position)
        values.append(value)
    return tuple(values), position


def _decode_list(code: memoryview, position: int) -> tuple[tuple[int, ...], int]:
    position += position & 1
    (count,) = _U16.unpack_from(code, position)
    end = position + 2 + 2 * count
    return struct.unpack_from(f"<{count}H", code, position + 2), end


def _decode_map(code: memoryview, position: int) -> tuple[tuple[tuple[int, int], ...], int]:
    position += position & 1
    (count,) = _U16.unpack_from(code, position)
    end = position + 2 + 4 * count
    words = struct.unpack_from(f"<{2 * count}H", code, position + 2)
    return tuple(zip(words[::2], words[1::2], strict=True)), end


def _decode_cases(code: memoryview, position: int) -> tuple[tuple[Any, ...], int]:
    (count,) = _U16.unpack_from(code, position)
    position += 2
    cases = []
    for _ in range(count):
        (target,) = _U32.unpack_from(code, position)
        pairs, position = _decode_map(code, position + 4)
        cases.append((target, pairs))
    return tuple(cases), position


def _decode_text(code: memoryview, position: int) -> tuple[str, int]:
    (count,) = _U16.unpack_from(code, position)
    end = position + 2 + count
    if end > len(code):
        raise IndexError
    return str(code[position + 2 : end], "utf-8"), end


def _number_decoder(letter: str) -> Callable[[memoryview, int], tuple[Any, int]]:
    layout = struct.Struct("<" + letter)

    def decode_number(code: memoryview, position: int) -> tuple[Any, int]:
        return layout.unpack_from(code, position)[0], position + layout.size

    return decode_number


_DECODERS: dict[str, Callable[[memoryview, int], tuple[Any, int]]] = {
    **{kind: _number_decoder(letter) for kind, letter in _LETTERS.items()},
    **dict.fromkeys(("v", "vi", "vI", "vf", "vF", "vR", "segments"), _decode_list),
    "map": _decode_map,
    "cases": _decode_cases,
    "str": _decode_text,
}


def register_name(word: int) -> str:
    """`%i5`, `%r2`, or `move %r2`, of an encoded register."""
    if word & REF:
        return f"{'move ' if word & MOVE else ''}%r{word & REF_MASK}"
    return f"%i{word}"


def branch_targets(instruction: Instruction) -> Sequence[int]:
    """Byte offsets of the blocks that a terminator may continue at."""
    targets: list[int] = []
    for operand, value in zip(instruction.opcode.operands, instruction.values, strict=True):
        if operand.kind == "pc":
            targets.append(value)
        elif operand.kind == "cases":
            targets.extend(target for target, _pairs in value)
    return targets
