"""Rules for operators of the domain com.microsoft, which ONNX Runtime's optimiser and quantiser write into models.

Enters: a node. Leaves: standard operators.
Source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from webree.compiler.frontends.onnx_builder import Builder, attributes_of
from webree.compiler.frontends.onnx_quantized import quantized_product
from webree.compiler.frontends.onnx_recurrent import quantized_lstm
from webree.compiler.frontends.onnx_values import Value, value_of

__all__ = ["CONTRIBUTED"]

Rule = Callable[[Any, Builder], str | list[str] | None]


def _values(node: Any, build: Builder, count: int) -> list[Value | None] | None:
    """The node's inputs, None for those that it leaves out; None if the type of one is not known yet."""
    names = [*node.input, *[""] * count][:count]
    if any(name and build.type_of(name) is None for name in names):
        return None
    return [value_of(build, name) if name else None for name in names]


def _gelu(node: Any, build: Builder) -> str | None:
    """x · Φ(x) of x, or of x + bias."""
    values = _values(node, build, 2)
    if values is None or values[0] is None:
        return None
    x: Value = values[0] if values[1] is None else values[0] + values[1]
    result: Value = x * ((x * 0.5**0.5).make("Erf") + 1) * 0.5
    return result.name


def _fast_gelu(node: Any, build: Builder) -> str | None:
    """Gelu by tanh."""
    values = _values(node, build, 2)
    if values is None or values[0] is None:
        return None
    x: Value = values[0] if values[1] is None else values[0] + values[1]
    result: Value = x * ((x * (x * x * 0.035677408136300125 + 0.7978845608028654)).make("Tanh") + 1) * 0.5
    return result.name


def _quick_gelu(node: Any, build: Builder) -> str | None:
    values = _values(node, build, 1)
    if values is None or values[0] is None:
        return None
    result: Value = values[0] * (values[0] * attributes_of(node).get("alpha", 1.702)).make("Sigmoid")
    return result.name


def _fused_matmul(node: Any, build: Builder) -> str | None:
    """alpha · A · B, either of them transposed in its last two dimensions."""
    values = _values(node, build, 2)
    shapes = [build.shape_of(name) for name in node.input[:2]]
    attributes = attributes_of(node)
    if values is None or None in shapes or attributes.get("transBatchA", 0) or attributes.get("transBatchB", 0):
        return None
    parts = []
    for value, shape, letter in zip(values, shapes, "AB", strict=True):
        assert value is not None
        assert shape is not None
        order = list(range(len(shape)))
        if attributes.get(f"trans{letter}", 0) and len(order) > 1:
            value = value.transpose(*order[:-2], order[-1], order[-2])
        parts.append(value)
    product = parts[0].make("MatMul", parts[1])
    alpha = attributes.get("alpha", 1.0)
    return (product if alpha == 1 else product * alpha).name


def _skip_normalization(node: Any, build: Builder) -> list[str] | None:
    """Of x + skip + bias over the last dimension; that sum is the fourth result. Means are not asked for."""
    is_simplified = "Simplified" in node.op_type
    values = _values(node, build, 4 if is_simplified else 5)
    shape = build.shape_of(node.input[0])
    if values is None or shape is None or any(node.output[1:3]):
        return None
    x, skip, gamma, *rest = values
    beta, bias = (None, *rest) if is_simplified else rest
    assert x is not None
    assert skip is not None
    assert gamma is not None
    total = x + skip
    total = total if bias is None else total + bias
    epsilon = attributes_of(node).get("epsilon", 1e-5 if is_simplified else 1e-12)
    last = len(shape) - 1
    if is_simplified:
        square = (total * total).reduce("ReduceMean", last, keepdims=1)
        result = total / (square + epsilon).make("Sqrt") * gamma
    else:
        parts = [gamma] if beta is None else [gamma, beta]
        result = total.make("LayerNormalization", *parts, axis=-1, epsilon=epsilon)
    return [result.name, "", "", total.name]


def _simplified_normalization(node: Any, build: Builder) -> str | None:
    values, shape = _values(node, build, 2), build.shape_of(node.input[0])
    if values is None or shape is None or values[0] is None or any(node.output[1:]):
        return None
    x, attributes = values[0], attributes_of(node)
    axes = range(attributes.get("axis", -1) % len(shape), len(shape))
    square = (x * x).reduce("ReduceMean", *axes, keepdims=1)
    result: Value = x / (square + attributes.get("epsilon", 1e-5)).make("Sqrt") * values[1]
    return result.name


def _dynamic_quantize_matmul(node: Any, build: Builder) -> str | None:
    """A, quantised as a whole, times B of 8-bit numbers with a scale for all or for each column."""
    values = _values(node, build, 5)
    if values is None:
        return None
    a, b, scale, zero, bias = values
    assert a is not None
    assert b is not None
    assert scale is not None
    result = quantized_product(build, a, b, scale, zero)
    return (result if bias is None else result + bias).name


CONTRIBUTED: dict[tuple[str, str], Rule] = {
    ("com.microsoft", name): rule
    for name, rule in {
        "BiasGelu": _gelu,
        "DynamicQuantizeLSTM": quantized_lstm,
        "DynamicQuantizeMatMul": _dynamic_quantize_matmul,
        "FastGelu": _fast_gelu,
        "FusedMatMul": _fused_matmul,
        "Gelu": _gelu,
        "QuickGelu": _quick_gelu,
        "SkipLayerNormalization": _skip_normalization,
        "SkipSimplifiedLayerNormalization": _skip_normalization,
    }.items()
}
"""Rules by domain and operator."""
CONTRIBUTED["", "SimplifiedLayerNormalization"] = (
    _simplified_normalization  # ONNX Runtime keeps it in ONNX's own domain
)
