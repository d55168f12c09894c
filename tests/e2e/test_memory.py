"""A thousand calls hold no more memory than ten: on the device, in Python's heap, and in the count of pipelines."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np

import webree
from tests.conftest import Machine

MODEL = """
func.func @main(%x: tensor<?x64xf32>, %w: tensor<64x32xf32>) -> tensor<?x32xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %x, %c0 : tensor<?x64xf32>
  %empty = tensor.empty(%m) : tensor<?x32xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x32xf32>) -> tensor<?x32xf32>
  %y = linalg.matmul ins(%x, %w : tensor<?x64xf32>, tensor<64x32xf32>)
                     outs(%init : tensor<?x32xf32>) -> tensor<?x32xf32>
  return %y : tensor<?x32xf32>
}
"""

CALLS = 1000
HEAP_SLACK_BYTES = 50_000


def test_a_thousand_calls_do_not_grow_memory(machine: Machine) -> None:
    device, random = machine.device, np.random.default_rng()
    w = random.standard_normal((64, 32)).astype(np.float32)
    inputs = [random.standard_normal((rows, 64)).astype(np.float32) for rows in (1, 7, 16, 33)]
    with webree.load(
        webree.compile(MODEL.encode(), target=machine.target, profile=machine.profile), device=device
    ) as module:

        def call_and_check(count: int) -> None:
            for call in range(count):
                x = inputs[call % len(inputs)]
                y = module.main(x, w)
                if call % 250 == 0:
                    np.testing.assert_allclose(y, x @ w, rtol=1e-4, atol=1e-4)
            gc.collect()

        call_and_check(10)
        counters = device.counters
        held = (counters.allocated_bytes, counters.in_use_bytes, counters.pipelines)
        tracemalloc.start()
        before = tracemalloc.take_snapshot()
        call_and_check(CALLS)
        changes = tracemalloc.take_snapshot().compare_to(before, "lineno")
        tracemalloc.stop()
        grown = sum(change.size_diff for change in changes)
        counters = device.counters  # takes in what was released since
        assert (counters.allocated_bytes, counters.in_use_bytes, counters.pipelines) == held
        most = "\n".join(map(str, changes[:8]))
        assert grown < HEAP_SLACK_BYTES, f"Python's heap grew by {grown} bytes in {CALLS} calls:\n{most}"


def test_closed_modules_give_their_memory_back(machine: Machine) -> None:
    device = machine.device
    data = webree.compile(MODEL.encode(), target=machine.target, profile=machine.profile)
    gc.collect()
    before = device.counters.in_use_bytes
    for _ in range(5):
        with webree.load(data, device=device) as module:
            module.main(np.ones((4, 64), np.float32), np.ones((64, 32), np.float32))
        del module
    gc.collect()
    assert device.counters.in_use_bytes == before
