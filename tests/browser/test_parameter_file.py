"""Weights in a file beside the module, in Chromium: the file is fetched there, and does not pass through Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import webree
from tests.types.weights_model import inputs, model, reference
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("ending", ["safetensors", "irpa"])
def test_there_and_back(session: BrowserSession, tmp_path: Path, ending: str, seed: int) -> None:
    source, path = model(seed), tmp_path / f"weights.{ending}"
    data = webree.compile(source, parameters=path)
    module = session.load(data, {"model": session.serve(f"weights-{seed}.{ending}", path.read_bytes())})
    feeds = inputs(seed)
    for mine, theirs in zip(module.call("main", [*feeds.values()]), reference(source, feeds), strict=True):
        assert np.abs(mine - theirs).max() / np.abs(theirs).max() < 1e-5, f"WEBREE_SEED={seed}"
    module.close()
