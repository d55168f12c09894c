"""StableHLO operations against JAX on the CPU, on fresh random inputs; all rows are functions of one module."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np
import pytest

import webree
from tests.check.stablehlo_rows import ROWS, random_inputs
from tests.conftest import find_adapter
from webree.hal.registry import create_driver
from webree.waiting import run_sync


@pytest.fixture(scope="module", params=[pytest.param("lavapipe", marks=pytest.mark.native), "cpu"])
def module(request: pytest.FixtureRequest) -> Iterator[webree.Module]:
    """All rows compiled for one device."""
    on_cpu = request.param == "cpu"
    driver = create_driver("cpu" if on_cpu else "webgpu")
    device = run_sync(driver.open(run_sync(driver.adapters())[0] if on_cpu else find_adapter(request.param)))
    functions = {name: (jax.jit(function), tuple(random_inputs(kinds, 0))) for name, (function, kinds) in ROWS.items()}
    target = {"target": "cpu"} if on_cpu else {"target": "webgpu", "profile": "webgpu-software"}
    with webree.load(webree.compile(functions, **target), device=device) as loaded:
        yield loaded
    device.close()


@pytest.mark.parametrize("name", ROWS)
def test_operation(module: webree.Module, name: str, seed: int) -> None:
    """Integers exactly; floats to 2e-5 of the largest: sums are in another order, functions have other last bits."""
    print(f"seed {seed}")
    function, kinds = ROWS[name]
    inputs = random_inputs(kinds, seed)
    expected = [np.asarray(value) for value in jax.tree.leaves(jax.jit(function)(*inputs))]
    results = module[name](*inputs)
    found = [np.asarray(value) for value in (results if isinstance(results, tuple) else (results,))]
    assert [(value.shape, value.dtype) for value in found] == [(value.shape, value.dtype) for value in expected]
    for index, (actual, wanted) in enumerate(zip(found, expected, strict=True)):
        if wanted.dtype.kind == "f":
            largest = max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
            np.testing.assert_allclose(actual, wanted, rtol=2e-5, atol=2e-5 * largest, err_msg=f"result {index}")
        else:
            np.testing.assert_array_equal(actual, wanted, err_msg=f"result {index}")
