"""A unidirectional LSTM, from ONNX, in every execution model. Reference: ONNX's own evaluator in Python."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import webree
from tests.execution_models.modules import _BIN, MODELS, compile_stock

STEPS, BATCH, WIDTH, HIDDEN = 6, 2, 5, 8
STOCK = ("vmvx", "vmvx-tiles", "wasm")
"""What the stock compiler can do with an ONNX model: it gives them fences, which inline programs have not."""
OURS = (
    ("vmvx", "async-internal"),
    ("cpu", "async-internal"),
    ("vmvx", "inline-static"),
    ("vmvx", "inline-dynamic"),
    ("cpu", "inline-dynamic"),
)


@functools.cache
def lstm() -> onnx.ModelProto:
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    weights = {
        "W": rng.uniform(-0.6, 0.6, (1, 4 * HIDDEN, WIDTH)),
        "R": rng.uniform(-0.6, 0.6, (1, 4 * HIDDEN, HIDDEN)),
        "B": rng.uniform(-0.6, 0.6, (1, 8 * HIDDEN)),
    }
    node = helper.make_node("LSTM", ["X", "W", "R", "B"], ["Y", "H", "C"], hidden_size=HIDDEN)
    shapes = {"Y": [STEPS, 1, BATCH, HIDDEN], "H": [1, BATCH, HIDDEN], "C": [1, BATCH, HIDDEN]}
    graph = helper.make_graph(
        [node],
        "main",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [STEPS, BATCH, WIDTH])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@functools.cache
def imported() -> str:
    with tempfile.TemporaryDirectory() as folder:
        path, target = Path(folder, "m.onnx"), Path(folder, "m.mlir")
        onnx.save(lstm(), path)
        subprocess.run([_BIN / "iree-import-onnx", path, "-o", target], check=True, capture_output=True, timeout=120)
        return target.read_text()


def check(data: bytes) -> None:
    x = np.random.default_rng().uniform(-1, 1, (STEPS, BATCH, WIDTH)).astype(np.float32)
    module = webree.load(data)
    (function,) = module.functions.values()
    expected = ReferenceEvaluator(lstm()).run(None, {"X": x})
    for ours, theirs in zip(function(x), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model", STOCK)
def test_stock(model: str) -> None:
    check(compile_stock(imported(), MODELS[model]))


@pytest.mark.parametrize(("target", "execution_model"), OURS)
def test_ours(target: str, execution_model: str, tmp_path: Path) -> None:
    path = tmp_path / "lstm.onnx"
    onnx.save(lstm(), path)
    data = webree.compile(path, target=target, execution_model=execution_model)
    print(f"{target} {execution_model}: {len(data)} bytes")
    check(data)
