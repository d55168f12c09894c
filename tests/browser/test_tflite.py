"""TensorFlow Lite models in Chromium, against Google's interpreter: floats, and 8 bits with state between the calls."""

from __future__ import annotations

import numpy as np
import pytest

from tests.browser.programs import on_webgpu
from tests.frontends.tflite_models import REAL, expose, fetch, interpret
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("name", "count"), [("face_detection", 1), ("wake_word", 12)])
def test_real_model(session: BrowserSession, name: str, count: int, seed: int) -> None:
    data = fetch(name)
    if name == "wake_word":  # the score before the sigmoid says more: random sounds are no wake words
        data = expose(data, "FULLY_CONNECTED")
    calls = [REAL[name].inputs(np.random.default_rng(seed + number)) for number in range(count)]
    expected = interpret(data, *calls)
    module = session.load(on_webgpu(data))
    try:
        for inputs, theirs in zip(calls, expected, strict=True):
            found = module.call("main", inputs)
            for mine, value in zip(found, theirs, strict=True):
                REAL[name].check(mine, value, f"WEBREE_SEED={seed}")
    finally:
        module.close()
