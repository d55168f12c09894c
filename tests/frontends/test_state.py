"""State: mutable globals of MLIR, buffers that PyTorch modules write; on the device between calls, one set per load."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import webree
from tests.conftest import Machine
from tests.frontends.running import as_tuple, compare, load_for
from tests.frontends.states import COUNTING, INITIAL, cells, check_cells

TYPES = {
    "f32": np.float32,
    "i32": np.int32,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "i64": np.int64,
    "i8": np.int8,
}


def caller(module: webree.Module) -> Any:
    def call(name: str, *arrays: Any) -> tuple[Any, ...]:
        return as_tuple(module[name](*arrays))

    return call


@pytest.mark.parametrize("element", TYPES)
def test_equal_initial_values_are_separate(machine: Machine, element: str) -> None:
    zero = "dense<0>" if element[0] == "i" else "dense<0.0>"
    module = load_for(machine, cells(element, zero, zero))
    check_cells(caller(module), TYPES[element], 0, 0)


@pytest.mark.parametrize("values", [("dense<0.0>", "c"), ("c", "c"), ("c", "dense<2.5>")])
def test_initial_values(machine: Machine, values: tuple[str, str]) -> None:
    texts = [COUNTING.replace(",", ".0,").replace("]", ".0]").replace("].0", "]") if v == "c" else v for v in values]
    numbers = [INITIAL if v == "c" else float(v[6:-1]) for v in values]
    check_cells(caller(load_for(machine, cells("f32", *texts))), np.float32, *numbers)


def test_each_load_has_its_own_state(machine: Machine) -> None:
    data = webree.compile(cells(), target=machine.target, profile=machine.profile)
    one, other = webree.load(data, device=machine.device), webree.load(data, device=machine.device)
    kept = one.get.on_device()
    one.both(np.ones((4, 2), np.float32))
    np.testing.assert_array_equal(one.get()[0], np.ones((4, 2)))
    np.testing.assert_array_equal(other.get()[0], np.zeros((4, 2)))
    np.testing.assert_array_equal(kept[0].to_host(), np.zeros((4, 2)), err_msg="a result from before the write")


class Counter(torch.nn.Module):
    """Two buffers of the same initial value, one that the program does not write, and a scalar of 64 bits."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("sum", torch.zeros(3))
        self.register_buffer("largest", torch.zeros(3))
        self.register_buffer("scale", torch.arange(1.0, 4.0), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        self.sum += x * self.scale
        self.largest.copy_(torch.maximum(self.largest, x))
        return self.sum / self.count

    def read(self) -> tuple[torch.Tensor, ...]:
        return self.count.clone(), self.sum.clone(), self.largest.clone()

    def reset(self) -> None:
        for buffer in (self.count, self.sum, self.largest):
            buffer.zero_()


def test_buffers_of_a_module(machine: Machine, seed: int) -> None:
    """Three functions over one module; the reference is the module itself, called in the same order."""
    print(f"seed {seed}")
    torch.manual_seed(seed)
    counter = Counter()
    x = torch.randn(3)
    module = load_for(machine, {"step": (counter, (x,)), "read": (counter.read, ()), "reset": (counter.reset, ())})
    counter.reset()  # a module is exported as it is; exporting it runs nothing
    for round_ in range(2):
        for _ in range(3):
            x = torch.randn(3)
            compare(f"step, round {round_}", module.step(x.numpy()), [counter(x)], 1e-5, 1e-6)
        compare(f"read, round {round_}", module.read(), counter.read(), 1e-5, 1e-6)
        module.reset()
        counter.reset()
        compare("after reset", module.read(), counter.read(), 0, 0)


def test_batch_norm_learns_its_statistics(machine: Machine, seed: int) -> None:
    torch.manual_seed(seed)
    layers = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.BatchNorm2d(4)).train()
    x = torch.randn(3, 2, 6, 6)
    module = load_for(machine, layers, x)
    for step in range(3):
        x = torch.randn(3, 2, 6, 6) * (step + 1)
        with torch.no_grad():
            compare(f"step {step}", module.main(x.numpy()), [layers(x)], 1e-4, 1e-5)


class Cache(torch.nn.Module):
    """Attention over a cache of keys and values, written at a position that is an input."""

    def __init__(self) -> None:
        super().__init__()
        self.project = torch.nn.Linear(8, 24)
        self.register_buffer("keys", torch.zeros(1, 16, 8))
        self.register_buffer("values", torch.zeros(1, 16, 8))

    def forward(self, x: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        query, key, value = self.project(x).chunk(3, dim=-1)
        self.keys.index_copy_(1, position, key)
        self.values.index_copy_(1, position, value)
        seen = torch.arange(16) <= position[-1]
        return torch.nn.functional.scaled_dot_product_attention(query, self.keys, self.values, attn_mask=seen)


def test_cache_of_keys_and_values(machine: Machine, seed: int) -> None:
    torch.manual_seed(seed)
    cache = Cache().eval()
    x, position = torch.randn(1, 1, 8), torch.zeros(1, dtype=torch.int64)
    prompt, positions = torch.randn(1, 4, 8), torch.arange(4)
    module = load_for(machine, {"prefill": (cache, (prompt, positions)), "decode": (cache, (x, position))})
    with torch.no_grad():
        compare("prefill", module.prefill(prompt.numpy(), positions.numpy()), [cache(prompt, positions)], 1e-4, 1e-5)
        for step in range(4, 10):
            x, position = torch.randn(1, 1, 8), torch.tensor([step])
            compare(f"step {step}", module.decode(x.numpy(), position.numpy()), [cache(x, position)], 1e-4, 1e-5)
