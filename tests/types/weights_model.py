"""A small ONNX model with weights of several sizes, for the tests of parameter files.

Enters: a seed. Leaves: the model (MatMul, Gemm with a transposed weight, Conv, embedding lookup, a large
constant of one value), inputs for it and what ONNX Runtime makes of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["NAMES", "inputs", "model", "reference"]

NAMES = {"layer.0.weight", "layer.1.weight", "conv.weight", "words", "scale"}
"""Tensors of 256 bytes and more that are not one value all over."""


def model(seed: int) -> onnx.ModelProto:
    """Two outputs: a Gemm's and a convolution's."""
    random = np.random.default_rng(seed)

    def tensor(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.standard_normal(shape).astype("f4"), name)

    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["embedded"], name="/embed"),
        helper.make_node("MatMul", ["embedded", "layer.0.weight"], ["a"], name="/layer0"),
        helper.make_node("Mul", ["a", "scale"], ["b"], name="/scale"),
        helper.make_node("Add", ["b", "same"], ["c"], name="/add"),
        helper.make_node("Relu", ["c"], ["d"], name="/relu"),
        helper.make_node("Gemm", ["d", "layer.1.weight", "layer.1.bias"], ["y"], name="/layer1", transB=1),
        helper.make_node("Conv", ["image", "conv.weight"], ["z"], name="/conv"),
    ]
    graph = helper.make_graph(
        nodes,
        "weights",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, [4]),
            helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8]),
        ],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 10]),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 8, 6, 6]),
        ],
        [
            tensor("words", 30, 64),
            tensor("layer.0.weight", 64, 160),
            tensor("scale", 160),
            numpy_helper.from_array(np.full((4, 160), 0.25, "f4"), "same"),
            tensor("layer.1.weight", 10, 160),
            tensor("layer.1.bias", 10),
            tensor("conv.weight", 8, 3, 3, 3),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    return made


def inputs(seed: int) -> dict[str, Any]:
    """Fresh ones."""
    random = np.random.default_rng(seed)
    return {"ids": random.integers(0, 30, 4), "image": random.standard_normal((1, 3, 8, 8)).astype("f4")}


def reference(source: onnx.ModelProto | Path, feeds: dict[str, Any]) -> list[Any]:
    """By ONNX Runtime on the CPU."""
    import onnxruntime

    data = str(source) if isinstance(source, Path) else source.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return list(session.run(None, feeds))
