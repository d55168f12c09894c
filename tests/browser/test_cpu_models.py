"""The CPU device in Chromium: memory over many calls, modules for two devices, threads that end or die."""

from __future__ import annotations

import numpy as np
import pytest

from tests.browser.programs import DYNAMIC, MIXED, on_cpu
from tests.compiling import compiled
from tests.models import relative_error
from webree.errors import DeviceError
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser


def test_memory_stays_level_over_200_calls(cpu_session: BrowserSession) -> None:
    """Of several sizes, results dropped: the device's memory stops growing early, and nothing stays in use."""
    early, late, held_early, held_late = cpu_session.run(
        """
        import gc
        import js
        import webree

        module = await webree.load_async(data, device="cpu")
        weights = js.Float32Array.new(64 * 32).fill(0.5)

        async def call(rows):
            x = js.Float32Array.new(rows * 64).fill(1)
            result = await module.main_async(x, weights)
            assert result.shape == (rows, 32), result.shape
            assert result.tolist()[rows - 1][31] == 32.0

        lengths = []
        for number in range(200):
            await call(1 + number * 37 % 50)
            if number in (50, 199):
                gc.collect()
                counters = module.device.counters
                lengths += [(module.device._engine.memory_bytes, counters.in_use_bytes)]
        module.close()
        del module
        [lengths[0][0], lengths[1][0], lengths[0][1], lengths[1][1]]
        """,
        data=on_cpu(DYNAMIC),
    )
    assert early == late
    assert held_early == held_late


@pytest.fixture
def for_both() -> bytes:
    return compiled(DYNAMIC, target="webgpu,cpu", profile="webgpu-software")


def dynamic_inputs() -> list[np.ndarray]:
    random = np.random.default_rng()
    return [random.standard_normal(shape).astype(np.float32) for shape in ((random.integers(1, 40), 64), (64, 32))]


def test_one_module_on_both_devices_of_one_page(session: BrowserSession, for_both: bytes) -> None:
    """`auto` prefers the CPU to WebGPU computed by software, and says so; each device can be had by its name."""
    modules = [session.load(for_both, device=device) for device in ("auto", "cpu", "webgpu")]
    try:
        assert [module.adapter for module in modules[:2]] == ["wasm", "wasm"]
        assert "swiftshader" in modules[2].adapter.lower()
        assert "auto" in modules[0].device_reason
        for _ in range(3):
            inputs = dynamic_inputs()
            expected = inputs[0].astype(np.float64) @ inputs[1].astype(np.float64)
            for module in modules:
                (found,) = module.call("main", inputs)
                assert relative_error(found, expected) <= 1e-5
    finally:
        for module in modules:
            module.close()


def test_one_module_where_webgpu_is_missing(alone: BrowserSession, for_both: bytes) -> None:
    module = alone.load(for_both)
    try:
        assert module.adapter == "wasm"
        inputs = dynamic_inputs()
        (found,) = module.call("main", inputs)
        assert relative_error(found, inputs[0].astype(np.float64) @ inputs[1].astype(np.float64)) <= 1e-5
    finally:
        module.close()
    with pytest.raises(DeviceError, match="no WebGPU adapter"):
        alone.load(for_both, device="webgpu")


def test_a_module_for_webgpu_alone_where_it_is_missing(alone: BrowserSession) -> None:
    """What the module has, what the browser lacks, and what to do."""
    with pytest.raises(DeviceError) as caught:
        alone.load(compiled(DYNAMIC))
    for part in ("webgpu", "no WebGPU adapter"):
        assert part in str(caught.value)


def test_devices_that_nobody_uses_end_their_threads(session: BrowserSession) -> None:
    """Modules are loaded and closed one after the other: no worker and no engine stays behind."""
    before = len(session.page.workers)
    alive = session.run(
        """
        import gc
        import weakref
        import js
        import webree

        engines = []
        for number in range(5):
            module = await webree.load_async(data, device="cpu")
            await module.main_async(js.Float32Array.new(6), js.Int32Array.new(6))
            engines.append(weakref.ref(module.device._engine))
            module.close()
            del module
            gc.collect()
        sum(reference() is not None for reference in engines)
        """,
        data=on_cpu(MIXED),
    )
    assert alive == 0
    for _ in range(600):
        if len(session.page.workers) <= before:
            break
        session.page.wait_for_timeout(100)
    assert len(session.page.workers) <= before


def test_after_a_worker_died_the_module_is_loaded_again(cpu_session: BrowserSession) -> None:
    """The call in flight and every later one say so; a new load gets a new device."""
    first, second, works = cpu_session.run(
        """
        import js
        import webree

        async def error_of(awaitable):
            try:
                await awaitable
            except webree.errors.DeviceError as error:
                return str(error)
            return "no error"

        inputs = [js.Float32Array.new(6).fill(2), js.Int32Array.new(6).fill(3)]
        module = await webree.load_async(data, device="cpu")
        await module.main_async(*inputs)
        module.device._engine._engine.fail(None, "out of luck")
        first = await error_of(module.main_async(*inputs))
        second = await error_of(module.main_async(*inputs))
        module.close()
        again = await webree.load_async(data, device="cpu")
        y, m = await again.main_async(*inputs)
        again.close()
        works = [y.tolist()[0][0], m.tolist()[1][2]]
        del module, again, y, m
        [first, second, works]
        """,
        data=on_cpu(MIXED),
    )
    for message in (first, second):
        assert "a worker of the CPU device died: out of luck" in message
        assert "load the module again" in message
    assert works == [4, 9]
