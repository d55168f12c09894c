"""A matmul whose dimensions are all dynamic: one module, ten shapes, from 1x1x1 over primes to tile-sized ones."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import webree
from tests.conftest import Machine
from tests.matmul import MATMUL, SHAPES
from tests.models import relative_error


@functools.cache
def compiled(target: str, profile: str | None) -> bytes:
    return webree.compile(MATMUL.encode(), target=target, profile=profile)


@pytest.mark.parametrize("software", [False, True], ids=["webgpu", "webgpu-software"])
def test_all_dimensions_dynamic(software: bool, machine: Machine) -> None:
    """With both WebGPU profiles; the CPU device has one."""
    if machine.target == "webgpu":
        module_bytes = compiled("webgpu", "webgpu-software" if software else "webgpu")
    else:
        module_bytes = compiled(machine.target, None)
    random = np.random.default_rng()
    with webree.load(module_bytes, device=machine.device) as module:
        for m, k, n in SHAPES:
            a = random.standard_normal((m, k)).astype(np.float32)
            b = random.standard_normal((k, n)).astype(np.float32)
            found: Any = module.matmul(a, b)
            error = relative_error(found, a.astype(np.float64) @ b.astype(np.float64))
            assert error <= 1e-5, f"{m}x{k}x{n}: relative error {error:.2e}"
