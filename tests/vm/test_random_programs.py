"""Random control flow over random registers: what the translation assumes about values must hold for any program.

Each program is a graph of blocks with a counter that ends it. Tidy programs keep i32 and i64 values apart, as compilers
do; the others read and write the same few registers as i32, i64, f32 and f64 values and halves of them. IREE's runtime
says what comes out.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.vm.assembler import Function, Module, build, move, r
from tests.vm.reference import IreeModule, OurModule
from tests.vm.values import draw

_PROGRAMS = 60
_INPUTS = 4
_WORDS = 12  # registers that programs play with; the next ones count and hold the condition
_COUNTER, _ONE, _TEST = 12, 13, 14
_REFS = 3


class _Random(random.Random):
    """Draws registers; in a `tidy` program the first half hold i32 and the second i64 values."""

    tidy = False


def _word(rng: _Random) -> int:
    return rng.randrange(_WORDS // 2 if rng.tidy else _WORDS)


def _pair(rng: _Random) -> int:
    return 2 * rng.randrange(_WORDS // 4 if rng.tidy else 0, _WORDS // 2)


def _instruction(rng: _Random) -> tuple[Any, ...]:
    """One instruction that no input can make fail."""
    choice = rng.randrange(12)
    if choice == 0:
        return ("const.i32", draw("i32", rng), _word(rng))
    if choice == 1:
        return ("const.i64", draw("i64", rng), _pair(rng))
    if choice == 2:
        op = rng.choice(("add.i32", "sub.i32", "mul.i32", "xor.i32", "shl.i32", "min.i32.u", "cmp.lt.i32.s"))
        return (op, _word(rng), _word(rng), _word(rng))
    if choice == 3:
        op = rng.choice(("add.i64", "sub.i64", "mul.i64", "or.i64", "max.i64.s"))
        return (op, _pair(rng), _pair(rng), _pair(rng))
    if choice == 4:
        return rng.choice((("ext.i32.i64.s", _word(rng), _pair(rng)), ("trunc.i64.i32", _pair(rng), _word(rng))))
    if choice == 5 and not rng.tidy:
        # Floats are written and then read as whatever comes; reading other bits as floats would meet signalling NaNs.
        return rng.choice((("cast.si32.f32", _word(rng), _word(rng)), ("cast.si64.f64", _pair(rng), _pair(rng))))
    if choice == 6:
        return ("select.i64", _word(rng), _pair(rng), _pair(rng), _pair(rng))
    if choice == 7:
        return ("switch.i32", _word(rng), _word(rng), [_word(rng) for _ in range(rng.randrange(4))], _word(rng))
    if choice == 8:
        return rng.choice((("const.ref.rodata", 0, r(_ref(rng))), ("const.ref.zero", r(_ref(rng)))))
    if choice == 9:
        source, target = rng.sample(range(_REFS), 2)
        return ("assign.ref", rng.choice((r, move))(source), r(target))
    if choice == 10:
        return ("cmp.nz.ref", r(_ref(rng)), _word(rng))
    return ("const.i32.zero", _word(rng))


def _ref(rng: _Random) -> int:
    return rng.randrange(_REFS)


def _map(rng: _Random) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    for _ in range(rng.randrange(4)):
        kind = rng.random()
        if kind < 0.4:
            pairs.append((_word(rng), _word(rng)))
        elif kind < 0.8:
            source, target = _pair(rng), _pair(rng)
            pairs += [(source, target), (source + 1, target + 1)]
        else:
            pairs.append((r(_ref(rng)), r(_ref(rng))))
    return pairs


def _program(rng: _Random) -> Function:
    count = rng.choice((1, 2, 3, 5, 8, 20, 60))
    names = [f"b{n}" for n in range(count)]
    rows: list[tuple[Any, ...]] = [("block",), ("const.i32", rng.randint(1, 40), _COUNTER), ("const.i32", 1, _ONE)]
    if rng.tidy:
        rows += [("const.i64", draw("i64", rng), pair) for pair in (8, 10)]  # the arguments fill the others
    rows += [_instruction(rng) for _ in range(rng.randrange(5))]
    rows.append(("br", "b0", _map(rng)))
    for position, name in enumerate(names):
        # Mostly forwards, so that some blocks have one way in and some several.
        ahead = names[position + 1 :] or names
        targets = [rng.choice(ahead if rng.random() < 0.7 else names) for _ in range(3)]
        rows += [("block", name), ("sub.i32", _COUNTER, _ONE, _COUNTER)]
        rows += [_instruction(rng) for _ in range(rng.randrange(7))]
        rows.append(("cond_br", _COUNTER, f"{name}+", _map(rng), "exit", _map(rng)))
        rows.append(("block", f"{name}+"))
        rows += [_instruction(rng) for _ in range(rng.randrange(3))]
        kind = rng.random()
        if kind < 0.3:
            rows.append(("br", targets[0], _map(rng)))
        elif kind < 0.8:
            rows.append(("cond_br", _word(rng), targets[0], _map(rng), targets[1], _map(rng)))
        else:
            cases = [(target, _map(rng)) for target in targets[:2]]
            rows.append(("br_table", _word(rng), targets[2], _map(rng), cases))
    rows.append(("block", "exit"))
    letters = "iiiiiiIII" if rng.tidy else rng.choice(("iiIiIiII", "IIIIII", "iiiiiiiiiiii"))
    results, position = [], 0
    for letter in letters:
        position += position & 1 if letter == "I" else 0
        if position + (letter == "I") >= _WORDS:
            break
        results.append((letter, position))
        position += 2 if letter == "I" else 1
    rows += [("cmp.nz.ref", r(0), _TEST), ("return", [*(register for _letter, register in results), _TEST])]
    convention = f"0iiiiiiI_{''.join(letter for letter, _register in results)}i"
    return Function("f", convention, rows, i32_count=16, ref_count=_REFS)


@pytest.mark.parametrize("tidy", [False, True], ids=["mixed", "tidy"])
def test_random_programs(tidy: bool) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = _Random(seed)
    rng.tidy = tidy
    for _ in range(_PROGRAMS):
        function = _program(rng)
        data = build(Module([function], rodata=[b"constant"]))
        theirs, ours = IreeModule(data), OurModule(data)
        source = ours.context.program.source(0)
        # Tidy programs must not need the slow way of one local per word.
        assert not (tidy and "w0" in source), source
        for _ in range(_INPUTS):
            arguments = [draw(kind, rng) for kind in (*["i32"] * 6, "i64")]
            expected, found = theirs.call("f", arguments), ours.call("f", arguments)
            assert found == expected, (function.rows, arguments, source)
