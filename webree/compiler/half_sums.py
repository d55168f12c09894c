"""Sums in f16 on devices without f16: which kernels have them, and what in these is no sum.

Enters: kernels at `executable-sources` of a module that accumulates in f16 by choice, for a profile without
`shader-f16`. Leaves: the names of those that add up in f16. Their other f16 arithmetic is done in f32, so that what is
left in f16 are the sums; the translator rounds each of their steps, and keeps all else in f32 as it always does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from webree.compiler.walking import walk

__all__ = ["separate_sums"]

_ROUNDED = frozenset({"arith.addf", "arith.subf", "arith.mulf", "arith.divf", "arith.remf"})


def separate_sums(kernels: Sequence[Any]) -> frozenset[str]:
    """Change the kernels in place; returns the exports of those with sums in f16."""
    from iree.compiler import ir

    names: set[str] = set()
    for kernel in kernels:
        operations = list(walk(kernel))
        sums = {step for op in operations for step in _steps(op)}
        if not sums:
            continue
        names |= {
            str(ir.StringAttr(op.attributes["sym_name"]).value)
            for op in operations
            if op.name == "hal.executable.export"
        }
        _widen([op for op in operations if _is_half_arithmetic(op) and op not in sums])
    return frozenset(names)


def _steps(op: Any) -> list[Any]:
    """The additions to f16 accumulators in a reduction's body, and the products that they add if nothing else is."""
    if not op.name.startswith("linalg.") or len(op.regions) != 1 or not op.results:
        return []
    block = op.regions[0].blocks[0]
    inner = [item.operation for item in block]
    if not inner or inner[-1].name != "linalg.yield":
        return []
    accumulators = list(block.arguments)[-len(op.results) :]
    steps = []
    for value, accumulator in zip(inner[-1].operands, accumulators, strict=True):
        total = getattr(value.owner, "operation", value.owner)
        if getattr(total, "name", "") == "arith.addf" and accumulator in list(total.operands):
            steps += [total] if _is_half_arithmetic(total) else []
    if len(steps) == 1 and len(inner) == 3 and inner[0].name == "arith.mulf":
        steps.append(inner[0])
    return steps


def _is_half_arithmetic(op: Any) -> bool:
    return op.name in _ROUNDED and str(op.results[0].type) == "f16"


def _widen(operations: Sequence[Any]) -> None:
    """The same in f32, rounded to f16 where something else needs it."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    wide: dict[Any, Any] = {}
    for op in operations:
        with op.context, op.location, ir.InsertionPoint(op):
            single = ir.F32Type.get()
            operands = [wide.get(operand) or arith.extf(single, operand) for operand in op.operands]
            result = ir.Operation.create(op.name, [single], operands).results[0]
            rounded = arith.truncf(op.results[0].type, result)
        op.results[0].replace_all_uses_with(rounded)
        wide[rounded] = result
    for op in reversed(operations):
        op.erase()
