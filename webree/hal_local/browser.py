"""The engine in a browser: `Engine` over the browser's own `WebAssembly` through player/engine.js, under Pyodide.

Enters: calls of the CPU device. Leaves: one JavaScript call for each, with numbers and typed arrays only. Tensors lie
in the WebAssembly memory of the engine, which is not Python's; weights go there from JavaScript's memory. Only kernels
(a few KB of code) are read by Python, which checks them and finds their names.

Where the page is cross-origin isolated, workers share the memory and play; else this thread plays, alone.
"""

from __future__ import annotations

import os
import weakref
from array import array
from collections.abc import Callable
from importlib import resources
from typing import Any

import js
from pyodide.ffi import JsException, create_proxy, to_js

from webree.browser.promises import PromiseWait
from webree.browser.scripts import load_scripts
from webree.browser.values import JsByteSource, js_bytes, plain
from webree.errors import DeviceError, StatusCode
from webree.hal.device import Counters
from webree.hal_local.engine import MAXIMUM_MEMORY_BYTES, PAGE_BYTES, Library, LibraryExport
from webree.hal_local.layout import (
    CONTROL_ADDRESS,
    FAILURE_ADDRESS,
    STREAM_ADDRESS,
    STREAM_WORDS,
    Layout,
    Placement,
)
from webree.hal_local.library_tables import library_imports, read_exports
from webree.hal_local.wasm_binary import WasmBinary, with_shared_memory
from webree.module.source import ByteSource
from webree.waiting import Suspendable, Wait

__all__ = ["BrowserEngine", "create_engine"]

SCRIPTS = ("thread.js", "worker.js", "engine.js")
"""Every file after those it imports."""

_ANY_PAGES = MAXIMUM_MEMORY_BYTES // PAGE_BYTES + 1
"""The maximum that a shared memory's import names; the memory itself may have less."""
_THREADS_VARIABLE = "WEBREE_CPU_THREADS"
_LOAD_AGAIN = "load the module again"

_scripts: tuple[Any, dict[str, str]] | None = None


