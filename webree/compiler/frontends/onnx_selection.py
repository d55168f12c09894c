"""Rules for operators that pick, place and order elements: Slice, Pad, NonMaxSuppression, Unique, scattering.

Enters: a node. Leaves: gathers by computed positions, comparisons of all pairs, and loops. Where a size of the result
is known at run time only, the positions come from NonZero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from webree.compiler.frontends.onnx_builder import Builder, attributes_of
from webree.compiler.frontends.onnx_values import Value, concat, constant, maximum, minimum, value_of, where

__all__ = ["RULES"]

_END = 2**31 - 1
_WORK = 1 << 26
"""Comparisons of all pairs are written out up to this number."""


def _slice(node: Any, build: Builder) -> str | None:
    """Bounds that are known at run time only, for a result of known size."""
    names = [*node.input, "", "", ""][:5]
    source, starts, _, axes, steps = names
    shape, result = build.static_shape_of(source), build.static_shape_of(node.output[0])
    inputs = [name for name in names[1:] if name]
    if shape is None or result is None or all(build.constant_of(name) is not None for name in inputs):
        return None
    count = build.static_shape_of(starts)
    if count is None:
        return None
    first = value_of(build, starts).cast("int64")
    step = value_of(build, steps).cast("int64") if steps else first * 0 + 1
    numbers = value_of(build, axes).cast("int64") if axes else constant(build, list(range(count[0])), "int64")
    numbers = where(numbers < 0, numbers + len(shape), numbers)
    value = value_of(build, source)
    for axis, (size, length) in enumerate(zip(shape, result, strict=True)):
        if 0 in (size, length):
            return None
        if size == length == 1:
            continue
        chosen = numbers.equals(axis).cast("int64")
        stride = (chosen * step).sum(0, keepdims=1)
        low = where(first < 0, first + size, first)
        low = where(step < 0, minimum(maximum(low, 0), size - 1), minimum(maximum(low, 0), size))
        begin = (chosen * low).sum(0, keepdims=1)
        stride = where(stride.equals(0), stride + 1, stride)
        rows = begin + constant(build, list(range(length)), "int64") * stride
        value = value.gather(rows.clip(0, size - 1), axis)
    return value.name


def _pad(node: Any, build: Builder) -> str | None:
    """Edges, mirrors and repetition as gathers; constants too, where the padding is known at run time only. Negative
    padding cuts off."""
    source, pads, fill, axes = [*node.input, "", ""][:4]
    mode = attributes_of(node).get("mode", "constant")
    shape, result = build.shape_of(source), build.static_shape_of(node.output[0])
    known = build.constant_of(pads)
    if build.opset < 11 or shape is None or build.type_of(source) is None:
        return None
    numbers: list[int] | None = list(range(len(shape)))
    if axes:
        given = build.constant_of(axes)
        numbers = None if given is None else [int(number) % len(shape) for number in given.reshape(-1)]
    if numbers is None:
        return None
    value = value_of(build, source)
    if mode == "constant" and known is not None:
        return _cut(build, value, known.reshape(-1).tolist(), numbers, fill, len(shape))
    if result is None or any(size in (None, 0) for size in shape):
        return None if known is None else _pad_open(build, value, known.reshape(-1).tolist(), numbers, mode)
    before = value_of(build, pads).cast("int64")
    for position, axis in enumerate(numbers):
        size, length = shape[axis] or 0, result[axis]
        rows = constant(build, list(range(length)), "int64") - before.item(0, position)
        held = _source_rows(rows, constant(build, size, "int64"), mode)
        value = value.gather(held, axis)
        if mode == "constant":
            inside = held.equals(rows).reshape(*[length if number == axis else 1 for number in range(len(shape))])
            empty = value_of(build, fill).reshape(*[1] * len(shape)) if fill else 0
            value = where(inside, value, value.same(empty))
    return value.name


def _source_rows(rows: Value, size: Value, mode: str) -> Value:
    """Which rows of `size` stand at the numbers `rows`, some of them before the first or behind the last."""
    if mode == "wrap":
        return rows.remainder(size)
    if mode == "reflect":
        rows = rows.remainder(maximum(2 * size - 2, 1))
        return minimum(rows, 2 * size - 2 - rows)
    return rows.clip(0, size - 1)


def _pad_open(build: Builder, value: Value, pads: Sequence[int], numbers: Sequence[int], mode: str) -> str | None:
    """Known padding of sizes that are known at run time only."""
    for position, axis in enumerate(numbers):
        first, last = pads[position], pads[len(numbers) + position]
        if first or last:
            sizes = Value(build, build.op("Shape", value.name), "int64")
            size = sizes.gather(constant(build, axis, "int64"))
            rows = constant(build, -first, "int64").make("Range", size + last, 1)
            value = value.gather(_source_rows(rows, size, mode), axis)
    return value.name


def _cut(build: Builder, value: Value, pads: Sequence[int], numbers: Sequence[int], fill: str, rank: int) -> str | None:
    """Rows that negative padding takes away are cut off; the rest is padded. None if there are none such."""
    if min(pads, default=0) >= 0:
        return None
    rest = [0] * 2 * rank
    for position, axis in enumerate(numbers):
        first, last = pads[position], pads[len(numbers) + position]
        if first < 0 or last < 0:
            value = value.slice(axis, max(-first, 0), min(last, 0) or _END)
        rest[axis], rest[rank + axis] = max(first, 0), max(last, 0)
    if not any(rest):
        return value.name
    return build.op("Pad", value.name, build.constant(rest, "int64"), *([fill] if fill else []))


# --- Scattering -------------------------------------------------------------------------------------------------------


def _scatter_elements(node: Any, build: Builder) -> str | None:
    """The largest or smallest of what is there and of the updates, compared with every position."""
    import numpy

    source, index, updates = node.input
    attributes = attributes_of(node)
    reduction = attributes.get("reduction", "none")
    shape, count, kind = build.static_shape_of(source), build.static_shape_of(index), build.type_of(source)
    if reduction not in ("max", "min") or shape is None or count is None or kind is None:
        return None
    axis = attributes.get("axis", 0) % len(shape)
    if math.prod(count) * shape[axis] > _WORK or kind.kind not in "fiu":
        return None
    limits = numpy.finfo(kind) if kind.kind == "f" else numpy.iinfo(kind)
    neutral = limits.min if reduction == "max" else limits.max
    if kind.kind == "f":
        neutral = -math.inf if reduction == "max" else math.inf
    value = value_of(build, source)
    places = value_of(build, index).cast("int64")
    places = where(places < 0, places + shape[axis], places).unsqueeze(axis)
    along = [shape[axis] if number == axis else 1 for number in range(len(shape) + 1)]
    positions = constant(build, numpy.arange(shape[axis]).reshape(along), "int64")
    candidates = where(places.equals(positions), value_of(build, updates).unsqueeze(axis), neutral)
    best = candidates.reduce("ReduceMax" if reduction == "max" else "ReduceMin", axis + 1)
    for number, size in enumerate(shape):
        if number != axis and count[number] < size:
            rest = [*shape[:number], size - count[number], *count[number + 1 :]]
            rest[axis] = shape[axis]
            best = concat([best, constant(build, numpy.full(rest, neutral, kind), kind)], number)
    return (maximum if reduction == "max" else minimum)(value, best).name


def _tensor_scatter(node: Any, build: Builder) -> str | None:
    """A cache with new rows from a position on, which may go round its end."""
    import numpy

    past, update, *rest = node.input
    shape, new = build.static_shape_of(past), build.static_shape_of(update)
    if shape is None or new is None:
        return None
    attributes = attributes_of(node)
    axis = attributes.get("axis", -2) % len(shape)
    along = [shape[axis] if number == axis else 1 for number in range(len(shape))]
    rows = constant(build, numpy.arange(shape[axis]).reshape(along), "int64")
    if rest and rest[0]:
        rows = rows - value_of(build, rest[0]).cast("int64").reshape(-1, *[1] * (len(shape) - 1))
    if attributes.get("mode", "linear") == "circular":
        rows = rows.remainder(shape[axis])
    inside = (rows >= 0) & (rows < new[axis])
    everywhere = constant(build, numpy.zeros(shape), "int64")
    picked = value_of(build, update).make("GatherElements", rows.clip(0, new[axis] - 1) + everywhere, axis=axis)
    return where(inside, picked, value_of(build, past)).name


def _max_unpool(node: Any, build: Builder) -> str | None:
    import numpy

    source, index = node.input[:2]
    shape, result, kind = build.static_shape_of(source), build.static_shape_of(node.output[0]), build.type_of(source)
    if shape is None or kind is None:
        return None
    attributes = attributes_of(node)
    window = attributes["kernel_shape"]
    strides = attributes.get("strides", [1] * len(window))
    pads = attributes.get("pads", [0] * 2 * len(window))
    spread = [
        (shape[2 + axis] - 1) * strides[axis] - pads[axis] - pads[len(window) + axis] + size
        for axis, size in enumerate(window)
    ]
    whole = [*shape[:2], *spread]
    zeros = constant(build, numpy.zeros(math.prod(whole), kind), kind)
    flat = value_of(build, index).reshape(-1)
    value = zeros.make("ScatterElements", flat, value_of(build, source).reshape(-1), axis=0).reshape(*whole)
    if len(node.input) < 3 or not node.input[2]:
        return value.name
    if result is None:
        return None
    for axis, size in enumerate(result):
        if size > whole[axis]:
            rest = [*result[:axis], size - whole[axis], *whole[axis + 1 :]]
            value = concat([value, constant(build, numpy.zeros(rest, kind), kind)], axis)
    return value.name


# --- Ordering ---------------------------------------------------------------------------------------------------------


def _positions(build: Builder, condition: Value, count: int | None) -> Value:
    """Where a row of truths holds, in order; `count` of them, if that is known."""
    found = condition.make("NonZero", kind="int64")
    return found.reshape(-1) if count is None else found.reshape(count)


def _unique(node: Any, build: Builder) -> list[str] | None:
    """Rows ranked by comparing all pairs; equal ones lie side by side then."""
    import numpy

    source = node.input[0]
    shape, kind = build.static_shape_of(source), build.type_of(source)
    if shape is None or kind is None or 0 in shape:
        return None
    attributes = attributes_of(node)
    axis = attributes.get("axis")
    value = value_of(build, source)
    value = value.reshape(-1) if axis is None else value
    axis = 0 if axis is None else axis % len(shape)
    others = [number for number in range(len(shape)) if number != axis]
    is_flat = attributes.get("axis") is None
    size = math.prod(shape) if is_flat else shape[axis]
    width = 1 if is_flat else math.prod(shape) // size
    if size * size * width > _WORK:
        return None
    rows = value if is_flat else value.transpose(axis, *others)
    rows = rows.reshape(size, width)
    before, same = _compared(build, rows, size, width)
    earlier = constant(build, numpy.tril(numpy.ones((size, size)), -1).astype(bool), "bool")
    rank = (before | (same & earlier)).cast("int32").sum(1)  # how many rows come before each
    numbers = constant(build, numpy.arange(size), "int64")
    zeros = constant(build, numpy.zeros(size), "int64")
    order = zeros.make("ScatterElements", rank.cast("int64"), numbers, axis=0)
    is_first = ~(same & earlier).cast("int32").sum(1).cast("bool")  # of its equals
    result = build.static_shape_of(node.output[0])
    count = None if result is None else result[axis]
    starts_sorted = _positions(build, is_first.cast("int32").gather(order).cast("bool"), count)
    heads = order.gather(starts_sorted) if attributes.get("sorted", 1) else _positions(build, is_first, count)
    # The place of each row's first equal among the heads.
    equals = same.cast("int64")
    counts = equals.sum(1).gather(heads)
    falls_on = same.cast("int32").gather(heads, 1).cast("int64")  # row, head
    places = constant(build, list(range(count)), "int64") if count is not None else _arange_like(build, heads)
    inverse = (falls_on * places).sum(1)
    unique = value.gather(heads, axis)
    return [unique.name, heads.name, inverse.name, counts.name]


def _arange_like(build: Builder, value: Value) -> Value:
    """0, 1, 2, … of the length of a list."""
    ones = value * 0 + 1
    axis = constant(build, 0, "int64")
    return ones.make("CumSum", axis) - 1


def _compared(build: Builder, rows: Value, size: int, width: int) -> tuple[Value, Value]:
    """For every pair of rows (i, j): whether j comes before i, whether they are the same."""
    left, right = rows.reshape(size, 1, width), rows.reshape(1, size, width)
    same = left.equals(right).cast("int32")
    if width == 1:
        return (right < left).reshape(size, size), same.reshape(size, size).cast("bool")
    import numpy

    # 2 where j is smaller, 0 where it is larger: the first element that differs decides, as the largest of weights
    # that fall from the front.
    falling = constant(build, numpy.arange(width, 0, -1), "int32")
    smaller = ((right < left).cast("int32") * falling).reduce("ReduceMax", 2)
    larger = ((right > left).cast("int32") * falling).reduce("ReduceMax", 2)
    return smaller > larger, smaller.equals(larger)


def _non_max_suppression(node: Any, build: Builder) -> str | None:
    """Boxes by falling score; a loop lets each one that is still there strike out those that it covers."""
    names = [*node.input, "", "", ""][:5]
    boxes_name, scores_name, limit, overlap, threshold = names
    shape, result = build.static_shape_of(scores_name), build.static_shape_of(node.output[0])
    if shape is None:
        return None
    batches, classes, count = shape
    boxes = value_of(build, boxes_name)
    scores = value_of(build, scores_name)
    largest, order_name = build.ops("TopK", scores_name, build.constant([count], "int64"), axis=2, outputs=2)
    falling, order = Value(build, largest, scores.kind), Value(build, order_name, "int64")
    edges = _edges(boxes, bool(attributes_of(node).get("center_point_box", 0)))  # batch, box
    flat = order + constant(build, [[[batch * count]] for batch in range(batches)], "int64")
    low_y, low_x, high_y, high_x = (edge.reshape(-1).gather(flat) for edge in edges)  # batch, class, box
    kept = falling.equals(falling)
    if threshold:
        kept = falling > value_of(build, threshold).reshape(1, 1, 1)
    if overlap:
        height = minimum(high_y.unsqueeze(3), high_y.unsqueeze(2)) - maximum(low_y.unsqueeze(3), low_y.unsqueeze(2))
        width = minimum(high_x.unsqueeze(3), high_x.unsqueeze(2)) - maximum(low_x.unsqueeze(3), low_x.unsqueeze(2))
        area = (high_y - low_y) * (high_x - low_x)
        common = maximum(height, 0) * maximum(width, 0)
        union = area.unsqueeze(3) + area.unsqueeze(2) - common
        covers = (common > union * value_of(build, overlap).reshape(1, 1, 1, 1)) & (common > 0)
        kept = _strike(build, kept, covers.cast("int32"), (batches, classes), count)
    if limit:
        rank = kept.cast("int32").make("CumSum", constant(build, 2, "int64"))
        kept = kept & (rank.cast("int64") <= value_of(build, limit).cast("int64").reshape(1, 1, 1))
    else:
        kept = kept & ~kept  # the default number of boxes to select is none
    found = kept.make("NonZero", kind="int64")
    chosen = order.reshape(-1).gather(
        found.item(0, 0) * (classes * count) + found.item(0, 1) * count + found.item(0, 2)
    )
    triples = concat([found.item(0, 0), found.item(0, 1), chosen], 0)
    picked = triples.transpose(1, 0)
    return (picked if result is None else picked.reshape(*result)).name


def _edges(boxes: Value, is_centered: bool) -> list[Value]:
    """Low y, low x, high y, high x of each box."""
    parts = [boxes.item(2, number).squeeze(2) for number in range(4)]
    if is_centered:
        x, y, width, height = parts
        return [y - height * 0.5, x - width * 0.5, y + height * 0.5, x + width * 0.5]
    y1, x1, y2, x2 = parts
    return [minimum(y1, y2), minimum(x1, x2), maximum(y1, y2), maximum(x1, x2)]


def _strike(build: Builder, kept: Value, covers: Value, sizes: tuple[int, int], count: int) -> Value:
    """Box after box by falling score: one that is kept strikes out all later ones that it covers too much of."""
    import numpy
    from onnx import TensorProto, helper

    later = constant(build, numpy.arange(count), "int64")
    prefix = f"{kept.name}/loop"
    shape = [*sizes, count]
    body = Builder.within(build, prefix)
    number, truth, so_far = f"{prefix}/round", f"{prefix}/condition", f"{prefix}/kept"
    state = Value(body, so_far, "int32")
    position = Value(body, number, "int64").reshape(1)
    own = state.gather(position, 2)  # batch, class, 1
    row = covers.on(body).gather(position, 2).squeeze(2)  # batch, class, box
    struck = own * row * (later.on(body) > position).cast("int32")
    after = where(struck > 0, state * 0, state)
    goes_on = Value(body, truth, "bool").make("Identity")
    inputs = [
        helper.make_tensor_value_info(number, TensorProto.INT64, []),
        helper.make_tensor_value_info(truth, TensorProto.BOOL, []),
        helper.make_tensor_value_info(so_far, TensorProto.INT32, shape),
    ]
    outputs = [
        helper.make_tensor_value_info(goes_on.name, TensorProto.BOOL, []),
        helper.make_tensor_value_info(after.name, TensorProto.INT32, shape),
    ]
    graph = helper.make_graph(body.nodes, prefix, inputs, outputs, body.initializers)
    rounds, always = build.constant(count, "int64"), build.constant(True, "bool")
    result = build.op("Loop", rounds, always, kept.cast("int32").name, body=graph)
    return Value(build, result, "int32").cast("bool")


def _compress(node: Any, build: Builder) -> str | None:
    """Gather at the positions where the condition holds."""
    source, condition = node.input
    attributes = attributes_of(node)
    shape, result = build.shape_of(source), build.static_shape_of(node.output[0])
    tests = build.static_shape_of(condition)
    if shape is None or tests is None:
        return None
    value = value_of(build, source)
    if "axis" not in attributes:
        value, axis = value.reshape(-1), 0
    else:
        axis = attributes["axis"] % len(shape)
    count = None if result is None else result[axis]
    return value.gather(_positions(build, value_of(build, condition), count), axis).name


RULES: dict[str, Callable[[Any, Builder], str | list[str] | None]] = {
    "Compress": _compress,
    "MaxUnpool": _max_unpool,
    "NonMaxSuppression": _non_max_suppression,
    "Pad": _pad,
    "ScatterElements": _scatter_elements,
    "Slice": _slice,
    "TensorScatter": _tensor_scatter,
    "Unique": _unique,
}
