"""The public API on a real device: loading, calling in every form, state, many calls in flight, memory."""

from __future__ import annotations

import asyncio
import gc
import inspect
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import webree
from tests.api_model import module_bytes
from webree.hal.device import Device
from webree.module.source import MemorySource

pytestmark = pytest.mark.native


@pytest.fixture
def module(device: Device) -> Iterator[webree.Module]:
    with webree.load(module_bytes(), device=device) as loaded:
        yield loaded


def vector(length: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng().standard_normal(length).astype("f4")


@pytest.mark.parametrize("form", ["path", "Path", "bytes", "bytearray", "memoryview", "source"])
def test_every_form_of_source(form: str, device: Device, tmp_path: Path) -> None:
    path = tmp_path / "small.vmfb"
    path.write_bytes(module_bytes())
    sources: dict[str, Any] = {
        "path": str(path),
        "Path": path,
        "bytes": module_bytes(),
        "bytearray": bytearray(module_bytes()),
        "memoryview": memoryview(module_bytes()),
        "source": MemorySource(module_bytes()),
    }
    with webree.load(sources[form], device=device) as module:
        assert module.add([1.0], [2.0]).tolist() == [3.0]


def test_functions_and_signatures_can_be_listed(module: webree.Module) -> None:
    assert list(module) == list(module.functions)
    assert list(module)[:3] == ["add", "both", "scalars"]
    assert not any(name.startswith("__") or "$" in name for name in module)
    add = module["add"]
    assert str(add.signature) == "add(left: ?xf32, right: ?xf32) -> sum: ?xf32"
    assert str(inspect.signature(add)) == "(left: '?xf32', right: '?xf32') -> '?xf32'"
    assert "add(left: ?xf32, right: ?xf32)" in (add.__doc__ or "")
    assert {"add", "add_async", "close", "device"} <= set(dir(module))
    assert "add(left: ?xf32, right: ?xf32) -> sum: ?xf32" in repr(module)
    assert module.device.info.name in repr(module)
    assert hasattr(module, "add")
    assert not hasattr(module, "ad")


@pytest.mark.parametrize("length", [1, 7, 64, 1000])
def test_dynamic_shapes_by_position_and_by_name(module: webree.Module, length: int) -> None:
    a, b = vector(length), vector(length)
    np.testing.assert_array_equal(module.add(a, b), a + b)
    np.testing.assert_array_equal(module.add(right=b, left=a), a + b)
    np.testing.assert_array_equal(module["add"](a, right=b), a + b)


def test_several_outputs_numbers_and_none(module: webree.Module) -> None:
    x = np.random.default_rng().integers(-1000, 1000, (2, 3)).astype("i4")
    double, square = module.both(x)
    np.testing.assert_array_equal(double, x + x)
    np.testing.assert_array_equal(square, x * x)
    assert module.scalars(41, -(1 << 40), 0.5, 7, True) == (42, -(1 << 40), 0.5, 7, True)
    assert module.scalars(41, 1, 0.5, 7, False)[4] is False
    assert module.nothing() is None


@pytest.mark.parametrize("shape", [(2, 3), (1, 1), (0, 4)])
def test_identity_of_any_shape(module: webree.Module, shape: tuple[int, int]) -> None:
    x = np.random.default_rng().integers(-(1 << 60), 1 << 60, shape)
    y = module.identity(x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    np.testing.assert_array_equal(y, x)


def test_control_flow_on_device_data(module: webree.Module) -> None:
    value, steps = module.halve_until_small(9.0)
    assert (float(value), steps) == (0.5625, 4)


def test_state_belongs_to_one_module(module: webree.Module, device: Device) -> None:
    with webree.load(module_bytes(), device=device) as other:
        assert [int(module.count()) for _ in range(3)] == [1, 2, 3]
        assert int(other.count()) == 1


def test_results_stay_on_the_device(module: webree.Module) -> None:
    a, b = vector(100), vector(100)
    on_device = module.to_device(a)
    before = module.device.counters.read_back_bytes
    total = module.add.on_device(on_device, b)
    assert isinstance(total, webree.DeviceArray)
    assert (total.shape, total.dtype) == ((100,), "float32")
    twice = module.add.on_device(total, total)
    assert module.device.counters.read_back_bytes == before
    np.testing.assert_array_equal(twice.to_host(), (a + b) * 2)
    double, square = module.both.on_device(np.ones((2, 3), "i4"))
    assert (double.shape, square.dtype) == ((2, 3), "int32")


def test_all_outputs_come_back_in_one_wait(module: webree.Module) -> None:
    x = np.ones((2, 3), "i4")
    module.both(x)
    before = module.device.counters.read_back_bytes
    module.both(x)
    assert module.device.counters.read_back_bytes - before == 48


def test_coroutines(device: Device) -> None:
    async def main() -> None:
        module = await webree.load_async(module_bytes(), device=device)
        a, b = vector(5), vector(5)
        np.testing.assert_array_equal(await module.add_async(a, b), a + b)
        kept = await module.add.on_device_async(a, right=b)
        np.testing.assert_array_equal(await kept.to_host_async(), a + b)
        await module.close_async()
        with pytest.raises(webree.InvocationError, match="closed"):
            await module.add_async(a, b)

    asyncio.run(main())


def test_many_calls_in_flight(device: Device) -> None:
    """Calls of one module overlap; each gets its own answer, and state counts every call once."""

    async def main() -> None:
        module = await webree.load_async(module_bytes(), device=device)
        pairs = [(vector(n), vector(n)) for n in random.sample(range(1, 500), 24)]
        sums, counts, halves = await asyncio.gather(
            asyncio.gather(*(module.add_async(a, b) for a, b in pairs)),
            asyncio.gather(*(module.count_async() for _ in range(10))),
            asyncio.gather(*(module.halve_until_small_async(float(2**n)) for n in range(6))),
        )
        for (a, b), total in zip(pairs, sums, strict=True):
            np.testing.assert_array_equal(total, a + b)
        assert sorted(int(count) for count in counts) == list(range(1, 11))
        assert [steps for _, steps in halves] == [1, 2, 3, 4, 5, 6]

    asyncio.run(main())


def test_a_cancelled_call_does_not_hold_up_the_next(device: Device) -> None:
    async def main() -> None:
        module = await webree.load_async(module_bytes(), device=device)
        tasks = [asyncio.create_task(module.halve_until_small_async(1e6)) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[1].cancel()
        assert (await tasks[2])[1] == 20
        a = vector(3)
        np.testing.assert_array_equal(await module.add_async(a, a), a + a)

    asyncio.run(asyncio.wait_for(main(), 60))


def test_blocking_behind_ones_own_task_is_refused(device: Device) -> None:
    async def main() -> None:
        module = await webree.load_async(module_bytes(), device=device)
        task = asyncio.create_task(module.halve_until_small_async(1e6))
        await asyncio.sleep(0)
        with pytest.raises(webree.InvocationError, match=r"would wait for ever.*await module\.main_async"):
            module.add([1.0], [2.0])
        assert (await task)[1] == 20
        assert module.add([1.0], [2.0]).tolist() == [3.0]

    asyncio.run(asyncio.wait_for(main(), 60))


def test_calls_from_threads(module: webree.Module) -> None:
    wrong: list[object] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(10):
            a, b = rng.standard_normal((2, rng.integers(1, 300))).astype("f4")
            if not np.array_equal(module.add(a, b), a + b):
                wrong.append((seed, a, b))
            module.count()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert int(module.count()) == 41


def test_a_forgotten_module_gives_its_memory_back_at_once(device: Device) -> None:
    gc.collect()
    before = device.counters.in_use_bytes
    gc.disable()
    try:
        module = webree.load(module_bytes(), device=device)
        module.count()
        function = module.count
        del module
        assert int(function()) == 2  # a function keeps what it needs
        del function
        assert device.counters.in_use_bytes == before
    finally:
        gc.enable()


def test_modules_that_name_one_adapter_share_a_device(adapter_name: str, device: Device) -> None:
    info = device.info
    with webree.load(module_bytes(), device=info) as one, webree.load(module_bytes(), device=info.name) as two:
        assert one.device is two.device
        assert one.device.info.name == info.name
        kept = one.add.on_device([1.0], [2.0])
        assert two.add(kept, kept).tolist() == [6.0]
        assert one.device_reason == "given by the caller"
        assert two.device_reason == f"the first adapter whose name has {info.name!r}"


def test_auto_prefers_hardware_and_says_why() -> None:
    found = webree.devices("webgpu")  # the module has code for nothing else
    with webree.load(module_bytes()) as module:
        assert module.device.info.name == found[0].name
        assert module.device_reason.startswith("auto: ")
        assert ("hardware adapter of" in module.device_reason) or module.device.info.software


def test_kernels_are_compiled_once_loaded(module: webree.Module) -> None:
    assert module.device.ready() is None
    before = module.device.counters.pipelines
    module.add([1.0], [1.0])
    assert module.device.counters.pipelines == before
