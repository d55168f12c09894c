"""The web page end to end: a site as `webree bundle` writes it, served as `webree serve` does, used by a visitor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser.pages import magika_site, names_the_types_of_files, tab
from tests.browser.programs import DYNAMIC, MIXED, on_webgpu
from webree.tools.browser_session import BrowserSession
from webree.tools.bundle import write_site
from webree.tools.serve import SiteServer
from webree.tools.site_parts import pyodide_folder

pytestmark = pytest.mark.browser

PROGRAM = '''
"""Counts bytes with a model that adds: answers with twice the sizes."""
from pathlib import Path

FACTOR = float((Path(__file__).parent / "factor.txt").read_text())

async def answer(module, file, name):
    if name == "bad.txt":
        raise ValueError("this file is not liked")
    first = bytes(file.read(0, min(3, file.size)))
    y, _ = await module.main_async([[file.size, FACTOR, 0.0]] * 2, [[0, 0, 0]] * 2)
    return {"title": f"{y.tolist()[0][0]:.0f} {first!r}", "rows": [["half", 0.5], ["factor", y.tolist()[1][1]]]}
'''


@pytest.fixture(scope="module")
def make_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    servers: list[SiteServer] = []

    def make(module: bytes, *, program: bool) -> str:
        folder = tmp_path_factory.mktemp("site")
        (folder / "m.vmfb").write_bytes(module)
        (folder / "program.py").write_text(PROGRAM)
        (folder / "factor.txt").write_text("0.125")
        files = (folder / "program.py", [folder / "factor.txt"]) if program else (None, None)
        write_site(folder / "site", folder / "m.vmfb", "A model", pyodide_folder(), *files)
        servers.append(SiteServer({"/some/path/": folder / "site"}).start())
        return servers[-1].url + "some/path/"

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def visitor(session: BrowserSession) -> Iterator[Any]:
    with tab(session) as page:
        yield page


def keep_screenshot(page: Any, name: str) -> None:
    """Where WEBREE_SCREENSHOTS names a folder, for people to look at."""
    if folder := os.environ.get("WEBREE_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_drop_a_file_and_read_the_answer(make_site: Any, visitor: Any, tmp_path: Path) -> None:
    visitor.goto(make_site(on_webgpu(MIXED), program=True))
    seen = []
    visitor.expose_function("seen", lambda text: seen.append(text))
    visitor.evaluate(
        "new MutationObserver(() => seen(document.getElementById('status').textContent))"
        ".observe(document.getElementById('status'), {childList: true})"
    )
    visitor.locator("#ask-file").wait_for()
    assert visitor.locator("#status").inner_text().startswith("Ready on ")
    assert visitor.locator("#model option").all_inner_texts() == ["A model"]
    assert visitor.locator("#progress").is_hidden()
    assert any("Python" in text or "model" in text for text in seen), seen

    for size in (5000, 7):
        file = tmp_path / f"file-{size}.bin"
        file.write_bytes(bytes(range(65, 72)) + bytes(size - 7))
        visitor.locator("#file").set_input_files(file)
        visitor.get_by_role("heading", name=f"{file.name}: {2 * size} b'ABC'").wait_for()
        assert visitor.locator("#rows th").all_inner_texts() == ["half", "factor"]
        assert visitor.locator("#rows td.number").all_inner_texts() == ["50.00 %", "25.00 %"]
        assert visitor.locator("#time").inner_text().endswith(" ms")
    keep_screenshot(visitor, "file")

    bad = tmp_path / "bad.txt"
    bad.write_text("x")
    visitor.locator("#file").set_input_files(bad)
    visitor.get_by_role("alert").filter(has_text="this file is not liked").wait_for()


def test_magika_names_the_type_of_a_dropped_file(visitor: Any, tmp_path: Path) -> None:
    """The demo's page: real files, and the right answers."""
    with SiteServer({"/": magika_site(tmp_path, "webgpu", "webgpu-software")}) as server:
        visitor.goto(server.url)
        visitor.locator("#ask-file").wait_for()
        names_the_types_of_files(visitor, tmp_path)
        keep_screenshot(visitor, "magika")


def test_run_a_function_without_a_program(make_site: Any, visitor: Any) -> None:
    visitor.goto(make_site(on_webgpu(DYNAMIC), program=False))
    visitor.locator("#ask-function").wait_for()
    assert "main(" in visitor.locator("#signature").inner_text()
    visitor.get_by_role("button", name="Run with random inputs").click()
    visitor.get_by_role("heading", name="main returned 1 value").wait_for()
    assert visitor.locator("#rows th").inner_text() == "float32 1×32"
    values = [float(word) for word in visitor.locator("#rows td").inner_text().split()[:-1]]
    assert len(values) == 8
    assert 0 < np.mean(values) < 64
    keep_screenshot(visitor, "function")


def test_damaged_module_is_explained(make_site: Any, visitor: Any) -> None:
    visitor.goto(make_site(b"not a module" * 20, program=False))
    alert = visitor.get_by_role("alert").filter(has_text="model.vmfb")
    alert.wait_for()
    assert visitor.locator("#ask-function").is_hidden()
    keep_screenshot(visitor, "error")


def test_page_api(make_site: Any, visitor: Any) -> None:
    """webree.js as a page of one's own uses it: load with progress, call, read typed arrays, close, errors."""
    visitor.goto(make_site(on_webgpu(MIXED), program=False))
    result = visitor.evaluate("""async () => {
        const webree = await import("./webree.js");
        const stages = new Set();
        const model = await webree.load(
            "models/A-model/model.vmfb",
            {onProgress: ({stage, loaded, total}) => stages.add(stage + (total && loaded === total ? "!" : ""))},
        );
        const x = new Float32Array([1, 2, 3, 4, 5, 6]);
        const n = {data: new Int32Array([1, 2, 3, 4, 5, 6]), shape: [2, 3]};
        const [y, m] = await model.call("main", [x, n]);
        const buffer = await (await fetch("models/A-model/model.vmfb")).arrayBuffer();
        const again = await webree.load(new Blob([buffer]));
        const [z] = await again.call("main", [x, n]);
        const errors = [];
        for (const inputs of [[x], [new Float64Array(6), n]]) {
            await model.call("main", inputs).catch((error) => errors.push([error.kind, error.message]));
        }
        await model.close();
        await model.call("main", [x, n]).catch((error) => errors.push([error.kind, error.message]));
        return {
            stages: [...stages], kept: x.length, functions: Object.keys(model.functions),
            y: [...y.data], type: y.data.constructor.name, shape: y.shape, dtype: y.dtype, m: [...m.data],
            z: [...z.data], errors, devices: (await webree.devices()).length,
        };
    }""")
    assert "module!" in result["stages"]
    assert "kernels" in result["stages"]
    assert result["kept"] == 6
    assert result["functions"] == ["main"]
    assert result["y"] == result["z"] == [2, 4, 6, 8, 10, 12]
    assert (result["type"], result["shape"], result["dtype"]) == ("Float32Array", [2, 3], "float32")
    assert result["m"] == [1, 4, 9, 16, 25, 36]
    assert result["devices"] >= 1
    (count, dtype, closed) = result["errors"]
    assert count[0] == "InvocationError"
    assert "expected 2 inputs, found 1" in count[1]
    assert "float64" in dtype[1]
    assert "closed" in closed[1]
