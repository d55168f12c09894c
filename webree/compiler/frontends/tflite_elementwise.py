"""Element-wise operators of TensorFlow Lite: arithmetic, comparisons, activations, casts, quantisation.

Enters: an `Operator`. Leaves: one kernel, or a constant where all inputs are constants that a shape is computed from.
Meaning of each: https://www.tensorflow.org/mlir/tfl_ops
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from webree.compiler.frontends.tflite_body import Body, Scalar
from webree.compiler.frontends.tflite_folding import fold_binary
from webree.compiler.frontends.tflite_operator import Operator, Rule, activate, dequantized, quantized
from webree.compiler.frontends.tflite_values import Value, is_float, is_unsigned, numpy_type, signless

__all__ = ["RULES"]

Unary = Callable[[Body, Scalar], Scalar]
Binary = Callable[[Body, Scalar, Scalar], Scalar]


def _unary(compute: Unary) -> Rule:
    return lambda op: op.kernel([op.value(0)], compute)


def _binary(name: str) -> Rule:
    """Arithmetic with a fused activation; sizes are calculated at once."""

    def rule(op: Operator) -> Value:
        left, right = op.value(0), op.value(1)
        folded = fold_binary(op, op.info.name, left, right)
        if folded is not None:
            return folded
        return op.kernel([left, right], lambda b, x, y: activate(op, b, b.binary(name, x, y)))

    return rule


def _compare(predicate: str) -> Rule:
    return lambda op: op.kernel([op.value(0), op.value(1)], lambda b, x, y: b.compare(predicate, x, y), dtype="i1")


def _logistic(b: Body, x: Scalar) -> Scalar:
    return b.div(b.constant(1.0, x.dtype), b.add(b.math("exp", b.math("negf", x)), 1.0))


def _absolute(b: Body, x: Scalar) -> Scalar:
    return b.math("absf" if is_float(x.dtype) else "absi", x)


def _negative(b: Body, x: Scalar) -> Scalar:
    return b.math("negf", x) if is_float(x.dtype) else b.sub(b.constant(0, x.dtype), x)


def _sign(b: Body, x: Scalar) -> Scalar:
    zero, one = b.constant(0, x.dtype), b.constant(1, x.dtype)
    below = b.select(b.compare("lt", x, zero), b.constant(-1, x.dtype), x)
    return b.select(b.compare("gt", x, zero), one, below)


def _elu(b: Body, x: Scalar) -> Scalar:
    return b.select(b.compare("ge", x, 0.0), x, b.math("expm1", x))


def _hard_swish(b: Body, x: Scalar) -> Scalar:
    return b.mul(b.mul(x, b.clamp(b.add(x, 3.0), 0.0, 6.0)), 1 / 6)


def _gelu(op: Operator) -> Value:
    def exact(b: Body, x: Scalar) -> Scalar:
        return b.mul(b.mul(x, 0.5), b.add(b.math("erf", b.mul(x, math.sqrt(0.5))), 1.0))

    def approximate(b: Body, x: Scalar) -> Scalar:
        inner = b.mul(b.add(x, b.mul(b.mul(b.mul(x, x), x), 0.044715)), math.sqrt(2 / math.pi))
        return b.mul(b.mul(x, 0.5), b.add(b.math("tanh", inner), 1.0))

    return op.kernel([op.value(0)], approximate if op.options["approximate"] else exact)


def _leaky_relu(op: Operator) -> Value:
    alpha = op.options["alpha"]
    return op.kernel([op.value(0)], lambda b, x: b.select(b.compare("ge", x, 0.0), x, b.mul(x, alpha)))


def _prelu(op: Operator) -> Value:
    alpha = op.real(op.value(1))
    return op.kernel([op.value(0), alpha], lambda b, x, a: b.select(b.compare("ge", x, 0.0), x, b.mul(x, a)))


def _floor_div(b: Body, x: Scalar, y: Scalar) -> Scalar:
    if is_float(x.dtype):
        return b.math("floor", b.div(x, y))
    return b.binary("floor_div", x, y)


def _floor_mod(b: Body, x: Scalar, y: Scalar) -> Scalar:
    """The remainder with the divisor's sign."""
    rest = b.binary("rem", x, y)
    if is_unsigned(x.dtype):
        return rest
    zero = b.constant(0, x.dtype)
    differs = b.binary("xor", b.compare("lt", rest, zero), b.compare("lt", y, zero))
    wrong = b.binary("logical_and", differs, b.compare("ne", rest, zero))
    return b.select(wrong, b.add(rest, y), rest)


def _calculate(compute: Binary) -> Rule:
    def rule(op: Operator) -> Value:
        left, right = op.value(0), op.value(1)
        folded = fold_binary(op, op.info.name, left, right)
        return folded if folded is not None else op.kernel([left, right], compute)

    return rule


def _squared_difference(b: Body, x: Scalar, y: Scalar) -> Scalar:
    difference = b.sub(x, y)
    return b.mul(difference, difference)


def _select(op: Operator) -> Value:
    """SELECT takes a condition of one dimension along the first one; SELECT_V2 broadcasts."""
    condition, left, right = op.value(0), op.value(1), op.value(2)
    if op.info.name == "SELECT" and condition.rank == 1 and left.rank > 1:
        condition = op.emitter.reshape(condition, [condition.shape[0]] + [1] * (left.rank - 1))
    return op.kernel([condition, left, right], lambda b, c, x, y: b.select(c, x, y))


def _add_n(op: Operator) -> Value:
    values = [op.value(position) for position in range(len(op.inputs))]

    def compute(b: Body, first: Scalar, *others: Scalar) -> Scalar:
        for other in others:
            first = b.add(first, other)
        return first

    return op.kernel(values, compute)


