"""Modules with code for several devices, and the types that devices have: the same program on each of them."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import webree
from tests.conftest import Machine
from tests.matmul import MATMUL
from tests.models import NATIVE_MODELS, reference, relative_error

INT64 = """
func.func @main(%a: tensor<37xi64>, %b: tensor<37xi64>) -> (tensor<37xi64>, tensor<i64>) {
  %0 = arith.muli %a, %b : tensor<37xi64>
  %1 = arith.addi %0, %b : tensor<37xi64>
  %zero = arith.constant dense<0> : tensor<i64>
  %2 = linalg.reduce ins(%1 : tensor<37xi64>) outs(%zero : tensor<i64>) dimensions = [0]
    (%x: i64, %y: i64) { %s = arith.addi %x, %y : i64 linalg.yield %s : i64 }
  return %1, %2 : tensor<37xi64>, tensor<i64>
}
"""

FLOAT64 = """
func.func @main(%a: tensor<5x33xf64>, %b: tensor<33x7xf64>) -> tensor<5x7xf64> {
  %zero = arith.constant dense<0.0> : tensor<5x7xf64>
  %0 = linalg.matmul ins(%a, %b : tensor<5x33xf64>, tensor<33x7xf64>) outs(%zero : tensor<5x7xf64>) -> tensor<5x7xf64>
  %1 = math.exp %0 : tensor<5x7xf64>
  return %1 : tensor<5x7xf64>
}
"""


@functools.cache
def both(name: str) -> bytes:
    """One module for WebGPU and for the CPU device."""
    if name == "matmul":
        return webree.compile(MATMUL, target="webgpu,cpu")
    (model,) = (model for model in NATIVE_MODELS if model.name == name)
    return webree.compile(model.make(7), target="webgpu,cpu")


def test_one_module_for_two_devices(machine: Machine) -> None:
    random = np.random.default_rng()
    a, b = (random.standard_normal(shape).astype(np.float32) for shape in ((19, 31), (31, 23)))
    with webree.load(both("matmul"), device=machine.device) as module:
        found = np.asarray(module.matmul(a, b))
    assert relative_error(found, a.astype(np.float64) @ b.astype(np.float64)) <= 1e-5


@pytest.mark.parametrize("name", ["dynamic_batch", "lstm"])
def test_one_model_for_two_devices(name: str, machine: Machine, seed: int) -> None:
    (model,) = (model for model in NATIVE_MODELS if model.name == name)
    inputs = model.inputs(seed)
    (expected,) = reference(model.make(7), inputs)
    with webree.load(both(name), device=machine.device) as module:
        found = np.asarray(module.main(*inputs.values()))
    assert relative_error(found, expected) <= model.tolerance, f"WEBREE_SEED={seed}"


def test_int64_goes_in_and_comes_out(machine: Machine) -> None:
    a, b = (np.random.default_rng().integers(-(2**63), 2**63, 37) for _ in range(2))
    with webree.load(webree.compile(INT64, target=machine.target), device=machine.device) as module:
        products, total = (np.asarray(result) for result in module.main(a, b))
    assert products.dtype == total.dtype == np.int64
    np.testing.assert_array_equal(products, a * b + b)
    assert int(total) == int((a * b + b).sum())


def test_float64_stays_float64_on_the_cpu() -> None:
    """On WebGPU it becomes f32, with a warning (tests/unit/test_compiler.py)."""
    random = np.random.default_rng()
    a, b = random.uniform(-1, 1, (5, 33)), random.uniform(-1, 1, (33, 7))
    with webree.load(webree.compile(FLOAT64, target="cpu"), device="cpu") as module:
        found = np.asarray(module.main(a, b))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, np.exp(a @ b), rtol=1e-13)
