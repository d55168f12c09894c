"""Convolutions of 8-bit integers: sums in 32 bits, padded with the number that stands for zero.

Enters: a `QLinearConv` or padded `ConvInteger` node. Leaves: a `Pad` of the image by its zero point and a `ConvInteger`
without padding, whose sums the kernels make of packed bytes; for `QLinearConv` bias, scale, rounding and zero point
after it. The importer's own conversion computes in floats and leaves the bias without its scale.
Sources: https://onnx.ai/onnx/operators/onnx__QLinearConv.html, …/onnx__ConvInteger.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from webree.compiler.frontends import onnx_quantized
from webree.compiler.frontends.onnx_builder import Builder, attributes_of
from webree.compiler.frontends.onnx_values import Value, value_of

__all__ = ["RULES"]


def _pads(attributes: dict[str, Any], image: list[int], window: list[int]) -> list[int] | None:
    """Elements before and behind each dimension of the image; None where they cannot be known."""
    count = len(window)
    strides, dilations = (attributes.get(name) or [1] * count for name in ("strides", "dilations"))
    mode = attributes.get("auto_pad", "NOTSET")
    if mode == "NOTSET":
        return list(attributes.get("pads") or [0] * 2 * count)
    if mode == "VALID":
        return [0] * 2 * count
    before, behind = [], []
    for size, reach, stride, dilation in zip(image, window, strides, dilations, strict=True):
        missing = max(0, (-(-size // stride) - 1) * stride + (reach - 1) * dilation + 1 - size)
        before.append((missing + (mode == "SAME_LOWER")) // 2)
        behind.append(missing - before[-1])
    return [*before, *behind]


def _sums(build: Builder, node: Any, image: str, weight: str, zeros: tuple[str, str]) -> Value | None:
    """The sums of products, in 32 bits."""
    sizes, window = build.static_shape_of(image), build.static_shape_of(weight)
    if sizes is None or window is None or build.type_of(image) is None or len(sizes) != 4:
        return None
    attributes = attributes_of(node)
    pads = _pads(attributes, sizes[2:], window[2:])
    if pads is None:
        return None
    kind = build.type_of(image)
    if any(pads):
        half = len(pads) // 2
        everywhere = build.constant([0, 0, *pads[:half], 0, 0, *pads[half:]], "int64")
        zero = value_of(build, zeros[0]).reshape().name if zeros[0] else build.constant(0, kind)
        image = build.op("Pad", image, everywhere, zero)
    kept = {name: value for name, value in attributes.items() if name not in ("pads", "auto_pad")}
    operands = [image, weight, *zeros]
    while not operands[-1]:
        operands.pop()
    return Value(build, build.op("ConvInteger", *operands, **kept), "int32")


def _scalar_zero(build: Builder, name: str) -> str | None:
    """A zero point as one number; None if it differs by channel."""
    import numpy

    if not name:
        return ""
    value = build.constant_of(name)
    if value is None:
        sizes = build.static_shape_of(name)
        return name if sizes is not None and not sizes else None
    if not numpy.any(value):
        return ""
    return build.constant(value.reshape(-1)[0], value.dtype) if numpy.unique(value).size == 1 else None


def _conv_integer(node: Any, build: Builder) -> str | None:
    image, weight, *zeros = [*node.input, "", ""][:4]
    attributes = attributes_of(node)
    if not any(attributes.get("pads", [])) and attributes.get("auto_pad", "NOTSET") in ("NOTSET", "VALID"):
        return None
    found = [_scalar_zero(build, name) for name in zeros]
    sums = None
    if found[0] is not None and found[1] is not None:
        sums = _sums(build, node, image, weight, (found[0], found[1]))
    # Zero points by channel are taken off before.
    return onnx_quantized.RULES["ConvInteger"](node, build) if sums is None else sums.name


def _q_linear_conv(node: Any, build: Builder) -> str | None:
    import numpy

    image, scale, zero, weight, weight_scale, weight_zero, out_scale, out_zero, bias = [*node.input, ""][:9]
    found, own = _scalar_zero(build, zero), _scalar_zero(build, weight_zero)
    target = build.type_of(out_zero)
    if found is None or own is None or target is None:
        return None
    sums = _sums(build, node, image, weight, (found, own))
    if sums is None:
        return None
    if bias:
        sums = sums + value_of(build, bias).reshape(1, -1, 1, 1)
    factor = (
        value_of(build, scale).reshape()
        * value_of(build, weight_scale).reshape(-1)
        / value_of(build, out_scale).reshape()
    )
    real = (sums.cast("float32") * factor.reshape(1, -1, 1, 1)).make("Round")
    real = real + value_of(build, out_zero).reshape().cast("float32")
    limits = numpy.iinfo(target)
    return real.clip(limits.min, limits.max).cast("int32").cast(target).name


RULES: dict[str, Callable[[Any, Builder], str | None]] = {"ConvInteger": _conv_integer, "QLinearConv": _q_linear_conv}
