"""Function variables that need not be: what the compiler's passes leave behind when they lower loop results.

A loop's results arrive as variables without an initial value, stored at the end of the body and loaded after the
loop, beside the loop-carried values that hold the same. `promotable` finds them, so that the loop-carried variable
itself is read; after a loop of no iterations it also holds the right value, the initial one.
"""

from __future__ import annotations

from webree.codegen_wgsl.spirv import Block, Op, Region, Value, walk

__all__ = ["is_final", "leaves_only_from", "promotable"]


def promotable(body: Region) -> dict[Value, Value]:
    """Variable -> the loop header's argument that has its value after the loop.

    The stores to these variables no longer count as uses of what they store.
    """
    found: dict[Value, Value] = {}
    for op in walk(body):
        if op.name == "spirv.mlir.loop" and len(op.regions[0].blocks) > 2:
            found.update(_of_loop(op))
    for variable in found:
        for use in variable.uses:
            if use.name == "spirv.Store":
                use.operands[1].uses.remove(use)
    return found


def _of_loop(loop: Op) -> dict[Value, Value]:
    header = loop.regions[0].blocks[1]
    back_edges = [
        (block, values)
        for block in loop.regions[0].blocks[1:]
        for target, values in block.terminator.successors
        if target is header
    ]
    if len(back_edges) != 1 or header.region.blocks[-1].arguments or not leaves_only_from(header):
        return {}
    last, values = back_edges[0]
    found = {}
    for op in last.ops:
        if op.name != "spirv.Store" or not _is_result(op.operands[0], op, loop):
            continue
        matching = [
            argument for argument, value in zip(header.arguments, values, strict=True) if value is op.operands[1]
        ]
        if len(matching) == 1:
            found[op.operands[0]] = matching[0]
    return found


def leaves_only_from(header: Block) -> bool:
    """True if the loop's only exit is in its header: the loop-carried values are then those of the last iteration."""
    merge = header.region.blocks[-1]
    return all(
        target is not merge
        for block in header.region.blocks
        if block is not header
        for target, _ in block.terminator.successors
    )


def _is_result(pointer: Value, store: Op, loop: Op) -> bool:
    """True for a plain variable beside the loop that is stored once, there, and otherwise loaded after the loop."""
    variable = pointer.op
    if variable is None or variable.name != "spirv.Variable" or variable.operands or variable.block is not loop.block:
        return False
    position = loop.block.ops.index(loop)
    for use in pointer.uses:
        if use is store:
            continue
        ancestor = _ancestor_in(use, loop.block)
        if use.name != "spirv.Load" or ancestor is None or loop.block.ops.index(ancestor) <= position:
            return False
    return True


def is_final(load: Op) -> bool:
    """True if no store can follow a load of a function variable, so that the variable itself can stand for it."""
    pointer = load.operands[0]
    variable = pointer.op
    if variable is None or variable.name != "spirv.Variable" or variable.block is not load.block:
        return False
    position = load.block.ops.index(load)
    for use in pointer.uses:
        ancestor = _ancestor_in(use, load.block)
        if use.name not in ("spirv.Load", "spirv.Store") or ancestor is None:
            return False
        if use.name == "spirv.Store" and load.block.ops.index(ancestor) > position:
            return False
    return True


def _ancestor_in(op: Op, block: Block) -> Op | None:
    """The op of `block` that is or holds `op`."""
    current: Op | None = op
    while current is not None and current.block is not block:
        current = current.block.region.parent
    return current
