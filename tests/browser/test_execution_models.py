"""Programs of every execution model in Chromium: what the stock compiler makes of them, against IREE's runtime, and
what webree's own compiler makes of a small one, against NumPy. No GPU is needed for any of them."""

from __future__ import annotations

import secrets

import numpy as np
import pytest

import webree
from tests.browser.programs import MIXED
from tests.execution_models.modules import compile_group, draw, programs_of, reference
from tests.execution_models.programs import GROUPS
from tests.execution_models.test_models import difference
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser

ADAPTERS = {
    "inline-static": "host",
    "inline-dynamic": "host",
    "inline-dynamic-wasm": "host",
    "vmvx": "vmvx",
    "wasm": "wasm",
}


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("model", ADAPTERS)
def test_stock_modules(alone: BrowserSession, model: str, group: str) -> None:
    """On a page that has neither WebGPU nor shared memory."""
    seed = secrets.randbits(32)
    rng = np.random.default_rng(seed)
    module = alone.load(compile_group(group, model))
    wrong = []
    try:
        assert module.adapter == ADAPTERS[model]
        for program in programs_of(group, model):
            arrays = draw(program.inputs, rng)
            found = module.call(program.name, arrays)
            text = difference(program, tuple(found), reference(group, model, program, arrays))
            if text:
                wrong.append(f"{program.name}: {text}")
    finally:
        module.close()
    assert not wrong, f"seed {seed}\n" + "\n".join(wrong)


@pytest.mark.parametrize("group", GROUPS)
def test_stock_modules_on_threads(session: BrowserSession, group: str) -> None:
    seed = secrets.randbits(32)
    rng = np.random.default_rng(seed)
    module = session.load(compile_group(group, "wasm"))
    try:
        assert "worker threads" in module.description
        for program in programs_of(group, "wasm"):
            arrays = draw(program.inputs, rng)
            text = difference(
                program, tuple(module.call(program.name, arrays)), reference(group, "wasm", program, arrays)
            )
            assert not text, f"{program.name}: {text} (seed {seed})"
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
