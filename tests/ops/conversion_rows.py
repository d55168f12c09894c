"""Conversions between all element types, and bit casts."""

from __future__ import annotations

import numpy as np

from tests.ops.cases import Case, Inputs, elementwise, integers, wide
from tests.ops.values import FLOATS, INTEGERS, Array, float_format, inputs, numpy_type

__all__ = ["rows"]

_WIDTHS = {"i1": 1, **INTEGERS}
_FLOAT_WIDTHS = {"f16": 16, "bf16": 16, "f32": 32, "f64": 64}


def _group(source: str, target: str) -> str:
    """A module with f16 stores no i16."""
    return "convert.f16" if "f16" in (source, target) else f"convert.{source}"


def _between_integers() -> list[Case]:
    cases = []
    for source, bits in _WIDTHS.items():
        for target, wider in _WIDTHS.items():
            if bits == wider:
                continue
            ops = ["extsi", "extui"] if bits < wider else ["trunci"]
            for op in ops:
                # A boolean is 0 or 1 to Python, and -1 as a signed number of one bit.
                sign = -1 if op == "extsi" and source == "i1" else 1
                mask = (1 << bits) - 1 if op == "extui" else -1
                cases.append(
                    elementwise(
                        f"{op}.{source}.{target}",
                        f"  %r = arith.{op} %a : $0 to $r",
                        [source],
                        [target],
                        integers(lambda a, s=sign, m=mask: s * int(a) & m, target),
                        group=_group(source, target),
                    )
                )
    return cases


def _to_float() -> list[Case]:
    cases = []
    for source, bits in _WIDTHS.items():
        for target in FLOATS:
            for op in ("sitofp", "uitofp"):

                def reference(a: Array, op: str = op, bits: int = bits) -> list[Array]:
                    numbers = [int(number) for number in a.tolist()]
                    if op == "uitofp":
                        numbers = [number & ((1 << bits) - 1) for number in numbers]
                    elif bits == 1:
                        numbers = [-number for number in numbers]
                    return [np.array(numbers, np.longdouble)]

                exact = bits <= float_format(target).fraction + 1
                cases.append(
                    elementwise(
                        f"{op}.{source}.{target}",
                        f"  %r = arith.{op} %a : $0 to $r",
                        [source],
                        [target],
                        reference,
                        group=_group(source, target),
                        ulp=0 if exact else 1,
                    )
                )
    return cases


def _in_range(source: str, low: float, high: float) -> Inputs:
    """A float that no integer of the type is near to has no answer."""

    def make(random: np.random.Generator) -> list[Array]:
        (a,) = inputs(source, count=251)(random)
        numbers = a.astype(np.float64)
        a[~((numbers > low - 1) & (numbers < high + 1))] = 1
        return [a]

    return make


def _to_integer() -> list[Case]:
    cases = []
    for source in FLOATS:
        for target, bits in INTEGERS.items():
            for op in ("fptosi", "fptoui"):
                low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if op == "fptosi" else (0, (1 << bits) - 1)
                # The largest integers of a type that a float holds are some below its bound.
                high = min(high, int(high - (1 << max(0, bits - 1 - float_format(source).fraction))))
                cases.append(
                    elementwise(
                        f"{op}.{source}.{target}",
                        f"  %r = arith.{op} %a : $0 to $r",
                        [source],
                        [target],
                        integers(lambda a: int(float(a)), target),
                        group=_group(source, target),
                        make=_in_range(source, low, high),
                        count=251,
                    )
                )
    return cases


def _between_floats() -> list[Case]:
    cases = []
    for source, bits in _FLOAT_WIDTHS.items():
        for target, wider in _FLOAT_WIDTHS.items():
            if bits == wider:
                continue
            op = "extf" if bits < wider else "truncf"
            cases.append(
                elementwise(
                    f"{op}.{source}.{target}",
                    f"  %r = arith.{op} %a : $0 to $r",
                    [source],
                    [target],
                    wide(lambda a: a),
                    group=_group(source, target),
                )
            )
    return cases


def _bits() -> list[Case]:
    pairs = [("i16", "f16"), ("i16", "bf16"), ("i32", "f32"), ("i64", "f64")]
    return [
        elementwise(
            f"bitcast.{source}.{target}",
            "  %r = arith.bitcast %a : $0 to $r",
            [source],
            [target],
            lambda a, kind=target: [a.view(numpy_type(kind))],
            group=_group(source, target),
        )
        for pair in pairs
        for source, target in (pair, pair[::-1])
    ]


def rows() -> list[Case]:
    return _between_integers() + _to_float() + _to_integer() + _between_floats() + _bits()
