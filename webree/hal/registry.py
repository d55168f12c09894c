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

__all__ = ["create_driver", "driver_names", "register"]

_factories: dict[str, Callable[[], Driver]] = {}

IN_BROWSER = sys.platform == "emscripten"


def _webgpu() -> Driver:
    name = "webree.hal_webgpu.browser" if IN_BROWSER else "webree.hal_webgpu.native"
    driver: Driver = import_module(name).create_driver()
    return driver


_factories["webgpu"] = _webgpu


def register(name: str, factory: Callable[[], Driver]) -> None:
    """Add or replace a driver; the factory is called when a device of that name is asked for."""
    _factories[name] = factory


def driver_names() -> list[str]:
    """Names of all drivers, built in, registered and installed."""
    return sorted({*_factories, *(point.name for point in _entry_points())})


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
