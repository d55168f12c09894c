"""The HAL conformance cases in Chromium: the same generators as natively, awaited inside Pyodide."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.hal_cts import kernels
from tests.hal_cts.cases import CASES, DRIVERS
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser

FOLDER = Path(kernels.__file__).parent

SET_UP = """
import sys
from importlib import import_module
from pathlib import Path

folder = Path("/cts/tests/hal_cts")
folder.mkdir(parents=True, exist_ok=True)
for name, text in files.items():
    (folder / name).write_text(text)
sys.path.insert(0, "/cts")
kernels = import_module("tests.hal_cts.kernels")
kernels.provide({name: data.tobytes() for name, data in executables.items()})
cases = import_module("tests.hal_cts.cases")
suite = import_module("tests.hal_cts.suite")

from webree.hal.registry import create_driver
from webree.waiting import run_async, run_sync

cts_device = await run_async(create_driver("webgpu").open())

def lose(device):
    device._backend._player.device.destroy()
"""

RUN = """
cts = suite.Conformance(cts_device, lambda: create_driver("webgpu").open(), lose, seed)
await run_async(cases.CASES[name](cts))
"""


@pytest.fixture(scope="module")
def with_cases(session: BrowserSession) -> BrowserSession:
    files = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py") if "test_" not in path.name}
    session.run(SET_UP + "\nNone\n", files=files, executables=kernels.executables())
    return session


@pytest.mark.parametrize("name", [name for name in CASES if name not in DRIVERS["browser"].unsupported])
def test_case(with_cases: BrowserSession, name: str) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    with_cases.run(RUN, name=name, seed=seed)
