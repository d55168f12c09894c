"""webree compiles machine-learning models to WebGPU and WebAssembly and runs them, natively and in the browser.

    import webree

    module = webree.load("model.vmfb")         # in a browser: await webree.load_async("model.vmfb")
    result = module.main(array)                #               await module.main_async(array)

Enters: nothing; names are imported when first used, so that `import webree` costs almost nothing and never touches the
compiler, NumPy or a GPU library. Leaves: the public API.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # not from `typing`, which takes longer to import than all the rest
if TYPE_CHECKING:
    from typing import Any

    from webree.api import devices, devices_async, load, load_async
    from webree.array import Array, DeviceArray
    from webree.compiler.api import compile
    from webree.errors import (
        CompileError,
        DeviceError,
        InvocationError,
        ModuleError,
        StatusCode,
        UsageError,
        WebreeError,
    )
    from webree.hal.device import AdapterInfo
    from webree.hal.fence import Fence
    from webree.module_api import Function, Module

__version__ = "0.1.0"

__all__ = [
    "AdapterInfo",
    "Array",
    "CompileError",
    "DeviceArray",
    "DeviceError",
    "Fence",
    "Function",
    "InvocationError",
    "Module",
    "ModuleError",
    "StatusCode",
    "UsageError",
    "WebreeError",
    "compile",
    "devices",
    "devices_async",
    "load",
    "load_async",
]

_HOMES = {
    "AdapterInfo": "webree.hal.device",
    "Array": "webree.array",
    "CompileError": "webree.errors",
    "DeviceArray": "webree.array",
    "DeviceError": "webree.errors",
    "Fence": "webree.hal.fence",
    "Function": "webree.module_api",
    "InvocationError": "webree.errors",
    "Module": "webree.module_api",
    "ModuleError": "webree.errors",
    "StatusCode": "webree.errors",
    "UsageError": "webree.errors",
    "WebreeError": "webree.errors",
    "compile": "webree.compiler.api",
    "devices": "webree.api",
    "devices_async": "webree.api",
    "load": "webree.api",
    "load_async": "webree.api",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'webree' has no attribute {name!r}")
    try:
        value = getattr(import_module(home), name)
    except ModuleNotFoundError:  # the wheel for browsers has no compiler
        if name != "compile":
            raise
        value = import_module("webree.api").compile_elsewhere
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
