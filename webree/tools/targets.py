"""Where a command runs a module: on a native device, or in a browser; the same calls for both.

Enters: a module file and the `--device` option. Leaves: a `Target` that calls and measures functions. Which adapter it
is, and why it was taken, is in `adapter` and `reason`.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from webree.errors import DeviceError, StatusCode, UsageError
from webree.signature import Signature, parse_signature
from webree.tools.model_cache import open_module
from webree.waiting import run_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webree.device_choice import Chosen
    from webree.module_api import Module
    from webree.tools.browser_session import BrowserSession

__all__ = ["BROWSER", "Target", "choose_function", "open_target", "pick_device", "read_signatures"]

BROWSER = "browser"
_BROWSER_PROFILE = "webgpu-software"  # the headless browser computes on SwiftShader


class Target(Protocol):
    """A loaded module somewhere.

    Attributes:
        adapter: name of the adapter it runs on.
        reason: why that one.
        load_ms: how long loading took, kernels compiled and constants on their way.
    """

    adapter: str
    reason: str
    load_ms: float

    def call(self, function: str, positional: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
        """All outputs of one call."""
        ...

    def measure(
        self, function: str, positional: Sequence[Any], named: Mapping[str, Any], repetitions: int
    ) -> dict[str, Any]:
        """See webree/tools/measurement.py."""
        ...


def read_signatures(path: Path) -> dict[str, Signature]:
    """The public functions of a module file, without loading it on a device. Raises `ModuleError`."""
    module = open_module(path)
    found: dict[str, Signature] = {}
    for export in module.exports:
        if not export.name.startswith("__") and "$" not in export.name and export.ordinal < len(module.signatures):
            stored = module.signatures[export.ordinal]
            found[export.name] = parse_signature(export.name, stored.calling_convention.text, stored.attributes)
    return found


def choose_function(signatures: Mapping[str, Signature], name: str | None) -> Signature:
    """The function of that name; without a name the only one, or `main`. Raises `UsageError` that lists them."""
    listed = "\n  ".join(map(str, signatures.values())) or "none"
    if name is None and len(signatures) == 1:
        return next(iter(signatures.values()))
    if (name or "main") in signatures:
        return signatures[name or "main"]
    if name is None:
        raise UsageError(f"the module has several functions, choose one with --function:\n  {listed}")
    raise UsageError(f"the module has no function {name!r}; it has:\n  {listed}")


def pick_device(name: str) -> tuple[Chosen | None, str]:
    """The open device of that name (None for the browser) and the profile to compile for it. Raises `DeviceError`."""
    from webree.device_choice import choose_device
    from webree.hal.registry import driver_names

    if name == BROWSER:
        return None, _BROWSER_PROFILE
    if name == "cpu" and "cpu" not in driver_names():
        raise DeviceError(
            "the device `cpu` comes with a later release of webree; there are: auto, browser, "
            f"{', '.join(driver_names())}, and the adapters that `webree devices` lists. A software adapter "
            "(apt-get install mesa-vulkan-drivers) computes on the CPU",
            status=StatusCode.UNIMPLEMENTED,
        )
    chosen = run_sync(choose_device(name))
    return chosen, "webgpu-software" if chosen.device.info.software else "webgpu"


@contextmanager
def open_target(path: Path, chosen: Chosen | None, parameters: Mapping[str, Path]) -> Iterator[Target]:
    """The module of a file, loaded on a chosen device, or in a browser if it is None."""
    if chosen is not None:
        native = _Native(path, chosen, parameters)
        try:
            yield native
        finally:
            native.close()
        return
    from webree.tools.browser_session import BrowserSession

    with BrowserSession() as session:
        yield _Browser(session, path, parameters)


class _Native:
    """In this process."""

    def __init__(self, path: Path, chosen: Chosen, parameters: Mapping[str, Path]) -> None:
        self._measurement = _measurement()
        info = chosen.device.info
        self.adapter, self.reason = info.name, chosen.reason
        self._module: Module
        self._module, seconds = _finish(self._measurement.load(path, chosen.device, dict(parameters) or None))
        self.load_ms = seconds * 1e3

    def call(self, function: str, positional: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
        results: list[Any] = _finish(self._measurement.call(self._module[function], positional, named))
        return results

    def measure(
        self, function: str, positional: Sequence[Any], named: Mapping[str, Any], repetitions: int
    ) -> dict[str, Any]:
        numbers: dict[str, Any] = _finish(
            self._measurement.measure(self._module, function, positional, named, repetitions)
        )
        return numbers

    def close(self) -> None:
        self._module.close()


def _finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that natively never waits; without an event loop, as one may be running already."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("measurement.py waits for something natively")


def _measurement() -> ModuleType:
    from webree.tools import measurement

    return measurement


_LOAD = """
module, _seconds = await load(url, "auto", parameters or None)
[module.device.info.name, module.device_reason, _seconds]
"""

_ARGUMENTS = """
_positional = [tensor(*value) if kind == "tensor" else value for kind, value in positional]
_named = {name: tensor(*value) if kind == "tensor" else value for name, (kind, value) in named.items()}
"""

_CALL = _ARGUMENTS + "await call(module[function], _positional, _named)"
_MEASURE = _ARGUMENTS + "await measure(module, function, _positional, _named, repetitions)"


class _Browser:
    """In headless Chromium, under Pyodide."""

    def __init__(self, session: BrowserSession, path: Path, parameters: Mapping[str, Path]) -> None:
        self._session = session
        text = Path(_measurement().__file__ or "").read_text(encoding="utf-8")
        session.run(text + "\nNone\n")
        url = session.serve("module.vmfb", path.read_bytes())
        urls = {
            scope: session.serve(f"parameters/{file.name}", file.read_bytes()) for scope, file in parameters.items()
        }
        name, reason, seconds = session.run(_LOAD, url=url, parameters=urls)
        self.adapter, self.reason, self.load_ms = f"{name} (Chromium)", reason, seconds * 1e3

    def call(self, function: str, positional: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
        results: list[Any] = self._session.run(_CALL, function=function, **_arguments(positional, named))
        return results

    def measure(
        self, function: str, positional: Sequence[Any], named: Mapping[str, Any], repetitions: int
    ) -> dict[str, Any]:
        arguments = _arguments(positional, named)
        numbers: dict[str, Any] = self._session.run(_MEASURE, function=function, repetitions=repetitions, **arguments)
        return numbers


def _arguments(positional: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "positional": [_tagged(value) for value in positional],
        "named": {name: _tagged(value) for name, value in named.items()},
    }


def _tagged(value: Any) -> list[Any]:
    if not hasattr(value, "shape"):
        return ["number", value]
    return ["tensor", [value.tobytes(), list(value.shape), value.dtype.name]]
