"""Loaded modules and their functions, as users hold them.

Enters: a VM context on a device. Leaves: `Module`, whose functions are attributes, and `Function`, which is called like
a Python function, with a coroutine twin of the same name and `_async` (see webree/waiting.py: one body serves both).

Calls of one module take turns while their host program runs, so that programs with state stay right however many calls
are in flight; the device works on all of them in that order, and each waits for its own results only.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from webree.array import DeviceArray
from webree.device_choice import Chosen
from webree.dtypes import DType, by_name
from webree.errors import InvocationError, StatusCode
from webree.hal.fence import Fence, until
from webree.marshal import encode_arguments, read_back, to_device, wrap
from webree.signature import ScalarType, Signature
from webree.turns import Turns
from webree.waiting import Suspendable, run_async, run_sync

if TYPE_CHECKING:
    from webree.hal.device import Device
    from webree.vm.context import Context

__all__ = ["Function", "Module"]

_ASYNC = "_async"


class Module:
    """A module loaded on a device; made by `webree.load` and `webree.load_async`.

    Its functions are attributes (`module.main(x)`, `await module.main_async(x)`) and items (`module["main"]`). It is a
    context manager; `close()` frees what it holds on the device. Safe to use from several threads and tasks.

    Attributes:
        name: the module's own name.
        device: the device it runs on; `device.info` says which adapter that is.
        device_reason: why this device was taken.
        functions: the exported functions by name, without the module's internal ones.
    """

    def __init__(self, name: str, context: Context, chosen: Chosen, signatures: Mapping[str, Signature]) -> None:
        self.name = name
        self.device: Device = chosen.device
        self.device_reason = chosen.reason
        self._instance = Instance(name, context, chosen.device)
        self._all = {name: Function(self._instance, signature) for name, signature in signatures.items()}
        self.functions: Mapping[str, Function] = MappingProxyType(
            {name: function for name, function in self._all.items() if not _is_internal(name)}
        )

    def __getitem__(self, name: str) -> Function:
        """The function of that name, also an internal one. Raises `InvocationError` with the names there are."""
        function = self._all.get(name)
        if function is None:
            raise InvocationError(self._no_function(name), status=StatusCode.NOT_FOUND)
        return function

    def __getattr__(self, name: str) -> Any:
        functions: Mapping[str, Function] = self.__dict__.get("_all", {})
        if name in functions:
            return functions[name]
        if name.endswith(_ASYNC) and (plain := name.removesuffix(_ASYNC)) in functions:
            return functions[plain].call_async
        if name.startswith("__") or not functions:
            raise AttributeError(name)
        raise UnknownFunctionError(self._no_function(name))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.functions, *(name + _ASYNC for name in self.functions)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.functions)

    def __enter__(self) -> Module:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def to_device(self, value: Any, dtype: str | None = None) -> DeviceArray:
        """Copy an array, a number or a nested list to this module's device, to be passed to calls many times.

        `dtype` is a NumPy name; numbers and lists are float32 without it, arrays keep theirs. Returns at once."""
        element: DType | None = None
        if dtype is not None:
            try:
                element = by_name(dtype)
            except KeyError:
                raise InvocationError(f"to_device: unknown dtype {dtype!r}") from None
        self._instance.open_context()
        array: DeviceArray = wrap(to_device(value, self.device, element))
        return array

    def close(self) -> None:
        """Run the module's clean-up and free its memory. Later calls raise `InvocationError`. Safe to call twice."""
        run_sync(self._instance.close())

    async def close_async(self) -> None:
        """As `close`, as a coroutine, after the calls that are in flight."""
        await run_async(self._instance.close())

    def _no_function(self, name: str) -> str:
        near = get_close_matches(name.removesuffix(_ASYNC), self.functions, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        return f"module {self.name!r} has no function {name!r}{hint}; it has: {', '.join(self.functions) or 'none'}"

    def __repr__(self) -> str:
        state = "closed" if self._instance.context is None else f"on {self.device.info.name}"
        lines = "".join(f"\n  {function.signature}" for function in self.functions.values())
        return f"<webree.Module {self.name!r} {state}>{lines}"


class Instance:
    """What a module and its functions share. When the last of them is gone its memory goes back to the device."""

    def __init__(self, name: str, context: Context, device: Device) -> None:
        self.name = name
        self.device = device
        self.context: Context | None = context
        self._turns = Turns()

    def open_context(self) -> Context:
        """The context. Raises `InvocationError` after `close`."""
        if self.context is None:
            raise InvocationError(f"module {self.name!r} is closed", status=StatusCode.FAILED_PRECONDITION)
        return self.context

    def run(self, function: str, arguments: list[Any]) -> Suspendable[tuple[Any, ...]]:
        """Call an export when it is this call's turn. Empties `arguments`, so that the program owns them."""
        turn = yield from self._turns.take()
        try:
            steps = self.open_context().exports[function].invoke(arguments.copy())
            arguments.clear()
            return (yield from steps)
        finally:
            turn.signal()

    def close(self) -> Suspendable[None]:
        """Run the program's clean-up after the calls that came before."""
        turn = yield from self._turns.take()
        try:
            context, self.context = self.context, None
            if context is not None:
                yield from context.close()
        finally:
            turn.signal()

    def __del__(self) -> None:
        if self.context is not None:
            self.context.program.release()


class UnknownFunctionError(InvocationError, AttributeError):
    """An `InvocationError` that `hasattr` and `getattr` understand as well."""

    status = StatusCode.NOT_FOUND


class Function:
    """An exported function. Call it with inputs by position or by name.

    Inputs: NumPy arrays, anything with the buffer protocol, JavaScript typed arrays, `webree.Array`,
    `webree.DeviceArray`; numbers and nested lists, which are converted to the declared type. Arrays must have the
    declared type, rank and static dimensions. Every input is copied to the device unless it is there already.

    Returns None, the one output, or a tuple of outputs: NumPy arrays where NumPy can be imported, else `webree.Array`;
    numbers as Python numbers. The caller owns them.

    Raises `InvocationError` for wrong inputs and for what the program itself refuses, `DeviceError` if the device
    fails.

    Attributes:
        name: the export's name.
        signature: names, types and dimensions (None: dynamic) of inputs and outputs.
    """

    def __init__(self, instance: Instance, signature: Signature, after: tuple[Fence, ...] = ()) -> None:
        self._instance = instance
        self._after = after
        self.signature = signature
        self.name = self.__name__ = self.__qualname__ = signature.name
        self._truth_values = [
            position for position, output in enumerate(signature.outputs) if output.type == ScalarType("i1")
        ]
        self._all_tensors = bool(signature.outputs) and all(
            not isinstance(output.type, ScalarType) for output in signature.outputs
        )
        self.__doc__ = f"{signature}\n\n{signature.declaration}".rstrip()

    def __call__(self, *inputs: Any, **named_inputs: Any) -> Any:
        """Call and wait for the results. In a browser this needs JSPI; `call_async` does not."""
        return run_sync(self._steps(inputs, named_inputs, keep=False))

    async def call_async(self, *inputs: Any, **named_inputs: Any) -> Any:
        """As the call itself, as a coroutine; any number may be in flight."""
        return await run_async(self._steps(inputs, named_inputs, keep=False))

    def on_device(self, *inputs: Any, **named_inputs: Any) -> Any:
        """As the call itself, but tensors among the results stay on the device, as `DeviceArray`s, and nothing waits
        for the device unless the program itself must."""
        return run_sync(self._steps(inputs, named_inputs, keep=True))

    async def on_device_async(self, *inputs: Any, **named_inputs: Any) -> Any:
        """As `on_device`, as a coroutine."""
        return await run_async(self._steps(inputs, named_inputs, keep=True))

    def after(self, *fences: Fence) -> Function:
        """This function, for calls that begin once all these fences are reached; signal them from anywhere.

        A function compiled with `--execution-model async-external` is called at once, its work begins then, and
        `on_device` returns before; any other function is called then."""
        return Function(self._instance, self.signature, (*self._after, *fences))

    @property
    def __signature__(self) -> inspect.Signature:
        kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD
        names = [parameter.name for parameter in self.signature.inputs]
        if not all(name.isidentifier() for name in names):
            kind = inspect.Parameter.POSITIONAL_ONLY
            names = [name if name.isidentifier() else f"input{position}" for position, name in enumerate(names)]
        types = [str(parameter.type) for parameter in self.signature.inputs]
        outputs = ", ".join(str(parameter.type) for parameter in self.signature.outputs)
        return inspect.Signature(
            [inspect.Parameter(name, kind, annotation=text) for name, text in zip(names, types, strict=True)],
            return_annotation=outputs or None,
        )

    def __repr__(self) -> str:
        return f"<webree.Function {self.signature}>"

    def _steps(self, inputs: tuple[Any, ...], named: Mapping[str, Any], keep: bool) -> Suspendable[Any]:
        instance = self._instance
        instance.open_context()
        arguments = encode_arguments(self.signature, inputs, named, instance.device)
        wait = Fence.join([*self._after, *map(_ready, (*inputs, *named.values()))])
        done = Fence() if self.signature.has_fences else None
        if done is not None:
            arguments += (wait, done)
        elif wait is not None:
            yield from until(wait)
        results = yield from instance.run(self.name, arguments)
        if done is not None and not (keep and self._all_tensors):
            yield from until(done)
        if keep:
            if done is not None and not done.pending:
                done.check()
                done = None
            values = [wrap(value, done) for value in results]
        else:
            values = yield from read_back(results)
        for position in self._truth_values:
            values[position] = bool(values[position])
        if not values:
            return None
        return values[0] if len(values) == 1 else tuple(values)


def _ready(value: Any) -> Fence | None:
    return value.ready if isinstance(value, DeviceArray) else None


def _is_internal(name: str) -> bool:
    return name.startswith("__") or "$" in name
