"""Matrix products, reductions and what is made of them: softmax, norms, arg max.

Enters: an `Operator`. Leaves: linalg operations. FULLY_CONNECTED with 8-bit operands sums up in i32, as convolutions do
(tflite_spatial.py); with 8-bit weights and f32 activations the weights are turned into f32 while compiling.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from webree.compiler.frontends.tflite_body import Body, Scalar, limits
from webree.compiler.frontends.tflite_folding import fold_reduction
from webree.compiler.frontends.tflite_operator import Operator, Rule, activate, broadcast, quantized, shown
from webree.compiler.frontends.tflite_spatial import finish_floats, finish_integers, integer_product
from webree.compiler.frontends.tflite_values import Size, Value, is_float

__all__ = ["RULES"]


def _product(sizes: Sequence[Size]) -> Size:
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


def _fully_connected(op: Operator) -> Value:
    if op.options["weights_format"]:
        raise op.fail("weights in a shuffled format are not supported")
    emitter, value, weights = op.emitter, op.value(0), op.rank(op.value(1), 2)
    count, inner = op.static(weights, 0, "the number of units"), op.static(weights, 1, "the number of inputs")
    shape = [*value.shape[:-1], count] if op.options["keep_num_dims"] else None
    rows = _product(value.shape[:-1]) if value.rank and value.shape[-1] == inner else _product(value.shape) // inner
    if value.is_static and _product(value.shape) != rows * inner:
        raise op.invalid(f"the shape {[*value.shape]} does not fit weights of {inner} inputs")
    integers = integer_product(op, 0)
    value, weights = (integers.value, integers.weights) if integers else (op.real(value), op.real(weights))
    left, right = emitter.reshape(value, [rows, inner]), emitter.transpose(weights, [1, 0])
    total = _matmul(op, "matmul", left, right, [rows, count], "i32" if integers else "f32")
    result = finish_integers(op, total, integers) if integers else finish_floats(op, total)
    return emitter.reshape(result, shape) if shape else result


def _matmul(op: Operator, name: str, left: Value, right: Value, shape: Sequence[Size], dtype: str) -> Value:
    emitter = op.emitter
    names, kinds = f"{emitter.name(left)}, {emitter.name(right)}", f"{emitter.type_of(left)}, {emitter.type_of(right)}"
    target = emitter.filled(shape, dtype, 0)
    return emitter.result(
        f"linalg.{name} ins({names} : {kinds}) outs({target.ssa} : {emitter.type_of(target)}) ->", shape, dtype
    )


def _batch_matmul(op: Operator) -> Value:
    """Matrices in the last two dimensions; the others are broadcast."""
    emitter = op.emitter
    left, right = op.real(op.value(0)), op.real(op.value(1))
    if min(left.rank, right.rank) < 2 or left.dtype != "f32" or right.dtype != "f32":
        raise op.fail(
            f"operands of the types {left.dtype} and {right.dtype} with {left.rank} and {right.rank} dimensions"
        )
    sides = []
    for value, turned in ((left, op.options["adj_x"]), (right, op.options["adj_y"])):
        order = [*range(value.rank - 2), value.rank - 1, value.rank - 2]
        sides.append(emitter.transpose(value, order) if turned else value)
    left, right = sides
    inner = (left.shape[-1], right.shape[-2])
    if inner[0] != inner[1] and all(isinstance(size, int) for size in inner):
        raise op.invalid(f"matrices of {inner[0]} columns and {inner[1]} rows do not fit together")
    batches = [Value("", "f32", value.shape[:-2]) for value in sides]
    outer, _ = broadcast(op, batches) if any(item.rank for item in batches) else ((), [])
    shape = [left.shape[-2], right.shape[-1]]
    if not outer:
        return op.finish(_matmul(op, "matmul", left, right, shape, "f32"))
    count = _product(outer)
    flat = [emitter.reshape(_spread(op, value, outer), [count, *value.shape[-2:]]) for value in sides]
    total = _matmul(op, "batch_matmul", flat[0], flat[1], [count, *shape], "f32")
    return op.finish(emitter.reshape(total, [*outer, *shape]))


def _spread(op: Operator, value: Value, outer: Sequence[Size]) -> Value:
    shape = (*outer, *value.shape[-2:])
    if tuple(shape) == value.shape:
        return value
    _, maps = broadcast(op, [Value("", "f32", shape), value])
    return op.emitter.generic(shape, value.dtype, [(value, maps[1])], lambda b, x: x)


def reduce(op: Operator, value: Value, axes: Sequence[int], name: str, initial: float, keep: bool) -> Value:
    """Combine along axes with `add`, `mul`, `maximum`, `minimum`, `logical_and` or `logical_or`."""
    shape = [1 if axis in axes else size for axis, size in enumerate(value.shape)]
    maps = [f"d{axis}" for axis in range(value.rank)]
    kept = [axis for axis in range(value.rank) if axis not in axes]
    if not axes:
        return value
    result = op.emitter.generic(
        [value.shape[axis] for axis in kept],
        value.dtype,
        [(value, maps)],
        lambda b, x, total: b.binary(name, total, x),
        out=[f"d{axis}" for axis in kept],
        loops=value.rank,
        initial=initial,
    )
    result = Value(result.ssa, value.dtype, result.shape, value.quantization, None, value.label)
    return op.emitter.reshape(result, shape) if keep else result


def _axes(op: Operator, value: Value) -> list[int]:
    return sorted({op.axis(axis, value.rank) for axis in op.integers(1, "the axes")})


def _reduction(name: str) -> Rule:
    def rule(op: Operator) -> Value:
        value, keep = op.value(0), bool(op.options["keep_dims"])
        axes = _axes(op, value)
        folded = fold_reduction(op, value, axes, keep)
        if folded is not None:
            return folded
        if name in ("maximum", "minimum"):
            return _rescaled(op, reduce(op, value, axes, name, _extreme(value.dtype, name), keep))
        value = op.real(value)
        initial = {"mul": 1, "logical_and": 1}.get(name, 0)
        return op.finish(reduce(op, value, axes, name, initial, keep))

    return rule


def _extreme(dtype: str, name: str) -> float:
    if is_float(dtype):
        return -math.inf if name == "maximum" else math.inf
    return limits(dtype)[name == "minimum"]


def _rescaled(op: Operator, value: Value) -> Value:
    """A tensor of stored numbers under the result's quantisation."""
    if value.quantization == op.quantization or not quantized(op.dtype, op.quantization):
        return value
    return op.kernel([value], lambda b, x: x)


