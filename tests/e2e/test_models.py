"""Whole models on every device: lavapipe and SwiftShader through WebGPU, and the CPU device; against ONNX Runtime.

Weights (but for Magika's, which are real) and inputs are random and fresh on every run; the seed is in a failure's
message. Memory that the pool hands out is filled with a pattern of NaNs before, so that a kernel that reads what
nobody wrote shows. Tolerances are the same on all devices.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import webree
from tests.compiling import compiled_file
from tests.conftest import Machine
from tests.models import MODELS, NATIVE_MODELS, Model, reference, relative_error
from webree.hal.device import Device

CALLS = 2  # the second call finds used memory in the pool


def module_of(model: Model, machine: Machine, seed: int) -> Path:
    """Compiled once for all devices of a target."""
    return compiled_file(model.make(seed), target=machine.target, profile=machine.profile, dims=model.dims)


def poison_free_memory(device: Device, byte_length: int = 64 << 20) -> None:
    """Fill memory with NaNs and give it back to the pool."""
    buffers = [device.allocate(size) for size in (1 << 12, 1 << 16, 1 << 20, byte_length)]
    for buffer in buffers:
        device.fill(buffer, 0, buffer.byte_length, b"\xff\xff\xff\x7f")
    for buffer in buffers:
        buffer.close()


@pytest.mark.parametrize("model", MODELS + NATIVE_MODELS, ids=lambda model: model.name)
def test_agrees_with_onnx_runtime(model: Model, machine: Machine, seed: int) -> None:
    data = model.make(seed)
    poison_free_memory(machine.device)
    with webree.load(module_of(model, machine, seed), device=machine.device) as module:
        for call in range(CALLS):
            inputs = model.inputs(seed + call)
            expected = reference(data, inputs)
            found = module.main(*inputs.values())
            results = found if isinstance(found, tuple) else (found,)
            assert len(results) == len(expected)
            for mine, theirs in zip(results, expected, strict=True):
                error = relative_error(mine, theirs)
                assert error <= model.tolerance, f"relative error {error:.2e} (WEBREE_SEED={seed})"


@pytest.mark.parametrize("model", MODELS[:1], ids=lambda model: model.name)
def test_inputs_matter(model: Model, machine: Machine, seed: int) -> None:
    """Two inputs give two outputs: nothing was folded into a constant, nothing is left over from the call before."""
    with webree.load(module_of(model, machine, seed), device=machine.device) as module:
        first, second, again = (module.main(*model.inputs(seed + n).values()) for n in (0, 1, 0))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)
