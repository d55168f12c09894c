"""One MLIR session: parse a source, run the compiler from phase to phase, turn diagnostics into errors.

Enters: source bytes or a module built in the session's context. Leaves: the module after a phase, as an in-memory
`iree.compiler.ir.Operation`, or the bytes of a module file. The wheel's Python class wraps neither the phases to start
and stop at nor the diagnostics callback; both are reached through the ctypes library that it loads.
Nothing is printed: every error of MLIR becomes a `CompileError`, warnings are kept in `Session.warnings`.
"""

from __future__ import annotations

import ctypes
import importlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from webree.errors import CompileError, UsageError

__all__ = ["Diagnostic", "Session", "require_compiler"]

_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
_WARNING, _ERROR = 1, 2

_LOCATED = re.compile(r"\A(?:loc\((?P<location>.*?)\)|(?P<file>[^\n]*?:\d+:\d+)): ")
_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"(?::(\d+):(\d+))?')
_SCOPE = "graph:"  # the ONNX importer's location of a whole graph
_QUOTED_OP = re.compile(r"'([A-Za-z_][\w$]*(?:\.[\w$]+)+)'")
_TORCH_OPERATOR = re.compile(r'name = "([\w.]+)"')
_CURRENT_OPERATION = re.compile(r"\n+[^\n]*see current operation: (?P<operation>.*)", re.DOTALL)
_MESSAGE_LENGTH = 1000
_SUMMARIES = ("failed to run translation of source executable", "failed to serialize", "failed to translate the MLIR")
_UNSUPPORTED = (
    *("failed to legalize", "not supported", "unsupported", "unimplemented", "unhandled"),
    *("Dialect `", "unregistered dialect", "' is unknown"),
)
_ADVICE = ". If this is intended, please "  # use a flag of MLIR's own tools


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One error or warning of MLIR.

    Attributes:
        message: the text without its location and without the printed operation.
        location: `file:line:column`, or a name given to the operation by the front end, or None.
        op: name of the operation it is about (an ONNX operator as `onnx.Name`), or None.
        is_error: error or warning.
    """

    message: str
    location: str | None
    op: str | None
    is_error: bool


def require_compiler() -> None:
    """Check that the compiler's wheel is installed; raises `CompileError` that says what to install."""
    try:
        importlib.import_module("iree.compiler.api")
    except ImportError as error:
        raise CompileError(
            "compiling needs the package iree-base-compiler, which is not installed; "
            'install it with: pip install "webree[compiler]"'
        ) from error


class Session:
    """An MLIR context with the compiler's flags. Use as a context manager; not for several threads at once.

    Attributes:
        warnings: warnings so far, in order, each once.
    """

    def __init__(self, flags: Sequence[str] = ()) -> None:
        """Raises `UsageError` for a flag that the compiler does not know."""
        require_compiler()
        from iree.compiler import api

        self.warnings: list[Diagnostic] = []
        self._api = api
        self._session = api.Session()
        self.set_flags(flags)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self._session.close()

    @property
    def context(self) -> Any:
        """The session's `iree.compiler.ir.Context`; modules for `run` are built in it."""
        return self._session.context

    def set_flags(self, flags: Sequence[str]) -> None:
        """Set session flags of `iree-compile`. Raises `UsageError` for one that is not known."""
        for flag in flags:
            try:
                self._session.set_flags(flag)
            except ValueError as error:
                detail = " ".join(str(error).split()).removeprefix("Error parsing flags: ")
                raise UsageError(f"compiler flag {flag!r} is not accepted: {detail}") from error

    def parse(self, data: bytes, name: str) -> Any:
        """The module in MLIR text or bytecode. Raises `CompileError` with `name:line:column` if it is invalid."""
        is_bytecode = data[:4] == b"ML\xefR"
        with _Invocation(self) as invocation:
            buffer = data if is_bytecode else data + b"\0"
            source = self._api.Source.wrap_buffer(self._session, buffer, buffer_name=name)
            if not invocation.parse_source(source):
                raise invocation.error("not valid MLIR", name)
            return invocation.export_module()

    def run(self, module: Any, *, start: str | None, end: str, what: str) -> Any:
        """Run the phases after `start` (None: from the beginning) up to and with `end` on `module`, and return it."""
        with _Invocation(self) as invocation:
            invocation.take(module)
            invocation.set_phases(start, end)
            if not invocation.execute():
                raise invocation.error(f"{what} fails")
            return invocation.export_module()

    def run_passes(self, module: Any, pipeline: str, what: str) -> Any:
        """Run a textual pipeline of module passes (`pass-a,pass-b`) on `module`, and return it."""
        with _Invocation(self) as invocation:
            invocation.take(module)
            if not invocation.execute_text_pass_pipeline(pipeline):
                raise invocation.error(f"{what} fails")
            return invocation.export_module()

    def emit(self, module: Any, *, start: str) -> bytes:
        """Run all phases after `start` and return the module file's bytes."""
        with _Invocation(self) as invocation:
            invocation.take(module)
            invocation.set_phases(start, "end")
            if not invocation.execute():
                raise invocation.error("lowering of the host program fails")
            output = self._api.Output.open_membuffer()
            try:
                invocation.output_vm_bytecode(output)
                return bytes(output.map_memory())
            except ValueError as failure:
                raise invocation.error("the module file cannot be written") from failure
            finally:
                output.close()


