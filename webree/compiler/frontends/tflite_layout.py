"""Operators of TensorFlow Lite that move elements: reshape, transpose, pad, slice, concatenate, gather, …

Enters: an `Operator`. Leaves: tensor operations, or kernels that read where tables or indices say. On constants, and on
sizes computed from shapes, all of this happens while importing. Stored numbers of quantised tensors are moved as they
are, and rescaled only where input and result differ in scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from webree.compiler.frontends.tflite_file import Array
from webree.compiler.frontends.tflite_gather import take
from webree.compiler.frontends.tflite_operator import Operator, Rule, activate, quantized, shown
from webree.compiler.frontends.tflite_values import Dim, Size, Value, known

__all__ = ["RULES"]


def _total(sizes: Sequence[Size]) -> Size:
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


def _reshape(op: Operator) -> Value:
    value = op.value(0)
    sizes: list[Size] = op.sizes(1, "the new shape") if op.has(1) else list(op.options["new_shape"])
    open_axes = [axis for axis, size in enumerate(sizes) if isinstance(size, int) and size == -1]
    if len(open_axes) > 1 or any(isinstance(size, int) and size < -1 for size in sizes):
        raise op.invalid(f"the new shape {shown(sizes)} is impossible")
    if open_axes:
        known = _total([size for axis, size in enumerate(sizes) if axis not in open_axes])
        if isinstance(known, int) and known == 0:
            raise op.invalid(f"the new shape {shown(sizes)} leaves its open size undefined")
        sizes[open_axes[0]] = _quotient(value, known)
    same = value.is_static and all(isinstance(size, int) for size in sizes)
    if same and _total(sizes) != _total(value.shape):
        raise op.invalid(f"{shown(value.shape)} cannot become {shown(sizes)}")
    if not value.is_static and all(isinstance(size, int) for size in sizes) and value.rank:
        raise op.fail(
            f"the new shape {shown(sizes)} is fixed, and the input {shown(value.shape)} is not; "
            "bind its sizes with --dim"
        )
    return op.emitter.reshape(value, sizes)


def _quotient(value: Value, known: Size) -> Size:
    """The open size; sizes known at run time cancel against themselves, so that a batch stays the batch."""
    left = list(value.shape)
    dims = [size for size in left if isinstance(size, Dim)]
    if isinstance(known, int) and len(dims) == 1:
        others = _total([size for size in left if isinstance(size, int)])
        if isinstance(others, int) and others % known == 0:
            return dims[0] * (others // known)
    return _total(left) // known


def _squeeze(op: Operator) -> Value:
    value = op.value(0)
    chosen = {op.axis(axis, value.rank) for axis in op.options["dims"]}
    chosen = chosen or {axis for axis, size in enumerate(value.shape) if size == 1}
    if any(isinstance(value.shape[axis], int) and value.shape[axis] != 1 for axis in chosen):
        raise op.invalid(f"dimensions {sorted(chosen)} of {shown(value.shape)} are not all 1")
    return op.emitter.reshape(value, [size for axis, size in enumerate(value.shape) if axis not in chosen])


def _expand(op: Operator) -> Value:
    value = op.value(0)
    axis = op.axis(op.integers(1, "the axis")[0], value.rank + 1)
    return op.emitter.reshape(value, [*value.shape[:axis], 1, *value.shape[axis:]])


def _transpose(op: Operator) -> Value:
    value, order = op.value(0), op.integers(1, "the permutation")
    if sorted(order) != list(range(value.rank)):
        raise op.invalid(f"{order} is no permutation of {value.rank} dimensions")
    return op.emitter.transpose(value, order)


def _pad(op: Operator) -> Value:
    value = op.value(0)
    pads = op.sizes(1, "the padding")
    if len(pads) != 2 * value.rank or any(isinstance(size, int) and size < 0 for size in pads):
        raise op.invalid(f"the padding {shown(pads)} does not fit {value.rank} dimensions")
    fill: Any = 0
    if op.has(2):
        fill = op.array(2, "the element to pad with").reshape(-1)[0]
    elif value.quantization is not None and quantized(value.dtype, value.quantization):
        fill = value.quantization.zero_point[0]
    return op.emitter.pad(value, pads[::2], pads[1::2], fill)


def _mirror_pad(op: Operator) -> Value:
    """REFLECT leaves the edge out, SYMMETRIC repeats it."""
    value, pads = op.value(0), op.integers(1, "the padding")
    edge = 1 if op.options["mode"] == 0 else 0
    for axis, (low, high) in enumerate(zip(pads[::2], pads[1::2], strict=True)):
        if low or high:
            size = op.static(value, axis, "the size")
            if min(low, high) < 0 or max(low, high) > size - edge:
                raise op.invalid(f"the padding {low}, {high} is more than a mirror of {size} elements shows")
            places = np.abs(np.arange(-low, size + high) + (0 if edge else 0.5)) - (0 if edge else 0.5)
            last = size - 1 if edge else size - 0.5
            places = np.where(places > size - 1, 2 * last - places, places)
            value = take(op, value, axis, places.astype(np.int64))
    return value


def _reverse(op: Operator) -> Value:
    value = op.value(0)
    for axis in op.integers(1, "the axes"):
        axis = op.axis(axis, value.rank)
        value = take(op, value, axis, np.arange(op.static(value, axis, "the size"))[::-1])
    return value


def _strided_slice(op: Operator) -> Value:
    """Python's slices; masks say where a start, an end or a whole dimension is left open, added or dropped."""
    value, masks = op.value(0), op.options
    starts, ends = op.sizes(1, "the start"), op.sizes(2, "the end")
    steps = op.integers(3, "the stride")
    if masks["ellipsis_mask"] or masks["new_axis_mask"]:
        value, starts, ends, steps, masks = _without_ellipsis(op, value, starts, ends, steps)
    if not len(starts) == len(ends) == len(steps) <= value.rank:
        raise op.invalid(f"{len(starts)} starts, {len(ends)} ends and {len(steps)} strides for {value.rank} dimensions")
    dropped = []
    offsets: list[Size] = [0] * value.rank
    sizes: list[Size] = list(value.shape)
    strides = [1] * value.rank
    for axis, (start, end, step) in enumerate(zip(starts, ends, steps, strict=True)):
        size = value.shape[axis]
        if step == 0:
            raise op.invalid(f"stride 0 along dimension {axis}")
        open_start, open_end = masks["begin_mask"] >> axis & 1, masks["end_mask"] >> axis & 1
        if masks["shrink_axis_mask"] >> axis & 1:
            dropped.append(axis)
            place = start if not isinstance(start, int) or start >= 0 else size + start
            offsets[axis], sizes[axis], step = place, 1, 1
            if isinstance(size, int) and isinstance(place, int) and not 0 <= place < size:
                raise op.invalid(f"index {start} lies outside dimension {axis} of {size}")
        elif step < 0:
            rows = _rows(op, value, axis, None if open_start else start, None if open_end else end, step)
            value = take(op, value, axis, rows)
            sizes[axis] = len(rows)
            continue
        else:
            if masks.get("offset"):
                end = start + end
            first = 0 if open_start else _bounded(start, size)
            last = size if open_end else _bounded(end, size)
            offsets[axis], sizes[axis] = first, _length(first, last, step)
        strides[axis] = step
    part = op.emitter.slice(value, offsets, sizes, strides)
    return op.emitter.reshape(part, [size for axis, size in enumerate(sizes) if axis not in dropped])


