"""How registers become Python locals, in two ways.

Enters: reads and writes of registers while a function is being translated. Leaves: names and lines of Python.
`WholeRegisters` is the fast way: every value is one local, named after its kind and register (`i3` i32, `l4` i64,
`f3` f32, `d4` f64, `r0` reference), constants are put where they are used, and what analysis.py found makes sure that
no value is ever looked at as another kind; where that fails, `MixedKinds` is raised and the function is translated
again with `RawRegisters`, which keeps 32-bit words (`w3`) and is right for any program.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from webree.module.isa import MOVE, REF, REF_MASK
from webree.vm.analysis import HALVES, UNSET, apply_pairs
from webree.vm.flow import Edge, Flow

__all__ = ["MixedKinds", "Path", "RawRegisters", "Registers", "WholeRegisters", "literal"]

_PREFIX = {"i": "i", "I": "l", "f": "f", "F": "d", "r": "r"}
_ZERO = {"i": "0", "I": "0", "f": "0.0", "F": "0.0", "r": "None"}


class MixedKinds(Exception):
    """A register is read as another kind than it was written."""


def literal(value: int | float) -> str:
    """A number as Python source."""
    if isinstance(value, float) and not math.isfinite(value):
        text = "nan" if value != value else "inf" if value > 0 else "-inf"
    else:
        text = repr(value)
    return f"({text})" if text[0] == "-" else text


@dataclass(slots=True)
class Path:
    """What is known at a point of the translation, on the way there from the last label.

    Attributes:
        kinds: what each register may hold (flow.py); empty for raw registers.
        pending: locals whose constant has not been assigned, with the constant and the register's index.
        empty: reference locals that hold no object.
    """

    kinds: bytearray
    pending: dict[str, tuple[str, int]] = field(default_factory=dict)
    empty: set[str] = field(default_factory=set)

    def copy(self) -> Path:
        return Path(bytearray(self.kinds), dict(self.pending), set(self.empty))


class Registers:
    """Reads and writes registers on the current `path`; lines go to `emit`."""

    def __init__(self, flow: Flow, emit: Callable[[str], None]) -> None:
        self.flow = flow
        self.emit = emit
        self.path = Path(bytearray())
        self.initial: dict[str, str] = {}
        self.views: dict[str, set[str]] = {}

    def keep_views(self, views: dict[str, set[str]]) -> None:
        """Keep typed views (`view_f`, `edit_i`) of these reference locals, made anew whenever one is assigned."""

    def view(self, kind: str, register: int) -> str | None:
        """The local with the typed view of a reference, if there is one."""
        return None

    def enter(self, block: int) -> None:
        """Start at a label, where nothing is known but the kinds."""
        raise NotImplementedError

    def bind_arguments(self, letters: Sequence[str]) -> list[str]:
        """Parameter names for the function's arguments, in their entry registers."""
        raise NotImplementedError

    def prologue(self) -> list[str]:
        """Lines that come before all others, known once the whole function has been translated."""
        groups: dict[str, list[str]] = {}
        for name, zero in self.initial.items():
            groups.setdefault(zero, []).append(name)
        return [f"{' = '.join(names)} = {zero}" for zero, names in groups.items()]

    def read(self, letter: str, register: int) -> str:
        """An expression for a register's value."""
        raise NotImplementedError

    def write(self, letter: str, register: int, expression: str) -> None:
        """Assign an expression to a register."""
        raise NotImplementedError

    def write_constant(self, letter: str, register: int, text: str) -> None:
        """Assign a literal or the name of something constant."""
        self.write(letter, register, text)

    def assign(self, results: Sequence[tuple[str, int]], expression: str) -> None:
        """Assign what a call returns: nothing, a value, or a tuple."""
        raise NotImplementedError

    def copy(self, edge: Edge) -> None:
        """Make the copies of an edge."""
        raise NotImplementedError

    def settle(self, live: int) -> None:
        """Assign the pending constants that are still needed, before control leaves the path."""

    def clear(self, words: Iterable[int]) -> None:
        """Release the references in these registers."""
        for word in words:
            self.write_constant("r", word & REF_MASK, "None")

    def take(self, register: int) -> str:
        """An expression that moves a reference out of its register."""
        name = self.read("r", register)
        if name != f"r{register & REF_MASK}" or name in self.path.empty:
            self.clear((register,))
            return name
        self.path.empty.add(name)
        return f"({name}, ({name} := None))[0]"

    def arguments(
        self, letters: Sequence[str], words: Sequence[int], *, early: bool = False
    ) -> tuple[list[str], list[int]]:
        """Expressions for the arguments of a call, and the registers to clear after it.

        With `early`, moved references leave their registers before the call instead."""
        expressions: list[str] = []
        moved: list[int] = []
        gone: set[int] = set()
        for letter, word in zip(letters, words, strict=True):
            if letter == "r" and word & REF_MASK in gone:
                expressions.append("None")
            elif letter == "r" and word & MOVE:
                gone.add(word & REF_MASK)
                expressions.append(self.take(word) if early else self.read("r", word))
                moved.extend(() if early else (word,))
            else:
                expressions.append(self.read(letter, word))
        return expressions, moved

    def _moved_by(self, edge: Edge) -> list[int]:
        """References that an edge moves away. One that is still read at the target stays: IREE's compiler sometimes
        passes one reference to two block arguments and forgets that the move takes it from the first."""
        targets = {target for _source, target in edge.pairs}
        live = self.flow.blocks[edge.target].live
        return [
            source
            for source, _target in edge.pairs
            if source & REF
            and source & MOVE
            and source & ~MOVE not in targets
            and not live >> self.flow.index("r", source) & 1
        ]


