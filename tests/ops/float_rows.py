"""Float ops, on every format: arithmetic, comparisons, functions, the latter twice.

A row named after its function has random arguments from a domain in which results are neither huge nor cancel; its
tolerance is in ulp. The row `.edges` has zeros, infinities, NaN, denormals, the smallest and the largest numbers; where
small results are differences of large ones, an absolute error beside it. `.huge` are sines of numbers beyond all
periods. References are computed in 80-bit floats, or in f64 where that is exact.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from tests.ops.cases import Case, Inputs, Reference, elementwise, packed, sizes, wide
from tests.ops.values import FLOATS, Array, float_format, inputs, numpy_type, ranges

__all__ = ["rows"]


def _erf(a: Array) -> Array:
    return np.array([math.erf(float(number)) for number in a], np.longdouble)


def _erfc(a: Array) -> Array:
    return np.array([math.erfc(float(number)) for number in a], np.longdouble)


def _away(a: Array) -> Array:
    """Halves away from zero."""
    whole = np.trunc(a)
    return np.copysign(np.abs(whole) + (np.abs(a - whole) >= 0.5), a)


def _maximum(a: Array, b: Array) -> Array:
    """NaN where one is, +0 above -0."""
    both_zero = (a == 0) & (b == 0)
    return np.where(both_zero, np.where(np.signbit(a) & np.signbit(b), -0.0, 0.0), np.maximum(a, b))


def _minimum(a: Array, b: Array) -> Array:
    return -_maximum(-a, -b)


@dataclass(frozen=True)
class _Function:
    """A row of the table of functions: domains of the operands, tolerance, and whether the edges have an answer."""

    exact: Callable[..., Array]
    domains: tuple[tuple[float, float], ...]
    ulp: float
    edges: bool = True
    absolute: float = 0
    huge: bool = True


_EXACT: dict[str, Callable[..., Array]] = {
    "arith.negf": lambda a: -a,
    "math.absf": np.abs,
    "math.ceil": np.ceil,
    "math.floor": np.floor,
    "math.trunc": np.trunc,
    "math.round": _away,
    "math.roundeven": np.rint,
}
_EXACT_PAIRS: dict[str, Callable[..., Array]] = {
    "arith.addf": np.add,
    "arith.subf": np.subtract,
    "arith.mulf": np.multiply,
    "math.copysign": np.copysign,
}
# Without regard to which of two zeros comes out: maximumf and minimumf have rows of their own for that, maxnumf and
# minnumf leave it open.
_LOOSE_PAIRS: dict[str, Callable[..., Array]] = {
    "arith.maximumf": np.maximum,
    "arith.minimumf": np.minimum,
    "arith.maxnumf": np.fmax,
    "arith.minnumf": np.fmin,
}
_ZERO_PAIRS: dict[str, Callable[..., Array]] = {"arith.maximumf": _maximum, "arith.minimumf": _minimum}

_UNIT = 1e-6
# WGSL bounds the absolute error of sine and cosine, and so of the tangent: their domains keep clear of zero, around
# which the edges' absolute tolerance holds.
_FUNCTIONS: dict[str, _Function] = {
    "arith.divf": _Function(np.divide, ((-100, 100), (0.1, 30)), 2.5),
    "math.sqrt": _Function(np.sqrt, ((0, 1000),), 3),
    "math.rsqrt": _Function(lambda a: 1 / np.sqrt(a), ((0.01, 1000),), 3),
    "math.cbrt": _Function(np.cbrt, ((0.1, 1000),), 32),
    "math.exp": _Function(np.exp, ((-9, 9),), 32),
    "math.exp2": _Function(np.exp2, ((-12, 12),), 32),
    "math.expm1": _Function(np.expm1, ((0.1, 4),), 64, absolute=_UNIT),
    "math.log": _Function(np.log, ((1.5, 1000),), 8),
    "math.log2": _Function(np.log2, ((1.5, 1000),), 8),
    "math.log10": _Function(np.log10, ((1.5, 1000),), 8),
    "math.log1p": _Function(np.log1p, ((0.1, 100),), 16, absolute=_UNIT),
    "math.sin": _Function(np.sin, ((0.1, 3),), 256, absolute=_UNIT, huge=False),
    "math.cos": _Function(np.cos, ((-1.5, 1.5),), 256, absolute=_UNIT, huge=False),
    "math.tan": _Function(np.tan, ((0.1, 1.2),), 256, absolute=_UNIT, huge=False),
    "math.asin": _Function(np.arcsin, ((-0.95, 0.95),), 4096, absolute=_UNIT),
    "math.acos": _Function(np.arccos, ((-0.95, 0.95),), 4096, absolute=_UNIT),
    "math.atan": _Function(np.arctan, ((-20, 20),), 64, absolute=_UNIT),
    "math.atan2": _Function(np.arctan2, ((-20, 20), (0.1, 20)), 64, absolute=_UNIT),
    "math.sinh": _Function(np.sinh, ((0.5, 8),), 64, absolute=_UNIT),
    "math.cosh": _Function(np.cosh, ((-8, 8),), 64),
    "math.tanh": _Function(np.tanh, ((-8, 8),), 64, absolute=_UNIT),
    "math.asinh": _Function(np.arcsinh, ((0.2, 100),), 64, absolute=_UNIT),
    "math.acosh": _Function(np.arccosh, ((1.5, 100),), 64),
    "math.atanh": _Function(np.arctanh, ((0.05, 0.9),), 64, absolute=_UNIT),
    "math.erf": _Function(_erf, ((-3, 3),), 32, absolute=_UNIT),
    "math.erfc": _Function(_erfc, ((-3, 3),), 64, absolute=_UNIT),
    "math.powf": _Function(np.power, ((0.1, 8), (-4, 4)), 64),
    "math.fma": _Function(lambda a, b, c: a * b + c, ((1, 9), (1, 9), (1, 9)), 1, edges=False),
}
# Halves are computed in f32; one format of them has all functions.
_IN_BF16 = ("arith.divf", "math.sqrt", "math.exp", "math.exp2", "math.log", "math.tanh", "math.erf", "math.powf")
# Errors of the quotient before its rounding become errors of the remainder, as large beside it as the quotient.
_REMAINDER = _Function(np.fmod, ((-100, 100), (0.5, 30)), 0, absolute=1e-5)

_ORDERED: dict[str, Callable[..., Array]] = {
    "oeq": np.equal,
    "ogt": np.greater,
    "oge": np.greater_equal,
    "olt": np.less,
    "ole": np.less_equal,
    "one": lambda a, b: (a < b) | (a > b),
    "ord": lambda a, b: ~(np.isnan(a) | np.isnan(b)),
    "ueq": lambda a, b: ~((a < b) | (a > b)),
    "ugt": lambda a, b: ~(a <= b),
    "uge": lambda a, b: ~(a < b),
    "ult": lambda a, b: ~(a >= b),
    "ule": lambda a, b: ~(a > b),
    "une": np.not_equal,
    "uno": lambda a, b: np.isnan(a) | np.isnan(b),
}
_CLASSES: dict[str, Callable[..., Array]] = {"isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite}


def _arithmetic(kind: str) -> list[Case]:
    group = f"floats.{kind}"
    # Sums and products of two f64 are rounded once in f64 itself.
    exactly = functools.partial(wide, dtype=np.float64)
    cases = [
        elementwise(
            f"{op.split('.')[1]}.{kind}", f"  %r = {op} %a : $0", [kind], [kind], exactly(function), group=group
        )
        for op, function in _EXACT.items()
    ]
    cases += [
        elementwise(
            f"{op.split('.')[1]}.{kind}", f"  %r = {op} %a, %b : $0", [kind] * 2, [kind], exactly(function), group=group
        )
        for op, function in _EXACT_PAIRS.items()
    ]
    cases += [
        elementwise(
            f"{op.split('.')[1]}.{kind}",
            f"  %r = {op} %a, %b : $0",
            [kind] * 2,
            [kind],
            exactly(function),
            group=group,
            ulp=1e-3,
        )
        for op, function in _LOOSE_PAIRS.items()
    ]
    cases += [
        elementwise(
            f"{op.split('.')[1]}.zeros.{kind}",
            f"  %r = {op} %a, %b : $0",
            [kind] * 2,
            [kind],
            exactly(function),
            group=group,
            make=_zeros(kind),
            count=16,
        )
        for op, function in _ZERO_PAIRS.items()
    ]
    cases.append(
        elementwise(
            f"select.{kind}",
            "  %r = arith.select %a, %b, %c : $0, $1",
            ["i1", kind, kind],
            [kind],
            lambda a, b, c: [np.where(a, b, c)],
            group=group,
        )
    )
    return cases


def _comparisons(kind: str) -> list[Case]:
    def reference(functions: Iterable[Callable[..., Array]]) -> Reference:
        return lambda *arrays: [wide(function)(*arrays)[0] for function in functions]

    compared = packed(
        f"cmpf.{kind}",
        [f"arith.cmpf {predicate}," for predicate in _ORDERED],
        kind,
        2,
        reference(_ORDERED.values()),
        group=f"floats.{kind}",
    )
    classes = [f"math.{op}" for op in _CLASSES]
    return [
        compared,
        packed(f"classes.{kind}", classes, kind, 1, reference(_CLASSES.values()), group=f"floats.{kind}"),
    ]


def _zeros(kind: str) -> Inputs:
    def make(random: np.random.Generator) -> list[Array]:
        pairs = np.array(list(itertools.product([0.0, -0.0], repeat=2)) * 4)  # all four, several times
        return [column.astype(numpy_type(kind)) for column in random.permutation(pairs).T]

    return make


def _functions(kind: str) -> list[Case]:
    cases = []
    for op, row in {**_FUNCTIONS, "arith.remf": _REMAINDER}.items():
        if kind == "bf16" and op not in _IN_BF16:
            continue
        name, operands = f"{op.split('.')[1]}.{kind}", [kind] * len(row.domains)
        # Narrow formats are computed in f32: its error is a fraction of theirs.
        ulp = row.ulp if kind in ("f32", "f64") else min(row.ulp, 1)
        row_of = functools.partial(
            elementwise,
            body=f"  %r = {op} {', '.join(['%a', '%b', '%c'][: len(operands)])} : $0",
            operands=operands,
            results=[kind],
            reference=wide(row.exact),
            ulp=ulp,
        )
        group, count = f"functions.{kind}", sizes(name)
        absolute = row.absolute if op == "arith.remf" else 0
        make = ranges(kind, *row.domains, count=count)
        cases.append(row_of(name, group=group, make=make, count=count, absolute=absolute))
        if row.edges and kind == "f32":
            count = 44 if len(operands) == 1 else 492
            make = inputs(*operands, count=count, only_edges=True)
            options = {"group": f"{group}.edges", "count": count, "absolute": row.absolute}
            cases.append(row_of(f"{name}.edges", make=make if row.huge else _moderate(make), **options))
            if not row.huge:
                cases.append(row_of(f"{name}.huge", make=_only_huge(kind, count), **options))
    return cases


def _moderate(make: Inputs) -> Inputs:
    """The largest number replaced."""

    def moderate(random: np.random.Generator) -> list[Array]:
        arrays = make(random)
        for array in arrays:
            array[np.isfinite(array) & (np.abs(array) > 1e4)] = 2
        return arrays

    return moderate


def _only_huge(kind: str, count: int) -> Inputs:
    largest = float(float_format(kind).largest)
    return ranges(kind, (largest / 4, largest), count=count)


def rows() -> list[Case]:
    cases: list[Case] = []
    for kind in FLOATS:
        cases += _arithmetic(kind) + _comparisons(kind) + _functions(kind)
    return cases
