"""The translated functions of one module in one context: Python code objects, made when first called.

Enters: a verified module and its resolved imports. Leaves: a callable per internal function. All functions of a
program share one namespace, so that calls between them and to imports are plain Python calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, NoReturn

from webree.errors import InvocationError, StatusCode
from webree.module.isa import IMPORT_BIT
from webree.module.verifier import VerifiedModule
from webree.vm import arithmetic, buffers, lists
from webree.vm.buffers import VmBuffer
from webree.vm.globals import GlobalState
from webree.vm.native import NativeFunction
from webree.vm.translate import Callees, translate

__all__ = ["Program", "fail", "typed"]

_CODE_NAME = "<webree function"


class _Reschedule:
    """The wait of a `yield` instruction: let others run, then go on."""

    def block(self) -> None:
        return None

    async def wait(self) -> None:
        from asyncio import sleep  # heavy, and only needed by programs that yield

        await sleep(0)


def fail(status: int, message: str) -> InvocationError:
    """What a `fail` instruction raises."""
    try:
        code = StatusCode(status & 0x1F)
    except ValueError:
        code = StatusCode.UNKNOWN
    return InvocationError(message or f"the program failed with status {code.name}", status=code)


def typed(value: Any, kind: Any) -> Any:
    """`value`, a reference to an object of `kind`, or null."""
    if value is None or isinstance(value, kind):
        return value
    expected = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,))) or "a number"
    raise InvocationError(
        f"expected a reference to {expected}, found one to {type(value).__name__}",
        status=StatusCode.INVALID_ARGUMENT,
    )


def _library() -> dict[str, Any]:
    """The names that every translated function may use."""
    names: dict[str, Any] = {"fail": fail, "typed": typed, "RESCHEDULE": _Reschedule(), "inf": math.inf}
    names.update({"nan": math.nan, "atan": math.atan, "atan2": math.atan2, "tanh": math.tanh, "erf": math.erf})
    names.update(buffers.VIEWERS)
    names["NO_VIEW"] = buffers.NO_VIEW
    for module in (arithmetic, buffers, lists):
        names.update({name: value for name, value in vars(module).items() if callable(value) and name[0] != "_"})
    return names


class Program:
    """The code of one module.

    Attributes:
        module: what was verified.
        state: the module's globals.
    """

    def __init__(
        self, module: VerifiedModule, imports: Sequence[NativeFunction | None], kinds: Mapping[str, Any]
    ) -> None:
        """`imports` has one function per import, None where an optional one is missing; `kinds` maps type names to
        Python classes, `object` where any reference will do."""
        file = module.file
        self.module = module
        self.state = GlobalState(file.global_byte_count, file.global_ref_count)
        self._namespace = {**_library(), **self.state.names()}
        self._line_pcs: dict[str, Sequence[int]] = {}
        for ordinal, function in enumerate(imports):
            call = _missing(file.imports[ordinal].full_name) if function is None else function.call
            self._namespace[f"M{ordinal}"] = call
        for ordinal, source in enumerate(file.rodata):
            self._namespace[f"C{ordinal}"] = VmBuffer(source)
        for ordinal, name in enumerate(file.types):
            self._namespace[f"T{ordinal}"] = kinds[name]
        for ordinal in range(len(file.functions)):
            self._namespace[f"F{ordinal}"] = self._stub(ordinal)
        imports_suspend = [function is not None and function.suspends for function in imports]
        self.callees = Callees(
            imports_suspend=imports_suspend,
            functions_suspend=_find_suspending(module, imports_suspend),
            imports_resolved=[function is not None for function in imports],
            untyped=frozenset(ordinal for ordinal, name in enumerate(file.types) if kinds[name] is object),
        )

    def function(self, ordinal: int) -> Callable[..., Any]:
        """The callable of an internal function; it returns a generator if the function may suspend."""
        return self._namespace[f"F{ordinal}"]  # type: ignore[no-any-return]

    def suspends(self, ordinal: int) -> bool:
        """Whether calls of an internal function return a generator."""
        return self.callees.functions_suspend[ordinal]

    def source(self, ordinal: int) -> str:
        """The Python source of an internal function, for people to look at."""
        return translate(self.module.file, ordinal, self.module.code[ordinal], self.callees).source

    def release(self) -> None:
        """Drop globals, constants and imports. Calls that are under way fail where they go on."""
        self.state.release()
        for name in self._namespace:
            if name[0] in "CFM" and name[1:].isdecimal():
                self._namespace[name] = None if name[0] == "C" else _closed

    def location(self, trace: TracebackType | None, *, innermost: bool = False) -> str:
        """Where in the program an exception was raised: function, bytecode offset and source location, or "".

        With `innermost`, only if it was raised by the translated code itself."""
        if innermost and trace is not None:
            while trace.tb_next is not None:
                trace = trace.tb_next
        found: tuple[FrameType, int] | None = None
        while trace is not None:
            if trace.tb_frame.f_globals is self._namespace and trace.tb_frame.f_code.co_filename in self._line_pcs:
                found = (trace.tb_frame, trace.tb_lineno)
            trace = trace.tb_next
        if found is None:
            return ""
        frame, line = found
        pcs = self._line_pcs[frame.f_code.co_filename]
        ordinal = int(frame.f_code.co_name[1:])
        pc = pcs[min(line, len(pcs)) - 1]
        name = self.module.file.function_name(ordinal)
        source = self.module.file.debug.locate(name, pc)
        return f"{name} at byte 0x{pc:X}" + (f", {source}" if source else "")

    def _stub(self, ordinal: int) -> Callable[..., Any]:
        """Stands for a function until its first call."""

        def first_call(*arguments: Any) -> Any:
            return self._compile(ordinal)(*arguments)

        return first_call

    def _compile(self, ordinal: int) -> Callable[..., Any]:
        translation = translate(self.module.file, ordinal, self.module.code[ordinal], self.callees)
        file_name = f"{_CODE_NAME} {ordinal} of {self.module.file.name!a}>"  # a NUL would be refused
        self._line_pcs[file_name] = translation.line_pcs
        exec(compile(translation.source, file_name, "exec"), self._namespace)
        return self._namespace[f"F{ordinal}"]  # type: ignore[no-any-return]


def _closed(*_arguments: Any) -> NoReturn:
    raise InvocationError("the module has been closed", status=StatusCode.FAILED_PRECONDITION)


def _missing(full_name: str) -> Callable[..., NoReturn]:
    def call(*_arguments: Any) -> NoReturn:
        raise InvocationError(f"the optional import {full_name} is not available", status=StatusCode.NOT_FOUND)

    return call


def _find_suspending(module: VerifiedModule, imports_suspend: Sequence[bool]) -> list[bool]:
    """Functions that yield, call an import that suspends, or call such a function."""
    suspends = [False] * len(module.code)
    callers: list[set[int]] = [set() for _ in module.code]
    for ordinal, instructions in enumerate(module.code):
        for instruction in instructions:
            name = instruction.opcode.name
            if name == "yield":
                suspends[ordinal] = True
            elif name.startswith("call"):
                function = instruction.values[0]
                if not function & IMPORT_BIT:
                    callers[function].add(ordinal)
                elif imports_suspend[function & ~IMPORT_BIT]:
                    suspends[ordinal] = True
    work = [ordinal for ordinal, flag in enumerate(suspends) if flag]
    while work:
        for caller in callers[work.pop()]:
            if not suspends[caller]:
                suspends[caller] = True
                work.append(caller)
    return suspends
