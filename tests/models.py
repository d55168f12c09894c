"""The models that the end-to-end tests run, natively and in Chromium: one table for both.

Enters: a name of `MODELS`, a seed. Leaves: an ONNX file's bytes, random inputs, and the outputs that ONNX Runtime
computes on the CPU. Weights and inputs are fresh from the seed; no weights are stored here, and Magika's come with the
demo's own fetching.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from benchmarks import models as random_models

__all__ = ["MODELS", "Model", "fetch_magika", "reference", "relative_error"]

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
    """The folder with Magika's model and settings, fetched once (demos/magika/fetch.py)."""
    if str(DEMO) not in sys.path:
        sys.path.insert(0, str(DEMO))
    import fetch

    folder: Path = fetch.fetch()
    return folder


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


def reference(model: bytes, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """What ONNX Runtime computes on the CPU, without the graph changes that trade accuracy for speed."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(None, dict(inputs))]


def relative_error(found: Tensor, expected: Tensor) -> float:
    """|found - expected| / |expected| in the 2-norm; infinite if the shapes differ or anything is not finite."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    difference = np.linalg.norm(np.subtract(found, expected, dtype=np.float64))
    return float(difference / np.linalg.norm(expected.astype(np.float64)))
