"""Checks a module before anything of it runs: afterwards the VM trusts every number in it.

Enters: a `ModuleFile`. Leaves: a `VerifiedModule` with the decoded functions, or a `ModuleError` that says where. One
pass over the file, in time linear in its size. Stricter than IREE's own verifier, which leaves fixed operands, type
ordinals, callee ordinals and argument counts of calls unchecked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from webree.errors import ModuleError, StatusCode
from webree.module.isa import (
    IMPORT_BIT,
    MOVE,
    PLAIN_SEGMENT,
    REF,
    REF_MASK,
    SUPPORTED_FEATURES,
    Instruction,
    branch_targets,
    decode,
)
from webree.module.reader import FunctionDescriptor, ModuleFile
from webree.module.signature import CallingConvention

__all__ = ["SUPPORTED_BYTECODE_VERSION", "VerifiedModule", "verify"]

SUPPORTED_BYTECODE_VERSION = (17, 0)
_MAX_I32_REGISTERS = 0x7FFF
_MAX_REF_REGISTERS = 0x3FFF
_PRIMITIVES = frozenset(("i8", "i16", "i32", "i64", "f32", "f64"))
_FEATURE_NAMES = {1: "EXT_F32", 2: "EXT_F64", 4: "YIELD", 8: "UNWIND"}
_GLOBAL_SIZES = {"i32": 4, "i64": 8, "f32": 4, "f64": 8}
_LIST_BANKS = {"vi": "i", "vI": "I", "vf": "f", "vF": "F", "vR": "R"}


@dataclass(frozen=True, slots=True)
class VerifiedModule:
    """A module that passed `verify`, with the instructions of each internal function."""

    file: ModuleFile
    code: tuple[tuple[Instruction, ...], ...]


def verify(module: ModuleFile) -> VerifiedModule:
    """Check all of `module`. Raises `ModuleError`."""
    _verify_tables(module)
    names = {export.ordinal: export.name for export in module.exports}
    code = []
    for ordinal in range(len(module.functions)):
        where = f"function {ordinal} ({names[ordinal]})" if ordinal in names else f"function {ordinal}"
        code.append(_FunctionVerifier(module, ordinal, where).run())
    return VerifiedModule(module, tuple(code))


def _verify_tables(module: ModuleFile) -> None:
    major, minor = module.bytecode_version >> 16, module.bytecode_version & 0xFFFF
    if major != SUPPORTED_BYTECODE_VERSION[0] or minor > SUPPORTED_BYTECODE_VERSION[1]:
        supported = ".".join(map(str, SUPPORTED_BYTECODE_VERSION))
        raise ModuleError(
            f"version {major}.{minor} is not supported (supported: {supported}); "
            "compile the model again with this version of webree",
            where="bytecode_version",
            status=StatusCode.INCOMPATIBLE,
        )
    _verify_features(module.requirements, "requirements")
    for index, name in enumerate(module.types):
        if name not in _PRIMITIVES and not (name.startswith("!") and "." in name):
            raise ModuleError(f"unknown type {name!r}", where=f"types[{index}]", status=StatusCode.NOT_FOUND)
    if len(module.signatures) != len(module.functions):
        raise ModuleError(
            f"{len(module.signatures)} signatures for {len(module.functions)} functions", where="function_signatures"
        )
    for index, export in enumerate(module.exports):
        if not 0 <= export.ordinal < len(module.functions):
            raise ModuleError(
                f"{export.name!r} is function {export.ordinal}; there are {len(module.functions)}",
                where=f"exported_functions[{index}]",
            )
    code_size = sum(max(descriptor.byte_length, 0) for descriptor in module.functions)
    if code_size > len(module.bytecode):
        # Overlapping functions would let a small file ask for endless work.
        raise ModuleError(
            f"the functions have {code_size} bytes of code together; the file has {len(module.bytecode)}",
            where="function_descriptors",
        )
    if module.global_byte_count < 0 or module.global_ref_count < 0:
        raise ModuleError("negative size of the globals", where="module_state")
    if module.global_byte_count > 1 << 26 or module.global_ref_count > 1 << 22:
        raise ModuleError(
            f"{module.global_byte_count} bytes and {module.global_ref_count} references of globals are beyond the "
            f"supported {1 << 26} and {1 << 22}",
            where="module_state",
            status=StatusCode.RESOURCE_EXHAUSTED,
        )


def _verify_features(requirements: int, where: str) -> None:
    unknown = requirements & ~SUPPORTED_FEATURES
    if unknown:
        supported = ", ".join(_FEATURE_NAMES.values())
        raise ModuleError(
            f"unknown features 0x{unknown:X} (supported: {supported})", where=where, status=StatusCode.INCOMPATIBLE
        )


class _FunctionVerifier:
    """Checks one function; `pc` is the instruction being looked at."""

    def __init__(self, module: ModuleFile, ordinal: int, where: str) -> None:
        self.module = module
        self.ordinal = ordinal
        self.where = where
        self.descriptor: FunctionDescriptor = module.functions[ordinal]
        self.convention: CallingConvention = module.signatures[ordinal].calling_convention
        self.i32_count = self.descriptor.i32_register_count
        self.ref_count = self.descriptor.ref_register_count
        self.pc: int | None = None
        self.operand_checks: dict[str, Callable[[int, str], None]] = {
            "gr": self._limit(module.global_ref_count, "global reference"),
            "ro": self._limit(len(module.rodata), "rodata segment"),
            "ty": self._limit(len(module.types), "type"),
        }

    def fail(self, message: str) -> NoReturn:
        raise ModuleError(message, where=self.where if self.pc is None else f"{self.where} at byte 0x{self.pc:X}")

    def run(self) -> tuple[Instruction, ...]:
        self._verify_descriptor()
        instructions = tuple(decode(self.module.code(self.ordinal), self.where))
        self._verify_blocks(instructions)
        for instruction in instructions:
            self.pc = instruction.pc
            self._verify_instruction(instruction)
        return instructions

    def _verify_descriptor(self) -> None:
        d = self.descriptor
        size = len(self.module.bytecode)
        if d.byte_offset < 0 or d.byte_length <= 0 or d.byte_offset + d.byte_length > size:
            self.fail(f"bytecode at {d.byte_offset}, {d.byte_length} bytes, does not lie in the {size} bytes of code")
        if d.block_count < 1:
            self.fail("has no blocks")
        if self.i32_count > _MAX_I32_REGISTERS or self.ref_count > _MAX_REF_REGISTERS:
            self.fail(
                f"uses {self.i32_count} + {self.ref_count} registers; "
                f"the limits are {_MAX_I32_REGISTERS} + {_MAX_REF_REGISTERS}"
            )
        _verify_features(d.requirements, self.where)
        convention = self.convention
        if convention.has_spans:
            self.fail(f"calling convention {convention.text!r} has spans, which only imports may have")
        i32_used, ref_used = register_use(convention.arguments)
        if i32_used > self.i32_count or ref_used > self.ref_count:
            self.fail(
                f"arguments {convention.text!r} need {i32_used} + {ref_used} registers; "
                f"the function has {self.i32_count} + {self.ref_count}"
            )

    def _verify_blocks(self, instructions: Sequence[Instruction]) -> None:
        """Blocks start with a marker and end in a terminator, and every branch lands on a marker."""
        markers: set[int] = set()
        targets: set[int] = set()
        in_block = False
        for instruction in instructions:
            self.pc = instruction.pc
            if instruction.opcode.name == "block":
                if in_block:
                    self.fail("a block starts inside another block")
                in_block = True
                markers.add(instruction.pc)
                continue
            if not in_block:
                self.fail(f"{instruction.opcode.name} stands outside any block")
            if instruction.opcode.is_terminator:
                in_block = False
                targets.update(branch_targets(instruction))
        if in_block:
            self.fail("the last block has no terminator")
        self.pc = None
        stray = targets - markers
        if stray:
            self.fail(f"a branch goes to byte 0x{min(stray):X}, where no block starts")
        if len(markers) != self.descriptor.block_count:
            self.fail(f"has {len(markers)} blocks, its descriptor says {self.descriptor.block_count}")

    def _verify_instruction(self, instruction: Instruction) -> None:
        opcode = instruction.opcode
        if opcode.feature & ~self.descriptor.requirements:
            name = _FEATURE_NAMES[opcode.feature]
            self.fail(f"{opcode.name} needs {name}, which the function's requirements lack")
        for operand, value in zip(opcode.operands, instruction.values, strict=True):
            kind = operand.kind
            if kind in "iIfFrR":
                self._verify_register(value, kind)
            elif kind in self.operand_checks:
                self.operand_checks[kind](value, opcode.name)
            elif kind == "g":
                self._verify_global(value, opcode.name)
            elif kind == "map":
                self._verify_map(value)
            elif kind == "cases":
                for _target, pairs in value:
                    self._verify_map(pairs)
            elif kind == "v":
                self._verify_any_registers(value)
            elif kind in _LIST_BANKS:
                for word in value:
                    self._verify_register(word, _LIST_BANKS[kind])
        check = _INSTRUCTION_CHECKS.get(opcode.name)
        if check is not None:
            check(self, instruction)

    def _limit(self, count: int, what: str) -> Callable[[int, str], None]:
        def check(ordinal: int, _op: str) -> None:
            if ordinal >= count:
                self.fail(f"{what} {ordinal} does not exist; there are {count}")

        return check

    def _verify_register(self, word: int, kind: str) -> None:
        if kind in "rR":
            if not word & REF:
                self.fail(f"register %i{word} stands where a reference register is needed")
            if (word & REF_MASK) >= self.ref_count:
                self.fail(f"register %r{word & REF_MASK} is out of range; the function has {self.ref_count}")
            if kind == "r" and word & MOVE:
                self.fail(f"%r{word & REF_MASK} must not be moved by this instruction")
            return
        last = word
        if kind in "IF":
            last += 1
            if word & 1:
                self.fail(f"64-bit values need an even register, found %i{word}")
        if last >= self.i32_count:
            if word & REF:
                self.fail("a reference register stands where a number is needed")
            self.fail(f"register %i{last} is out of range; the function has {self.i32_count}")

    def _verify_any_registers(self, words: Sequence[int]) -> None:
        for word in words:
            self._verify_register(word, "R" if word & REF else "i")

    def _verify_map(self, pairs: Sequence[tuple[int, int]]) -> None:
        for source, target in pairs:
            if (source ^ target) & REF:
                self.fail("a branch copies between the reference bank and the number bank")
            kind = "R" if source & REF else "i"
            self._verify_register(source, kind)
            self._verify_register(target, kind)

    def _verify_global(self, byte_offset: int, op: str) -> None:
        size = _GLOBAL_SIZES[op.rsplit(".", 1)[1]]
        if byte_offset % size:
            self.fail(f"{op} at byte {byte_offset} is not aligned to {size}")
        if byte_offset + size > self.module.global_byte_count:
            self.fail(f"{op} at byte {byte_offset} is outside the {self.module.global_byte_count} bytes of globals")

    def _verify_values(self, words: Sequence[int], items: Sequence[str], what: str) -> None:
        if len(words) != len(items):
            self.fail(f"{len(words)} {what}, expected {len(items)}")
        for word, item in zip(words, items, strict=True):
            self._verify_register(word, "R" if item == "r" else item)

    def _verify_return(self, instruction: Instruction) -> None:
        self._verify_values(instruction.values[0], self.convention.results, "results returned")

    def _callee(self, function: int) -> CallingConvention | None:
        """The convention of a callee; None if it is an import that states none."""
        module = self.module
        if function & IMPORT_BIT:
            ordinal = function & ~IMPORT_BIT
            if ordinal >= len(module.imports):
                self.fail(f"import {ordinal} does not exist; there are {len(module.imports)}")
            signature = module.imports[ordinal].signature
            return signature.calling_convention if signature else None
        if function >= len(module.functions):
            self.fail(f"function {function} does not exist; there are {len(module.functions)}")
        return module.signatures[function].calling_convention

    def _verify_call(self, instruction: Instruction) -> None:
        values = operand_values(instruction)
        convention = self._callee(values["function"])
        if convention is None:
            self.fail("the import called has no calling convention")
        if convention.has_spans:
            self.fail(f"calls {convention.text!r}, which has spans, without saying their sizes")
        self._verify_values(values["arguments"], convention.arguments, "arguments passed")
        self._verify_values(values["results"], convention.results, "results taken")

    def _verify_call_variadic(self, instruction: Instruction) -> None:
        values = operand_values(instruction)
        if not values["function"] & IMPORT_BIT:
            self.fail("a variadic call to a function that is not an import")
        convention = self._callee(values["function"])
        if convention is None:
            self.fail("the import called has no calling convention")
        segments = values["segments"]
        if len(segments) != len(convention.arguments):
            self.fail(f"{len(segments)} segments, expected {len(convention.arguments)} for {convention.text!r}")
        count = 0
        for segment, item in zip(segments, convention.arguments, strict=True):
            if (segment == PLAIN_SEGMENT) != (len(item) == 1):
                self.fail(f"segment 0x{segment:X} does not fit {item!r} of {convention.text!r}")
            count += 1 if segment == PLAIN_SEGMENT else segment * (len(item) - 2)
        if count != len(values["arguments"]):
            self.fail(f"{len(values['arguments'])} arguments passed, the segments add up to {count}")
        items = expand_arguments(convention, segments)
        self._verify_values(values["arguments"], items, "arguments passed")
        self._verify_values(values["results"], convention.results, "results taken")

    def _verify_import_resolved(self, instruction: Instruction) -> None:
        function = instruction.values[0]
        if not function & IMPORT_BIT:
            self.fail("import.resolved of a function that is not an import")
        self._callee(function)

    def _verify_discard(self, instruction: Instruction) -> None:
        for word in instruction.values[0]:
            self._verify_register(word, "R")


_INSTRUCTION_CHECKS: dict[str, Callable[[_FunctionVerifier, Instruction], None]] = {
    "return": _FunctionVerifier._verify_return,
    "call": _FunctionVerifier._verify_call,
    "call.yieldable": _FunctionVerifier._verify_call,
    "call.variadic": _FunctionVerifier._verify_call_variadic,
    "call.variadic.yieldable": _FunctionVerifier._verify_call_variadic,
    "import.resolved": _FunctionVerifier._verify_import_resolved,
    "discard.refs": _FunctionVerifier._verify_discard,
}


def operand_values(instruction: Instruction) -> dict[str, Any]:
    """Operand values by name."""
    return {o.name: value for o, value in zip(instruction.opcode.operands, instruction.values, strict=True)}


def register_use(items: Sequence[str]) -> tuple[int, int]:
    """Words of the 32-bit bank and reference registers that these arguments occupy on entry."""
    i32_used = ref_used = 0
    for item in items:
        if item == "r":
            ref_used += 1
        elif item in "IF":
            i32_used += (i32_used & 1) + 2
        else:
            i32_used += 1
    return i32_used, ref_used


def expand_arguments(convention: CallingConvention, segments: Sequence[int]) -> list[str]:
    """One letter per argument of a variadic call."""
    items: list[str] = []
    for segment, item in zip(segments, convention.arguments, strict=True):
        items.extend(item if segment == PLAIN_SEGMENT else item[1:-1] * segment)
    return items
