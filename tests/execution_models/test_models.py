"""Every program, compiled by the stock compiler for every execution model, gives what IREE's runtime gives."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import webree
from tests.execution_models.modules import FEWER_GROUPS, MODELS, calls, compile_group
from tests.execution_models.program import Program
from tests.execution_models.programs import GROUPS

_FIRST_DEVICE = {"vmvx": "vmvx", "vmvx-tiles": "vmvx", "wasm": "wasm"}


@pytest.fixture
def rng() -> np.random.Generator:
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def difference(program: Program, found: Any, expected: list[Any]) -> str:
    """What is wrong, or ""."""
    results = found if isinstance(found, tuple) else (found,)
    if len(results) != len(expected):
        return f"{len(results)} results instead of {len(expected)}"
    for number, (ours, theirs) in enumerate(zip(results, expected, strict=True)):
        array = np.asarray(ours)
        if array.shape != theirs.shape or array.dtype.itemsize != theirs.dtype.itemsize:
            return f"result {number}: {array.dtype}{array.shape} instead of {theirs.dtype}{theirs.shape}"
        if program.tolerance and array.dtype.kind == "f":
            wrong = ~np.isclose(array, theirs, program.tolerance, program.tolerance, equal_nan=True)
        else:
            wrong = array.view(np.uint8) != theirs.view(np.uint8) if array.shape else array != theirs
        if np.any(wrong):
            at = tuple(int(axis[0]) for axis in np.nonzero(wrong)) if array.dtype.kind == "f" else "…"
            return f"result {number} at {at}: {array.ravel()[:8]} instead of {theirs.ravel()[:8]}"
    return ""


@pytest.mark.parametrize(
    ("model", "group"), [(model, group) for model in MODELS for group in FEWER_GROUPS.get(model, GROUPS)]
)
def test_programs(model: str, group: str, rng: np.random.Generator) -> None:
    module = webree.load(compile_group(group, model))
    assert module.device.info.name == _FIRST_DEVICE.get(model, "host")
    wrong = []
    for program, arrays, expected in calls(group, model, rng):
        text = difference(program, module[program.name](*arrays), expected)
        if text:
            wrong.append(f"{program.name}: {text}")
    assert not wrong, "\n".join(wrong)


def test_number_of_programs() -> None:
    assert sum(map(len, GROUPS.values())) >= 90
