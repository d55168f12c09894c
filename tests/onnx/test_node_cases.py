"""ONNX's own node tests through `webree.onnx_backend` on the WebGPU device: every operator that passes, once.

The cases stand in cases.txt, which `scripts/onnx_coverage.py --subset` chooses: of each operator and kind of types the
one that took the least time. They take about a minute. `make onnx-conformance` runs all cases, and writes what passes
into docs/onnx-coverage.md.
"""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import find_adapter
from webree import onnx_backend
from webree.errors import CompileError

CASES = Path(__file__).with_name("cases.txt").read_text(encoding="utf-8").split()
REFUSED = {
    "ImageDecoder": r"operators that webree cannot compile \(ONNX opset 20\).*onnx.ImageDecoder",
}
"""Operators over plain tensors of which no case passes, and what the compiler says."""
RANDOM = {"Bernoulli"}
"""Operators whose results are random: tested in test_operators.py."""


@pytest.fixture(scope="module")
def node_tests() -> dict[str, Any]:
    from onnx.backend.test.loader import load_node_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {test.name: test for test in load_node_model_tests()}


@pytest.mark.native
@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:.*WebGPU has no 64-bit floats")
def test_node_case(name: str, node_tests: dict[str, Any]) -> None:
    from onnx.backend.test.runner import Runner, _normalize_tensor

    find_adapter("lavapipe")
    test = node_tests[name]
    prepared = onnx_backend.prepare(test.model, "webgpu")
    for inputs, expected in test.data_sets:
        found = prepared.run([_normalize_tensor(item) for item in inputs])
        Runner.assert_similar_outputs([_normalize_tensor(item) for item in expected], found, test.rtol, test.atol)


def test_every_operator_is_there(node_tests: dict[str, Any]) -> None:
    """Each operator of the standard domain that ONNX tests with plain tensors is passed, refused or random."""
    describe = importlib.import_module("scripts.onnx_coverage").describe
    described = [describe(name, test.model, node_tests) for name, test in node_tests.items()]
    passed = {case.op for case in described if case.name in CASES}
    plain = {case.op for case in described if case.kind == "plain"}
    assert plain - passed == set(REFUSED) | RANDOM
    assert set(CASES) <= set(node_tests)


@pytest.mark.parametrize("op", REFUSED)
def test_refused_operators_are_named(op: str, node_tests: dict[str, Any]) -> None:
    test = next(test for test in node_tests.values() if op in {node.op_type for node in test.model.graph.node})
    with pytest.raises(CompileError, match=REFUSED[op]) as caught:
        onnx_backend.prepare(test.model, "webgpu")
    assert caught.value.unsupported
