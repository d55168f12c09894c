"""A module's bytecode as text, or as data that `json` can write.

Enters: a `ModuleFile` (verified first, so that every ordinal has something to show). Leaves: one line per instruction:
byte offset, results, mnemonic, operands with the names of what they refer to, and the source location where the module
has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from webree.module.isa import IMPORT_BIT, MOVE, PLAIN_SEGMENT, REF, Instruction, register_name
from webree.module.reader import ModuleFile
from webree.module.signature import CallingConvention
from webree.module.verifier import operand_values, verify

__all__ = ["describe", "disassemble"]

_FEATURES = {1: "EXT_F32", 2: "EXT_F64", 4: "YIELD", 8: "UNWIND"}
_WIDE = "IF"
_LIST_KINDS = {"v": "i", "vi": "i", "vI": "I", "vf": "f", "vF": "F", "vR": "R"}
_PREVIEW_BYTES = 48


def disassemble(module: ModuleFile) -> str:
    """The listing of all functions. Raises `ModuleError` if the module is not valid."""
    return "\n".join(_lines(describe(module))) + "\n"


def describe(module: ModuleFile) -> dict[str, Any]:
    """The listing as dictionaries, lists, strings and numbers. Raises `ModuleError` if the module is not valid."""
    verified = verify(module)
    names: dict[int, list[str]] = {}
    for export in module.exports:
        names.setdefault(export.ordinal, []).append(export.name)
    return {
        "name": module.name,
        "version": module.version,
        "bytecode_version": f"{module.bytecode_version >> 16}.{module.bytecode_version & 0xFFFF}",
        "requirements": [name for bit, name in _FEATURES.items() if module.requirements & bit],
        "types": list(module.types),
        "dependencies": [
            {"name": d.name, "minimum_version": d.minimum_version, "optional": d.optional} for d in module.dependencies
        ],
        "imports": [
            {
                "name": i.full_name,
                "calling_convention": i.signature.calling_convention.text if i.signature else "",
                "optional": i.optional,
            }
            for i in module.imports
        ],
        "rodata": [
            {"byte_length": segment.size, "text": _preview(module, i)} for i, segment in enumerate(module.rodata)
        ],
        "global_bytes": module.global_byte_count,
        "global_references": module.global_ref_count,
        "functions": [_function(module, i, names.get(i, []), code) for i, code in enumerate(verified.code)],
    }


def _function(
    module: ModuleFile, ordinal: int, names: Sequence[str], instructions: Sequence[Instruction]
) -> dict[str, Any]:
    descriptor = module.functions[ordinal]
    blocks = {i.pc: n for n, i in enumerate(i for i in instructions if i.opcode.name == "block")}
    locate = module.debug.locator(names[0]) if names else None
    return {
        "ordinal": ordinal,
        "exports": list(names),
        "calling_convention": module.signatures[ordinal].calling_convention.text,
        "attributes": dict(module.signatures[ordinal].attributes),
        "byte_length": descriptor.byte_length,
        "i32_registers": descriptor.i32_register_count,
        "ref_registers": descriptor.ref_register_count,
        "instructions": [
            {
                "byte_offset": i.pc,
                "op": i.opcode.name,
                "text": f"^{blocks[i.pc]}:" if i.pc in blocks else _Formatter(module, blocks).format(i),
                "location": locate(i.pc) if locate and i.pc not in blocks else "",
            }
            for i in instructions
        ],
    }


def _lines(listing: dict[str, Any]) -> Iterator[str]:
    yield f"module @{listing['name']} version {listing['version']}, bytecode {listing['bytecode_version']}"
    yield f"requirements: {', '.join(listing['requirements']) or 'none'}"
    yield f"globals: {listing['global_bytes']} bytes, {listing['global_references']} references"
    for index, name in enumerate(listing["types"]):
        yield f"type {index}: {name}"
    for index, row in enumerate(listing["imports"]):
        yield f"import {index}: {row['name']} {row['calling_convention']!r}{' optional' if row['optional'] else ''}"
    for index, row in enumerate(listing["rodata"]):
        yield f"rodata {index}: {row['byte_length']} bytes {row['text']}".rstrip()
    for function in listing["functions"]:
        name = ", ".join("@" + name for name in function["exports"])
        yield ""
        yield (
            f"function {function['ordinal']}{' ' + name if name else ''} {function['calling_convention']!r}, "
            f"{function['byte_length']} bytes, registers {function['i32_registers']} + {function['ref_registers']}"
        )
        yield from (f"  {key}: {value}" for key, value in function["attributes"].items())
        for row in function["instructions"]:
            text = row["text"]
            if row["op"] == "block":
                yield f"  {text}"
                continue
            location = f"  // {row['location']}" if row["location"] else ""
            yield f"    {row['byte_offset']:06X}  {text}{location}"


def _preview(module: ModuleFile, ordinal: int) -> str:
    """The text of a small constant, if it is text."""
    segment = module.rodata[ordinal]
    if not 0 < segment.size <= _PREVIEW_BYTES:
        return ""
    try:
        text = str(segment.read(0, segment.size), "utf-8")
    except UnicodeDecodeError:
        return ""
    return repr(text) if text.isprintable() else ""


class _Formatter:
    """Writes instructions of one function; `blocks` numbers the byte offsets of its blocks."""

    def __init__(self, module: ModuleFile, blocks: dict[int, int]) -> None:
        self.module = module
        self.blocks = blocks

    def format(self, instruction: Instruction) -> str:
        opcode = instruction.opcode
        operands: list[str] = []
        results: list[str] = []
        values = operand_values(instruction)
        for operand, value in zip(opcode.operands, instruction.values, strict=True):
            if operand.name == "arguments" and "function" in values:
                operands[-1] += f"({self._arguments(values)})"
            elif operand.name == "results":
                letters = self._callee(values["function"]).results
                results = [_register(word, letter) for word, letter in zip(value, letters, strict=True)]
            elif operand.kind == "map":
                operands[-1] += self._map(value)
            elif operand.kind != "segments":
                (results if operand.is_result else operands).append(self._operand(operand.kind, value))
        head = f"{', '.join(results)} = " if results else ""
        return f"{head}{opcode.name} {', '.join(operands)}".rstrip()

    def _operand(self, kind: str, value: Any) -> str:
        if kind in "iIfFrR":
            return _register(value, kind)
        if kind in _LIST_KINDS:
            return ", ".join(_register(word, _LIST_KINDS[kind]) for word in value)
        if kind == "pc":
            return f"^{self.blocks[value]}"
        if kind == "cases":
            return ", ".join(f"{n}: ^{self.blocks[pc]}{self._map(pairs)}" for n, (pc, pairs) in enumerate(value))
        if kind == "fn":
            if value & IMPORT_BIT:
                return str(self.module.imports[value & ~IMPORT_BIT].full_name)
            return f"@{self.module.function_name(value)}".replace("@function ", "function ")
        if kind == "ty":
            return str(self.module.types[value])
        if kind == "ro":
            return f"rodata[{value}]" + (f" {preview}" if (preview := _preview(self.module, value)) else "")
        if kind in ("g", "gr"):
            return f"global[{'ref ' if kind == 'gr' else ''}{value}]"
        return repr(value)

    def _callee(self, function: int) -> CallingConvention:
        signature = self.module.signatures[function] if not function & IMPORT_BIT else None
        if signature is None:
            signature = self.module.imports[function & ~IMPORT_BIT].signature
        assert signature is not None
        return signature.calling_convention

    def _arguments(self, values: dict[str, Any]) -> str:
        """Arguments of a call, with spans in brackets and their tuples in parentheses."""
        items = self._callee(values["function"]).arguments
        words = iter(values["arguments"])
        texts: list[str] = []
        for item, segment in zip(items, values.get("segments") or [PLAIN_SEGMENT] * len(items), strict=True):
            if segment == PLAIN_SEGMENT:
                texts.append(_register(next(words), item))
                continue
            letters = item[1:-1]
            tuples = [", ".join(_register(next(words), letter) for letter in letters) for _ in range(segment)]
            texts.append(f"[{', '.join(f'({text})' if len(letters) > 1 else text for text in tuples)}]")
        return ", ".join(texts)

    @staticmethod
    def _map(pairs: Sequence[tuple[int, int]]) -> str:
        copies = (
            f"{register_name(source)} -> {register_name(target & ~MOVE if target & REF else target)}"
            for source, target in pairs
        )
        return f"({', '.join(copies)})" if pairs else ""


def _register(word: int, kind: str) -> str:
    return f"%i{word}:{word + 1}" if kind in _WIDE else register_name(word)