def _mean(op: Operator) -> Value:
    value = op.real(op.value(0))
    axes = _axes(op, value)
    total = reduce(op, value, axes, "add", 0, bool(op.options["keep_dims"]))
    count = _product([value.shape[axis] for axis in axes])
    if isinstance(count, int):
        factor = 1 / max(count, 1)
        if is_float(value.dtype):
            return op.finish(total, lambda b, x: b.mul(x, factor))
        return op.finish(total, lambda b, x: b.div(x, count))

    def divide(b: Body, x: Scalar) -> Scalar:
        return b.div(x, b.cast(b.cast(Scalar(op.emitter.index(count), "index"), "i32"), x.dtype))

    return op.finish(total, divide)


def _softmax(op: Operator) -> Value:
    emitter, value, beta = op.emitter, op.real(op.value(0)), op.options["beta"]
    if value.rank < 1:
        raise op.invalid("the input is a scalar")
    if beta != 1:
        maps = [f"d{axis}" for axis in range(value.rank)]
        value = emitter.generic(value.shape, "f32", [(value, maps)], lambda b, x: b.mul(x, beta))
    kind = emitter.type_of(value)
    text = (
        f"linalg.softmax dimension({value.rank - 1}) ins({emitter.name(value)} : {kind}) "
        f"outs({emitter.empty(value.shape, 'f32')} : {kind}) ->"
    )
    return op.finish(emitter.result(text, value.shape, "f32"))


def _log_softmax(op: Operator) -> Value:
    """x - max - log(sum(exp(x - max)))."""
    value = op.real(op.value(0))
    last = [value.rank - 1]
    top = reduce(op, value, last, "maximum", -math.inf, True)
    _, maps = broadcast(op, [value, top])
    emitter = op.emitter
    shifted = emitter.generic(value.shape, "f32", [(value, maps[0]), (top, maps[1])], lambda b, x, m: b.sub(x, m))
    powers = emitter.generic(value.shape, "f32", [(shifted, maps[0])], lambda b, x: b.math("exp", x))
    total = reduce(op, powers, last, "add", 0, True)
    return op.kernel([shifted, total], lambda b, x, s: b.sub(x, b.math("log", s)))


def _l2_normalization(op: Operator) -> Value:
    """x / max(|x|, 1e-6) along the last dimension."""
    value = op.real(op.value(0))
    maps = [f"d{axis}" for axis in range(value.rank)]
    squares = op.emitter.generic(value.shape, "f32", [(value, maps)], lambda b, x: b.mul(x, x))
    total = reduce(op, squares, [value.rank - 1], "add", 0, True)
    return op.kernel([value, total], lambda b, x, s: activate(op, b, b.div(x, b.maximum(b.math("sqrt", s), 1e-6))))


