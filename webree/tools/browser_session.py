"""A real browser with webree in it: headless Chromium, Pyodide in a module worker, and the runtime's wheel.

Enters: Python text or a module's path, and inputs (NumPy arrays, bytes, plain values). Leaves: results, as NumPy arrays
and plain values, or the errors that were raised in the browser, of the same class and with the same text. What runs is
what a site is made of (web/webree.js, web/worker.js, the wheel), so tests of it are tests of the product.

Playwright: https://playwright.dev/python/
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from webree import errors
from webree.errors import DeviceError, ModuleError, StatusCode, UsageError, WebreeError
from webree.tools.serve import SiteServer
from webree.tools.site_parts import pyodide_folder, runtime_wheel, web_folder

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = [
    "BrowserError",
    "BrowserModule",
    "BrowserSession",
    "chromium_flags",
    "find_chromium",
]

START_TIMEOUT_S = 120.0
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

BACKGROUND_OFF = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--no-first-run",
    "--disable-quic",
)

_PAGE = """<!doctype html><meta charset="utf-8"><title>webree session</title><link rel="icon" href="data:,">
<script type="module">
import * as webree from "/webree.js";
const modules = new Map();
globalThis.webree = {
    ...webree,
    async loadHere(url, device, parameters) {
        const module = await webree.load(url, {device, parameters: parameters ?? undefined});
        const number = modules.size + 1;
        modules.set(number, module);
        const {name, functions, adapter, deviceReason, loadTimeMs} = module;
        return {number, name, functions, adapter, deviceReason, loadTimeMs};
    },
    async callHere(number, name, inputs) {
        const module = modules.get(number);
        const outputs = await module.call(name, inputs);
        return {outputs, timeMs: module.callTimeMs};
    },
    closeHere: (number) => modules.get(number).close(),
};
</script>"""


class BrowserModule:
    """A module loaded in a `BrowserSession`.

    Attributes:
        name: the module's name.
        functions: name -> description of the function (`text`, `inputs`, `outputs`; see web/webree.d.ts).
        adapter: name of the adapter in the browser.
        description: its description.
        device_reason: why it was taken.
        software: whether that adapter computes on the CPU.
        load_ms: how long loading took in the worker, the fetch from this machine included.
        call_ms: how long the last call took in the worker, the read-back included.
    """

    def __init__(self, session: BrowserSession, description: Mapping[str, Any]) -> None:
        self._session = session
        self._number = description["number"]
        self.name: str = description["name"]
        self.functions: Mapping[str, Any] = description["functions"]
        self.adapter: str = description["adapter"]["name"]
        self.description: str = description["adapter"]["description"]
        self.device_reason: str = description["deviceReason"]
        self.software: bool = description["adapter"]["software"]
        self.load_ms: float = description["loadTimeMs"]
        self.call_ms = 0.0

    def call(self, function: str, inputs: Sequence[Any]) -> list[Any]:
        """Call a function with NumPy arrays and numbers; its outputs, tensors as NumPy arrays.

        Raises what the function of a `webree.Module` raises, with the same text."""
        answer = self._session.ask("callHere", self._number, function, [_tensor(value) for value in inputs])
        self.call_ms = answer["timeMs"]
        return list(answer["outputs"])

    def close(self) -> None:
        """Free it in the browser."""
        self._session.ask("closeHere", self._number)


def _tensor(value: Any) -> Any:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        import numpy

        array = numpy.asarray(value, order="C")
        return {"data": array, "shape": list(array.shape), "dtype": array.dtype.name}
    return value


class BrowserError(Exception):
    """Python code in the browser raised something that is not webree's; the text is its traceback there."""


def find_chromium(chosen: str | None = None) -> str:
    """Path of the Chromium to start: `chosen`, `$WEBREE_CHROMIUM`, or the first of the usual names on PATH.

    Raises `UsageError` that says what to install."""
    name = chosen or os.environ.get("WEBREE_CHROMIUM")
    for candidate in (name,) if name else CHROMIUM_NAMES:
        if path := shutil.which(candidate):
            return path
    if name:
        raise UsageError(f"no browser named {name!r} was found")
    raise UsageError(
        f"Chromium was not found on PATH (as {', '.join(CHROMIUM_NAMES)}); install it (Debian: `apt install chromium`) "
        "or set WEBREE_CHROMIUM to its path"
    )


