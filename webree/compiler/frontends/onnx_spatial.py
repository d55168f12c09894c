"""Rules for products, convolutions, pools, transforms and grids in the forms that the importer's conversion lacks.

Enters: a node. Leaves: the same computation in forms that it has: explicit padding, one group, matrices of constants.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

from webree.compiler.frontends.onnx_axes import either
from webree.compiler.frontends.onnx_builder import Builder, attributes_of
from webree.compiler.frontends.onnx_pools import inverse_real_dft
from webree.errors import CompileError

__all__ = ["RULES"]

_TRANSFORM_LENGTH = 2048
_DETERMINANT_SIZE = 5


def _matmul(node: Any, build: Builder) -> str | None:
    """Vectors as matrices of one row or column, where the other side has more than two dimensions."""
    shapes = [build.shape_of(name) for name in node.input]
    if shapes[0] is None or shapes[1] is None:
        return None
    ranks = [len(shape) for shape in shapes if shape is not None]
    if min(ranks) != 1 or max(ranks) < 3:
        return None
    left, right = node.input
    if ranks[0] == 1:
        product = build.op("MatMul", build.op("Unsqueeze", left, build.constant([0], "int64")), right)
        return build.op("Squeeze", product, build.constant([-2], "int64"))
    product = build.op("MatMul", left, build.op("Unsqueeze", right, build.constant([1], "int64")))
    return build.op("Squeeze", product, build.constant([-1], "int64"))


def _conv_transpose(node: Any, build: Builder) -> str | None:
    """Paddings written out; groups one by one."""
    source, weight = node.input[:2]
    attributes = attributes_of(node)
    shape, kernel, result = (build.static_shape_of(name) for name in (source, weight, node.output[0]))
    group = attributes.get("group", 1)
    automatic = attributes.get("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER") or "output_shape" in attributes
    if shape is None or kernel is None or result is None or (group == 1 and not automatic):
        return None
    rank = len(shape) - 2
    strides = list(attributes.get("strides", [1] * rank))
    dilations = list(attributes.get("dilations", [1] * rank))
    pads = list(attributes.get("pads", [0] * 2 * rank))
    extra = list(attributes.get("output_padding", [0] * rank))
    if automatic:
        upper = attributes.get("auto_pad") != "SAME_LOWER"
        for axis in range(rank):
            reach = strides[axis] * (shape[2 + axis] - 1) + extra[axis] + (kernel[2 + axis] - 1) * dilations[axis] + 1
            total = reach - result[2 + axis]
            if total < 0:
                return None
            small, large = total // 2, total - total // 2
            pads[axis], pads[rank + axis] = (small, large) if upper else (large, small)
    cut = pads if pads[:rank] != pads[rank:] else []  # the importer takes the same on both sides only
    options: dict[str, Any] = {"strides": strides, "dilations": dilations, "output_padding": extra}
    options["pads"] = [0] * 2 * rank if cut else pads
    depth, width = shape[1] // group, kernel[1]
    parts = []
    for index in range(group):
        inputs = [source, weight]
        if group > 1:
            first = index * depth
            inputs = [build.slice(name, axis, first, first + depth) for name, axis in ((source, 1), (weight, 0))]
        if len(node.input) > 2 and node.input[2]:
            bias = node.input[2]
            inputs.append(build.slice(bias, 0, index * width, (index + 1) * width) if group > 1 else bias)
        parts.append(build.op("ConvTranspose", *inputs, **options))
    value = parts[0] if group == 1 else build.op("Concat", *parts, axis=1)
    for axis, first in enumerate(cut[:rank]):
        value = build.slice(value, 2 + axis, first, first + result[2 + axis])
    return value


def _lp_pool(node: Any, build: Builder) -> str | None:
    """The p-th root of a convolution of |x|^p with ones."""
    import numpy

    source = node.input[0]
    shape, result, kind = build.static_shape_of(source), build.static_shape_of(node.output[0]), build.type_of(source)
    attributes = attributes_of(node)
    if shape is None or result is None or kind is None or attributes.get("ceil_mode", 0):
        return None
    window, power = list(attributes["kernel_shape"]), attributes.get("p", 2)
    rank = len(window)
    strides = list(attributes.get("strides", [1] * rank))
    dilations = list(attributes.get("dilations", [1] * rank))
    pads = list(attributes.get("pads", [0] * 2 * rank))
    automatic = attributes.get("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        for axis in range(rank):
            reach = (window[axis] - 1) * dilations[axis] + 1
            total = max((result[2 + axis] - 1) * strides[axis] + reach - shape[2 + axis], 0)
            small, large = total // 2, total - total // 2
            pads[axis], pads[rank + axis] = (small, large) if automatic == "SAME_UPPER" else (large, small)
    size = build.op("Abs", source)
    powers = build.op("Pow", size, build.constant(power, kind)) if power != 1 else size
    flat = build.reshape(powers, [shape[0] * shape[1], 1, *shape[2:]])
    ones = build.constant(numpy.ones([1, 1, *window], kind))
    sums = build.op("Conv", flat, ones, strides=strides, dilations=dilations, pads=pads)
    root = build.op("Pow", sums, build.constant(1 / power, kind)) if power != 1 else sums
    return build.reshape(root, result)


def _dft(node: Any, build: Builder) -> str | None:
    """A product with the matrix of cosines and sines. An axis known at run time only is chosen among all that fit."""
    source = node.input[0]
    shape, kind, result = build.static_shape_of(source), build.type_of(source), build.static_shape_of(node.output[0])
    attributes = attributes_of(node)
    if shape is None or kind is None or result is None:
        return None
    if attributes.get("inverse", 0) and attributes.get("onesided", 0):
        return inverse_real_dft(node, build)
    rank = len(shape)
    given = None
    if len(node.input) > 1 and node.input[1]:
        constant = build.constant_of(node.input[1])
        if constant is None:
            return None
        given = int(constant.reshape(-1)[0])
    inverse, onesided = bool(attributes.get("inverse", 0)), bool(attributes.get("onesided", 0))
    choices = [attributes.get("axis", 1 if build.opset < 20 else -2) % rank]
    axis = node.input[2] if len(node.input) > 2 else ""
    if axis and (known := build.constant_of(axis)) is not None:
        choices = [int(known.reshape(-1)[0]) % rank]
    elif axis:
        choices = [number for number in range(rank - 1) if _transformed(shape, number, given, onesided) == result]
    if not choices or (inverse and onesided) or max(given or 0, *shape) > _TRANSFORM_LENGTH:
        return None
    values = [_transform(build, source, number, given, result[number], inverse) for number in choices]
    if len(values) == 1:
        return values[0]
    scalar = build.reshape(axis, [1] * rank)
    kind = build.type_of(axis)
    return build.choose([either(build, scalar, number, rank, kind) for number in choices[:-1]], values)


def _transformed(shape: list[int], axis: int, given: int | None, onesided: bool) -> list[int]:
    length = given or shape[axis]
    return [*shape[:axis], length // 2 + 1 if onesided else length, *shape[axis + 1 : -1], 2]


def _transform(build: Builder, source: str, axis: int, given: int | None, count: int, inverse: bool) -> str:
    """The discrete Fourier transform along one axis; `count` of its elements."""
    import numpy

    shape, kind = build.static_shape_of(source), build.type_of(source)
    assert shape is not None
    rank = len(shape)
    length = given or shape[axis]
    used = min(shape[axis], length)
    value = build.slice(source, axis, 0, used) if used < shape[axis] else source
    angles = 2 * numpy.pi * ((numpy.arange(used)[:, None] * numpy.arange(count)[None, :]) % length) / length
    scale = 1 / length if inverse else 1.0
    cosines = build.constant(numpy.cos(angles) * scale, kind)
    sines = build.constant(numpy.sin(angles) * (scale if inverse else -scale), kind)
    order = [other for other in range(rank - 1) if other != axis] + [axis]
    back = [order.index(other) for other in range(rank - 1)] + [rank - 1]

    def along(part: str, table: str) -> str:  # all but the pairs' dimension, the transformed one last
        return build.op("MatMul", build.op("Transpose", part, perm=order), table)

    parts = [build.slice(value, rank - 1, index, index + 1) for index in range(shape[-1])]
    parts = [build.op("Squeeze", part, build.constant([rank - 1], "int64")) for part in parts]
    real, imaginary = along(parts[0], cosines), along(parts[0], sines)
    if len(parts) > 1:
        real = build.op("Sub", real, along(parts[1], sines))
        imaginary = build.op("Add", imaginary, along(parts[1], cosines))
    pair = [build.op("Unsqueeze", part, build.constant([rank - 1], "int64")) for part in (real, imaginary)]
    return build.op("Transpose", build.op("Concat", *pair, axis=rank - 1), perm=back)


def _affine_grid(node: Any, build: Builder) -> str | None:
    """The matrices times the coordinates of the points of a regular grid."""
    import numpy

    result, kind = build.static_shape_of(node.output[0]), build.type_of(node.input[0])
    if result is None or kind is None:
        return None
    sizes = result[1:-1]
    corners = attributes_of(node).get("align_corners", 0)
    steps = [numpy.linspace(-1, 1, size) if corners else (2 * numpy.arange(size) + 1) / size - 1 for size in sizes]
    axes = numpy.meshgrid(*steps, indexing="ij")[::-1]  # x comes first
    points = numpy.stack([*axes, numpy.ones(sizes)]).reshape(len(sizes) + 1, math.prod(sizes))
    product = build.op("MatMul", node.input[0], build.constant(points, kind))
    return build.reshape(build.op("Transpose", product, perm=[0, 2, 1]), result)


def _determinant(node: Any, build: Builder) -> str:
    """Laplace's expansion along the rows, each minor once; the importer's elimination has no pivots: NaN."""
    source = node.input[0]
    shape = build.shape_of(source)
    size = shape[-1] if shape else None
    if size is None or not 0 < size <= _DETERMINANT_SIZE:
        raise CompileError(
            f"node {node.name!r}: Det is compiled for matrices of at most {_DETERMINANT_SIZE} rows, whose number is "
            f"known; found the shape {shape}",
            op="onnx.Det",
            location=node.name,
            unsupported=True,
        )
    rows = [build.slice(source, -2, row, row + 1) for row in range(size)]
    # Determinants of the last rows, by the columns that they use.
    minors: dict[tuple[int, ...], str] = {
        (column,): build.slice(rows[-1], -1, column, column + 1) for column in range(size)
    }
    for count in range(2, size + 1):
        entries = [build.slice(rows[size - count], -1, column, column + 1) for column in range(size)]
        larger = {}
        for columns in itertools.combinations(range(size), count):
            total = ""
            for position, column in enumerate(columns):
                minor = minors[columns[:position] + columns[position + 1 :]]
                term = build.op("Mul", entries[column], minor)
                total = build.op("Sub" if position % 2 else "Add", total, term) if total else term
            larger[columns] = total
        minors = larger
    determinant = minors[tuple(range(size))]
    return build.op("Squeeze", determinant, build.constant([-2, -1], "int64"))


RULES: dict[str, Callable[[Any, Builder], str | list[str] | None]] = {
    "AffineGrid": _affine_grid,
    "ConvTranspose": _conv_transpose,
    "DFT": _dft,
    "Det": _determinant,
    "LpPool": _lp_pool,
    "MatMul": _matmul,
}
