"""Integer, float, bitwise, logical and comparison ops.

Integers are i32 with two's complement wrap-around, as in SPIR-V; unsigned ops go through u32. WGSL defines what
SPIR-V leaves open: x / 0 = x, INT_MIN / -1 = INT_MIN, x % 0 = 0.
Unordered comparisons are written as the negation of the opposite ordered one, which holds for NaN on IEEE
hardware and needs no test where an implementation assumes that there is none; `Ordered`, `Unordered` and
`IsNan`, `IsInf`, `IsFinite` look at the bits.
Spec: https://www.w3.org/TR/WGSL/#arithmetic-expr, #comparison-expr, #bit-expr
"""

from __future__ import annotations

from collections.abc import Callable

from webree.codegen_wgsl.emitter import Emitter
from webree.codegen_wgsl.expressions import Expr, binary, call, prefix
from webree.codegen_wgsl.ranges import upper_bound
from webree.codegen_wgsl.spirv import Op
from webree.codegen_wgsl.types import Scalar, Type, wgsl_type

__all__ = ["RULES"]

# op -> operator, for operands and result of one type (vector * scalar included).
_OPERATORS = {
    "spirv.IAdd": "+",
    "spirv.ISub": "-",
    "spirv.IMul": "*",
    "spirv.FAdd": "+",
    "spirv.FSub": "-",
    "spirv.FMul": "*",
    "spirv.FDiv": "/",
    "spirv.SDiv": "/",
    "spirv.SRem": "%",
    "spirv.VectorTimesScalar": "*",
    "spirv.BitwiseAnd": "&",
    "spirv.BitwiseOr": "|",
    "spirv.BitwiseXor": "^",
    # On booleans `&` and `|` evaluate both sides, as SPIR-V does; `&&` would become a branch.
    "spirv.LogicalAnd": "&",
    "spirv.LogicalOr": "|",
    "spirv.LogicalEqual": "==",
    "spirv.LogicalNotEqual": "!=",
}
# The same on the operands as u32; the result is u32 too.
_UNSIGNED_OPERATORS = {"spirv.UDiv": "/", "spirv.UMod": "%"}
_PREFIXES = {"spirv.SNegate": "-", "spirv.FNegate": "-", "spirv.Not": "~", "spirv.LogicalNot": "!"}
_INTEGER_COMPARISONS = {
    "spirv.IEqual": "==",
    "spirv.INotEqual": "!=",
    "spirv.SLessThan": "<",
    "spirv.SLessThanEqual": "<=",
    "spirv.SGreaterThan": ">",
    "spirv.SGreaterThanEqual": ">=",
}
_UNSIGNED_COMPARISONS = {
    "spirv.ULessThan": "<",
    "spirv.ULessThanEqual": "<=",
    "spirv.UGreaterThan": ">",
    "spirv.UGreaterThanEqual": ">=",
}
_ORDERED_COMPARISONS = {
    "spirv.FOrdEqual": "==",
    "spirv.FOrdLessThan": "<",
    "spirv.FOrdLessThanEqual": "<=",
    "spirv.FOrdGreaterThan": ">",
    "spirv.FOrdGreaterThanEqual": ">=",
}
# True unless the opposite ordered comparison is.
_UNORDERED_COMPARISONS = {
    "spirv.FUnordNotEqual": "==",
    "spirv.FUnordLessThan": ">=",
    "spirv.FUnordLessThanEqual": ">",
    "spirv.FUnordGreaterThan": "<=",
    "spirv.FUnordGreaterThanEqual": "<",
}


def _is_zero(expr: Expr) -> bool:
    values = expr.value if isinstance(expr.value, list) else [expr.value]
    return expr.is_const and any(value == 0 for value in values)


def _operator(emitter: Emitter, op: Op) -> None:
    left, right = emitter.arguments(op)
    operator = _OPERATORS[op.name]
    if operator in "/%" and _is_zero(right):
        right = emitter.runtime(right, op.operands[1].type)
    emitter.define(op.result, binary(left, operator, right))


def _unsigned_operator(emitter: Emitter, op: Op) -> None:
    emitter.arguments(op)
    left, right = _unsigned_pair(emitter, op)
    if _is_zero(emitter.expr(op.operands[1])):
        right = emitter.let(right, "c")
    result = binary(left, _UNSIGNED_OPERATORS[op.name], right)
    emitter.define(op.result, emitter.signed(result, op.result.type))


def _unsigned_pair(emitter: Emitter, op: Op) -> tuple[Expr, Expr]:
    """Both operands as u32, the left one at run time if both are constants."""
    left, right = (emitter.unsigned(operand) for operand in op.operands)
    if left.is_const and right.is_const:
        left = emitter.let(left, "c")
    return left, right


