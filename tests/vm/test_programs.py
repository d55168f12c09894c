"""Every program runs in IREE's runtime and in ours on the same fresh arguments, edge values among them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.vm.assembled import MODULE, VARIADIC, YIELDING
from tests.vm.assembler import build
from tests.vm.programs import OPERATIONS, Program
from tests.vm.reference import IreeModule, OurModule, compile_vm
from tests.vm.values import differs, draw
from webree.module.isa import all_opcodes, decode
from webree.vm.native import NativeFunction
from webree.waiting import Suspendable, run_async, run_sync

_HERE = Path(__file__).parent
_KINDS = {"i": "i32", "I": "i64"}
_CALLS_PER_PROGRAM = 40
_SCALAR_FLAGS = (
    "--compile-mode=std",
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=vmvx",
    "--iree-input-demote-f64-to-f32=false",
)


def _operations_text() -> str:
    rows = "\n".join(f"  vm.export @{p.name}\n  {p.text}" for p in OPERATIONS)
    return f"vm.module @operations {{\n{rows}\n}}\n"


@pytest.fixture(scope="module")
def modules() -> dict[str, bytes]:
    """Three modules made by the stock compiler, one by hand."""
    return {
        "operations": compile_vm(_operations_text()),
        "structured": compile_vm((_HERE / "structured.mlir").read_text()),
        "scalar": compile_vm((_HERE / "scalar.mlir").read_text(), *_SCALAR_FLAGS),
        "assembled": build(MODULE),
    }


@pytest.fixture
def rng() -> random.Random:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


def test_single_operations(modules: dict[str, bytes], rng: random.Random) -> None:
    theirs, ours = IreeModule(modules["operations"]), OurModule(modules["operations"])
    wrong = []
    for program in OPERATIONS:
        for _ in range(_CALLS_PER_PROGRAM):
            arguments = [draw(kind, rng) for kind in program.arguments]
            if program.accepts(*arguments) and (text := _difference(program, arguments, theirs, ours)):
                wrong.append(text)
                break
    assert not wrong, "\n".join(wrong)


def _difference(program: Program, arguments: list[int], theirs: IreeModule, ours: OurModule) -> str:
    expected, found = theirs.call(program.name, arguments), ours.call(program.name, arguments)
    same = expected.failure == found.failure and not any(
        differs(kind, a, b, program.ulps)
        for kind, a, b in zip(program.results, found.results, expected.results, strict=False)
    )
    return "" if same else f"{program.name}{tuple(arguments)}: expected {expected}, found {found}"


@pytest.mark.parametrize("name", ["structured", "scalar", "assembled"])
def test_programs(name: str, modules: dict[str, bytes], rng: random.Random) -> None:
    theirs, ours = IreeModule(modules[name]), OurModule(modules[name])
    wrong = []
    for function in ours.context.exports.values():
        letters = function.signature.calling_convention.arguments
        for _ in range(_CALLS_PER_PROGRAM):
            arguments = [_argument(function.name, letter, rng) for letter in letters]
            found, expected = ours.call(function.name, arguments), theirs.call(function.name, arguments)
            if found != expected:
                wrong.append(f"{function.name}{tuple(arguments)}: expected {expected}, found {found}")
                break
    assert not wrong, "\n".join(wrong)


def _argument(function: str, letter: str, rng: random.Random) -> int:
    """Mostly small numbers, which reach more paths of these programs."""
    if letter == "I" and ("buffer" in function or "global_ref" in function):
        return rng.randint(0, 40)  # IREE's runtime does not check negative element offsets
    if function == "switch_i64":
        return rng.randint(-1, 1 << 20)  # IREE's runtime reads only the low words here
    return rng.randint(-1, 17) if rng.random() < 0.6 else draw(_KINDS[letter], rng)


def test_number_of_programs(modules: dict[str, bytes]) -> None:
    assert sum(len(OurModule(data).context.exports) for data in modules.values()) >= 150


def test_every_opcode_has_run(modules: dict[str, bytes]) -> None:
    seen: set[str] = set()
    for data in [*modules.values(), build(VARIADIC), build(YIELDING)]:
        module = OurModule(data, [_TestModule()]).context.module
        for ordinal in range(len(module.functions)):
            seen.update(i.opcode.name for i in decode(module.code(ordinal), "test"))
    assert {opcode.name for opcode in all_opcodes()} - seen == set()


def test_yields_give_way_and_go_on(rng: random.Random) -> None:
    context = OurModule(build(YIELDING)).context
    for name in ("yields", "calls_yielding"):
        value = rng.randint(-1000, 1000)
        steps = context.exports[name].invoke([value])
        assert len(list(steps)) == 2
        assert run_sync(context.exports[name].invoke([value])) == (value + 1,)

    import asyncio

    assert asyncio.run(run_async(context.exports["calls_yielding"].invoke([41]))) == (42,)


class _TestModule:
    """A native module with spans, a function that suspends, and one that is missing."""

    name = "test"
    version = 0

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.functions = {
            "spans": NativeFunction("spans", "0iCiDICiID_I", self._spans),
            "later": NativeFunction("later", "0CID_I", self._later, suspends=True),
        }

    def _spans(self, *arguments: object) -> int:
        self.calls.append(arguments)
        return 7

    def _later(self, values: list[int]) -> Suspendable[int]:
        wait = _Wait(sum(values) + 1)
        result: int = yield wait
        return result


class _Wait:
    def __init__(self, result: int) -> None:
        self._result = result

    def block(self) -> int:
        return self._result

    async def wait(self) -> int:
        return self._result


def test_variadic_calls() -> None:
    native = _TestModule()
    context = OurModule(build(VARIADIC), [native]).context
    # The function passes register words as they are: %i0 = 3 and %l2 = 1 << 40 (whose low word is 0, high word 256).
    assert run_sync(context.exports["variadic"].invoke([3, 1 << 40])) == (8,)
    assert native.calls == [(3, [3, 0], 1 << 40, [(3, 1 << 40), (0, 1 << 40)])]


def test_missing_optional_import() -> None:
    outcome = OurModule(build(VARIADIC), [_TestModule()]).call("call_import", [3])
    assert outcome.failure == "NOT_FOUND"
