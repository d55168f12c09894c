"""The two WGSL compilers that browsers have: naga (through wgpu-py) and Tint (through headless Chromium).

Each takes WGSL texts by name and gives back the errors by name; an empty result means that all were accepted, with a
compute pipeline made for every entry point.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from webree.tools.browser_session import chromium_flags

_ENTRY_POINT = re.compile(r"@compute[^\n]*\s*fn (\w+)")

_CHECK_IN_PAGE = """async (sources) => {
    const adapter = await navigator.gpu.requestAdapter();
    if (!adapter) return {adapter: "no WebGPU adapter"};
    const features = ["shader-f16", "subgroups"].filter(name => adapter.features.has(name));
    const device = await adapter.requestDevice({requiredFeatures: features});
    const errors = {};
    for (const [name, source, entryPoints] of sources) {
        const lacking = [["f16", "shader-f16"], ["subgroups", "subgroups"]].find(
            ([extension, feature]) => source.includes(`enable ${extension};`) && !features.includes(feature));
        if (lacking) { errors[name] = `lacks ${lacking[1]}`; continue; }
        const module = device.createShaderModule({code: source});
        const info = await module.getCompilationInfo();
        const found = info.messages.filter(m => m.type === "error").map(m => `${m.lineNum}:${m.linePos} ${m.message}`);
        if (!found.length) {
            for (const entryPoint of entryPoints) {
                try {
                    await device.createComputePipelineAsync({layout: "auto", compute: {module, entryPoint}});
                } catch (error) { found.push(`${entryPoint}: ${error.message}`); }
            }
        }
        if (found.length) errors[name] = found.join("\\n");
    }
    return errors;
}"""


@lru_cache(maxsize=1)
def native_device() -> Any:
    """A wgpu device with the features that our shaders may ask for, shared by all tests of a process.

    Of several adapters, the one with most of these features: lavapipe has them all, SwiftShader has no f16.
    """
    import wgpu

    features = ("shader-f16", "subgroup")
    adapters = wgpu.gpu.enumerate_adapters_sync()
    adapter = max(adapters, key=lambda candidate: sum(name in candidate.features for name in features))
    wanted = [name for name in features if name in adapter.features]
    return adapter.request_device_sync(required_features=wanted)


def naga_errors(sources: Mapping[str, str]) -> dict[str, str]:
    """What naga refuses, by name."""
    import wgpu

    device, errors = native_device(), {}
    for name, source in sources.items():
        try:
            module = device.create_shader_module(code=source)
            for entry_point in _ENTRY_POINT.findall(source):
                device.create_compute_pipeline(layout="auto", compute={"module": module, "entry_point": entry_point})
        except wgpu.GPUError as error:
            errors[name] = str(error)
    return errors


def tint_errors(sources: Mapping[str, str], chromium: str) -> dict[str, str]:
    """What Tint (in the browser at the path `chromium`) refuses, by name; `lacks FEATURE` where it cannot tell."""
    # In a thread of its own: the session that other browser tests share occupies this one's event loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_tint_errors, sources, chromium).result()


def _tint_errors(sources: Mapping[str, str], chromium: str) -> dict[str, str]:
    from playwright.sync_api import sync_playwright

    server = ThreadingHTTPServer(("localhost", 0), _EmptyPage)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium, headless=True, args=chromium_flags("swiftshader")
            )
            page = browser.new_page()
            page.goto(f"http://localhost:{server.server_port}/")
            listed = [[name, source, _ENTRY_POINT.findall(source)] for name, source in sources.items()]
            errors: dict[str, str] = page.evaluate(_CHECK_IN_PAGE, listed)
            browser.close()
    finally:
        server.shutdown()
        server.server_close()
    return errors


class _EmptyPage(BaseHTTPRequestHandler):
    """WebGPU needs a secure context, which localhost is and about:blank is not."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>WGSL check</title>")

    def log_message(self, format: str, *args: object) -> None:
        pass
