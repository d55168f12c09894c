"""Conversions between number types, bit for bit: every half, ties, overflow, denormals, and saturation of quantisation.

The reference is NumPy and ml_dtypes, which round to nearest, ties to even, as IEEE 754 and ONNX say.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import webree
from tests.conftest import Machine


def load(machine: Machine, nodes: list[Any], inputs: list[Any], outputs: list[Any], *arrays: Any) -> webree.Module:
    graph = helper.make_graph(nodes, "conversions", inputs, outputs, list(arrays))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    return webree.load(webree.compile(model, target=machine.target, profile=machine.profile), device=machine.device)


def bits(array: Any) -> Any:
    return np.asarray(array).view(f"u{array.dtype.itemsize}")


def singles(seed: int, half: int) -> np.ndarray:
    """Random bit patterns, and neighbours of every value and tie of a format whose digits end `half` bits up."""
    random = np.random.default_rng(seed)
    patterns = random.integers(0, 1 << 32, 20_000, dtype=np.uint32)
    base = random.integers(0, 1 << (32 - half), 3000, dtype=np.uint32) << np.uint32(half)
    tie = np.uint32(1 << (half - 1))
    edges = np.concatenate([base, base + tie, base + tie - np.uint32(1), base + tie + np.uint32(1)])
    special = np.array([0, -0.0, 1, 65504, 65519, 65519.996, 65520, 1e6, -1e6, 3.3895e38, np.inf, -np.inf], "f4")
    small = (random.standard_normal(3000) * 2.0**-20).astype("f4")  # halves without all their digits
    values = np.concatenate([patterns.view("f4"), edges.view("f4"), special, small])
    return values[~np.isnan(values) & ((np.abs(values) > 2.0**-126) | (values == 0))]  # devices may flush f32 denormals


@pytest.mark.parametrize(
    ("name", "dtype", "digits"), [("FLOAT16", np.float16, 13), ("BFLOAT16", ml_dtypes.bfloat16, 16)]
)
def test_to_16_bits(machine: Machine, name: str, dtype: Any, digits: int, seed: int) -> None:
    x = singles(seed, digits)
    kind = getattr(TensorProto, name)
    with load(
        machine,
        [helper.make_node("Cast", ["x"], ["y"], to=kind)],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [x.size])],
        [helper.make_tensor_value_info("y", kind, [x.size])],
    ) as module:
        found = np.asarray(module.main(x)).view(dtype)
    with np.errstate(over="ignore"):
        wanted = x.astype(dtype)
    wrong = np.flatnonzero(bits(found) != bits(wanted))
    assert wrong.size == 0, f"{x[wrong[0]]!r} -> {found[wrong[0]]!r}, not {wanted[wrong[0]]!r} (WEBREE_SEED={seed})"


def test_every_half(machine: Machine) -> None:
    x = np.arange(1 << 16, dtype=np.uint16).view("f2")
    x = x[~np.isnan(x)]
    with load(
        machine,
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [x.size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [x.size])],
    ) as module:
        np.testing.assert_array_equal(bits(np.asarray(module.main(x))), bits(x.astype("f4")))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
def test_quantisation_saturates(machine: Machine, dtype: str, seed: int) -> None:
    info = np.iinfo(dtype)
    random = np.random.default_rng(seed)
    x = np.concatenate([random.standard_normal(200) * info.max, [0.5, 1.5, -0.5, 2.5, np.inf, -np.inf, 1e30, -1e30]])
    x = x.astype("f4")
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    zero = np.array(3, dtype)
    with load(
        machine,
        [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [x.size])],
        [helper.make_tensor_value_info("y", kind, [x.size])],
        numpy_helper.from_array(np.array(1, "f4"), "s"),
        numpy_helper.from_array(zero, "z"),
    ) as module:
        found = module.main(x)
    wanted = np.clip(np.rint(x.astype("f8")) + 3, info.min, info.max).astype(dtype)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted, err_msg=f"WEBREE_SEED={seed}")
