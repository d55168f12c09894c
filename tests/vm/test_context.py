"""Contexts: imports, hooks, errors with their places, early release of references, closing."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Sequence
from typing import Any

import pytest

from tests.vm.assembled import MODULE
from tests.vm.assembler import IMPORT, Function, Module, build, move, r
from tests.vm.reference import compile_vm
from webree.errors import InvocationError, ModuleError, StatusCode
from webree.module.reader import read_module
from webree.module.source import MemorySource
from webree.vm.context import Context
from webree.vm.native import NativeFunction
from webree.waiting import Suspendable, run_sync


class Thing:
    """An object that a test can watch."""


class Native:
    """A native module; `waits` is how often `test.wait` suspends."""

    name = "test"
    version = 3

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.thing: weakref.ref[Thing] | None = None
        self.functions = {
            "make": NativeFunction("make", "0v_r", self._make),
            "alive": NativeFunction("alive", "0v_i", lambda: int(self.thing is not None and self.thing() is not None)),
            "take": NativeFunction("take", "0r_v", lambda thing: None),
            "note": NativeFunction("note", "0i_v", self.log.append),
            "wait": NativeFunction("wait", "0i_i", self._wait, suspends=True),
            "wrong": NativeFunction("wrong", "0i_i", lambda value: value),
            "raise": NativeFunction("raise", "0v_v", self._raise),
        }
        self.types = {"test.thing": Thing}

    def _make(self) -> Thing:
        thing = Thing()
        self.thing = weakref.ref(thing)
        return thing

    def _wait(self, value: int) -> Suspendable[int]:
        result: int = yield _Wait(value)
        return result

    def _raise(self) -> None:
        raise ZeroDivisionError("from a native function")


class _Wait:
    def __init__(self, value: int) -> None:
        self._value = value

    def block(self) -> int:
        return self._value + 1

    async def wait(self) -> int:
        return self._value + 1


IMPORTS = (
    ("test.make", "0v_r", False),
    ("test.alive", "0v_i", False),
    ("test.take", "0r_v", False),
    ("test.note", "0i_v", False),
    ("test.wait", "0i_i", False),
    ("test.raise", "0v_v", False),
)
MAKE, ALIVE, TAKE, NOTE, WAIT, RAISE = (IMPORT | n for n in range(6))
BLOCK = ("block",)


def create(functions: Sequence[Function], native: Native | None = None, **fields: Any) -> Context:
    defaults: dict[str, Any] = {"imports": IMPORTS, "types": ("i32", "!vm.buffer", "!test.thing"), "global_refs": 1}
    data = build(Module(functions, **(defaults | fields)))
    return run_sync(Context.create(read_module(MemorySource(data)), [native or Native()]))


def call(context: Context, name: str, *arguments: Any) -> tuple[Any, ...]:
    return run_sync(context.exports[name].invoke(arguments))


def test_a_moved_reference_is_released_at_once() -> None:
    """After its last use, and not when the function ends: buffers are large."""
    rows = [BLOCK, ("call", MAKE, [], [r(0)]), ("call", TAKE, [move(0)], []), ("call", ALIVE, [], [0]), ("return", [0])]
    kept = [(row[0], *[[r(0)] if x == [move(0)] else x for x in row[1:]]) for row in rows]
    context = create([Function("moved", "0v_i", rows), Function("kept", "0v_i", kept)])
    assert call(context, "moved") == (0,)
    assert call(context, "kept") == (1,)


def test_an_argument_that_moves_into_a_callee_leaves_the_caller() -> None:
    callee = [BLOCK, ("discard.refs", [r(0)]), ("call", ALIVE, [], [0]), ("return", [0])]
    caller = [BLOCK, ("call", MAKE, [], [r(1)]), ("call", 0, [move(1)], [0]), ("return", [0])]
    context = create([Function("callee", "0r_i", callee), Function("caller", "0v_i", caller)])
    call(context, "caller")  # the first call also translates the callee, and holds its arguments meanwhile
    assert call(context, "caller") == (0,)


def test_hooks_run_and_closing_releases_globals() -> None:
    def noting(name: str, value: int, *rows: tuple[Any, ...]) -> Function:
        code = [BLOCK, ("const.i32", value, 0), ("call", NOTE, [0], []), *rows, ("return", [])]
        return Function(name, "0v_v", code)

    store = [("call", MAKE, [], [r(0)]), ("global.store.ref", 0, 2, move(0))]
    notify = Function("__notify", "0i_v", [BLOCK, ("call", NOTE, [0], []), ("return", [])])
    native = Native()
    context = create([noting("__init", 1, *store), noting("__deinit", 2), noting("f", 3), notify], native)
    assert list(context.exports) == ["f"]
    call(context, "f")
    run_sync(context.notify(9))
    assert native.thing is not None
    assert native.thing() is not None
    run_sync(context.close())
    run_sync(context.close())
    assert native.log == [1, 3, 9, 2]
    gc.collect()
    assert native.thing() is None
    with pytest.raises(InvocationError, match="the module has been closed"):
        call(context, "f")


def test_a_call_under_way_fails_when_its_module_is_closed() -> None:
    rows = [
        BLOCK,
        ("call.yieldable", WAIT, [0], "next", [1]),
        ("block", "next"),
        ("call", NOTE, [1], []),
        ("return", [1]),
    ]
    context = create([Function("f", "0i_i", rows)])
    steps = context.exports["f"].invoke([4])
    wait = next(steps)
    run_sync(context.close())
    with pytest.raises(InvocationError, match="the module has been closed"):
        steps.send(wait.block())


def test_calls_can_be_under_way_at_the_same_time() -> None:
    rows = [BLOCK, ("call.yieldable", WAIT, [0], "next", [1]), ("block", "next"), ("add.i32", 0, 1, 2), ("return", [2])]
    context = create([Function("f", "0i_i", rows)])
    values = [random.randrange(1000) for _ in range(5)]
    calls = [context.exports["f"].invoke([value]) for value in values]
    waits = [next(steps) for steps in calls]
    for steps, wait, value in reversed(list(zip(calls, waits, values, strict=True))):
        with pytest.raises(StopIteration) as stop:
            steps.send(wait.block())
        assert stop.value.value == (2 * value + 1,)


def test_failures_say_where() -> None:
    text = 'vm.module @m {\n vm.export @f\n vm.func @f(%a: i32) -> i32 {\n  vm.fail %a, "no luck"\n }\n}\n'
    context = run_sync(Context.create(read_module(MemorySource(compile_vm(text))), []))
    with pytest.raises(InvocationError, match="no luck") as caught:
        call(context, "f", 5)
    assert caught.value.status is StatusCode.NOT_FOUND
    assert caught.value.__notes__[0].startswith("in f at byte 0x1, ")
    assert caught.value.__notes__[0].endswith("in.mlir:4:3")


def test_endless_recursion_is_an_error_of_the_program() -> None:
    context = create([Function("f", "0v_v", [BLOCK, ("call", 0, [], []), ("return", [])])])
    with pytest.raises(InvocationError, match="calls are nested too deeply in f at byte 0x1") as caught:
        call(context, "f")
    assert caught.value.status is StatusCode.RESOURCE_EXHAUSTED


def test_a_huge_buffer_is_an_error_of_the_program() -> None:
    rows = [BLOCK, ("const.i32", 16, 2), ("buffer.alloc", 0, 2, r(0)), ("return", [])]
    context = create([Function("f", "0I_v", rows)])
    for size in (1 << 62, -1):
        with pytest.raises(InvocationError, match=f"cannot allocate a host buffer of {size} bytes"):
            call(context, "f", size)


def test_what_native_functions_raise_passes_through() -> None:
    context = create([Function("f", "0v_v", [BLOCK, ("call", RAISE, [], []), ("return", [])])])
    with pytest.raises(ZeroDivisionError, match="from a native function"):
        call(context, "f")


def test_references_are_checked_against_the_types_of_native_modules() -> None:
    rows = [BLOCK, ("cast.any.ref", move(0), 2, r(1)), ("cmp.nz.ref", r(1), 0), ("return", [0])]
    context = create([Function("f", "0r_i", rows)])
    assert call(context, "f", Thing()) == (1,)
    assert call(context, "f", None) == (0,)
    with pytest.raises(InvocationError, match="expected a reference to Thing, found one to list"):
        call(context, "f", [])


ARGUMENTS: dict[str, tuple[list[Any], str]] = {
    "count": ([1], "factorial takes 1 values, found 2"),
    "text": (["x"], "value 0: expected an integer, found str"),
    "float": ([1.5], "value 0: expected an integer, found float"),
    "range": ([1 << 32], "value 0: 4294967296 does not fit 32 bits"),
}


@pytest.mark.parametrize("row", ARGUMENTS)
def test_arguments(row: str) -> None:
    arguments, message = ARGUMENTS[row]
    context = run_sync(Context.create(read_module(MemorySource(build(MODULE))), []))
    with pytest.raises(InvocationError) as caught:
        call(context, "factorial", *(arguments * 2 if row == "count" else arguments))
    assert message in str(caught.value)


def test_unsigned_arguments_wrap() -> None:
    context = run_sync(Context.create(read_module(MemorySource(build(MODULE))), []))
    assert call(context, "breaks", 0xFFFFFFFF) == (-1,)


UNRESOLVED: dict[str, tuple[Any, str]] = {
    "module": ((("other.f", "0v_v", False),), "import other.f: not found: loaded are test"),
    "function": ((("test.f", "0v_v", False),), "import test.f: not found: module 'test' has no such function"),
    "convention": ((("test.wrong", "0I_i", False),), "import test.wrong: the module calls it as '0I_i', this runtime"),
}


@pytest.mark.parametrize("row", UNRESOLVED)
def test_imports_that_do_not_resolve(row: str) -> None:
    imports, message = UNRESOLVED[row]
    with pytest.raises(ModuleError) as caught:
        create([Function("f", "0v_v", [BLOCK, ("return", [])])], imports=imports)
    assert message in str(caught.value)


def test_unknown_types_are_refused() -> None:
    with pytest.raises(ModuleError, match=r"types: unknown type '!vm\.nothing'") as caught:
        create([Function("f", "0v_v", [BLOCK, ("return", [])])], types=["!vm.nothing"])
    assert caught.value.status is StatusCode.NOT_FOUND


def test_a_failed_initialiser_releases_what_it_made() -> None:
    rows = [
        BLOCK,
        ("call", MAKE, [], [r(0)]),
        ("global.store.ref", 0, 2, move(0)),
        ("const.i32", 14, 0),
        ("fail", 0, "no device"),
    ]
    native = Native()
    with pytest.raises(InvocationError, match="no device") as caught:
        create([Function("__init", "0v_v", rows)], native)
    assert caught.value.status is StatusCode.UNAVAILABLE
    del caught
    gc.collect()
    assert native.thing is not None
    assert native.thing() is None
