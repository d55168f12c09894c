"""Control flow of a verified function, what kinds of values its registers hold, and which of them are still needed.

Enters: the instructions of one function. Leaves: a `Flow`: basic blocks with their edges; per block, the kind of every
register word on entry, and the set of registers whose values are read later. A register word is 32 bits and may hold
an i32, an f32 or half an i64 or f64; registers.py keeps values whole in Python locals where this analysis proves that
nothing looks at them otherwise. The work is bounded: for absurdly large functions the analysis gives up (`kinds` is
None).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from webree.module.isa import IMPORT_BIT, REF, REF_MASK, Instruction
from webree.module.reader import ModuleFile
from webree.module.verifier import expand_arguments, operand_values

__all__ = ["HALVES", "UNSET", "Block", "Edge", "Flow", "Pairs", "analyze", "apply_pairs", "instruction_registers"]

Pairs = Sequence[tuple[int, int]]

UNSET, I32, F32, I64_LOW, I64_HIGH, F64_LOW, F64_HIGH, TORN = (1 << bit for bit in range(8))
"""What a word may hold, as bits: nothing yet (zero), …, half of a 64-bit value without the other half."""

HALVES: Mapping[str, bytes] = {
    "i": bytes((I32,)),
    "f": bytes((F32,)),
    "I": bytes((I64_LOW, I64_HIGH)),
    "F": bytes((F64_LOW, F64_HIGH)),
    "r": bytes((I32,)),
}
"""The marks that a value of each kind leaves on its word or words; references are just set or unset."""

_MAX_STATE_BYTES = 1 << 22
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
    """A basic block: its instructions (the last one ends it) and its ways out, in the terminator's order."""

    instructions: Sequence[Instruction]
    edges: list[Edge]
    entries: int = 0
    size: int = 0
    live: int = 0


