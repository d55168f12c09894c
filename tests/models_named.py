"""The models that the project promises by name and that tests/models.py does not hold yet, for the same tests.

Enters: a row of `NAMED_MODELS`, a seed. Leaves: an ONNX file's bytes and random inputs; the reference is ONNX Runtime.
Weights are random here: what runs with real ones (all-MiniLM-L6-v2, EfficientNet-Lite0) has tests of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from benchmarks.graph import Graph
from benchmarks.models_text import mobilebert
from benchmarks.models_vision import deeplab_v3, posenet
from tests.models import Model

__all__ = ["MOBILEBERT", "NAMED_MODELS", "RECURRENT", "VISION", "recurrent"]

Tensor = np.ndarray[Any, Any]

TOKENS, VOCABULARY = 128, 30522
STEPS, FEATURES, HIDDEN = 20, 48, 96


def _bytes(make: Callable[[int], onnx.ModelProto], seed: int) -> bytes:
    data: bytes = make(seed).SerializeToString(deterministic=True)
    return data


def _text(seed: int) -> dict[str, Tensor]:
    """A question and a passage, and padding behind them."""
    random = np.random.default_rng(seed)
    question, length = random.integers(3, 20), random.integers(20, TOKENS + 1)
    places = np.arange(TOKENS)
    return {
        "input_ids": random.integers(0, VOCABULARY, (1, TOKENS)) * (places < length),
        "attention_mask": (places < length).astype(np.int64)[None],
        "token_type_ids": ((places >= question) & (places < length)).astype(np.int64)[None],
    }


def _image(size: int, seed: int) -> dict[str, Tensor]:
    return {"image": np.random.default_rng(seed).standard_normal((1, 3, size, size)).astype(np.float32)}


def recurrent(op: str, seed: int) -> onnx.ModelProto:
    """Two layers of `LSTM` or `GRU` over a sequence, forwards, that give on their last states too.

    f32[steps,1,features] -> f32[steps,1,hidden], and the last hidden state (and cell) of the second layer.
    """
    graph, gates = Graph(seed), {"LSTM": 4, "GRU": 3}[op]
    states = {"LSTM": ("hidden", "cell"), "GRU": ("hidden",)}[op]
    x, inputs = "x", FEATURES
    for layer in range(2):
        weights = [
            graph.weights(f"{name}{layer}", 1, gates * HIDDEN, columns)
            for name, columns in (("w", inputs), ("r", HIDDEN))
        ]
        bias = graph.constant(f"b{layer}", graph.random.normal(0, 0.1, (1, 2 * gates * HIDDEN)).astype(np.float32))
        every = graph.add(op, x, *weights, bias, hidden_size=HIDDEN, direction="forward")
        last = [f"{name}{layer}" for name in states]
        graph.nodes[-1].output.extend(last)
        x, inputs = graph.add("Squeeze", every, graph.integers(1)), HIDDEN
    outputs = {"y": (x, [STEPS, 1, HIDDEN])} | {
        name: (value, [1, 1, HIDDEN]) for name, value in zip(states, last, strict=True)
    }
    return graph.model(op.lower(), {"x": (TensorProto.FLOAT, [STEPS, 1, FEATURES])}, outputs)


def _sequence(seed: int) -> dict[str, Tensor]:
    return {"x": np.random.default_rng(seed).standard_normal((STEPS, 1, FEATURES)).astype(np.float32)}


def _row(name: str, make: Callable[[int], onnx.ModelProto], inputs: Callable[[int], dict[str, Tensor]]) -> Model:
    return Model(name, functools.partial(_bytes, make), inputs)


MOBILEBERT = _row("mobilebert", mobilebert, _text)
VISION = (
    _row("posenet", posenet, functools.partial(_image, 257)),
    _row("deeplab_v3", deeplab_v3, functools.partial(_image, 257)),
)
RECURRENT = tuple(
    _row(f"{op.lower()}_two_layers", functools.partial(recurrent, op), _sequence) for op in ("LSTM", "GRU")
)
NAMED_MODELS = (MOBILEBERT, *VISION, *RECURRENT)
