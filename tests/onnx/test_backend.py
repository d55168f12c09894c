"""`webree.onnx_backend` by itself, and what it refuses. ONNX's own node tests are in test_node_cases.py."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from webree import onnx_backend
from webree.errors import CompileError, UsageError

FLOAT = TensorProto.FLOAT


def test_run_node_by_position_and_by_name() -> None:
    random = np.random.default_rng()
    left, right = (random.standard_normal((3, 4)).astype(np.float32) for _ in range(2))
    node = helper.make_node("Sub", ["a", "b"], ["c"])
    (found,) = onnx_backend.run_node(node, [left, right])
    np.testing.assert_array_equal(found, left - right)
    (found,) = onnx_backend.run_node(
        node, {"b": right, "a": left}, "cpu", [(np.dtype(np.float32), (3, 4))], opset_version=14
    )
    np.testing.assert_array_equal(found, left - right)


def test_reductions_choose_their_axis_at_run_time() -> None:
    """Both axes give results of the declared size."""
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)],
            "reduction",
            [
                helper.make_tensor_value_info("x", FLOAT, [4, 4]),
                helper.make_tensor_value_info("axes", TensorProto.INT64, [1]),
            ],
            [helper.make_tensor_value_info("y", FLOAT, [4])],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    prepared = onnx_backend.prepare(model)
    values = np.random.default_rng().integers(-9, 9, (4, 4)).astype(np.float32)
    for axis in (0, 1, -1, -2):
        (found,) = prepared.run([values, np.array([axis])])
        np.testing.assert_array_equal(found, values.sum(axis))


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert onnx_backend.supports_device("CPU")
    assert not onnx_backend.supports_device("CUDA")
    monkeypatch.setenv("WEBREE_ONNX_DEVICE", "tpu")
    with pytest.raises(UsageError, match=r"there is no device 'tpu' \(environment variable WEBREE_ONNX_DEVICE\)"):
        onnx_backend.prepare(None)


def test_strings_are_refused_by_name() -> None:
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Identity", ["x"], ["y"])],
            "text",
            [helper.make_tensor_value_info("x", TensorProto.STRING, [2])],
            [helper.make_tensor_value_info("y", TensorProto.STRING, [2])],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    with pytest.raises(CompileError, match="element types that webree cannot compile: STRING") as caught:
        onnx_backend.prepare(model)
    assert caught.value.unsupported


@pytest.mark.parametrize("size", range(1, 6))
def test_determinants(size: int) -> None:
    """Pivots that are zero included; reference: LAPACK in f64."""
    seed = np.random.SeedSequence().entropy
    matrices = np.random.default_rng(seed).standard_normal((7, size, size)).astype(np.float32)
    matrices[0, 0, 0] = 0
    node = helper.make_node("Det", ["x"], ["y"])
    (found,) = onnx_backend.run_node(node, [matrices])
    np.testing.assert_allclose(
        found, np.linalg.det(matrices.astype(np.float64)), atol=1e-4, rtol=1e-4, err_msg=f"{seed}"
    )


def test_determinants_of_large_matrices_are_refused() -> None:
    node = helper.make_node("Det", ["x"], ["y"])
    with pytest.raises(CompileError, match=r"Det is compiled for matrices of at most 5 rows.*\[6, 6\]"):
        onnx_backend.run_node(node, [np.zeros((6, 6), np.float32)])
