"""The op table on every device: Vulkan adapters through WebGPU, and the CPU device.

Inputs are fresh on every run; the seed is in a failure's message (set WEBREE_SEED to repeat one). What is known to be
refused or wrong is in tests/ops/known.py, which these tests hold to be exact.
"""

from __future__ import annotations

import pytest

from tests.conftest import Machine
from tests.ops.known import REFUSED, WRONG, reason
from tests.ops.nodes import NODES
from tests.ops.runner import refusal, run_group
from tests.ops.table import CASES, GROUPS


@pytest.mark.parametrize("group", GROUPS)
def test_ops(group: str, machine: Machine, seed: int) -> None:
    if not any(machine.target in case.targets for case in GROUPS[group]):
        return
    problems = run_group(group, machine, seed)
    assert not problems, "\n".join([f"WEBREE_SEED={seed}", *problems])


@pytest.mark.parametrize("target", REFUSED)
def test_refused_ops(target: str) -> None:
    """What is listed as refused is, with a message, when compiled on its own."""
    listed = [case for case in CASES if target in case.targets and reason(REFUSED[target], case.name)]
    accepted = [case.name for case in listed if refusal(case, target) is None]
    assert not accepted, f"not refused any more; take these out of tests/ops/known.py: {accepted}"


def test_known_lists_name_rows() -> None:
    names = [row.name for row in (*CASES, *NODES)]
    for lists in (REFUSED, WRONG):
        for listed in lists.values():
            for pattern in listed:
                assert any(reason({pattern: ""}, name) is not None for name in names), f"no row is {pattern}"
