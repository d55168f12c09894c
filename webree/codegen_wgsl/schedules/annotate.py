"""Schedules attached: from the kernels of a module to their lowering configurations.

Enters: the module at phase `executable-sources`: one function of linalg operations on tensors per kernel. Leaves: the
same module, in which the main operation of each kernel carries a `compilation_info` attribute that the compiler
follows instead of its own choice, with windows unrolled (see windows.py) where that lets the kernel vectorise.

Every annotated kernel goes through the compiler's vectorising pipeline: intermediate values stay in registers of one
thread, so no workgroup memory and no barriers are needed. That also matters for correctness: the compiler's other
pipeline (its choice for shapes that it cannot vectorise) keeps values between fused operations in workgroup memory
without a barrier, and where two of them are distributed differently, threads read what others have not written yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from webree.codegen_wgsl.schedules.nest import NAMED_LOOPS, indexing_maps, nest_of
from webree.codegen_wgsl.schedules.tables import Budget, budget_for
from webree.codegen_wgsl.schedules.tiles import Tiling, choose
from webree.codegen_wgsl.schedules.windows import unroll_windows

__all__ = ["annotate", "interchange", "loop_order"]

_COMPUTING = ("linalg.", "iree_linalg_ext.", "tensor.pad")


def annotate(module: Any, profile: Any) -> int:
    """Choose the schedules of a module's kernels for a profile; returns how many kernels got one.

    `module` is an `ir.Module` or its operation at phase `executable-sources`. A kernel whose structure is not
    understood is left to the compiler. An annotated kernel never asks for more than the profile's limits allow.
    """
    budget = budget_for(profile)
    return sum(_annotate_kernel(function, budget) for function in list(_kernels(module.operation)))


def _kernels(op: Any) -> Iterator[Any]:
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                if inner.operation.name == "func.func":
                    yield inner.operation
                elif inner.operation.name in ("hal.executable", "hal.executable.variant", "builtin.module"):
                    yield from _kernels(inner.operation)


def _annotate_kernel(function: Any, budget: Budget) -> bool:
    if len(function.regions[0].blocks) != 1:
        return False
    operations = [inner.operation for inner in function.regions[0].blocks[0].operations]
    computing = [op for op in operations if op.name.startswith(_COMPUTING) and op.name != "linalg.fill"]
    if not computing or any(op.name != "linalg.generic" and op.name not in NAMED_LOOPS for op in computing):
        return False
    if any(_has_64_bit_values(op) for op in computing):
        return False
    if any("compilation_info" in op.attributes or "lowering_config" in op.attributes for op in computing):
        return False
    root = next((op for op in reversed(computing) if any(nest_of(op).reductions)), computing[-1])
    order = loop_order(root, computing[computing.index(root) :])
    if order is None:
        return False
    root = unroll_windows(interchange(root, order)) if root.name == "linalg.generic" else root
    tiling = choose(nest_of(root), budget)
    if tiling is None:
        return False
    _attach(root, tiling)
    return True


def _has_64_bit_values(op: Any) -> bool:
    """Whether an operation computes on i64: the emulation by pairs of words takes no vectors of one element."""
    from iree.compiler import ir

    inner = [item.operation for region in op.regions for block in region.blocks for item in block.operations]
    kinds = [value.type for value in op.operands] + [result.type for item in inner for result in item.results]
    elements = [kind.element_type if isinstance(kind, ir.ShapedType) else kind for kind in kinds]
    return any(isinstance(kind, ir.IntegerType) and kind.width == 64 for kind in elements)


def loop_order(root: Any, chain: Sequence[Any]) -> tuple[int, ...] | None:
    """The root's loops in the order of the last operation's, reductions last; None if they cannot be matched.

    `chain` are the computing operations from the root on. Threads are mapped to the loops of the last operation, tile
    sizes are given for those of the root: both must mean the same.
    """
    nest = nest_of(root)
    outputs = nest.outputs
    if not outputs or any(not access.projected or access.dims != outputs[0].dims for access in outputs):
        return None
    origins: dict[Any, list[int | None]] = {
        result: [dim[0][0] for dim in outputs[0].dims if dim] for result in root.results
    }
    loops: list[int | None] = list(nest.parallel)
    for op in chain[1:]:
        consumer = nest_of(op)
        if any(consumer.reductions) or not all(access.projected for access in consumer.outputs):
            return None
        loops = [None] * len(consumer.ranges)
        for operand, access in zip(op.operands, (*consumer.inputs, *consumer.outputs), strict=True):
            for dim, origin in zip(access.dims, origins.get(operand, []), strict=False):
                if dim is None or len(dim) != 1 or loops[dim[0][0]] not in (None, origin):
                    return None
                loops[dim[0][0]] = origin
        for result, access in zip(op.results, consumer.outputs, strict=True):
            origins[result] = [loops[dim[0][0]] for dim in access.dims if dim]
    order = [loop for loop in loops if loop is not None]
    if sorted(order) != list(nest.parallel) or loops[: len(order)] != order:
        return None
    return (*order, *[loop for loop, reduces in enumerate(nest.reductions) if reduces])


def interchange(op: Any, order: Sequence[int]) -> Any:
    """Put the loops of a generic operation in another order (new position -> old loop), in place; returns it."""
    from iree.compiler import ir

    if list(order) == sorted(order):
        return op
    with op.context:
        loops = [ir.AffineExpr.get_dim(list(order).index(loop)) for loop in range(len(order))]
        renaming = ir.AffineMap.get(len(order), 0, loops)
        kinds = ir.ArrayAttr(op.attributes["iterator_types"])
        maps = [
            ir.AffineMap.get(len(order), 0, [item.compose(renaming) for item in old.results])
            for old in indexing_maps(op)
        ]
        op.attributes["indexing_maps"] = ir.ArrayAttr.get([ir.AffineMapAttr.get(item) for item in maps])
        op.attributes["iterator_types"] = ir.ArrayAttr.get([kinds[loop] for loop in order])
    return op


def _attach(op: Any, tiling: Tiling) -> None:
    from iree.compiler import ir

    levels = [list(level) for level in (tiling.workgroup, tiling.thread, tiling.reduction) if any(level)]
    op.attributes["compilation_info"] = ir.Attribute.parse(
        "#iree_codegen.compilation_info<"
        f"lowering_config = #iree_codegen.lowering_config<tile_sizes = {levels}>, "
        "translation_info = #iree_codegen.translation_info<pipeline = #iree_gpu.spirv_pipeline<BaseVectorize> "
        f"workgroup_size = {list(tiling.workgroup_size)}>>",
        op.context,
    )