@dataclass(slots=True)
class Flow:
    """Attributes:
    blocks: in file order; the first is the entry.
    reachable: indices of the blocks that can run.
    kinds: per block index, one byte per register (number words, then references), or None if not analysed.
    word_count: number words; the reference register n has index word_count + n.
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


def analyze(module: ModuleFile, ordinal: int, instructions: Sequence[Instruction]) -> Flow:
    """The flow of internal function `ordinal`."""
    descriptor = module.functions[ordinal]
    blocks = _split(instructions)
    flow = Flow(blocks, [], descriptor.i32_register_count, descriptor.ref_register_count)
    _connect(flow, instructions, _constants(module, ordinal, instructions))
    _find_reachable(flow)
    register_count = flow.word_count + flow.ref_count
    if len(flow.reachable) * register_count <= _MAX_STATE_BYTES:
        _find_kinds(module, ordinal, flow)
        if len(flow.reachable) > 1 or flow.blocks[0].entries > 1:
            _find_live(module, ordinal, flow)
    else:
        for block in blocks:
            block.live = -1
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


def apply_pairs(flow: Flow, kinds: bytearray, pairs: Pairs) -> list[tuple[str, int, int]]:
    """Copy kinds along a branch map; returns the copies of whole values as (letter, source, target).

    A copy that no letter fits (words that nothing sensible is known about) leaves the target torn."""
    copies: list[tuple[str, int, int]] = []
    position = 0
    while position < len(pairs):
        source, target = pairs[position]
        position += 1
        if source & REF:
            kinds[flow.index("r", target)] = I32
            copies.append(("r", source, target))
            continue
        letter = _whole_value(kinds, pairs, position - 1)
        if letter is None:
            kinds[target] = TORN
            continue
        copies.append((letter, source, target))
        halves = HALVES[letter]
        kinds[target : target + len(halves)] = halves
        position += len(halves) - 1
    return copies


def _whole_value(kinds: bytearray, pairs: Pairs, position: int) -> str | None:
    """The letter of the value that starts at this pair of a map, if it is one."""
    source, target = pairs[position]
    low = kinds[source] & ~UNSET
    if low == I32:
        return "i"
    if low == F32:
        return "f"
    letter = "I" if low == I64_LOW else "F"
    if low not in (I64_LOW, F64_LOW) or target & 1 or position + 1 >= len(pairs):
        return None
    if pairs[position + 1] != (source + 1, target + 1) or kinds[source + 1] & ~UNSET != HALVES[letter][1]:
        return None
    return letter


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


def _find_kinds(module: ModuleFile, ordinal: int, flow: Flow) -> None:
    """Forward: what each word may hold on entry to each block. Gives up if it does not settle soon."""
    size = flow.word_count + flow.ref_count
    entry = bytearray([UNSET]) * size
    word = ref = 0
    for letter in module.signatures[ordinal].calling_convention.arguments:
        if letter == "r":
            entry[flow.word_count + ref] = I32
            ref += 1
            continue
        word += word & 1 if letter in "IF" else 0
        halves = HALVES[letter]
        entry[word : word + len(halves)] = halves
        word += len(halves)
    blocks = {index: flow.blocks[index] for index in flow.reachable if flow.blocks[index].edges}
    writes = {index: _block_writes(module, ordinal, flow, block) for index, block in blocks.items()}
    states = {0: int.from_bytes(entry, "little")}
    work = [0]
    budget = 16 * len(flow.reachable) + 64
    while work:
        budget -= 1
        if budget < 0:
            return
        index = work.pop()
        after = bytearray(states[index].to_bytes(size, "little"))
        for position, mark in writes.get(index, ()):
            after[position] = mark
        for edge in flow.blocks[index].edges:
            kinds = after
            if edge.pairs:
                kinds = bytearray(after)
                apply_pairs(flow, kinds, edge.pairs)
            new = int.from_bytes(kinds, "little")
            old = states.get(edge.target, 0)
            if new | old != old:
                states[edge.target] = new | old
                work.append(edge.target)
    flow.kinds = {index: states[index].to_bytes(size, "little") for index in flow.reachable}


def _block_writes(module: ModuleFile, ordinal: int, flow: Flow, block: Block) -> list[tuple[int, int]]:
    marks: dict[int, int] = {}
    for instruction in block.instructions:
        for letter, register in instruction_registers(module, ordinal, instruction)[1]:
            first = flow.index(letter, register)
            for position, mark in enumerate(HALVES[letter], first):
                marks[position] = mark
    return list(marks.items())


def _find_live(module: ModuleFile, ordinal: int, flow: Flow) -> None:
    """Backward: the registers whose values on entry to each block may still be read, as bits."""
    effects = {index: _block_effects(module, ordinal, flow, flow.blocks[index]) for index in flow.reachable}
    predecessors: dict[int, set[int]] = {index: set() for index in flow.reachable}
    for index in flow.reachable:
        for edge in flow.blocks[index].edges:
            predecessors[edge.target].add(index)
    work = list(flow.reachable)
    queued = set(work)
    budget = 16 * len(work) + 64
    while work:
        index = work.pop()
        queued.discard(index)
        budget -= 1
        if budget < 0:
            for block in flow.blocks:
                block.live = -1
            return
        block = flow.blocks[index]
        read_first, written = effects[index]
        live = 0
        for edge in block.edges:
            live |= _live_before(flow, edge)
        live = live & ~written | read_first
        if live != block.live:
            block.live = live
            for previous in predecessors[index] - queued:
                queued.add(previous)
                work.append(previous)


def _live_before(flow: Flow, edge: Edge) -> int:
    live = flow.blocks[edge.target].live
    for source, target in reversed(edge.pairs):
        letter = "r" if source & REF else "i"
        live = live & ~(1 << flow.index(letter, target)) | 1 << flow.index(letter, source)
    return live


def _block_effects(module: ModuleFile, ordinal: int, flow: Flow, block: Block) -> tuple[int, int]:
    """(registers read before they are written, registers written) of a block, as bits."""
    read_first = written = 0
    for instruction in block.instructions:
        reads, writes = instruction_registers(module, ordinal, instruction)
        for letter, register in reads:
            bits = (3 if letter in "IF" else 1) << flow.index(letter, register)
            read_first |= bits & ~written
        for letter, register in writes:
            written |= (3 if letter in "IF" else 1) << flow.index(letter, register)
    return read_first, written


def _find_sizes(flow: Flow) -> None:
    """The number of instructions in each block and in those that only it leads to."""
    for index in reversed(flow.reachable):
        block = flow.blocks[index]
        inner = (flow.blocks[edge.target] for edge in block.edges)
        block.size = len(block.instructions) + sum(b.size for b in inner if b.entries == 1)
