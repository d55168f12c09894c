"""Programs of every execution model in Chromium: what the stock compiler makes of them, against IREE's runtime, and
what webree's own compiler makes of a small one, against NumPy. No GPU is needed for any of them."""

from __future__ import annotations

import secrets

import numpy as np
import pytest

import webree
from tests.browser.programs import MIXED
from tests.execution_models.modules import calls, compile_group
from tests.execution_models.programs import GROUPS
from tests.execution_models.test_models import difference
from webree.tools.browser_session import BrowserModule, BrowserSession

pytestmark = pytest.mark.browser

SMALL = ("tensors", "programs")
STOCK = {
    "inline-static": ("host", tuple(GROUPS)),
    "inline-dynamic": ("host", SMALL),
    "inline-dynamic-wasm": ("host", SMALL),
    "vmvx": ("vmvx", SMALL),
    "wasm": ("wasm", SMALL),
}
"""Execution model -> the adapter it runs on, and the groups of programs that are run."""


def check(module: BrowserModule, group: str, model: str) -> None:
    seed = secrets.randbits(32)
    wrong = []
    for program, arrays, expected in calls(group, model, np.random.default_rng(seed)):
        text = difference(program, tuple(module.call(program.name, arrays)), expected)
        if text:
            wrong.append(f"{program.name}: {text}")
    assert not wrong, f"seed {seed}\n" + "\n".join(wrong)


@pytest.mark.parametrize(("model", "group"), [(model, group) for model in STOCK for group in STOCK[model][1]])
def test_stock_modules(alone: BrowserSession, model: str, group: str) -> None:
    """On a page that has neither WebGPU nor shared memory."""
    module = alone.load(compile_group(group, model))
    try:
        assert module.adapter == STOCK[model][0]
        check(module, group, model)
    finally:
        module.close()


@pytest.mark.parametrize("group", SMALL)
def test_stock_modules_on_threads(session: BrowserSession, group: str) -> None:
    module = session.load(compile_group(group, "wasm"))
    try:
        assert "worker threads" in module.description
        check(module, group, "wasm")
    finally:
        module.close()


@pytest.mark.parametrize(
    ("target", "execution_model", "adapter"),
    [
        ("cpu", "async-internal", "wasm"),
        ("cpu", "async-external", "wasm"),
        ("vmvx", "async-internal", "vmvx"),
        ("cpu", "inline-dynamic", "host"),
        ("vmvx", "inline-dynamic", "host"),
        ("vmvx", "inline-static", "host"),
    ],
)
def test_own_modules(cpu_session: BrowserSession, target: str, execution_model: str, adapter: str) -> None:
    random = np.random.default_rng()
    data = webree.compile(MIXED.encode(), target=target, execution_model=execution_model)
    module = cpu_session.load(data)
    try:
        assert module.adapter == adapter
        for _ in range(3):
            x = random.standard_normal((2, 3)).astype(np.float32)
            n = random.integers(-1000, 1000, (2, 3), np.int32)
            y, m = module.call("main", [x, n])
            np.testing.assert_array_equal(y, x + x)
            np.testing.assert_array_equal(m, n * n)
    finally:
        module.close()
