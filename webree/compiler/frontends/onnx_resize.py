"""The rule for Resize in all its modes, with scales, sizes and regions that may be known at run time only.

Enters: a node whose input and output have known sizes. Leaves: along one axis after the other, a weighted sum of rows:
one row (nearest), two (linear), four (cubic) or as many as the filter covers (antialias).
Source: https://onnx.ai/onnx/operators/onnx__Resize.html
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from webree.compiler.frontends.onnx_builder import Builder, attributes_of
from webree.compiler.frontends.onnx_values import Value, constant, maximum, value_of, where

__all__ = ["RULES", "cubic", "linear"]

_TAPS = 64
"""No filter that covers more rows is written out."""


@dataclass(frozen=True)
class _Axis:
    """One resized axis.

    Attributes:
        number: among the input's axes.
        size, count: rows before and after.
        scale: rows after per row before, a scalar as an array of one element.
        start, end: the region, or None.
    """

    number: int
    size: int
    count: int
    scale: Value
    start: Value | None
    end: Value | None


def _resize(node: Any, build: Builder) -> str | None:
    source = node.input[0]
    shape, result, kind = build.static_shape_of(source), build.static_shape_of(node.output[0]), build.type_of(source)
    if shape is None or result is None or kind is None:
        return None
    attributes = attributes_of(node)
    attributes["is_exact"] = all(not name or build.constant_of(name) is not None for name in node.input[1:])
    axes = _axes(node, build, attributes, shape, result)
    if axes is None:
        return None
    mode = attributes.get("mode", "nearest")
    value = value_of(build, source)
    value = value if mode == "nearest" else value.cast("float64" if kind == "float64" else "float32")
    outside: list[Value] = []
    for axis in axes:
        resized = _resize_axis(build, value, axis, mode, attributes, outside, len(shape))
        if resized is None:
            return None
        value = resized
    for test in outside:
        value = where(test, constant(build, attributes.get("extrapolation_value", 0.0), value.kind), value)
    return value.cast(kind).name


def _axes(
    node: Any, build: Builder, attributes: dict[str, Any], shape: list[int], result: list[int]
) -> list[_Axis] | None:
    """The axes that change, with their scales."""
    numbers = [number % len(shape) for number in attributes.get("axes", range(len(shape)))]
    roi, scales, sizes = (node.input[index] if len(node.input) > index else "" for index in (1, 2, 3))
    if scales and build.static_shape_of(scales) == [0]:
        scales = ""
    kind = "float64" if attributes["is_exact"] else "float32"
    if scales:
        factors = value_of(build, scales).cast(kind)
    elif sizes:
        before = constant(build, [shape[number] for number in numbers], kind)
        factors = value_of(build, sizes).cast(kind) / before
        policy = attributes.get("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            extreme = factors.reduce("ReduceMin" if policy == "not_larger" else "ReduceMax", 0, keepdims=1)
            factors = extreme + factors * 0
    else:
        return None
    is_region = attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    axes = []
    for position, number in enumerate(numbers):
        if shape[number] == result[number] == 1 and not is_region:
            continue
        edges: list[Value | None] = [None, None]
        if is_region:
            corners = value_of(build, roi).cast(kind)
            edges = [corners.item(0, position), corners.item(0, position + len(numbers))]
        axes.append(_Axis(number, shape[number], result[number], factors.item(0, position), edges[0], edges[1]))
    return axes


def _coordinates(build: Builder, axis: _Axis, mode: str) -> Value:
    """Where in the input each row of the output lies."""
    x = constant(build, list(range(axis.count)), axis.scale.kind)
    scale, size = axis.scale, axis.size
    length = scale * size
    match mode:
        case "asymmetric":
            return x / scale
        case "align_corners":
            last = length - 1
            is_one = last.abs() < 1e-6
            return where(is_one, x * 0, x * (size - 1) / where(is_one, last * 0 + 1, last))
        case "tf_crop_and_resize":
            assert axis.start is not None
            assert axis.end is not None
            if axis.count == 1:
                return (axis.start + axis.end) * (0.5 * (size - 1)) + x
            return axis.start * (size - 1) + x * (axis.end - axis.start) * (size - 1) / (length - 1)
        case "tf_half_pixel_for_nn":
            return (x + 0.5) / scale
        case "pytorch_half_pixel" if axis.count == 1:
            return x * 0
        case "half_pixel_symmetric":
            adjustment = axis.count / length
            return (1 - adjustment) * (size / 2) + (x + 0.5) / scale - 0.5
    return (x + 0.5) / scale - 0.5


def _resize_axis(
    build: Builder,
    value: Value,
    axis: _Axis,
    mode: str,
    attributes: dict[str, Any],
    outside: list[Value],
    rank: int,
) -> Value | None:
    """`value` with one axis resized; None if its filter is too wide. `outside` gets the rows beyond the region."""
    transformation = attributes.get("coordinate_transformation_mode", "half_pixel")
    x = _coordinates(build, axis, transformation)
    along = [axis.count if number == axis.number else 1 for number in range(rank)]
    if transformation == "tf_crop_and_resize":
        outside.append(((x < 0) | (x > axis.size - 1)).reshape(*along))
    if mode == "nearest":
        row = _rounded(x, attributes.get("nearest_mode", "round_prefer_floor"))
        return value.gather(row.clip(0, axis.size - 1).cast("int32"), axis.number)
    antialias = bool(attributes.get("antialias", 0))
    factor = axis.count / axis.size
    reach = 2 if mode == "cubic" else 1
    reach_rows = math.ceil(reach * axis.size / axis.count) if antialias and factor < 1 else reach
    if 2 * reach_rows > _TAPS:
        return None
    first = x.floor()
    stretch = axis.scale.make("Min", 1.0) if antialias else axis.scale * 0 + 1
    weights, rows = [], []
    for offset in range(1 - reach_rows, reach_rows + 1):
        row = first + offset
        distance = ((row - x) * stretch).abs()
        weight = cubic(distance, attributes.get("cubic_coeff_a", -0.75)) if mode == "cubic" else linear(distance)
        if attributes.get("exclude_outside", 0):
            weight = where((row >= 0) & (row <= axis.size - 1), weight, 0)
        weights.append(weight)
        rows.append(row.clip(0, axis.size - 1).cast("int32"))
    total = weights[0]
    for weight in weights[1:]:
        total = total + weight
    result: Value | None = None
    for weight, row in zip(weights, rows, strict=True):
        share = (weight / total).cast(value.kind).reshape(*along)
        term = value.gather(row, axis.number) * share
        result = term if result is None else result + term
    return result


def _rounded(x: Value, mode: str) -> Value:
    if mode == "round_prefer_ceil":
        return (x + 0.5).floor()
    if mode == "floor":
        return x.floor()
    return x.make("Ceil") if mode == "ceil" else (x - 0.5).make("Ceil")


def linear(distance: Value) -> Value:
    return maximum(1 - distance, 0)


def cubic(distance: Value, a: float) -> Value:
    """Keys' filter, by the distance from its middle."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return where(distance <= 1, near, where(distance < 2, far, 0))


RULES: dict[str, Callable[[Any, Builder], str | None]] = {"Resize": _resize}
