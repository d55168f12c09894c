"""Upper bounds of integers, as far as a few ops tell: enough to see that a shift amount stays below 32."""

from __future__ import annotations

from webree.codegen_wgsl.spirv import Value
from webree.codegen_wgsl.types import Scalar

__all__ = ["upper_bound"]


def upper_bound(value: Value, depth: int = 6) -> int | None:
    """The largest value that a scalar integer can have, read as u32; None if nothing is known."""
    op = value.op
    if op is None or depth == 0 or not isinstance(value.type, Scalar):
        return None
    if op.name == "spirv.Constant":
        number = op.attributes["value"]
        return number if isinstance(number, int) and number >= 0 else None
    bounds = [upper_bound(operand, depth - 1) for operand in op.operands]
    known = [bound for bound in bounds if bound is not None]
    result = None
    match op.name:
        case "spirv.BitwiseAnd" | "spirv.GL.UMin" if known:
            result = min(known)
        case "spirv.UMod" if bounds[1]:
            result = bounds[1] - 1
        case "spirv.IAdd" if len(known) == 2:
            result = sum(known)
        case "spirv.IMul" if len(known) == 2:
            result = known[0] * known[1]
        case "spirv.Select" if bounds[1] is not None and bounds[2] is not None:
            result = max(bounds[1], bounds[2])
    return result if result is not None and result < 0x80000000 else None