def chromium_flags(adapter: str = "auto") -> list[str]:
    """Command-line flags of Chromium: WebGPU on, background traffic off.

    `adapter`: "auto" leaves the choice to Chromium (without a GPU that is SwiftShader), "swiftshader" forces it, "none"
    switches WebGPU off."""
    if adapter == "none":
        return ["--no-sandbox", "--disable-features=WebGPU,WebGPUService", *BACKGROUND_OFF]
    flags = ["--no-sandbox", "--enable-unsafe-webgpu", *BACKGROUND_OFF]
    if adapter != "auto":
        flags.append(f"--use-webgpu-adapter={adapter}")
    return flags


class BrowserSession:
    """Chromium with one page, whose worker has Python with webree imported. A context manager.

    `adapter`: see `chromium_flags`. `isolated`: False serves the page without the headers that allow shared memory, and
    so threads. `threads`: of the CPU device; 0 leaves it as many as the machine has.

    Attributes:
        server: its web server; `server.files` may be added to.
        page: Playwright's page.
    """

    def __init__(
        self,
        *,
        adapter: str = "auto",
        jspi: bool = True,
        isolated: bool = True,
        threads: int = 0,
        pyodide: Path | None = None,
        chromium: str | None = None,
    ) -> None:
        self._pyodide = pyodide_folder(pyodide)
        self._chromium = find_chromium(chromium)
        self._adapter = adapter
        self._options = {"jspi": jspi, "threads": threads}
        self._isolated = isolated
        self._count = 0
        self._browser: Any = None
        self._cleanup = ExitStack()
        self.server: SiteServer
        self.page: Page

    def start(self) -> BrowserSession:
        """Start the server, the browser and Python in it. Raises `UsageError` if Playwright is missing, `DeviceError`
        if the browser cannot be started."""
        try:
            from playwright.sync_api import Error, sync_playwright
        except ImportError as error:
            raise UsageError("Playwright is missing; run `pip install 'webree[tools]'`") from error
        try:
            folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="webree-")))
            wheel = runtime_wheel(folder)
            mounts = {"/": web_folder(), "/pyodide/": self._pyodide, f"/{wheel.name}": wheel}
            self.server = self._cleanup.enter_context(SiteServer(mounts, isolated=self._isolated))
            playwright = self._cleanup.enter_context(_shared_playwright(sync_playwright))
            self._browser = playwright.chromium.launch(
                executable_path=self._chromium, headless=True, args=chromium_flags(self._adapter)
            )
            self._cleanup.callback(self._browser.close)
            self.page = self._browser.new_page()
            self._open_page(wheel.name)
        except Error as error:
            self.close()
            raise DeviceError(
                f"cannot start {self._chromium}: {error.message}", status=StatusCode.UNAVAILABLE
            ) from error
        except BaseException:
            self.close()
            raise
        return self

    def _open_page(self, wheel: str) -> None:
        self.server.files["/session.html"] = _PAGE.encode()
        self.page.set_default_timeout(START_TIMEOUT_S * 1000)
        self.page.goto(f"{self.server.url}session.html")
        self.page.wait_for_function("globalThis.webree !== undefined")
        self.page.evaluate(
            "options => { webree.configure(options); }",
            {"wheelUrl": f"{self.server.url}{wheel}", **self._options},
        )

    def close(self) -> None:
        """End the browser and the server. Safe to call twice."""
        self._cleanup.close()

    def __enter__(self) -> BrowserSession:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def serve(self, name: str, data: bytes | memoryview) -> str:
        """Make bytes reachable for the page; returns their URL."""
        self.server.files[f"/{name}"] = data
        return f"{self.server.url}{name}"

    def run(self, code: str, **inputs: Any) -> Any:
        """Run Python text in the browser, `inputs` being its globals (top-level `await` works; globals stay until the
        session ends); the value of the last expression.

        Bytes and NumPy arrays arrive as JavaScript typed arrays, anything else through JSON. Results: typed arrays come
        back as flat NumPy arrays, arrays of webree as NumPy arrays of their shape.

        Raises what was raised there: webree's errors as themselves, all others as `BrowserError`."""
        return self.ask("runPython", code, inputs)

    def load(self, source: Path | bytes | memoryview, parameters: Any = None, *, device: str = "auto") -> BrowserModule:
        """Load a module in the browser. Raises what `webree.load` raises."""
        if isinstance(source, Path):
            try:
                source = source.read_bytes()
            except OSError as error:
                raise ModuleError(
                    f"cannot read the file: {error.strerror}", where=str(source), status=StatusCode.NOT_FOUND
                ) from error
        self._count += 1
        name = f"module-{self._count}.vmfb"
        url = self.serve(name, source)
        try:
            return BrowserModule(self, self.ask("loadHere", url, device, parameters))
        finally:
            del self.server.files[f"/{name}"]

    def ask(self, function: str, *arguments: Any) -> Any:
        """Call a function of the page (of webree.js or of the session page above) and return its result."""
        self._count += 1
        parts: list[bytes] = []
        message = json.dumps([_packed(argument, parts) for argument in arguments])
        request, reply = f"/ask/{self._count}", f"/answer/{self._count}"
        self.server.files[request] = b"".join(parts)
        self.server.accepts.add(reply)
        try:
            answer = self.page.evaluate(_ASK, [function, message, request, reply])
            data = self.server.posted.pop(reply, b"")
        finally:
            del self.server.files[request]
            self.server.accepts.discard(reply)
        if "error" in answer:
            raise _error(answer["error"])
        return _unpacked(json.loads(answer["result"]), data)


