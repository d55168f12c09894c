"""Convolutions, pools and resizes of TensorFlow Lite, in its own layout (NHWC).

Enters: an `Operator`. Leaves: linalg's named convolutions, which the schedules know, and one kernel behind each for
bias, activation and quantisation. With 8-bit weights and activations products are summed up in i32; the input's zero
point is moved into the bias, so that the inner loop multiplies what is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from webree.compiler.frontends.tflite_body import Body, Scalar, limits
from webree.compiler.frontends.tflite_file import Array
from webree.compiler.frontends.tflite_operator import ACTIVATIONS, Operator, Rule, activate, dequantized, quantized
from webree.compiler.frontends.tflite_values import Dim, Size, Value

__all__ = ["RULES", "IntegerProduct", "integer_product"]

_SAME = 0


@dataclass(frozen=True, slots=True)
class Window:
    """Along one dimension: size of the result, elements before and after the input."""

    out: Size
    low: Size
    high: Size

    @property
    def is_padded(self) -> bool:
        """Whether windows may reach over the edge."""
        return not (isinstance(self.low, int) and isinstance(self.high, int) and self.low == self.high == 0)


def _positive(size: Size) -> Size:
    return size.maximum(0) if isinstance(size, Dim) else max(size, 0)


def _window(op: Operator, size: Size, kernel: int, stride: int, dilation: int = 1) -> Window:
    if stride < 1 or dilation < 1 or kernel < 1:
        raise op.invalid(f"a window of {kernel} with stride {stride} and dilation {dilation} is impossible")
    reach = (kernel - 1) * dilation + 1
    if op.options["padding"] == _SAME:
        out = (size + (stride - 1)) // stride
        total = _positive((out - 1) * stride + reach - size)
        return Window(out, total // 2, total - total // 2)
    if isinstance(size, int) and size < reach:
        raise op.invalid(f"a window of {reach} does not fit an input of {size}")
    return Window((size - reach) // stride + 1, 0, 0)


@dataclass(frozen=True, slots=True)
class IntegerProduct:
    """8-bit operands of a convolution or a matrix product, made signed; and what finishes the sum in i32.

    Attributes:
        bias: i32, with the input's zero point in it.
        multiplier: f32 per output channel: the sum's scale in units of the result's.
    """

    value: Value
    zero_point: int
    weights: Value
    bias: Value
    multiplier: Value


def integer_product(op: Operator, channel_axis: int) -> IntegerProduct | None:
    """The operands if the operator can run on integers: 8 bits in and out, constant weights; else None."""
    value, weights = op.value(0), op.value(1)
    source, scale, target = value.quantization, weights.quantization, op.quantization
    if value.dtype not in ("i8", "ui8") or weights.dtype not in ("i8", "ui8") or op.dtype not in ("i8", "ui8"):
        return None
    if source is None or scale is None or target is None or weights.constant is None or not source.per_tensor:
        return None
    if (
        op.options["activation"] not in (0, *ACTIVATIONS)
        or not all(scale.scale)
        or not source.scale[0] * target.scale[0]
    ):
        return None
    if not scale.per_tensor and scale.axis != channel_axis:
        return None
    shape = [1] * weights.rank
    shape[channel_axis] = -1
    count = weights.constant.shape[channel_axis]
    zero_points = np.broadcast_to(np.array(scale.zero_point), (count,)).reshape(shape)
    centred = weights.constant.astype(np.int64) - zero_points
    others = tuple(axis for axis in range(weights.rank) if axis != channel_axis)
    zero_point = source.zero_point[0]
    if value.dtype == "ui8":
        value, zero_point = _signed(op, value), zero_point - 128
    bias = np.zeros(count, np.int64)
    if op.has(2):
        bias = bias + op.array(2, "the bias").reshape(-1)
    bias = bias - zero_point * centred.sum(others)
    factors = source.scale[0] * np.array(scale.scale, np.float64) / target.scale[0]
    emitter = op.emitter
    kind = (
        "i8"
        if abs(centred).max(initial=0) <= 127 or (centred.min(initial=0) >= -128 and centred.max(initial=0) <= 127)
        else "i32"
    )
    return IntegerProduct(
        value,
        zero_point,
        emitter.constant(centred.astype(np.int8 if kind == "i8" else np.int32), kind, weights.label),
        emitter.constant(bias.astype(np.int32), "i32", "bias"),
        emitter.constant(np.broadcast_to(factors, (count,)).astype(np.float32), "f32", "scales"),
    )


def _signed(op: Operator, value: Value) -> Value:
    """ui8 -> i8, smaller by 128."""
    maps = [f"d{axis}" for axis in range(value.rank)]
    made = op.emitter.generic(value.shape, "i8", [(value, maps)], lambda b, x: b.cast(b.binary("xor", x, 128), "i8"))
    return made


def finish_integers(op: Operator, total: Value, product: IntegerProduct) -> Value:
    """i32 sums, channels last -> the stored result: bias, scale, rounding, activation."""
    target = op.quantization
    assert target is not None
    low, high = limits(op.dtype)
    zero_point = target.zero_point[0]
    if op.options["activation"]:
        lowest, highest = ACTIVATIONS[op.options["activation"]]
        low = low if lowest is None else max(low, zero_point + round(lowest / target.scale[0]))
        high = high if highest is None else min(high, zero_point + round(highest / target.scale[0]))

    def body(b: Body, x: Scalar, bias: Scalar, factor: Scalar) -> Scalar:
        return b.store(b.mul(b.cast(b.add(x, bias), "f32"), factor), zero_point, op.dtype, low, high)

    last = f"d{total.rank - 1}"
    maps = [f"d{axis}" for axis in range(total.rank)]
    made = op.emitter.generic(
        total.shape, op.dtype, [(total, maps), (product.bias, [last]), (product.multiplier, [last])], body
    )
    return Value(made.ssa, op.dtype, made.shape, target, None, op.outputs[0].name)


def finish_floats(op: Operator, total: Value) -> Value:
    """f32 sums, channels last -> the result: bias, activation, quantisation."""
    if not op.has(2):
        return op.finish(total)
    bias = _real_bias(op)
    return op.kernel([total, bias], lambda b, x, y: activate(op, b, b.add(x, y)))


def _real_bias(op: Operator) -> Value:
    bias = op.value(2)
    if bias.dtype == "f32":
        return bias
    if bias.constant is None or bias.quantization is None:
        raise op.fail(f"a bias of the type {bias.dtype} without a scale is not supported")
    return op.emitter.constant(dequantized(bias.constant, bias.quantization), "f32", bias.label)


def _convolution(op: Operator) -> Value:
    value, weights = op.rank(op.value(0), 4), op.rank(op.value(1), 4)
    channels, inner = (
        op.static(value, 3, "the number of channels"),
        int(op.static(weights, 3, "the number of channels")),
    )
    count = op.static(weights, 0, "the number of filters")
    if not inner or channels % inner or count % (channels // inner):
        raise op.invalid(f"{channels} channels do not fit filters of {inner} channels")
    integers = integer_product(op, 0)
    if integers is not None:
        weights = integers.weights
    else:
        value, weights = op.real(value), op.real(weights)
    total = _grouped(op, integers.value if integers else value, weights, channels // inner, integers)
    return finish_integers(op, total, integers) if integers else finish_floats(op, total)


def _padded(
    op: Operator, value: Value, kernel: Sequence[int], integers: IntegerProduct | None
) -> tuple[Value, list[Window]]:
    options = op.options
    names = (("stride_h", "dilation_h"), ("stride_w", "dilation_w"))
    windows = [
        _window(op, size, length, options[stride], options.get(dilation, 1))
        for size, length, (stride, dilation) in zip(value.shape[1:3], kernel, names, strict=True)
    ]
    low, high = [0, *(item.low for item in windows), 0], [0, *(item.high for item in windows), 0]
    return op.emitter.pad(value, low, high, integers.zero_point if integers else 0), windows


def _attributes(op: Operator) -> str:
    options = op.options
    strides, dilations = ([options.get(f"{name}_{side}", 1) for side in "hw"] for name in ("stride", "dilation"))
    return f"{{dilations = dense<{dilations}> : tensor<2xi64>, strides = dense<{strides}> : tensor<2xi64>}}"


def _named(
    op: Operator, name: str, operands: Sequence[Value], shape: Sequence[Size], dtype: str, initial: float
) -> Value:
    """A named operation of linalg over operands, from a tensor of `initial`."""
    emitter = op.emitter
    names = ", ".join(emitter.name(value) for value in operands)
    kinds = ", ".join(emitter.type_of(value) for value in operands)
    target = emitter.filled(shape, dtype, initial)
    kind = emitter.type_of(target)
    return emitter.result(
        f"linalg.{name} {_attributes(op)} ins({names} : {kinds}) outs({target.ssa} : {kind}) ->", shape, dtype
    )


def _grouped(op: Operator, value: Value, weights: Value, groups: int, integers: IntegerProduct | None) -> Value:
    emitter = op.emitter
    height, width = (op.static(weights, axis, "the window") for axis in (1, 2))
    padded, (rows, columns) = _padded(op, value, (height, width), integers)
    dtype = "i32" if integers else "f32"
    count = op.static(weights, 0, "the number of filters")
    outer = [padded.shape[0], rows.out, columns.out]
    if groups == 1:
        operands = [padded, emitter.transpose(weights, [1, 2, 3, 0])]
        return _named(op, "conv_2d_nhwc_hwcf", operands, [*outer, count], dtype, 0)
    inner = op.static(weights, 3, "the number of channels")
    split = emitter.reshape(padded, [*padded.shape[:3], groups, inner])
    filters = emitter.reshape(weights, [groups, count // groups, height, width, inner])
    total = _named(op, "conv_2d_nhwgc_gfhwc", [split, filters], [*outer, groups, count // groups], dtype, 0)
    return emitter.reshape(total, [*outer, count])


def _depthwise(op: Operator) -> Value:
    emitter = op.emitter
    value, weights = op.rank(op.value(0), 4), op.rank(op.value(1), 4)
    channels, count = op.static(value, 3, "the number of channels"), op.static(weights, 3, "the number of filters")
    if weights.shape[0] != 1 or not channels or count % channels:
        raise op.invalid(f"{channels} channels do not fit depthwise filters of the shape {[*weights.shape]}")
    integers = integer_product(op, 3)
    value, weights = (integers.value, integers.weights) if integers else (op.real(value), op.real(weights))
    height, width = (op.static(weights, axis, "the window") for axis in (1, 2))
    padded, (rows, columns) = _padded(op, value, (height, width), integers)
    dtype, outer = "i32" if integers else "f32", [padded.shape[0], rows.out, columns.out]
    if count == channels:
        filters = emitter.reshape(weights, [height, width, channels])
        total = _named(op, "depthwise_conv_2d_nhwc_hwc", [padded, filters], [*outer, channels], dtype, 0)
    else:
        filters = emitter.reshape(weights, [height, width, channels, count // channels])
        shape = [*outer, channels, count // channels]
        total = emitter.reshape(
            _named(op, "depthwise_conv_2d_nhwc_hwcm", [padded, filters], shape, dtype, 0), [*outer, count]
        )
    return finish_integers(op, total, integers) if integers else finish_floats(op, total)


def _transposed(op: Operator) -> Value:
    """Spread the input with zeros, then convolve with the turned filter."""
    sizes, weights, value = (
        op.sizes(0, "the output's shape"),
        op.rank(op.real(op.value(1)), 4),
        op.rank(op.real(op.value(2)), 4),
    )
    op.inputs = [value, weights, *op.inputs[3:]]
    return transpose_convolution(op, value, weights, sizes[1:3])


def transpose_convolution(op: Operator, value: Value, weights: Value, sizes: Sequence[Size]) -> Value:
    """The transposed convolution to a result of `sizes`, with bias and activation."""
    emitter = op.emitter
    strides = [op.options["stride_h"], op.options["stride_w"]]
    kernel = [op.static(weights, axis, "the window") for axis in (1, 2)]
    if min(strides) < 1:
        raise op.invalid(f"strides {strides} are impossible")
    batch, height, width, channels = value.shape
    spread = emitter.reshape(value, [batch, height, 1, width, 1, channels])
    spread = emitter.pad(spread, [0] * 6, [0, 0, strides[0] - 1, 0, strides[1] - 1, 0], 0)
    spread = emitter.reshape(spread, [batch, height * strides[0], width * strides[1], channels])
    low: list[Size] = [0, 0, 0, 0]
    high: list[Size] = [0, 0, 0, 0]
    cut: list[Size] = list(spread.shape)
    for axis, (size, out, length, stride) in enumerate(zip(value.shape[1:3], sizes, kernel, strides, strict=True), 1):
        beyond = _positive((size - 1) * stride + length - out) if op.options["padding"] == _SAME else 0
        low[axis] = length - 1 - beyond // 2
        last = out - size * stride - low[axis] + length - 1
        if isinstance(last, Dim) or isinstance(low[axis], Dim):
            raise op.fail(
                "an input whose height or width is known only at run time is not supported; bind it with --dim"
            )
        high[axis], cut[axis] = max(last, 0), cut[axis] + min(last, 0)
    part = emitter.slice(spread, [0] * 4, cut, [1] * 4)
    padded = emitter.pad(part, low, high, 0)
    filters = emitter.transpose(weights, [1, 2, 3, 0])
    if filters.constant is not None:
        filters = emitter.constant(np.ascontiguousarray(filters.constant[::-1, ::-1]), "f32", weights.label)
    else:
        raise op.fail("filters that are computed at run time are not supported")
    op.options = {"padding": 1}  # the convolution itself has strides of one
    total = _named(op, "conv_2d_nhwc_hwcf", [padded, filters], [batch, *sizes, weights.shape[0]], "f32", 0)
    op.options = op.info.options
    return finish_floats(op, total)


def _pool_windows(op: Operator) -> tuple[Value, list[Window], list[int], list[int]]:
    value = op.rank(op.value(0), 4)
    kernel, strides = ([op.options[f"{name}_{side}"] for side in "hw"] for name in ("filter", "stride"))
    windows = [_window(op, *row) for row in zip(value.shape[1:3], kernel, strides, strict=True)]
    return value, windows, kernel, strides


def _pool(
    op: Operator, name: str, value: Value, windows: list[Window], kernel: list[int], dtype: str, fill: float
) -> Value:
    emitter = op.emitter
    low, high = [0, *(item.low for item in windows), 0], [0, *(item.high for item in windows), 0]
    padded = emitter.pad(value, low, high, fill)
    window = Value(emitter.empty(kernel, value.dtype), value.dtype, tuple(kernel))
    shape = [value.shape[0], *(item.out for item in windows), value.shape[3]]
    return _named(op, name, [padded, window], shape, dtype, fill if dtype == value.dtype else 0)


def _max_pool(op: Operator) -> Value:
    value, windows, kernel, _ = _pool_windows(op)
    lowest = -np.inf if value.dtype.startswith("f") else limits(value.dtype)[0]
    name = "pooling_nhwc_max_unsigned" if value.dtype == "ui8" else "pooling_nhwc_max"
    found = _pool(op, name, value, windows, kernel, value.dtype, lowest)
    found = Value(found.ssa, value.dtype, found.shape, value.quantization, None, op.outputs[0].name)
    return found if not op.options["activation"] else op.kernel([found], lambda b, x: activate(op, b, x))


def _average_pool(op: Operator, prepare: Any = None, finish: Any = None) -> Value:
    """The mean of the elements that a window covers; those outside the input do not count."""
    value, windows, kernel, strides = _pool_windows(op)
    value = op.real(value)
    if prepare is not None:
        value = prepare(op, value)
    total = _pool(op, "pooling_nhwc_sum", value, windows, kernel, "f32", 0)

    def covered(b: Body, axis: int) -> Scalar:
        window, size = windows[axis], value.shape[axis + 1]
        low, length = (Scalar(op.emitter.index(item), "index") for item in (window.low, size))
        first = b.sub(b.mul(b.index(axis + 1), strides[axis]), low)
        return b.sub(b.minimum(b.add(first, kernel[axis]), length), b.maximum(first, 0))

    def body(b: Body, x: Scalar) -> Scalar:
        if any(item.is_padded for item in windows):
            count = b.cast(b.cast(b.mul(covered(b, 0), covered(b, 1)), "i32"), "f32")
            mean = b.div(x, count)
        else:
            mean = b.mul(x, 1 / (kernel[0] * kernel[1]))
        return activate(op, b, finish(b, mean) if finish else mean)

    return op.kernel([total], body)


def _l2_pool(op: Operator) -> Value:
    def square(op: Operator, value: Value) -> Value:
        maps = [f"d{axis}" for axis in range(value.rank)]
        return op.emitter.generic(value.shape, "f32", [(value, maps)], lambda b, x: b.mul(x, x))

    return _average_pool(op, square, lambda b, x: b.math("sqrt", x))


def _resize(op: Operator) -> Value:
    """Both kinds: tables of source rows and columns (and weights) for every row and column of the result."""
    value = op.rank(op.value(0), 4)
    target = op.integers(1, "the new size")
    if len(target) != 2 or min(target) < 1:
        raise op.invalid(f"the new size {target} is impossible")
    sources = [op.static(value, axis, "the size") for axis in (1, 2)]
    tables = [_source(op, source, size) for source, size in zip(sources, target, strict=True)]
    emitter = op.emitter
    name = emitter.name(value)
    operands: list[tuple[Value, Sequence[str]]] = []
    for axis, rows in enumerate(tables, 1):
        operands += [(emitter.constant(row, "f32" if row.dtype == np.float32 else "i32"), [f"d{axis}"]) for row in rows]
    half = len(operands) // 2
    same = quantized(op.dtype, op.quantization)

    def body(b: Body, *scalars: Scalar) -> Scalar:
        indices = [b.cast(item, "index") if item.dtype == "i32" else item for item in scalars]
        rows, columns = indices[:half], indices[half:]

        def at(row: Scalar, column: Scalar) -> Scalar:
            return b.extract(name, value, [b.index(0), row, column, b.index(3)])

        if half == 1:
            return at(rows[0], columns[0])
        quantization = value.quantization if same else None

        def number(row: Scalar, column: Scalar) -> Scalar:
            element = at(row, column)
            return b.dequantize(element, quantization) if quantization else b.cast(element, "f32")

        above, below = (
            _mix(b, number(row, columns[0]), number(row, columns[1]), columns[2]) for row in (rows[0], rows[1])
        )
        result = _mix(b, above, below, rows[2])
        return b.quantize(result, op.quantization, op.dtype) if same and op.quantization else b.cast(result, op.dtype)

    made = emitter.generic([value.shape[0], *target, value.shape[3]], op.dtype, operands, body)
    return Value(made.ssa, op.dtype, made.shape, op.quantization or value.quantization, None, op.outputs[0].name)


def _mix(b: Body, first: Scalar, second: Scalar, weight: Scalar) -> Scalar:
    return b.add(first, b.mul(b.sub(second, first), weight))


def _source(op: Operator, source: int, size: int) -> list[Array]:
    """For each index of the result: the source's index; or its two neighbours and the second one's weight."""
    corners, half = op.options["align_corners"], op.options["half_pixel"]
    one = np.float32
    scale = one(source - 1) / one(size - 1) if corners and size > 1 else one(source) / one(size)
    steps = np.arange(size, dtype=np.float32)
    if op.info.name == "RESIZE_NEAREST_NEIGHBOR":
        places = (steps + one(0.5 if half else 0)) * scale
        rounded = np.floor(places + one(0.5)) if corners else np.floor(places)
        return [np.clip(rounded, 0, source - 1).astype(np.int32)]
    places = (steps + one(0.5)) * scale - one(0.5) if half else steps * scale
    lower = np.maximum(np.floor(places), 0)
    upper = np.minimum(np.ceil(places), source - 1)
    upper = np.maximum(upper, 0)
    lower = np.minimum(lower, source - 1)
    return [lower.astype(np.int32), upper.astype(np.int32), (places - lower).astype(np.float32)]


RULES: dict[str, Rule] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "MAX_POOL_2D": _max_pool,
    "AVERAGE_POOL_2D": _average_pool,
    "L2_POOL_2D": _l2_pool,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
}
