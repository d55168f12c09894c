"""The structured ops (tests/ops/nodes.py) on every device, against ONNX Runtime on the CPU.

All nodes are one model, compiled once per target; what is known to be refused or wrong is in tests/ops/known.py.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

import webree
from tests.conftest import Machine
from tests.models import reference
from tests.ops.compare import within
from tests.ops.known import REFUSED, WRONG, reason
from tests.ops.nodes import NODES, Node, inputs_of, model_of
from webree.errors import CompileError


def _refused(node: Node, target: str, seed: int) -> str | None:
    try:
        webree.compile(model_of([node], seed), target=target)
    except CompileError as error:
        return str(error).splitlines()[0]
    return None


@functools.cache
def _compiled(target: str, seed: int) -> tuple[bytes, tuple[Node, ...]]:
    nodes = tuple(node for node in NODES if reason(REFUSED[target], node.name) is None)
    try:
        return webree.compile(model_of(nodes, seed), target=target), nodes
    except CompileError:
        refused = {node.name: message for node in nodes if (message := _refused(node, target, seed)) is not None}
    pytest.fail("\n".join(f"{name}: refused: {message}" for name, message in refused.items()))


def test_nodes(machine: Machine, seed: int) -> None:
    data, nodes = _compiled(machine.target, seed)
    inputs = inputs_of(nodes, seed)
    expected = iter(reference(model_of(nodes, seed), inputs))
    with webree.load(data, device=machine.device) as module:
        found = iter(module.main(*inputs.values()))
    listed = {**WRONG[machine.target], **WRONG.get(machine.name, {})}
    problems = []
    for node in nodes:
        pairs = [(np.asarray(next(found)), next(expected)) for _ in range(node.outputs)]
        good = all(within(mine, theirs, node.relative) for mine, theirs in pairs)
        if good and reason(listed, node.name):
            problems.append(f"{node.name}: right, but listed as wrong")
        if not good and not reason(listed, node.name):
            mine, theirs = pairs[0]
            problems.append(f"{node.name}: {mine.shape} {mine.ravel()[:6]}, not {theirs.shape} {theirs.ravel()[:6]}")
    assert not problems, "\n".join([f"WEBREE_SEED={seed}", *problems])


@pytest.mark.parametrize("target", REFUSED)
def test_refused_nodes(target: str, seed: int) -> None:
    listed = [node for node in NODES if reason(REFUSED[target], node.name)]
    accepted = [node.name for node in listed if _refused(node, target, seed) is None]
    assert not accepted, f"not refused any more; take these out of tests/ops/known.py: {accepted}"
