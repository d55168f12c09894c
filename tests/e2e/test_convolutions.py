"""Convolutions and poolings of every kind that the schedules rewrite, against ONNX Runtime, on both profiles."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import webree
from tests.conftest import Machine
from tests.models import reference, relative_error


@dataclass(frozen=True)
class Case:
    """One operation: input as the model declares it and as it is called with, window, channels, geometry."""

    declared: tuple[int | str, ...]
    shape: tuple[int, ...]
    window: tuple[int, ...]
    outputs: int = 0
    stride: int = 1
    pad: int = 0
    group: int = 1
    dilation: int = 1
    op: str = "Conv"


CASES = {
    "3x3": Case((1, 8, 16, 16), (1, 8, 16, 16), (3, 3), 16, pad=1),
    "dynamic batch": Case(("n", 8, 16, 16), (3, 8, 16, 16), (3, 3), 16, pad=1),
    "dynamic image": Case(("n", 8, "h", "w"), (2, 8, 13, 11), (3, 3), 12, pad=1),
    "batch, stride": Case((2, 8, 17, 19), (2, 8, 17, 19), (3, 3), 12, stride=2, pad=1),
    "odd channels": Case((1, 7, 16, 16), (1, 7, 16, 16), (5, 5), 13, stride=2, pad=2),
    "depthwise": Case((1, 8, 16, 16), (1, 8, 16, 16), (3, 3), 8, pad=1, group=8),
    "depthwise, stride": Case((1, 12, 15, 15), (1, 12, 15, 15), (3, 3), 12, stride=2, pad=1, group=12),
    "depthwise, dynamic batch": Case(("n", 12, 15, 15), (2, 12, 15, 15), (3, 3), 12, pad=1, group=12),
    "grouped 1x1": Case((1, 16, 14, 14), (1, 16, 14, 14), (1, 1), 32, group=4),
    "grouped 3x3": Case((1, 16, 14, 14), (1, 16, 14, 14), (3, 3), 32, pad=1, group=4),
    "dilated": Case((1, 8, 20, 20), (1, 8, 20, 20), (3, 3), 8, pad=2, dilation=2),
    "one-dimensional": Case((1, 8, 32), (1, 8, 32), (5,), 16, pad=2),
    "one-dimensional, dynamic batch": Case(("n", 8, 32), (3, 8, 32), (3,), 16, stride=2, pad=1),
    "7x7 stem": Case((1, 3, 32, 32), (1, 3, 32, 32), (7, 7), 16, stride=2, pad=3),
    "strided 1x1": Case((1, 16, 8, 8), (1, 16, 8, 8), (1, 1), 24, stride=2),
    "three-dimensional": Case((1, 4, 8, 8, 8), (1, 4, 8, 8, 8), (3, 3, 3), 6, pad=1),
    "max pooling": Case((1, 16, 14, 14), (1, 16, 14, 14), (3, 3), stride=2, pad=1, op="MaxPool"),
    "max pooling, batch": Case((2, 16, 14, 14), (2, 16, 14, 14), (3, 3), pad=1, op="MaxPool"),
    "average pooling": Case((1, 6, 15, 15), (1, 6, 15, 15), (2, 2), stride=2, op="AveragePool"),
}


def model(case: Case, generator: np.random.Generator) -> onnx.ModelProto:
    """The operation, then Relu, so that something is fused with it."""
    rank = len(case.window)
    geometry: dict[str, Sequence[int]] = {"strides": [case.stride] * rank, "pads": [case.pad] * (2 * rank)}
    initializers = []
    if case.op == "Conv":
        channels = case.shape[1] // case.group
        weights = generator.standard_normal((case.outputs, channels, *case.window)).astype(np.float32)
        bias = generator.standard_normal(case.outputs).astype(np.float32)
        initializers = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")]
        node = helper.make_node(
            "Conv", ["x", "w", "b"], ["y"], group=case.group, dilations=[case.dilation] * rank, **geometry
        )
    else:
        node = helper.make_node(case.op, ["x"], ["y"], kernel_shape=case.window, **geometry)
    dims = [f"d{dim}" for dim in range(len(case.shape))]
    graph = helper.make_graph(
        [node, helper.make_node("Relu", ["y"], ["z"])],
        "case",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, case.declared)],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, dims)],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@functools.cache
def compiled(name: str, target: str, profile: str | None) -> tuple[bytes, bytes]:
    """A case's model with random weights and its module, once for all devices."""
    source = model(CASES[name], np.random.default_rng()).SerializeToString()
    return source, webree.compile(source, target=target, profile=profile)


@pytest.mark.parametrize("name", CASES)
def test_against_onnxruntime(name: str, machine: Machine) -> None:
    """With both WebGPU profiles; the CPU device has one."""
    for profile in ("webgpu", "webgpu-software") if machine.target == "webgpu" else (None,):
        _check(name, machine, profile)


def _check(name: str, machine: Machine, profile: str | None) -> None:
    source, data = compiled(name, machine.target, profile)
    x = np.random.default_rng().standard_normal(CASES[name].shape).astype(np.float32)
    (expected,) = reference(source, {"x": x})
    with webree.load(data, device=machine.device) as module:
        actual = np.asarray(module.main(x))
    assert actual.shape == expected.shape
    assert relative_error(actual, expected) <= 1e-5
