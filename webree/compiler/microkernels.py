"""Which VMVX kernels may call microkernels.

Enters: the module at `executable-sources`, every kernel of it for the profile with microkernels. Leaves: the same
module, in which the kernels that the compiler gets wrong with microkernels are compiled as loops:
- those with an operation of one input that is read in another order than the result is written in: it passes the
  strides in the wrong order, so that the microkernel reads out of bounds;
- those with comparisons: it makes operations of their own of them, whose results are tensors of single bits, which
  it cannot lower.
"""

from __future__ import annotations

from typing import Any

from webree.compiler.cpu_target import BYTECODE_FORMAT, CpuProfile
from webree.compiler.executables import variants
from webree.compiler.walking import walk

__all__ = ["loops_where_needed", "same_target"]


def loops_where_needed(module: Any, loops: CpuProfile) -> list[str]:
    """Change the target of such kernels to the profile of loops; returns their executables' symbols."""
    from iree.compiler import ir

    changed = []
    with module.context:
        target = ir.Attribute.parse(loops.executable_target())
        for symbol, variant in variants(module, BYTECODE_FORMAT):
            if any(_permutes(op) or _is_bit(op) for op in walk(variant)):
                variant.attributes["target"] = target
                changed.append(symbol)
    return changed


def same_target(module: Any, profile: CpuProfile) -> None:
    """Give all VMVX kernels of a module at `executable-targets` one target: it is linked target by target."""
    from iree.compiler import ir

    with module.context:
        target = ir.Attribute.parse(profile.executable_target())
        for _, variant in variants(module, BYTECODE_FORMAT):
            variant.attributes["target"] = target


def _is_bit(op: Any) -> bool:
    return any(str(result.type) == "i1" for result in op.results)


def _permutes(op: Any) -> bool:
    """Whether an operation of one input reads it in another order of its loops than it writes the result."""
    from iree.compiler.dialects import linalg

    if not op.name.startswith("linalg.") or op.name in ("linalg.index", "linalg.yield", "linalg.fill"):
        return False
    if op.name == "linalg.transpose":
        return True
    if len(op.operands) != 2 or len(op.results) != 1:
        return False
    maps = linalg.get_indexing_maps(op)
    orders = [_order(attribute.value) for attribute in maps] if maps is not None else []
    if len(orders) != 2 or None in orders:
        return False
    read, written = orders
    assert read is not None
    assert written is not None
    return read != [loop for loop in written if loop in read]


def _order(mapping: Any) -> list[int] | None:
    """The loops that an affine map's results are; None if they are anything else."""
    from iree.compiler import ir

    results = list(mapping.results)
    if not all(isinstance(result, ir.AffineDimExpr) for result in results):
        return None
    return [ir.AffineDimExpr(result).position for result in results]
