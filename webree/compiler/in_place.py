"""Kernels that write in place must not overwrite what a loop or a branch before them still reads.

Enters: the module after `flow`. Leaves: the same module, where such a value has one more use behind the kernel, which
makes the scheduler give the kernel a copy. Without it the scheduler takes the kernel for the value's last user, drops
the copy, and then, as nothing says that the kernel has to wait for the loop, runs it before the loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["protect_read_values"]

_TIED = "tied_operands"
_SAME_MEMORY = ("flow.tensor.reshape", "flow.tensor.bitcast", "tensor.cast")


def protect_read_values(module: Any) -> int:
    """Returns how many values got a further use."""
    from iree.compiler import ir

    count = 0
    with module.context:
        for op in list(_dispatches(module)):
            for index in _tied(op):
                value = op.operands[index]
                if any(_reads_before(user, op) for user in _users(_root(value))):
                    with op.location, ir.InsertionPoint(_following(op)):
                        ir.Operation.create("util.optimization_barrier", results=[value.type], operands=[value])
                    count += 1
    return count


def _dispatches(op: Any) -> Iterator[Any]:
    for region in op.regions:
        for block in region:
            for inner in block:
                if inner.operation.name == "flow.dispatch" and _TIED in inner.operation.attributes:
                    yield inner.operation
                elif inner.operation.name not in ("flow.executable", "hal.executable"):
                    yield from _dispatches(inner.operation)


def _tied(op: Any) -> set[int]:
    """Positions of the operands that the kernel writes in place; the attribute counts the tensors among them."""
    from iree.compiler import ir

    positions = [ir.IntegerAttr(item).value for item in ir.ArrayAttr(op.attributes[_TIED])]
    segments = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
    return {position + segments[0] for position in positions if position >= 0}


def _root(value: Any) -> Any:
    """The value whose memory this is."""
    from iree.compiler import ir

    while isinstance(value, ir.OpResult) and value.owner.operation.name in _SAME_MEMORY:
        value = value.owner.operation.operands[0]
    return value


def _users(value: Any) -> Iterator[Any]:
    """Operations that use the value or another name of its memory."""
    for use in value.uses:
        user = use.owner.operation
        yield user
        if user.name in _SAME_MEMORY:
            yield from _users(user.results[0])


def _reads_before(user: Any, op: Any) -> bool:
    """Whether the user is, or is inside of, an operation that is no kernel and stands before `op` in its block."""
    while user is not None and user.block != op.block:
        user = user.parent.operation if user.parent is not None else None
        if user is not None and user.name == "builtin.module":
            return False
    if user is None or user == op or user.name.startswith("flow."):
        return False
    return bool(user.is_before_in_block(op))


def _following(op: Any) -> Any:
    operations = list(op.block.operations)
    return operations[next(index for index, item in enumerate(operations) if item.operation == op) + 1]
