"""Profiles with more than every device has: halves computed as halves, and tensors above 128 MiB."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import webree
from tests.conftest import Machine
from webree.errors import CompileError, DeviceError

HALVES = """
func.func @product(%x: tensor<8x64xf16>, %w: tensor<64x128xf16>) -> tensor<8x128xf16> {
  %zero = arith.constant 0.0 : f16
  %empty = tensor.empty() : tensor<8x128xf16>
  %start = linalg.fill ins(%zero : f16) outs(%empty : tensor<8x128xf16>) -> tensor<8x128xf16>
  %y = linalg.matmul ins(%x, %w : tensor<8x64xf16>, tensor<64x128xf16>)
                     outs(%start : tensor<8x128xf16>) -> tensor<8x128xf16>
  return %y : tensor<8x128xf16>
}
func.func @sum(%x: tensor<?x3xf16>, %y: tensor<?x3xf16>) -> tensor<?x3xf16> {
  %z = arith.addf %x, %y : tensor<?x3xf16>
  return %z : tensor<?x3xf16>
}
func.func @single(%x: tensor<8xf16>) -> tensor<8xf32> {
  %y = arith.extf %x : tensor<8xf16> to tensor<8xf32>
  return %y : tensor<8xf32>
}
"""


@pytest.mark.parametrize("profile", ["webgpu", "webgpu-software", "webgpu-f16"])
def test_halves(machine: Machine, profile: str, tmp_path: Path, seed: int) -> None:
    if machine.target != "webgpu":
        return  # one of two: the profiles are WebGPU's
    data = webree.compile(HALVES, profile=profile, dump_wgsl=tmp_path)
    native = profile == "webgpu-f16"
    kernels = [path.read_text() for path in tmp_path.glob("*.wgsl")]
    assert all(("enable f16;" in text) == native for text in kernels)
    if native and "shader-f16" not in machine.device.info.features:
        with pytest.raises(DeviceError, match=r"the feature 'shader-f16'"):
            webree.load(data, device=machine.device)
        return
    random = np.random.default_rng(seed)
    x, w = random.standard_normal((8, 64)).astype("f2"), random.standard_normal((64, 128)).astype("f2")
    with webree.load(data, device=machine.device) as module:
        wanted = x.astype("f8") @ w.astype("f8")
        # One rounding to 16 bits at the end (half a unit in the last of 11 digits), and those of an f32 sum.
        error = np.abs(module.product(x, w) - wanted) - 2**-11 * np.abs(wanted)
        assert error.max() < 1e-5 * np.abs(wanted).max(), f"WEBREE_SEED={seed}"
        a, b = random.standard_normal((2, 5, 3)).astype("f2")
        np.testing.assert_array_equal(module.sum(a, b), a + b)
        values = np.array([65504, -0.0, 2**-24, 1 / 3, np.inf, 1, 2, 3], "f2")
        np.testing.assert_array_equal(module.single(values), values.astype("f4"))


ELEMENTS = (136 << 20) // 4

LARGE = f"""
func.func @twice(%x: tensor<{ELEMENTS}xf32>) -> tensor<{ELEMENTS}xf32> {{
  %y = arith.addf %x, %x : tensor<{ELEMENTS}xf32>
  return %y : tensor<{ELEMENTS}xf32>
}}
"""


def test_a_tensor_above_the_limit_is_refused() -> None:
    told = (
        f"needs {4 * ELEMENTS} bytes in one tensor; the profile 'webgpu' has {128 << 20}. "
        "Compile for a profile with more (webgpu-large), or split the operation"
    )
    with pytest.raises(CompileError, match=re.escape(told)):
        webree.compile(LARGE)


def test_a_tensor_above_the_limit_of_every_device(machine: Machine) -> None:
    """Runs where the adapter binds as much, and says both sizes where it does not."""
    if machine.target != "webgpu":
        return
    data = webree.compile(LARGE, profile="webgpu-large")
    limit = machine.device.info.limits["max_storage_buffer_binding_size"]
    if limit < 4 * ELEMENTS:
        told = rf"binds {4 * ELEMENTS} bytes .* largest binding \(max_storage_buffer_binding_size\) has {limit} bytes"
        with pytest.raises(DeviceError, match=told):
            webree.load(data, device=machine.device)
        return
    x = np.arange(ELEMENTS, dtype="f4")
    with webree.load(data, device=machine.device) as module:
        assert np.array_equal(module.twice(x), x + x)
