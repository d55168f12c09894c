"""The models of the end-to-end table in Chromium: the same modules as natively, against ONNX Runtime on the CPU."""

from __future__ import annotations

import os
import secrets

import pytest

import webree
from tests.models import MODELS, Model, reference, relative_error
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_agrees_with_onnx_runtime(model: Model, session: BrowserSession) -> None:
    """Weights and inputs are fresh; WEBREE_SEED repeats a run. The second call finds used memory in the pool."""
    seed = int(os.environ.get("WEBREE_SEED") or secrets.randbelow(1 << 31))
    data = model.make(seed)
    compiled = webree.compile(data, profile="webgpu-software", dims=dict(model.dims))
    module = session.load(compiled)
    try:
        for call in range(2):
            inputs = model.inputs(seed + call)
            results = module.call("main", list(inputs.values()))
            for mine, theirs in zip(results, reference(data, inputs), strict=True):
                error = relative_error(mine, theirs)
                assert error <= model.tolerance, f"relative error {error:.2e} (WEBREE_SEED={seed})"
    finally:
        module.close()