class WholeRegisters(Registers):
    """One Python local per value, and one per typed view of a buffer that loops index."""

    def keep_views(self, views: dict[str, set[str]]) -> None:
        self.views = views
        for name, kinds in views.items():
            self.initial.update((f"{name}_{kind}", "NO_VIEW") for kind in sorted(kinds))

    def view(self, kind: str, register: int) -> str | None:
        name = self.read("r", register)
        return f"{name}_{kind}" if kind in self.views.get(name, ()) else None

    def _renew_views(self, name: str, text: str = "") -> None:
        """After `name` got another value (`text` if it is known)."""
        for kind in sorted(self.views.get(name, ())):
            self.emit(f"{name}_{kind} = NO_VIEW" if text == "None" else f"{name}_{kind} = {kind}({name})")

    def take(self, register: int) -> str:
        self._renew_views(self.read("r", register), "None")
        return super().take(register)

    def enter(self, block: int) -> None:
        assert self.flow.kinds is not None
        self.path = Path(bytearray(self.flow.kinds[block]))

    def bind_arguments(self, letters: Sequence[str]) -> list[str]:
        names = []
        word = ref = 0
        for letter in letters:
            if letter == "r":
                names.append(f"r{ref}")
                self._renew_views(f"r{ref}")
                ref += 1
                continue
            word += word & 1 if letter in "IF" else 0
            names.append(f"{_PREFIX[letter]}{word}")
            word += len(HALVES[letter])
        return names

    def read(self, letter: str, register: int) -> str:
        register &= REF_MASK if letter == "r" else 0xFFFF
        first = self.flow.index(letter, register)
        halves = HALVES[letter]
        codes = self.path.kinds[first : first + len(halves)]
        name = f"{_PREFIX[letter]}{register}"
        if codes != halves and not self._may_be_unset(codes, halves):
            raise MixedKinds
        if codes[0] & UNSET:
            if codes[0] == UNSET:
                return _ZERO[letter]
            self.initial[name] = _ZERO[letter]
        pending = self.path.pending.get(name)
        return name if pending is None else pending[0]

    @staticmethod
    def _may_be_unset(codes: bytes | bytearray, halves: bytes) -> bool:
        """Whether all parts of a value are unset, or all may be that or set."""
        if all(code == UNSET for code in codes):
            return True
        return all(code & ~UNSET == mark for code, mark in zip(codes, halves, strict=True))

    def _mark(self, letter: str, register: int) -> tuple[str, int]:
        register &= REF_MASK if letter == "r" else 0xFFFF
        first = self.flow.index(letter, register)
        halves = HALVES[letter]
        self.path.kinds[first : first + len(halves)] = halves
        return f"{_PREFIX[letter]}{register}", first

    def write(self, letter: str, register: int, expression: str) -> None:
        name, _index = self._mark(letter, register)
        self._assigned(name)
        self.emit(f"{name} = {expression}")
        self._renew_views(name)

    def _assigned(self, name: str) -> None:
        self.path.pending.pop(name, None)
        self.path.empty.discard(name)

    def write_constant(self, letter: str, register: int, text: str) -> None:
        was_unset = self.path.kinds[self.flow.index(letter, register)] == UNSET
        name, index = self._mark(letter, register)
        if letter == "r" and not was_unset and name not in self.path.empty:
            # The local may hold an object that must be released now.
            self._assigned(name)
            self.emit(f"{name} = {text}")
            self._renew_views(name, text)
            if text == "None":
                self.path.empty.add(name)
            return
        if letter == "r":
            self.path.empty.add(name)
        self.path.pending[name] = (text, index)

    def assign(self, results: Sequence[tuple[str, int]], expression: str) -> None:
        names = [self._mark(letter, register)[0] for letter, register in results]
        for name in names:
            self._assigned(name)
        self.emit(f"{', '.join(names)} = {expression}" if names else expression)
        for name in names:
            self._renew_views(name)

    def copy(self, edge: Edge) -> None:
        path = self.path
        before = bytes(path.kinds)
        copies = apply_pairs(self.flow, path.kinds, edge.pairs)
        after = bytearray(path.kinds)
        for letter, source_word, target_word in copies:
            mask = REF_MASK if letter == "r" else 0xFFFF
            source, target = source_word & mask, target_word & mask
            name = f"{_PREFIX[letter]}{source}"
            if before[self.flow.index(letter, source)] & UNSET:
                self.initial[name] = _ZERO[letter]
            if source == target:
                continue
            pending = path.pending.get(name)
            if pending is not None:
                self.write_constant(letter, target, pending[0])
                continue
            target_name = f"{_PREFIX[letter]}{target}"
            self._assigned(target_name)
            self.emit(f"{target_name} = {name}")
            self._renew_views(target_name)
        path.kinds = after
        self.clear(self._moved_by(edge))

    def settle(self, live: int) -> None:
        for name, (text, index) in self.path.pending.items():
            if live >> index & 1:
                self.emit(f"{name} = {text}")
                self._renew_views(name, text)


