"""Schedules attached: from the kernels of a module to their lowering configurations.

Enters: the module at phase `executable-sources`: one function of linalg operations on tensors per kernel. Leaves: the
same module, in which the main operation of each kernel carries a `compilation_info` attribute that the compiler
follows instead of its own choice, with windows unrolled (see windows.py) where that lets the kernel vectorise.

Nearly every annotated kernel goes through the compiler's vectorising pipeline: intermediate values stay in registers of
one thread, so no workgroup memory and no barriers are needed. That also matters for correctness: the compiler's other
pipeline (its choice for shapes that it cannot vectorise) keeps values between fused operations in workgroup memory
without a barrier, and where two of them are distributed differently, threads read what others have not written yet.
Kernels that cannot be vectorised (64-bit integers) run there with one thread per workgroup instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from webree.codegen_wgsl.schedules.nest import NAMED_LOOPS, Nest, indexing_maps, nest_of
from webree.codegen_wgsl.schedules.tables import Budget, budget_for
from webree.codegen_wgsl.schedules.tiles import Tiling, choose, serial
from webree.codegen_wgsl.schedules.windows import unroll_windows

__all__ = ["annotate", "interchange", "loop_orders"]

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
    _simplify(function)
    operations = [inner.operation for inner in function.regions[0].blocks[0].operations]
    computing = [op for op in operations if op.name.startswith(_COMPUTING)]
    if any("compilation_info" in op.attributes or "lowering_config" in op.attributes for op in computing):
        return False
    main = [op for op in computing if op.name != "linalg.fill"]
    if _vectorise(main, budget):
        return True
    if len(computing) > 1:
        return _serialise(main)
    return any(_has_64_bit_values(op) for op in main) and _distribute(main[0], budget)


def _simplify(function: Any) -> None:
    """Run the passes that make a kernel schedulable, where it needs them."""
    from iree.compiler.passmanager import PassManager

    operations = [inner.operation for inner in function.regions[0].blocks[0].operations]
    passes = []
    if any(op.name == "linalg.softmax" for op in operations):
        passes.append("iree-codegen-decompose-softmax")  # the compiler would do it later
    if any(_has_unknown_size(op) for op in operations):
        # A dimension of unknown size that is known to be a multiple of something is split: the multiple is static.
        passes += ["iree-codegen-block-dynamic-dimensions", "canonicalize", "cse"]
    if passes:
        PassManager.parse(f"func.func({','.join(passes)})", function.context).run(function)


def _has_unknown_size(op: Any) -> bool:
    from iree.compiler import ir

    kinds = [result.type for result in op.results]
    return any(isinstance(kind, ir.RankedTensorType) and not kind.has_static_shape for kind in kinds)


def _vectorise(computing: Sequence[Any], budget: Budget) -> bool:
    """Schedule a kernel for the vectorising pipeline, if it can be."""
    if not computing or not all(_is_nest(op) for op in computing) or any(_has_64_bit_values(op) for op in computing):
        return False
    root = next((op for op in reversed(computing) if any(nest_of(op).reductions)), computing[-1])
    orders = loop_orders(root, computing[computing.index(root) :])
    if orders is None:
        return False
    words = all(_in_vectors(kind, budget) for op in computing for kind in op.operands)
    interchange(computing[-1], orders[1])
    links = 1
    if root.name == "linalg.generic":
        interchange(root, orders[0])
        # Unrolled, a window is a chain of operations that go on with each other's result; of unknown size, the compiler
        # fuses such a chain only into an operation behind it.
        if root != computing[-1] or not _has_unknown_size(root):
            root, links = unroll_windows(root)
        elif any(dim is None or len(dim) > 1 for access in nest_of(root).inputs for dim in access.dims):
            links = 0
    tiling = choose(nest_of(root), budget, vectors=words and links > 0, links=links)
    if tiling is None:
        return False
    if root.name == "linalg.generic" and set(tiling.thread) == {1} and _reuses_along_reductions(nest_of(root)):
        if not _hide_contraction(root):
            return _serialise(computing)
    _attach(root, tiling, "BaseVectorize")
    return True


def _reuses_along_reductions(nest: Nest) -> bool:
    """Whether an operand stays the same along one of several loops that accumulate."""
    reductions = {loop for loop, reduces in enumerate(nest.reductions) if reduces}
    return len(reductions) > 1 and any(not reductions <= access.loops for access in nest.inputs)


def _hide_contraction(root: Any) -> bool:
    """Add zero to the products of computed numbers that are summed up; False for integers, which have no such zero.

    For a thread with one sum only: the lowering would take it for a contraction, which it unrolls along the innermost
    of several results, and it ends the process where there is none. The zero keeps it a sum."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    body = root.regions[0].blocks[0]
    for op in [item.operation for item in body.operations if item.operation.name in ("arith.addf", "arith.addi")]:
        for index, operand in enumerate(op.operands):
            factor = operand.owner
            if isinstance(factor, ir.Block) or factor.operation.name not in ("arith.mulf", "arith.muli"):
                continue
            if all(isinstance(value.owner, ir.Block) for value in factor.operation.operands):
                continue
            if op.name == "arith.addi":
                return False
            with op.context, op.location, ir.InsertionPoint(op):
                zero = arith.constant(operand.type, ir.FloatAttr.get(operand.type, 0.0))
                op.operands[index] = arith.addf(operand, zero)
    return True


