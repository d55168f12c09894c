"""A verified function as Python source.

Enters: the instructions of an internal function and what is known of its callees. Leaves: source text made of verified
numbers only, and the bytecode offset of each of its lines. Names it uses: `F3` internal function, `M3` import, `C3`
rodata buffer, `T3` the Python class of a type, `G` the global references, and the functions of arithmetic.py,
buffers.py and lists.py.

Blocks that only one other block leads to are written in place. If others remain, they become labels: the function is a
loop that picks the label `s` by binary search. Every written block ends by leaving it (return, raise, or a jump), so of
two ways on, the smaller is indented and the larger just follows; nesting stays logarithmic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webree.module.isa import IMPORT_BIT, MOVE, PLAIN_SEGMENT, REF, REF_MASK, Instruction
from webree.module.reader import ModuleFile
from webree.vm.analysis import analyze
from webree.vm.expressions import CONDITIONS, EXPRESSIONS, FITTING, NATURAL, STATEMENTS
from webree.vm.flow import Block, Edge, Flow, call_letters
from webree.vm.loops import CELL, MASKS, VIEWED, find_test, find_views, leads_to_itself, rounded
from webree.vm.ranges import Facts, find_facts
from webree.vm.registers import MixedKinds, RawRegisters, Registers, WholeRegisters, literal

__all__ = ["Callees", "Translation", "translate"]

_ELEMENT_SIZES = {"i32": 4, "i64": 8, "f32": 4, "f64": 8}


@dataclass(frozen=True, slots=True)
class Callees:
    """What a translation must know of its surroundings.

    Attributes:
        imports_suspend, functions_suspend: per ordinal, whether a call returns a generator.
        imports_resolved: per ordinal, whether there is something to call.
        untyped: ordinals of the types that any reference has.
    """

    imports_suspend: Sequence[bool]
    functions_suspend: Sequence[bool]
    imports_resolved: Sequence[bool]
    untyped: frozenset[int]


@dataclass(frozen=True, slots=True)
class Translation:
    """Source of a function definition, and the bytecode offset that each line (from 0) stands for."""

    source: str
    line_pcs: Sequence[int]


def translate(module: ModuleFile, ordinal: int, instructions: Sequence[Instruction], callees: Callees) -> Translation:
    """The Python source of internal function `ordinal`, as a function named `F<ordinal>`."""
    flow = analyze(module, ordinal, instructions)
    if flow.kinds is not None:
        try:
            return _Translator(module, ordinal, flow, callees, WholeRegisters).run()
        except MixedKinds:
            pass
    return _Translator(module, ordinal, flow, callees, RawRegisters).run()


class _Translator:
    def __init__(
        self,
        module: ModuleFile,
        ordinal: int,
        flow: Flow,
        callees: Callees,
        registers: Callable[[Flow, Callable[[str], None]], Registers],
    ) -> None:
        self.module = module
        self.ordinal = ordinal
        self.flow = flow
        self.callees = callees
        self.lines: list[str] = []
        self.line_pcs: list[int] = []
        self.depth = 1
        self.pc = 0
        self.registers = registers(flow, self.emit)
        self.labels = [i for i in sorted(flow.reachable) if flow.blocks[i].entries > 1 or i == 0]
        self.label_of = {index: label for label, index in enumerate(self.labels)}
        self.loops = len(self.labels) > 1 or flow.blocks[0].entries > 1
        self.inner: int | None = None
        """The label whose own loop is being written."""
        self.facts = Facts()
        if self.loops and registers is WholeRegisters:
            self.registers.keep_views(find_views(self.flow))
            self.facts = find_facts(module, ordinal, flow)

    def emit(self, text: str) -> None:
        self.lines.append(" " * self.depth + text)
        self.line_pcs.append(self.pc)

    def run(self) -> Translation:
        letters = self.module.signatures[self.ordinal].calling_convention.arguments
        self.registers.enter(0)
        parameters = self.registers.bind_arguments(letters)
        if not self.loops:
            self._write_from(0)
        else:
            if len(self.labels) > 1:
                self.emit("s = 0")
            self.emit("while True:")
            self.depth += 1
            self._write_labels(0, len(self.labels))
        header = [f"def F{self.ordinal}({', '.join(parameters)}):"]
        if self.callees.functions_suspend[self.ordinal]:
            header.append(" if False: yield")
        if self.loops and any(CELL in line for line in self.lines):
            header.append(" q = f32_cell()")
        header.extend(" " + line for line in self.registers.prologue())
        pcs = [0] * len(header) + self.line_pcs
        return Translation("\n".join(header + self.lines) + "\n", pcs)

    def _write_labels(self, begin: int, end: int) -> None:
        """Labels `begin`..`end`, chosen by binary search over `s`."""
        if end - begin == 1:
            self.registers.enter(self.labels[begin])
            if len(self.labels) == 1 or not leads_to_itself(self.flow, self.label_of, self.labels[begin]):
                self._write_from(self.labels[begin])
                return
            # A loop that is whole: going round does not look for its label again.
            self.inner = self.labels[begin]
            self.emit("while True:")
            self.depth += 1
            self._write_from(self.labels[begin])
            self.depth -= 1
            self.inner = None
            return
        middle = (begin + end) // 2
        for test, low, high in ((f"if s < {middle}:", begin, middle), ("else:", middle, end)):
            self.emit(test)
            self.depth += 1
            self._write_labels(low, high)
            self.depth -= 1

    def _write_from(self, index: int) -> None:
        """A block, and all that is written in place after it."""
        next_index: int | None = index
        while next_index is not None:
            block = self.flow.blocks[next_index]
            test = find_test(self.flow, block) if self.loops else None
            for instruction in block.instructions[: -1 if test is None else -2]:
                self._write_instruction(instruction)
            next_index = self._write_terminator(next_index, block, test)

    def _follow(self, edge: Edge) -> int | None:
        """Go along an edge: returns the block to be written here, or None after a jump to a label."""
        self.registers.copy(edge)
        if edge.target not in self.label_of:
            return edge.target
        self.registers.settle(self.flow.blocks[edge.target].live)
        if len(self.labels) > 1 and edge.target != self.inner:
            self.emit(f"s = {self.label_of[edge.target]}")
        self.emit("continue" if self.inner in (None, edge.target) else "break")
        return None

    def _branch(self, ways: Sequence[tuple[str, Edge]]) -> int | None:
        """Write all ways but the largest under their conditions; the largest follows."""
        largest = max(range(len(ways)), key=lambda way: self._size(ways[way][1]))
        # The conditions of the other ways exclude each other, so each can be tested alone.
        for position, (condition, edge) in enumerate(ways):
            if position == largest:
                continue
            path = self.registers.path
            self.registers.path = path.copy()
            self.emit(f"if {condition}:")
            self.depth += 1
            inner = self._follow(edge)
            if inner is not None:
                self._write_from(inner)
            self.depth -= 1
            self.registers.path = path
        return self._follow(ways[largest][1])

    def _size(self, edge: Edge) -> int:
        return 0 if edge.target in self.label_of else self.flow.blocks[edge.target].size

    def _tested(self, test: Instruction) -> str:
        return f"({self._condition(test, self._operands(test))})"

    def _condition(self, instruction: Instruction, operands: Mapping[str, Any]) -> str:
        name = instruction.opcode.name
        template = NATURAL[name] if instruction.pc in self.facts.natural and name in NATURAL else CONDITIONS[name]
        return template.format(**operands)

    def _operands(self, instruction: Instruction) -> dict[str, Any]:
        """Expressions of what an instruction reads, by the operands' names."""
        operands: dict[str, Any] = {}
        for operand, value in zip(instruction.opcode.operands, instruction.values, strict=True):
            if operand.is_result:
                continue
            if operand.kind == "g":
                operands[operand.name] = value // _ELEMENT_SIZES[instruction.opcode.name.rsplit(".", 1)[1]]
            else:
                operands[operand.name] = self.registers.read("r" if operand.kind in "rR" else operand.kind, value)
        return operands

    def _write_terminator(self, index: int, block: Block, test: Instruction | None) -> int | None:
        instruction = block.instructions[-1]
        self.pc = instruction.pc
        name = instruction.opcode.name
        values = instruction.values
        if name == "return":
            self._write_return(values[0])
            return None
        if name == "fail":
            return self._write_fail(index, block, *values)
        if name == "cond_br":
            condition = self.registers.read("i", values[0]) if test is None else self._tested(test)
            on_true, on_false = block.edges
            return self._branch(((condition, on_true), (f"not {condition}", on_false)))
        if name == "br_table":
            return self._write_table(self.registers.read("i", values[0]), block.edges)
        if name == "yield":
            self.registers.copy(block.edges[0])
            self.emit("yield RESCHEDULE")
            return self._follow(Edge(block.edges[0].target, ()))
        if name.startswith("call"):
            self._write_call(instruction)
        return self._follow(block.edges[0])

    def _write_return(self, words: Sequence[int]) -> None:
        letters = self.module.signatures[self.ordinal].calling_convention.results
        expressions, _moved = self.registers.arguments(letters, words)
        text = ", ".join(expressions)
        self.emit(f"return ({text})" if len(expressions) > 1 else f"return {text}".rstrip())

    def _write_fail(self, index: int, block: Block, status: int, message: str) -> int | None:
        text = self.registers.read("i", status)
        if index in self.flow.certain_failures:
            self.emit(f"raise fail({text}, {message!r})")
            return None
        self.emit(f"if {text}: raise fail({text}, {message!r})")
        if block.edges:
            return self._follow(block.edges[0])
        self.emit("raise fail(13, 'control ran past the end of the function')")
        return None

    def _write_table(self, index: str, edges: Sequence[Edge]) -> int | None:
        default, cases = edges[0], edges[1:]
        outside = f"not 0 <= {index} < {len(cases)}"
        return self._branch([(outside, default), *((f"{index} == {n}", case) for n, case in enumerate(cases))])

    def _write_instruction(self, instruction: Instruction) -> None:
        self.pc = instruction.pc
        name = instruction.opcode.name
        special = _SPECIAL.get(name)
        if special is not None:
            special(self, instruction)
            return
        operands = self._operands(instruction)
        results = [
            ("r" if operand.kind in "rR" else operand.kind, value)
            for operand, value in zip(instruction.opcode.operands, instruction.values, strict=True)
            if operand.is_result
        ]
        result = results[0] if results else None
        if name in VIEWED and self._write_access(instruction, operands, result):
            return
        if result is None:
            self.emit(STATEMENTS[name].format(**operands))
        elif name in CONDITIONS:
            self.registers.write(*result, f"1 if {self._condition(instruction, operands)} else 0")
        else:
            fits = instruction.pc in self.facts.fits and name in FITTING
            text = (FITTING if fits else EXPRESSIONS)[name].format(**operands)
            self.registers.write(*result, rounded(text, self.emit) if self.loops else text)

    def _write_access(self, instruction: Instruction, operands: dict[str, Any], result: tuple[str, int] | None) -> bool:
        """A load or store by a typed view. Negative indices are left to the function, whose error is the right one;
        those beyond the end raise IndexError, which context.py understands."""
        name = instruction.opcode.name
        kind = VIEWED[name]
        view = self.registers.view(kind, instruction.values[0])
        if view is None:
            return False
        index = operands["source_offset" if result is not None else "target_offset"]
        natural = instruction.pc in self.facts.natural
        if result is not None:
            text = f"{view}[{index}]"
            if not natural:
                text += f" if {index} >= 0 else {EXPRESSIONS[name].format(**operands)}"
            self.registers.write(*result, text)
            return True
        if not natural:
            self.emit(f"if {index} < 0: {STATEMENTS[name].format(**operands)}")
        self.emit(f"{view}[{index}] = {operands['value']}{MASKS.get(kind, '')}")
        return True

    def _write_constant(self, instruction: Instruction) -> None:
        letter = {"i32": "i", "i64": "I", "f32": "f", "f64": "F"}[instruction.opcode.name.split(".")[1]]
        value = instruction.values[0] if len(instruction.values) > 1 else 0.0 if letter in "fF" else 0
        self.registers.write_constant(letter, instruction.values[-1], literal(value))

    def _write_null(self, instruction: Instruction) -> None:
        self.registers.write_constant("r", instruction.values[0], "None")

    def _write_rodata(self, instruction: Instruction) -> None:
        ordinal, register = instruction.values
        self.registers.write_constant("r", register, f"C{ordinal}")

    def _typed(self, expression: str, type_ordinal: int) -> str:
        return expression if type_ordinal in self.callees.untyped else f"typed({expression}, T{type_ordinal})"

    def _write_moving(self, words: Sequence[int], result: int | None, write: Callable[[list[str]], None]) -> None:
        """An instruction that reads references which it may move; `write` gets their expressions."""
        expressions, moved = self.registers.arguments("r" * len(words), words)
        write(expressions)
        self.registers.clear(word for word in moved if result is None or (word ^ result) & REF_MASK)

    def _write_ref(self, words: Sequence[int], result: int, expression: Callable[[list[str]], str]) -> None:
        self._write_moving(words, result, lambda refs: self.registers.write("r", result, expression(refs)))

    def _write_global_load(self, instruction: Instruction) -> None:
        ordinal, type_ordinal, result = instruction.values
        indirect = "indirect" in instruction.opcode.name
        index = f"check_global({self.registers.read('i', ordinal)})" if indirect else str(ordinal)
        if indirect and result & MOVE:
            self.emit(f"_ = {index}")
            index = "_"
        # The slot is emptied only once the value has been found to have the right type.
        self.registers.write("r", result, self._typed(f"G[{index}]", type_ordinal))
        if result & MOVE:
            self.emit(f"G[{index}] = None")

    def _write_global_store(self, instruction: Instruction) -> None:
        ordinal, type_ordinal, word = instruction.values
        index = str(ordinal)
        if "indirect" in instruction.opcode.name:
            index = f"check_global({self.registers.read('i', ordinal)})"
        self._write_moving((word,), None, lambda refs: self.emit(f"G[{index}] = {self._typed(refs[0], type_ordinal)}"))

    def _write_list_alloc(self, instruction: Instruction) -> None:
        type_ordinal, capacity, result = instruction.values
        element = self.module.types[type_ordinal]
        count = self.registers.read("i", capacity)
        self.registers.write("r", result, f"list_alloc({element!r}, T{type_ordinal}, {count})")

    def _write_list_get_ref(self, instruction: Instruction) -> None:
        list_word, index, type_ordinal, result = instruction.values
        function = "list_take_ref" if result & MOVE else "list_get_ref"
        source, position = self.registers.read("r", list_word), self.registers.read("i", index)
        self.registers.write("r", result, f"{function}({source}, {position}, T{type_ordinal})")

    def _write_list_set_ref(self, instruction: Instruction) -> None:
        list_word, index, word = instruction.values
        target, position = self.registers.read("r", list_word), self.registers.read("i", index)
        self._write_moving((word,), None, lambda refs: self.emit(f"list_set_ref({target}, {position}, {refs[0]})"))

    def _write_select_ref(self, instruction: Instruction) -> None:
        condition, type_ordinal, on_true, on_false, result = instruction.values
        test = self.registers.read("i", condition)
        self._write_ref(
            (on_true, on_false),
            result,
            lambda refs: self._typed(f"({refs[0]} if {test} else {refs[1]})", type_ordinal),
        )

    def _write_switch_ref(self, instruction: Instruction) -> None:
        index, type_ordinal, default, words, result = instruction.values
        position = self.registers.read("i", index)
        self._write_ref(
            (default, *words),
            result,
            lambda refs: self._typed(f"({_pick(position, refs[0], refs[1:])})", type_ordinal),
        )

    def _write_switch(self, instruction: Instruction) -> None:
        index, default, words, result = instruction.values
        letter = instruction.opcode.operands[1].kind
        values = [self.registers.read(letter, word) for word in words]
        text = _pick(self.registers.read("i", index), self.registers.read(letter, default), values)
        self.registers.write(letter, result, text)

    def _write_cast(self, instruction: Instruction) -> None:
        word, type_ordinal, result = instruction.values
        self._write_ref((word,), result, lambda refs: self._typed(refs[0], type_ordinal))

    def _write_assign(self, instruction: Instruction) -> None:
        word, result = instruction.values
        self._write_ref((word,), result, lambda refs: refs[0])

    def _write_discard(self, instruction: Instruction) -> None:
        self.registers.clear(instruction.values[0])

    def _write_trace(self, instruction: Instruction) -> None:
        self.registers.clear(word for word in instruction.values[1] if word & REF and word & MOVE)

    def _write_resolved(self, instruction: Instruction) -> None:
        function, result = instruction.values
        resolved = self.callees.imports_resolved[function & ~IMPORT_BIT]
        self.registers.write_constant("i", result, "1" if resolved else "0")

    def _write_call(self, instruction: Instruction) -> None:
        values = {o.name: v for o, v in zip(instruction.opcode.operands, instruction.values, strict=True)}
        function = values["function"]
        is_import = bool(function & IMPORT_BIT)
        ordinal = function & ~IMPORT_BIT
        argument_letters, result_letters = call_letters(self.module, values)
        arguments, moved = self.registers.arguments(argument_letters, values["arguments"], early=not is_import)
        if "segments" in values:
            signature = self.module.imports[ordinal].signature
            assert signature is not None
            arguments = _group(signature.calling_convention.arguments, values["segments"], arguments)
        suspends = (self.callees.imports_suspend if is_import else self.callees.functions_suspend)[ordinal]
        callee = f"{'yield from ' if suspends else ''}{'M' if is_import else 'F'}{ordinal}"
        results = list(zip(result_letters, values["results"], strict=True))
        self.registers.assign(results, f"{callee}({', '.join(arguments)})")
        written = {word & REF_MASK for letter, word in results if letter == "r"}
        self.registers.clear(word for word in moved if word & REF_MASK not in written)


