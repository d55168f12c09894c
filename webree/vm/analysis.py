"""What kinds of values a function's registers hold, and which of them are still needed.

Enters: a function's instructions. Leaves: its `Flow` with, per block, the kind of every register word on entry, and the
set of registers whose values are read later. A register word is 32 bits and may hold an i32, an f32 or half an i64 or
f64; registers.py keeps values whole in Python locals where this analysis proves that nothing looks at them otherwise.
The work is bounded: for absurdly large functions the analysis gives up (`kinds` is None).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from webree.module.isa import REF, Instruction
from webree.module.reader import ModuleFile
from webree.vm.flow import Block, Edge, Flow, Pairs, build_flow, instruction_registers

__all__ = ["HALVES", "UNSET", "analyze", "apply_pairs"]

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

_MAX_STATE_BYTES = 1 << 22  # of what is kept per block and register


def analyze(module: ModuleFile, ordinal: int, instructions: Sequence[Instruction]) -> Flow:
    """The flow of internal function `ordinal`, with the kinds and the needs of its registers."""
    flow = build_flow(module, ordinal, instructions)
    if len(flow.reachable) * (flow.word_count + flow.ref_count) <= _MAX_STATE_BYTES:
        _find_kinds(module, ordinal, flow)
        if len(flow.reachable) > 1 or flow.blocks[0].entries > 1:
            _find_live(module, ordinal, flow)
    else:
        for block in flow.blocks:
            block.live = -1
    return flow


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
