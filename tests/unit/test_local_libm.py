"""libm.wasm and host_math against NumPy: special values, denormal numbers, and random bits."""

from __future__ import annotations

import math
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wasmtime

import webree.hal_local
from webree.hal_local import host_math

PLAYER = Path(webree.hal_local.__file__).parent / "player"
SPECIAL = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.5, -2.5, 0.49999997, 8388607.5, -8388608.0, 1e30, -1e30]
SPECIAL += [math.inf, -math.inf, math.nan, 1e-45, -1e-45, 1.1754942e-38, 3.4e38, 10.0, 1000.0, 1e10, 1e-10, 3.0, -3.0]
SPECIAL64 = [5e-324, -5e-324, 2.2e-308, 2.2250738585072014e-308, 1.7e308, -1.7e308, 4503599627370495.5, 0.1]


@pytest.fixture(scope="module")
def libm() -> dict[str, Callable[..., float]]:
    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, (PLAYER / "libm.wasm").read_bytes())
    exports = wasmtime.Instance(store, module, []).exports(store)
    return {
        name: (lambda *values, function=function: function(store, *map(float, values)))  # type: ignore[misc]
        for name, function in exports.items()
    }


def values(dtype: Any, count: int, seed: int) -> list[Any]:
    """Special values, and numbers of random bits."""
    generator = random.Random(seed)
    size, code = (4, "f") if dtype is np.float32 else (8, "d")
    numbers = SPECIAL + (SPECIAL64 if size == 8 else [])
    numbers = numbers + [struct.unpack(code, generator.randbytes(size))[0] for _ in range(count)]
    numbers += [generator.uniform(-100, 100) for _ in range(count)]
    with np.errstate(all="ignore"):
        return [dtype(number) for number in numbers]


def same(found: float, expected: Any) -> bool:
    expected = float(expected)
    if math.isnan(expected):
        return math.isnan(found)
    return found == expected and math.copysign(1, found) == math.copysign(1, expected)


def _round(x: Any) -> Any:
    """Half away from zero; trunc is exact, and so is the difference."""
    whole = np.trunc(x)
    return np.copysign(whole + np.copysign(1, x) if abs(x - whole) >= 0.5 else whole, x)


def _extreme(pick: Any, positive_zero: bool) -> Callable[[Any, Any], Any]:
    def reference(x: Any, y: Any) -> Any:
        if x == 0 and y == 0:
            negative = [bool(np.signbit(value)) for value in (x, y)]
            return -0.0 if (all(negative) if positive_zero else any(negative)) else 0.0
        return pick(x, y)

    return reference


UNARY = {"round": _round, "roundeven": np.rint, "rint": np.rint, "nearbyint": np.rint}
BINARY = {"fmax": _extreme(np.fmax, True), "fmin": _extreme(np.fmin, False), "fmod": np.fmod}


def test_the_exports_are_those_that_host_math_names(libm: dict[str, Callable[..., float]]) -> None:
    assert frozenset(libm) == host_math.LIBM
    assert not host_math.LIBM & frozenset(host_math.FUNCTIONS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_exact_functions(libm: dict[str, Callable[..., float]], name: str, dtype: Any) -> None:
    function = libm[name + ("f" if dtype is np.float32 else "")]
    seed = time.time_ns()
    if name in UNARY:
        cases = [(x,) for x in values(dtype, 500, seed)]
    else:
        pool = values(dtype, 30, seed)
        cases = [(x, y) for x in pool for y in pool]  # type: ignore[misc]
    with np.errstate(all="ignore"):
        for case in cases:
            expected = {**UNARY, **BINARY}[name](*case)
            found = function(*case)
            assert same(found, expected), f"{name}{case}: {found}, expected {expected} (seed {seed})"


def test_fmodf_near_whole_quotients(libm: dict[str, Callable[..., float]]) -> None:
    seed = time.time_ns()
    generator = random.Random(seed)
    for _ in range(5000):
        y = np.float32(generator.uniform(-5, 5))
        with np.errstate(all="ignore"):
            x = np.nextafter(
                np.float32(y * generator.randrange(1, 1 << 28)), np.float32(generator.choice((-9e30, 9e30)))
            )
            expected = np.fmod(x, y)
        assert same(libm["fmodf"](x, y), expected), f"fmodf({x}, {y}) (seed {seed})"


def test_log10f(libm: dict[str, Callable[..., float]]) -> None:
    """The logarithm in f64, rounded to f32."""
    seed = time.time_ns()
    with np.errstate(all="ignore"):
        for x in values(np.float32, 5000, seed):
            assert same(libm["log10f"](x), np.float32(np.log10(np.float64(x)))), f"log10f({x}) (seed {seed})"
    for power in range(-37, 39):
        assert libm["log10f"](np.float32(10.0**power)) == np.float32(np.log10(np.float64(np.float32(10.0**power))))


@pytest.mark.parametrize("name", ["exp", "log"])
def test_exp_and_log(libm: dict[str, Callable[..., float]], name: str) -> None:
    seed = time.time_ns()
    generator = random.Random(seed)
    cases = values(np.float64, 2000, seed) + [np.float64(generator.uniform(-746, 711)) for _ in range(2000)]
    cases += [np.float64(1 + sign * generator.random() * 2.0**-power) for power in range(60) for sign in (-1, 1)]
    cases += [np.float64(x) for x in (709.782712893384, 709.7827128933842, -745.13321910194, -745.1332191019412, 1, 2)]
    cases += [np.float64(x) for x in (2**-0.5, 2**0.5, np.nextafter(1, 0), np.nextafter(1, 2))]
    with np.errstate(all="ignore"):
        for x in cases:
            found, expected = libm[name](x), float(getattr(np, name)(x))
            near = abs(found - expected) <= 2 * math.ulp(expected) if math.isfinite(expected) else False
            assert near or same(found, expected), f"{name}({x!r}): {found!r}, expected {expected!r} (seed {seed})"


NUMPY_NAMES = {"acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan"}
NUMPY_NAMES |= {"atan2": "arctan2", "atanh": "arctanh", "pow": "power"}


@pytest.mark.parametrize("name", sorted(host_math.FUNCTIONS))
def test_host_functions(name: str) -> None:
    reference = getattr(np, NUMPY_NAMES.get(name, name))
    function = host_math.FUNCTIONS[name]
    seed = time.time_ns()
    pool = values(np.float64, 40 if host_math.arity(name) == 2 else 1000, seed)
    cases = [(x,) for x in pool] if host_math.arity(name) == 1 else [(x, y) for x in pool for y in pool]
    with np.errstate(all="ignore"):
        for case in cases:
            # Two exponents: NumPy takes the square root for a single 0.5, which is wrong for -0 and -inf.
            arrays = [np.array([x, x]) for x in case[:1]] + [np.array([y, 7.0]) for y in case[1:]]
            found, expected = function(*map(float, case)), float(reference(*arrays)[0])
            near = math.isclose(found, expected, rel_tol=4e-15) or abs(found - expected) < 1e-322
            assert same(found, expected) or (found != 0 and near), (
                f"{name}{case}: {found}, expected {expected} ({seed=})"
            )
