"""Rules for windows over images in the forms that the importer lacks: pools that round up, places of maxima, Col2Im,
SpaceToDepth, and transforms of pieces of signals.

Enters: a node of known sizes. Leaves: convolutions with constants, reshapes and gathers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from webree.compiler.frontends.onnx_builder import Builder, attributes_of
from webree.compiler.frontends.onnx_values import Value, constant, value_of

__all__ = ["RULES", "inverse_real_dft"]

_WINDOW = 4096
_CHOICES = 8


def _average_pool(node: Any, build: Builder) -> str | None:
    """Windows that begin inside and end outside: a convolution with ones, divided by how many elements count."""
    import numpy

    source = node.input[0]
    shape, result, kind = build.static_shape_of(source), build.static_shape_of(node.output[0]), build.type_of(source)
    attributes = attributes_of(node)
    if not attributes.get("ceil_mode", 0) or shape is None or result is None or kind is None:
        return None
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    window = attributes["kernel_shape"]
    rank = len(window)
    strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    pads = list(attributes.get("pads", [0] * 2 * rank))
    counts = numpy.ones([1] * rank)
    reach = []
    for axis in range(rank):
        size, first, last = shape[2 + axis], pads[axis], pads[rank + axis]
        starts = numpy.arange(result[2 + axis]) * strides[axis] - first
        places = starts[:, None] + numpy.arange(window[axis]) * dilations[axis]
        low, high = (-first, size + last) if attributes.get("count_include_pad", 0) else (0, size)
        inside = ((places >= low) & (places < high)).sum(1)
        counts = counts * inside.reshape([-1 if number == axis else 1 for number in range(rank)])
        reach.append(max(int(places.max()) + 1 - size, 0))
    flat = value_of(build, source).reshape(shape[0] * shape[1], 1, *shape[2:])
    ones = constant(build, numpy.ones([1, 1, *window]), kind)
    sums = flat.make("Conv", ones, strides=strides, dilations=dilations, pads=[*pads[:rank], *reach])
    for axis in range(rank):
        sums = sums.slice(2 + axis, 0, result[2 + axis])
    return (sums / constant(build, numpy.maximum(counts, 1)[None, None], kind)).reshape(*result).name


def _max_pool(node: Any, build: Builder) -> list[str] | None:
    """Places of maxima counted by columns."""
    attributes = attributes_of(node)
    shape = build.static_shape_of(node.input[0])
    if len(node.output) < 2 or not attributes.pop("storage_order", 0) or shape is None:
        return None
    value, index = build.ops("MaxPool", node.input[0], outputs=2, **attributes)
    places = Value(build, index, "int64")
    total = math.prod(shape[2:])
    image = places / total
    rest = places - image * total
    column = rest * 0
    factor = 1
    weights = []
    for size in shape[2:]:
        weights.append(factor)
        factor *= size
    for size, weight in zip(reversed(shape[2:]), reversed(weights), strict=True):
        above = rest / size
        column = column + (rest - above * size) * weight
        rest = above
    return [value, (image * total + column).name]


def _col2im(node: Any, build: Builder) -> str | None:
    """Columns added up where their windows overlap: a transposed convolution that puts each row to its tap."""
    source = node.input[0]
    shape, result, kind = build.static_shape_of(source), build.static_shape_of(node.output[0]), build.type_of(source)
    block = build.constant_of(node.input[2])
    if shape is None or result is None or kind is None:
        return None
    attributes = attributes_of(node)
    taps = shape[1] // result[1]
    windows = [[int(size) for size in block]] if block is not None else _windows(shape, result, attributes)
    if not windows or len(windows) > _CHOICES or taps > _WINDOW:
        return None
    images = [_overlapped(build, source, shape, result, window, attributes) for window in windows]
    tests = []
    for window in windows[:-1]:
        given = value_of(build, node.input[2]).cast("int32")
        is_other = (~given.equals(constant(build, window, "int32"))).cast("int32").sum(0)
        tests.append(is_other.equals(0).name)
    return build.choose(tests, images)


def _overlapped(
    build: Builder, source: str, shape: list[int], result: list[int], window: list[int], attributes: dict[str, Any]
) -> str:
    import numpy

    kind = build.type_of(source)
    rank = len(window)
    strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    pads = attributes.get("pads", [0] * 2 * rank)
    taps = math.prod(window)
    counts = [
        (result[2 + axis] + pads[axis] + pads[rank + axis] - dilations[axis] * (size - 1) - 1) // strides[axis] + 1
        for axis, size in enumerate(window)
    ]
    value = value_of(build, source).reshape(shape[0] * result[1], taps, *counts)
    identity = constant(build, numpy.eye(taps).reshape(taps, 1, *window), kind)
    image = value.make("ConvTranspose", identity, strides=strides, dilations=dilations)
    for axis in range(rank):
        start = pads[axis]
        reach = (counts[axis] - 1) * strides[axis] + (window[axis] - 1) * dilations[axis] + 1
        missing = start + result[2 + axis] - reach
        if missing > 0:
            sizes = [shape[0] * result[1], 1]
            sizes += [
                result[2 + n] if n < axis else (counts[n] - 1) * strides[n] + (window[n] - 1) * dilations[n] + 1
                for n in range(rank)
            ]
            sizes[2 + axis] = missing
            image = image.make("Concat", constant(build, numpy.zeros(sizes), kind), axis=2 + axis)
        image = image.slice(2 + axis, start, start + result[2 + axis])
    return image.reshape(*result).name


def _windows(shape: list[int], result: list[int], attributes: dict[str, Any]) -> list[list[int]]:
    """The windows of the known volume that make the number of columns."""
    import itertools

    rank = len(result) - 2
    strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    pads = attributes.get("pads", [0] * 2 * rank)
    taps = shape[1] // result[1]
    found = []
    for window in itertools.product(*(range(1, taps + 1) for _ in range(rank))):
        if math.prod(window) != taps:
            continue
        counts = [
            (result[2 + n] + pads[n] + pads[rank + n] - dilations[n] * (size - 1) - 1) // strides[n] + 1
            for n, size in enumerate(window)
        ]
        if min(counts) > 0 and math.prod(counts) == shape[2]:
            found.append(list(window))
    return found


def _space_to_depth(node: Any, build: Builder) -> str | None:
    """Channels first within a block."""
    attributes = attributes_of(node)
    shape = build.static_shape_of(node.input[0])
    if attributes.get("mode", "DCR") != "CRD" or shape is None:
        return None
    count, channels, height, width = shape
    size = attributes["blocksize"]
    value = value_of(build, node.input[0]).reshape(count, channels, height // size, size, width // size, size)
    value = value.transpose(0, 1, 3, 5, 2, 4)
    return value.reshape(count, channels * size * size, height // size, width // size).name


def _stft(node: Any, build: Builder) -> str | None:
    """Pieces of the signal, weighted, times the matrix of cosines and sines."""
    import numpy

    names = [*node.input, "", ""][:4]
    source, step, window, length_name = names
    shape, kind, result = build.static_shape_of(source), build.type_of(source), build.static_shape_of(node.output[0])
    if shape is None or kind is None or result is None:
        return None
    onesided = bool(attributes_of(node).get("onesided", 1))
    known = build.constant_of(length_name) if length_name else None
    window_shape = build.static_shape_of(window) if window else None
    if window_shape:
        length = window_shape[0]
    elif known is not None:
        length = int(known.reshape(-1)[0])
    elif not onesided:
        length = result[2]
    else:  # the number of frames tells the even length from the odd one at most, so exporters' even lengths are taken
        length = 2 * (result[2] - 1)
    frames, bins = result[1], result[2]
    signal = value_of(build, source)
    signal = signal.reshape(*shape, 1) if len(shape) == 2 else signal
    begin = value_of(build, step).cast("int64").reshape(1, 1) * constant(build, numpy.arange(frames)[:, None], "int64")
    places = (begin + constant(build, numpy.arange(length)[None], "int64")).clip(0, shape[1] - 1)
    pieces = signal.gather(places, 1)  # batch, frame, place, part
    if window:
        pieces = pieces * value_of(build, window).cast(kind).reshape(1, 1, length, 1)
    angles = 2 * numpy.pi * ((numpy.arange(length)[:, None] * numpy.arange(bins)[None]) % length) / length
    cosines, sines = constant(build, numpy.cos(angles), kind), constant(build, -numpy.sin(angles), kind)
    parts = [pieces.item(3, number).squeeze(3) for number in range(1 if len(shape) == 2 else shape[2])]
    real, imaginary = parts[0].make("MatMul", cosines), parts[0].make("MatMul", sines)
    if len(parts) > 1:
        real = real - parts[1].make("MatMul", sines)
        imaginary = imaginary + parts[1].make("MatMul", cosines)
    return real.unsqueeze(3).make("Concat", imaginary.unsqueeze(3), axis=3).name


def inverse_real_dft(node: Any, build: Builder) -> str | None:
    """A real signal from the half of its transform that is given; the other half is its mirror image."""
    import numpy

    source = node.input[0]
    shape, kind, result = build.static_shape_of(source), build.type_of(source), build.static_shape_of(node.output[0])
    attributes = attributes_of(node)
    if not (attributes.get("inverse", 0) and attributes.get("onesided", 0)) or shape is None or result is None:
        return None
    names = [*node.input, "", ""][:3]
    rank = len(shape)
    choices = [axis for axis in range(rank - 1) if result[axis] // 2 + 1 == shape[axis]]
    known = build.constant_of(names[2]) if names[2] else None
    if known is not None:
        choices = [int(known.reshape(-1)[0]) % rank]
    elif not names[2]:
        choices = [attributes.get("axis", 1 if build.opset < 20 else -2) % rank]
    elif len(choices) > 1 and [axis for axis in choices if result[axis] != shape[axis]]:
        choices = [axis for axis in choices if result[axis] != shape[axis]]
    if len(choices) != 1 or kind is None:
        return None
    axis = choices[0]
    length, used = result[axis], shape[axis]
    angles = 2 * numpy.pi * ((numpy.arange(used)[:, None] * numpy.arange(length)[None]) % length) / length
    twice = numpy.where((numpy.arange(used) == 0) | (2 * numpy.arange(used) == length), 1.0, 2.0)[:, None] / length
    value = value_of(build, source)
    order = [number for number in range(rank - 1) if number != axis] + [axis]
    real, imaginary = (value.item(rank - 1, part).squeeze(rank - 1).transpose(*order) for part in (0, 1))
    signal = real.make("MatMul", constant(build, numpy.cos(angles) * twice, kind))
    signal = signal - imaginary.make("MatMul", constant(build, numpy.sin(angles) * twice, kind))
    return signal.transpose(*[order.index(number) for number in range(rank - 1)]).unsqueeze(rank - 1).name


RULES: dict[str, Callable[[Any, Builder], str | list[str] | None]] = {
    "AveragePool": _average_pool,
    "Col2Im": _col2im,
    "MaxPool": _max_pool,
    "STFT": _stft,
    "SpaceToDepth": _space_to_depth,
}