def _rows(op: Operator, value: Value, axis: int, start: Any, end: Any, step: int) -> Array:
    size = op.static(value, axis, "the size")
    if isinstance(start, Dim) or isinstance(end, Dim):
        raise op.fail(f"a negative stride along dimension {axis} between ends known at run time only")
    return np.arange(size)[slice(start, end, step)]


def _bounded(place: Size, size: Size) -> Size:
    if isinstance(place, int):
        if place < 0:
            place = size + place
            return place.maximum(0) if isinstance(place, Dim) else max(place, 0)
        if place == 0:
            return 0
    if isinstance(place, int) and isinstance(size, int):
        return min(place, size)
    if place == size:
        return place
    return (
        size.minimum(place) if isinstance(size, Dim) else Dim.minimum(place, size) if isinstance(place, Dim) else size
    )


def _length(first: Size, last: Size, step: int) -> Size:
    count = (last - first + (step - 1)) // step
    return count if isinstance(count, Dim) else max(count, 0)


def _without_ellipsis(op: Operator, value: Value, starts: list[Size], ends: list[Size], steps: list[int]) -> Any:
    """The same slice with one entry per dimension, of a tensor that has the new dimensions already."""
    masks = {name: 0 for name in ("begin_mask", "end_mask", "shrink_axis_mask")}
    ellipsis, added = op.options["ellipsis_mask"], op.options["new_axis_mask"]
    entries = len(starts)
    real = sum(1 for item in range(entries) if not (ellipsis >> item & 1 or added >> item & 1))
    firsts: list[Size] = []
    lasts: list[Size] = []
    strides: list[int] = []
    shape: list[Size] = []
    taken = 0

    def add(start: Size, end: Size, step: int, size: Size) -> None:
        firsts.append(start)
        lasts.append(end)
        strides.append(step)
        shape.append(size)

    for item in range(entries):
        if ellipsis >> item & 1:
            for _ in range(max(value.rank - real, 0)):
                add(0, value.shape[taken], 1, value.shape[taken])
                taken += 1
        elif added >> item & 1:
            add(0, 1, 1, 1)
        else:
            if taken >= value.rank:
                raise op.invalid(f"more entries than the {value.rank} dimensions of the input")
            for name in masks:
                masks[name] |= (op.options[name] >> item & 1) << len(shape)
            add(starts[item], ends[item], steps[item], value.shape[taken])
            taken += 1
    shape += value.shape[taken:]
    return op.emitter.reshape(value, shape), firsts, lasts, strides, masks


