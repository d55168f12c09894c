"""Math functions: GLSL.std.450 ops, conversions, and the integer functions with WGSL names.

Accuracy is what the implementation gives its built-in functions (WGSL states bounds in ULP). Polyfills stand where
implementations are known to fail: `tanh` overflows to NaN for large inputs in some, `pow` gives NaN for exponent 0.
Spec: https://www.w3.org/TR/WGSL/#numeric-builtin-functions, https://registry.khronos.org/SPIR-V/specs/unified1/GLSL.std.450.html
"""

from __future__ import annotations

from collections.abc import Callable

from webree.codegen_wgsl.emitter import Emitter
from webree.codegen_wgsl.expressions import Expr, call
from webree.codegen_wgsl.spirv import Op
from webree.codegen_wgsl.types import Vector, wgsl_type, with_scalar

__all__ = ["RULES"]

# op -> built-in function of the same operands.
_CALLS = {
    "spirv.GL.Acos": "acos",
    "spirv.GL.Acosh": "acosh",
    "spirv.GL.Asin": "asin",
    "spirv.GL.Asinh": "asinh",
    "spirv.GL.Atan": "atan",
    "spirv.GL.Atanh": "atanh",
    "spirv.GL.Ceil": "ceil",
    "spirv.GL.Cos": "cos",
    "spirv.GL.Cosh": "cosh",
    "spirv.GL.Cross": "cross",
    "spirv.GL.Distance": "distance",
    "spirv.GL.Exp": "exp",
    "spirv.GL.Exp2": "exp2",
    "spirv.GL.FAbs": "abs",
    "spirv.GL.FClamp": "clamp",
    "spirv.GL.FMax": "max",
    "spirv.GL.FMin": "min",
    "spirv.GL.FMix": "mix",
    "spirv.GL.FSign": "sign",
    "spirv.GL.FindILsb": "firstTrailingBit",
    "spirv.GL.FindSMsb": "firstLeadingBit",
    "spirv.GL.Floor": "floor",
    "spirv.GL.Fma": "fma",
    "spirv.GL.Fract": "fract",
    "spirv.GL.InverseSqrt": "inverseSqrt",
    "spirv.GL.Ldexp": "ldexp",
    "spirv.GL.Length": "length",
    "spirv.GL.Log": "log",
    "spirv.GL.Log2": "log2",
    "spirv.GL.Normalize": "normalize",
    "spirv.GL.Reflect": "reflect",
    "spirv.GL.RoundEven": "round",
    "spirv.GL.SAbs": "abs",
    "spirv.GL.SClamp": "clamp",
    "spirv.GL.SMax": "max",
    "spirv.GL.SMin": "min",
    "spirv.GL.SSign": "sign",
    "spirv.GL.Sin": "sin",
    "spirv.GL.Sinh": "sinh",
    "spirv.GL.Sqrt": "sqrt",
    "spirv.GL.Tan": "tan",
    "spirv.GL.Trunc": "trunc",
    "spirv.BitCount": "countOneBits",
    "spirv.BitReverse": "reverseBits",
    "spirv.Dot": "dot",
}
# The same on u32: operands and result are reinterpreted.
_UNSIGNED_CALLS = {
    "spirv.GL.UMax": "max",
    "spirv.GL.UMin": "min",
    "spirv.GL.UClamp": "clamp",
    "spirv.GL.FindUMsb": "firstLeadingBit",
}
# Helper functions of ours; scalars and vectors alike.
_HELPERS = {
    "spirv.GL.Tanh": "tanh_stable",
    "spirv.GL.Pow": "pow_total",
    "spirv.GL.Round": "round_away",
    "spirv.GL.NMax": "nmax",
    "spirv.GL.NMin": "nmin",
}
# f32 vectors <-> a packed word.
_PACKS = {"spirv.GL.PackHalf2x16": "pack2x16float", "spirv.GL.PackSnorm4x8": "pack4x8snorm"}
_UNPACKS = {"spirv.GL.UnpackHalf2x16": "unpack2x16float", "spirv.GL.UnpackSnorm4x8": "unpack4x8snorm"}

# Functions whose constant arguments WGSL checks even beside run-time ones (low <= high, the exponent's range).
_CHECKED = {"clamp", "ldexp"}