class _Invocation:
    """One run of the compiler, with its diagnostics."""

    def __init__(self, session: Session) -> None:
        self._owner = session
        self._invocation = session._session.invocation()
        self._library = _library(session._api)
        self._errors: list[Diagnostic] = []
        self._callback = _CALLBACK(self._collect)  # kept alive as long as the invocation
        self._library.ireeCompilerInvocationEnableCallbackDiagnostics(self._invocation._inv_p, 0, self._callback, None)

    def __enter__(self) -> _Invocation:
        return self

    def __exit__(self, *exception: object) -> None:
        self._invocation.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._invocation, name)

    def take(self, module: Any) -> None:
        try:
            self._invocation.import_module(module)
        except RuntimeError as failure:
            raise self.error("the module is not accepted by the compiler") from failure

    def set_phases(self, start: str | None, end: str) -> None:
        handle = self._invocation._inv_p
        if start is not None:
            self._library.ireeCompilerInvocationSetCompileFromPhase(handle, start.encode())
        self._library.ireeCompilerInvocationSetCompileToPhase(handle, end.encode())

    def error(self, what: str, place: str | None = None) -> CompileError:
        """The `CompileError` for a failed step: the first error in full, the number of further ones.

        `place`: where it is if the compiler does not say."""
        if not self._errors:
            where = f"{place}: " if place else ""
            return CompileError(f"{where}{what}, and the compiler gives no reason", location=place)
        first = self._errors[0]
        others = _unique(
            error.message
            for error in self._errors[1:]
            if error.message != first.message and not error.message.startswith(_SUMMARIES)
        )
        place = first.location or place
        where = f"{place}: " if place else ""
        more = "".join(f"\n  also: {_shortened(message)}" for message in others[:3])
        unsupported = any(mark in first.message for mark in _UNSUPPORTED)
        return CompileError(
            f"{where}{what}: {_shortened(first.message)}{more}",
            op=first.op,
            location=place,
            unsupported=unsupported,
        )

    def _collect(self, severity: int, text: int, size: int, _user_data: int) -> None:
        if severity not in (_WARNING, _ERROR):
            return
        diagnostic = parse_diagnostic(ctypes.string_at(text, size).decode(errors="replace"), severity == _ERROR)
        if diagnostic.is_error:
            self._errors.append(diagnostic)
        elif diagnostic not in self._owner.warnings:
            self._owner.warnings.append(diagnostic)


def parse_diagnostic(text: str, is_error: bool) -> Diagnostic:
    """Split MLIR's text `location: message`, followed by the printed operation, into its parts."""
    location = None
    located = _LOCATED.match(text)
    if located:
        names = location_names(located["location"] or "")
        location = located["file"] or (names[0] if names else None)
        text = text[located.end() :]
    operation = _CURRENT_OPERATION.search(text)
    message = (text[: operation.start()] if operation else text).partition("\n\n")[0].strip()
    message = message.partition(_ADVICE)[0]
    quoted = _QUOTED_OP.search(message)
    op = quoted.group(1) if quoted else None
    if op == "torch.operator":
        named = _TORCH_OPERATOR.search(text)
        op = named.group(1) if named else op
    return Diagnostic(message, location, op, is_error)


def location_names(text: str) -> list[str]:
    """Names and file positions in a printed MLIR location, in its order, each once; none for an unknown one."""
    found = (f"{name}:{line}:{column}" if line else name for name, line, column in _NAME.findall(text))
    return _unique(name for name in found if name and not name.startswith(_SCOPE))


def _shortened(message: str) -> str:
    return message if len(message) <= _MESSAGE_LENGTH else message[:_MESSAGE_LENGTH] + " …"


def _unique(messages: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(messages))


def _library(api: Any) -> Any:
    """The compiler's C library, with the signatures that the wheel's Python side does not declare.

    Declared on a handle of our own, so that nobody else's view of the library changes."""
    global _handle
    if _handle is None:
        library = ctypes.CDLL(api.ctypes_dl._dylib._name)
        for name in ("ireeCompilerInvocationSetCompileFromPhase", "ireeCompilerInvocationSetCompileToPhase"):
            getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_char_p]
            getattr(library, name).restype = None
        diagnostics = library.ireeCompilerInvocationEnableCallbackDiagnostics
        diagnostics.argtypes = [ctypes.c_void_p, ctypes.c_int, _CALLBACK, ctypes.c_void_p]
        diagnostics.restype = None
        _handle = library
    return _handle


_handle: Any = None
