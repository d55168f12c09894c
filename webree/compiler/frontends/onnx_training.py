"""Rules for the optimisers of ONNX's training domain, and for those of the ml domain that are plain arithmetic.

Enters: a node with any number of parameters to update. Leaves: arithmetic.
Source: https://onnx.ai/onnx/operators/index_ai.onnx.preview.training.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from webree.compiler.frontends.onnx_builder import Builder, attributes_of
from webree.compiler.frontends.onnx_values import Value, constant, value_of, where

__all__ = ["DOMAIN_RULES"]


def _groups(node: Any, build: Builder, count: int) -> tuple[Value, Value, list[list[Value]]] | None:
    """The learning rate, the number of updates so far, and the parameters with their gradients and states."""
    values = [value_of(build, name) for name in node.input if build.type_of(name) is not None]
    if len(values) != len(node.input) or (len(values) - 2) % count:
        return None
    size = (len(values) - 2) // count
    rest = values[2:]
    return values[0], values[1], [rest[start::size] for start in range(size)]


def _names(rows: list[list[Value]]) -> list[str]:
    """All first results, then all second ones, …"""
    return [value.name for column in zip(*rows, strict=True) for value in column]


def _momentum(node: Any, build: Builder) -> list[str] | None:
    found = _groups(node, build, 3)
    attributes = attributes_of(node)
    if found is None:
        return None
    rate, step, groups = found
    alpha = attributes["alpha"]
    rows = []
    for x, gradient, velocity in groups:
        slope = gradient + x * attributes["norm_coefficient"]
        share = where(step > 0, constant(build, attributes["beta"], x.kind), 1.0)
        new = velocity * alpha + slope * share
        move = slope + new * alpha if attributes["mode"] == "nesterov" else new
        rows.append([x - move * rate.cast(x.kind), new])
    return _names(rows)


def _adagrad(node: Any, build: Builder) -> list[str] | None:
    found = _groups(node, build, 3)
    attributes = attributes_of(node)
    if found is None:
        return None
    rate, step, groups = found
    rows = []
    for x, gradient, squares in groups:
        scale = rate.cast(x.kind) / (step.cast(x.kind) * attributes.get("decay_factor", 0.0) + 1)
        slope = gradient + x * attributes.get("norm_coefficient", 0.0)
        new = squares + slope * slope
        rows.append([x - slope * scale / (new.make("Sqrt") + attributes.get("epsilon", 0.0)), new])
    return _names(rows)


def _adam(node: Any, build: Builder) -> list[str] | None:
    found = _groups(node, build, 4)
    attributes = attributes_of(node)
    if found is None:
        return None
    rate, step, groups = found
    alpha, beta = attributes.get("alpha", 0.9), attributes.get("beta", 0.999)
    rows = []
    for x, gradient, mean, squares in groups:
        count = step.cast(x.kind)
        slope = gradient + x * attributes.get("norm_coefficient", 0.0)
        new_mean = mean * alpha + slope * (1 - alpha)
        new_squares = squares * beta + slope * slope * (1 - beta)
        faded = [constant(build, decay, x.kind).make("Pow", count) for decay in (alpha, beta)]
        own_rate = rate.cast(x.kind)
        corrected = own_rate * (1 - faded[1]).make("Sqrt") / where(step > 0, 1 - faded[0], 1.0)
        scale = where(step > 0, corrected, own_rate)
        moved = x - new_mean * scale / (new_squares.make("Sqrt") + attributes.get("epsilon", 0.0))
        rows.append([moved * (1 - attributes.get("norm_coefficient_post", 0.0)), new_mean, new_squares])
    return _names(rows)


def _binarizer(node: Any, build: Builder) -> str | None:
    if build.type_of(node.input[0]) is None:
        return None
    value = value_of(build, node.input[0])
    is_above: Value = value > attributes_of(node).get("threshold", 0.0)
    return is_above.cast(value.kind).name


def _array_feature_extractor(node: Any, build: Builder) -> str | None:
    """Columns by their numbers."""
    shape = build.shape_of(node.input[0])
    if shape is None or build.type_of(node.input[1]) is None:
        return None
    columns = value_of(build, node.input[1]).reshape(-1)
    value = value_of(build, node.input[0])
    value = value if len(shape) > 1 else value.reshape(1, -1)
    return value.gather(columns, max(len(shape) - 1, 1)).name


_TRAINING, _ML = "ai.onnx.preview.training", "ai.onnx.ml"

DOMAIN_RULES: dict[tuple[str, str], Callable[[Any, Builder], str | list[str] | None]] = {
    (_ML, "ArrayFeatureExtractor"): _array_feature_extractor,
    (_ML, "Binarizer"): _binarizer,
    (_TRAINING, "Adagrad"): _adagrad,
    (_TRAINING, "Adam"): _adam,
    (_TRAINING, "Momentum"): _momentum,
}
"""Rules by domain and operator."""
