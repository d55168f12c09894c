"""The HAL conformance cases on the CPU device in Chromium: with threads, and alone."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import CPU_THREADS
from tests.hal_cts import wasm_kernels
from tests.hal_cts.cases import CASES, DRIVERS
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser

FOLDER = Path(wasm_kernels.__file__).parent

SET_UP = """
import sys
from importlib import import_module
from pathlib import Path

folder = Path("/cpu_cts/tests/hal_cts")
folder.mkdir(parents=True, exist_ok=True)
for name, text in files.items():
    (folder / name).write_text(text)
for name in [name for name in sys.modules if name == "tests" or name.startswith("tests.")]:
    del sys.modules[name]
sys.path.insert(0, "/cpu_cts")
wasm_kernels = import_module("tests.hal_cts.wasm_kernels")
wasm_kernels.provide({name: data.tobytes() for name, data in executables.items()})
cases = import_module("tests.hal_cts.cases")
suite = import_module("tests.hal_cts.suite")
sys.path.remove("/cpu_cts")

from webree.hal.registry import create_driver
from webree.waiting import run_async, run_sync

cpu_kernels = suite.KernelSet(wasm_kernels.FORMAT, wasm_kernels.executables, "local")
cpu_device = await run_async(create_driver("cpu").open())

def lose_cpu(device):
    device._engine._engine.fail(None, "ended by a test")

cpu_device.info.description
"""

RUN = """
cts = suite.Conformance(cpu_device, lambda: create_driver("cpu").open(), lose_cpu, seed, cpu_kernels)
await run_async(cases.CASES[name](cts))
"""


@pytest.fixture(scope="module")
def with_cases(cpu_session: BrowserSession) -> Iterator[BrowserSession]:
    files = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py") if "test_" not in path.name}
    description = cpu_session.run(SET_UP, files=files, executables=wasm_kernels.executables())
    isolated = cpu_session.page.evaluate("crossOriginIsolated")
    assert (f"{CPU_THREADS} worker threads" if isolated else "not cross-origin isolated") in description
    yield cpu_session
    cpu_session.run("cpu_device.close()")


@pytest.mark.parametrize("name", [name for name in CASES if name not in DRIVERS["cpu_browser"].unsupported])
def test_case(with_cases: BrowserSession, name: str) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    with_cases.run(RUN, name=name, seed=seed)
