"""What functions with loops do differently, so that a turn costs less.

Enters: a function's `Flow`, and expressions of expressions.py. Leaves: which buffers are indexed through typed views
(made once, when their local is assigned), f32 results rounded by a store in a cell of one f32 instead of by a call,
loops that are whole, and conditions that are tested where they are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from webree.module.isa import REF_MASK, Instruction
from webree.vm.expressions import CONDITIONS
from webree.vm.flow import Block, Flow

__all__ = ["CELL", "MASKS", "VIEWED", "find_test", "find_views", "leads_to_itself", "rounded"]

VIEWED = {
    **{f"buffer.load.{kind}": f"view_{letter}" for kind, letter in (("i8.u", "B"), ("i8.s", "b"))},
    **{f"buffer.load.{kind}": f"view_{letter}" for kind, letter in (("i16.u", "H"), ("i16.s", "h"))},
    **{
        f"buffer.{access}.{kind}": f"{viewer}_{letter}"
        for access, viewer in (("load", "view"), ("store", "edit"))
        for kind, letter in (("i32", "i"), ("i64", "q"), ("f32", "f"), ("f64", "d"))
    },
    "buffer.store.i8": "edit_B",
    "buffer.store.i16": "edit_H",
}
"""Accesses that loops make by indexing a typed view, and which view that is."""
MASKS = {"edit_B": " & 255", "edit_H": " & 65535"}
CELL = "q[0]"
_ROUND = "round_f32("


def find_views(flow: Flow) -> dict[str, set[str]]:
    """The reference locals that are indexed, and how."""
    views: dict[str, set[str]] = {}
    for index in flow.reachable:
        for instruction in flow.blocks[index].instructions:
            kind = VIEWED.get(instruction.opcode.name)
            if kind is not None:
                views.setdefault(f"r{instruction.values[0] & REF_MASK}", set()).add(kind)
    return views


def leads_to_itself(flow: Flow, labels: Container[int], index: int) -> bool:
    """Whether a label is reached from what is written in place after it."""
    stack = [index]
    while stack:
        for edge in flow.blocks[stack.pop()].edges:
            if edge.target == index:
                return True
            if edge.target not in labels:
                stack.append(edge.target)
    return False


def find_test(flow: Flow, block: Block) -> Instruction | None:
    """The condition of a block's branch, if it stands right before and nothing else reads it."""
    if len(block.instructions) < 2 or block.instructions[-1].opcode.name != "cond_br":
        return None
    test, register = block.instructions[-2], block.instructions[-1].values[0]
    if test.opcode.name not in CONDITIONS or test.values[-1] != register:
        return None
    for edge in block.edges:
        live = flow.blocks[edge.target].live
        if live < 0 or live >> register & 1 or any(source == register for source, _target in edge.pairs):
            return None
    return test


def rounded(expression: str, emit: Callable[[str], None]) -> str:
    """An expression, its f32 rounded in the cell; sums of a rounded product in two steps."""
    if not expression.startswith(_ROUND):
        return expression
    inner = expression[len(_ROUND) : -1]
    if inner.startswith(_ROUND):
        product, _, addend = inner[len(_ROUND) :].partition(") + ")
        emit(f"{CELL} = {product}")
        inner = f"{CELL} + {addend}"
    emit(f"{CELL} = {inner}")
    return CELL
