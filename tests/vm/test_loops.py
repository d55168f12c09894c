"""Random nests of loops over integers and buffers: bounds at the ends of the types, strides, indices in and out of
range. What ranges.py proves must hold: IREE's runtime says what comes out.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.vm.reference import IreeModule, OurModule, compile_vm
from webree.errors import InvocationError, StatusCode
from webree.module.verifier import verify
from webree.vm.analysis import analyze
from webree.vm.ranges import find_facts
from webree.waiting import run_sync

_FUNCTIONS = 30
_CALLS = 8
_LENGTH = 64  # elements of the buffer
_ENDS = {32: (1 << 31) - 1, 64: (1 << 63) - 1}


class _Writer:
    """Writes one function: `f(n: i64, k: i32) -> (i64, i32)` over a buffer of `_LENGTH` i32."""

    def __init__(self, rng: random.Random, name: str) -> None:
        self.rng = rng
        self.name = name
        self.lines: list[str] = []
        self.count = 0
        self.longs = ["%n"]
        self.words = ["%k"]
        self.counters: list[str] = []

    def new(self, text: str, width: int) -> str:
        name = f"%v{self.count}"
        self.count += 1
        self.lines.append(f"    {name} = {text}")
        (self.longs if width == 64 else self.words).append(name)
        return name

    def constant(self, width: int, value: int | None = None) -> str:
        if value is None:
            end = _ENDS[width]
            value = self.rng.choice(
                (0, 1, 2, 7, 16, 64, -1, -3, end, end - 1, -end - 1, -end, 1 << 31, (1 << 31) - 1, 1 << 32)
            )
            value = value if -end - 1 <= value <= end else 5
        return self.new(f"vm.const.i{width} {value}", width)

    def arithmetic(self) -> str:
        """A few instructions over what there is."""
        rng, result = self.rng, ""
        for _ in range(rng.randrange(1, 5)):
            if rng.random() < 0.2:
                self.constant(64)
            a, b = rng.choice(self.longs), rng.choice(self.longs)
            w = rng.choice(self.words)
            choice = rng.randrange(9)
            if choice < 4:
                op = rng.choice(("add", "sub", "mul", "add", "min.s", "max.s", "and", "or", "xor"))
                name, _, sign = op.partition(".")
                result = self.new(f"vm.{name}.i64{'.' + sign if sign else ''} {a}, {b} : i64", 64)
            elif choice == 4:
                result = self.new(f"vm.fma.i64 {a}, {b}, {rng.choice(self.longs)} : i64", 64)
            elif choice == 5:
                divisor = self.constant(64, rng.choice((1, 3, 8, 64)))
                result = self.new(f"vm.{rng.choice(('div', 'rem'))}.i64.s {a}, {divisor} : i64", 64)
            elif choice == 6:
                shift = self.constant(32, rng.randrange(40))
                result = self.new(f"vm.{rng.choice(('shl.i64', 'shr.i64.s', 'shr.i64.u'))} {a}, {shift} : i64", 64)
            elif choice == 7:
                small = self.new(f"vm.trunc.i64.i32 {a} : i64 -> i32", 32)
                result = self.new(f"vm.ext.i32.i64.{rng.choice('su')} {rng.choice((small, w))} : i32 -> i64", 64)
            else:
                test = self.new(f"vm.cmp.lt.i64.{rng.choice('su')} {a}, {b} : i64", 32)
                result = self.new(f"vm.select.i64 {test}, {a}, {b} : i64", 64)
        return result or self.longs[-1]

    def access(self) -> str:
        """A load and a store, mostly in range; outside, both runtimes fail alike."""
        index = self.arithmetic()
        if not self.counters or self.rng.random() < 0.9:
            # IREE's runtime does not check negative and very large indices: only tame ones may go out of range.
            index = self.new(f"vm.rem.i64.s {index}, {self.constant(64, _LENGTH)} : i64", 64)
            index = self.new(f"vm.max.i64.s {index}, {self.constant(64, 0)} : i64", 64)
        else:
            index = self.new(f"vm.add.i64 {self.rng.choice(self.counters)}, {self.constant(64, 60)} : i64", 64)
        old = self.new(f"vm.buffer.load.i32 %b[{index}] : !vm.buffer -> i32", 32)
        new = self.new(f"vm.add.i32 {old}, {self.rng.choice(self.words)} : i32", 32)
        self.lines.append(f"    vm.buffer.store.i32 {new}, %b[{index}] : i32 -> !vm.buffer")
        return old

    def loop(self, depth: int, total: str, label: int) -> tuple[str, int]:
        """for i = first; i < end; i += step: the sum of what the body computes."""
        rng = self.rng
        first, end = self.constant(64, rng.choice((0, 0, 1, 2))), ""
        step = self.constant(64, rng.choice((1, 1, 2, 3)))
        kind = rng.randrange(4)
        if kind == 0:
            first = self.constant(64, _ENDS[64] - rng.randrange(1, 6))
            step, end = self.constant(64, 1), self.constant(64, _ENDS[64])
        elif kind == 1:
            bound = self.new(f"vm.min.i64.s %n, {self.constant(64, rng.randrange(1, 9))} : i64", 64)
            end = bound
        else:
            end = self.constant(64, rng.randrange(6))
        head, body, done = f"^h{label}", f"^b{label}", f"^d{label}"
        self.lines.append(f"    vm.br {head}({first}, {total} : i64, i64)")
        self.lines.append(f"  {head}(%i{label}: i64, %t{label}: i64):")
        self.lines.append(f"    %c{label} = vm.cmp.lt.i64.s %i{label}, {end} : i64")
        self.lines.append(f"    vm.cond_br %c{label}, {body}, {done}")
        self.lines.append(f"  {body}:")
        longs, words, counters = list(self.longs), list(self.words), list(self.counters)
        self.longs += [f"%i{label}", f"%t{label}"]
        if kind:
            self.counters.append(f"%i{label}")
        value = self.arithmetic()
        self.access()
        following = label + 1
        inner = self.new(f"vm.add.i64 %t{label}, {value} : i64", 64)
        if depth > 1:
            inner, following = self.loop(depth - 1, inner, following)
        after = self.new(f"vm.add.i64 %i{label}, {step} : i64", 64)
        self.lines.append(f"    vm.br {head}({after}, {inner} : i64, i64)")
        self.lines.append(f"  {done}:")
        # What a loop's body computed is not there after it.
        self.longs, self.words, self.counters = [*longs, f"%t{label}"], words, counters
        return f"%t{label}", following

    def write(self) -> str:
        total, label = self.constant(64, 0), 0
        for _ in range(self.rng.randrange(1, 3)):
            total, label = self.loop(self.rng.randrange(1, 4), total, label)
        last = self.new(
            f"vm.buffer.load.i32 %b[{self.constant(64, self.rng.randrange(_LENGTH))}] : !vm.buffer -> i32", 32
        )
        body = "\n".join(self.lines)
        return f"""  vm.export @{self.name}
  vm.func @{self.name}(%n: i64, %k: i32) -> (i64, i32) {{
    %bytes = vm.const.i64 {4 * _LENGTH}
    %alignment = vm.const.i32 16
    %b = vm.buffer.alloc %bytes, %alignment : !vm.buffer
{body}
    vm.return {total}, {last} : i64, i32
  }}"""


@pytest.fixture(scope="module")
def modules() -> tuple[bytes, random.Random]:
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    rng = random.Random(seed)
    functions = "\n".join(_Writer(rng, f"f{number}").write() for number in range(_FUNCTIONS))
    return compile_vm(f"vm.module @loops {{\n{functions}\n}}\n", "--iree-opt-const-eval=false"), rng


def test_loops(modules: tuple[bytes, random.Random]) -> None:
    data, rng = modules
    theirs, ours = IreeModule(data), OurModule(data)
    wrong, failures = [], 0
    for name in ours.context.exports:
        for _ in range(_CALLS):
            arguments = [rng.choice((0, 1, 3, 5, 9, 1 << 40, (1 << 63) - 1)), rng.randint(-(1 << 31), (1 << 31) - 1)]
            expected, found = theirs.call(name, arguments), ours.call(name, arguments)
            failures += expected.failure is not None
            if found != expected:
                wrong.append(f"{name}{tuple(arguments)}: expected {expected}, found {found}")
                break
    assert not wrong, "\n".join(wrong)
    assert failures < _FUNCTIONS * _CALLS / 2


def test_something_is_proven(modules: tuple[bytes, random.Random]) -> None:
    """Else the test above would prove nothing."""
    verified = verify(OurModule(modules[0]).context.module)
    facts = [
        find_facts(verified.file, ordinal, analyze(verified.file, ordinal, code))
        for ordinal, code in enumerate(verified.code)
    ]
    assert sum(len(found.fits) for found in facts) > 2 * _FUNCTIONS
    assert sum(len(found.natural) for found in facts) > _FUNCTIONS


_PAST_THE_END = """vm.module @past {
  vm.export @f
  vm.func @f(%n: i64, %from: i64) -> i32 {
    %bytes = vm.const.i64 30
    %alignment = vm.const.i32 16
    %one = vm.const.i64 1
    %b = vm.buffer.alloc %bytes, %alignment : !vm.buffer
    vm.br ^head(%from : i64)
  ^head(%i: i64):
    %c = vm.cmp.lt.i64.s %i, %n : i64
    vm.cond_br %c, ^body, ^done
  ^body:
    %old = vm.buffer.load.i32 %b[%i] : !vm.buffer -> i32
    %next = vm.add.i64 %i, %one : i64
    vm.buffer.store.i32 %old, %b[%i] : i32 -> !vm.buffer
    vm.br ^head(%next : i64)
  ^done:
    %zero = vm.const.i64 0
    %r = vm.buffer.load.i32 %b[%zero] : !vm.buffer -> i32
    vm.return %r : i32
  }
}
"""


@pytest.mark.parametrize(("count", "first"), [(8, 0), (1 << 40, 7), (0, -1), (1 << 62, (1 << 62) - 1)])
def test_accesses_past_the_end(count: int, first: int) -> None:
    """The last two of 30 bytes are no element; the message says where it happened."""
    context = OurModule(compile_vm(_PAST_THE_END)).context
    assert run_sync(context.exports["f"].invoke([7, 0])) == (0,)
    with pytest.raises(InvocationError, match="outside a buffer") as caught:
        run_sync(context.exports["f"].invoke([count, first]))
    assert caught.value.status == StatusCode.OUT_OF_RANGE
    assert "f at byte 0x" in "".join(caught.value.__notes__)
