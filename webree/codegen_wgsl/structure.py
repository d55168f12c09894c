"""SPIR-V's structured control flow -> WGSL's `if`, `switch`, `while`, `for` and `loop`.

A `spirv.mlir.selection` or `spirv.mlir.loop` op holds a region whose last block is the merge block; branches never
leave the region. So each region is translated by itself: a walk from its entry, where a conditional branch opens an
`if` that closes at the branch's join (its nearest common post-dominator), a branch to the merge block of a loop is
`break`, and one to its header `continue`. Block arguments become variables that the branches assign.
Spec: https://mlir.llvm.org/docs/Dialects/SPIR-V/#control-flow
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from webree.codegen_wgsl.emitter import Emitter, unsupported
from webree.codegen_wgsl.expressions import Expr, Rank, prefix
from webree.codegen_wgsl.graph import counter_of, joins_of, next_value
from webree.codegen_wgsl.spirv import Block, Op, Region, Value
from webree.codegen_wgsl.types import F16, F32, Scalar, Vector, scalar_of
from webree.codegen_wgsl.variables import leaves_only_from

__all__ = ["ControlFlow"]


@dataclass(frozen=True, slots=True)
class _Frame:
    """The region that a walk is in.

    Attributes:
        merge: its merge block, or None for a function body.
        header: the loop header, or None outside loops.
        joins: per block that branches, the block where its arms meet (None: they never do).
        results: the variables that take the merge block's operands.
        update: the statement that a `for` header does itself: (header argument, step), or None.
    """

    merge: Block | None
    header: Block | None
    joins: dict[Block, Block | None]
    results: list[Expr]
    update: Value | None = None


class ControlFlow:
    """Walks regions; `emit_op` translates every op that is not control flow."""

    def __init__(self, emitter: Emitter, emit_op: Callable[[Op], None]) -> None:
        self._emitter = emitter
        self._emit_op = emit_op

    def function_body(self, region: Region) -> None:
        frame = _Frame(None, None, joins_of(region, None, None), [])
        self._path(region.blocks[0], None, frame)

    # -- regions --------------------------------------------------------------------------------------------------

    def _selection(self, op: Op) -> None:
        if not op.regions or not op.regions[0].blocks:
            return
        region = op.regions[0]
        merge = region.blocks[-1]
        results = self._result_variables(op)
        self._declare_arguments(region, skip={region.blocks[0]})
        frame = _Frame(merge, None, joins_of(region, merge, None), results)
        self._path(region.blocks[0], merge, frame)
        if region.blocks[0] is not merge:
            self._ops(merge)
        self._assign_results(merge, results)

    def _loop(self, op: Op) -> None:
        region = op.regions[0]
        if not region.blocks:
            return
        entry, merge = region.blocks[0], region.blocks[-1]
        if entry is merge:
            results = self._result_variables(op)
            self._ops(merge)
            self._assign_results(merge, results)
            return
        if entry.terminator.name != "spirv.Branch":
            raise unsupported(op, "a loop's entry block must branch to its header")
        self._ops(entry)
        header, initial = entry.terminator.successors[0]
        carried = self._carried_results(op, header, merge)
        results = [] if carried else self._result_variables(op)
        counter = counter_of(header, region)
        counter = None if counter in carried else counter
        self._declare_arguments(region, skip={entry, header})
        self._declare_loop_variables(header, initial, counter)
        frame = _Frame(merge, header, joins_of(region, merge, header), results, counter)
        self._loop_body(header, merge, frame, dict(zip(header.arguments, initial, strict=True)))
        for result, argument in zip(op.results, carried, strict=False):
            self._emitter.bind(result, self._emitter.expr(argument))

    def _carried_results(self, op: Op, header: Block, merge: Block) -> list[Value]:
        """The loop-carried values that are the loop's results, if all are: no variables of their own are needed."""
        values = merge.terminator.operands
        plain = len(merge.ops) == 1 and not merge.arguments and leaves_only_from(header)
        return list(values) if plain and op.results and all(value in header.arguments for value in values) else []

    def _loop_body(self, header: Block, merge: Block, frame: _Frame, initial: dict[Value, Value]) -> None:
        writer = self._emitter.writer
        with writer.capture(deeper=True) as head:
            self._ops(header)
        terminator = header.terminator
        condition = self._exit_condition(terminator, merge) if not head and not frame.results else None
        if condition is None:
            self._catch_up(frame, initial)
            with writer.block("loop"):
                writer.extend(head)
                self._terminator(header, header, _Frame(merge, frame.header, frame.joins, frame.results))
            return
        condition_text, body = condition
        with writer.block(self._loop_header(condition_text, frame, initial)):
            self._path(body, header, frame)

    def _exit_condition(self, terminator: Op, merge: Block) -> tuple[Expr, Block] | None:
        """The condition to go on and the first block of the body, if the header leaves by a plain branch."""
        if terminator.name != "spirv.BranchConditional":
            return None
        (then, then_values), (other, other_values) = terminator.successors
        if then_values or other_values or merge.arguments or len(merge.ops) > 1:
            return None
        condition = self._emitter.expr(terminator.operands[0])
        if other is merge and then is not merge:
            return condition, then
        if then is merge and other is not merge:
            return _negate(condition), other
        return None

    def _loop_header(self, condition: Expr, frame: _Frame, initial: dict[Value, Value]) -> str:
        counter = frame.update
        if counter is None:
            return f"while ({condition.text})"
        name = self._emitter.expr(counter).text
        start = self._emitter.expr(initial[counter]).text
        step = self._emitter.expr(next_value(counter).op.operands[1])  # type: ignore[union-attr]
        return f"for (var {name}: i32 = {start}; {condition.text}; {name} += {step.text})"

    def _catch_up(self, frame: _Frame, initial: dict[Value, Value]) -> None:
        """Declares the counter that a `for` would have declared."""
        if frame.update is not None:
            name = self._emitter.expr(frame.update).text
            self._emitter.variable(name, frame.update.type, self._emitter.expr(initial[frame.update]))

    def _result_variables(self, op: Op) -> list[Expr]:
        results = []
        for result in op.results:
            name = Expr(self._emitter.state.namer.fresh("r"))
            self._emitter.variable(name.text, result.type)
            self._emitter.bind(result, name)
            results.append(name)
        return results

    def _declare_arguments(self, region: Region, skip: set[Block]) -> None:
        """Variables for block arguments; the merge block's stand for the results that they become."""
        owner = region.parent
        results = owner.results if owner is not None else []
        passed = dict(zip(region.blocks[-1].terminator.operands, results, strict=False)) if results else {}
        for block in region.blocks:
            for argument in block.arguments if block not in skip else ():
                if argument in passed and argument.block is region.blocks[-1]:
                    self._emitter.bind(argument, self._emitter.expr(passed[argument]))
                    continue
                name = Expr(self._emitter.state.namer.fresh("r"))
                self._emitter.variable(name.text, argument.type)
                self._emitter.bind(argument, name)

    def _declare_loop_variables(self, header: Block, initial: list[Value], counter: Value | None) -> None:
        for argument, start in zip(header.arguments, initial, strict=True):
            if argument is counter:
                name = self._emitter.state.namer.fresh("i")
            else:
                name = self._emitter.state.namer.fresh("acc" if _is_float(argument) else "n")
                self._emitter.variable(name, argument.type, self._emitter.expr(start))
            self._emitter.bind(argument, Expr(name))

    # -- blocks ---------------------------------------------------------------------------------------------------

    def _ops(self, block: Block) -> None:
        """Every op of a block but its terminator."""
        for op in block.ops[:-1]:
            if op.name == "spirv.mlir.selection":
                self._selection(op)
            elif op.name == "spirv.mlir.loop":
                self._loop(op)
            else:
                self._emit_op(op)

    def _path(self, block: Block, stop: Block | None, frame: _Frame) -> None:
        """Blocks from `block` up to `stop`, which is left to the caller."""
        if block is stop:
            return
        self._ops(block)
        self._terminator(block, stop, frame)

    def _terminator(self, block: Block, stop: Block | None, frame: _Frame) -> None:
        op = block.terminator
        match op.name:
            case "spirv.Branch":
                self._edge(*op.successors[0], stop, frame)
            case "spirv.BranchConditional":
                self._if(op, block, stop, frame)
            case "spirv.Switch":
                self._switch(op, block, stop, frame)
            case "spirv.Return":
                # A function of one block ends by itself.
                if frame.merge is not None or len(block.region.blocks) > 1:
                    self._emitter.statement("return")
            case "spirv.ReturnValue":
                self._emitter.statement(f"return {self._emitter.expr(op.operands[0]).text}")
            case "spirv.Unreachable":
                pass
            case "spirv.mlir.merge":
                pass
            case _:
                self._emit_op(op)

    def _edge(self, target: Block, values: list[Value], stop: Block | None, frame: _Frame) -> None:
        """Goes along one branch: assigns the target's arguments, then falls through, leaves, or goes on there."""
        self._assign(target, values, frame)
        if frame.header is not None and target is frame.merge:
            self._ops(target)
            self._assign_results(target, frame.results)
            self._emitter.statement("break")
        elif frame.header is not None and target is frame.header:
            if stop is not frame.header:
                self._emitter.statement("continue")
        elif target is not stop:
            self._path(target, stop, frame)

    def _if(self, op: Op, block: Block, stop: Block | None, frame: _Frame) -> None:
        condition = self._emitter.expr(op.operands[0])
        join = frame.joins[block]
        inner_stop = join if join is not None else stop
        writer = self._emitter.writer
        (then, then_values), (other, other_values) = op.successors
        with writer.capture(deeper=True) as then_lines:
            self._edge(then, then_values, inner_stop, frame)
        with writer.capture(deeper=True) as other_lines:
            self._edge(other, other_values, inner_stop, frame)
        if not then_lines and other_lines:
            condition, then_lines, other_lines = _negate(condition), other_lines, []
        if then_lines:
            with writer.block(f"if ({condition.text})"):
                writer.extend(then_lines)
        if other_lines:
            # `} else {` belongs on one line.
            writer.reopen("else")
            writer.extend(other_lines)
            writer.close()
        if join is not None and join is not stop:
            self._path(join, stop, frame)

    def _switch(self, op: Op, block: Block, stop: Block | None, frame: _Frame) -> None:
        if frame.header is not None:
            raise unsupported(op, "a switch in a loop must stand in a selection of its own")
        join = frame.joins[block]
        inner_stop = join if join is not None else stop
        writer = self._emitter.writer
        default, *cases = op.successors
        arms: dict[tuple[int, tuple[Value, ...]], list[str]] = {}
        targets: dict[tuple[int, tuple[Value, ...]], tuple[Block, list[Value]]] = {}
        for label, (target, values) in zip(
            ["default", *map(str, op.attributes.get("literals", []))], [default, *cases], strict=True
        ):
            key = id(target), tuple(values)
            arms.setdefault(key, []).append(label)
            targets[key] = target, values
        with writer.block(f"switch ({self._emitter.expr(op.operands[0]).text})"):
            for key, labels in arms.items():
                with writer.block("default:" if labels == ["default"] else f"case {', '.join(labels)}:"):
                    self._edge(*targets[key], inner_stop, frame)
        if join is not None and join is not stop:
            self._path(join, stop, frame)

    # -- assignments ----------------------------------------------------------------------------------------------

    def _assign(self, target: Block, values: list[Value], frame: _Frame) -> None:
        """Assigns block arguments as if all at once: none may read what another has already overwritten."""
        pairs = []
        for argument, value in zip(target.arguments, values, strict=True):
            if argument is frame.update:
                continue
            name, expr = self._emitter.expr(argument).text, self._emitter.expr(value)
            if expr.text != name:
                pairs.append((name, expr, value))
        pending = list(pairs)
        while pending:
            free = [
                pair
                for pair in pending
                if not any(_mentions(other, pair[0]) for name, other, _ in pending if name != pair[0])
            ]
            if free:
                name, expr, _ = free[0]
                pending.remove(free[0])
                self._emitter.statement(f"{name} = {expr.text}")
            else:
                # A cycle, such as a swap: keep an old value aside, one that is in the way of another assignment.
                position, (name, expr, value) = next(
                    (position, pair)
                    for position, pair in enumerate(pending)
                    if any(_mentions(pair[1], other) for other, _, _ in pending if other != pair[0])
                )
                pending[position] = name, self._emitter.let(expr, "next"), value

    def _assign_results(self, merge: Block, results: list[Expr]) -> None:
        for name, value in zip(results, merge.terminator.operands if results else (), strict=True):
            expr = self._emitter.expr(value)
            if expr.text != name.text:
                self._emitter.statement(f"{name.text} = {expr.text}")


def _mentions(expr: Expr, name: str) -> bool:
    return re.search(rf"\b{name}\b", expr.text) is not None


def _negate(condition: Expr) -> Expr:
    if condition.negation is not None:
        return Expr(condition.negation, Rank.LOOSE)
    return prefix("!", condition)


def _is_float(value: Value) -> bool:
    return isinstance(value.type, Scalar | Vector) and scalar_of(value.type) in (F16, F32)
