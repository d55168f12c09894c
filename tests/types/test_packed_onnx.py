"""ONNX's operators on 8-bit integers give what ONNX Runtime gives, by kernels that multiply four bytes at a time."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import webree
from tests.conftest import Machine

Array = np.ndarray[Any, Any]
NAMES = (
    "MatMulInteger",
    "MatMulInteger, batch",
    "QLinearMatMul",
    "ConvInteger, padded",
    "QLinearConv",
    "DynamicQuantizeLinear",
)


def _arrays(random: np.random.Generator) -> dict[str, Array]:
    return {
        "matrix": random.integers(-128, 128, (96, 40)).astype("i1"),
        "filter": random.integers(-128, 128, (24, 16, 3, 3)).astype("i1"),
        "bias": random.integers(-1000, 1000, 24).astype("i4"),
        "scales": (random.random(24) / 100 + 1e-3).astype("f4"),
        "zeros": np.zeros(24, "i1"),
        "image_zero": random.integers(0, 256, ()).astype("u1"),
        "zero": random.integers(-128, 128, ()).astype("i1"),
        "none": np.int8(0),
        "image_scale": np.float32(0.02),
        "scale": np.float32(0.01),
        "out_scale": np.float32(0.7),
        "out_zero": np.uint8(117),
    }


def _nodes(name: str) -> list[Any]:
    make = helper.make_node
    out = ["out_scale", "out_zero"]
    match name.partition(",")[0]:
        case "MatMulInteger":
            return [make("MatMulInteger", ["x", "matrix", "image_zero", "zero"], ["y"])]
        case "QLinearMatMul":
            return [make("QLinearMatMul", ["x", "image_scale", "image_zero", "matrix", "scale", "none", *out], ["y"])]
        case "ConvInteger":
            return [make("ConvInteger", ["x", "filter", "image_zero"], ["y"], pads=[1, 0, 2, 1], strides=[2, 1])]
        case "QLinearConv":
            image, weights = ["x", "image_scale", "image_zero"], ["filter", "scales", "zeros"]
            return [make("QLinearConv", [*image, *weights, *out, "bias"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2])]
    return [
        make("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        make("MatMulInteger", ["q", "matrix", "z"], ["sums"]),
        make("Cast", ["sums"], ["real"], to=TensorProto.FLOAT),
        make("Mul", ["s", "scale"], ["factor"]),
        make("Mul", ["real", "factor"], ["y"]),
    ]


@functools.cache
def _model(name: str, seed: int) -> tuple[onnx.ModelProto, Array]:
    """The model and an input."""
    random, nodes = np.random.default_rng(seed), _nodes(name)
    read = {item for node in nodes for item in node.input}
    initializers = [numpy_helper.from_array(value, key) for key, value in _arrays(random).items() if key in read]
    shape = [1, 16, 9, 8] if "Conv" in name else [2, 7, 96] if "batch" in name else [7, 96]
    is_real = name == "DynamicQuantizeLinear"
    x = random.standard_normal(shape).astype("f4") if is_real else random.integers(0, 256, shape).astype("u1")
    kind = TensorProto.FLOAT if is_real else TensorProto.UINT8
    result = TensorProto.FLOAT if is_real else TensorProto.UINT8 if name.startswith("Q") else TensorProto.INT32
    graph = helper.make_graph(
        nodes,
        "bytes",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", result, None)],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True), x


@functools.cache
def _compiled(name: str, seed: int, target: str) -> tuple[bytes, str]:
    with tempfile.TemporaryDirectory() as folder:
        dump = folder if target == "webgpu" else None
        data = webree.compile(_model(name, seed)[0], target=target, dump_wgsl=dump)
        return data, "".join(path.read_text() for path in Path(folder).glob("*.wgsl"))


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_onnx_runtime(name: str, machine: Machine, seed: int) -> None:
    model, x = _model(name, seed)
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    data, text = _compiled(name, seed, machine.target)
    with webree.load(data, device=machine.device) as module:
        found = module.main(x)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    difference = np.abs(found.astype("f8") - expected.astype("f8")).max()
    # Sums are exact. Scales are multiplied in another order, so that a number halfway between two steps may fall to
    # either side.
    limit = {"Q": 1.0, "D": 1e-5 * float(np.abs(expected).max())}.get(name[0], 0.0)
    assert difference <= limit, f"WEBREE_SEED={seed}"
    if machine.target == "webgpu":
        assert "dot4I8Packed" in text or "dot4U8Packed" in text
