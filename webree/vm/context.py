"""A module ready to run: imports resolved, state initialised, functions callable.

Enters: a `ModuleFile` and the native modules it may import from. Leaves: a `Context` whose `exports` can be invoked.
Everything that may wait is a generator (webree/waiting.py).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

from webree.errors import InvocationError, ModuleError, StatusCode
from webree.module.reader import ImportedFunction, ModuleFile
from webree.module.signature import Signature
from webree.module.verifier import VerifiedModule, verify
from webree.vm.buffers import VmBuffer
from webree.vm.lists import VmList
from webree.vm.native import NativeFunction, NativeModule
from webree.vm.program import Program
from webree.vm.values import to_argument
from webree.waiting import Suspendable, Wait

__all__ = ["Context", "Function"]

_NUMBERS = ("i8", "i16", "i32", "i64", "f32", "f64")


class Function:
    """An exported function.

    Attributes:
        name: as exported.
        signature: calling convention and reflection attributes.
    """

    def __init__(self, context: Context, name: str, ordinal: int) -> None:
        self._context = context
        self._ordinal = ordinal
        self.name = name
        self.signature: Signature = context.module.signatures[ordinal]

    def invoke(self, arguments: Sequence[Any]) -> Suspendable[tuple[Any, ...]]:
        """Call with values as webree/vm/native.py describes them; returns the tuple of results.

        Raises `InvocationError` for wrong arguments and where the program fails; what native functions raise passes
        through."""
        letters = self.signature.calling_convention.arguments
        if len(arguments) != len(letters):
            raise InvocationError(f"{self.name} takes {len(letters)} values, found {len(arguments)}")
        values = [
            to_argument(letter, value, f"{self.name}, value {position}")
            for position, (letter, value) in enumerate(zip(letters, arguments, strict=True))
        ]
        del arguments
        result = yield from self._context.run(self._ordinal, values)
        count = len(self.signature.calling_convention.results)
        return result if count > 1 else (result,) if count else ()

    def __repr__(self) -> str:
        return f"<function {self.name} {self.signature.calling_convention.text}>"


class Context:
    """A loaded module. Make one with `yield from Context.create(...)`; `close` it when done.

    Attributes:
        module: the file it came from.
        exports: functions by name, without `__init`, `__deinit` and `__notify`.
        program: the translated code.
    """

    def __init__(self, verified: VerifiedModule, natives: Sequence[NativeModule]) -> None:
        """Verified code bound to its imports, not yet initialised: use `create`."""
        module = verified.file
        by_name = {native.name: native for native in natives}
        _check_dependencies(module, by_name)
        imports = [_resolve(imported, by_name) for imported in module.imports]
        self.module = module
        self.program = Program(verified, imports, _resolve_types(module.types, natives))
        functions = {export.name: Function(self, export.name, export.ordinal) for export in module.exports}
        self._hooks = {name: functions.pop(name) for name in ("__init", "__deinit", "__notify") if name in functions}
        self.exports: Mapping[str, Function] = functions
        self._closed = False
        for hook, letters in (("__init", "0v_v"), ("__deinit", "0v_v"), ("__notify", "0i_v")):
            if hook in self._hooks:
                _check_hook(self._hooks[hook], letters)

    @classmethod
    def create(cls, module: ModuleFile | VerifiedModule, natives: Sequence[NativeModule]) -> Suspendable[Context]:
        """Verify `module` (unless that is done), bind its imports to `natives` and run its initialiser.

        Raises `ModuleError`, and whatever the initialiser raises."""
        context = cls(module if isinstance(module, VerifiedModule) else verify(module), natives)
        if "__init" in context._hooks:
            try:
                yield from context._hooks["__init"].invoke(())
            except BaseException:
                context.program.release()
                context._closed = True
                raise
        return context

    def notify(self, signal: int) -> Suspendable[None]:
        """Tell the module of a signal (0 resume, 1 suspend, 2 low memory), if it wants to know."""
        if "__notify" in self._hooks:
            yield from self._hooks["__notify"].invoke((signal,))

    def close(self) -> Suspendable[None]:
        """Run the module's deinitialiser and drop its state. A second call does nothing."""
        if self._closed:
            return
        try:
            if "__deinit" in self._hooks:
                yield from self._hooks["__deinit"].invoke(())
        finally:
            self._closed = True
            self.program.release()

    def run(self, ordinal: int, values: list[Any]) -> Generator[Wait, Any, Any]:
        """Call an internal function with checked values; takes them out of the list."""
        if self._closed:
            raise InvocationError("the module has been closed", status=StatusCode.FAILED_PRECONDITION)
        program = self.program
        try:
            result = program.function(ordinal)(*values)
            if program.suspends(ordinal):
                values.clear()  # the program releases its arguments when it is done with them
                result = yield from result
            return result
        except InvocationError as error:
            location = program.location(error.__traceback__)
            if location and not getattr(error, "__notes__", None):
                error.add_note(f"in {location}")
            raise
        except IndexError as error:
            location = program.location(error.__traceback__, innermost=True)
            if not location:
                raise
            outside = InvocationError("an access lies outside a buffer", status=StatusCode.OUT_OF_RANGE)
            outside.add_note(f"in {location}")
            raise outside from None
        except RecursionError as error:
            raise InvocationError(
                f"calls are nested too deeply in {program.location(error.__traceback__)}",
                status=StatusCode.RESOURCE_EXHAUSTED,
            ) from None
        except MemoryError as error:
            raise InvocationError(
                f"out of host memory in {program.location(error.__traceback__)}", status=StatusCode.RESOURCE_EXHAUSTED
            ) from None


