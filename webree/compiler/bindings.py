"""Kernels with more operands than a device has storage buffers, kept from being formed.

Enters: the module at phase `global-optimization`. Leaves: the same module with barriers on values between elementwise
operations that, fused into one kernel, would read too many arguments, variables and other values that are in buffers of
their own. What is behind a barrier is handed over in memory, and all such values of a program lie in one buffer. A
WebGPU device promises 8 storage buffers: https://www.w3.org/TR/webgpu/#limits (maxStorageBuffersPerShaderStage).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from webree.compiler.walking import walk

__all__ = ["limit_operands"]

# Named operations of linalg whose loops are all parallel.
_ELEMENTWISE = frozenset(f"linalg.{name}" for name in ("transpose", "broadcast", "map", "elementwise", "add", "mul"))
# What the fusion looks through.
_SEEN_THROUGH = frozenset(
    {*(f"tensor.{name}" for name in ("collapse_shape", "expand_shape", "cast", "extract_slice", "pad"))}
    | {"iree_tensor_ext.compute_barrier.start"}
)
_FREE = frozenset({"tensor.empty", "tensor.dim", "linalg.fill"})
# What makes values in buffers of their own: arguments, variables, what loops and calls return.
_ALONE = ("hal.tensor.import", "util.global.load", "util.call", "scf.")
_CONSTANTS, _TRANSIENTS = "constants", "transients"  # the buffers of all of them


@dataclass(frozen=True)
class _Cluster:
    """What may end in one kernel with the operation that makes a value.

    Attributes:
        leaves: the buffers that it reads, as the values that are alone in theirs, or a buffer's name.
        has_root: whether something in it accumulates; a kernel has one such operation.
    """

    leaves: frozenset[Any]
    has_root: bool = False


def limit_operands(module: Any, limit: int) -> int:
    """Put barriers where operations read more than `limit` buffers together; returns how many. In place."""
    count = 0
    for op in list(walk(module.operation)):
        if op.name in ("util.func", "util.initializer"):
            for block in _blocks(op):
                count += _limit_block(block, max(2, limit - 1))  # the result has one, too
    return count


def _blocks(op: Any) -> Iterator[Any]:
    for region in op.regions:
        for block in region.blocks:
            yield block
            for inner in block.operations:
                if not inner.operation.name.startswith("linalg."):
                    yield from _blocks(inner.operation)


def _limit_block(block: Any, limit: int) -> int:
    from iree.compiler import ir

    clusters: dict[Any, _Cluster] = {}
    count = 0
    for inner in list(block.operations):
        op = inner.operation
        tensors = [result for result in op.results if isinstance(result.type, ir.RankedTensorType)]
        if not tensors or op.name in _FREE:
            clusters.update((result, _Cluster(frozenset())) for result in tensors)
            continue
        if op.name in _SEEN_THROUGH:
            clusters[tensors[0]] = _cluster_of(op.operands[0], clusters)
            continue
        if not op.name.startswith("linalg."):
            continue
        count += _cut(op, clusters, limit)
        made = _joined(op, clusters)
        clusters.update((result, made) for result in tensors)
    return count


def _cluster_of(value: Any, clusters: dict[Any, _Cluster]) -> _Cluster:
    from iree.compiler import ir

    if value in clusters:
        return clusters[value]
    if isinstance(value.owner, ir.Block):
        return _Cluster(frozenset({value}))
    op = value.owner.operation
    if op.name.endswith(".constant") or "is_immutable" in op.attributes:
        return _Cluster(frozenset({_CONSTANTS}))
    return _Cluster(frozenset({value if op.name.startswith(_ALONE) else _TRANSIENTS}))


def _tensors(op: Any) -> list[Any]:
    from iree.compiler import ir

    return [operand for operand in op.operands if isinstance(operand.type, ir.RankedTensorType)]


def _joined(op: Any, clusters: dict[Any, _Cluster]) -> _Cluster:
    """Of several operations that accumulate, one at most ends in the same kernel; the others' results are read."""
    parts = [_cluster_of(operand, clusters) for operand in _tensors(op)]
    accumulates = not _is_elementwise(op)
    roots = sorted((part for part in parts if part.has_root), key=lambda part: len(part.leaves))
    taken = [] if accumulates else roots[-1:]
    leaves = [part.leaves for part in (*taken, *(part for part in parts if not part.has_root))]
    leaves += [frozenset({_TRANSIENTS})] * (len(roots) > len(taken))
    return _Cluster(frozenset().union(*leaves), accumulates or bool(roots))


def _cut(op: Any, clusters: dict[Any, _Cluster], limit: int) -> int:
    """Put the largest clusters that an operation reads behind barriers until the rest are few enough."""
    count = 0
    while len(_joined(op, clusters).leaves) > limit:
        made = [operand for operand in _tensors(op) if operand in clusters and len(clusters[operand].leaves) > 1]
        if not made:
            break
        largest = max(made, key=lambda operand: len(clusters[operand].leaves))
        clusters[_put_behind_barrier(largest, op)] = _Cluster(frozenset({_TRANSIENTS}))
        count += 1
    return count


def _put_behind_barrier(value: Any, user: Any) -> Any:
    """Let an operation read a value through a barrier; returns what it reads."""
    from iree.compiler import ir

    with user.context, user.location, ir.InsertionPoint(user):
        barrier = ir.Operation.create("util.optimization_barrier", results=[value.type], operands=[value]).results[0]
    for index, operand in enumerate(user.operands):
        if operand == value:
            user.operands[index] = barrier
    return barrier


def _is_elementwise(op: Any) -> bool:
    from iree.compiler import ir

    if op.name != "linalg.generic":
        return op.name in _ELEMENTWISE
    return all("parallel" in str(kind) for kind in ir.ArrayAttr(op.attributes["iterator_types"]))
