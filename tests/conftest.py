"""What all tests share: the adapters to run on, and devices opened on them.

Enters: the machine. Leaves: the fixtures `adapter_name` (every native test that takes it, or `device`, runs once on
lavapipe and once on SwiftShader) and `device`; `machine`, for tests that run on every device there is, the CPU device
included, where they need neither Vulkan nor the marker `native`; and `seed`. The seed, and the folder of modules that
tests share (tests/compiling.py), are those of scripts/run_tests.py, or of this run, for all of its workers. Chromium
ships SwiftShader as a Vulkan driver; the loader is told of it here, before wgpu is imported, so that one process sees
both. An adapter that is missing skips the test with the package that brings it; where CI is set, it fails.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.compiling import FOLDER_VARIABLE
from webree.hal.device import AdapterInfo, Device
from webree.hal.registry import create_driver
from webree.waiting import run_sync

SWIFTSHADER_DRIVER = "vk_swiftshader_icd.json"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_FOLDERS = ("/usr/lib/chromium", "/usr/lib/chromium-browser", "/opt/google/chrome")

# Name in test ids -> (what the adapter's name contains, what brings it).
ADAPTERS = {
    "lavapipe": ("llvmpipe", "the package mesa-vulkan-drivers"),
    "swiftshader": ("SwiftShader", "Chromium (its folder holds vk_swiftshader_icd.json)"),
}


def _swiftshader_driver() -> Path | None:
    chosen = [os.environ.get("WEBREE_CHROMIUM"), *map(shutil.which, CHROMIUM_NAMES)]
    folders = [Path(path).resolve().parent for path in chosen if path] + [Path(folder) for folder in CHROMIUM_FOLDERS]
    return next((folder / SWIFTSHADER_DRIVER for folder in folders if (folder / SWIFTSHADER_DRIVER).is_file()), None)


def _tell_the_vulkan_loader() -> None:
    if "VK_ICD_FILENAMES" in os.environ or "VK_DRIVER_FILES" in os.environ:  # the caller wants just these drivers
        return
    driver = _swiftshader_driver()
    if driver is not None:
        others = [path for path in os.environ.get("VK_ADD_DRIVER_FILES", "").split(os.pathsep) if path]
        os.environ["VK_ADD_DRIVER_FILES"] = os.pathsep.join(dict.fromkeys([*others, str(driver)]))


_tell_the_vulkan_loader()
# The threads of NumPy and of PyTorch wait by spinning: with a worker for each core they spend ten times the work of a
# small product on it. Both read these when they are imported, which is later.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    """In the process that starts the workers, if there are any: they find both in their environment."""
    os.environ.setdefault("WEBREE_SEED", str(secrets.randbelow(1 << 31)))
    if FOLDER_VARIABLE not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="webree-modules-")
        os.environ[FOLDER_VARIABLE] = folder.name
        config.add_cleanup(lambda: os.environ.pop(FOLDER_VARIABLE))
        config.add_cleanup(folder.cleanup)


def pytest_report_header() -> str:
    return f"WEBREE_SEED={os.environ['WEBREE_SEED']}"


def find_adapter(name: str) -> AdapterInfo:
    """The adapter of a row of `ADAPTERS`; skips the test if it is not there (fails where CI is set)."""
    part, source = ADAPTERS[name]
    adapters = run_sync(create_driver("webgpu").adapters())
    found = next((info for info in adapters if part in info.name), None)
    if found is None:
        message = f"no adapter named {part}; install {source}. There are: {[info.name for info in adapters]}"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return found


@pytest.fixture(scope="session", params=list(ADAPTERS))
def adapter_name(request: pytest.FixtureRequest) -> str:
    """`lavapipe`, then `swiftshader`."""
    return str(request.param)


@pytest.fixture(scope="session")
def device(adapter_name: str) -> Iterator[Device]:
    """A native WebGPU device on the adapter, shared by all tests of the session."""
    opened = run_sync(create_driver("webgpu").open(find_adapter(adapter_name)))
    yield opened
    opened.close()


@dataclass(frozen=True)
class Machine:
    """A device, and what to compile for it.

    Attributes:
        name: `lavapipe`, `swiftshader` or `cpu`.
        target: as `webree.compile` takes it.
        profile: as `webree.compile` takes it; None for the target's default.
    """

    name: str
    target: str
    device: Device
    profile: str | None


@pytest.fixture(scope="session", params=[*(pytest.param(name, marks=pytest.mark.native) for name in ADAPTERS), "cpu"])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Every device that modules run on, each opened once a session."""
    name = str(request.param)
    driver = create_driver("cpu" if name == "cpu" else "webgpu")
    info = run_sync(driver.adapters())[0] if name == "cpu" else find_adapter(name)
    opened = run_sync(driver.open(info))
    target, profile = ("cpu", None) if name == "cpu" else ("webgpu", "webgpu-software")
    yield Machine(name, target, opened, profile)
    opened.close()


@pytest.fixture(scope="session")
def seed() -> int:
    """Of this run; set WEBREE_SEED to repeat one."""
    return int(os.environ["WEBREE_SEED"])
