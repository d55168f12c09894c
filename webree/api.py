"""The public functions of the runtime: `load`, `load_async`, `devices`.

Enters: a module file (path, URL, bytes, JavaScript buffer) and a choice of device. Leaves: a `Module`, ready to be
called: its constants are on the way to the device and its kernels are compiled. Natively the file is mapped, not read;
in the browser it stays in JavaScript's memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from webree.device_choice import DeviceName, list_devices
from webree.errors import CompileError, ModuleError, StatusCode, UsageError
from webree.hal.device import AdapterInfo
from webree.hal.registry import IN_BROWSER
from webree.module.source import ByteSource, MemorySource
from webree.module_api import Module
from webree.signature import parse_signature
from webree.waiting import Suspendable, run_async, run_sync

if TYPE_CHECKING:
    from webree.parameters.archive import Parameters

__all__ = ["devices", "devices_async", "load", "load_async"]

Progress = Callable[[int, int], None]


def load(source: Any, *, device: DeviceName = "auto", parameters: Parameters | None = None) -> Module:
    """Load a module and make it ready to be called.

    Args:
        source: path of a `.vmfb` file, or its bytes in anything with the buffer protocol.
        device: `"auto"` (hardware before software), a driver's name (`"webgpu"`), a part of an adapter's name, an
            adapter of `devices()`, or a device of another module (`module.device`). Modules that name the same adapter
            share one device.
        parameters: files with weights that were kept out of the module: a path for all of them, or a mapping from
            parameter scope to path (`.safetensors` or `.irpa`).

    Raises `ModuleError` for a missing, damaged or unsupported file, `DeviceError` if there is no such device or the
    module needs what the device does not have. In a browser this needs JSPI; `load_async` does not.
    """
    return run_sync(_load(source, device, parameters, None))


async def load_async(
    source: Any, *, device: DeviceName = "auto", parameters: Parameters | None = None, progress: Progress | None = None
) -> Module:
    """As `load`, as a coroutine. `source` may also be a URL, or a JavaScript ArrayBuffer or Uint8Array.

    `progress` is called with bytes loaded and bytes in all (0 if unknown) while a URL is fetched in the browser.
    """
    if not IN_BROWSER and _is_url(source):
        import asyncio

        source = await asyncio.to_thread(_download, source)
    return await run_async(_load(source, device, parameters, progress))


def devices(driver: str | None = None) -> list[AdapterInfo]:
    """Adapters of one driver, or of all that are installed: those that `"auto"` prefers first."""
    return run_sync(list_devices(driver))


async def devices_async(driver: str | None = None) -> list[AdapterInfo]:
    """As `devices`, as a coroutine."""
    return await run_async(list_devices(driver))


def compile_elsewhere(source: Any, **_: Any) -> NoReturn:
    """Stands for `webree.compile` where the package was installed without the compiler. Raises `CompileError`."""
    raise CompileError(
        "this installation of webree has only the runtime; compile the model on a desktop or server with: "
        'pip install "webree[compiler]" && webree compile MODEL -o MODULE.vmfb',
        status=StatusCode.UNAVAILABLE,
    )


# --- From a name to bytes -----------------------------------------------------------------------------------------


def _open_source(source: Any, progress: Progress | None) -> Suspendable[tuple[ByteSource, str]]:
    """The bytes, and what to call them in messages ("" for bytes given by the caller)."""
    if isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
        if IN_BROWSER and (_is_url(name) or not os.path.exists(name)):
            from webree.browser.promises import fetch

            return (yield from fetch(name, progress)), name
        if _is_url(name):
            return MemorySource(_download(name)), name
        return map_file(name), name
    if IN_BROWSER:
        from webree.browser.values import from_js, is_js_array

        if is_js_array(source):
            return from_js(source)[0], ""
    try:
        return MemorySource(source), ""
    except TypeError:
        pass
    if all(hasattr(source, name) for name in ("size", "read", "slice")):
        return source, ""
    raise UsageError(
        f"a module is loaded from a path, a URL, bytes or a JavaScript buffer, found a {type(source).__name__}"
    )


def map_file(path: str | os.PathLike[str]) -> ByteSource:
    """A file's bytes, mapped. Raises `ModuleError` that says why it cannot be read."""
    import mmap

    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise ModuleError("the file is empty", where=os.fspath(path))
            return MemorySource(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModuleError(f"cannot read the file: {reason}", where=str(path), status=StatusCode.NOT_FOUND) from error


def _is_url(source: object) -> bool:
    return isinstance(source, str) and source.partition("://")[0] in ("http", "https", "blob", "data", "file")


def _download(url: str) -> bytes:
    from urllib.request import urlopen

    try:
        with urlopen(url) as response:
            data: bytes = response.read()
    except (OSError, ValueError) as error:
        raise ModuleError(f"cannot download: {error}", where=url, status=StatusCode.NOT_FOUND) from error
    return data


def _fetch_parameters(parameters: Any) -> Suspendable[Any]:
    """The same with files that are only to be had by waiting opened: those that a page names by URL."""
    if isinstance(parameters, dict):
        fetched = {}
        for scope, item in parameters.items():
            fetched[scope] = yield from _fetch_parameters(item)
        return fetched
    if not IN_BROWSER or not isinstance(parameters, (str, os.PathLike)):
        return parameters
    from webree.parameters.archive import open_archive

    return open_archive(*(yield from _open_source(parameters, None)))


# --- From bytes to a module ---------------------------------------------------------------------------------------


def _load(
    source: Any, device: DeviceName, parameters: Parameters | None, progress: Progress | None
) -> Suspendable[Module]:
    from webree.instantiate import choose_for, instantiate
    from webree.module.reader import read_module
    from webree.module.verifier import verify
    from webree.needs import find_needs

    data, name = yield from _open_source(source, progress)
    try:
        file = read_module(data)
        signatures = {
            export.name: parse_signature(
                export.name,
                file.signatures[export.ordinal].calling_convention.text,
                file.signatures[export.ordinal].attributes,
            )
            for export in file.exports
            if 0 <= export.ordinal < len(file.signatures) and _is_callable(export.name)
        }
        verified = verify(file)
        needs = find_needs(verified)
        chosen = yield from choose_for(needs, device)
        weights = yield from _fetch_parameters(parameters)
        context = yield from instantiate(verified, needs, chosen.device, weights)
    except ModuleError as error:
        if not name:
            raise
        raise ModuleError(str(error), where=name, status=error.status) from error
    return Module(file.name, context, chosen, signatures)


def _is_callable(name: str) -> bool:
    return name not in ("__init", "__deinit", "__notify")
