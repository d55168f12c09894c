"""Waiting for JavaScript: promises as webree's waits, and fetching.

Enters: promises, URLs. Leaves: results, by `await` or, where the browser has JSPI, by suspending Python in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import js
from pyodide.ffi import JsException, can_run_sync, run_sync

from webree.browser.values import JsByteSource
from webree.errors import InvocationError, ModuleError, StatusCode, WebreeError
from webree.waiting import Suspendable

__all__ = ["PromiseWait", "fetch"]

NO_JSPI = (
    "this call has to wait for the browser, and Python cannot be suspended here: the browser has no JSPI (WebAssembly "
    "JavaScript Promise Integration), or Python was not entered through runPythonAsync or callPromising. Use the "
    "asynchronous form: `await webree.load_async(...)`, `await module.main_async(...)`"
)


class PromiseWait:
    """Waits for a JavaScript promise (see webree.waiting.Wait).

    `finish` turns the promise's value into the result; `failed` makes an error of a rejection's text."""

    __slots__ = ("_failed", "_finish", "_promise")

    def __init__(
        self,
        promise: Any,
        finish: Callable[[Any], Any] | None = None,
        failed: Callable[[str], WebreeError] = InvocationError,
    ) -> None:
        self._promise = promise
        self._finish = finish
        self._failed = failed

    def block(self) -> Any:
        if not can_run_sync():
            raise InvocationError(NO_JSPI, status=StatusCode.FAILED_PRECONDITION)
        try:
            value = run_sync(self._promise)
        except JsException as error:
            raise self._failed(_text(error)) from error
        return self._finish(value) if self._finish else value

    async def wait(self) -> Any:
        try:
            value = await self._promise
        except JsException as error:
            raise self._failed(_text(error)) from error
        return self._finish(value) if self._finish else value


def fetch(url: str, progress: Callable[[int, int], None] | None = None) -> Suspendable[JsByteSource]:
    """The bytes behind a URL, kept in JavaScript's memory. `progress` gets bytes loaded and in all (0 if unknown).

    Raises `ModuleError` (NOT_FOUND) with the URL and the reason."""

    def failed(reason: str) -> WebreeError:
        return ModuleError(f"cannot fetch {url}: {reason}", status=StatusCode.NOT_FOUND)

    response = yield PromiseWait(js.fetch(url), failed=failed)
    if not response.ok:
        raise failed(f"the server answered {response.status} {response.statusText}".rstrip())
    encoded = response.headers.has("Content-Encoding")
    total = 0 if encoded else int(response.headers.get("Content-Length") or 0)
    reader = response.body.getReader()
    chunks: list[Any] = []
    loaded = 0
    while not (part := (yield PromiseWait(reader.read(), failed=failed))).done:
        chunks.append(part.value)
        loaded += part.value.byteLength
        if progress is not None:
            progress(loaded, total)
    try:
        return JsByteSource(_joined(chunks, loaded))
    except JsException as error:  # no memory for the whole
        raise failed(_text(error)) from error


def _joined(chunks: list[Any], byte_length: int) -> Any:
    if len(chunks) == 1:
        return chunks[0]
    whole = js.Uint8Array.new(byte_length)
    byte_offset = 0
    for chunk in chunks:
        whole.set(chunk, byte_offset)
        byte_offset += chunk.byteLength
    return whole


def _text(error: JsException) -> str:
    return str(getattr(error, "message", "") or error)
