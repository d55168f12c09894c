"""State in Chromium, on both devices: the programs of tests/frontends/states.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import webree
from tests.frontends.states import cells, check_cells
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("target", ["webgpu", "cpu"])
def test_state_stays_on_the_device(session: BrowserSession, target: str) -> None:
    module = session.load(webree.compile(cells(), target=target), device=target)
    try:

        def call(name: str, *arrays: Any) -> Any:
            return module.call(name, list(arrays))

        check_cells(call, np.float32, 0, 0)
    finally:
        module.close()
