"""Products of bytes are exact, and WebGPU's kernels multiply four at a time."""

from __future__ import annotations

import functools
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

import webree
from tests.conftest import Machine
from tests.types.packed_products import CASES


@functools.cache
def compiled(name: str, seed: int, target: str, profile: str | None) -> tuple[bytes, str]:
    """The module and its WGSL, once for all machines of a target."""
    text = CASES[name].make(np.random.default_rng(seed)).text
    with tempfile.TemporaryDirectory() as folder:
        dump = folder if target == "webgpu" else None
        data = webree.compile(text, target=target, profile=profile, dump_wgsl=dump)
        return data, "".join(path.read_text() for path in sorted(Path(folder).glob("*.wgsl")))


@pytest.mark.parametrize("name", CASES)
def test_products_are_exact(name: str, machine: Machine, seed: int) -> None:
    made = CASES[name].make(np.random.default_rng(seed))
    data, text = compiled(name, seed, machine.target, machine.profile)
    with webree.load(data, device=machine.device) as module:
        found = module.main(*made.inputs)
    np.testing.assert_array_equal(found, made.expected, err_msg=f"WEBREE_SEED={seed}")
    if machine.target == "webgpu":
        assert set(re.findall(r"dot4[IU]8Packed", text)) == {CASES[name].function}


@pytest.mark.parametrize("name", ["rows by columns", "a row by rows", "unsigned by signed", "zero points"])
def test_kernels_for_graphics_processors_multiply_four_at_a_time(name: str, seed: int) -> None:
    _, text = compiled(name, seed, "webgpu", "webgpu")
    assert set(re.findall(r"dot4[IU]8Packed", text)) == {CASES[name].function}


def test_no_kernel_stores_single_bytes(seed: int) -> None:
    """What makes bytes of sums stores four at once; single ones would have to be exchanged atomically."""
    _, text = compiled("convolution", seed, "webgpu", "webgpu-software")
    assert "atomic" not in text
