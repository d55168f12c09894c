"""Python on the page's own thread: the CPU device's threads play, and the page goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.browser.conftest import CPU_THREADS
from tests.browser.programs import MIXED, on_cpu
from tests.hal_cts import wasm_kernels
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser

START = """async ({wheel, threads}) => {
    const {loadPyodide} = await import("/pyodide/pyodide.mjs");
    const env = {WEBREE_CPU_THREADS: String(threads)};
    globalThis.python = await loadPyodide({indexURL: "/pyodide/", packages: [], env});
    await python.loadPackage(wheel, {checkIntegrity: false, messageCallback: () => {}});
}"""

CALL = """async (url) => {
    python.globals.set("url", url);
    const found = await python.runPythonAsync(`
import js
import webree

module = await webree.load_async(url, device="cpu")
y, m = await module.main_async(js.Float32Array.new([1, 2, 3, 4, 5, 6]), js.Int32Array.new([1, 2, 3, 4, 5, 6]))
result = [y.to_js(), m.to_js(), module.device.info.description]
module.close()
webree.browser.values.plain(result)
`);
    return {y: [...found[0]], m: [...found[1]], description: found[2]};
}"""

LONG = """async (url) => {
    python.globals.set("url", url);
    let ticks = 0;
    const channel = new MessageChannel();
    channel.port1.onmessage = () => { ticks++; channel.port2.postMessage(0); };
    channel.port2.postMessage(0);
    const steps = await python.runPythonAsync(`
from webree.browser.promises import fetch
from webree.hal_local.browser import create_engine
from webree.hal_local.stream import StreamWriter
from webree.waiting import run_async

engine = await run_async(create_engine())
count = 1 << 20
engine.grow(engine.base_address + 8 * count)
library = engine.load(await run_async(fetch(url)))
await engine.ready().wait()
writer = StreamWriter()
for number in range(300):
    source, target = engine.base_address, engine.base_address + 4 * count
    writer.dispatch(library.identifier, 0, (count // 64, 1, 1), (1, 1, count), (source, target), (4 * count,) * 2)
    writer.barrier()
engine.submit(writer.words)
wait = engine.idle()
busy = wait is not None
if busy:
    await wait.wait()
engine.close()
busy
`);
    channel.port1.onmessage = null;
    return {busy: steps, ticks};
}"""


@pytest.fixture(scope="module")
def page(session: BrowserSession) -> Iterator[Any]:
    """A page of the session's server with Python on its own thread."""
    tab = session.page.context.browser.new_page()
    tab.goto(f"{session.server.url}session.html")
    (wheel,) = (path for path in session.server.mounts if path.endswith(".whl"))
    tab.evaluate(START, {"wheel": f"{session.server.url[:-1]}{wheel}", "threads": CPU_THREADS})
    yield tab
    tab.close()


def test_a_module_on_the_pages_thread(session: BrowserSession, page: Any) -> None:
    found = page.evaluate(CALL, session.serve("main.vmfb", on_cpu(MIXED)))
    np.testing.assert_array_equal(found["y"], [2, 4, 6, 8, 10, 12])
    np.testing.assert_array_equal(found["m"], [1, 4, 9, 16, 25, 36])
    assert f"{CPU_THREADS} worker threads" in found["description"]


def test_the_page_goes_on_while_threads_play(session: BrowserSession, page: Any) -> None:
    found = page.evaluate(LONG, session.serve("affine.wasm", wasm_kernels.executables()["affine"]))
    assert found["busy"]
    assert found["ticks"] > 100