def _slice(op: Operator) -> Value:
    value, starts, sizes = op.value(0), op.sizes(1, "the start"), op.sizes(2, "the size")
    if not len(starts) == len(sizes) == value.rank:
        raise op.invalid(f"{len(starts)} starts and {len(sizes)} sizes for {value.rank} dimensions")
    counts: list[Size] = []
    for axis, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        whole = value.shape[axis]
        counts.append(whole - start if isinstance(size, int) and size == -1 else size)
        numbers = known([start, counts[-1], whole])
        if numbers is not None and not 0 <= numbers[0] <= numbers[0] + numbers[1] <= numbers[2]:
            raise op.invalid(f"{numbers[1]} elements from {start} on lie outside dimension {axis} of {whole}")
    return op.emitter.slice(value, starts, counts, [1] * value.rank)


def _rescaled(op: Operator, value: Value) -> Value:
    """The tensor in the result's scale."""
    if not quantized(op.dtype, op.quantization) or value.quantization == op.quantization:
        return value
    return op.kernel([value], lambda b, x: x)


def _concatenate(op: Operator) -> Value:
    values = [_rescaled(op, op.value(position)) for position in range(len(op.inputs))]
    if not values or len({value.rank for value in values}) != 1 or not values[0].rank:
        raise op.invalid(f"inputs of {[value.rank for value in values]} dimensions cannot be concatenated")
    axis = op.axis(op.options["axis"], values[0].rank)
    shape = list(values[0].shape)
    for value in values[1:]:
        for item, size in enumerate(value.shape):
            known = shape[item]
            if item == axis:
                shape[item] = known + size
            elif isinstance(known, int) and isinstance(size, int) and known != size:
                raise op.invalid(f"{shown(value.shape)} does not fit {shown(shape)} along dimension {axis}")
    found = op.emitter.concatenate(values, axis, shape)
    return op.kernel([found], lambda b, x: activate(op, b, x)) if op.options["activation"] else found


def _pack(op: Operator) -> Value:
    values = [_rescaled(op, op.value(position)) for position in range(len(op.inputs))]
    if not values:
        raise op.invalid("it has no inputs")
    axis = op.axis(op.options["axis"], values[0].rank + 1)
    shape = list(values[0].shape)
    shape.insert(axis, 1)
    parts = [op.emitter.reshape(value, shape) for value in values]
    shape[axis] = len(values)
    return op.emitter.concatenate(parts, axis, shape)


def _parts(op: Operator, value: Value, axis: int, counts: Sequence[int]) -> list[Value]:
    found: list[Value] = []
    start = 0
    for count in counts:
        offsets, sizes = [0] * value.rank, list(value.shape)
        offsets[axis], sizes[axis] = start, count
        found.append(op.emitter.slice(value, offsets, sizes, [1] * value.rank))
        start += count
    return found


def _unpack(op: Operator) -> list[Value]:
    value = op.value(0)
    axis = op.axis(op.options["axis"], value.rank)
    count = op.static(value, axis, "the number of results")
    shape = [size for item, size in enumerate(value.shape) if item != axis]
    return [op.emitter.reshape(part, shape) for part in _parts(op, value, axis, [1] * count)]


def _split(op: Operator) -> list[Value]:
    axis, value, count = op.integers(0, "the axis")[0], op.value(1), op.options["count"] or len(op.outputs)
    axis = op.axis(axis, value.rank)
    size = op.static(value, axis, "the size")
    if count < 1 or size % count:
        raise op.invalid(f"{size} elements cannot be split into {count} equal parts")
    return _parts(op, value, axis, [size // count] * count)


def _split_sizes(op: Operator) -> list[Value]:
    value, counts, axis = op.value(0), op.integers(1, "the sizes"), op.integers(2, "the axis")[0]
    axis = op.axis(axis, value.rank)
    size = op.static(value, axis, "the size")
    counts = [size - sum(item for item in counts if item >= 0) if count == -1 else count for count in counts]
    if sum(counts) != size or min(counts, default=0) < 0:
        raise op.invalid(f"{size} elements cannot be split into {counts}")
    return _parts(op, value, axis, counts)


def _densify(op: Operator) -> Value:
    raise op.invalid(f"{op.value(0).label!r} is no sparse constant")


RULES: dict[str, Rule] = {
    "RESHAPE": _reshape,
    "SQUEEZE": _squeeze,
    "EXPAND_DIMS": _expand,
    "TRANSPOSE": _transpose,
    "PAD": _pad,
    "PADV2": _pad,
    "MIRROR_PAD": _mirror_pad,
    "REVERSE_V2": _reverse,
    "STRIDED_SLICE": _strided_slice,
    "SLICE": _slice,
    "CONCATENATION": _concatenate,
    "PACK": _pack,
    "UNPACK": _unpack,
    "SPLIT": _split,
    "SPLIT_V": _split_sizes,
    "DENSIFY": _densify,
}
