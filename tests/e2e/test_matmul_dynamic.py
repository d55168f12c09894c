"""A matmul whose dimensions are all dynamic: one module, ten shapes, from 1x1x1 over primes to tile-sized ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import webree
from tests.matmul import MATMUL, SHAPES
from tests.models import relative_error
from webree.hal.device import Device

pytestmark = pytest.mark.native


@pytest.fixture(scope="module", params=["webgpu", "webgpu-software"])
def module_bytes(request: pytest.FixtureRequest) -> bytes:
    return webree.compile(MATMUL.encode(), profile=request.param)


def test_all_dimensions_dynamic(module_bytes: bytes, device: Device) -> None:
    random = np.random.default_rng()
    with webree.load(module_bytes, device=device) as module:
        for m, k, n in SHAPES:
            a = random.standard_normal((m, k)).astype(np.float32)
            b = random.standard_normal((k, n)).astype(np.float32)
            found: Any = module.matmul(a, b)
            error = relative_error(found, a.astype(np.float64) @ b.astype(np.float64))
            assert error <= 1e-5, f"{m}x{k}x{n}: relative error {error:.2e}"
