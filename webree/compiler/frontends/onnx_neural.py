"""Rules for operators of neural networks whose definition in ONNX is long-winded: normalisation, rotation, Swish.

Enters: a node. Leaves: the few nodes that it amounts to once its sizes are known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from webree.compiler.frontends.onnx_builder import Builder, attributes_of

__all__ = ["RULES"]


def _swish(node: Any, build: Builder) -> str | None:
    kind = build.type_of(node.input[0])
    if kind is None:
        return None
    alpha = build.constant(attributes_of(node).get("alpha", 1.0), kind)
    return build.op("Mul", node.input[0], build.op("Sigmoid", build.op("Mul", node.input[0], alpha)))


def _rms_normalization(node: Any, build: Builder) -> str | None:
    """x / sqrt(mean(x²) + ε) · scale, computed in the type of `stash_type`."""
    from onnx import helper

    source, scale = node.input
    shape, kind = build.shape_of(source), build.type_of(source)
    if shape is None or kind is None:
        return None
    attributes = attributes_of(node)
    first = attributes.get("axis", -1) % len(shape)
    stash = attributes.get("stash_type", 1)
    given = helper.np_dtype_to_tensor_dtype(kind)
    value = source if stash == given else build.op("Cast", source, to=stash)
    mean = build.reduce("ReduceMean", build.op("Mul", value, value), range(first, len(shape)))
    epsilon = build.constant(attributes.get("epsilon", 1e-5), helper.tensor_dtype_to_np_dtype(stash))
    result = build.op("Div", value, build.op("Sqrt", build.op("Add", mean, epsilon)))
    result = result if stash == given else build.op("Cast", result, to=given)
    return build.op("Mul", result, scale)


def _rotary_embedding(node: Any, build: Builder) -> str | None:
    """Pairs of a head's elements turned by the angles whose cosines and sines are given by position."""
    source, cosines, sines = node.input[:3]
    positions = node.input[3] if len(node.input) > 3 else ""
    shape = build.static_shape_of(source)
    if shape is None or len(shape) not in (3, 4):
        return None
    attributes = attributes_of(node)
    value = source
    if len(shape) == 3:
        heads = attributes.get("num_heads", 0)
        if not heads or shape[2] % heads:
            return None
        value = build.reshape(value, [shape[0], shape[1], heads, shape[2] // heads])
    else:
        value = build.op("Transpose", value, perm=[0, 2, 1, 3])  # batch, row, head, element
    batch, rows, heads, size = (
        [shape[0], shape[1], heads, shape[2] // heads] if len(shape) == 3 else [shape[0], shape[2], shape[1], shape[3]]
    )
    turned = attributes.get("rotary_embedding_dim", 0) or size
    half = turned // 2
    rest = build.slice(value, 3, turned, size) if turned < size else ""
    value = build.slice(value, 3, 0, turned) if rest else value
    factors = []
    for table in (cosines, sines):
        table = build.op("Gather", table, positions, axis=0) if positions else table
        factors.append(build.reshape(table, [batch, rows, 1, half]))
    if attributes.get("interleaved", 0):
        pairs = build.reshape(value, [batch, rows, heads, half, 2])
        parts = [build.reshape(build.slice(pairs, 4, i, i + 1), [batch, rows, heads, half]) for i in (0, 1)]
    else:
        parts = [build.slice(value, 3, 0, half), build.slice(value, 3, half, turned)]
    (first, second), (cosine, sine) = parts, factors
    real = build.op("Sub", build.op("Mul", cosine, first), build.op("Mul", sine, second))
    imaginary = build.op("Add", build.op("Mul", sine, first), build.op("Mul", cosine, second))
    if attributes.get("interleaved", 0):
        columns = [build.reshape(part, [batch, rows, heads, half, 1]) for part in (real, imaginary)]
        result = build.reshape(build.op("Concat", *columns, axis=4), [batch, rows, heads, turned])
    else:
        result = build.op("Concat", real, imaginary, axis=3)
    result = build.op("Concat", result, rest, axis=3) if rest else result
    if len(shape) == 3:
        return build.reshape(result, shape)
    return build.op("Transpose", result, perm=[0, 2, 1, 3])


RULES: dict[str, Callable[[Any, Builder], str | list[str] | None]] = {
    "RMSNormalization": _rms_normalization,
    "RotaryEmbedding": _rotary_embedding,
    "Swish": _swish,
}
