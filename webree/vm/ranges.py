"""Which integer results cannot leave their type, and which indices cannot be negative, in functions with loops.

Enters: a function's `Flow` with the kinds of its registers. Leaves: `Facts`, by the bytecode offset of the instruction.
Every integer register has an interval at the entry of every block; loops widen what grows and then take back what their
conditions bound (https://en.wikipedia.org/wiki/Abstract_interpretation). The work is bounded: functions with very many
blocks get no facts, and are slower for it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from webree.module.isa import Instruction
from webree.module.reader import ModuleFile
from webree.vm.analysis import HALVES, apply_pairs
from webree.vm.flow import Block, Flow, instruction_registers

__all__ = ["Facts", "find_facts"]

Interval = tuple[int, int]
State = dict[str, Interval]
"""Registers (`i3`, `l4`) and what is known of them; nothing is known of those that are missing."""

_MAX_BLOCKS = 400
_PATIENCE = 3  # visits of a block before what still grows is widened
_NARROWING_ROUNDS = 3
_WIDTHS = {"i": 32, "I": 64}
_PREFIXES = {"i": "i", "I": "l"}


@dataclass(slots=True)
class Facts:
    """Bytecode offsets of instructions.

    Attributes:
        fits: results of arithmetic that are in range without wrapping.
        natural: those whose operands that count as unsigned are not negative, indices of accesses among them.
    """

    fits: set[int] = field(default_factory=set)
    natural: set[int] = field(default_factory=set)


def find_facts(module: ModuleFile, ordinal: int, flow: Flow) -> Facts:
    """The facts of internal function `ordinal`."""
    facts = Facts()
    if flow.kinds is None or len(flow.reachable) > _MAX_BLOCKS:
        return facts
    analysis = _Analysis(module, ordinal, flow)
    for index, state in analysis.run().items():
        analysis.pass_block(index, dict(state), facts)
    return facts


class _Analysis:
    """Attributes: `steps`, per block, its instructions with their rules and the registers they write; `copies`, per
    block and edge, the integer registers that the edge copies."""

    def __init__(self, module: ModuleFile, ordinal: int, flow: Flow) -> None:
        self.flow = flow
        self.steps: dict[int, list[tuple[Instruction, Rule | None, list[str]]]] = {}
        self.copies: dict[int, list[list[tuple[str, str]]]] = {}
        self.predecessors: dict[int, set[int]] = {index: set() for index in flow.reachable}
        for index in flow.reachable:
            block = flow.blocks[index]
            assert flow.kinds is not None
            kinds = bytearray(flow.kinds[index])
            steps = self.steps[index] = []
            for instruction in block.instructions:
                writes = instruction_registers(module, ordinal, instruction)[1]
                for letter, register in writes:
                    first = flow.index(letter, register)
                    kinds[first : first + len(HALVES[letter])] = HALVES[letter]
                names = [_name(letter, register) for letter, register in writes if letter in _PREFIXES]
                rule = _RULES.get(instruction.opcode.name)
                if names or instruction.opcode.name.startswith("buffer."):
                    steps.append((instruction, rule, names))
            self.copies[index] = [
                [
                    (_name(letter, source), _name(letter, target))
                    for letter, source, target in apply_pairs(flow, bytearray(kinds), edge.pairs)
                    if letter in _PREFIXES
                ]
                for edge in block.edges
            ]
            for edge in block.edges:
                self.predecessors[edge.target].add(index)

    def run(self) -> Mapping[int, State]:
        """States at the entries of all blocks."""
        entries: dict[int, State] = {0: {}}
        visits: dict[int, int] = {}
        work = [0]
        budget = 60 * len(self.steps) + 200
        bounds = _bounds(self.flow)
        while work:
            budget -= 1
            if budget < 0:
                return {}
            index = work.pop()
            for target, state in self._leave(index, entries[index]):
                old = entries.get(target)
                new = state if old is None else _join(old, state)
                if new == old:
                    continue
                visits[target] = visits.get(target, 0) + 1
                if old is not None and visits[target] > _PATIENCE:
                    new = _widen(old, new, bounds)
                entries[target] = new
                if target not in work:
                    work.append(target)
        self._narrow(entries)
        return entries

    def _narrow(self, entries: dict[int, State]) -> None:
        """Take back what widening gave away and the loops' own conditions bound. Each step gives states that hold
        whenever those it starts from do."""
        ways = {index: self._leave(index, entry) for index, entry in entries.items()}
        for _ in range(_NARROWING_ROUNDS):
            settled = True
            for index in self.flow.reachable:
                if index == 0 or index not in entries:
                    continue
                found: State | None = None
                for previous in self.predecessors[index] & entries.keys():
                    for target, state in ways[previous]:
                        if target == index:
                            found = state if found is None else _join(found, state)
                if found is None:
                    del entries[index]
                elif found != entries[index]:
                    settled = False
                    entries[index] = found
                    ways[index] = self._leave(index, found)
            if settled:
                return

    def _leave(self, index: int, entry: State) -> list[tuple[int, State]]:
        """The states along the edges out of a block, with their targets."""
        block = self.flow.blocks[index]
        if not block.edges:
            return []
        state = dict(entry)
        self.pass_block(index, state, None)
        comparison = None
        if block.instructions[-1].opcode.name == "cond_br":
            comparison = _defines(block, block.instructions[-1].values[0])
        ways = []
        for position, (edge, copies) in enumerate(zip(block.edges, self.copies[index], strict=True)):
            after = dict(state)
            if comparison is not None and not _refine(after, comparison, taken=position == 0):
                continue  # a way that is never taken
            for source, target in copies:
                known = after.get(source)
                if known is None:
                    after.pop(target, None)
                else:
                    after[target] = known
            ways.append((edge.target, after))
        return ways

    def pass_block(self, index: int, state: State, facts: Facts | None) -> None:
        """Run a block's instructions over a state."""
        for instruction, rule, names in self.steps[index]:
            result = rule(instruction, state, facts) if rule is not None else None
            if facts is not None and instruction.opcode.name.startswith(("buffer.load", "buffer.store")):
                if _read(state, "I", instruction.values[1])[0] >= 0:
                    facts.natural.add(instruction.pc)
            for name in names:
                if result is None:
                    state.pop(name, None)
                else:
                    state[name] = result