_FROM_WORDS = {
    "i": "w{0}",
    "f": "f32_of_i32(w{0})",
    "I": "i64_of_words(w{0}, w{1})",
    "F": "f64_of_i64(i64_of_words(w{0}, w{1}))",
    "r": "r{0}",
}
_TO_WORDS = {
    "i": ("w{0} = {2}",),
    "f": ("w{0} = i32_of_f32({2})",),
    "I": ("_ = {2}", "w{0} = low_word(_)", "w{1} = _ >> 32"),
    "F": ("_ = i64_of_f64({2})", "w{0} = low_word(_)", "w{1} = _ >> 32"),
    "r": ("r{0} = {2}",),
}


class RawRegisters(Registers):
    """One Python local per 32-bit word."""

    def enter(self, block: int) -> None:
        self.path = Path(bytearray())

    def bind_arguments(self, letters: Sequence[str]) -> list[str]:
        flow = self.flow
        self.initial.update({f"w{n}": "0" for n in range(flow.word_count)})
        self.initial.update({f"r{n}": "None" for n in range(flow.ref_count)})
        names = []
        word = ref = 0
        for position, letter in enumerate(letters):
            names.append(f"a{position}")
            if letter == "r":
                self.write(letter, ref, f"a{position}")
                ref += 1
                continue
            word += word & 1 if letter in "IF" else 0
            self.write(letter, word, f"a{position}")
            word += len(HALVES[letter])
        return names

    def read(self, letter: str, register: int) -> str:
        register &= REF_MASK if letter == "r" else 0xFFFF
        return _FROM_WORDS[letter].format(register, register + 1)

    def write(self, letter: str, register: int, expression: str) -> None:
        register &= REF_MASK if letter == "r" else 0xFFFF
        for line in _TO_WORDS[letter]:
            self.emit(line.format(register, register + 1, expression))

    def assign(self, results: Sequence[tuple[str, int]], expression: str) -> None:
        if len(results) == 1:
            self.write(*results[0], expression)
            return
        names = [f"_{position}" for position in range(len(results))]
        self.emit(f"{', '.join(names)} = {expression}" if names else expression)
        for name, (letter, register) in zip(names, results, strict=True):
            self.write(letter, register, name)

    def copy(self, edge: Edge) -> None:
        for source, target in edge.pairs:
            if source & REF:
                self.emit(f"r{target & REF_MASK} = r{source & REF_MASK}")
            else:
                self.emit(f"w{target} = w{source}")
        self.clear(self._moved_by(edge))