def _cast(op: Operator) -> Value:
    value = op.value(0)
    if value.imaginary is not None and op.dtype == "f32":
        return Value(value.ssa, "f32", value.shape)  # the real part
    if value.data is not None and value.data.dtype == object and not is_float(op.dtype):
        return Value("", op.dtype, value.shape, None, value.data, op.outputs[0].name)
    if value.constant is not None and not is_float(value.dtype):
        return op.emitter.constant(value.constant.astype(numpy_type(op.dtype)), op.dtype, op.outputs[0].name)
    plain = Value(value.ssa, value.dtype, value.shape, None, value.data, value.label)
    return op.kernel([plain], lambda b, x: b.cast(x, op.dtype))


def _dequantize(op: Operator) -> Value:
    """Constants become f32 while compiling: f16 weights and packed integers."""
    value = op.value(0)
    if value.constant is not None:
        if value.quantization is not None and not is_float(value.dtype):
            return op.emitter.constant(dequantized(value.constant, value.quantization), "f32", value.label)
        return op.emitter.constant(value.constant.astype(np.float32), "f32", value.label)
    return op.kernel([value], lambda b, x: x)


def _quantize(op: Operator) -> Value:
    if not quantized(op.dtype, op.quantization):
        raise op.fail(f"the result type {op.outputs[0].element.title} without a scale is not supported")
    return op.kernel([op.value(0)], lambda b, x: x)


def _fake_quant(op: Operator) -> Value:
    """Round to the steps that a quantised tensor would have; the range is moved so that zero is a step."""
    low, high, bits = op.options["minimum"], op.options["maximum"], op.options["bits"]
    first = 1 if op.options["narrow"] else 0
    last = (1 << bits) - 1
    scale = (high - low) / (last - first)
    if not scale > 0:
        raise op.invalid(f"the range from {low} to {high} is empty")
    zero = min(max(round(first - low / scale), first), last)
    low, high = (first - zero) * scale, (last - zero) * scale

    def compute(b: Body, x: Scalar) -> Scalar:
        steps = b.math("floor", b.add(b.mul(b.sub(b.clamp(x, low, high), low), 1 / scale), 0.5))
        return b.add(b.mul(steps, scale), low)

    return op.kernel([op.value(0)], compute)


def _logical_not(b: Body, x: Scalar) -> Scalar:
    return b.binary("xor", x, True)


def _relu(low: float | None, high: float | None) -> Rule:
    return _unary(lambda b, x: b.clamp(x, low, high))


def _named(name: str) -> Rule:
    return _unary(lambda b, x: b.math(name, x))


def _two(name: str) -> Rule:
    return lambda op: op.kernel([op.value(0), op.value(1)], lambda b, x, y: b.binary(name, x, y))


def _bitcast(op: Operator) -> Value:
    value = op.value(0)
    if numpy_type(value.dtype).itemsize != numpy_type(op.dtype).itemsize:
        raise op.fail(f"from {value.dtype} to {op.dtype} the number of elements changes")
    name = op.emitter.bitcast(op.emitter.name(value), value.shape, signless(value.dtype), signless(op.dtype))
    return Value(name, op.dtype, value.shape)


RULES: dict[str, Rule] = {
    "ADD": _binary("add"),
    "SUB": _binary("sub"),
    "MUL": _binary("mul"),
    "DIV": _binary("div"),
    "MAXIMUM": _binary("maximum"),
    "MINIMUM": _binary("minimum"),
    "POW": _two("pow"),
    "ATAN2": _two("atan2"),
    "LOGICAL_AND": _two("logical_and"),
    "LOGICAL_OR": _two("logical_or"),
    "BITWISE_XOR": _two("xor"),
    "RIGHT_SHIFT": _two("shift_right"),
    "FLOOR_DIV": _calculate(_floor_div),
    "FLOOR_MOD": _calculate(_floor_mod),
    "SQUARED_DIFFERENCE": _calculate(_squared_difference),
    **{
        name: _compare(predicate)
        for name, predicate in (
            ("EQUAL", "eq"),
            ("NOT_EQUAL", "ne"),
            ("LESS", "lt"),
            ("LESS_EQUAL", "le"),
            ("GREATER", "gt"),
            ("GREATER_EQUAL", "ge"),
        )
    },
    **{
        name: _named(function)
        for name, function in (
            ("EXP", "exp"),
            ("LOG", "log"),
            ("SQRT", "sqrt"),
            ("RSQRT", "rsqrt"),
            ("SIN", "sin"),
            ("COS", "cos"),
            ("TANH", "tanh"),
            ("FLOOR", "floor"),
            ("CEIL", "ceil"),
            ("ROUND", "roundeven"),
        )
    },
    "LOGISTIC": _unary(_logistic),
    "ABS": _unary(_absolute),
    "NEG": _unary(_negative),
    "SIGN": _unary(_sign),
    "SQUARE": _unary(lambda b, x: b.mul(x, x)),
    "ELU": _unary(_elu),
    "HARD_SWISH": _unary(_hard_swish),
    "LOGICAL_NOT": _unary(_logical_not),
    "RELU": _relu(0.0, None),
    "RELU6": _relu(0.0, 6.0),
    "RELU_N1_TO_1": _relu(-1.0, 1.0),
    "RELU_0_TO_1": _relu(0.0, 1.0),
    "GELU": _gelu,
    "LEAKY_RELU": _leaky_relu,
    "PRELU": _prelu,
    "SELECT": _select,
    "SELECT_V2": _select,
    "ADD_N": _add_n,
    "CAST": _cast,
    "DEQUANTIZE": _dequantize,
    "QUANTIZE": _quantize,
    "FAKE_QUANT": _fake_quant,
    "BITCAST": _bitcast,
}