def _name(letter: str, register: int) -> str:
    return f"{_PREFIXES.get(letter, letter)}{register & 0xFFFF}"


def _full(letter: str) -> Interval:
    half = 1 << _WIDTHS[letter] - 1
    return -half, half - 1


def _read(state: State, letter: str, register: int) -> Interval:
    return state.get(_name(letter, register)) or _full(letter)


def _join(a: State, b: State) -> State:
    joined: State = {}
    for name, x in a.items():
        y = b.get(name)
        if y is not None:
            joined[name] = x if x == y else (min(x[0], y[0]), max(x[1], y[1]))
    return joined


def _widen(old: State, new: State, steps: list[int]) -> State:
    """Bounds that moved go on to the next step, or to the end of the type."""
    widened: State = {}
    for name, bounds in new.items():
        if bounds == old[name]:
            widened[name] = bounds
            continue
        (low, high), (was_low, was_high) = bounds, old[name]
        least, greatest = _full("i" if name[0] == "i" else "I")
        if low < was_low:
            low = max(steps[bisect_right(steps, low) - 1], least) if low >= steps[0] else least
        if high > was_high:
            high = min(steps[bisect_left(steps, high)], greatest) if high <= steps[-1] else greatest
        widened[name] = (low, high)
    return widened


def _bounds(flow: Flow) -> list[int]:
    """Constants that values are compared with, with their neighbours: where loops are likely to end."""
    constants: dict[int, set[int]] = {}
    compared: set[int] = set()
    for index in flow.reachable:
        for instruction in flow.blocks[index].instructions:
            name = instruction.opcode.name
            if name.startswith(("const.i32", "const.i64")):
                constants.setdefault(instruction.values[-1], set()).add(_constant(instruction, {}, None)[0])
            elif name.startswith(("cmp.lt.i", "min.i", "max.i")):
                compared.update(instruction.values[:2])
    found = {0, *(value for register in compared for value in constants.get(register, ()))}
    ends = {limit for letter in "iI" for low, high in (_full(letter),) for limit in (low, low + 1, high - 1, high)}
    return sorted({value + step for value in found for step in (-1, 0, 1)} | ends)


