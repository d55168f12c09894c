"""Operations that stand for several linalg operations, taken apart before kernels are formed.

Enters: the module at phase `input`. Leaves: the same module, in which attention is two products and a softmax between
them (with the whole row of scores in memory), and custom operations and reductions with an exponential are what they
stand for. Each part then becomes a kernel with a schedule of its own; the compiler's fused form of attention needs
tiles in workgroup memory, which the SPIR-V backend has no schedule for. For the CPU it is taken apart where extents are
unknown: the fused form then would need memory of unknown size.
"""

from __future__ import annotations

from typing import Any

from webree.compiler.walking import walk

__all__ = ["take_apart"]

_AGGREGATES = ("attention", "online_attention", "exp_reduction", "custom_op")

# Taken apart directly, attention divides the sums by the scores (3.13.0).
_ONLINE = "iree-linalg-ext-convert-attention-to-online-attention"


def take_apart(module: Any, *, only_of_unknown_size: bool = False) -> bool:
    """Change the module (an `ir.Module` or its operation) in place; returns whether there was something to do.

    `only_of_unknown_size`: in the functions alone where an extent of such an operation is unknown."""
    from iree.compiler.passmanager import PassManager

    names = {f"iree_linalg_ext.{name}" for name in _AGGREGATES}
    found = False
    for function in _functions(module.operation):
        if any(op.name in names and not (only_of_unknown_size and _is_static(op)) for op in walk(function)):
            ops = ",".join(sorted(names))
            passes = f"{_ONLINE},iree-linalg-ext-decompose-aggregated-ops{{filter-ops={ops}}},canonicalize,cse"
            PassManager.parse(f"{function.name}({passes})", function.context).run(function)
            found = True
    return found


def _is_static(op: Any) -> bool:
    from iree.compiler import ir

    return all(value.type.has_static_shape for value in op.operands if isinstance(value.type, ir.RankedTensorType))


def _functions(module: Any) -> list[Any]:
    return [op for op in walk(module) if op.name in ("util.func", "func.func")]
