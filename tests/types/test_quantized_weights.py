"""Constant 8- and 4-bit weights stay as narrow in the module and on the device, and are dequantised in the kernels."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import webree
from tests.conftest import Machine

K, N, BLOCK = 96, 136, 32
TOLERANCE = 1e-5


DTYPES: dict[str, tuple[Any, int, int]] = {
    "int8": (np.int8, -128, 128),
    "uint8": (np.uint8, 0, 256),
    "int4": (ml_dtypes.int4, -8, 8),
    "uint4": (ml_dtypes.uint4, 0, 16),
}
"""With the smallest number and one more than the largest."""


@dataclass(frozen=True)
class Case:
    """A product with quantised weights.

    Attributes:
        x: shape of the input; None is a dimension that only the run knows.
        weights: shape of the constant.
        dtype: of the constant.
        axis: that the scales are along; None: one scale for all.
        block: neighbours along the axis that share a scale, or 0.
        zero: whether there are zero points.
        node: operator, and its attributes.
        bias: length of the bias, or 0.
    """

    x: tuple[int | None, ...]
    weights: tuple[int, ...]
    dtype: str = "int8"
    axis: int | None = 1
    block: int = 0
    zero: bool = False
    node: str = "MatMul"
    attributes: dict[str, Any] = field(default_factory=dict)
    bias: int = 0


CASES = {
    "columns": Case((4, K), (K, N)),
    "one scale": Case((4, K), (K, N), axis=None),
    "one row": Case((1, K), (K, N)),
    "unknown rows": Case((None, K), (K, N)),
    "batch": Case((2, 3, K), (K, N)),
    "unknown batch": Case((None, 3, K), (K, N)),
    "zero points": Case((4, K), (K, N), zero=True),
    "unsigned": Case((4, K), (K, N), dtype="uint8", zero=True),
    "unsigned, one": Case((4, K), (K, N), dtype="uint8", zero=True, axis=None),
    "blocks": Case((4, K), (K, N), axis=0, block=BLOCK),
    "blocks with zero points": Case((4, K), (K, N), dtype="uint8", axis=0, block=BLOCK, zero=True),
    "4 bits in blocks": Case((4, K), (K, N), dtype="int4", axis=0, block=BLOCK),
    "4 bits in blocks with zero points": Case((4, K), (K, N), dtype="uint4", axis=0, block=BLOCK, zero=True),
    "4 bits, columns": Case((None, K), (K, N), dtype="int4"),
    "4 bits, transposed": Case((4, K), (N, K), dtype="uint4", axis=0, node="Gemm", attributes={"transB": 1}, zero=True),
    "transposed": Case((4, K), (N, K), axis=0, node="Gemm", attributes={"transB": 1}, bias=N),
    "convolution": Case(
        (1, 16, 9, 9), (32, 16, 3, 3), axis=0, node="Conv", attributes={"strides": [2, 2], "pads": [1] * 4}, bias=32
    ),
    "pointwise": Case((2, 64, 5, 5), (72, 64, 1, 1), axis=0, node="Conv"),
}


def make(case: Case, seed: int) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The model, and the arrays in it."""
    random = np.random.default_rng(seed)
    dtype, lowest, end = DTYPES[case.dtype]
    arrays = {"w": random.integers(lowest, end, case.weights).astype(dtype)}
    shape: tuple[int, ...] = ()
    if case.axis is not None:
        shape = (case.weights[case.axis],)
        if case.block:
            shape = tuple(size // case.block if dim == case.axis else size for dim, size in enumerate(case.weights))
    arrays["s"] = (random.random(shape) / 64 + 1 / 256).astype("f4")
    if case.zero:
        arrays["z"] = random.integers(lowest, end, shape).astype(dtype)
    if case.bias:
        arrays["b"] = random.standard_normal(case.bias).astype("f4")
    attributes: dict[str, Any] = {} if case.axis is None else {"axis": case.axis}
    if case.block:
        attributes["block_size"] = case.block
    inputs = [name for name in ("w", "s", "z") if name in arrays]
    nodes = [
        helper.make_node("DequantizeLinear", inputs, ["wf"], name="/dequantize", **attributes),
        helper.make_node(
            case.node, ["x", "wf", *(["b"] if case.bias else [])], ["y"], name="/product", **case.attributes
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [size or "rows" for size in case.x])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True), arrays


def expected(case: Case, arrays: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """In 64 bits, with NumPy; ONNX Runtime quantises the inputs of such products too."""

    def spread(values: np.ndarray) -> np.ndarray:
        if case.block:
            return np.repeat(values, case.block, axis=case.axis)
        shape = [-1 if dim == case.axis else 1 for dim in range(len(case.weights))]
        return values.reshape(shape)

    weights = arrays["w"].astype("f8") - (spread(arrays["z"].astype("f8")) if case.zero else 0)
    weights = weights * spread(arrays["s"].astype("f8"))
    if case.node == "Conv":
        import torch

        bias = torch.tensor(arrays["b"].astype("f8")) if case.bias else None
        stride, pad = case.attributes.get("strides", [1])[0], case.attributes.get("pads", [0])[0]
        image = torch.tensor(x.astype("f8"))
        return torch.nn.functional.conv2d(image, torch.tensor(weights), bias, stride, pad).numpy()
    weights = weights.T if case.attributes.get("transB") else weights
    return x.astype("f8") @ weights + (arrays["b"] if case.bias else 0)


@functools.cache
def compiled(name: str, seed: int, target: str) -> bytes:
    """Once for all machines of a target."""
    return webree.compile(make(CASES[name], seed)[0], target=target)


@pytest.mark.parametrize("name", CASES)
def test_product(machine: Machine, name: str, seed: int) -> None:
    case = CASES[name]
    _, arrays = make(case, seed)
    with webree.load(compiled(name, seed, machine.target), device=machine.device) as module:
        for rows in (2, 5) if None in case.x else (0,):
            x = np.random.default_rng(seed + rows).standard_normal([size or rows for size in case.x]).astype("f4")
            want = expected(case, arrays, x)
            found = module.main(x)
            assert found.shape == want.shape
            error = np.abs(found - want).max() / np.abs(want).max()
            assert error < TOLERANCE, f"relative error {error:.1e} (WEBREE_SEED={seed})"


@pytest.mark.parametrize("name", CASES)
def test_bytes_stay_bytes(tmp_path: Path, name: str, seed: int) -> None:
    """What is stored: words of four or eight weights each; nothing as large as the weights in floats."""
    from safetensors.numpy import load_file

    case = CASES[name]
    model, arrays = make(case, seed)
    webree.compile(model, parameters=tmp_path / "w.safetensors", dump_wgsl=tmp_path)
    stored = load_file(tmp_path / "w.safetensors")
    bits = 4 if case.dtype.endswith("4") else 8
    words = [array for array in stored.values() if array.size == arrays["w"].size * bits // 32]
    assert [array.dtype for array in words] == [np.int32]
    lanes = words[0].astype("u4")[..., None] >> np.arange(0, 32, bits, dtype="u4") & (1 << bits) - 1
    codes = arrays["w"].astype("i4") & (1 << bits) - 1
    assert np.array_equal(np.sort(lanes.ravel()), np.sort(codes.ravel()))
    assert sum(array.nbytes for array in stored.values()) < 0.2 * bits * arrays["w"].size
    kernels = [path.read_text() for path in tmp_path.glob("*.wgsl")]
    assert sum("<<" in text and ">>" in text for text in kernels) == 1  # unpacked in the kernel of the product
