"""The web page on the CPU device: the demo in a browser whose WebGPU is switched off, and the choice of a device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.pages import magika_site, names_the_types_of_files, tab
from tests.browser.programs import MIXED
from tests.compiling import compiled
from webree.tools.browser_session import BrowserSession
from webree.tools.bundle import write_site
from webree.tools.serve import SiteServer
from webree.tools.site_parts import pyodide_folder

pytestmark = pytest.mark.browser


@pytest.fixture
def visitor(alone: BrowserSession) -> Iterator[Any]:
    """In a browser without WebGPU."""
    with tab(alone) as page:
        yield page


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's page, for WebGPU and the CPU."""
    return magika_site(tmp_path_factory.mktemp("magika"), "webgpu,cpu")


@pytest.mark.parametrize(
    ("isolated", "threads", "text"),
    [(True, 2, "2 worker threads"), (True, 1, "1 worker thread"), (False, 2, "on Python's thread")],
)
def test_the_demo_without_webgpu(
    site: Path, visitor: Any, tmp_path: Path, isolated: bool, threads: int, text: str
) -> None:
    """As from `webree serve`, and from a host without its headers."""
    with SiteServer({"/": site}, isolated=isolated) as server:
        visitor.goto(f"{server.url}?threads={threads}")
        visitor.locator("#ask-file").wait_for()
        assert visitor.evaluate("crossOriginIsolated") == isolated
        assert visitor.evaluate("navigator.gpu ? navigator.gpu.requestAdapter() : null") is None
        assert visitor.locator("#status").inner_text() == "Ready on wasm (computes on the CPU)."
        device = visitor.locator("#device").inner_text()
        assert text in device
        assert "auto" in device
        names_the_types_of_files(visitor, tmp_path)


def test_a_device_by_name(site: Path, visitor: Any) -> None:
    with SiteServer({"/": site}) as server:
        visitor.goto(f"{server.url}?device=webgpu")
        visitor.get_by_role("alert").filter(has_text="no WebGPU adapter").wait_for()
        assert visitor.locator("#ask-file").is_hidden()
        visitor.goto(f"{server.url}?device=cpu")
        visitor.locator("#ask-file").wait_for()
        assert "cpu" in visitor.locator("#device").inner_text()


def test_page_api(visitor: Any, tmp_path: Path) -> None:
    """webree.js as a page of one's own uses it: the device and its threads, chosen and told."""
    (tmp_path / "m.vmfb").write_bytes(compiled(MIXED, target="cpu,vmvx"))
    write_site(tmp_path / "site", tmp_path / "m.vmfb", "m", pyodide_folder())
    with SiteServer({"/": tmp_path / "site"}) as server:
        visitor.goto(server.url)
        visitor.locator("#ask-function").wait_for()
        found = visitor.evaluate("""async () => {
            const webree = await import("./webree.js");
            webree.stop();
            webree.configure({threads: 3});
            const results = [];
            for (const device of ["cpu", "vmvx", undefined]) {
                const model = await webree.load("models/m/model.vmfb", {device});
                const x = new Float32Array([1, 2, 3, 4, 5, 6]);
                const [y] = await model.call("main", [x, new Int32Array(6)]);
                const {adapter: {driver, name, software, description}, deviceReason} = model;
                results.push({driver, name, software, description, deviceReason, y: [...y.data]});
                await model.close();
            }
            const drivers = (await webree.devices()).map(({driver, name}) => `${driver} ${name}`);
            return {results, drivers};
        }""")
    assert [row["name"] for row in found["results"]] == ["wasm", "vmvx", "wasm"]
    for row in found["results"]:
        assert (row["driver"], row["software"], row["y"]) == ("cpu", True, [2, 4, 6, 8, 10, 12])
        assert row["deviceReason"]
    assert "3 worker threads" in found["results"][0]["description"]
    assert found["drivers"] == ["cpu wasm", "cpu vmvx"]
