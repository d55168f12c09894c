"""i16 in values: kept in i32, while storage stays 16 bits wide.

Enters: a `SpirvModule` whose values and buffers may be i16: modules with f16 have them, for the passes lay all types of
16 bits out in one way; bf16 is i16 there. Leaves: the same module, in which every value is i32 and only storage buffers
still are arrays of i16. `rules/half.py` loads and stores them, and has the bit casts of all types of 16 bits. The upper
16 bits of a value are anything; an operation that sees them gets its operands extended first. Operations that do not
are the same on 32 bits.
"""

from __future__ import annotations

from webree.codegen_wgsl.half import widen_values
from webree.codegen_wgsl.spirv import Op, SpirvModule, Value, walk
from webree.codegen_wgsl.types import F16, I16, I32, Scalar, Type, Vector, scalar_of

__all__ = ["CAST", "SIGN_EXTEND", "ZERO_EXTEND", "widen_shorts"]

# What becomes of ops whose meaning lies in the 16 bits.
CAST = "bits of 16"
SIGN_EXTEND = "i16 with its sign"
ZERO_EXTEND = "i16 without a sign"

_SIGNED = frozenset(
    {f"spirv.S{name}{equal}" for name in ("LessThan", "GreaterThan") for equal in ("", "Equal")}
    | {"spirv.SDiv", "spirv.SRem", "spirv.SMod", "spirv.ConvertSToF", "spirv.ShiftRightArithmetic"}
    | {"spirv.GL.SAbs", "spirv.GL.SSign", "spirv.GL.SMax", "spirv.GL.SMin", "spirv.GL.SClamp"}
)
_UNSIGNED = frozenset(
    {f"spirv.U{name}{equal}" for name in ("LessThan", "GreaterThan") for equal in ("", "Equal")}
    | {"spirv.UDiv", "spirv.UMod", "spirv.ConvertUToF", "spirv.ShiftRightLogical", "spirv.ShiftLeftLogical"}
    | {"spirv.IEqual", "spirv.INotEqual", "spirv.BitCount", "spirv.Switch"}
    | {"spirv.GL.UMax", "spirv.GL.UMin", "spirv.GL.UClamp", "spirv.GL.FindUMsb", "spirv.GL.FindILsb"}
)
_CONVERSIONS = {"spirv.SConvert": SIGN_EXTEND, "spirv.UConvert": ZERO_EXTEND}


def widen_shorts(module: SpirvModule) -> None:
    """Rewrites all functions and variables of `module` in place."""
    for function in module.functions.values():
        for op in list(walk(function.body)):
            if any(_is_narrow(value.type) for value in (*op.operands, *op.results)):
                _rewrite(op)
    widen_values(module, I16, I32)


def _is_narrow(type_: Type) -> bool:
    """Of 16 bits, i16 or f16."""
    return isinstance(type_, Scalar | Vector) and scalar_of(type_) in (F16, I16)


def _is_short(type_: Type) -> bool:
    return type_ == I16 or (isinstance(type_, Vector) and type_.element == I16)


def _rewrite(op: Op) -> None:
    source = op.operands[0].type if op.operands else I32
    if op.name in _CONVERSIONS and _is_short(source):
        op.name = _CONVERSIONS[op.name]
    elif op.name == "spirv.Bitcast" and source != op.result.type:
        op.name = CAST
        op.attributes = {"from": source, "to": op.result.type}
    elif op.name in _SIGNED:
        _extend(op, SIGN_EXTEND)
    elif op.name in _UNSIGNED:
        _extend(op, ZERO_EXTEND)


def _extend(op: Op, name: str) -> None:
    """Puts an extension before each short operand."""
    for number, operand in enumerate(op.operands):
        if not _is_short(operand.type):
            continue
        shape = operand.type
        wide = Vector(I32, shape.count) if isinstance(shape, Vector) else Scalar("i32")
        value = Value(wide)
        value.op = Op(name, op.block, [operand], [value], {}, [], [], op._source)
        op.block.ops.insert(op.block.ops.index(op), value.op)
        operand.uses[operand.uses.index(op)] = value.op
        value.uses.append(op)
        op.operands[number] = value