def _call(emitter: Emitter, op: Op) -> None:
    function = _CALLS[op.name]
    first = emitter.expr(op.operands[0])
    if function == "abs" and first.is_const and isinstance(first.value, int) and first.value > -0x80000000:
        # The modulo of index arithmetic leaves these behind.
        emitter.bind(op.result, emitter.constant(op.result.type, abs(first.value)))
        return
    arguments = emitter.arguments(op)
    if function in _CHECKED:
        arguments[1] = emitter.runtime(arguments[1], op.operands[1].type) if _unchecked(arguments) else arguments[1]
    emitter.define(op.result, call(function, *arguments))


def _unchecked(arguments: list[Expr]) -> bool:
    """True if the constants beside the first argument might be refused."""
    bounds = [argument.value for argument in arguments[1:]]
    if any(not isinstance(bound, int | float) for bound in bounds):
        return any(argument.is_const for argument in arguments[1:])
    return len(bounds) == 1 or bounds[0] > bounds[1]


def _unsigned_call(emitter: Emitter, op: Op) -> None:
    arguments = [emitter.unsigned(operand) for operand in op.operands]
    if all(argument.is_const for argument in arguments):
        arguments[0] = emitter.let(arguments[0], "c")
    result = call(_UNSIGNED_CALLS[op.name], *arguments)
    emitter.define(op.result, emitter.signed(result, op.result.type))


def _helper(emitter: Emitter, op: Op) -> None:
    type_ = op.result.type
    emitter.define(op.result, emitter.call_helper(_HELPERS[op.name], type_, emitter.arguments(op), type_))


def _pack(emitter: Emitter, op: Op) -> None:
    emitter.define(op.result, emitter.signed(call(_PACKS[op.name], *emitter.arguments(op)), op.result.type))


def _unpack(emitter: Emitter, op: Op) -> None:
    word = emitter.unsigned(op.operands[0])
    word = emitter.let(word, "c") if word.is_const else word
    emitter.define(op.result, call(_UNPACKS[op.name], word))


def _frexp(emitter: Emitter, op: Op) -> None:
    parts = emitter.let(call("frexp", *emitter.arguments(op)), "parts")
    emitter.bind(op.result, Expr("", members=(Expr(f"{parts.text}.fract"), Expr(f"{parts.text}.exp"))))


def _convert(emitter: Emitter, op: Op) -> None:
    """Value conversions spelled as the target type: i32(x) saturates and truncates, f32(x) rounds."""
    (operand,) = emitter.arguments(op)
    if op.operands[0].type == op.result.type:
        emitter.bind(op.result, operand)
    else:
        emitter.define(op.result, call(wgsl_type(op.result.type), operand))


def _float_to_unsigned(emitter: Emitter, op: Op) -> None:
    (operand,) = emitter.arguments(op)
    converted = call(with_scalar(op.result.type, "u32"), operand)
    emitter.define(op.result, emitter.signed(converted, op.result.type))


def _unsigned_to_float(emitter: Emitter, op: Op) -> None:
    word = emitter.unsigned(op.operands[0])
    word = emitter.let(word, "c") if word.is_const else word
    emitter.define(op.result, call(wgsl_type(op.result.type), word))


def _bitcast(emitter: Emitter, op: Op) -> None:
    (operand,) = emitter.arguments(op)
    if op.operands[0].type == op.result.type:
        emitter.bind(op.result, operand)
        return
    target = wgsl_type(op.result.type)
    emitter.define(op.result, Expr(f"bitcast<{target}>({operand.text})"))


def _cross_lane(emitter: Emitter, op: Op) -> None:
    """any() and all() of a vector of booleans."""
    (operand,) = emitter.arguments(op)
    is_vector = isinstance(op.operands[0].type, Vector)
    emitter.define(op.result, call("any" if op.name == "spirv.Any" else "all", operand) if is_vector else operand)


RULES: dict[str, Callable[[Emitter, Op], None]] = {
    **dict.fromkeys(_CALLS, _call),
    **dict.fromkeys(_UNSIGNED_CALLS, _unsigned_call),
    **dict.fromkeys(_HELPERS, _helper),
    **dict.fromkeys(_PACKS, _pack),
    **dict.fromkeys(_UNPACKS, _unpack),
    "spirv.GL.FrexpStruct": _frexp,
    **dict.fromkeys(
        ("spirv.ConvertFToS", "spirv.ConvertSToF", "spirv.FConvert", "spirv.SConvert", "spirv.UConvert"), _convert
    ),
    "spirv.ConvertFToU": _float_to_unsigned,
    "spirv.ConvertUToF": _unsigned_to_float,
    "spirv.Bitcast": _bitcast,
    "spirv.Any": _cross_lane,
    "spirv.All": _cross_lane,
}