# --- Conditions ---------------------------------------------------------------------------------------------------


def _defines(block: Block, condition: int) -> Instruction | None:
    """The signed comparison right before a branch that tests it."""
    if len(block.instructions) < 2 or block.instructions[-2].opcode.name not in ("cmp.lt.i32.s", "cmp.lt.i64.s"):
        return None
    left, right, result = block.instructions[-2].values
    return block.instructions[-2] if result == condition and condition not in (left, right) else None


def _refine(state: State, comparison: Instruction, *, taken: bool) -> bool:
    """What a branch's way tells of the operands; False if no operands lead there."""
    letter = "i" if ".i32." in comparison.opcode.name else "I"
    left, right = comparison.values[0], comparison.values[1]
    (a_low, a_high), (b_low, b_high) = _read(state, letter, left), _read(state, letter, right)
    if taken:  # a < b
        a_high, b_low = min(a_high, b_high - 1), max(b_low, a_low + 1)
    else:
        a_low, b_high = max(a_low, b_low), min(b_high, a_high)
    for register, low, high in ((left, a_low, a_high), (right, b_low, b_high)):
        state[_name(letter, register)] = (low, high)
    return a_low <= a_high and b_low <= b_high


# --- Instructions -------------------------------------------------------------------------------------------------

Rule = Callable[[Instruction, State, "Facts | None"], "Interval | None"]


def _corners(a: Interval, b: Interval) -> Interval:
    products = [x * y for x in a for y in b]
    return min(products), max(products)


def _arithmetic(letter: str, compute: Callable[..., Interval], count: int = 2) -> Rule:
    least, greatest = _full(letter)

    def rule(instruction: Instruction, state: State, facts: Facts | None) -> Interval | None:
        operands = [_read(state, letter, register) for register in instruction.values[:count]]
        low, high = compute(*operands)
        if low < least or high > greatest:
            return None
        if facts is not None:
            facts.fits.add(instruction.pc)
        return low, high

    return rule


def _shifted(letter: str, *, left: bool, unsigned: bool = False) -> Rule:
    least, greatest = _full(letter)

    def rule(instruction: Instruction, state: State, facts: Facts | None) -> Interval | None:
        low, high = _read(state, letter, instruction.values[0])
        amount, also = _read(state, "i", instruction.values[1])
        if amount != also or not 0 <= amount < _WIDTHS[letter] or (unsigned and low < 0):
            return None
        low, high = (low << amount, high << amount) if left else (low >> amount, high >> amount)
        if low < least or high > greatest:
            return None
        if facts is not None:
            facts.fits.add(instruction.pc)
        return low, high

    return rule


