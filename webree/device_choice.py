"""Which device a module runs on: users' names to open devices, shared by all modules of a process.

Enters: `"auto"`, a driver's name, a part of an adapter's name, an `AdapterInfo`, or an open device. Leaves: a `Chosen`
device with the reason for the choice. Devices that this file opened are shared while anything uses them, so that
tensors can go from one module to another; a lost device is never handed out again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from weakref import WeakValueDictionary

from webree.errors import DeviceError, StatusCode, UsageError, WebreeError
from webree.hal.device import AdapterInfo, Device
from webree.hal.registry import create_driver, driver_formats, driver_names
from webree.turns import Turns
from webree.waiting import Suspendable

__all__ = ["Chosen", "DeviceName", "choose_device", "list_devices"]

DeviceName = str | AdapterInfo | Device
_AUTO_ORDER = ("webgpu", "cpu")
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
    return sorted(found, key=_rank)


def choose_device(wanted: DeviceName, formats: Collection[str] | None = None) -> Suspendable[Chosen]:
    """The device a user means. `formats` are the executable formats that a module has code for (None or none: any
    device will do). Raises `DeviceError` if there is no such device, with each driver's reason, or if it loads none of
    the formats, with those that the module has."""
    if isinstance(wanted, Device):
        return Chosen(wanted, "given by the caller")
    held = frozenset(formats or ())
    turn = yield from _opening.take()
    try:
        if isinstance(wanted, AdapterInfo):
            return (yield from _open_adapter(_checked(wanted, held), "given by the caller"))
        if not isinstance(wanted, str):
            raise UsageError(
                f"device must be a name, an adapter of webree.devices() or a device, found a {type(wanted).__name__}"
            )
        if wanted == "auto":
            return (yield from _choose_auto(held))
        return (yield from _choose_named(wanted, held))
    finally:
        turn.signal()


def _auto_drivers() -> list[str]:
    names = driver_names()
    return sorted(names, key=lambda name: _AUTO_ORDER.index(name) if name in _AUTO_ORDER else len(_AUTO_ORDER))


def _rank(adapter: AdapterInfo) -> int:
    """Place in the order of `auto`: hardware, WebAssembly on the CPU, software GPUs, VMVX."""
    if not adapter.software:
        return 0
    if adapter.driver != "cpu":
        return 2
    return 3 if adapter.name == "vmvx" else 1


_KINDS = ("the first hardware adapter", "the CPU device", "a software adapter", "the CPU device's interpreter")
"""What `_rank` says, for people."""
_SOFTWARE_GPU = _KINDS.index("a software adapter")

_TARGETS = {"webgpu-wgsl-fb": "webgpu", "system-wasm-wasm_32": "cpu", "vmvx-bytecode-fb": "vmvx"}
_ADVICE = "A module for every machine: webree compile MODEL --target webgpu,cpu"


def _choose_auto(held: frozenset[str]) -> Suspendable[Chosen]:
    """The first adapter in the order of `_rank` that the module has code for. Drivers that load nothing of it are not
    even asked."""
    adapters: list[AdapterInfo] = []
    reasons: list[str] = []
    skipped: list[str] = []
    for name in _auto_drivers():
        formats = driver_formats(name)
        if held and formats and held.isdisjoint(formats):
            skipped.append(name)
            continue
        try:
            driver = create_driver(name)
            found = yield from driver.adapters()
        except DeviceError as error:
            reasons.append(f"{name}: {error}")
            continue
        if not found:
            reasons.append((yield from _reason_for_none(name)))
        reasons += [f"{adapter}: {reason}" for adapter, reason in driver.missing().items()]
        adapters += found
    fitting = sorted((adapter for adapter in adapters if _loads(adapter, held)), key=_rank)
    for adapter in fitting:
        reason = _auto_reason(adapter, adapters, held, skipped, reasons)
        try:
            return (yield from _open_adapter(adapter, reason))
        except DeviceError as error:
            reasons.append(f"{adapter.name}: {error}")
    raise _nothing_fits(held, [adapter for adapter in adapters if adapter not in fitting], skipped, reasons)


def _auto_reason(
    best: AdapterInfo, adapters: list[AdapterInfo], held: frozenset[str], skipped: list[str], reasons: list[str]
) -> str:
    """Which adapter was taken, why none before it in the order was, and what was passed over."""
    rank = _rank(best)
    passed = [":".join(reason.split(":")[:2]) for reason in reasons]  # without what to install
    why = ""
    if rank:
        before = [adapter for adapter in adapters if not _loads(adapter, held) and _rank(adapter) < rank]
        software = [adapter for adapter in adapters if _loads(adapter, held) and _rank(adapter) == _SOFTWARE_GPU > rank]
        passed += [f"{adapter.name}, a software adapter" for adapter in software]
        unfit = [*skipped, *(adapter.name for adapter in before)]
        if best.driver == "cpu" and "webgpu" in skipped:
            why = f", as the module has no code for {' or '.join(unfit)}"
        else:
            why = ", as no hardware adapter was found"
            passed += [f"{name}, which the module has no code for" for name in unfit]
    return f"auto: {_KINDS[rank]}{why}" + (f" (passed over: {'; '.join(passed)})" if passed else "")


def _nothing_fits(
    held: frozenset[str], others: list[AdapterInfo], skipped: list[str], reasons: list[str]
) -> DeviceError:
    if not held:
        return DeviceError(f"no device found. {'; '.join(reasons)}", status=StatusCode.NOT_FOUND)
    parts = [f"no device found for this module, which has code for {_described(held)} only"]
    names = [*(adapter.name for adapter in others), *skipped]
    if names:
        parts.append(f"Other code is what {', '.join(names)} {'loads' if len(names) == 1 else 'load'}")
    status = StatusCode.NOT_FOUND if reasons else StatusCode.INCOMPATIBLE
    parts += ["; ".join(reasons)] if reasons else []
    return DeviceError(". ".join([*parts, _ADVICE]), status=status)


def _checked(adapter: AdapterInfo, held: frozenset[str]) -> AdapterInfo:
    """The adapter, if it loads what the module has."""
    if _loads(adapter, held):
        return adapter
    target = next((_TARGETS[format] for format in _formats(adapter) if format in _TARGETS), "webgpu")
    raise DeviceError(
        f"the device {adapter.name!r} loads {' or '.join(_formats(adapter))}; the module has code for "
        f"{_described(held)}. Compile the model for it: webree compile MODEL --target {target}",
        status=StatusCode.INCOMPATIBLE,
    )


def _loads(adapter: AdapterInfo, held: frozenset[str]) -> bool:
    formats = _formats(adapter)
    return not held or not formats or not held.isdisjoint(formats)


def _formats(adapter: AdapterInfo) -> tuple[str, ...]:
    return adapter.executable_formats or driver_formats(adapter.driver)


def _described(held: frozenset[str]) -> str:
    """Formats, with the targets of `webree compile` that make them."""
    return ", ".join(
        f"{_TARGETS[format]} ({format})" if format in _TARGETS else format
        for format in sorted(held, key=lambda format: (format not in _TARGETS, format))
    )


def _choose_named(wanted: str, held: frozenset[str]) -> Suspendable[Chosen]:
    """The driver of that name, or the first adapter with that text in its name."""
    if wanted in driver_names():
        driver = create_driver(wanted)
        adapters = yield from driver.adapters()
        if not adapters:
            raise DeviceError((yield from _reason_for_none(wanted)), status=StatusCode.NOT_FOUND)
        fitting = [adapter for adapter in adapters if _loads(adapter, held)] or adapters
        return (yield from _open_adapter(_checked(fitting[0], held), f"the first adapter of the {wanted} driver"))
    adapters = yield from list_devices()
    text = wanted.lower()
    named = [adapter for adapter in adapters if adapter.name.lower() == text]
    named += [adapter for adapter in adapters if text in f"{adapter.name} {adapter.description}".lower()]
    if named:
        return (yield from _open_adapter(_checked(named[0], held), f"the first adapter whose name has {wanted!r}"))
    for name in driver_names():
        if reason := _missing(name).get(text):
            raise DeviceError(f"the device {wanted!r}: {reason}", status=StatusCode.UNAVAILABLE)
    raise DeviceError(
        f"no device named {wanted!r}; drivers: {', '.join(driver_names())}; "
        f"adapters: {', '.join(adapter.name for adapter in adapters) or 'none'}",
        status=StatusCode.NOT_FOUND,
    )


def _missing(driver: str) -> dict[str, str]:
    try:
        return create_driver(driver).missing()
    except DeviceError:
        return {}


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
