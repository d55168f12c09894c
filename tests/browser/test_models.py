"""Whole models in Chromium, on WebGPU and on the CPU device, against ONNX Runtime: the tables, the modules and the
tolerances are those of the tests that run natively."""

from __future__ import annotations

import numpy as np
import pytest

import webree
from tests.browser.conftest import CPU_THREADS
from tests.browser.programs import on_cpu, on_webgpu
from tests.matmul import MATMUL, SHAPES
from tests.models import MODELS, NATIVE_MODELS, Model, reference, relative_error
from tests.models_named import NAMED_MODELS
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser

CALLS = 2  # the second call finds used memory in the pool
SMALL = ("magika", "squeezenet")


def check(session: BrowserSession, module: bytes, model: Model, seed: int, device: str, calls: int = CALLS) -> str:
    """Compare a few calls with ONNX Runtime; the name and the description of what they ran on."""
    data = model.make(seed)
    loaded = session.load(module, device=device)
    try:
        for call in range(calls):
            inputs = model.inputs(seed + call)
            expected = reference(data, inputs)
            found = loaded.call("main", [*inputs.values()])
            assert [array.shape for array in found] == [array.shape for array in expected]
            for mine, theirs in zip(found, expected, strict=True):
                error = relative_error(mine, theirs)
                assert error <= model.tolerance, f"relative error {error:.2e} (WEBREE_SEED={seed})"
        return f"{loaded.adapter}: {loaded.description}"
    finally:
        loaded.close()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_on_webgpu(session: BrowserSession, model: Model, seed: int) -> None:
    ran_on = check(session, on_webgpu(model.make(seed), model.dims), model, seed, "webgpu")
    assert "swiftshader" in ran_on.lower()


@pytest.mark.parametrize("model", NAMED_MODELS, ids=lambda model: model.name)
def test_promised_by_name_on_webgpu(session: BrowserSession, model: Model, seed: int) -> None:
    """One call each, as SwiftShader is slow."""
    check(session, on_webgpu(model.make(seed), model.dims), model, seed, "webgpu", calls=1)


@pytest.mark.parametrize("model", MODELS + NATIVE_MODELS, ids=lambda model: model.name)
def test_on_the_cpu(session: BrowserSession, model: Model, seed: int) -> None:
    ran_on = check(session, on_cpu(model.make(seed), model.dims), model, seed, "cpu")
    assert ran_on.startswith("wasm: ")
    assert f"{CPU_THREADS} worker threads" in ran_on


@pytest.mark.parametrize("model", [model for model in MODELS if model.name in SMALL], ids=lambda model: model.name)
def test_without_threads_and_without_webgpu(alone: BrowserSession, model: Model, seed: int) -> None:
    assert alone.page.evaluate("navigator.gpu ? navigator.gpu.requestAdapter() : null") is None
    assert "on Python's thread" in check(alone, on_cpu(model.make(seed), model.dims), model, seed, "cpu")


def test_matmul_with_all_dimensions_dynamic(session: BrowserSession) -> None:
    random = np.random.default_rng()
    module = session.load(on_webgpu(MATMUL))
    try:
        for m, k, n in SHAPES:
            a = random.standard_normal((m, k)).astype(np.float32)
            b = random.standard_normal((k, n)).astype(np.float32)
            (found,) = module.call("matmul", [a, b])
            error = relative_error(found, a.astype(np.float64) @ b.astype(np.float64))
            assert error <= 1e-5, f"{m}x{k}x{n}: relative error {error:.2e}"
    finally:
        module.close()


@pytest.mark.native
def test_one_module_gives_the_same_natively_and_in_the_browser(session: BrowserSession, seed: int) -> None:
    """Magika's module, unchanged, on whatever adapter is the best natively and on Chromium's."""
    model = MODELS[0]
    module = on_webgpu(model.make(seed), model.dims)
    in_browser = session.load(module)
    with webree.load(module) as natively:
        for call in range(3):
            inputs = model.inputs(seed + call)
            ours = natively.main(*inputs.values())
            (theirs,) = in_browser.call("main", [*inputs.values()])
            assert np.argmax(ours) == np.argmax(theirs)
            np.testing.assert_allclose(theirs, ours, atol=1e-5, err_msg=f"seed {seed}")
    in_browser.close()
