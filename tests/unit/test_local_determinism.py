"""The CPU device gives the same bits for any number of threads, and the right ones."""

from __future__ import annotations

import time

import numpy as np
import pytest

import webree

SOURCE = """
func.func @f(%a: tensor<67x96xf32>, %b: tensor<96x83xf32>, %s: tensor<?x83xf32>) -> (tensor<67x83xf32>, tensor<?xf32>) {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<67x83xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<67x83xf32>) -> tensor<67x83xf32>
  %c = linalg.matmul ins(%a, %b : tensor<67x96xf32>, tensor<96x83xf32>)
                     outs(%init : tensor<67x83xf32>) -> tensor<67x83xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
                       iterator_types = ["parallel", "parallel"]}
      ins(%c : tensor<67x83xf32>) outs(%empty : tensor<67x83xf32>) {
    ^bb0(%x: f32, %o: f32):
      %t = math.tanh %x : f32
      %m = arith.maxnumf %t, %zero : f32
      linalg.yield %m : f32
  } -> tensor<67x83xf32>
  %zero_index = arith.constant 0 : index
  %rows = tensor.dim %s, %zero_index : tensor<?x83xf32>
  %empty_sums = tensor.empty(%rows) : tensor<?xf32>
  %init_sums = linalg.fill ins(%zero : f32) outs(%empty_sums : tensor<?xf32>) -> tensor<?xf32>
  %sums = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
                          iterator_types = ["parallel", "reduction"]}
      ins(%s : tensor<?x83xf32>) outs(%init_sums : tensor<?xf32>) {
    ^bb0(%x: f32, %o: f32):
      %p = arith.addf %x, %o : f32
      linalg.yield %p : f32
  } -> tensor<?xf32>
  return %r, %sums : tensor<67x83xf32>, tensor<?xf32>
}
"""


@pytest.fixture(scope="module")
def module() -> bytes:
    return webree.compile(SOURCE, target="cpu")


def test_results_do_not_depend_on_the_number_of_threads(module: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = time.time_ns()
    generator = np.random.default_rng(seed)
    a = generator.standard_normal((67, 96), dtype=np.float32)
    b = generator.standard_normal((96, 83), dtype=np.float32)
    s = generator.standard_normal((1, 83), dtype=np.float32).repeat(301, axis=0)
    s *= generator.uniform(1e-3, 1e3, (301, 1)).astype(np.float32)
    found = set()
    for threads in ("1", "2", "3", "7"):
        monkeypatch.setenv("WEBREE_CPU_THREADS", threads)
        loaded = webree.load(module, device="cpu")
        for _ in range(5):
            results = [np.asarray(result) for result in loaded.functions["f"](a, b, s)]
            found.add(b"".join(result.tobytes() for result in results))
    assert len(found) == 1, f"seed {seed}"
    expected = np.maximum(np.tanh(a.astype(np.float64) @ b), 0)
    assert np.abs(results[0] - expected).max() < 1e-5, f"seed {seed}"
    assert np.abs(results[1] - s.astype(np.float64).sum(1)).max() < 1e-5 * np.abs(s).sum(1).max(), f"seed {seed}"
