"""Which device a name means, and which devices are shared."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import pytest

from tests.fake_device import FakeDevice
from webree.device_choice import choose_device, list_devices
from webree.errors import DeviceError
from webree.hal import registry
from webree.hal.device import AdapterInfo, Device
from webree.hal.driver import Driver
from webree.waiting import Suspendable, run_async, run_sync


class Adapters(Driver):
    """A driver with named adapters, a star before those that compute on the CPU."""

    def __init__(self, name: str, *adapters: str) -> None:
        self.name = name
        self.infos = [AdapterInfo(name, text.strip("*"), software=text.startswith("*")) for text in adapters]
        self.opened: list[str] = []

    def adapters(self) -> Suspendable[list[AdapterInfo]]:
        return self.infos
        yield

    def open(self, adapter: AdapterInfo | None = None) -> Suspendable[Device]:
        if adapter is None:
            raise DeviceError(f"{self.name} needs a driver package")
        yield Step()
        self.opened.append(adapter.name)
        device = FakeDevice(id=self.name)
        device.info = adapter
        return device


class Step:
    def block(self) -> None:
        return None

    async def wait(self) -> None:
        await asyncio.sleep(0)


@pytest.fixture
def drivers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def use(*found: Driver) -> None:
        monkeypatch.setattr(registry, "_factories", {driver.name: lambda driver=driver: driver for driver in found})
        monkeypatch.setattr(registry, "_entry_points", lambda: ())

    return use


@pytest.mark.parametrize(
    ("wanted", "name", "reason"),
    [
        ("auto", "Card", "auto: the first hardware adapter"),
        ("webgpu", "soft one", "the first adapter of the webgpu driver"),
        ("other", "Other", "the first adapter of the other driver"),
        ("card", "Card", "the first adapter whose name has 'card'"),
        ("two", "soft two", "the first adapter whose name has 'two'"),
    ],
)
def test_names(drivers: Callable[..., None], wanted: str, name: str, reason: str) -> None:
    drivers(Adapters("other", "*Other"), Adapters("webgpu", "*soft one", "Card", "*soft two"))
    chosen = run_sync(choose_device(wanted))
    assert (chosen.device.info.name, chosen.reason) == (name, reason)


def test_auto_takes_software_where_there_is_nothing_else(drivers: Callable[..., None]) -> None:
    drivers(Adapters("webgpu", "*soft"))
    reason = run_sync(choose_device("auto")).reason
    assert reason == "auto: a software adapter, as no hardware adapter was found"


def test_no_adapters_gives_each_drivers_reason(drivers: Callable[..., None]) -> None:
    drivers(Adapters("webgpu"), Adapters("other"))
    with pytest.raises(DeviceError) as caught:
        run_sync(choose_device("auto"))
    assert str(caught.value) == (
        "no device found. webgpu: webgpu needs a driver package other: other needs a driver package"
    )


def test_listing_puts_hardware_first(drivers: Callable[..., None]) -> None:
    drivers(Adapters("webgpu", "*soft", "Card"), Adapters("other", "Other"))
    assert [info.name for info in run_sync(list_devices())] == ["Card", "Other", "soft"]
    assert [info.name for info in run_sync(list_devices("webgpu"))] == ["soft", "Card"]


def test_a_device_is_shared_while_it_is_used(drivers: Callable[..., None]) -> None:
    driver = Adapters("webgpu", "Card")
    drivers(driver)

    async def both() -> tuple[Device, Device]:
        one, two = await asyncio.gather(*(run_async(choose_device("auto")) for _ in range(2)))
        return one.device, two.device

    one, two = asyncio.run(both())
    assert one is two
    assert driver.opened == ["Card"]
    del one, two
    gc.collect()
    run_sync(choose_device("webgpu"))
    assert driver.opened == ["Card", "Card"]


def test_a_lost_device_is_not_handed_out_again(drivers: Callable[..., None]) -> None:
    drivers(Adapters("webgpu", "Card"))
    lost = run_sync(choose_device("auto")).device
    lost.close()
    assert run_sync(choose_device("auto")).device is not lost
