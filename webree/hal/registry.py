"""The registry of drivers: built-in ones by name, others through the `webree.drivers` entry-point group.

Enters: a device name as users write it. Leaves: a `Driver`. Drivers are imported only when asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING

from webree.errors import DeviceError, StatusCode
from webree.hal.driver import Driver

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["create_driver", "driver_formats", "driver_names", "register"]

_factories: dict[str, Callable[[], Driver]] = {}

IN_BROWSER = sys.platform == "emscripten"


def _webgpu() -> Driver:
    name = "webree.hal_webgpu.browser" if IN_BROWSER else "webree.hal_webgpu.native"
    try:
        driver: Driver = import_module(name).create_driver()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "wgpu":
            raise
        raise DeviceError(
            "the Python package wgpu is not installed: pip install 'webree[native]'", status=StatusCode.UNAVAILABLE
        ) from error
    return driver


def _cpu() -> Driver:
    driver: Driver = import_module("webree.hal_local.driver").create_driver()
    return driver


_factories["webgpu"] = _webgpu
_factories["cpu"] = _cpu

_FORMATS = {
    "webgpu": ("webgpu-wgsl-fb",),
    "cpu": ("system-wasm-wasm_32", "vmvx-bytecode-fb"),
}
"""Executable formats of the built-in drivers' adapters, all together: known without importing a driver."""


def register(name: str, factory: Callable[[], Driver]) -> None:
    """Add or replace a driver; the factory is called when a device of that name is asked for."""
    _factories[name] = factory


def driver_names() -> list[str]:
    """Names of all drivers, built in, registered and installed."""
    return sorted({*_factories, *(point.name for point in _entry_points())})


def driver_formats(name: str) -> tuple[str, ...]:
    """Executable formats that adapters of a driver load; empty where only an open device tells."""
    return _FORMATS.get(name, ()) if name in _factories else ()


def create_driver(name: str) -> Driver:
    """The driver of that name. Raises `DeviceError` with the names there are."""
    factory = _factories.get(name)
    if factory is None:
        for point in _entry_points():
            if point.name == name:
                factory = point.load()
                break
    if factory is None:
        raise DeviceError(
            f"no driver named {name!r}; there are: {', '.join(driver_names())}", status=StatusCode.NOT_FOUND
        )
    return factory()


def _entry_points() -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points

    return entry_points(group="webree.drivers")
