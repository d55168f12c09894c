"""A browser without JSPI: coroutines work as everywhere, and calls that would have to wait say what to do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.browser.conftest import open_session
from tests.browser.programs import MIXED, on_webgpu
from webree.errors import InvocationError
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def plain() -> Iterator[BrowserSession]:
    with_browser = open_session(jspi=False)
    yield with_browser
    with_browser.close()


def test_there_is_no_jspi(plain: BrowserSession) -> None:
    assert plain.run("from pyodide.ffi import can_run_sync\ncan_run_sync()") is False


def test_coroutines_work(plain: BrowserSession) -> None:
    module = plain.load(on_webgpu(MIXED))
    x, n = np.ones((2, 3), np.float32), np.full((2, 3), 3, np.int32)
    y, m = module.call("main", [x, n])
    np.testing.assert_array_equal(y, x + x)
    np.testing.assert_array_equal(m, n * n)
    module.close()


@pytest.mark.parametrize(
    "call", ["webree.load(url)", "module.main([[1, 2, 3]] * 2, [[1, 2, 3]] * 2)", "webree.devices()"]
)
def test_blocking_calls_name_the_coroutine(plain: BrowserSession, call: str) -> None:
    url = plain.serve("mixed.vmfb", on_webgpu(MIXED))
    plain.run("import webree\nmodule = await webree.load_async(url)\nNone", url=url)
    with pytest.raises(InvocationError) as caught:
        plain.run(f"{call}\nNone")
    assert "no JSPI" in str(caught.value)
    assert "await webree.load_async" in str(caught.value)
    assert "main_async" in str(caught.value)
