"""ONNX's own node tests through `webree.onnx_backend`, on the CPU device: a fixed part, which takes about a minute.

`scripts/onnx_coverage.py` runs all of them, and writes what passes into docs/onnx-coverage.md.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from webree import onnx_backend
from webree.errors import CompileError, UsageError

CASES = (
    *("test_add", "test_argmax_default_axis_example", "test_and2d", "test_averagepool_2d_default"),
    *("test_attention_4d_causal_with_past_and_present", "test_center_crop_pad_crop", "test_if"),
    *("test_cumprod_2d_int32", "test_cumsum_1d_reverse_exclusive", "test_linear_attention_decode_step"),
    *("test_nllloss_NC", "test_reduce_l2_do_not_keepdims_random", "test_reduce_max_negative_axes_keepdims_example"),
    *(
        "test_reduce_sum_do_not_keepdims_example",
        "test_reduce_sum_empty_set",
        "test_rms_normalization_3d_axis2_epsilon",
    ),
    *("test_rotary_embedding_interleaved", "test_scan9_sum", "test_sce_mean", "test_swiglu", "test_flexattention"),
)
"""One for each rule of webree's own and some that the importer knows."""

FLOAT = TensorProto.FLOAT


@pytest.fixture(scope="module")
def node_tests() -> dict[str, Any]:
    from onnx.backend.test.loader import load_node_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {test.name: test for test in load_node_model_tests()}


@pytest.mark.parametrize("name", CASES)
def test_node_case(name: str, node_tests: dict[str, Any]) -> None:
    from onnx.backend.test.runner import Runner

    test = node_tests[name]
    prepared = onnx_backend.prepare(test.model, "cpu")
    for inputs, expected in test.data_sets:
        Runner.assert_similar_outputs(expected, prepared.run(inputs), test.rtol, test.atol)


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