class BrowserEngine:
    """See `webree.hal_local.engine.Engine`; every method's counterpart is in engine.js."""

    name = "wasm"

    def __init__(self, layout: Layout, workers: int, why_alone: str) -> None:
        self.thread_count = layout.thread_count
        self.base_address = layout.base_address
        self.memory_bytes = layout.base_address
        self.counters = Counters()
        self.failure: DeviceError | None = None
        threads = f"{workers} worker thread{'s' * (workers > 1)}" if workers else f"on Python's thread, as {why_alone}"
        self.description = f"WebAssembly of the browser, {threads}"
        self._shared = workers > 0
        self._layout = layout
        self._engine: Any = None
        self._libraries: dict[int, tuple[Placement, Library]] = {}
        self._compiling: dict[int, Any] = {}
        self._on_failure = create_proxy(_weakly(self))

    def open(self, module: Any, worker_url: str) -> Suspendable[None]:
        """Create the memory and the threads. Raises `DeviceError`."""

        def failed(text: str) -> DeviceError:
            return self.failure or DeviceError(
                f"the browser does not start the CPU device: {text}", status=StatusCode.UNAVAILABLE
            )

        self._attach((yield PromiseWait(module.open(self._options(worker_url)), failed=failed)))

    def _attach(self, engine: Any) -> None:
        self._engine = engine
        self._end = weakref.finalize(self, _end, engine, self._on_failure)
        self._functions = frozenset(engine.functions.to_py())

    def _options(self, worker_url: str = "") -> Any:
        """Those of engine.js."""
        layout = self._layout
        threads = range(layout.thread_count)
        options = {
            "threads": layout.thread_count if self._shared else 0,
            "byteLength": layout.base_address,
            "player": self._fitting(_file("player.wasm")),
            "libm": self._fitting(_file("libm.wasm")),
            "addresses": {
                "control": CONTROL_ADDRESS,
                "failure": FAILURE_ADDRESS,
                "stream": STREAM_ADDRESS,
                "streamWords": STREAM_WORDS,
            },
            "stackPointers": [layout.stack_pointer(thread) for thread in threads],
            "initial": layout.initial_words(),
            "workerUrl": worker_url,
            "onFailure": self._on_failure,
        }
        return plain(options)

    def grow(self, byte_length: int) -> None:
        self._check()
        try:
            self.memory_bytes = int(self._engine.grow(byte_length))
        except JsException as error:
            raise DeviceError(
                f"the browser gives no more memory to WebAssembly: {byte_length} bytes were asked for, "
                f"{self.memory_bytes} are there",
                status=StatusCode.RESOURCE_EXHAUSTED,
            ) from error

    def write(self, address: int, source: ByteSource) -> None:
        self._cross()
        self.counters.uploaded_bytes += source.size
        self._engine.write(address, js_bytes(source))

    def read(self, ranges: list[tuple[int, int]]) -> Wait:
        self._cross()
        self.counters.read_back_bytes += sum(byte_length for _, byte_length in ranges)
        flat = array("I", [word for item in ranges for word in item])
        return PromiseWait(self._engine.read(to_js(flat)), _byte_sources, self._failed)

    def load(self, data: ByteSource) -> Library:
        self._check()
        file = bytes(data.read(0, data.size))
        exports = read_exports(file)
        binary = WasmBinary.parse(file)
        self._check_imports(binary, exports)
        name = exports[0].name if exports else "an executable"
        placement = self._layout.place(name, binary.memory_size, binary.memory_alignment, binary.table_size, exports)
        library = Library(exports, placement.identifier)
        self._libraries[placement.identifier] = (placement, library)
        place = {
            "identifier": placement.identifier,
            "dataBase": placement.data_base,
            "tableBase": placement.table_base,
            "tableSize": self._layout.table_size,
            "slot": self._layout.library_slot(placement),
        }
        self.counters.crossings += 1
        self._compile(placement.identifier, self._fitting(file), plain(place))
        return library

    def _compile(self, identifier: int, file: Any, place: Any) -> None:
        self._compiling[identifier] = self._engine.load(file, place)

    def unload(self, library: Library) -> None:
        self._cross()
        placement, _ = self._libraries.pop(library.identifier)
        self._compiling.pop(library.identifier, None)
        self._engine.unload(library.identifier)
        self._layout.release(placement)  # Whatever is linked there next is linked after this.

    def ready(self) -> Wait | None:
        if not self._compiling:
            return None
        waited = dict(self._compiling)

        def finish(_: Any) -> None:
            for identifier, promise in waited.items():
                if self._compiling.get(identifier) is promise:
                    del self._compiling[identifier]

        def rejected(text: str) -> DeviceError:
            finish(None)
            return self.failure or DeviceError(f"the browser rejects a kernel: {text}", status=StatusCode.INTERNAL)

        return PromiseWait(js.Promise.all(to_js(list(waited.values()))), finish, rejected)

    def submit(self, words: array[int]) -> None:
        self._cross()
        self._engine.submit(to_js(words))

    def submit_timed(self, words: array[int]) -> Wait:
        """As `submit`; the wait's result is the time that it took, in microseconds."""
        self._cross()
        return PromiseWait(self._engine.submit(to_js(words)), lambda time_ms: float(1e3 * time_ms), self._failed)

    def idle(self) -> Wait | None:
        self._check()
        return None if self._engine.isIdle else PromiseWait(self._engine.idle(), failed=self._failed)

    def close(self) -> None:
        if self._engine is not None:
            self._engine = None
            self._end()
            self.failure = self.failure or DeviceError("the device was closed", status=StatusCode.FAILED_PRECONDITION)
            self._libraries.clear()
            self._compiling.clear()

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _cross(self) -> None:
        self._check()
        self.counters.crossings += 1

    def _fitting(self, file: bytes) -> Any:
        """A file of WebAssembly for JavaScript, its memory import as this engine's memory is."""
        return to_js(with_shared_memory(file, _ANY_PAGES) if self._shared else file)

    def _check_imports(self, binary: WasmBinary, exports: tuple[LibraryExport, ...]) -> None:
        missing = sorted({entry.name for entry in library_imports(binary)} - self._functions)
        if missing:
            raise DeviceError(
                f"kernel {exports[0].name if exports else '?'} and those beside it import {', '.join(missing)}, which "
                "the CPU device does not have: compile the model with `webree compile --target cpu`",
                status=StatusCode.INCOMPATIBLE,
            )

    def _failed(self, text: str) -> DeviceError:
        return self.failure or DeviceError(f"the CPU device failed: {text}", status=StatusCode.INTERNAL)

    def fail(self, failure: Any, message: str) -> None:
        """Told by engine.js: a kernel's failure, or None and what happened to a worker."""
        if failure is None:
            text = f"a worker of the CPU device died: {message}"
        else:
            what = self._kernel(failure)
            if failure.trap:
                text = f"{what} trapped: {failure.message}"
            elif failure.status == -1:
                text = f"{what} overflowed its stack"
            else:
                text = f"{what} failed with status {failure.status}"
        self.failure = DeviceError(f"{text}; {_LOAD_AGAIN}", status=StatusCode.INTERNAL)

    def _kernel(self, failure: Any) -> str:
        _, library = self._libraries.get(failure.library, (None, None))
        if library is None or failure.export >= len(library.exports):
            return "a copy or fill"
        return f"kernel {library.exports[failure.export].name}"


def _weakly(engine: BrowserEngine) -> Callable[[Any, str], None]:
    """`engine.fail`, for JavaScript to hold: an engine that nobody uses any more must not live on through it."""
    reference = weakref.ref(engine)

    def fail(failure: Any, message: str) -> None:
        if (alive := reference()) is not None:
            alive.fail(failure, message)

    return fail


def _end(engine: Any, on_failure: Any) -> None:
    """Stop the workers and let go of the memory."""
    engine.close()
    on_failure.destroy()


def create_engine() -> Suspendable[BrowserEngine]:
    """An engine that is ready. Raises `DeviceError`."""
    global _scripts
    if _scripts is None:
        _scripts = load_scripts(__package__ or "", SCRIPTS)
    promise, addresses = _scripts
    module = yield PromiseWait(promise)
    here = module.threadsHere()
    wanted = _wanted_threads()
    workers = here.count and (wanted or here.count)
    engine = BrowserEngine(Layout(max(workers, 1)), workers, here.why)
    yield from engine.open(module, addresses["worker.js"])
    return engine


def _wanted_threads() -> int:
    """The number that the page or the program asks for, 0 if none."""
    text = os.environ.get(_THREADS_VARIABLE, "")
    if not text:
        return 0
    if not text.isdigit() or not int(text):
        raise DeviceError(
            f"{_THREADS_VARIABLE} is {text!r}; it must be a number of threads, 1 or more",
            status=StatusCode.INVALID_ARGUMENT,
        )
    return int(text)


def _file(name: str) -> bytes:
    return resources.files(__package__ or "").joinpath("player", name).read_bytes()


def _byte_sources(parts: Any) -> list[ByteSource]:
    return [JsByteSource(part) for part in parts]
