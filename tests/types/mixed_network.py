"""A small ONNX network of f16 weights, int16 and uint16 data and bf16 tensors, for tests natively and in Chromium.

Enters: a seed. Leaves: the model with an open batch, inputs for it, and a check of its outputs against NumPy in f64.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["check_network", "network", "network_inputs"]

BF16 = ml_dtypes.bfloat16
HALF_ROUND, BRAIN_ROUND = 2.0**-11, 2.0**-8  # unit roundoffs


def _weights(seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {
        "w": (random.standard_normal((64, 32)) / 8).astype("f2"),
        "v": random.standard_normal((32, 16)).astype(BF16),
        "table": random.integers(-9999, 9999, (5, 64)).astype("i2"),
    }


def network(seed: int) -> onnx.ModelProto:
    node, value, arrays = helper.make_node, helper.make_tensor_value_info, _weights(seed)
    nodes = [
        node("Cast", ["x"], ["x_half"], to=TensorProto.FLOAT16),
        node("Mul", ["x_half", "scale"], ["scaled"]),
        node("MatMul", ["scaled", "w"], ["h"]),
        node("Cast", ["h"], ["h_brain"], to=TensorProto.BFLOAT16),
        node("Add", ["h_brain", "b"], ["y"]),
        node("MatMul", ["y", "v"], ["z"]),
        node("Cast", ["y"], ["y_single"], to=TensorProto.FLOAT),
        node("Sigmoid", ["y_single"], ["p"]),
        node("Mul", ["p", "most"], ["p_scaled"]),
        node("Cast", ["p_scaled"], ["q"], to=TensorProto.UINT16),
        node("Gather", ["table", "ids"], ["rows"]),
        node("Concat", ["rows", "x"], ["c"], axis=0),
        node("Transpose", ["c"], ["t"], perm=[1, 0]),
    ]
    graph = helper.make_graph(
        nodes,
        "mixed",
        [
            value("x", TensorProto.INT16, ["n", 64]),
            value("b", TensorProto.BFLOAT16, ["n", 32]),
            value("ids", TensorProto.INT64, [3]),
        ],
        [
            value("h", TensorProto.FLOAT16, ["n", 32]),
            value("y", TensorProto.BFLOAT16, ["n", 32]),
            value("z", TensorProto.BFLOAT16, ["n", 16]),
            value("q", TensorProto.UINT16, ["n", 32]),
            value("t", TensorProto.INT16, [64, "m"]),
        ],
        [
            numpy_helper.from_array(arrays["w"], "w"),
            numpy_helper.from_array(np.array(2.0**-10, "f2"), "scale"),
            numpy_helper.from_array(np.array(65535, "f4"), "most"),
            numpy_helper.from_array(arrays["table"], "table"),
            helper.make_tensor("v", TensorProto.BFLOAT16, [32, 16], arrays["v"].tobytes(), raw=True),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def network_inputs(seed: int, batch: int) -> list[Any]:
    random = np.random.default_rng([seed, batch])
    x = random.integers(-2000, 2000, (batch, 64)).astype("i2")
    return [x, random.standard_normal((batch, 32)).astype(BF16), np.array([0, 4, 2])]


def check_network(seed: int, feeds: list[Any], outputs: list[Any]) -> None:
    """Each output within the roundings of its type, from what the one before was found to be."""
    arrays, (x, b, ids) = _weights(seed), feeds
    h, y, z, q, t = (np.asarray(item) for item in outputs)
    y, z = y.view(BF16).astype("f8"), z.view(BF16).astype("f8")
    assert (h.dtype, q.dtype, t.dtype) == (np.float16, np.uint16, np.int16)
    where = f"WEBREE_SEED={seed}"
    terms = (x.astype("f8") * 2.0**-10)[:, None] * arrays["w"].astype("f8").T
    slack = 1e-5 * np.abs(terms).sum(-1)  # of sums in f32
    assert (np.abs(h - terms.sum(-1)) <= HALF_ROUND * np.abs(terms.sum(-1)) + slack).all(), where
    total = terms.sum(-1) + b.astype("f8")
    assert (np.abs(y - total) <= 1.01 * BRAIN_ROUND * (np.abs(terms.sum(-1)) + np.abs(total)) + slack).all(), where
    products = y[:, None] * arrays["v"].astype("f8").T
    assert (np.abs(z - products.sum(-1)) <= BRAIN_ROUND * np.abs(z) * 1.01 + 1e-5 * np.abs(products).sum(-1)).all(), (
        where
    )
    np.testing.assert_allclose(q.astype("f8"), np.floor(65535 / (1 + np.exp(-y))), rtol=0, atol=1, err_msg=where)
    np.testing.assert_array_equal(t, np.concatenate([arrays["table"][ids], x]).T)
