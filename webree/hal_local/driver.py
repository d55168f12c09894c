"""The CPU driver: two adapters, WebAssembly kernels and VMVX programs, both from pip alone.

Enters: nothing but the machine. Leaves: open devices. Listing the adapters imports no engine. Natively WebAssembly runs
in wasmtime, in a browser in the browser's own; VMVX runs in webree's virtual machine everywhere.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

from webree.errors import DeviceError, StatusCode
from webree.hal.device import AdapterInfo, Device
from webree.hal.driver import Driver
from webree.waiting import Suspendable

__all__ = ["VMVX_FORMAT", "WASM_FORMAT", "CpuDriver", "create_driver"]

WASM_FORMAT = "system-wasm-wasm_32"
VMVX_FORMAT = "vmvx-bytecode-fb"

_IN_BROWSER = sys.platform == "emscripten"
_NO_WASMTIME = "the Python package wasmtime is not installed: pip install 'wasmtime>=50,<51'"


class CpuDriver(Driver):
    """Adapters `wasm` and `vmvx`."""

    name = "cpu"

    def adapters(self) -> Suspendable[list[AdapterInfo]]:
        yield from ()
        wasm = "kernels in WebAssembly, run by " + ("the browser" if _IN_BROWSER else "wasmtime")
        vmvx = "kernels as VMVX programs, interpreted: slow, runs everywhere"
        found = [("wasm", wasm, WASM_FORMAT), ("vmvx", vmvx, VMVX_FORMAT)]
        return [
            AdapterInfo(self.name, name, description, software=True, executable_formats=(format,))
            for name, description, format in found
            if name not in self.missing()
        ]

    def missing(self) -> dict[str, str]:
        return {} if _IN_BROWSER or find_spec("wasmtime") is not None else {"wasm": _NO_WASMTIME}

    def open(self, adapter: AdapterInfo | None = None) -> Suspendable[Device]:
        name = "wasm" if adapter is None else adapter.name
        if name in self.missing():
            raise DeviceError(f"the CPU device {name}: {self.missing()[name]}", status=StatusCode.UNAVAILABLE)
        if name == "wasm":
            return (yield from self._open_wasm())
        if name == "vmvx":
            return self._open_vmvx()
        raise DeviceError(
            f"the CPU driver has no adapter named {name!r}; it has wasm and vmvx", status=StatusCode.NOT_FOUND
        )

    def _open_wasm(self) -> Suspendable[Device]:
        from webree.hal_local.device import LocalDevice

        if _IN_BROWSER:
            engine = yield from import_module("webree.hal_local.browser").create_engine()
        else:
            engine = import_module("webree.hal_local.native").create_engine()
        return LocalDevice(engine, (WASM_FORMAT,), self.name)

    def _open_vmvx(self) -> Device:
        from webree.hal_local.device import LocalDevice
        from webree.hal_local.host_engine import HostEngine
        from webree.hal_local.vmvx_executable import load_vmvx

        engine = HostEngine(load_vmvx, "vmvx", "VMVX programs in webree's virtual machine, one thread")
        return LocalDevice(engine, (VMVX_FORMAT,), self.name)


def create_driver() -> Driver:
    """For webree.hal.registry."""
    return CpuDriver()
