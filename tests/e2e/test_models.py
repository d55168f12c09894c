"""Whole models, compiled and run natively on lavapipe and on SwiftShader, against ONNX Runtime on the CPU.

Weights (but for Magika's, which are real) and inputs are random and fresh on every run; the seed is in a failure's
message. Memory that the pool hands out is filled with a pattern of NaNs before, so that a kernel that reads what
nobody wrote shows.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import webree
from tests.models import MODELS, Model, reference, relative_error
from webree.hal.device import Device

pytestmark = pytest.mark.native

CALLS = 2  # the second call finds used memory in the pool


@pytest.fixture(scope="session")
def seed() -> int:
    """Of this run; set WEBREE_SEED to repeat one."""
    return int(os.environ.get("WEBREE_SEED") or secrets.randbelow(1 << 31))


@pytest.fixture(scope="session")
def compiled(seed: int, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Model -> its file's bytes and its module's path, compiled once for all adapters."""
    folder = tmp_path_factory.mktemp("models")
    made: dict[str, tuple[bytes, Path]] = {}

    def compile_once(model: Model) -> tuple[bytes, Path]:
        if model.name not in made:
            data, path = model.make(seed), folder / f"{model.name}.vmfb"
            path.write_bytes(webree.compile(data, profile="webgpu-software", dims=dict(model.dims)))
            made[model.name] = data, path
        return made[model.name]

    return compile_once


def poison_free_memory(device: Device, byte_length: int = 64 << 20) -> None:
    """Fill memory with NaNs and give it back to the pool."""
    buffers = [device.allocate(size) for size in (1 << 12, 1 << 16, 1 << 20, byte_length)]
    for buffer in buffers:
        device.fill(buffer, 0, buffer.byte_length, b"\xff\xff\xff\x7f")
    for buffer in buffers:
        buffer.close()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_agrees_with_onnx_runtime(model: Model, compiled: Any, device: Device, seed: int) -> None:
    data, path = compiled(model)
    poison_free_memory(device)
    with webree.load(path, device=device) as module:
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
def test_inputs_matter(model: Model, compiled: Any, device: Device, seed: int) -> None:
    """Two inputs give two outputs: nothing was folded into a constant, nothing is left over from the call before."""
    _, path = compiled(model)
    with webree.load(path, device=device) as module:
        first, second, again = (module.main(*model.inputs(seed + n).values()) for n in (0, 1, 0))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, again)
