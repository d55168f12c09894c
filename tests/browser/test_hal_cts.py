"""The HAL conformance cases in Chromium, on WebGPU and on the CPU device (with threads, and alone): the same generators
as natively, awaited inside Pyodide."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.conftest import CPU_THREADS
from tests.hal_cts import kernels, wasm_kernels
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
if "/cts" not in sys.path:
    sys.path.append("/cts")
cases, suite, kernels, wasm_kernels = (
    import_module(f"tests.hal_cts.{name}") for name in ("cases", "suite", "kernels", "wasm_kernels")
)
kernels.provide({name: data.tobytes() for name, data in wgsl.items()})
wasm_kernels.provide({name: data.tobytes() for name, data in wasm.items()})

from webree.hal.registry import create_driver
from webree.waiting import run_async, run_sync

def lose_webgpu(device):
    device._backend._player.device.destroy()

def lose_cpu(device):
    device._engine._engine.fail(None, "ended by a test")

cts_kernels = {"webgpu": (), "cpu": (suite.KernelSet(wasm_kernels.FORMAT, wasm_kernels.executables, "local"),)}
cts_lose = {"webgpu": lose_webgpu, "cpu": lose_cpu}
cts_devices = globals().get("cts_devices", {})
cts_devices[driver] = await run_async(create_driver(driver).open())
cts_devices[driver].info.description
"""

RUN = """
cts = suite.Conformance(
    cts_devices[driver], lambda: create_driver(driver).open(), cts_lose[driver], seed, *cts_kernels[driver]
)
await run_async(cases.CASES[name](cts))
"""


def opened(session: BrowserSession, driver: str) -> str:
    """Bring the cases into the browser and open a device for them; its description."""
    files = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py") if "test_" not in path.name}
    wgsl, wasm = kernels.executables(), wasm_kernels.executables()
    return str(session.run(SET_UP, files=files, wgsl=wgsl, wasm=wasm, driver=driver))


def run(session: BrowserSession, driver: str, name: str) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    session.run(RUN, driver=driver, name=name, seed=seed)


@pytest.fixture(scope="module")
def with_webgpu(session: BrowserSession) -> Iterator[BrowserSession]:
    opened(session, "webgpu")
    yield session
    session.run("cts_devices.pop(driver).close()", driver="webgpu")


@pytest.mark.parametrize("name", [name for name in CASES if name not in DRIVERS["browser"].unsupported])
def test_on_webgpu(with_webgpu: BrowserSession, name: str) -> None:
    run(with_webgpu, "webgpu", name)


@pytest.fixture(scope="module")
def with_cpu(cpu_session: BrowserSession) -> Iterator[BrowserSession]:
    description = opened(cpu_session, "cpu")
    isolated = cpu_session.page.evaluate("crossOriginIsolated")
    assert (f"{CPU_THREADS} worker threads" if isolated else "not cross-origin isolated") in description
    yield cpu_session
    cpu_session.run("cts_devices.pop(driver).close()", driver="cpu")


@pytest.mark.parametrize("name", [name for name in CASES if name not in DRIVERS["cpu_browser"].unsupported])
def test_on_the_cpu(with_cpu: BrowserSession, name: str) -> None:
    run(with_cpu, "cpu", name)
