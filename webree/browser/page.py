"""What a web page may ask of the worker that runs Python: `answer` is called by web/worker.js for every message.

Enters: a method's name and its arguments, as JavaScript values. Leaves: `{result}` or `{error}`, as JavaScript values that
a worker can post. Modules stay here and are known to the page by number.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pyodide.code import eval_code_async
from pyodide.ffi import JsProxy

from webree.browser.values import is_js_array, plain
from webree.errors import WebreeError

__all__ = ["answer", "connect"]

_report: Callable[[str, int, int], None] = lambda stage, loaded, total: None  # noqa: E731
_globals: dict[str, Any] = {"__name__": "__main__"}


def connect(report: Callable[[str, int, int], None]) -> None:
    """Tell progress to `report(stage, loaded, total)` from now on."""
    global _report
    _report = report


async def answer(method: str, arguments: Any) -> Any:
    """Do what a message asks; never raises."""
    try:
        return plain({"result": await _METHODS[method](arguments)})
    except Exception as error:
        return plain({"error": _described(error)})


def _described(error: Exception) -> dict[str, object]:
    return {
        "type": type(error).__name__,
        "message": str(error),
        "status": int(error.status) if isinstance(error, WebreeError) else 2,
        "expected": isinstance(error, WebreeError),
        "trace": "".join(traceback.format_exception(error)),
    }


async def _python(arguments: Any) -> Any:
    """Run Python text with `inputs` as globals, which stay for the next text; the value of its last expression."""
    for name, value in arguments.inputs.object_entries() if arguments.inputs else ():
        _globals[name] = value if is_js_array(value) or not isinstance(value, JsProxy) else value.to_py()
    return _for_page(await eval_code_async(arguments.code, _globals))


def _for_page(value: Any) -> Any:
    """Python values as something that `plain` turns into JavaScript's; objects without such a form as their text."""
    if hasattr(value, "to_js") and hasattr(value, "shape"):
        return {"data": value.to_js(), "shape": list(value.shape), "dtype": value.dtype}
    if isinstance(value, dict):
        return {str(key): _for_page(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_for_page(item) for item in value]
    if isinstance(value, array_like):
        return value
    return value if value is None or isinstance(value, (bool, int, float, str, JsProxy)) else repr(value)


array_like = (bytes, bytearray, memoryview)

_METHODS: Mapping[str, Callable[[Any], Awaitable[Any]]] = {
    "python": _python,
}