def _arg(name: str) -> Rule:
    """The first index of the extreme: the largest of count - 1 - index where the element equals the extreme."""

    def rule(op: Operator) -> Value:
        value = op.value(0)
        axis = op.axis(op.integers(1, "the axis")[0], value.rank)
        extreme = reduce(op, value, [axis], name, _extreme(value.dtype, name), True)
        size = value.shape[axis]
        _, maps = broadcast(op, [value, extreme])
        kept = [item for item in range(value.rank) if item != axis]

        def body(b: Body, x: Scalar, best: Scalar, found: Scalar) -> Scalar:
            last = b.sub(Scalar(op.emitter.index(size), "index"), 1)
            place = b.cast(b.sub(last, b.index(axis)), "i32")
            here = b.select(b.compare("eq", x, best), place, b.constant(-1, "i32"))
            return b.maximum(found, here)

        places = op.emitter.generic(
            [value.shape[item] for item in kept],
            "i32",
            [(value, maps[0]), (extreme, maps[1])],
            body,
            out=[f"d{item}" for item in kept],
            loops=value.rank,
            initial=0,
        )

        def index(b: Body, place: Scalar) -> Scalar:
            last = b.cast(b.sub(Scalar(op.emitter.index(size), "index"), 1), "i32")
            return b.sub(last, place)

        return op.kernel([places], index)

    return rule


def _cumulative_sum(op: Operator) -> Value:
    """Each element of the result is a sum over the elements up to it: rows of a triangular matrix of ones."""
    value = op.value(0)
    axis = op.axis(op.integers(1, "the axis")[0], value.rank)
    exclusive, backwards, rank = op.options["exclusive"], op.options["reverse"], value.rank
    predicate = {(0, 0): "le", (1, 0): "lt", (0, 1): "ge", (1, 1): "gt"}[int(exclusive), int(backwards)]
    maps = [f"d{rank}" if item == axis else f"d{item}" for item in range(rank)]

    def body(b: Body, x: Scalar, total: Scalar) -> Scalar:
        counts = b.compare(predicate, b.index(rank), b.index(axis))
        return b.add(total, b.select(counts, x, b.constant(0, x.dtype)))

    return op.emitter.generic(value.shape, value.dtype, [(value, maps)], body, loops=rank + 1, initial=0)


def _top(op: Operator) -> list[Value]:
    """The largest elements of each row, in falling order, and where they stand; of equal ones the first comes first.

    An element's rank is the number of elements before it in that order: a sum over all pairs of a row."""
    emitter, value, count = op.emitter, op.value(0), op.integers(1, "the number of elements")[0]
    if not value.rank or not 0 <= count <= op.static(value, value.rank - 1, "the size"):
        raise op.invalid(f"{count} elements of {shown(value.shape)}")
    last = value.rank - 1
    here = [f"d{axis}" for axis in range(value.rank)]
    others = [*here[:-1], f"d{value.rank}"]

    def before(b: Body, x: Scalar, other: Scalar, total: Scalar) -> Scalar:
        first = b.compare("lt", b.index(value.rank), b.index(last))
        equal = b.binary("logical_and", b.compare("eq", other, x), first)
        ahead = b.binary("logical_or", b.compare("gt", other, x), equal)
        return b.add(total, b.cast(ahead, "i32"))

    rank = emitter.generic(
        value.shape, "i32", [(value, here), (value, others)], before, out=here, loops=value.rank + 1, initial=0
    )

    def place(b: Body, found: Scalar, total: Scalar) -> Scalar:
        wanted = b.compare("eq", b.cast(found, "index"), b.index(last))
        return b.add(total, b.select(wanted, b.cast(b.index(value.rank), "i32"), b.constant(0, "i32")))

    shape = [*value.shape[:-1], count]
    places = emitter.generic(shape, "i32", [(rank, others)], place, out=here, loops=value.rank + 1, initial=0)
    name = emitter.name(value)

    def pick(b: Body, index: Scalar) -> Scalar:
        return b.extract(name, value, [*map(b.index, range(last)), b.cast(index, "index")])

    return [emitter.generic(shape, value.dtype, [(places, here)], pick), places]


RULES: dict[str, Rule] = {
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _batch_matmul,
    "MEAN": _mean,
    "SUM": _reduction("add"),
    "REDUCE_PROD": _reduction("mul"),
    "REDUCE_MAX": _reduction("maximum"),
    "REDUCE_MIN": _reduction("minimum"),
    "REDUCE_ANY": _reduction("logical_or"),
    "REDUCE_ALL": _reduction("logical_and"),
    "SOFTMAX": _softmax,
    "LOG_SOFTMAX": _log_softmax,
    "L2_NORMALIZATION": _l2_normalization,
    "ARG_MAX": _arg("maximum"),
    "ARG_MIN": _arg("minimum"),
    "CUMSUM": _cumulative_sum,
    "TOPK_V2": _top,
}