_playwrights: list[Any] = []
_playwright_users = 0


@contextmanager
def _shared_playwright(start: Callable[[], Any]) -> Iterator[Any]:
    """Playwright's driver process: a thread can have one only, so sessions share it."""
    global _playwright_users
    if not _playwrights:
        _playwrights.append(start().start())
    _playwright_users += 1
    try:
        yield _playwrights[0]
    finally:
        _playwright_users -= 1
        if _playwright_users == 0:
            _playwrights.pop().stop()


_ASK = """async ([name, message, request, reply]) => {
    const types = {int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array,
        uint32: Uint32Array, float32: Float32Array, float64: Float64Array, int64: BigInt64Array, uint64: BigUint64Array,
        bool: Uint8Array, float16: globalThis.Float16Array ?? Uint16Array};
    const body = message.includes('"$bytes"') ? await (await fetch(request)).arrayBuffer() : null;
    const unpack = (value) => {
        if (Array.isArray(value)) return value.map(unpack);
        if (value === null || typeof value !== "object") return value;
        if ("$bytes" in value) return new (types[value.dtype] ?? Uint8Array)(body.slice(...value.$bytes));
        return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(item)]));
    };
    const parts = [];
    let size = 0;
    const pack = (value) => {
        if (typeof value === "bigint") return {$bigint: String(value)};
        if (typeof value === "number" && !Number.isFinite(value)) return {$float: String(value)};
        if (Array.isArray(value)) return value.map(pack);
        if (value === null || typeof value !== "object") return value ?? null;
        if (value instanceof ArrayBuffer) value = new Uint8Array(value);
        if (ArrayBuffer.isView(value)) {
            parts.push(value);
            size += value.byteLength;
            return {$bytes: [size - value.byteLength, size], dtype: value.constructor.name};
        }
        return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, pack(item)]));
    };
    try {
        const result = pack(await webree[name](...unpack(JSON.parse(message))));
        if (parts.length) await fetch(reply, {method: "POST", body: new Blob(parts)});
        return {result: JSON.stringify(result)};
    } catch (error) {
        const {kind = error.name, message: text, status = 2, trace = error.stack, expected = false} = error;
        return {error: {kind, message: text, status, trace: String(trace), expected}};
    }
}"""


def _packed(value: Any, parts: list[bytes]) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _packed(item, parts) for key, item in value.items()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _kept(bytes(value), "uint8", parts)
    if hasattr(value, "dtype") and hasattr(value, "tobytes"):
        return _kept(value.tobytes(), str(value.dtype), parts)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_packed(item, parts) for item in value]
    return value


def _kept(data: bytes, dtype: str, parts: list[bytes]) -> dict[str, Any]:
    start = sum(map(len, parts))
    parts.append(data)
    return {"$bytes": [start, start + len(data)], "dtype": dtype}


def _unpacked(value: Any, data: bytes) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, data) for item in value]
    if not isinstance(value, dict):
        return value
    if "$bigint" in value:
        return int(value["$bigint"])
    if "$float" in value:
        return float(value["$float"].replace("Infinity", "inf"))
    if "$bytes" in value:
        import numpy

        dtype = value["dtype"].replace("Clamped", "").replace("Big", "").removesuffix("Array").lower()
        return numpy.frombuffer(data[slice(*value["$bytes"])], dtype)
    entries = {key: _unpacked(item, data) for key, item in value.items()}
    if entries.keys() == {"data", "shape", "dtype"}:
        return entries["data"].view(entries["dtype"]).reshape(entries["shape"])
    return entries


def _error(description: Mapping[str, Any]) -> Exception:
    kind = getattr(errors, description["kind"], None)
    if description["expected"] and isinstance(kind, type) and issubclass(kind, WebreeError):
        error: WebreeError = kind.__new__(kind)
        WebreeError.__init__(error, description["message"], status=StatusCode(description["status"]))
        return error
    return BrowserError(description["trace"] or description["message"])
