"""Modules in Chromium through webree's Python API: loading, calling, what goes in and comes out, what it costs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import webree
from tests.browser.programs import DYNAMIC, MIXED, WEIGHTS_SIZE, on_webgpu, with_weights
from webree.errors import DeviceError, InvocationError, ModuleError, WebreeError
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser

RANDOM = np.random.default_rng()


@pytest.fixture
def python(session: BrowserSession) -> Iterator[BrowserSession]:
    """The session with the small programs loaded as `mixed` and `dynamic`, on one device."""
    urls = {name: session.serve(f"{name}.vmfb", on_webgpu(text)) for name, text in (("m", MIXED), ("d", DYNAMIC))}
    session.run("import webree\nmixed = await webree.load_async(m)\ndynamic = await webree.load_async(d)\nNone", **urls)
    yield session
    session.run("mixed.close(); dynamic.close()")


def test_import_is_light(session: BrowserSession) -> None:
    """A cold `import webree` without cached bytecode; the page's own parts are left out of the way."""
    code = """
import shutil, sys, time
from pathlib import Path
kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "webree"}
for folder in list(Path(kept["webree"].__file__).parent.rglob("__pycache__")):
    shutil.rmtree(folder)
try:
    start = time.perf_counter()
    import webree
    light = time.perf_counter() - start
    found = sorted(name for name in sys.modules if name.startswith("webree"))
    import webree.api
    whole = time.perf_counter() - start
finally:
    for name in [name for name in sys.modules if name.partition(".")[0] == "webree"]:
        del sys.modules[name]
    sys.modules.update(kept)
(light * 1000, whole * 1000, found)
"""
    light_ms, whole_ms, found = min(session.run(code) for _ in range(3))  # the best: the machine may be busy
    print(f"import webree: {light_ms:.0f} ms; with webree.api: {whole_ms:.0f} ms")
    assert found == ["webree"]
    assert light_ms < 300


def test_called_as_a_coroutine_and_in_place(python: BrowserSession) -> None:
    x, n = RANDOM.random((2, 3), np.float32), RANDOM.integers(-9, 9, (2, 3), np.int32)
    code = """
x, n = (webree.Array(from_js(value)[0], (2, 3), by_name(name)) for value, name in ((x, "float32"), (n, "int32")))
awaited = await mixed.main_async(x, n)
blocked = mixed.main(x, n)
[awaited[0], awaited[1], blocked[0], blocked[1]]
"""
    python.run("from webree.browser.values import from_js\nfrom webree.dtypes import by_name")
    results = python.run(code, x=x, n=n)
    for found, expected in zip(results, (x + x, n * n, x + x, n * n), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "expression",
    [
        "x",  # a typed array: takes the declared shape
        "x.to_bytes() and memoryview(x.to_bytes()).cast('f', (2, 3))",
        "__import__('array').array('f', x.to_py().tolist()) and [list(x.to_py())[:3], list(x.to_py())[3:]]",
        "webree.Array(__import__('webree.browser.values').browser.values.from_js(x)[0], (2, 3), "
        "__import__('webree.dtypes').dtypes.by_name('float32'))",
        "mixed.to_device([list(x.to_py())[:3], list(x.to_py())[3:]])",
    ],
    ids=["typed array", "memoryview", "nested lists", "Array", "DeviceArray"],
)
def test_inputs_of_every_kind(python: BrowserSession, expression: str) -> None:
    x = RANDOM.random((2, 3), np.float32)
    (found, _) = python.run(f"value = {expression}\nawait mixed.main_async(value, [[1, 2, 3], [4, 5, 6]])", x=x.ravel())
    np.testing.assert_array_equal(found, x + x)


def test_outputs_without_numpy(python: BrowserSession) -> None:
    code = """
y, m = await mixed.main_async([[1, 2, 3], [4, 5, 6]], [[1, 2, 3], [4, 5, 6]])
view = memoryview(m)
[type(y).__name__, y.shape, y.dtype, y.tolist(), m[1].tolist(), m[1, 2], view.format, view.shape, view.tolist(),
 bytes(m)[:8].hex(), m.to_js(), str(m.to_js().constructor.name), len(y)]
"""
    name, shape, dtype, values, row, element, letter, view_shape, viewed, data, flat, kind, length = python.run(code)
    assert (name, shape, dtype) == ("Array", [2, 3], "float32")
    assert values == [[2, 4, 6], [8, 10, 12]]
    assert (row, element) == ([16, 25, 36], 36)
    assert (letter, view_shape, viewed) == ("i", [2, 3], [[1, 4, 9], [16, 25, 36]])
    assert data == "0100000004000000"
    assert (flat.tolist(), kind, length) == ([1, 4, 9, 16, 25, 36], "Int32Array", 2)


