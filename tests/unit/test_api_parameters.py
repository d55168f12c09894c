"""Weights in files of their own, and functions with fences, on a real device."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import webree
from webree.hal.device import Device

pytestmark = pytest.mark.native

LINEAR = b"""
util.global private @w = #flow.parameter.named<"model"::"w"> : tensor<64x32xf32>
util.global private @b = #flow.parameter.named<"model"::"b"> : tensor<32xf32>
func.func @main(%x: tensor<4x64xf32>) -> tensor<4x32xf32> {
  %w = util.global.load @w : tensor<64x32xf32>
  %b = util.global.load @b : tensor<32xf32>
  %empty = tensor.empty() : tensor<4x32xf32>
  %bias = linalg.broadcast ins(%b : tensor<32xf32>) outs(%empty : tensor<4x32xf32>) dimensions = [0]
  %y = linalg.matmul ins(%x, %w : tensor<4x64xf32>, tensor<64x32xf32>)
                     outs(%bias : tensor<4x32xf32>) -> tensor<4x32xf32>
  return %y : tensor<4x32xf32>
}
"""
TOLERANCE = 1e-4


def random_tensor(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng().standard_normal(shape).astype("f4")


def write_safetensors(path: Path, tensors: dict[str, np.ndarray[Any, Any]]) -> Path:
    header, data = {}, b""
    for name, tensor in tensors.items():
        begin = len(data)
        data += tensor.tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.fixture(scope="module")
def linear() -> bytes:
    return webree.compile(LINEAR)


@pytest.mark.parametrize("form", ["scope", "path", "bytes"])
def test_safetensors(linear: bytes, device: Device, tmp_path: Path, form: str) -> None:
    w, b, x = random_tensor(64, 32), random_tensor(32), random_tensor(4, 64)
    path = write_safetensors(tmp_path / "w.safetensors", {"odd": random_tensor(1), "b": b, "w": w})
    parameters: Any = {"scope": {"model": path}, "path": path, "bytes": path.read_bytes()}[form]
    with webree.load(linear, device=device, parameters=parameters) as module:
        np.testing.assert_allclose(module.main(x), x @ w + b, rtol=TOLERANCE, atol=TOLERANCE)


def test_irpa_of_irees_own_tool(linear: bytes, device: Device, tmp_path: Path) -> None:
    w, b, x = random_tensor(64, 32), random_tensor(32), random_tensor(4, 64)
    source = write_safetensors(tmp_path / "w.safetensors", {"w": w, "b": b})
    tool = Path(sys.executable).with_name("iree-convert-parameters")
    path = tmp_path / "w.irpa"
    subprocess.run([tool, f"--parameters={source}", f"--output={path}"], check=True, timeout=300, capture_output=True)
    with webree.load(linear, device=device, parameters=path) as module:
        np.testing.assert_allclose(module.main(x), x @ w + b, rtol=TOLERANCE, atol=TOLERANCE)


def test_the_wrong_file_says_so(linear: bytes, device: Device, tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "other.safetensors", {"w": random_tensor(64, 31), "b": random_tensor(32)})
    message = r"other\.safetensors: the module reads bytes 0\.\.8192 of parameter 'w', which has 7936; is this the file"
    with pytest.raises(webree.InvocationError, match=message):
        webree.load(linear, device=device, parameters=path)


def test_functions_with_fences(device: Device) -> None:
    source = """
    func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
      %y = arith.addf %x, %x : tensor<4xf32>
      return %y : tensor<4xf32>
    }
    """
    data = webree.compile(source.encode(), flags=["--iree-execution-model=async-external"])
    with webree.load(data, device=device) as module:
        assert module["main"].signature.has_fences
        assert str(module["main"].signature) == "main(input0: 4xf32) -> output0: 4xf32"
        x = random_tensor(4)
        for _ in range(3):
            np.testing.assert_array_equal(module.main(x), x + x)
