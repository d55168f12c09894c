"""Kernels with more operands than a device has storage buffers, kept from being formed.

Enters: the module at phase `global-optimization`. Leaves: the same module with barriers on values between elementwise
operations that, fused into one kernel, would read too many arguments, variables and other values that are in buffers of
their own. What is behind a barrier is handed over in memory, and all such values of a program lie in one buffer. Of an
operation that reads too many by itself, operands are copied there. A WebGPU device promises 8 storage buffers:
https://www.w3.org/TR/webgpu/#limits (maxStorageBuffersPerShaderStage).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from webree.codegen_wgsl.schedules.building import empty, extent_of
from webree.compiler.walking import walk
from webree.compiler.weights_codes import generic

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
                count += _limit_block(block, max(2, limit - 1))  # all results together have one, too
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
        count += _cut(op, clusters, limit) + _copy(op, clusters, limit)
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
        clusters[_read_instead(largest, op, _behind_barrier)] = _Cluster(frozenset({_TRANSIENTS}))
        count += 1
    return count


def _copy(op: Any, clusters: dict[Any, _Cluster], limit: int) -> int:
    """Copy operands that are alone in their buffers until the rest are few enough."""
    count = 0
    while len(_joined(op, clusters).leaves) > limit:
        alone = [operand for operand in _tensors(op) if _is_alone(_cluster_of(operand, clusters))]
        if len(alone) < 2:  # the last one would only change places with the copies
            break
        clusters[_read_instead(alone[-1], op, _copied)] = _Cluster(frozenset({_TRANSIENTS}))
        count += 1
    return count


def _is_alone(cluster: _Cluster) -> bool:
    return len(cluster.leaves) == 1 and cluster.leaves.isdisjoint((_CONSTANTS, _TRANSIENTS))


def _copied(value: Any) -> Any:
    """The same tensor as the result of a kernel of its own; its memory is that of all values between kernels.

    Whether it is all zeros hangs on a number that the compiler cannot see, so that it is no copy to be left out."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    kind, word = value.type, ir.IntegerType.get_signless(32)
    with ir.InsertionPoint.at_block_begin(ir.InsertionPoint.current.block):  # a barrier ends a batch of kernels
        one = arith.constant(word, 1)
        is_one = arith.cmpi(0, _behind_barrier(one), one)
    number = "0.0" if isinstance(kind.element_type, ir.FloatType) else "0"
    zero = arith.constant(kind.element_type, ir.Attribute.parse(f"{number} : {kind.element_type}"))
    start = empty(value)
    sizes = [extent_of(value, dim) for dim in range(kind.rank) if kind.is_dynamic_dim(dim)]
    segments = ir.DenseI32ArrayAttr.get([len(sizes), 0])
    region = ir.Operation.create(
        "flow.dispatch.region", [kind], sizes, attributes={"operandSegmentSizes": segments}, regions=2
    )
    identity = ir.AffineMap.get_identity(kind.rank)
    with ir.InsertionPoint(region.regions[0].blocks.append()):
        body = lambda arguments: [arith.select(is_one, arguments[0], zero)]  # noqa: E731
        made = generic([value, start], [identity, identity], ["parallel"] * kind.rank, body)
        ir.Operation.create("flow.return", operands=[made])
    return region.results[0]


def _behind_barrier(value: Any) -> Any:
    from iree.compiler import ir

    return ir.Operation.create("util.optimization_barrier", results=[value.type], operands=[value]).results[0]


def _read_instead(value: Any, user: Any, change: Callable[[Any], Any]) -> Any:
    """Let an operation read what `change` makes of a value; returns that."""
    from iree.compiler import ir

    with user.context, user.location, ir.InsertionPoint(user):
        made = change(value)
    for index, operand in enumerate(user.operands):
        if operand == value:
            user.operands[index] = made
    return made


def _is_elementwise(op: Any) -> bool:
    from iree.compiler import ir

    if op.name != "linalg.generic":
        return op.name in _ELEMENTWISE
    return all("parallel" in str(kind) for kind in ir.ArrayAttr(op.attributes["iterator_types"]))
