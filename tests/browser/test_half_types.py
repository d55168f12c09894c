"""f16 beside i16 and bf16, and accumulation in f16, in Chromium against NumPy: SwiftShader has no `shader-f16`."""

from __future__ import annotations

import numpy as np
import pytest

import webree
from tests.types.mixed_model import ROWS, inputs, text
from tests.types.mixed_network import check_network, network, network_inputs
from tests.types.test_accumulation import DEPTH, MODEL, bound, in_order
from tests.types.test_mixed_halves import check
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser

NAMES = ("cmpi_ult", "extsi_i8", "bitcast_f16_i16", "all_three")


def test_all_types_of_16_bits(session: BrowserSession, seed: int) -> None:
    rows = [row for row in ROWS if row.name in NAMES]
    module = session.load(webree.compile(text(rows)))
    for row in rows:
        arrays = inputs(row, seed)
        (found,) = module.call(row.name, arrays)
        check(found, row.reference(*arrays), f"{row.name} (WEBREE_SEED={seed})")
    module.close()


def test_a_network(session: BrowserSession, seed: int) -> None:
    module = session.load(webree.compile(network(seed)))
    feeds = network_inputs(seed, 3)
    check_network(seed, feeds, list(module.call("main", feeds)))
    module.close()


def test_accumulation(session: BrowserSession, seed: int) -> None:
    x = (np.random.default_rng(seed).standard_normal((6, DEPTH)) + 0.5).astype("f2")
    exact = x.astype("f8").sum(-1)
    module = session.load(webree.compile(MODEL, accumulate="f16"))
    (found,) = module.call("sum", [x])
    module.close()
    np.testing.assert_array_equal(found, in_order(x), err_msg=f"WEBREE_SEED={seed}")
    assert (np.abs(found - exact) <= bound(x.astype("f8"), DEPTH)).all()
