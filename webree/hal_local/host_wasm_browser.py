"""An engine of the browser that never needs to wait: for kernels of inline programs, which run in the middle of a call.

Enters: what `webree.hal_local.host_wasm` asks of an engine. Leaves: results, on return. It plays on Python's thread,
over a memory of its own; its JavaScript is the CPU device's, evaluated in place, as a module could only be awaited.
"""

from __future__ import annotations

import re
from array import array
from importlib import resources
from typing import Any

from pyodide.code import run_js
from pyodide.ffi import JsException, to_js

from webree.browser.values import JsByteSource
from webree.errors import DeviceError, StatusCode
from webree.hal_local.browser import BrowserEngine
from webree.hal_local.layout import Layout
from webree.module.source import ByteSource
from webree.waiting import Wait

__all__ = ["create_engine"]


class _Done:
    """A wait for what is there already."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def block(self) -> Any:
        return self._result

    async def wait(self) -> Any:
        return self._result


class HostWasmEngine(BrowserEngine):
    """A `BrowserEngine` on Python's thread, whose every call is done when it returns."""

    def __init__(self) -> None:
        super().__init__(Layout(1), 0, "inline programs wait for every kernel")
        self._attach(_evaluated().openHere(self._options()))

    def read(self, ranges: list[tuple[int, int]]) -> Wait:
        self._cross()
        self.counters.read_back_bytes += sum(byte_length for _, byte_length in ranges)
        flat = array("I", [word for item in ranges for word in item])
        sources: list[ByteSource] = [JsByteSource(part) for part in self._engine.readHere(to_js(flat))]
        return _Done(sources)

    def _compile(self, identifier: int, file: Any, place: Any) -> None:
        try:
            self._engine.loadHere(file, place)
        except JsException as error:
            raise DeviceError(f"the browser rejects a kernel: {error}", status=StatusCode.INTERNAL) from error


def _evaluated() -> Any:
    """What thread.js and engine.js export."""
    folder = resources.files(__package__ or "").joinpath("player")
    text = "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in ("thread.js", "engine.js"))
    text = re.sub(r"^export ", "", re.sub(r"^import .*$", "", text, flags=re.M), flags=re.M)
    return run_js(f"(() => {{ {text}\nreturn {{ openHere }}; }})()")


def create_engine() -> HostWasmEngine:
    """For `webree.hal_local.host_wasm`."""
    return HostWasmEngine()
