"""Integer ops, on every width: arithmetic, division, bits, shifts, comparisons, and the ops that constants change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.ops.cases import Case, Inputs, elementwise, integers, packed, sizes
from tests.ops.values import INTEGERS, Array, inputs

__all__ = ["rows"]


def _u(number: int, bits: int) -> int:
    return number & ((1 << bits) - 1)


def _s(number: int, bits: int) -> int:
    return ((number + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))


def _quotient(a: int, b: int) -> int:
    magnitude = abs(a) // abs(b)
    return -magnitude if (a < 0) != (b < 0) else magnitude


# name -> what it computes of signed numbers and the width.
_BINARY: dict[str, Callable[[int, int, int], int]] = {
    "addi": lambda a, b, n: a + b,
    "subi": lambda a, b, n: a - b,
    "muli": lambda a, b, n: a * b,
    "andi": lambda a, b, n: a & b,
    "ori": lambda a, b, n: a | b,
    "xori": lambda a, b, n: a ^ b,
    "maxsi": lambda a, b, n: max(a, b),
    "minsi": lambda a, b, n: min(a, b),
    "maxui": lambda a, b, n: max(_u(a, n), _u(b, n)),
    "minui": lambda a, b, n: min(_u(a, n), _u(b, n)),
}
_DIVISIONS: dict[str, Callable[[int, int, int], int]] = {
    "divsi": lambda a, b, n: _quotient(a, b),
    "remsi": lambda a, b, n: a - _quotient(a, b) * b,
    "floordivsi": lambda a, b, n: a // b,
    "ceildivsi": lambda a, b, n: -(-a // b),
    "divui": lambda a, b, n: _u(a, n) // _u(b, n),
    "remui": lambda a, b, n: _u(a, n) % _u(b, n),
    "ceildivui": lambda a, b, n: -(-_u(a, n) // _u(b, n)),
}
_SHIFTS: dict[str, Callable[[int, int, int], int]] = {
    "shli": lambda a, b, n: a << b,
    "shrsi": lambda a, b, n: a >> b,
    "shrui": lambda a, b, n: _u(a, n) >> b,
}
# StableHLO defines what arith leaves open: shifts past the width, division by zero and its overflow.
_DEFINED: dict[str, Callable[[int, int, int], int]] = {
    "shift_left": lambda a, b, n: a << _u(b, n) if _u(b, n) < n else 0,
    "shift_right_logical": lambda a, b, n: _u(a, n) >> _u(b, n) if _u(b, n) < n else 0,
    "shift_right_arithmetic": lambda a, b, n: a >> min(_u(b, n), n - 1),
    "divide": lambda a, b, n: -1 if b == 0 else _quotient(a, b),
    "remainder": lambda a, b, n: a if b == 0 else a - _quotient(a, b) * b,
}
_UNARY: dict[str, Callable[[int, int], int]] = {
    "absi": lambda a, n: abs(a),
    "ctlz": lambda a, n: n - _u(a, n).bit_length(),
    "cttz": lambda a, n: n if a == 0 else (a & -a).bit_length() - 1,
    "ctpop": lambda a, n: _u(a, n).bit_count(),
}
_PREDICATES: dict[str, Callable[[int, int, int], bool]] = {
    "eq": lambda a, b, n: a == b,
    "ne": lambda a, b, n: a != b,
    "slt": lambda a, b, n: a < b,
    "sle": lambda a, b, n: a <= b,
    "sgt": lambda a, b, n: a > b,
    "sge": lambda a, b, n: a >= b,
    "ult": lambda a, b, n: _u(a, n) < _u(b, n),
    "ule": lambda a, b, n: _u(a, n) <= _u(b, n),
    "ugt": lambda a, b, n: _u(a, n) > _u(b, n),
    "uge": lambda a, b, n: _u(a, n) >= _u(b, n),
}
_EXTENDED: dict[str, Callable[[int, int, int], tuple[int, int]]] = {
    "addui_extended": lambda a, b, n: (a + b, _u(a, n) + _u(b, n) >> n),
    "mulsi_extended": lambda a, b, n: (a * b, a * b >> n),
    "mului_extended": lambda a, b, n: (a * b, _u(a, n) * _u(b, n) >> n),
}
# Constants that the compiler turns into other ops: op, constant, result.
_BY_CONSTANT: tuple[tuple[str, int, Callable[[int, int], int]], ...] = (
    ("divsi", 7, lambda a, n: _quotient(a, 7)),
    ("divui", 8, lambda a, n: _u(a, n) // 8),
    ("remsi", -5, lambda a, n: a + _quotient(a, -5) * 5),
    ("remui", 10, lambda a, n: _u(a, n) % 10),
    ("shli", 3, lambda a, n: a << 3),
    ("shrsi", 5, lambda a, n: a >> 5),
    ("shrui", 7, lambda a, n: _u(a, n) >> 7),
    ("muli", 100, lambda a, n: a * 100),
)


def _dividing(kind: str, name: str) -> Inputs:
    """arith leaves a division by zero open, and INT_MIN / -1."""

    def make(random: np.random.Generator) -> list[Array]:
        a, b = inputs(kind, kind, count=sizes(name))(random)
        b[b == 0] = 3
        b[(a == np.iinfo(a.dtype).min) & (b == -1)] = 2
        return [a, b]

    return make


def _shifting(kind: str, name: str) -> Inputs:
    """arith leaves amounts past the width open."""

    def make(random: np.random.Generator) -> list[Array]:
        (a,) = inputs(kind, count=sizes(name))(random)
        return [a, random.integers(0, INTEGERS[kind], a.size).astype(a.dtype)]

    return make


def _powers(kind: str, name: str) -> Inputs:
    def make(random: np.random.Generator) -> list[Array]:
        (a,) = inputs(kind, count=sizes(name))(random)
        return [a, random.integers(0, 9, a.size).astype(a.dtype)]

    return make


def _binary(kind: str, bits: int) -> list[Case]:
    group, pair = f"integers.{kind}", [kind, kind]
    makers: list[tuple[dict[str, Any], Callable[[str, str], Inputs] | None, str]] = [
        (_BINARY, None, "arith"),
        (_DIVISIONS, _dividing, "arith"),
        (_SHIFTS, _shifting, "arith"),
        (_DEFINED, None, "stablehlo"),
    ]
    cases = []
    for ops, maker, dialect in makers:
        for op, function in ops.items():
            name = f"{op}.{kind}"
            cases.append(
                elementwise(
                    name,
                    f"  %r = {dialect}.{op} %a, %b : $0",
                    pair,
                    [kind],
                    integers(lambda a, b, f=function: f(a, b, bits), kind),
                    group=group if dialect == "arith" else f"{group}.stablehlo",
                    make=maker(kind, name) if maker else None,
                )
            )
    for op, extended in _EXTENDED.items():
        second = "i1" if op == "addui_extended" else kind
        types = "$0, tensor<#nxi1>" if second == "i1" else "$0"
        cases.append(
            elementwise(
                f"{op}.{kind}",
                f"  %r, %s = arith.{op} %a, %b : {types}",
                pair,
                [kind, second],
                integers(lambda a, b, f=extended: f(a, b, bits), kind, second),
                group=group,
            )
        )
    return cases


def _unary(kind: str, bits: int) -> list[Case]:
    group = f"integers.{kind}.more"
    cases = [
        elementwise(
            f"{op}.{kind}",
            f"  %r = math.{op} %a : $0",
            [kind],
            [kind],
            integers(lambda a, f=function: f(a, bits), kind),
            group=group,
        )
        for op, function in _UNARY.items()
    ]
    for op, number, function in _BY_CONSTANT:
        body = f"  %k = arith.constant dense<{number}> : $0\n  %r = arith.{op} %a, %k : $0"
        reference = integers(lambda a, f=function: f(a, bits), kind)
        cases.append(elementwise(f"{op}.{number}.{kind}", body, [kind], [kind], reference, group=group))
    cases.append(
        elementwise(
            f"ipowi.{kind}",
            "  %r = math.ipowi %a, %b : $0",
            [kind, kind],
            [kind],
            integers(lambda a, b: a**b, kind),
            group=group,
            make=_powers(kind, f"ipowi.{kind}"),
        )
    )
    cases.append(
        packed(
            f"cmpi.{kind}",
            [f"arith.cmpi {op}," for op in _PREDICATES],
            kind,
            2,
            integers(lambda a, b: tuple(f(a, b, bits) for f in _PREDICATES.values()), *["i1"] * len(_PREDICATES)),
            group=group,
        )
    )
    cases.append(
        elementwise(
            f"select.{kind}",
            "  %r = arith.select %a, %b, %c : $0, $1",
            ["i1", kind, kind],
            [kind],
            integers(lambda a, b, c: b if a else c, kind),
            group=group,
        )
    )
    return cases


def _booleans() -> list[Case]:
    ops: dict[str, Callable[[bool, bool], int]] = {
        "andi": lambda a, b: a & b,
        "ori": lambda a, b: a | b,
        "xori": lambda a, b: a ^ b,
        "addi": lambda a, b: a ^ b,
        "muli": lambda a, b: a & b,
        "maxui": lambda a, b: a | b,
        "minui": lambda a, b: a & b,
        "cmpi eq,": lambda a, b: a == b,
        "cmpi ult,": lambda a, b: b and not a,
    }
    return [
        elementwise(
            f"{op.strip(',').replace(' ', '.')}.i1",
            f"  %r = arith.{op} %a, %b : $0",
            ["i1", "i1"],
            ["i1"],
            integers(function, "i1"),
            group="integers.i8.more",
        )
        for op, function in ops.items()
    ] + [
        elementwise(
            "select.i1",
            "  %r = arith.select %a, %b, %c : $0, $1",
            ["i1", "i1", "i1"],
            ["i1"],
            integers(lambda a, b, c: b if a else c, "i1"),
            group="integers.i8.more",
        )
    ]


def rows() -> list[Case]:
    cases = _booleans()
    for kind, bits in INTEGERS.items():
        cases += _binary(kind, bits) + _unary(kind, bits)
    return cases
