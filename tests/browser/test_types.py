"""Quantised weights, products of bytes and halves in Chromium, against NumPy and ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

import webree
from tests.types.packed_products import CASES as PRODUCTS
from tests.types.test_quantized_weights import CASES, expected, make
from tests.types.weights_model import inputs, model, reference
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", ["columns", "4 bits in blocks with zero points", "convolution"])
def test_quantised_weights(session: BrowserSession, name: str, seed: int) -> None:
    source, arrays = make(CASES[name], seed)
    x = np.random.default_rng(seed).standard_normal([size or 5 for size in CASES[name].x]).astype("f4")
    module = session.load(webree.compile(source))
    (found,) = module.call("main", [x])
    module.close()
    wanted = expected(CASES[name], arrays, x)
    assert np.abs(found - wanted).max() / np.abs(wanted).max() < 1e-5, f"WEBREE_SEED={seed}"


@pytest.mark.parametrize("name", ["no multiple of four", "unsigned by signed", "pointwise"])
def test_products_of_bytes_are_exact(session: BrowserSession, name: str, seed: int) -> None:
    made = PRODUCTS[name].make(np.random.default_rng(seed))
    module = session.load(webree.compile(made.text))
    (found,) = module.call("main", [*made.inputs])
    module.close()
    np.testing.assert_array_equal(found, made.expected, err_msg=f"WEBREE_SEED={seed}")


def test_halves_by_choice(session: BrowserSession, seed: int) -> None:
    source, feeds = model(seed), inputs(seed)
    module = session.load(webree.compile(source, demote=["f32-to-f16"]))
    for mine, theirs in zip(module.call("main", [*feeds.values()]), reference(source, feeds), strict=True):
        assert mine.dtype == np.float32
        assert np.abs(mine - theirs).max() / np.abs(theirs).max() < 5e-3, f"WEBREE_SEED={seed}"
    module.close()
