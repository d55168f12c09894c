"""A matmul whose dimensions are all dynamic: one module, ten shapes, from 1x1x1 over primes to tile-sized ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import webree
from tests.models import relative_error
from webree.hal.device import Device

pytestmark = pytest.mark.native

MATMUL = """
func.func @matmul(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %a, %c0 : tensor<?x?xf32>
  %n = tensor.dim %b, %c1 : tensor<?x?xf32>
  %empty = tensor.empty(%m, %n) : tensor<?x?xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x?xf32>) -> tensor<?x?xf32>
  %c = linalg.matmul ins(%a, %b : tensor<?x?xf32>, tensor<?x?xf32>) outs(%init : tensor<?x?xf32>) -> tensor<?x?xf32>
  return %c : tensor<?x?xf32>
}
"""

# m, k, n
SHAPES = (
    (1, 1, 1),
    (2, 3, 5),
    (7, 11, 13),
    (1, 127, 1),
    (17, 1, 19),
    (64, 64, 64),
    (31, 37, 41),
    (128, 256, 64),
    (1, 300, 257),
    (211, 113, 97),
)


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
