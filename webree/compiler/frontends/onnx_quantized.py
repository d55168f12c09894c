"""Rules for numbers of few bits: quantisation in blocks and to 16 bits, integer convolutions.

Enters: a node. Leaves: arithmetic on 32-bit floats and integers.
Sources: https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html, …/onnx__DequantizeLinear.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from webree.compiler.frontends.onnx_builder import Builder, attributes_of
from webree.compiler.frontends.onnx_values import Value, value_of

__all__ = ["RULES", "quantized_product", "spread_parameter"]


def _along(build: Builder, name: str, shape: list[int], axis: int, block: int) -> Value | None:
    """A scale or zero point as something that fits elementwise: one number, one per row of an axis, one per block."""
    sizes = build.static_shape_of(name)
    return None if sizes is None else spread_parameter(build, value_of(build, name), shape, axis, block, sizes)


def spread_parameter(
    build: Builder, value: Value, shape: list[int], axis: int, block: int, given: list[int] | None = None
) -> Value | None:
    """As `_along`, for a value under construction of the sizes `given`."""
    sizes = given
    if sizes is None:
        return None
    if block:
        value = value.cast("float32") if value.kind.kind in "iu" else value
        spread = [*sizes[: axis + 1], block, *sizes[axis + 1 :]]
        wide = Value(
            build, build.op("Expand", value.unsqueeze(axis + 1).name, build.constant(spread, "int64")), value.kind
        )
        return wide.reshape(*sizes[:axis], sizes[axis] * block, *sizes[axis + 1 :]).slice(axis, 0, shape[axis])
    if len(sizes) == 1 and sizes[0] > 1:
        return value.reshape(*[-1 if number == axis else 1 for number in range(len(shape))])
    return value.reshape(*[1] * len(shape)) if sizes else value


def _is_special(kind: Any, attributes: dict[str, Any]) -> bool:
    return bool(attributes.get("block_size", 0)) or kind.name in ("uint16", "int16")


def _quantize(node: Any, build: Builder) -> str | None:
    import numpy
    from onnx import helper

    source, scale_name, zero_name = [*node.input, ""][:3]
    shape, kind = build.static_shape_of(source), build.type_of(source)
    attributes = attributes_of(node)
    target = build.type_of(zero_name) if zero_name else None
    if target is None:
        number = attributes.get("output_dtype", 0)
        target = helper.tensor_dtype_to_np_dtype(number) if number else numpy.dtype("uint8")
    if shape is None or kind is None or target.kind not in "iu" or not _is_special(target, attributes):
        return None
    axis, block = attributes.get("axis", 1) % max(len(shape), 1), attributes.get("block_size", 0)
    scale = _along(build, scale_name, shape, axis, block)
    if scale is None:
        return None
    value = (value_of(build, source).cast("float32") / scale.cast("float32")).make("Round")
    if zero_name:
        zero = _along(build, zero_name, shape, axis, block)
        if zero is None:
            return None
        value = value + zero.cast("float32")
    limits = numpy.iinfo(target)
    return value.clip(limits.min, limits.max).cast("int32").cast(target).name


def _dequantize(node: Any, build: Builder) -> str | None:
    source, scale_name, zero_name = [*node.input, ""][:3]
    shape, kind = build.static_shape_of(source), build.type_of(source)
    attributes = attributes_of(node)
    if shape is None or kind is None or kind.kind not in "iu" or not _is_special(kind, attributes):
        return None
    axis, block = attributes.get("axis", 1) % max(len(shape), 1), attributes.get("block_size", 0)
    scale = _along(build, scale_name, shape, axis, block)
    if scale is None:
        return None
    value = value_of(build, source).cast("float32")
    if zero_name:
        zero = _along(build, zero_name, shape, axis, block)
        if zero is None:
            return None
        value = value - zero.cast("float32")
    return (value * scale.cast("float32")).cast(scale.kind).name


def quantized_product(build: Builder, left: Value, right: Value, scale: Value, zero: Value | None) -> Value:
    """Rows of floats, quantised as a whole to 8 bits, times a matrix of 8-bit integers with a scale and a zero point
    for all or for each column."""
    codes, own_scale, own_zero = build.ops("DynamicQuantizeLinear", left.name, outputs=3)
    zeros = [own_zero] if zero is None else [own_zero, zero.name]
    sums = Value(build, build.op("MatMulInteger", codes, right.name, *zeros), "int32")
    return sums.cast("float32") * (Value(build, own_scale, "float32") * scale)


def _conv_integer(node: Any, build: Builder) -> str | None:
    """Zero points taken off first, so that the padding is 0."""
    source, weight, *zeros = [*node.input, "", ""][:4]
    attributes = attributes_of(node)
    shape = build.static_shape_of(weight)
    if not any(attributes.get("pads", [])) or shape is None or build.type_of(source) is None:
        return None
    left, right = value_of(build, source).cast("int32"), value_of(build, weight).cast("int32")
    if zeros[0]:
        left = left - value_of(build, zeros[0]).cast("int32").reshape(1)
    if zeros[1]:
        zero = value_of(build, zeros[1]).cast("int32")
        sizes = build.static_shape_of(zeros[1])
        right = right - (zero.reshape(-1, *[1] * (len(shape) - 1)) if sizes else zero)
    return left.make("Conv", right, **attributes).name


RULES: dict[str, Callable[[Any, Builder], str | None]] = {
    "ConvInteger": _conv_integer,
    "DequantizeLinear": _dequantize,
    "QuantizeLinear": _quantize,
}
