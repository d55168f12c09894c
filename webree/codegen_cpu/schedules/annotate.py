"""Tile sizes chosen: from the compiler's own configurations of kernels to ones that fit 128-bit vectors.

Enters: the module at phase `executable-configurations`: one function of linalg operations per kernel, each operation
with the compiler's lowering configuration. Leaves: the same module, in which the kernels of a known kind have other
tile sizes. Every kernel keeps the compiler's passes; a kernel of an unknown kind keeps its configuration as well.

WebAssembly has no masked vectors, so a tile that does not divide its loop is peeled: the compiler emits the whole tiles
and the rest apart. 16 vector registers are what engines have on x86: a tile of 4 rows and 8 columns takes 8 of them for
results, 2 for a row of weights, the others for an element of each row spread over a vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from webree.codegen_cpu.schedules.tiles import Tiling, choose, is_dequantised
from webree.codegen_wgsl.schedules.nest import NAMED_LOOPS, nest_of

__all__ = ["annotate"]


def annotate(module: Any, profile: Any) -> int:
    """Change the configurations of the kernels in a module or a variant at `executable-configurations`; returns how
    many were changed."""
    return sum(_annotate_kernel(function) for function in list(_kernels(module.operation)))


def _kernels(op: Any) -> Iterator[Any]:
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                if inner.operation.name == "func.func":
                    yield inner.operation
                elif inner.operation.name in ("hal.executable", "hal.executable.variant", "builtin.module"):
                    yield from _kernels(inner.operation)


def _annotate_kernel(function: Any) -> bool:
    if len(function.regions[0].blocks) != 1:
        return False
    operations = [inner.operation for inner in function.regions[0].blocks[0].operations]
    computing = [op for op in operations if "lowering_config" in op.attributes]
    if not all(_is_nest(op) or op.name == "linalg.fill" for op in computing):
        return False
    roots = [op for op in computing if _is_nest(op) and any(nest_of(op).reductions)]
    if len(roots) != 1:
        return False
    (root,) = roots
    nest = nest_of(root)
    tiling = choose(nest, _body(root))
    if tiling is None:
        return False
    loops = _loops_of_results(root, nest, computing)
    if loops is None:
        return False
    _configure(root, distribution=tiling.workgroup, vector_common_parallel=tiling.vector, vector_reduction=tiling.steps)
    for op, own in loops.items():
        _configure(op, vector_common_parallel=[tiling.vector[loop] for loop in own])
    _translate(function, tiling)
    if is_dequantised(_body(root)):
        _keep_elementwise(root)
    return True


def _is_nest(op: Any) -> bool:
    return op.name == "linalg.generic" or op.name in NAMED_LOOPS


def _body(op: Any) -> tuple[str, ...]:
    return tuple(item.operation.name for item in op.regions[0].blocks[0].operations)[:-1]


def _loops_of_results(root: Any, nest: Any, computing: Sequence[Any]) -> dict[Any, list[int]] | None:
    """For every operation but the root, the root's loop of each of its own; None if some are no loops of the root.

    Fills and elementwise operations only: their loops are the dimensions of their results."""
    outputs = nest.outputs
    if len(outputs) != 1 or not outputs[0].projected:
        return None
    dims = [dim[0][0] for dim in outputs[0].dims]
    loops: dict[Any, list[int]] = {}
    seen = False
    for op in computing:
        if op == root:
            seen = True
            continue
        kind = op.results[0].type
        if kind.rank != len(dims) or kind.shape != root.results[0].type.shape:
            return None
        if op.name == "linalg.fill":
            loops[op] = dims
            continue
        own = nest_of(op)
        identity = all(access.dims == tuple(((loop, 1),) for loop in range(kind.rank)) for access in own.outputs)
        if not seen or any(own.reductions) or not own.straight or not identity:
            return None
        if any(
            operand == root.results[0] and access.dims != own.outputs[0].dims
            for operand, access in zip(op.operands, own.accesses, strict=True)
        ):
            return None
        loops[op] = dims
    return loops


def _configure(op: Any, **levels: Sequence[int]) -> None:
    from iree.compiler import ir

    text = ", ".join(f"{name} = {list(sizes)}" for name, sizes in levels.items())
    op.attributes["lowering_config"] = ir.Attribute.parse(f"#iree_cpu.lowering_config<{text}>", op.context)


def _keep_elementwise(root: Any) -> None:
    """Multiply and add vectors of columns: the compiler takes a product that is added up for a contraction, and where
    one side has no columns it computes one element at a time. A product with its own sign is none; LLVM drops that."""
    from iree.compiler import ir

    *_, product, total, _ = [item.operation for item in root.regions[0].blocks[0].operations]
    with root.context, total.location, ir.InsertionPoint(total):
        value = product.results[0]
        same = ir.Operation.create("math.copysign", [value.type], [value, value]).results[0]
    for index, operand in enumerate(total.operands):
        if operand == value:
            total.operands[index] = same


def _translate(function: Any, tiling: Tiling) -> None:
    from iree.compiler import ir

    function.attributes["translation_info"] = ir.Attribute.parse(
        f"#iree_codegen.translation_info<pipeline = #iree_cpu.pipeline<{tiling.pipeline}>, "
        "{enable_loop_peeling = true}>",
        function.context,
    )