def _in_vectors(operand: Any, budget: Budget) -> bool:
    """Whether elements can be read four at a time: words, and halves where the device has them. Others are emulated."""
    from iree.compiler import ir

    element = operand.type.element_type if isinstance(operand.type, ir.ShapedType) else operand.type
    width = element.width if isinstance(element, ir.IntegerType | ir.FloatType) else 0
    return width in (0, 32) or (budget.halves and isinstance(element, ir.F16Type))


def _distribute(op: Any, budget: Budget) -> bool:
    """Schedule a kernel of one operation for the scalar pipeline, where the compiler would vectorise it."""
    tiling = choose(nest_of(op), budget, vectors=False) if _is_nest(op) else None
    if tiling is None:
        return False
    _attach(op, replace(tiling, reduction=()), "BaseDistribute")
    return True


def _serialise(computing: Sequence[Any]) -> bool:
    """Schedule a kernel for the scalar pipeline with one thread per workgroup, which cannot run ahead of itself."""
    root = computing[-1] if computing else None
    if root is None:
        return False
    if root.name == "iree_linalg_ext.arg_compare":
        tiling = serial(_ranges(root.operands[0]), skip=_integer(root.attributes["dimension"]))
    elif all(_is_nest(op) for op in computing):
        root = next((op for op in reversed(computing) if any(nest_of(op).reductions)), root)
        nest = nest_of(root)
        tiling = serial(tuple(nest.ranges[loop] for loop in nest.parallel)) if _parallel_first(nest) else None
    else:
        return False
    if tiling is None:
        return False
    _attach(root, tiling, "BaseDistribute")
    return True


def _is_nest(op: Any) -> bool:
    return op.name == "linalg.generic" or op.name in NAMED_LOOPS


def _parallel_first(nest: Nest) -> bool:
    return nest.parallel == tuple(range(len(nest.parallel)))


def _ranges(value: Any) -> tuple[int | None, ...]:
    shaped = value.type
    return tuple(None if shaped.is_dynamic_dim(dim) else shaped.get_dim_size(dim) for dim in range(shaped.rank))


def _integer(attribute: Any) -> int:
    from iree.compiler import ir

    return int(ir.IntegerAttr(attribute).value)


def _has_64_bit_values(op: Any) -> bool:
    """Whether an operation computes on i64: the emulation by pairs of words takes no vectors of one element."""
    from iree.compiler import ir

    inner = [item.operation for region in op.regions for block in region.blocks for item in block.operations]
    kinds = [value.type for value in op.operands] + [result.type for item in inner for result in item.results]
    elements = [kind.element_type if isinstance(kind, ir.ShapedType) else kind for kind in kinds]
    return any(isinstance(kind, ir.IntegerType) and kind.width == 64 for kind in elements)


def loop_orders(root: Any, chain: Sequence[Any]) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Orders of the root's and of the last operation's loops in which both mean the same; None if there are none.

    `chain` are the computing operations from the root on. Threads are mapped to the loops of the last operation, tile
    sizes are given for those of the root. The root's parallel loops come first, in the order that the last operation
    has them; then the root's reductions, and the last operation's other loops.
    """
    nest = nest_of(root)
    outputs = nest.outputs
    if not outputs or any(not access.projected or access.dims != outputs[0].dims for access in outputs):
        return None
    origin_dims: list[int | None] = [dim[0][0] for dim in outputs[0].dims if dim]
    origins = {result: origin_dims for result in root.results}
    loops: list[int | None] = [loop if not reduces else None for loop, reduces in enumerate(nest.reductions)]
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
    if sorted(order) != list(nest.parallel):
        return None
    reductions = [loop for loop, reduces in enumerate(nest.reductions) if reduces]
    own = [index for index, loop in enumerate(loops) if loop is not None]
    other = [index for index, loop in enumerate(loops) if loop is None]
    return (*order, *reductions), (*own, *other)


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


def _attach(op: Any, tiling: Tiling, pipeline: str) -> None:
    from iree.compiler import ir

    levels = [list(level) for level in (tiling.workgroup, tiling.thread, tiling.reduction) if any(level)]
    op.attributes["compilation_info"] = ir.Attribute.parse(
        "#iree_codegen.compilation_info<"
        f"lowering_config = #iree_codegen.lowering_config<tile_sizes = {levels}>, "
        f"translation_info = #iree_codegen.translation_info<pipeline = #iree_gpu.spirv_pipeline<{pipeline}> "
        f"workgroup_size = {list(tiling.workgroup_size)}>>",
        op.context,
    )