def _prefix(emitter: Emitter, op: Op) -> None:
    (operand,) = emitter.arguments(op)
    emitter.define(op.result, prefix(_PREFIXES[op.name], operand))


def _comparison(emitter: Emitter, op: Op) -> None:
    left, right = emitter.arguments(op)
    emitter.define(op.result, _compared(op, binary(left, _INTEGER_COMPARISONS[op.name], right, total_order=True)), "b")


def _unsigned_comparison(emitter: Emitter, op: Op) -> None:
    left, right = _unsigned_pair(emitter, op)
    compared = binary(left, _UNSIGNED_COMPARISONS[op.name], right, total_order=True)
    emitter.define(op.result, _compared(op, compared), "b")


def _compared(op: Op, expr: Expr) -> Expr:
    # `!` applies to vectors as well, but only a scalar is ever negated by control flow.
    return expr if isinstance(op.result.type, Scalar) else Expr(expr.text, expr.rank)


def _ordered_comparison(emitter: Emitter, op: Op) -> None:
    left, right = emitter.arguments(op)
    emitter.define(op.result, binary(left, _ORDERED_COMPARISONS[op.name], right), "b")


def _unordered_comparison(emitter: Emitter, op: Op) -> None:
    left, right = emitter.arguments(op)
    emitter.define(op.result, prefix("!", binary(left, _UNORDERED_COMPARISONS[op.name], right)), "b")


def _ordered_not_equal(emitter: Emitter, op: Op) -> None:
    left, right = (emitter.atom(operand) for operand in op.operands)
    emitter.define(op.result, binary(binary(left, "<", right), "|", binary(left, ">", right)), "b")


def _unordered_equal(emitter: Emitter, op: Op) -> None:
    left, right = (emitter.atom(operand) for operand in op.operands)
    different = binary(binary(left, "<", right), "|", binary(left, ">", right))
    emitter.define(op.result, prefix("!", different), "b")


def _helper_call(helper: str) -> Callable[[Emitter, Op], None]:
    """A polyfill that takes the operands as they are."""

    def rule(emitter: Emitter, op: Op) -> None:
        type_ = op.operands[0].type
        emitter.define(op.result, emitter.call_helper(helper, type_, emitter.arguments(op), op.result.type))

    return rule


def _ordered(emitter: Emitter, op: Op) -> None:
    emitter.define(op.result, prefix("!", _any_nan(emitter, op)), "b")


def _unordered(emitter: Emitter, op: Op) -> None:
    emitter.define(op.result, _any_nan(emitter, op), "b")


def _any_nan(emitter: Emitter, op: Op) -> Expr:
    type_ = op.operands[0].type
    left, right = (emitter.call_helper("is_nan", type_, [argument]) for argument in emitter.arguments(op))
    return binary(left, "|", right)


def _float_remainder(emitter: Emitter, op: Op) -> None:
    left, right = emitter.arguments(op)
    values = right.value if isinstance(right.value, list) else [right.value]
    if right.is_const and all(values):
        emitter.define(op.result, binary(left, "%", right))
    else:
        emitter.define(op.result, emitter.call_helper("frem", op.operands[0].type, [left, right], op.result.type))


# op -> operator, polyfill for amounts that may be 32 or more, whether it works on u32.
_SHIFTS = {
    "spirv.ShiftLeftLogical": ("<<", "shift_left", False),
    "spirv.ShiftRightLogical": (">>", "shift_right", True),
    "spirv.ShiftRightArithmetic": (">>", "shift_right_signed", False),
}


def _shift(emitter: Emitter, op: Op) -> None:
    """Shifts by 32 or more leave 0 or the sign.

    SPIR-V leaves them open, but the passes that emulate 64-bit integers count on it; WGSL takes amounts modulo 32,
    and calls larger constants errors, even behind a `let` in some compilers.
    """
    operator, helper, is_unsigned = _SHIFTS[op.name]
    value, _ = emitter.arguments(op)
    type_, amount_value = op.operands[0].type, op.operands[1]
    value = emitter.unsigned(value, type_) if is_unsigned else value
    amount, literal = emitter.unsigned(amount_value), emitter.expr(amount_value)
    numbers = literal.value if isinstance(literal.value, list) else [literal.value]
    bound = max(number & 0xFFFFFFFF for number in numbers) if literal.is_const else upper_bound(amount_value)
    if bound is not None and bound < 32:
        shifted = binary(value, operator, amount)
    else:
        amount = emitter.let(amount, "c") if amount.is_const else amount
        shifted = call(emitter.helper(helper, type_), value, amount)
    emitter.define(op.result, emitter.signed(shifted, op.result.type) if is_unsigned else shifted)


