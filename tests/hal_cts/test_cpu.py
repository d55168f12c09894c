"""The conformance suite on the CPU device: its shared half over kernels in Python, and the adapters `wasm` and
`vmvx`."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.hal_cts import python_kernels, vmvx_kernels, wasm_kernels
from tests.hal_cts.cases import CASES, DRIVERS, Conformance
from tests.hal_cts.suite import KernelSet
from webree.errors import DeviceError
from webree.hal.device import AdapterInfo, Device
from webree.hal.registry import create_driver
from webree.hal_local.device import LocalDevice
from webree.hal_local.host_engine import HostEngine
from webree.waiting import Suspendable, run_sync

PYTHON = KernelSet(python_kernels.FORMAT, python_kernels.executables, "local")
VMVX = KernelSet(vmvx_kernels.FORMAT, vmvx_kernels.executables, "local")
WASM = KernelSet(wasm_kernels.FORMAT, wasm_kernels.executables, "local")


def lose(kernels: KernelSet) -> Callable[[Device], None]:
    """Run a kernel that traps."""

    def trap(device: Device) -> None:
        cts = Conformance(device, lambda: iter(()), trap, 0, kernels)  # type: ignore[arg-type, return-value]
        executable = run_sync(cts.kernel("trap"))
        commands = device.create_command_buffer()
        commands.dispatch(executable, 0, (1, 1, 1), (), ())
        commands.finalize()
        try:
            device.execute(commands)
        except DeviceError:
            pass

    return trap


def open_host() -> Suspendable[Device]:
    yield from ()
    return LocalDevice(HostEngine(python_kernels.load, "python", "Python functions"), (python_kernels.FORMAT,))


def conform(name: str, cts: Conformance, driver: str) -> None:
    """Run a case; one that is expected to fail must."""
    expected = DRIVERS[driver].expected_failures.get(name)
    try:
        run_sync(CASES[name](cts))
    except Exception as error:
        if expected:
            pytest.xfail(expected)
        error.add_note(f"seed {cts.seed}")
        raise
    finally:
        cts.device.close()
    assert not expected, f"{name} passes: take it off the expected failures"


def new_seed() -> int:
    return int.from_bytes(os.urandom(4))


@pytest.mark.parametrize("name", [name for name in CASES if name not in DRIVERS["cpu_host"].unsupported])
def test_over_python(name: str) -> None:
    conform(name, Conformance(run_sync(open_host()), open_host, lose(PYTHON), new_seed(), PYTHON), "cpu_host")


@pytest.mark.parametrize("name", [name for name in CASES if name not in DRIVERS["cpu_host"].unsupported])
def test_vmvx(name: str) -> None:
    def open_device() -> Suspendable[Device]:
        return (yield from create_driver("cpu").open(AdapterInfo("cpu", "vmvx")))

    conform(name, Conformance(run_sync(open_device()), open_device, lose(VMVX), new_seed(), VMVX), "cpu_host")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", [name for name in CASES if name not in DRIVERS["cpu"].unsupported])
def test_wasm(name: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBREE_CPU_THREADS", str(threads))

    def open_device() -> Suspendable[Device]:
        return (yield from create_driver("cpu").open())

    device = run_sync(open_device())
    assert f"{threads} thread" in device.info.description
    conform(name, Conformance(device, open_device, lose(WASM), new_seed(), WASM), "cpu")
