"""What a module needs to run, read from its code before a device is chosen.

Enters: a verified module. Leaves: `Needs`: which native modules it calls, whether it is inline, and which devices and
executable formats its initialiser will ask for. A program that asks in ways this reading does not follow (keys that it
computes) has empty tuples there: its own questions then decide, when it runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from webree.module.isa import IMPORT_BIT, REF_MASK, Instruction
from webree.module.reader import ModuleFile
from webree.module.verifier import VerifiedModule

__all__ = ["Needs", "find_needs"]

_QUERIES = {"hal.device.query.i64", "hal_loader.executable.query_support"}
_LONGEST_KEY = 256


@dataclass(frozen=True, slots=True)
class Needs:
    """Attributes:
    modules: native modules that it must have.
    optional_modules: native modules that it calls if they are there.
    device_ids: patterns of the devices that it looks for (`webgpu*`), in the order of its questions.
    formats: executable formats that it has kernels in, in the order of its questions.
    """

    modules: frozenset[str]
    optional_modules: frozenset[str]
    device_ids: tuple[str, ...]
    formats: tuple[str, ...]

    @property
    def is_inline(self) -> bool:
        """Whether it computes in the host's memory, without a device."""
        return "hal_inline" in self.modules


def find_needs(module: VerifiedModule) -> Needs:
    """Read a module's needs."""
    file = module.file
    wanted = {imported.module for imported in file.imports if not imported.optional}
    wanted |= {dependency.name for dependency in file.dependencies if not dependency.optional}
    queries = {ordinal for ordinal, imported in enumerate(file.imports) if imported.full_name in _QUERIES}
    asked = dict.fromkeys(question for code in module.code for question in _questions(file, code, queries))
    return Needs(
        modules=frozenset(wanted),
        optional_modules=frozenset(imported.module for imported in file.imports) - wanted,
        device_ids=tuple(key for category, key in asked if category == "hal.device.id"),
        formats=tuple(key for category, key in asked if category == "hal.executable.format"),
    )


def _questions(file: ModuleFile, code: tuple[Instruction, ...], queries: set[int]) -> Iterator[tuple[str, str]]:
    """(category, key) of every query in a function whose operands are constants."""
    if not queries:
        return
    constants: dict[int, int] = {}
    for instruction in code:
        name = instruction.opcode.name
        if name == "const.ref.rodata":
            ordinal, register = instruction.values
            constants[register & REF_MASK] = ordinal
        elif name.startswith("call") and instruction.values[0] & ~IMPORT_BIT in queries:
            if not instruction.values[0] & IMPORT_BIT:
                continue
            values = dict(zip((o.name for o in instruction.opcode.operands), instruction.values, strict=True))
            keys = [_text(file, constants.get(word & REF_MASK)) for word in values["arguments"][-2:]]
            if len(keys) == 1:  # the loader's question
                keys = ["hal.executable.format", *keys]
            category, key = keys
            if category and key:
                yield category, key


def _text(file: ModuleFile, ordinal: int | None) -> str:
    if ordinal is None or file.rodata[ordinal].size > _LONGEST_KEY:
        return ""
    source = file.rodata[ordinal]
    return bytes(source.read(0, source.size)).decode("utf-8", "replace")
