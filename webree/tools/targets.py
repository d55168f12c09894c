"""Where a command runs a module: on a native device, or in a browser; the same calls for both.

Enters: the `--device` option, then a module file. Leaves: a `Place`, which says what a model must be compiled for to
run there, and loads modules as `Target`s that call and measure functions. Which adapter it is, and why it was taken,
is in `adapter` and `reason`.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from webree.errors import UsageError
from webree.signature import Signature, parse_signature
from webree.tools.model_cache import is_model, module_file, open_module, require_file
from webree.waiting import run_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webree.device_choice import Chosen
    from webree.module_api import Module
    from webree.tools.browser_session import BrowserSession

__all__ = [
    "BROWSER",
    "CompilesFor",
    "Place",
    "Target",
    "choose_function",
    "module_for",
    "open_place",
    "read_signatures",
]

BROWSER = "browser"
_ANY_FORMAT = ("webgpu-wgsl-fb", "system-wasm-wasm_32", "vmvx-bytecode-fb")
"""A model can be compiled for every device: `auto` takes the best there is."""


class CompilesFor(NamedTuple):
    """What `webree.compile` is told for a device."""

    target: str
    profile: str | None = None


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

    def close(self) -> None:
        """Free what the module holds."""
        ...


class Place(Protocol):
    """A device that a command was told to use."""

    def compiles_for(self) -> CompilesFor:
        """What a model must be compiled for. Chooses the device. Raises `DeviceError` if there is none."""
        ...

    def load(self, path: Path, parameters: Mapping[str, Path]) -> Target:
        """A file's module. If the device is not chosen yet, it is now, among those that the module has code for."""
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


@contextmanager
def open_place(name: str) -> Iterator[Place]:
    """The place that `--device` names: `browser`, `browser:NAME` (a device of the browser), or a device's name."""
    where, _, inner = name.partition(":")
    if where != BROWSER:
        yield _NativePlace(name)
        return
    with ExitStack() as cleanup:
        yield _BrowserPlace(cleanup, inner or "auto")


def module_for(
    place: Place,
    path: Path,
    dims: Mapping[str, int],
    profile: str | None,
    accumulate: str,
    *,
    show_progress: bool | None = None,
) -> Path:
    """The module of `path`; a model is compiled for the place first."""
    require_file(path)
    if not is_model(path):
        return path
    wanted = place.compiles_for()
    return module_file(
        path,
        target=wanted.target,
        profile=profile or wanted.profile,
        dims=dims,
        accumulate=accumulate,
        show_progress=show_progress,
    )


def _compiles_for(driver: str, name: str, software: bool) -> CompilesFor:
    """The target of an adapter: the CPU driver has one for each of its adapters; others are named as their driver."""
    if driver == "cpu":
        return CompilesFor("vmvx" if name == "vmvx" else "cpu")
    return CompilesFor(driver, "webgpu-software" if software and driver == "webgpu" else None)


# --- In this process --------------------------------------------------------------------------------------------------


class _NativePlace:
    def __init__(self, name: str) -> None:
        self._name = name
        self._chosen: Chosen | None = None

    def compiles_for(self) -> CompilesFor:
        from webree.device_choice import choose_device

        self._chosen = run_sync(choose_device(self._name, _ANY_FORMAT if self._name == "auto" else None))
        info = self._chosen.device.info
        return _compiles_for(info.driver, info.name, info.software)

    def load(self, path: Path, parameters: Mapping[str, Path]) -> Target:
        return _Native(path, self._chosen, self._name, parameters)


class _Native:
    def __init__(self, path: Path, chosen: Chosen | None, name: str, parameters: Mapping[str, Path]) -> None:
        self._measurement = _measurement()
        self._module: Module
        device = chosen.device if chosen else name
        self._module, seconds = _finish(self._measurement.load(path, device, dict(parameters) or None))
        self.adapter = self._module.device.info.name
        self.reason = chosen.reason if chosen else self._module.device_reason
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


# --- In a browser -----------------------------------------------------------------------------------------------------

_CHOOSE = """
from webree.device_choice import choose_device
from webree.waiting import run_async

_info = (await run_async(choose_device(device, formats))).device.info
[_info.driver, _info.name, _info.software]
"""

_LOAD = """
module, _seconds = await load(url, device, parameters or None)
[module.device.info.name, module.device_reason, _seconds]
"""

_ARGUMENTS = """
_positional = [tensor(*value) if kind == "tensor" else value for kind, value in positional]
_named = {name: tensor(*value) if kind == "tensor" else value for name, (kind, value) in named.items()}
"""

_CALL = _ARGUMENTS + "await call(module[function], _positional, _named)"
_MEASURE = _ARGUMENTS + "await measure(module, function, _positional, _named, repetitions)"


class _BrowserPlace:
    """Headless Chromium, under Pyodide; started when it is first needed, so that usage errors come before."""

    def __init__(self, cleanup: ExitStack, device: str) -> None:
        self._cleanup = cleanup
        self._device = device
        self._started: BrowserSession | None = None

    def compiles_for(self) -> CompilesFor:
        formats = _ANY_FORMAT if self._device == "auto" else None
        return _compiles_for(*self._session().run(_CHOOSE, device=self._device, formats=formats))

    def load(self, path: Path, parameters: Mapping[str, Path]) -> Target:
        return _Browser(self._session(), path, self._device, parameters)

    def _session(self) -> BrowserSession:
        from webree.tools.browser_session import BrowserSession

        if self._started is None:
            self._started = self._cleanup.enter_context(BrowserSession())
        return self._started


class _Browser:
    def __init__(self, session: BrowserSession, path: Path, device: str, parameters: Mapping[str, Path]) -> None:
        self._session = session
        text = Path(_measurement().__file__ or "").read_text(encoding="utf-8")
        session.run(text + "\nNone\n")
        url = session.serve("module.vmfb", path.read_bytes())
        urls = {
            scope: session.serve(f"parameters/{file.name}", file.read_bytes()) for scope, file in parameters.items()
        }
        name, reason, seconds = session.run(_LOAD, url=url, device=device, parameters=urls)
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

    def close(self) -> None:
        """The session ends with the place, and everything with it."""


def _arguments(positional: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "positional": [_tagged(value) for value in positional],
        "named": {name: _tagged(value) for name, value in named.items()},
    }


def _tagged(value: Any) -> list[Any]:
    if not hasattr(value, "shape"):
        return ["number", value]
    return ["tensor", [value.tobytes(), list(value.shape), value.dtype.name]]
