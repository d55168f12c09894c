"""Whole models in Chromium, against ONNX Runtime on the CPU: the same table and tolerances as natively."""

from __future__ import annotations

import os
import secrets

import numpy as np
import pytest

import webree
from tests.matmul import MATMUL, SHAPES
from tests.models import MODELS, Model, reference, relative_error
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser

CALLS = 2  # the second call finds used memory in the pool


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_agrees_with_onnx_runtime(session: BrowserSession, model: Model) -> None:
    seed = int(os.environ.get("WEBREE_SEED") or secrets.randbelow(1 << 31))
    data = model.make(seed)
    module = session.load(webree.compile(data, profile="webgpu-software", dims=dict(model.dims)))
    try:
        for call in range(CALLS):
            inputs = model.inputs(seed + call)
            expected = reference(data, inputs)
            found = module.call("main", [*inputs.values()])
            assert [array.shape for array in found] == [array.shape for array in expected]
            for mine, theirs in zip(found, expected, strict=True):
                error = relative_error(mine, theirs)
                assert error <= model.tolerance, f"relative error {error:.2e} (WEBREE_SEED={seed})"
    finally:
        module.close()


def test_matmul_with_all_dimensions_dynamic(session: BrowserSession) -> None:
    random = np.random.default_rng()
    module = session.load(webree.compile(MATMUL.encode(), profile="webgpu-software"))
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
def test_one_module_gives_the_same_natively_and_in_the_browser(session: BrowserSession) -> None:
    """Magika's module, unchanged, on whatever adapter is the best natively and on Chromium's."""
    model = MODELS[0]
    seed = secrets.randbelow(1 << 31)
    module = webree.compile(model.make(seed), profile="webgpu-software", dims=dict(model.dims))
    in_browser = session.load(module)
    with webree.load(module) as natively:
        for call in range(3):
            inputs = model.inputs(seed + call)
            ours = natively.main(*inputs.values())
            (theirs,) = in_browser.call("main", [*inputs.values()])
            assert np.argmax(ours) == np.argmax(theirs)
            np.testing.assert_allclose(theirs, ours, atol=1e-5, err_msg=f"seed {seed}")
    in_browser.close()
