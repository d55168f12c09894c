"""Shared by the tests of the PyTorch and JAX front ends: compile for a machine, call, compare.

Enters: functions of a framework. Leaves: the largest differences from what the framework itself computes, as
assertions with the function's name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import webree
from tests.conftest import Machine


def load_for(machine: Machine, source: Any, *arguments: Any, **options: Any) -> webree.Module:
    """Compile for the machine and load there."""
    data = webree.compile(source, *arguments, target=machine.target, profile=machine.profile, **options)
    return webree.load(data, device=machine.device)


def as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def compare(name: str, actual: Any, expected: Any, relative: float, absolute: float) -> None:
    """Same number, shapes and dtypes; values within `absolute + relative * |expected|`, integers exact."""
    found = as_tuple(actual)
    assert len(found) == len(expected), f"{name}: {len(found)} results, expected {len(expected)}"
    for index, (one, other) in enumerate(zip(found, expected, strict=True)):
        one, other = np.asarray(one), np.asarray(other)
        where = f"{name}, result {index}"
        assert one.shape == other.shape, f"{where}: shape {one.shape}, expected {other.shape}"
        assert one.dtype == other.dtype, f"{where}: dtype {one.dtype}, expected {other.dtype}"
        if one.dtype.kind in "biu":
            np.testing.assert_array_equal(one, other, err_msg=where)
        else:
            np.testing.assert_allclose(
                one.astype(np.float64), other.astype(np.float64), rtol=relative, atol=absolute, err_msg=where
            )
