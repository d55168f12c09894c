"""The models that the end-to-end tests run, natively and in Chromium: one table for both, and more that run natively.

Enters: a name of `MODELS`, a seed. Leaves: an ONNX file's bytes, random inputs, and the outputs that ONNX Runtime
computes on the CPU. Weights and inputs are fresh from the seed; no weights are stored here, and Magika's come with the
demo's own fetching.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks import models as random_models
from demos.magika.fetch import MAGIKA

__all__ = ["MODELS", "NATIVE_MODELS", "Model", "fetch_magika", "reference", "reference_session", "relative_error"]

Tensor = np.ndarray[Any, Any]
DEMO = Path(__file__).resolve().parents[1] / "demos" / "magika"


@dataclass(frozen=True)
class Model:
    """A row of the table.

    Attributes:
        make: seed -> the ONNX file's bytes.
        inputs: seed -> input arrays by name, in order.
        dims: symbolic dimensions to bind.
        tolerance: of the relative error of each output vector, in the 2-norm.
    """

    name: str
    make: Callable[[int], bytes]
    inputs: Callable[[int], dict[str, Tensor]]
    dims: Mapping[str, int] = field(default_factory=dict)
    tolerance: float = 1e-4


def fetch_magika() -> Path:
    """The folder with Magika's model and settings, fetched once."""
    return MAGIKA.fetch()


def _magika(seed: int) -> bytes:
    return (fetch_magika() / "model.onnx").read_bytes()


def _magika_inputs(seed: int) -> dict[str, Tensor]:
    """Bytes of text and of noise, some of them padding, as real files give."""
    random = np.random.default_rng(seed)
    tokens = random.integers(0, 257, (1, 2048), dtype=np.int32)
    tokens[:, : random.integers(0, 1024)] = random.integers(32, 127)
    return {"bytes": tokens}


@functools.cache
def _onnx(name: str, seed: int) -> bytes:
    return random_models.MODELS[name](seed).SerializeToString(deterministic=True)


def _image_inputs(name: str, seed: int) -> dict[str, Tensor]:
    model = onnx.load_from_string(_onnx(name, 0))
    return {model.graph.input[0].name: random_models.random_input(model, seed)}


def _random(name: str) -> Model:
    return Model(name, functools.partial(_onnx, name), functools.partial(_image_inputs, name))


MODELS: tuple[Model, ...] = (
    Model("magika", _magika, _magika_inputs, dims={"unk__214": 1}),
    _random("squeezenet"),
    _random("shufflenet"),
    _random("resnet50"),
    _random("mobilenet_v2"),
)

_TOKENS = 32


def _minilm(seed: int) -> bytes:
    model = random_models.minilm_l6(seed, tokens=_TOKENS, vocabulary=1000)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _minilm_inputs(seed: int) -> dict[str, Tensor]:
    random = np.random.default_rng(seed)
    mask = (np.arange(_TOKENS) < random.integers(3, _TOKENS + 1)).astype(np.int64)
    return {"input_ids": random.integers(0, 1000, (1, _TOKENS)), "attention_mask": mask[None]}


_STEPS, _FEATURES, _HIDDEN = 7, 6, 10


def _recurrent(op: str, gates: int, seed: int) -> bytes:
    """One layer over a sequence, with biases; the LSTM in both directions."""
    random, directions = np.random.default_rng(seed), 2 if op == "LSTM" else 1

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.uniform(-0.5, 0.5, shape).astype(np.float32), name)

    node = helper.make_node(op, ["x", "w", "r", "b"], ["y"], hidden_size=_HIDDEN)
    if op == "LSTM":
        node.attribute.append(helper.make_attribute("direction", "bidirectional"))
    else:
        node.attribute.append(helper.make_attribute("linear_before_reset", 1))
    graph = helper.make_graph(
        [node],
        op.lower(),
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [_STEPS, 2, _FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [_STEPS, directions, 2, _HIDDEN])],
        [
            weights("w", directions, gates * _HIDDEN, _FEATURES),
            weights("r", directions, gates * _HIDDEN, _HIDDEN),
            weights("b", directions, 2 * gates * _HIDDEN),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def _recurrent_inputs(seed: int) -> dict[str, Tensor]:
    return {"x": np.random.default_rng(seed).standard_normal((_STEPS, 2, _FEATURES)).astype(np.float32)}


def _perceptron(seed: int) -> bytes:
    """Two layers and a softmax; the number of rows is left open."""
    random = np.random.default_rng(seed)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.normal(0, 0.3, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Gemm", ["x", "w0", "b0"], ["h"]),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("Gemm", ["t", "w1", "b1"], ["l"]),
        helper.make_node("Softmax", ["l"], ["y"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 20])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 7])],
        [weights("w0", 20, 33), weights("b0", 33), weights("w1", 33, 7), weights("b1", 7)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def _perceptron_inputs(seed: int) -> dict[str, Tensor]:
    random = np.random.default_rng(seed)
    return {"x": random.standard_normal((int(random.integers(1, 70)), 20)).astype(np.float32)}


NATIVE_MODELS: tuple[Model, ...] = (
    Model("minilm_l6", _minilm, _minilm_inputs),
    Model("lstm", functools.partial(_recurrent, "LSTM", 4), _recurrent_inputs),
    Model("gru", functools.partial(_recurrent, "GRU", 3), _recurrent_inputs),
    Model("dynamic_batch", _perceptron, _perceptron_inputs),
)


def reference_session(model: bytes) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the CPU, without the graph changes that trade accuracy for speed."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = 1  # more of them wait by spinning, on cores that other tests need
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def reference(model: bytes, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """What ONNX Runtime computes."""
    return [np.asarray(output) for output in reference_session(model).run(None, dict(inputs))]


def relative_error(found: Tensor, expected: Tensor) -> float:
    """|found - expected| / |expected| in the 2-norm; infinite if the shapes differ or anything is not finite."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    difference = np.linalg.norm(np.subtract(found, expected, dtype=np.float64))
    return float(difference / np.linalg.norm(expected.astype(np.float64)))
