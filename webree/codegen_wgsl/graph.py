"""What control flow needs to know about a region's graph of blocks: where branches meet again, and what counts.

Spec: https://mlir.llvm.org/docs/Dialects/SPIR-V/#control-flow
"""

from __future__ import annotations

from webree.codegen_wgsl.spirv import Block, Region, Value
from webree.codegen_wgsl.types import Scalar

__all__ = ["counter_of", "joins_of", "next_value"]


def next_value(argument: Value) -> Value:
    """The value that the loop's back edge passes for a header argument."""
    header = argument.block
    assert header is not None
    index = header.arguments.index(argument)
    for block in header.region.blocks[1:]:
        for target, values in block.terminator.successors:
            if target is header:
                return values[index]
    raise AssertionError("a loop without a back edge")


def counter_of(header: Block, region: Region) -> Value | None:
    """The header argument that a `for` can count: i = i + step with a step from outside the loop."""
    back_edges = [
        (block, values)
        for block in region.blocks[1:]
        for target, values in block.terminator.successors
        if target is header
    ]
    if len(back_edges) != 1 or header.terminator.name != "spirv.BranchConditional":
        return None
    condition = header.terminator.operands[0].op
    for argument, value in zip(header.arguments, back_edges[0][1], strict=True):
        op = value.op
        if op is None or op.name != "spirv.IAdd" or op.operands[0] is not argument or len(value.uses) != 1:
            continue
        step = op.operands[1]
        outside = not _defined_in(step, region)
        if outside and isinstance(argument.type, Scalar) and condition is not None and argument in condition.operands:
            return argument
    return None


def _defined_in(value: Value, region: Region) -> bool:
    block = value.block if value.op is None else value.op.block
    while block is not None:
        if block.region is region:
            return not (value.op is not None and value.op.name == "spirv.Constant")
        parent = block.region.parent
        block = parent.block if parent is not None else None
    return False


def joins_of(region: Region, merge: Block | None, header: Block | None) -> dict[Block, Block | None]:
    """For each block, the nearest block of the region that every way on from it reaches.

    Ways that leave do not count: a return, and in a loop a branch to the merge block (`break`). The end of a
    loop's body is its header, reached by the back edge.
    """
    end = header if header is not None else merge
    start = header if header is not None else region.blocks[0]
    edges = {
        block: [target for target, _ in block.terminator.successors if header is None or target is not merge]
        for block in region.blocks
    }
    order = _postorder(start, edges)
    position = {block: index for index, block in enumerate(order)}
    reached: dict[Block, frozenset[Block] | None] = {}
    joins: dict[Block, Block | None] = {}
    for block in order:
        ways = [frozenset({end}) if target is end else reached[target] for target in edges[block] if target in position]
        meeting = [way for way in ways if way is not None]
        if block is end and header is None:
            reached[block] = frozenset({block})
            joins[block] = None
            continue
        common = frozenset.intersection(*meeting) if meeting else None
        reached[block] = common | {block} if common is not None else None
        # In postorder the nearest comes last; the end, a loop's header, is the farthest.
        inner = [candidate for candidate in common or () if candidate is not end]
        joins[block] = max(inner, key=position.__getitem__) if inner else end if common else None
    return joins


def _postorder(entry: Block, edges: dict[Block, list[Block]]) -> list[Block]:
    order: list[Block] = []
    seen: set[Block] = set()

    def visit(block: Block) -> None:
        if block in seen:
            return
        seen.add(block)
        for target in edges[block]:
            visit(target)
        order.append(block)

    visit(entry)
    return order
