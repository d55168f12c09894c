"""The one hierarchy of errors that webree raises; nothing else escapes the public API on bad input.

Enters: what a failing place knows (operation, file, expected and found values). Leaves: an exception whose text
says what was found, what is supported, and what to do. Every class carries its facts as attributes as well, so
that programs need not parse text.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = [
    "CompileError",
    "DeviceError",
    "InvocationError",
    "ModuleError",
    "StatusCode",
    "UsageError",
    "WebreeError",
]


class StatusCode(IntEnum):
    """IREE status codes, as they travel in `vm.fail`, fences and `util.status`."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16
    DEFERRED = 17
    INCOMPATIBLE = 18


class WebreeError(Exception):
    """Base of everything webree raises on purpose.

    Attributes:
        status: the IREE status code nearest in meaning.
    """

    status: StatusCode = StatusCode.UNKNOWN

    def __init__(self, message: str, *, status: StatusCode | None = None) -> None:
        super().__init__(message)
        if status is not None:
            self.status = status


class UsageError(WebreeError):
    """A wrong option or argument of a command or of a public function; the CLI exits with code 2."""

    status = StatusCode.INVALID_ARGUMENT


class CompileError(WebreeError):
    """A model cannot be compiled.

    Attributes:
        op: name of the operation in the way (`onnx.Foo`, `spirv.Bar`), or None.
        location: where it stands in the source (file:line:column, or the ONNX node's name), or None.
        unsupported: True if the input is valid and webree cannot do it (yet); False if the input itself is invalid.
    """

    status = StatusCode.INVALID_ARGUMENT

    def __init__(
        self,
        message: str,
        *,
        op: str | None = None,
        location: str | None = None,
        unsupported: bool = False,
        status: StatusCode | None = None,
    ) -> None:
        super().__init__(message, status=status)
        self.op = op
        self.location = location
        self.unsupported = unsupported


class ModuleError(WebreeError):
    """A module file is damaged, not a module, or asks for something this runtime does not have.

    Attributes:
        where: the part of the file (`flatbuffer root`, `function 3 at byte 0x41`), or None.
    """

    status = StatusCode.INVALID_ARGUMENT

    def __init__(self, message: str, *, where: str | None = None, status: StatusCode | None = None) -> None:
        super().__init__(f"{where}: {message}" if where else message, status=status)
        self.where = where


class InvocationError(WebreeError):
    """A call failed: unknown function, wrong count, shape or dtype of an argument, or the program itself
    failed at run time (its status code is in `status`)."""

    status = StatusCode.INVALID_ARGUMENT


class DeviceError(WebreeError):
    """No adapter, a limit or feature missing, a lost device, out of memory, or a shader that a driver rejects.

    The text has the number asked for and the number available wherever there are such numbers.
    """

    status = StatusCode.UNAVAILABLE
