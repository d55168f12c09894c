"""Control flow of a verified function: basic blocks, the edges between them, and what instructions read and write.

Enters: the instructions of one function. Leaves: a `Flow`, of which analysis.py fills in what registers hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from webree.module.isa import IMPORT_BIT, REF_MASK, Instruction
from webree.module.reader import ModuleFile
from webree.module.verifier import expand_arguments, operand_values

__all__ = ["Block", "Edge", "Flow", "Pairs", "build_flow", "call_letters", "instruction_registers"]

Pairs = Sequence[tuple[int, int]]

_LIST_LETTERS = {"vi": "i", "vI": "I", "vf": "f", "vF": "F", "vR": "r"}
_BRANCH_OPERANDS = (
    ("target", "map"),
    ("true_target", "true_map"),
    ("false_target", "false_map"),
    ("default_target", "default_map"),
)


@dataclass(frozen=True, slots=True)
class Edge:
    """A way out of a block: the index of the next one, and the register copies made on the way."""

    target: int
    pairs: Pairs


@dataclass(slots=True)
class Block:
    """A basic block.

    Attributes:
        instructions: without the marker; the last one ends it.
        edges: its ways out, in the terminator's order.
        entries: the number of edges that lead to it; the entry block has one more.
        size: instructions in it and in the blocks that only it leads to.
        live: bits of the registers whose values on entry may be read (all if not analysed).
    """

    instructions: Sequence[Instruction]
    edges: list[Edge]
    entries: int = 0
    size: int = 0
    live: int = 0


@dataclass(slots=True)
class Flow:
    """The control flow of a function.

    Attributes:
        blocks: in file order; the first is the entry.
        reachable: indices of the blocks that can run.
        word_count, ref_count: number words and reference registers; reference n has index word_count + n.
        kinds: per block index, one byte per register (number words, then references), or None if not analysed.
        certain_failures: blocks that end in a `fail` whose status cannot be 0.
    """

    blocks: list[Block]
    reachable: list[int]
    word_count: int
    ref_count: int
    kinds: dict[int, bytes] | None = None
    certain_failures: set[int] = field(default_factory=set)

    def index(self, letter: str, register: int) -> int:
        """Position of a register in `kinds`, and of its bit in `live`."""
        return self.word_count + (register & REF_MASK) if letter == "r" else register


def build_flow(module: ModuleFile, ordinal: int, instructions: Sequence[Instruction]) -> Flow:
    """The blocks and edges of internal function `ordinal`."""
    descriptor = module.functions[ordinal]
    flow = Flow(_split(instructions), [], descriptor.i32_register_count, descriptor.ref_register_count)
    _connect(flow, instructions, _constants(module, ordinal, instructions))
    _find_reachable(flow)
    _find_sizes(flow)
    return flow


def instruction_registers(
    module: ModuleFile, ordinal: int, instruction: Instruction
) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """The registers that an instruction reads and writes, as (letter, encoded register), without branch maps."""
    name = instruction.opcode.name
    reads: list[tuple[str, int]] = []
    writes: list[tuple[str, int]] = []
    for operand, value in zip(instruction.opcode.operands, instruction.values, strict=True):
        kind = operand.kind
        if kind in "iIfFrR":
            (writes if operand.is_result else reads).append(("r" if kind in "rR" else kind, value))
        elif kind in _LIST_LETTERS:
            reads.extend((_LIST_LETTERS[kind], word) for word in value)
    if name.startswith("call"):
        values = operand_values(instruction)
        arguments, results = call_letters(module, values)
        reads.extend(zip(arguments, values["arguments"], strict=True))
        writes.extend(zip(results, values["results"], strict=True))
    elif name == "return":
        results = module.signatures[ordinal].calling_convention.results
        reads.extend(zip(results, instruction.values[0], strict=True))
    return reads, writes


def call_letters(module: ModuleFile, values: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[str]]:
    """One letter per argument and result register of a call."""
    function = values["function"]
    if function & IMPORT_BIT:
        signature = module.imports[function & ~IMPORT_BIT].signature
        assert signature is not None
    else:
        signature = module.signatures[function]
    convention = signature.calling_convention
    if "segments" in values:
        return expand_arguments(convention, values["segments"]), convention.results
    return convention.arguments, convention.results


def _split(instructions: Sequence[Instruction]) -> list[Block]:
    blocks: list[Block] = []
    begin = 0
    for position, instruction in enumerate(instructions):
        if instruction.opcode.is_terminator:
            blocks.append(Block(instructions[begin + 1 : position + 1], []))
            begin = position + 1
    return blocks


def _connect(flow: Flow, instructions: Sequence[Instruction], constants: Mapping[int, int]) -> None:
    starts = [i.pc for i in instructions if i.opcode.name == "block"]
    index_of = {pc: index for index, pc in enumerate(starts)}
    for index, block in enumerate(flow.blocks):
        terminator = block.instructions[-1]
        values = operand_values(terminator)
        if terminator.opcode.name == "fail":
            if _certain_failure(block, constants):
                flow.certain_failures.add(index)
            elif index + 1 < len(flow.blocks):
                block.edges.append(Edge(index + 1, ()))
        for target, pairs in _BRANCH_OPERANDS:
            if target in values:
                block.edges.append(Edge(index_of[values[target]], values.get(pairs, ())))
        block.edges.extend(Edge(index_of[target], pairs) for target, pairs in values.get("cases", ()))


def _constants(module: ModuleFile, ordinal: int, instructions: Sequence[Instruction]) -> dict[int, int]:
    """Words that only ever get one i32 constant, where some `fail` may look."""
    if not any(i.opcode.name == "fail" for i in instructions):
        return {}
    values: dict[int, int | None] = {word: None for word in range(_argument_words(module, ordinal))}
    for instruction in instructions:
        if instruction.opcode.name == "const.i32":
            value, word = instruction.values
            values[word] = value if values.get(word, value) == value else None
            continue
        for letter, register in instruction_registers(module, ordinal, instruction)[1]:
            if letter != "r":
                values[register] = None
                values[register + 1] = None
        for _target, pairs in _maps(instruction):
            values.update((target, None) for _source, target in pairs)
    return {word: value for word, value in values.items() if value is not None}


def _argument_words(module: ModuleFile, ordinal: int) -> int:
    position = 0
    for letter in module.signatures[ordinal].calling_convention.arguments:
        if letter in "IF":
            position += (position & 1) + 2
        elif letter != "r":
            position += 1
    return position


def _maps(instruction: Instruction) -> list[tuple[int, Pairs]]:
    values = operand_values(instruction)
    maps = [(values[target], values[pairs]) for target, pairs in _BRANCH_OPERANDS if pairs in values]
    maps.extend(values.get("cases", ()))
    return maps


def _certain_failure(block: Block, constants: Mapping[int, int]) -> bool:
    """Whether the status of the block's `fail` is a constant other than 0."""
    status = block.instructions[-1].values[0]
    for instruction in reversed(block.instructions[:-1]):
        if instruction.opcode.name == "const.i32" and instruction.values[1] == status:
            return bool(instruction.values[0] != 0)
    return constants.get(status, 0) != 0


def _find_reachable(flow: Flow) -> None:
    """Reachable blocks in depth-first order, with the number of their entries."""
    seen = {0}
    stack = [0]
    flow.blocks[0].entries = 1
    while stack:
        index = stack.pop()
        flow.reachable.append(index)
        for edge in reversed(flow.blocks[index].edges):
            flow.blocks[edge.target].entries += 1
            if edge.target not in seen:
                seen.add(edge.target)
                stack.append(edge.target)


def _find_sizes(flow: Flow) -> None:
    """The number of instructions in each block and in those that only it leads to."""
    for index in reversed(flow.reachable):
        block = flow.blocks[index]
        inner = (flow.blocks[edge.target] for edge in block.edges)
        block.size = len(block.instructions) + sum(b.size for b in inner if b.entries == 1)