def test_dynamic_shapes(python: BrowserSession) -> None:
    w = RANDOM.standard_normal((64, 32)).astype(np.float32)
    for rows in (1, 2, 17, 64):
        x = RANDOM.standard_normal((rows, 64)).astype(np.float32)
        found = python.run("await dynamic.main_async(x, w)", x=x.ravel(), w=w.ravel())
        assert found.shape == (rows, 32)
        np.testing.assert_allclose(found, x @ w, rtol=1e-4, atol=1e-4)


def test_many_calls_in_flight(python: BrowserSession) -> None:
    code = """
import asyncio
results = await asyncio.gather(*(mixed.main_async([[k] * 3] * 2, [[k] * 3] * 2) for k in range(20)))
[(y.tolist()[0][0], m.tolist()[1][2]) for y, m in results]
"""
    assert python.run(code) == [[2 * k, k * k] for k in range(20)]


def test_blocking_calls_of_several_tasks_take_turns(python: BrowserSession) -> None:
    code = """
import asyncio
async def blocking(k):
    return mixed.main([[k] * 3] * 2, [[k] * 3] * 2)[1].tolist()[0][0]
await asyncio.wait_for(asyncio.gather(*map(blocking, range(5))), 240)
"""
    assert python.run(code) == [k * k for k in range(5)]


WRONG_CALLS = {
    "count": "mixed.main([[1, 2, 3]] * 2)",
    "shape": "mixed.main([[1, 2, 3]] * 3, [[1, 2, 3]] * 2)",
    "rank": "mixed.main([1, 2, 3], [[1, 2, 3]] * 2)",
    "dtype": "mixed.main(array.array('d', [1] * 6), [[1, 2, 3]] * 2)",
    "name": "mixed.main(x=1, n=2)",
    "function": "mixed.mian()",
    "ragged list": "mixed.main([[1, 2, 3], [1]], [[1, 2, 3]] * 2)",
}


@pytest.mark.parametrize("call", WRONG_CALLS.values(), ids=WRONG_CALLS)
@pytest.mark.native
def test_wrong_calls_say_the_same_as_natively(python: BrowserSession, call: str) -> None:
    import array

    with webree.load(on_webgpu(MIXED)) as mixed, pytest.raises(InvocationError) as natively:
        eval(call, {"mixed": mixed, "array": array})
    with pytest.raises(InvocationError) as in_browser:
        python.run(f"import array\n{call}")
    assert str(in_browser.value) == str(natively.value)
    assert in_browser.value.status == natively.value.status


@pytest.mark.parametrize("damage", ["empty", "text", "truncated"])
@pytest.mark.native
def test_bad_modules_say_the_same_as_natively(session: BrowserSession, damage: str) -> None:
    data = {"empty": b"", "text": b"not a module" * 100, "truncated": on_webgpu(MIXED)[:1500]}[damage]
    with pytest.raises(ModuleError) as natively:
        webree.load(data)
    with pytest.raises(ModuleError) as in_browser:
        session.run("import webree\nawait webree.load_async(data)", data=data)
    assert str(in_browser.value) == str(natively.value)


def test_one_javascript_call_per_submission(python: BrowserSession) -> None:
    """With its inputs on the device, a call is one crossing for each submission and no other."""
    code = """
kept = None  # of the run before
x, n = mixed.to_device([[1, 2, 3]] * 2), mixed.to_device([[1, 2, 3]] * 2, "int32")
await mixed["main"].on_device_async(x, n)
before = mixed.device.counters
before = (before.submissions, before.crossings, before.dispatches)
kept = [await mixed["main"].on_device_async(x, n) for _ in range(10)]
after = mixed.device.counters
[now - then for now, then in zip((after.submissions, after.crossings, after.dispatches), before)]
"""
    python.run(code)  # the pool then has buffers for ten results
    submissions, crossings, dispatches = python.run(code)
    assert submissions == 10
    assert crossings == submissions
    assert dispatches >= 10


def test_weights_never_enter_pythons_heap(session: BrowserSession) -> None:
    weights = RANDOM.standard_normal((WEIGHTS_SIZE, WEIGHTS_SIZE)).astype(np.float32)
    x = RANDOM.standard_normal((1, WEIGHTS_SIZE)).astype(np.float32)
    url = session.serve("weights.vmfb", on_webgpu(with_weights(weights)))
    code = """
import webree, tracemalloc
from webree.browser.values import JsByteSource
read = JsByteSource.read_bytes
tracemalloc.start()
module = await webree.load_async(url)
y = await module.main_async(x)
peak = tracemalloc.get_traced_memory()[1]
tracemalloc.stop()
uploaded = module.device.counters.uploaded_bytes
module.close()
(y, JsByteSource.read_bytes - read, peak, uploaded)
"""
    y, read_bytes, peak_bytes, uploaded_bytes = session.run(code, url=url, x=x.ravel())
    expected = x @ weights
    assert np.linalg.norm(y - expected) <= 1e-4 * np.linalg.norm(expected)
    assert uploaded_bytes >= weights.nbytes
    assert read_bytes < 100_000
    assert peak_bytes < weights.nbytes / 2


