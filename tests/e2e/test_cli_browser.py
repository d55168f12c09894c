"""`webree run` and `webree benchmark` with `--device browser`: the same words as natively, run in headless Chromium."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import webree

pytestmark = pytest.mark.browser

MODEL = b"""
func.func @scale(%values: tensor<?x3xf32>, %factor: tensor<f32>) -> tensor<?x3xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %values, %c0 : tensor<?x3xf32>
  %empty = tensor.empty(%n) : tensor<?x3xf32>
  %result = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> ()>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%values, %factor : tensor<?x3xf32>, tensor<f32>) outs(%empty : tensor<?x3xf32>) {
    ^bb0(%v: f32, %f: f32, %o: f32):
      %p = arith.mulf %v, %f : f32
      linalg.yield %p : f32
  } -> tensor<?x3xf32>
  return %result : tensor<?x3xf32>
}
"""


@pytest.fixture(scope="module")
def module_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "scale.vmfb"
    path.write_bytes(webree.compile(MODEL))
    return path


def command(words: list[str]) -> subprocess.CompletedProcess[str]:
    """A process of its own: Playwright takes one session a thread, and the tests' own is open."""
    return subprocess.run(
        [sys.executable, "-m", "webree", *words], capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL
    )


def test_run(module_path: Path, tmp_path: Path) -> None:
    values = np.random.default_rng().standard_normal((5, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    np.save(tmp_path / "expected.npy", values * np.float32(3))
    words = ["run", str(module_path), "--device", "browser", "--input", f"@{tmp_path}/x.npy", "--input", "f32=3"]
    done = command([*words, "--expected-output", f"@{tmp_path}/expected.npy", "--output", f"@{tmp_path}/y.npy"])
    assert done.returncode == 0, done.stderr
    assert "(Chromium)" in done.stderr
    assert "as expected: 1 of 1 outputs checked" in done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), values * 3, rtol=1e-6)


def test_wrong_input_has_the_message_that_it_has_natively(module_path: Path) -> None:
    words = ["run", str(module_path), "--input", "2x4xf32=1", "--input", "2"]
    in_browser, natively = command([*words, "--device", "browser"]), command(words)
    assert in_browser.returncode == natively.returncode == 1
    message = in_browser.stderr.splitlines()[-1]
    assert "expected ?x3xf32, with 3 elements along dimension 1; found 4" in message
    assert message == natively.stderr.splitlines()[-1]


def test_benchmark(module_path: Path) -> None:
    words = ["benchmark", str(module_path), "--device", "browser", "--repetitions", "3", "--json"]
    done = command([*words, "--input", "4x3xf32=1", "--input", "f32=2"])
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["per_call"]["dispatches"] == 1
    assert facts["per_call"]["submissions"] == 1
    assert facts["host_ms"] > 0
    assert facts["load_ms"] > 0