def _divided(letter: str, *, remainder: bool) -> Rule:
    def rule(instruction: Instruction, state: State, facts: Facts | None) -> Interval | None:
        low, high = _read(state, letter, instruction.values[0])
        divisor, also = _read(state, letter, instruction.values[1])
        if divisor != also or divisor <= 0:
            return None
        if remainder:
            return (0 if low >= 0 else 1 - divisor), divisor - 1
        return (-(-low // divisor) if low < 0 else low // divisor), (
            high // divisor if high >= 0 else -(-high // divisor)
        )

    return rule


def _masked(letter: str) -> Rule:
    def rule(instruction: Instruction, state: State, facts: Facts | None) -> Interval | None:
        tops = [high for low, high in (_read(state, letter, r) for r in instruction.values[:2]) if low >= 0]
        return (0, min(tops)) if tops else None

    return rule


def _combined(letter: str) -> Rule:
    """`or`, `xor` of two that are not negative have no more bits."""

    def rule(instruction: Instruction, state: State, facts: Facts | None) -> Interval | None:
        (a, a_high), (b, b_high) = (_read(state, letter, register) for register in instruction.values[:2])
        return (0, (1 << max(a_high.bit_length(), b_high.bit_length())) - 1) if a >= 0 and b >= 0 else None

    return rule


def _constant(instruction: Instruction, state: State, facts: Facts | None) -> Interval:
    value = instruction.values[0] if len(instruction.values) > 1 else 0
    return value, value


def _known(low: int, high: int) -> Rule:
    return lambda _instruction, _state, _facts: (low, high)


def _truncated(instruction: Instruction, state: State, facts: Facts | None) -> Interval | None:
    low, high = _read(state, "I", instruction.values[0])
    if low < -(1 << 31) or high >= 1 << 31:
        return None
    if facts is not None:
        facts.fits.add(instruction.pc)
    return low, high


def _extended(instruction: Instruction, state: State, facts: Facts | None) -> Interval:
    low, high = _read(state, "i", instruction.values[0])
    if low < 0:
        return 0, (1 << 32) - 1
    if facts is not None:
        facts.fits.add(instruction.pc)
    return low, high


def _selected(letter: str) -> Rule:
    def rule(instruction: Instruction, state: State, facts: Facts | None) -> Interval | None:
        (a, b), (c, d) = (_read(state, letter, register) for register in instruction.values[1:3])
        return min(a, c), max(b, d)

    return rule


def _unsigned_comparison(letter: str) -> Rule:
    def rule(instruction: Instruction, state: State, facts: Facts | None) -> Interval:
        if facts is not None and all(_read(state, letter, register)[0] >= 0 for register in instruction.values[:2]):
            facts.natural.add(instruction.pc)
        return 0, 1

    return rule


def _rules() -> dict[str, Rule]:
    rules: dict[str, Rule] = {
        "trunc.i64.i32": _truncated,
        "ext.i32.i64.u": _extended,
        "ext.i32.i64.s": lambda instruction, state, _facts: _read(state, "i", instruction.values[0]),
        "ext.i8.i32.u": _known(0, 255),
        "ext.i8.i32.s": _known(-128, 127),
        "ext.i16.i32.u": _known(0, 65535),
        "ext.i16.i32.s": _known(-32768, 32767),
        "buffer.load.i8.u": _known(0, 255),
        "buffer.load.i8.s": _known(-128, 127),
        "buffer.load.i16.u": _known(0, 65535),
        "buffer.load.i16.s": _known(-32768, 32767),
    }
    for letter, width in (("i", "i32"), ("I", "i64")):
        rules |= {
            f"const.{width}": _constant,
            f"const.{width}.zero": _constant,
            f"add.{width}": _arithmetic(letter, lambda a, b: (a[0] + b[0], a[1] + b[1])),
            f"sub.{width}": _arithmetic(letter, lambda a, b: (a[0] - b[1], a[1] - b[0])),
            f"mul.{width}": _arithmetic(letter, _corners),
            f"fma.{width}": _arithmetic(
                letter, lambda a, b, c: (_corners(a, b)[0] + c[0], _corners(a, b)[1] + c[1]), 3
            ),
            f"min.{width}.s": _arithmetic(letter, lambda a, b: (min(a[0], b[0]), min(a[1], b[1]))),
            f"max.{width}.s": _arithmetic(letter, lambda a, b: (max(a[0], b[0]), max(a[1], b[1]))),
            f"shl.{width}": _shifted(letter, left=True),
            f"shr.{width}.s": _shifted(letter, left=False),
            f"shr.{width}.u": _shifted(letter, left=False, unsigned=True),
            f"div.{width}.s": _divided(letter, remainder=False),
            f"rem.{width}.s": _divided(letter, remainder=True),
            f"and.{width}": _masked(letter),
            f"or.{width}": _combined(letter),
            f"xor.{width}": _combined(letter),
            f"select.{width}": _selected(letter),
            f"cmp.lt.{width}.u": _unsigned_comparison(letter),
            f"cmp.lt.{width}.s": _known(0, 1),
            f"cmp.eq.{width}": _known(0, 1),
            f"cmp.ne.{width}": _known(0, 1),
        }
    return rules


_RULES = _rules()
