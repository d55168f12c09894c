"""The native driver itself: which adapters it finds, what it says where there is none, how it is imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import find_adapter
from webree.errors import DeviceError, StatusCode
from webree.hal.device import AdapterInfo
from webree.hal.registry import create_driver
from webree.waiting import run_sync


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter with these environment variables added."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    merged = {**os.environ, "PYTHONPATH": root, **environment}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, env=merged, capture_output=True, text=True, timeout=300, check=False)


def test_without_an_adapter_it_says_what_to_install() -> None:
    code = (
        "from webree.hal.registry import create_driver; from webree.waiting import run_sync\n"
        "driver = create_driver('webgpu'); assert run_sync(driver.adapters()) == []\n"
        "run_sync(driver.open())"
    )
    done = run_python(code, VK_ICD_FILENAMES="/nonexistent.json", VK_DRIVER_FILES="/nonexistent.json")
    assert done.returncode == 1
    message = done.stderr.strip().splitlines()[-1]
    assert "DeviceError: no WebGPU adapter" in message
    assert "mesa-vulkan-drivers" in message
    assert "VK_ICD_FILENAMES" in message


@pytest.mark.native
def test_software_adapters_are_marked_and_come_last(adapter_name: str) -> None:
    info = find_adapter(adapter_name)
    assert info.software
    assert info.driver == "webgpu"
    assert info.limits["max_storage_buffers_per_shader_stage"] >= 8
    kinds = [adapter.software for adapter in run_sync(create_driver("webgpu").adapters())]
    assert kinds == sorted(kinds)


@pytest.mark.native
def test_an_unknown_adapter_is_refused_with_the_names_there_are(adapter_name: str) -> None:
    known = find_adapter(adapter_name)
    with pytest.raises(DeviceError, match="'Imaginary 3000'") as caught:
        run_sync(create_driver("webgpu").open(AdapterInfo("webgpu", "Imaginary 3000")))
    assert known.name in str(caught.value)
    assert caught.value.status == StatusCode.NOT_FOUND


@pytest.mark.native
def test_opening_and_closing_is_silent(adapter_name: str) -> None:
    """Nothing on stderr: no complaints of window-system code, no log of a lost device."""
    name = find_adapter(adapter_name).name
    code = (
        "from webree.hal.registry import create_driver; from webree.waiting import run_sync\n"
        "driver = create_driver('webgpu')\n"
        f"info = next(info for info in run_sync(driver.adapters()) if info.name == {name!r})\n"
        "device = run_sync(driver.open(info)); device.fill(device.allocate(64), 0, 64, b'\\1'); device.close()"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_the_driver_is_imported_late() -> None:
    """Asking for the registry imports neither wgpu nor the device."""
    code = (
        "import sys, webree.hal.registry, webree.hal.device\n"
        "webree.hal.registry.driver_names()\n"
        "assert not {'wgpu', 'numpy', 'webree.hal_webgpu.device'} & set(sys.modules)"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr
