"""What a web page may ask of the worker that runs Python: `answer` is called by web/worker.js for every message.

Enters: a method's name and its arguments, as JavaScript values. Leaves: `{result}` or `{error}`, as JavaScript values
that a worker can post. Modules stay here and are known to the page by number. Tensors cross as `{data, shape, dtype}`
with a typed array in it, and never enter Python's heap.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pyodide.ffi
from pyodide.code import eval_code_async
from pyodide.ffi import JsProxy

import webree
from webree.browser.values import BlobSource, from_js, is_js_array, plain, typed_array
from webree.dtypes import by_name
from webree.errors import InvocationError, StatusCode, UsageError, WebreeError
from webree.module.source import MemorySource

__all__ = ["answer", "connect"]

PYTHON_FAULT = int(StatusCode.UNKNOWN)

_NULL = getattr(pyodide.ffi, "jsnull", None)
"""JavaScript's null; undefined is Python's None, and so is null in older versions of Pyodide."""

_modules: dict[int, Any] = {}
_programs: dict[int, Any] = {}
_globals: dict[str, Any] = {"__name__": "__main__"}


def _no_report(stage: str, loaded: int, total: int) -> None:
    """Where progress goes before `connect`."""


_report: Callable[[str, int, int], None] = _no_report


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
    public = next((kind.__name__ for kind in type(error).__mro__ if kind.__module__ == WebreeError.__module__), None)
    return {
        "type": public or type(error).__name__,
        "message": str(error),
        "status": int(error.status) if isinstance(error, WebreeError) else PYTHON_FAULT,
        "expected": public is not None,
        "trace": "".join(traceback.format_exception(error)),
    }


# --- Methods ------------------------------------------------------------------------------------------------------


async def _load(arguments: Any) -> dict[str, object]:
    """Load a module from a URL or a buffer; what the page must know of it."""
    start = time.perf_counter()
    module = await webree.load_async(
        arguments.source,
        device=getattr(arguments, "device", None) or "auto",
        parameters=_parameters(arguments),
        progress=_report_fetching,
    )
    number = max(_modules, default=0) + 1
    _modules[number] = module
    return {
        "module": number,
        "name": module.name,
        "functions": {name: _signature(function.signature) for name, function in module.functions.items()},
        "adapter": _adapter(module.device.info),
        "deviceReason": module.device_reason,
        "timeMs": 1000 * (time.perf_counter() - start),
    }


def _report_fetching(loaded: int, total: int) -> None:
    _report("module", loaded, total)
    if loaded == total:
        _report("kernels", 0, 0)


async def _call(arguments: Any) -> dict[str, object]:
    """Call a function; its outputs as a list."""
    module = _module(arguments.module)
    inputs = [_from_page(value) for value in arguments.inputs]
    start = time.perf_counter()
    result = await module[arguments.function].call_async(*inputs)
    time_ms = 1000 * (time.perf_counter() - start)
    return {"outputs": [_for_page(output) for output in _outputs(result)], "timeMs": time_ms}


async def _program(arguments: Any) -> None:
    """Give a module the Python program around it: files, of which `entry` defines `async def answer(...)`."""
    number = arguments.module
    _module(number)
    folder = Path("/programs") / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in arguments.files.object_entries():
        (folder / Path(name).name).write_bytes(data.to_bytes())
        sys.modules.pop(Path(name).stem, None)  # another program may have a file of the same name
    spec = spec_from_file_location(f"program_{number}", folder / arguments.entry)
    if spec is None or spec.loader is None:
        raise UsageError(f"the program {arguments.entry} is not a Python file")
    program = module_from_spec(spec)
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(program)
    finally:
        sys.path.remove(str(folder))
    _programs[number] = program


async def _answer(arguments: Any) -> object:
    """What the module's program says about a file: `answer(module, file, name)`, `file` being a `ByteSource`."""
    module, program = _module(arguments.module), _programs.get(arguments.module)
    if program is None:
        raise UsageError("this module has no program: give it one with useProgram")
    start = time.perf_counter()
    rows = await program.answer(module, BlobSource(arguments.file), arguments.name)
    return {"answer": _for_page(rows), "timeMs": 1000 * (time.perf_counter() - start)}


async def _close(arguments: Any) -> None:
    """Free a module."""
    module = _modules.pop(arguments.module, None)
    _programs.pop(arguments.module, None)
    if module is not None:
        module.close()


async def _devices(_: Any) -> list[dict[str, object]]:
    """Adapters, the best first."""
    return [
        {**_adapter(info), "limits": dict(info.limits), "features": sorted(info.features)}
        for info in await webree.devices_async()
    ]


def _adapter(info: Any) -> dict[str, object]:
    return {name: getattr(info, name) for name in ("driver", "name", "description", "software")}


async def _python(arguments: Any) -> Any:
    """Run Python text with `inputs` as globals, which stay for the next text; the value of its last expression."""
    for name, value in arguments.inputs.object_entries():
        _globals[name] = _from_json(value)
    return _for_page(await eval_code_async(arguments.code, _globals))


_METHODS: Mapping[str, Callable[[Any], Awaitable[Any]]] = {
    "load": _load,
    "call": _call,
    "program": _program,
    "answer": _answer,
    "close": _close,
    "devices": _devices,
    "python": _python,
}

# --- Values -------------------------------------------------------------------------------------------------------


def _module(number: int) -> Any:
    module = _modules.get(number)
    if module is None:
        raise InvocationError("this module is closed", status=StatusCode.FAILED_PRECONDITION)
    return module


def _from_json(value: Any) -> Any:
    """Typed arrays as they are, all else as Python's."""
    if isinstance(value, JsProxy) and not is_js_array(value):
        value = value.to_py()
    if isinstance(value, dict):
        return {name: _from_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    return None if value is _NULL else value


def _parameters(arguments: Any) -> Any:
    """None, one path, or a mapping from scope to path."""
    parameters = getattr(arguments, "parameters", None)
    return parameters.to_py() if isinstance(parameters, JsProxy) else parameters


def _signature(signature: Any) -> dict[str, object]:
    return {
        "text": str(signature),
        "inputs": [_described_parameter(parameter) for parameter in signature.inputs],
        "outputs": [_described_parameter(parameter) for parameter in signature.outputs],
    }


def _described_parameter(parameter: Any) -> dict[str, object]:
    value_type = parameter.type
    tensor = hasattr(value_type, "dtype")
    return {
        "name": parameter.name,
        "type": str(value_type),
        "dtype": value_type.dtype.name if tensor else None,
        "shape": list(value_type.shape) if tensor else None,
    }


def _outputs(result: Any) -> Sequence[Any]:
    if result is None:
        return ()
    return result if isinstance(result, tuple) else (result,)


def _from_page(value: Any) -> Any:
    """`{data, shape, dtype}` as an array, typed arrays as they are, other values as Python's."""
    if not isinstance(value, JsProxy) or is_js_array(value):
        return value
    data, shape = getattr(value, "data", None), getattr(value, "shape", None)
    if shape is None or not is_js_array(data):
        return value.to_py()
    source, dtype, _ = from_js(data)
    return webree.Array(source, tuple(shape.to_py()), by_name(getattr(value, "dtype", None) or dtype or "uint8"))


def _for_page(value: Any) -> Any:
    """Python values as something that `plain` turns into JavaScript's; what has no such form as its text."""
    if isinstance(value, webree.Array):
        return {"data": value.to_js(), "shape": list(value.shape), "dtype": value.dtype}
    if hasattr(value, "__array_interface__"):  # NumPy's
        data = typed_array(MemorySource(value.tobytes()), str(value.dtype))
        return {"data": data, "shape": list(value.shape), "dtype": str(value.dtype)}
    if is_js_array(value):
        return value.slice()  # posting takes the memory away from its owner
    if isinstance(value, dict):
        return {str(key): _for_page(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_for_page(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str, bytes, bytearray, memoryview, JsProxy)):
        return value
    return repr(value)