def _pick(index: str, default: str, values: Sequence[str]) -> str:
    """`values[index]`, or `default` if there is no such value."""
    if not values:
        return default
    return f"({', '.join(values)},)[{index}] if 0 <= {index} < {len(values)} else {default}"


def _group(items: Sequence[str], segments: Sequence[int], arguments: Sequence[str]) -> list[str]:
    """Arguments of a variadic call, with the spans as list displays."""
    grouped: list[str] = []
    position = 0
    for item, segment in zip(items, segments, strict=True):
        if segment == PLAIN_SEGMENT:
            grouped.append(arguments[position])
            position += 1
            continue
        width = len(item) - 2
        elements = []
        for _ in range(segment):
            element = arguments[position : position + width]
            elements.append(element[0] if width == 1 else f"({', '.join(element)})")
            position += width
        grouped.append(f"[{', '.join(elements)}]")
    return grouped


_SPECIAL: dict[str, Callable[[_Translator, Instruction], None]] = {
    **{
        f"const.{kind}{suffix}": _Translator._write_constant
        for kind in ("i32", "i64", "f32", "f64")
        for suffix in ("", ".zero")
    },
    **{f"switch.{kind}": _Translator._write_switch for kind in ("i32", "i64", "f32", "f64")},
    "const.ref.zero": _Translator._write_null,
    "const.ref.rodata": _Translator._write_rodata,
    "global.load.ref": _Translator._write_global_load,
    "global.load.indirect.ref": _Translator._write_global_load,
    "global.store.ref": _Translator._write_global_store,
    "global.store.indirect.ref": _Translator._write_global_store,
    "list.alloc": _Translator._write_list_alloc,
    "list.get.ref": _Translator._write_list_get_ref,
    "list.set.ref": _Translator._write_list_set_ref,
    "select.ref": _Translator._write_select_ref,
    "switch.ref": _Translator._write_switch_ref,
    "cast.any.ref": _Translator._write_cast,
    "assign.ref": _Translator._write_assign,
    "discard.refs": _Translator._write_discard,
    "trace": _Translator._write_trace,
    "print": _Translator._write_trace,
    "import.resolved": _Translator._write_resolved,
    "call": _Translator._write_call,
    "call.variadic": _Translator._write_call,
}
