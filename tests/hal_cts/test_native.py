"""The conformance suite on the native WebGPU driver, once on every adapter of `tests/conftest.py`."""

from __future__ import annotations

import logging
import os

import pytest

from tests.conftest import find_adapter
from tests.hal_cts.cases import CASES, DRIVERS, Conformance
from webree.hal.device import Device
from webree.hal.registry import create_driver
from webree.waiting import Suspendable, run_async, run_sync

NOTES = DRIVERS["native"]

pytestmark = pytest.mark.native


def lose(device: Device) -> None:
    """Destroy the GPU device behind the driver's (and wgpu-py's) back, as a driver reset would."""
    from wgpu.backends.wgpu_native import lib

    logging.getLogger("wgpu").setLevel(logging.CRITICAL)  # wgpu-py logs the loss as an error
    lib.wgpuDeviceDestroy(device._backend.gpu._internal)  # type: ignore[attr-defined]


@pytest.fixture
def cts(device: Device, adapter_name: str) -> Conformance:
    def open_device() -> Suspendable[Device]:
        return (yield from create_driver("webgpu").open(find_adapter(adapter_name)))

    return Conformance(device, open_device, lose, seed=int.from_bytes(os.urandom(4)))


@pytest.mark.parametrize("name", [name for name in CASES if name not in NOTES.unsupported])
def test_conformance(name: str, cts: Conformance) -> None:
    expected = NOTES.expected_failures.get(name)
    try:
        run_sync(CASES[name](cts))
    except Exception as error:
        if expected:
            pytest.xfail(expected)
        error.add_note(f"seed {cts.seed}")
        raise
    assert not expected, f"{name} passes: take it off the expected failures"


@pytest.mark.parametrize("name", ["binding_tables_change", "read_back_many_ranges", "lost_devices_stay_lost"])
def test_conformance_awaited(name: str, cts: Conformance) -> None:
    """The same cases as coroutines, as a browser runs them."""
    import asyncio

    asyncio.run(run_async(CASES[name](cts)))
