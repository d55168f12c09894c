"""Rules for operators that read images between their points: GridSample, RoiAlign, DeformConv.

Enters: a node whose image has known sizes. Leaves: gathers of rows of channels, weighted and summed.
Sources: https://onnx.ai/onnx/operators/onnx__GridSample.html, …/onnx__RoiAlign.html, …/onnx__DeformConv.html
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from webree.compiler.frontends.onnx_builder import Builder, attributes_of
from webree.compiler.frontends.onnx_resize import cubic, linear
from webree.compiler.frontends.onnx_values import Value, concat, constant, maximum, minimum, value_of, where

__all__ = ["RULES"]


class _Image:
    """An image as rows of channels, one row per point.

    Attributes:
        sizes: of its spatial axes.
    """

    def __init__(self, build: Builder, source: Value, shape: Sequence[int]) -> None:
        count, channels, *self.sizes = shape
        rank = len(shape)
        self._build = build
        self.rows = source.transpose(0, *range(2, rank), 1).reshape(count * math.prod(self.sizes), channels)

    def at(self, batch: Value, point: Sequence[Value], zero_outside: bool) -> Value:
        """Rows at whole coordinates (floats), of any shape; coordinates outside count as 0 or as the border's."""
        index, inside = batch, None
        for x, size in zip(point, self.sizes, strict=True):
            held = x.clip(0, size - 1)
            index = index * size + held.cast("int32")
            if zero_outside:
                test = x.equals(held)
                inside = test if inside is None else inside & test
        rows = self.rows.gather(index)
        return rows if inside is None else rows * inside.cast(rows.kind).unsqueeze(-1)

    def between(
        self, batch: Value, point: Sequence[Value], mode: str, zero_outside: bool, hold: Callable[[Value, int], Value]
    ) -> Value:
        """Rows at any coordinates, interpolated. `hold` brings the coordinates of a point that is read, by its axis,
        back into the image."""
        reach = 2 if mode == "cubic" else 1
        first = [x.floor() for x in point]
        result: Value | None = None
        for offsets in itertools.product(range(1 - reach, reach + 1), repeat=len(point)):
            corner = [low + offset for low, offset in zip(first, offsets, strict=True)]
            weight: Value | None = None
            for x, read in zip(point, corner, strict=True):
                distance = (x - read).abs()
                part = cubic(distance, -0.75) if mode == "cubic" else linear(distance)
                weight = part if weight is None else weight * part
            assert weight is not None
            held = [hold(x, axis) for axis, x in enumerate(corner)]
            term = self.at(batch, held, zero_outside) * weight.cast(self.rows.kind).unsqueeze(-1)
            result = term if result is None else result + term
        assert result is not None
        return result


def _reflected(x: Value, low: float, high: float) -> Value:
    """Mirrored at both ends as often as it takes."""
    span = high - low
    if span <= 0:
        return x * 0 + low
    turn = (x - low).abs()
    passed = turn - (turn / (2 * span)).floor() * (2 * span)
    return minimum(passed, 2 * span - passed) + low


def _grid_sample(node: Any, build: Builder) -> str | None:
    source, grid = node.input
    shape, grid_shape = build.static_shape_of(source), build.static_shape_of(grid)
    if shape is None or grid_shape is None or 0 in (*shape, *grid_shape):
        return None
    attributes = attributes_of(node)
    corners = bool(attributes.get("align_corners", 0))
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(name := attributes.get("mode", "linear"), name)
    padding = attributes.get("padding_mode", "zeros")
    image = _Image(build, value_of(build, source), shape)
    count, points, rank = shape[0], math.prod(grid_shape[1:-1]), len(image.sizes)
    places = value_of(build, grid).reshape(count, points, rank).cast("float32")
    batch = constant(build, [[number] for number in range(count)], "int32")

    def hold(x: Value, axis: int) -> Value:
        size = image.sizes[axis]
        if padding == "reflection":
            low = 0.0 if corners else -0.5
            x = where((x < low) | (x > size - 1 - low), _reflected(x, low, size - 1 - low), x)
        return x

    point = []
    for axis, size in enumerate(image.sizes):
        x = places.item(2, rank - 1 - axis).squeeze(2)
        x = (x + 1) * ((size - 1) / 2) if corners else ((x + 1) * size - 1) * 0.5
        x = x.make("Round") if mode == "nearest" else x
        x = x.clip(0, size - 1) if padding == "border" else hold(x, axis)
        point.append(x)
    is_zero = padding == "zeros"
    if mode == "nearest":
        point = [x if is_zero else x.make("Round") for x in point]
        rows = image.at(batch, point, is_zero)
    else:
        # What a mirrored point reads beside the image is mirrored again, and cut to whole coordinates.
        rows = image.between(batch, point, mode, is_zero, lambda x, axis: _towards_zero(hold(x, axis)))
    return rows.transpose(0, 2, 1).reshape(count, shape[1], *grid_shape[1:-1]).name


def _towards_zero(x: Value) -> Value:
    return where(x < 0, x.make("Ceil"), x.floor())


def _roi_align(node: Any, build: Builder) -> str | None:
    source, regions, numbers = node.input
    shape, kind = build.static_shape_of(source), build.type_of(source)
    attributes = attributes_of(node)
    samples = attributes.get("sampling_ratio", 0)
    if shape is None or kind is None or samples <= 0:
        return None
    is_half = attributes.get("coordinate_transformation_mode", "half_pixel") == "half_pixel" and build.opset >= 16
    counts = attributes.get("output_height", 1), attributes.get("output_width", 1)
    image = _Image(build, value_of(build, source), shape)
    corners = value_of(build, regions).cast("float32") * attributes.get("spatial_scale", 1.0)
    corners = corners - 0.5 if is_half else corners
    lines, tests = [], []
    for axis, count in enumerate(counts):
        start, end = corners.item(1, 1 - axis), corners.item(1, 3 - axis)
        length = end - start if is_half else maximum(end - start, 1.0)
        steps = [(bin_ + (sample + 0.5) / samples) / count for bin_ in range(count) for sample in range(samples)]
        x = start + length * constant(build, [steps], "float32")  # region, step
        tests.append((x >= -1.0) & (x <= float(image.sizes[axis])))
        lines.append(x.clip(0, image.sizes[axis] - 1))
    rows_count, columns_count = (count * samples for count in counts)
    total = rows_count * columns_count

    def spread(line: Value, axis: int) -> Value:  # to region, row, column, and flat
        there = line.unsqueeze(2 if axis == 0 else 1)
        ones = constant(
            build, [[[1] * (columns_count if axis == 0 else 1)] * (1 if axis == 0 else rows_count)], "float32"
        )
        return (there * ones).reshape(-1, total)

    point = [spread(line, axis) for axis, line in enumerate(lines)]
    weight = spread(tests[0].cast("float32"), 0) * spread(tests[1].cast("float32"), 1)
    batch = value_of(build, numbers).cast("int32").unsqueeze(1)
    is_max = attributes.get("mode", "avg") == "max"
    if is_max:
        rows = _largest_corner(image, batch, point)
    else:
        rows = image.between(batch, point, "linear", False, lambda x, _: x)
    rows = rows * weight.cast(rows.kind).unsqueeze(-1)
    rows = rows.reshape(-1, counts[0], samples, counts[1], samples, shape[1])
    pooled = rows.reduce("ReduceMax" if is_max else "ReduceMean", 2, 4)
    return pooled.transpose(0, 3, 1, 2).cast(kind).name


def _largest_corner(image: _Image, batch: Value, point: Sequence[Value]) -> Value:
    """The largest of the four weighted corners around each point, which is what the operator's `max` means."""
    low = [x.floor() for x in point]
    result: Value | None = None
    for offsets in itertools.product((0, 1), repeat=2):
        corner = [start + offset for start, offset in zip(low, offsets, strict=True)]
        parts = [linear((x - read).abs()) for x, read in zip(point, corner, strict=True)]
        term = image.at(batch, corner, False) * (parts[0] * parts[1]).cast(image.rows.kind).unsqueeze(-1)
        result = term if result is None else maximum(result, term)
    assert result is not None
    return result


def _deform_conv(node: Any, build: Builder) -> str | None:
    """The image is read at each tap's moved place; what is left is a product with the weights."""
    names = [*node.input, "", ""]
    source, weight, offset, bias, mask = names[:5]
    shape, kernel, moves = (build.static_shape_of(name) for name in (source, weight, offset))
    kind = build.type_of(source)
    if shape is None or kernel is None or moves is None or kind is None or len(shape) != 4:
        return None
    attributes = attributes_of(node)
    groups, parts = attributes.get("group", 1), attributes.get("offset_group", 1)
    strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    pads = attributes.get("pads", [0, 0, 0, 0])
    count, channels = shape[:2]
    taps, sizes = kernel[2] * kernel[3], moves[2:]
    points = math.prod(sizes)
    shifts = value_of(build, offset).reshape(count, parts, taps, 2, points)
    batch = constant(build, [[[number]] for number in range(count)], "int32")
    columns = []
    for part in range(parts):
        width = channels // parts
        image = _Image(
            build, value_of(build, source).slice(1, part * width, (part + 1) * width), [count, width, *shape[2:]]
        )
        own = shifts.item(1, part).squeeze(1)  # image, tap, axis, point
        point = []
        for axis in range(2):
            base = _tap_places(axis, kernel[2:], sizes, strides, dilations, pads)
            point.append(own.item(2, axis).squeeze(2).cast("float32") + constant(build, [base], "float32"))
        rows = image.between(batch, point, "linear", True, lambda x, _: x)  # image, tap, point, channel
        if mask:
            scale = value_of(build, mask).reshape(count, parts, taps, points).item(1, part).squeeze(1)
            rows = rows * scale.unsqueeze(-1)
        columns.append(rows.transpose(0, 3, 1, 2))  # image, channel, tap, point
    reads = concat(columns, 1).reshape(count, groups, channels // groups * taps, points)
    factors = value_of(build, weight).reshape(1, groups, kernel[0] // groups, kernel[1] * taps)
    result = factors.make("MatMul", reads).reshape(count, kernel[0], *sizes)
    if bias:
        result = result + value_of(build, bias).reshape(1, kernel[0], 1, 1)
    return result.name


def _tap_places(
    axis: int,
    kernel: Sequence[int],
    sizes: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
) -> list[list[int]]:
    """Coordinates along one axis of each tap (row, then column) for each point of the result."""
    return [
        [
            place[axis] * strides[axis] - pads[axis] + tap[axis] * dilations[axis]
            for place in itertools.product(range(sizes[0]), range(sizes[1]))
        ]
        for tap in itertools.product(range(kernel[0]), range(kernel[1]))
    ]


RULES: dict[str, Callable[[Any, Builder], str | None]] = {
    "DeformConv": _deform_conv,
    "GridSample": _grid_sample,
    "RoiAlign": _roi_align,
}