def _check_hook(function: Function, letters: str) -> None:
    convention = function.signature.calling_convention
    expected = letters.replace("v", "")
    if "0" + "".join(convention.arguments) + "_" + "".join(convention.results) != expected:
        raise ModuleError(f"has calling convention {convention.text!r}, expected {letters!r}", where=function.name)


def _check_dependencies(module: ModuleFile, natives: Mapping[str, NativeModule]) -> None:
    for dependency in module.dependencies:
        native = natives.get(dependency.name)
        where = f"dependency {dependency.name}"
        if native is None:
            if dependency.optional:
                continue
            raise ModuleError(
                f"module {module.name!r} needs a module that is not loaded (loaded: {_names(natives)})",
                where=where,
                status=StatusCode.NOT_FOUND,
            )
        if native.version < dependency.minimum_version:
            raise ModuleError(
                f"version {dependency.minimum_version} is needed, this runtime has {native.version}; update webree",
                where=where,
                status=StatusCode.NOT_FOUND,
            )


def _resolve(imported: ImportedFunction, natives: Mapping[str, NativeModule]) -> NativeFunction | None:
    native = natives.get(imported.module)
    function = native.functions.get(imported.name) if native is not None else None
    where = f"import {imported.full_name}"
    if function is None:
        if imported.optional:
            return None
        known = f"module {imported.module!r} has no such function" if native else f"loaded are {_names(natives)}"
        raise ModuleError(f"not found: {known}", where=where, status=StatusCode.NOT_FOUND)
    wanted = imported.signature.calling_convention.text if imported.signature else ""
    if wanted and wanted != function.calling_convention:
        raise ModuleError(
            f"the module calls it as {wanted!r}, this runtime has {function.calling_convention!r}; "
            "compile the model again with this version of webree",
            where=where,
        )
    return function


def _resolve_types(names: Iterable[str], natives: Sequence[NativeModule]) -> dict[str, Any]:
    """The Python class of each type; `object` where the natives do not say.

    A native module may have an attribute `types`, a mapping from `hal.buffer` and the like to classes."""
    known: dict[str, Any] = {"vm.opaque": object, "vm.buffer": VmBuffer, "vm.list": VmList}
    rooms = {"vm", "hal"} | {native.name for native in natives}
    for native in natives:
        known.update(getattr(native, "types", {}))
    kinds: dict[str, Any] = {}
    for name in names:
        short = name.removeprefix("!").partition("<")[0]
        if name in _NUMBERS:
            kinds[name] = ()
        elif short in known:
            kinds[name] = known[short]
        elif short.partition(".")[0] in rooms - {"vm"}:
            kinds[name] = object
        else:
            raise ModuleError(f"unknown type {name!r}", where="types", status=StatusCode.NOT_FOUND)
    return kinds


def _names(natives: Mapping[str, NativeModule]) -> str:
    return ", ".join(sorted(natives)) or "none"
