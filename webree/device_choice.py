"""Which device a module runs on: users' names to open devices, shared by all modules of a process.

Enters: `"auto"`, a driver's name, a part of an adapter's name, an `AdapterInfo`, or an open device. Leaves: a `Chosen`
device with the reason for the choice. Devices that this file opened are shared while anything uses them, so that
tensors can go from one module to another; a lost device is never handed out again.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakValueDictionary

from webree.errors import DeviceError, StatusCode, UsageError, WebreeError
from webree.hal.device import AdapterInfo, Device
from webree.hal.registry import create_driver, driver_names
from webree.turns import Turns
from webree.waiting import Suspendable

__all__ = ["Chosen", "DeviceName", "choose_device", "list_devices"]

DeviceName = str | AdapterInfo | Device
_AUTO_ORDER = ("webgpu",)
"""Drivers that `auto` tries, in this order, before all others."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """An open device, and why it was taken (for people)."""

    device: Device
    reason: str


_open: WeakValueDictionary[tuple[str, str, str], Device] = WeakValueDictionary()
_opening = Turns()


def list_devices(driver: str | None = None) -> Suspendable[list[AdapterInfo]]:
    """Adapters of one driver or of all, in the order in which `auto` prefers them. Drivers that cannot look are left
    out unless named."""
    if driver is not None:
        return (yield from create_driver(driver).adapters())
    found: list[AdapterInfo] = []
    for name in _auto_drivers():
        try:
            found += yield from create_driver(name).adapters()
        except DeviceError:
            continue
    return sorted(found, key=lambda adapter: adapter.software)


def choose_device(wanted: DeviceName) -> Suspendable[Chosen]:
    """The device a user means. Raises `DeviceError` if there is none, with each driver's reason."""
    if isinstance(wanted, Device):
        return Chosen(wanted, "given by the caller")
    turn = yield from _opening.take()
    try:
        if isinstance(wanted, AdapterInfo):
            return (yield from _open_adapter(wanted, "given by the caller"))
        if not isinstance(wanted, str):
            raise UsageError(
                f"device must be a name, an adapter of webree.devices() or a device, found a {type(wanted).__name__}"
            )
        if wanted == "auto":
            return (yield from _choose_auto())
        return (yield from _choose_named(wanted))
    finally:
        turn.signal()


def _auto_drivers() -> list[str]:
    names = driver_names()
    return sorted(names, key=lambda name: _AUTO_ORDER.index(name) if name in _AUTO_ORDER else len(_AUTO_ORDER))


def _choose_auto() -> Suspendable[Chosen]:
    """The first hardware adapter; a software adapter if there is nothing else."""
    adapters: list[AdapterInfo] = []
    reasons: list[str] = []
    for name in _auto_drivers():
        try:
            found = yield from create_driver(name).adapters()
        except DeviceError as error:
            reasons.append(f"{name}: {error}")
            continue
        if not found:
            reasons.append((yield from _reason_for_none(name)))
        adapters += found
    if not adapters:
        raise DeviceError(f"no device found. {' '.join(reasons)}", status=StatusCode.NOT_FOUND)
    best = min(adapters, key=lambda adapter: adapter.software)
    kind = "no hardware adapter found, the first software adapter" if best.software else "the first hardware adapter"
    return (yield from _open_adapter(best, f"auto: {kind} of {len(adapters)} adapters"))


def _choose_named(wanted: str) -> Suspendable[Chosen]:
    """The driver of that name, or the first adapter with that text in its name."""
    if wanted in driver_names():
        adapters = yield from create_driver(wanted).adapters()
        if not adapters:
            raise DeviceError((yield from _reason_for_none(wanted)), status=StatusCode.NOT_FOUND)
        return (yield from _open_adapter(adapters[0], f"the first adapter of the {wanted} driver"))
    adapters = yield from list_devices()
    for adapter in adapters:
        if wanted.lower() in f"{adapter.name} {adapter.description}".lower():
            return (yield from _open_adapter(adapter, f"the first adapter whose name has {wanted!r}"))
    raise DeviceError(
        f"no device named {wanted!r}; drivers: {', '.join(driver_names())}; "
        f"adapters: {', '.join(adapter.name for adapter in adapters) or 'none'}",
        status=StatusCode.NOT_FOUND,
    )


def _reason_for_none(driver: str) -> Suspendable[str]:
    """What the driver itself says when asked to open its best adapter and there is none."""
    try:
        yield from create_driver(driver).open(None)
    except WebreeError as error:
        return f"{driver}: {error}"
    return f"{driver}: no adapter"


def _open_adapter(adapter: AdapterInfo, reason: str) -> Suspendable[Chosen]:
    key = (adapter.driver, adapter.name, adapter.description)
    device = _open.get(key)
    if device is None or not _alive(device):
        device = yield from create_driver(adapter.driver).open(adapter)
        _open[key] = device
    return Chosen(device, reason)


def _alive(device: Device) -> bool:
    """A lost or closed device refuses everything, even an empty buffer."""
    try:
        device.allocate(0)
    except DeviceError:
        return False
    return True