def test_closed_modules_free_gpu_memory(session: BrowserSession) -> None:
    weights = RANDOM.standard_normal((WEIGHTS_SIZE, WEIGHTS_SIZE)).astype(np.float32)
    url = session.serve("weights.vmfb", on_webgpu(with_weights(weights)))
    code = """
import gc, webree
first = await webree.load_async(url)
held = first.device.counters.in_use_bytes
second = await webree.load_async(url)
assert second.device is first.device
more = first.device.counters.in_use_bytes - held
second.close()
del second
gc.collect()
left = first.device.counters.in_use_bytes - held
first.close()
(more, left)
"""
    more, left = session.run(code, url=url)
    assert more >= weights.nbytes
    assert left == 0


def test_lost_device_is_told_and_loading_again_works(python: BrowserSession) -> None:
    code = """
import asyncio
lost = mixed.device
lost._backend._player.device.destroy()
message = None
for _ in range(1000):
    try:
        await mixed.main_async([[1, 2, 3]] * 2, [[1, 2, 3]] * 2)
    except webree.DeviceError as error:
        message = str(error)
        break
    await asyncio.sleep(0.01)
again = await webree.load_async(m)
fresh = again.device is not lost
y, n = await again.main_async([[1, 2, 3]] * 2, [[1, 2, 3]] * 2)
again.close()
(message, fresh, n)
"""
    message, fresh, n = python.run(code)
    assert "lost" in message
    assert "load the module again" in message
    assert fresh
    np.testing.assert_array_equal(n, [[1, 4, 9]] * 2)


def test_rejected_kernels_are_named_with_their_lines(python: BrowserSession) -> None:
    text = "\n".join(
        (
            "@group(0) @binding(0) var<storage, read_write> a: array<f32>;",
            "@compute @workgroup_size(1)",
            "fn f() {",
            "  a[0] = 1u;",
            "}",
        )
    )
    code = """
from webree.hal.registry import create_driver
from webree.hal_webgpu.backend import PipelineSpec, ShaderSpec
from webree.module.source import MemorySource
from webree.waiting import run_async
device = await run_async(create_driver("webgpu").open())
shader = ShaderSpec("broken", MemorySource(text.encode()))
device._backend.create_pipelines([shader], [PipelineSpec("broken", 0, "f", (False,), False)])
try:
    await device.ready().wait()
finally:
    device.close()
"""
    with pytest.raises(DeviceError) as caught:
        python.run(code, text=text)
    assert "kernel 'broken' at WGSL line 4" in str(caught.value)
    assert "> 4 |   a[0] = 1u;" in str(caught.value)


def test_no_webgpu_says_which_flag_to_set(python: BrowserSession) -> None:
    code = """
from pyodide.code import run_js
run_js("Object.defineProperty(navigator, 'gpu', {value: undefined, configurable: true})")
try:
    await webree.load_async(m)
finally:
    run_js("delete navigator.gpu")
"""
    with pytest.raises(DeviceError) as caught:
        python.run(code)
    assert "navigator.gpu is missing" in str(caught.value)
    assert "--enable-unsafe-webgpu --use-webgpu-adapter=swiftshader" in str(caught.value)
    python.run("(await webree.load_async(m)).close()")


def test_rejected_commands_fail_all_later_calls(python: BrowserSession) -> None:
    """What the browser tells later is kept, and told by the next call that waits, and by every one after it."""
    code = """
from webree.hal.registry import create_driver
from webree.waiting import run_async
device = await run_async(create_driver("webgpu").open())
buffer = device.allocate(16)
device._backend.create_buffer(1 << 40)
messages = []
for _ in range(2):
    try:
        await device.read_back([(buffer, 0, 16)]).wait()
    except webree.DeviceError as error:
        messages.append(str(error))
device.close()
messages
"""
    first, second = python.run(code)
    assert first == second
    assert "refuses a command" in first
    assert str(1 << 40) in first


def test_too_large_buffers_say_both_numbers(python: BrowserSession) -> None:
    limit = python.run("mixed.device.info.limits['max_buffer_size']")
    with pytest.raises(WebreeError, match=rf"{limit + 64}.*{limit}"):
        python.run("mixed.device.allocate(size)\nNone", size=limit + 64)
