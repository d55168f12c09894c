"""The golden kernels, run: control flow, memory, atomics and tables against plain Python."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.conftest import ADAPTERS
from tests.golden.regenerate import FOLDER, translate
from tests.spirv_kernels import run_wgsl, wgpu_device

pytestmark = pytest.mark.native

SEED = int(os.environ.get("WEBREE_SEED") or secrets.randbelow(1 << 31))
Array = np.ndarray[Any, Any]


@pytest.fixture(params=sorted(ADAPTERS), scope="module")
def device(request: pytest.FixtureRequest) -> Any:
    part, _ = ADAPTERS[request.param]
    return wgpu_device(part)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


def run(device: Any, name: str, buffers: list[Array], workgroups: int, constants: tuple[int, ...] = ()) -> list[Array]:
    shader = translate(FOLDER / "in" / f"{name}.mlir")
    return run_wgsl(device, shader, buffers, (workgroups, 1, 1), constants)


def collatz(n: int) -> int:
    steps = 0
    while n > 1:
        n = 3 * n + 1 if n % 2 else n // 2
        steps += 1
    return steps


def test_loops_swap_their_values_and_count(device: Any, rng: np.random.Generator) -> None:
    source = np.concatenate([[0, 1, 2], rng.integers(0, 1000, 13)]).astype(np.int32)
    found = run(device, "loops", [source, np.zeros(48, np.int32)], 16)[1].reshape(16, 3)
    expected = [(n % 2, 1 - n % 2, collatz(n)) for n in source.tolist()]
    assert found.tolist() == [list(row) for row in expected], f"seed {SEED}"


def test_loop_results_of_nested_loops(device: Any, rng: np.random.Generator) -> None:
    source = rng.uniform(0.5, 2.0, (8, 4)).astype(np.float32)
    found = run(device, "loop_results", [source, np.zeros(8, np.float32)], 8)[1]
    expected = sum(np.prod(source[:, :count], axis=1, dtype=np.float32) for count in range(4))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def select_value(n: int) -> int:
    if n < 0:
        return 1
    if n > 100:
        return 1
    return n + 100 if n > 10 else n * 10


def switch_value(n: int) -> int:
    return {1: 101, -2: 98, 3: 7}.get(n, 0)


def test_loop_left_from_its_middle(device: Any, rng: np.random.Generator) -> None:
    source = rng.integers(0, 5, (20, 8)).astype(np.int32)
    found = run(device, "loop_break", [source, np.zeros(20, np.int32)], 20)[1]
    assert found.tolist() == [row.index(0) if 0 in row else -1 for row in source.tolist()], f"seed {SEED}"


@pytest.mark.parametrize(("name", "reference"), [("selections", select_value), ("switch", switch_value)])
def test_branches(device: Any, name: str, reference: Callable[[int], int]) -> None:
    source = np.array([*range(-5, 15), 99, 100, 101, 1000], np.int32)
    found = run(device, name, [source, np.zeros_like(source)], len(source))[1]
    assert found.tolist() == [reference(n) for n in source.tolist()]


def test_views_of_a_read_only_binding(device: Any, rng: np.random.Generator) -> None:
    source = rng.normal(size=(4, 4)).astype(np.float32)
    found = run(device, "views_read_only", [source, np.zeros(12, np.float32)], 4)[1].reshape(4, 3)
    expected = source[:, 1] + source.flat[2] + source.reshape(-1)[:4]
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5, atol=1e-6)
    assert found[:, 1].copy().view(np.int32).tolist() == [0, 1, 2, 3]
    assert (found[:, 2] == 0.5).all()


def test_views_of_a_writable_binding(device: Any, rng: np.random.Generator) -> None:
    source = rng.normal(size=(5, 4)).astype(np.float32)
    (found,) = run(device, "views_writable", [source], 5)
    expected = source * 2
    expected[:, 3] += 1
    np.testing.assert_array_equal(found, expected)


def test_atomics(device: Any, rng: np.random.Generator) -> None:
    source = rng.integers(-1000, 1000, 32).astype(np.int32)
    start = np.array([0, 0, -1, -(2**31), 0, -1, 0], np.int32)
    counts = np.concatenate([start, np.zeros(32, np.int32)])
    found = run(device, "atomics", [source, counts], 32)[1]
    unsigned = source.view(np.uint32)
    assert found[0] == source.sum()
    assert found[1] == np.bitwise_or.reduce(source)
    assert found[2] == np.bitwise_and.reduce(source)
    assert found[3] == source.max()
    assert found[4:5].view(np.uint32)[0] == unsigned.max()
    assert found[5:6].view(np.uint32)[0] == unsigned.min()
    assert found[6] == 7
    assert found[7:].sum() == 1, "exactly one invocation finds the zero"


def test_workgroup_memory(device: Any, rng: np.random.Generator) -> None:
    source = rng.normal(size=(6, 8)).astype(np.float32)
    found = run(device, "workgroup_memory", [source, np.zeros_like(source)], 6)[1]
    np.testing.assert_allclose(found[:, 0], source.sum(axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found[:, 1:], source[:, ::-1][:, 1:])


def test_push_constants(device: Any) -> None:
    constants = (11, 22, 33, 44, 55, 66)
    (found,) = run(device, "push_constants", [np.zeros(6, np.int32)], 6, constants)
    assert found.tolist() == [66 + constant for constant in constants]


def test_tables(device: Any) -> None:
    (found,) = run(device, "tables", [np.zeros(4, np.float32)], 4)
    # A variable of the function starts at zero, and its last element is read by all.
    assert found.tolist() == [1.5, -2.0, np.inf, 8.0]


def test_vectors(device: Any, rng: np.random.Generator) -> None:
    source = rng.normal(size=(8, 4)).astype(np.float32)
    found = run(device, "vectors", [source, np.zeros_like(source)], 8)[1]
    expected = []
    for row, v in enumerate(source):
        m = np.array([v[3], 2.0, v[1], 4.0], np.float32)
        p = np.where(m > 0, m, v)
        lane = row & 3
        i = p.copy()
        i[2] = p[lane] + p @ v
        i[lane] = p[1]
        expected.append(i * p[1] + p[lane])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_constant_operands(device: Any) -> None:
    (found,) = run(device, "constants", [np.zeros(1, np.int32)], 1)
    # over ^ negated = 0; one for "all true"; low subtracted wraps.
    assert found.tolist() == [-(2**31) + 1]


def test_function_calls(device: Any, rng: np.random.Generator) -> None:
    source = rng.normal(size=16).astype(np.float32)
    found = run(device, "functions", [source, np.zeros_like(source)], 16)[1]
    np.testing.assert_allclose(found, np.where(source < 0, 0, source**2), rtol=1e-6)


def half_kernel(x: Array) -> Array:
    """exp of half of x, then tanh, rounded to f16 in between."""
    exponential = np.exp((x * np.float16(0.5)).astype(np.float32)).astype(np.float16)
    return np.where(np.isinf(exponential), np.float16(0.5), np.tanh(exponential.astype(np.float32)))


def test_f16_in_f16_buffers(rng: np.random.Generator) -> None:
    device = wgpu_device(ADAPTERS["lavapipe"][0])
    source = rng.uniform(-6, 6, 32).astype(np.float16)
    found = run(device, "half", [source, np.zeros_like(source)], 32)[1]
    np.testing.assert_allclose(found, half_kernel(source), rtol=4e-3, err_msg=f"seed {SEED}")


def test_f16_packed_into_words(device: Any, rng: np.random.Generator) -> None:
    source = rng.uniform(-6, 6, 32).astype(np.float16)
    wide = rng.normal(size=(32, 4)).astype(np.float16)
    _, found, doubled = run(device, "half_packed", [source, np.zeros_like(source), wide], 32)
    np.testing.assert_allclose(found, half_kernel(source), rtol=4e-3, err_msg=f"seed {SEED}")
    np.testing.assert_array_equal(doubled, wide * 2)
