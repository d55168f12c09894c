"""Custom operators that published models use: those of MediaPipe.

Enters: an `Operator` whose options are bytes of its own. Leaves: as for builtin ones.
Source: https://github.com/google-ai-edge/mediapipe/tree/master/mediapipe/util/tflite/operations
"""

from __future__ import annotations

import struct

from webree.compiler.frontends.tflite_operator import Operator, Rule
from webree.compiler.frontends.tflite_spatial import transpose_convolution
from webree.compiler.frontends.tflite_values import Value

__all__ = ["RULES"]


def _transpose_with_bias(op: Operator) -> Value:
    """Convolution2DTransposeBias: input, filter (OHWI), bias; options: padding, stride_w, stride_h as C has them."""
    data = op.info.custom_options
    if len(data) < 12:
        raise op.invalid(f"its options have {len(data)} bytes, expected 12")
    padding, stride_w, stride_h = struct.unpack_from("<iii", data)
    if padding not in (1, 2):
        raise op.invalid(f"its padding is {padding}, expected 1 (same) or 2 (valid)")
    value, weights = op.rank(op.value(0), 4), op.rank(op.value(1), 4)
    op.info.options.update(padding=padding - 1, stride_w=stride_w, stride_h=stride_h)
    height, width = (op.static(weights, axis, "the window") for axis in (1, 2))
    sizes = [
        size * stride if padding == 1 else (size - 1) * stride + window
        for size, stride, window in zip(value.shape[1:3], (stride_h, stride_w), (height, width), strict=True)
    ]
    return transpose_convolution(op, value, weights, sizes)


RULES: dict[str, Rule] = {"Convolution2DTransposeBias": _transpose_with_bias}
