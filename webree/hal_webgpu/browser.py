"""The browser side of the WebGPU driver: `Backend` over navigator.gpu through player/player.js, under Pyodide.

Enters: calls of the shared device. Leaves: one JavaScript call for each, with numbers and typed arrays only. Bytes that
are in JavaScript's memory already (a module's weights) go to the GPU from there; see webree/browser/values.py.

Pyodide: https://pyodide.org/en/stable/usage/api/python-api/ffi.html
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import js
from pyodide.ffi import JsException, create_proxy, to_js

from webree.browser.promises import PromiseWait, fetch
from webree.browser.scripts import load_scripts
from webree.browser.values import JsByteSource, from_js, is_js_array, js_bytes, plain, typed_array
from webree.errors import DeviceError, StatusCode
from webree.hal.device import AdapterInfo, Counters, Device
from webree.hal.driver import Driver
from webree.hal_webgpu.backend import PipelineSpec, ShaderSpec, Words
from webree.hal_webgpu.diagnostics import shader_error
from webree.module.source import ByteSource
from webree.waiting import Suspendable, Wait

__all__ = [
    "BrowserBackend",
    "BrowserDriver",
    "JsByteSource",
    "PromiseWait",
    "create_driver",
    "fetch",
    "from_js",
    "is_js_array",
    "typed_array",
]

NO_ADAPTER_HINT = (
    "use a browser with WebGPU (Chrome or Edge 113, Safari 26, Firefox 141 or newer) on https or localhost; without a "
    "GPU, start Chromium with --enable-unsafe-webgpu --use-webgpu-adapter=swiftshader"
)


PLAYER_FILES = ("memory.js", "kernels.js", "replay.js", "profile.js", "player.js")
"""Every file after those it imports."""


class BrowserBackend:
    """`webree.hal_webgpu.backend.Backend` over a `Player` of player.js; see there for what every method does."""

    def __init__(self, info: AdapterInfo) -> None:
        self.info = info
        self.counters = Counters()
        self.failure: DeviceError | None = None
        self.on_failure = create_proxy(self._fail)
        self._player: Any = None
        self._compiling: list[Any] = []

    def attach(self, player: Any) -> None:
        """Take the opened player, with the limits and features it really has."""
        self._player = player
        self.info = adapter_info(self._player.info)

    def create_buffer(self, byte_size: int) -> int:
        self.counters.crossings += 1
        return int(self._player.createBuffer(byte_size))

    def destroy_buffer(self, buffer: int) -> None:
        self.counters.crossings += 1
        self._player.destroyBuffer(buffer)

    def write_buffer(self, buffer: int, byte_offset: int, source: ByteSource) -> None:
        self.counters.crossings += 1
        self.counters.uploaded_bytes += source.size
        self._player.writeBuffer(buffer, byte_offset, js_bytes(source))

    def create_pipelines(self, shaders: Sequence[ShaderSpec], pipelines: Sequence[PipelineSpec]) -> list[int]:
        self.counters.crossings += 1
        self.counters.pipelines += len(pipelines)
        started = self._player.createPipelines(
            plain([{"label": shader.label, "source": js_bytes(shader.source)} for shader in shaders]),
            plain([_pipeline(spec) for spec in pipelines]),
        )
        self._compiling.append(started.failures)
        return list(started.handles.to_py())

    def pipelines_ready(self) -> Wait | None:
        if not self._compiling:
            return None
        waited = list(self._compiling)

        def finish(results: Any) -> None:
            self._compiling = [left for left in self._compiling if all(left is not done for done in waited)]
            for failures in results:
                for failure in failures:
                    raise self.failure or _rejected(failure)

        return PromiseWait(js.Promise.all(to_js(waited)), finish, self._failed)

    def load_stream(self, words: Words[int], constants: bytearray) -> int:
        self.counters.crossings += 1
        return int(self._player.loadStream(to_js(words), to_js(constants)))

    def release_stream(self, stream: int) -> None:
        self.counters.crossings += 1
        self._player.releaseStream(stream)

    def submit_stream(self, stream: int, table: Words[int]) -> None:
        self.counters.crossings += 1
        self.counters.submissions += 1
        try:
            self._player.submitStream(stream, to_js(table))
        except JsException as error:
            raise self._failed(str(error)) from error

    def submit(self, words: Words[int], constants: bytearray, table: Words[int]) -> None:
        self.counters.crossings += 1
        self.counters.submissions += 1
        try:
            self._player.submit(to_js(words), to_js(constants), to_js(table))
        except JsException as error:
            raise self._failed(str(error)) from error

    def profile(self, words: Words[int], constants: bytearray, table: Words[int]) -> Wait:
        self.counters.crossings += 1
        self.counters.submissions += 1
        promise = self._player.profile(to_js(words), to_js(constants), to_js(table))
        return PromiseWait(promise, lambda times: list(times.to_py()), self._failed)

    def read_back(self, ranges: Sequence[tuple[int, int, int]]) -> Wait:
        self.counters.crossings += 1
        self.counters.read_back_bytes += sum(byte_length for _, _, byte_length in ranges)
        flat = array("I", [word for item in ranges for word in item])

        def finish(parts: Any) -> list[ByteSource]:
            if self.failure is not None:
                raise self.failure
            return [JsByteSource(part) for part in parts]

        return PromiseWait(self._player.readBack(to_js(flat)), finish, self._failed)

    def destroy(self) -> None:
        self._player.destroy()
        self._compiling.clear()
        self.on_failure.destroy()

    def _failed(self, text: str) -> DeviceError:
        return self.failure or DeviceError(f"the browser's WebGPU refuses: {text}", status=StatusCode.INTERNAL)

    def _fail(self, failure: Any) -> None:
        self.failure = _failure(failure, self.counters)


class BrowserDriver(Driver):
    """The driver `webgpu` in a browser."""

    name = "webgpu"

    def adapters(self) -> Suspendable[list[AdapterInfo]]:
        player = yield PromiseWait(_player())
        found = yield PromiseWait(player.adapters())
        return [adapter_info(info) for info in found]

    def open(self, adapter: AdapterInfo | None = None) -> Suspendable[Device]:
        from webree.hal_webgpu.device import WebGpuDevice

        module = yield PromiseWait(_player())
        backend = BrowserBackend(adapter or AdapterInfo(self.name, ""))
        player = yield PromiseWait(
            module.open(adapter.name if adapter else None, backend.on_failure),
            failed=lambda text: DeviceError(f"the browser gives no WebGPU device: {text}"),
        )
        if player is None:
            wanted = f"no WebGPU adapter named {adapter.name!r}" if adapter else "no WebGPU adapter"
            raise DeviceError(f"{wanted}: {module.whyNoAdapter()}; {NO_ADAPTER_HINT}", status=StatusCode.UNAVAILABLE)
        backend.attach(player)
        return (yield from WebGpuDevice.open(backend))


def create_driver() -> Driver:
    """For webree.hal.registry."""
    return BrowserDriver()


def adapter_info(info: Any) -> AdapterInfo:
    """An adapter as player.js describes it."""
    return AdapterInfo(
        driver=BrowserDriver.name,
        name=info.name,
        description=info.description,
        software=info.software,
        limits={_snake_case(name): int(value) for name, value in js.Object.entries(info.limits).to_py()},
        features=frozenset(info.features.to_py()),
    )


_player_module: Any = None


def _player() -> Any:
    """A promise of the module player.js."""
    global _player_module
    if _player_module is None:
        _player_module, _ = load_scripts(__package__ or "", PLAYER_FILES)
    return _player_module


def _pipeline(spec: PipelineSpec) -> dict[str, object]:
    return {
        "label": spec.label,
        "shader": spec.shader,
        "entryPoint": spec.entry_point,
        "readOnly": list(spec.binding_read_only),
        "hasConstants": spec.has_constants,
    }


def _rejected(failure: Any) -> DeviceError:
    """What getCompilationInfo and the pipeline's error say, as one error."""
    errors: Iterable[Any] = [message for message in failure.messages if message.type == "error"]
    for message in errors:
        headline = message.message.partition("\n")[0]  # Tint adds every candidate of an overload
        return shader_error(failure.label, failure.source, headline, message.line or None)
    return shader_error(failure.label, failure.source, failure.message)


def _failure(failure: Any, counters: Counters) -> DeviceError:
    match failure.kind:
        case "out-of-memory":
            asked = f"{failure.asked} bytes more were asked for" if failure.asked else "a command needed more"
            return DeviceError(
                f"the GPU is out of memory: {asked} with {counters.allocated_bytes} bytes allocated "
                f"({failure.message}); close modules that are no longer used, or use a smaller model or batch",
                status=StatusCode.RESOURCE_EXHAUSTED,
            )
        case "lost":
            return DeviceError(
                f"the GPU device was lost ({failure.message}); load the module again to use a new one",
                status=StatusCode.UNAVAILABLE,
            )
        case _:
            return DeviceError(f"the browser's WebGPU refuses a command: {failure.message}", status=StatusCode.INTERNAL)


def _snake_case(name: str) -> str:
    """`maxTextureDimension1D` -> `max_texture_dimension_1d`."""
    letters: list[str] = []
    for before, letter in zip(" " + name, name, strict=False):
        starts_word = (letter.isupper() or letter.isdigit()) and not before.isdigit()
        letters.append("_" + letter.lower() if starts_word else letter.lower())
    return "".join(letters)