def _bit_field(emitter: Emitter, op: Op) -> None:
    *values, _, _ = emitter.arguments(op)
    offset, count = (emitter.unsigned(operand) for operand in op.operands[-2:])
    if offset.is_const and count.is_const and int(offset.value or 0) + int(count.value or 0) > 32:
        offset = emitter.let(offset, "c")
    match op.name:
        case "spirv.BitFieldInsert":
            result = call("insertBits", *values, offset, count)
        case "spirv.BitFieldSExtract":
            result = call("extractBits", *values, offset, count)
        case _:
            type_ = op.operands[0].type
            extracted = call("extractBits", emitter.unsigned(values[0], type_), offset, count)
            result = emitter.signed(extracted, type_)
    emitter.define(op.result, result)


def _select(emitter: Emitter, op: Op) -> None:
    condition, true_value, false_value = emitter.arguments(op)
    emitter.define(op.result, call("select", false_value, true_value, condition))


def _carry(emitter: Emitter, op: Op) -> None:
    """(sum, carry) and (difference, borrow), both members as integers."""
    left, right = (emitter.atom(operand) for operand in op.operands)
    type_ = op.operands[0].type
    u_left, u_right = emitter.unsigned(left, type_), emitter.unsigned(right, type_)
    if left.is_const and right.is_const:
        left = emitter.runtime(left, type_)
        u_left = emitter.unsigned(left, type_)
    if op.name == "spirv.IAddCarry":
        low = emitter.let(binary(left, "+", right), "sum")
        flag = binary(emitter.unsigned(low, type_), "<", u_left)
    else:
        low = emitter.let(binary(left, "-", right), "difference")
        flag = binary(u_left, "<", u_right)
    emitter.bind(op.result, Expr("", members=(low, emitter.let(_as_integer(flag, type_), "carry"))))


def _as_integer(flag: Expr, type_: Type) -> Expr:
    return call(wgsl_type(type_), flag)


def _mul_extended(emitter: Emitter, op: Op) -> None:
    """(low, high) halves of the 64-bit product."""
    left, right = (emitter.atom(operand) for operand in op.operands)
    type_ = op.operands[0].type
    if left.is_const and right.is_const:
        left = emitter.runtime(left, type_)
    low = emitter.let(binary(left, "*", right), "low")
    if op.name == "spirv.UMulExtended":
        unsigned = call(
            emitter.helper("umul_high", type_), emitter.unsigned(left, type_), emitter.unsigned(right, type_)
        )
        high = emitter.signed(unsigned, type_)
    else:
        high = call(emitter.helper("smul_high", type_), left, right)
    emitter.bind(op.result, Expr("", members=(low, emitter.let(high, "high"))))


def _packed_dot(emitter: Emitter, op: Op) -> None:
    """Dot products of four 8-bit integers packed in a word."""
    emitter.arguments(op)
    left, right = _unsigned_pair(emitter, op)
    product = call("dot4I8Packed" if op.name == "spirv.SDot" else "dot4U8Packed", left, right)
    emitter.define(op.result, product if op.name == "spirv.SDot" else emitter.signed(product, op.result.type))


RULES: dict[str, Callable[[Emitter, Op], None]] = {
    **dict.fromkeys(_OPERATORS, _operator),
    **dict.fromkeys(_UNSIGNED_OPERATORS, _unsigned_operator),
    **dict.fromkeys(_PREFIXES, _prefix),
    **dict.fromkeys(_INTEGER_COMPARISONS, _comparison),
    **dict.fromkeys(_UNSIGNED_COMPARISONS, _unsigned_comparison),
    **dict.fromkeys(_ORDERED_COMPARISONS, _ordered_comparison),
    **dict.fromkeys(_UNORDERED_COMPARISONS, _unordered_comparison),
    "spirv.FOrdNotEqual": _ordered_not_equal,
    "spirv.FUnordEqual": _unordered_equal,
    "spirv.Ordered": _ordered,
    "spirv.Unordered": _unordered,
    "spirv.IsNan": _helper_call("is_nan"),
    "spirv.IsInf": _helper_call("is_inf"),
    "spirv.IsFinite": _helper_call("is_finite"),
    "spirv.SMod": _helper_call("smod"),
    "spirv.FRem": _float_remainder,
    "spirv.FMod": _helper_call("fmod_floor"),
    **dict.fromkeys(_SHIFTS, _shift),
    **dict.fromkeys(("spirv.BitFieldInsert", "spirv.BitFieldSExtract", "spirv.BitFieldUExtract"), _bit_field),
    "spirv.Select": _select,
    "spirv.IAddCarry": _carry,
    "spirv.ISubBorrow": _carry,
    "spirv.UMulExtended": _mul_extended,
    "spirv.SMulExtended": _mul_extended,
    "spirv.SDot": _packed_dot,
    "spirv.UDot": _packed_dot,
}
