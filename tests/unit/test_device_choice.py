"""Which device a name means, and which devices are shared."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import pytest

from tests.fake_device import FakeDevice
from webree.device_choice import choose_device, list_devices
from webree.errors import DeviceError, StatusCode
from webree.hal import registry
from webree.hal.device import AdapterInfo, Device
from webree.hal.driver import Driver
from webree.waiting import Suspendable, run_async, run_sync


class Adapters(Driver):
    """A driver with named adapters: a star before those that compute on the CPU, a minus before those that do not
    open, a question mark before those that need a package, a colon before the only format that an adapter loads."""

    def __init__(self, name: str, *adapters: str) -> None:
        self.name = name
        self.infos: list[AdapterInfo] = []
        self.opened: list[str] = []
        self.looked = 0
        self.broken: set[str] = set()
        self.absent: dict[str, str] = {}
        for text in adapters:
            mark = text[: len(text) - len(text.lstrip("*-?"))]
            title, _, formats = text[len(mark) :].partition(":")
            info = AdapterInfo(name, title, software="*" in mark, executable_formats=tuple(formats.split()))
            if "-" in mark:
                self.broken.add(title)
            if "?" in mark:
                self.absent[title] = "not installed: pip install it"
            else:
                self.infos.append(info)

    def adapters(self) -> Suspendable[list[AdapterInfo]]:
        self.looked += 1
        return self.infos
        yield

    def missing(self) -> dict[str, str]:
        return self.absent

    def open(self, adapter: AdapterInfo | None = None) -> Suspendable[Device]:
        if adapter is None:
            raise DeviceError(f"no adapter was found: {self.name} needs a driver package")
        if adapter.name in self.broken:
            raise DeviceError(f"it is broken: {adapter.name} needs care")
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
        "no device found. webgpu: no adapter was found: webgpu needs a driver package; "
        "other: no adapter was found: other needs a driver package"
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


WGSL, WASM, VMVX = "webgpu-wgsl-fb", "system-wasm-wasm_32", "vmvx-bytecode-fb"
CPU = ("*wasm:" + WASM, "*vmvx:" + VMVX)


@pytest.mark.parametrize(
    ("webgpu", "formats", "name", "reason"),
    [
        (["*llvmpipe", "Card"], [WGSL, WASM], "Card", "auto: the first hardware adapter"),
        (["-Card", "*pipe"], [WGSL, WASM], "wasm",
         "auto: the CPU device, as no hardware adapter was found (passed over: Card: it is broken; pipe, a software "
         "adapter)"),
        (["*llvmpipe"], [WGSL, WASM, VMVX], "wasm",
         "auto: the CPU device, as no hardware adapter was found (passed over: llvmpipe, a software adapter)"),
        (["*llvmpipe"], [], "wasm",
         "auto: the CPU device, as no hardware adapter was found (passed over: llvmpipe, a software adapter)"),
        (["*llvmpipe"], [WGSL, VMVX], "llvmpipe",
         "auto: a software adapter, as no hardware adapter was found (passed over: wasm, which the module has no code "
         "for)"),
        (["*llvmpipe"], [WGSL], "llvmpipe",
         "auto: a software adapter, as no hardware adapter was found (passed over: cpu, which the module has no code "
         "for)"),
        (["Card"], [WASM], "wasm", "auto: the CPU device, as the module has no code for webgpu"),
        (["Card"], [VMVX], "vmvx",
         "auto: the CPU device's interpreter, as the module has no code for webgpu or wasm"),
        ([], [WGSL, WASM], "wasm",
         "auto: the CPU device, as no hardware adapter was found (passed over: webgpu: no adapter was found)"),
    ],
)  # fmt: skip
def test_auto_takes_what_the_module_has_code_for(
    drivers: Callable[..., None], webgpu: list[str], formats: list[str], name: str, reason: str
) -> None:
    gpu = Adapters("webgpu", *webgpu)
    drivers(Adapters("cpu", *CPU), gpu)
    chosen = run_sync(choose_device("auto", formats))
    assert (chosen.device.info.name, chosen.reason) == (name, reason)
    assert gpu.looked == (not formats or WGSL in formats), "a driver that cannot help is not even asked"


@pytest.mark.parametrize(
    ("wanted", "formats", "name"),
    [
        ("cpu", None, "wasm"),
        ("cpu", [WASM, VMVX], "wasm"),
        ("cpu", [VMVX], "vmvx"),
        ("wasm", [WASM], "wasm"),
        ("vmvx", [WASM, VMVX], "vmvx"),
        ("pipe", [WGSL, WASM], "llvmpipe"),
        ("webgpu", [WGSL], "llvmpipe"),
    ],
)
def test_names_with_formats(drivers: Callable[..., None], wanted: str, formats: list[str] | None, name: str) -> None:
    drivers(Adapters("cpu", *CPU), Adapters("webgpu", "*llvmpipe"))
    assert run_sync(choose_device(wanted, formats)).device.info.name == name


@pytest.mark.parametrize(
    ("wanted", "formats", "message"),
    [
        ("cpu", [WGSL], "the device 'wasm' loads system-wasm-wasm_32; the module has code for webgpu (webgpu-wgsl-fb). "
         "Compile the model for it: webree compile MODEL --target cpu"),
        ("vmvx", [WASM], "the device 'vmvx' loads vmvx-bytecode-fb; the module has code for cpu (system-wasm-wasm_32). "
         "Compile the model for it: webree compile MODEL --target vmvx"),
        ("webgpu", [WASM, VMVX], "the device 'llvmpipe' loads webgpu-wgsl-fb; the module has code for cpu "
         "(system-wasm-wasm_32), vmvx (vmvx-bytecode-fb). Compile the model for it: webree compile MODEL --target "
         "webgpu"),
        ("auto", ["vulkan-spirv-fb"], "no device found for this module, which has code for vulkan-spirv-fb only. Other "
         "code is what webgpu, cpu load. A module for every machine: webree compile MODEL --target webgpu,cpu"),
    ],
)  # fmt: skip
def test_modules_without_code_for_the_device(
    drivers: Callable[..., None], wanted: str, formats: list[str], message: str
) -> None:
    drivers(Adapters("cpu", *CPU), Adapters("webgpu", "*llvmpipe"))
    with pytest.raises(DeviceError) as caught:
        run_sync(choose_device(wanted, formats))
    assert str(caught.value) == message
    assert caught.value.status == StatusCode.INCOMPATIBLE


def test_no_gpu_and_no_other_code(drivers: Callable[..., None]) -> None:
    drivers(Adapters("cpu", *CPU), Adapters("webgpu"))
    with pytest.raises(DeviceError) as caught:
        run_sync(choose_device("auto", [WGSL]))
    assert str(caught.value) == (
        "no device found for this module, which has code for webgpu (webgpu-wgsl-fb) only. Other code is what cpu "
        "loads. webgpu: no adapter was found: webgpu needs a driver package. A module for every machine: webree "
        "compile MODEL --target webgpu,cpu"
    )
    assert caught.value.status == StatusCode.NOT_FOUND


def test_a_driver_that_cannot_be_imported_is_passed_over(
    drivers: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Driver:
        raise DeviceError("the Python package wgpu is not installed: pip install it")

    drivers(Adapters("cpu", *CPU))
    monkeypatch.setitem(registry._factories, "webgpu", fail)
    assert run_sync(choose_device("auto", [WGSL, WASM])).reason == (
        "auto: the CPU device, as no hardware adapter was found (passed over: webgpu: the Python package wgpu is not "
        "installed)"
    )
    assert [info.name for info in run_sync(list_devices())] == ["wasm", "vmvx"]


def test_missing_packages_are_told(drivers: Callable[..., None]) -> None:
    drivers(Adapters("cpu", "?wasm", "*vmvx:" + VMVX), Adapters("webgpu", "*llvmpipe"))
    assert run_sync(choose_device("auto", [WASM, VMVX])).reason == (
        "auto: the CPU device's interpreter, as the module has no code for webgpu (passed over: wasm: not installed)"
    )
    with pytest.raises(DeviceError, match="the device 'wasm': not installed: pip install it"):
        run_sync(choose_device("wasm"))
    with pytest.raises(DeviceError, match="no device named 'nothing'"):
        run_sync(choose_device("nothing"))


def test_the_order_of_the_list(drivers: Callable[..., None]) -> None:
    drivers(Adapters("cpu", *CPU), Adapters("webgpu", "*llvmpipe", "Card"), Adapters("other", "*slow", "fast"))
    found = [info.name for info in run_sync(list_devices())]
    assert found == ["Card", "fast", "wasm", "llvmpipe", "slow", "vmvx"]
