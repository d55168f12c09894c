"""Element types, and the inputs that the op table runs on: edge cases first, then random values.

Enters: an element type's MLIR name, a random generator. Leaves: NumPy arrays. Integers come as the extremes, powers of
two and their neighbours, and random numbers of all magnitudes; floats as both zeros, infinities, NaN, the largest, the
smallest normal, denormals, halves (for rounding), and random numbers over a wide range of exponents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

__all__ = ["FLOATS", "INTEGERS", "Array", "FloatFormat", "edges", "float_format", "inputs", "is_float", "numpy_type"]

Array = np.ndarray[Any, Any]
Random = np.random.Generator

INTEGERS = {"i8": 8, "i16": 16, "i32": 32, "i64": 64}
FLOATS = ("f16", "bf16", "f32", "f64")

_NUMPY: dict[str, Any] = {
    "i1": np.bool_,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f32": np.float32,
    "f64": np.float64,
}


@dataclass(frozen=True)
class FloatFormat:
    """Bits of the fraction, the exponent of the smallest normal number, the exponent of the largest."""

    fraction: int
    low: int
    high: int

    @property
    def largest(self) -> np.longdouble:
        return np.ldexp(np.longdouble(2) - np.ldexp(np.longdouble(1), -self.fraction), self.high)

    @property
    def tiny(self) -> np.longdouble:
        return np.ldexp(np.longdouble(1), self.low)


_FORMATS = {
    "f16": FloatFormat(10, -14, 15),
    "bf16": FloatFormat(7, -126, 127),
    "f32": FloatFormat(23, -126, 127),
    "f64": FloatFormat(52, -1022, 1023),
}


def numpy_type(name: str) -> Any:
    """The NumPy dtype of an MLIR element type."""
    return np.dtype(_NUMPY[name])


def is_float(name: str) -> bool:
    return name in _FORMATS


def float_format(name: str) -> FloatFormat:
    return _FORMATS[name]


def edges(name: str) -> list[Any]:
    """The values that ops get wrong most often."""
    if name == "i1":
        return [False, True]
    if name in INTEGERS:
        top = 1 << (INTEGERS[name] - 1)
        return [0, 1, -1, 2, -2, 3, -3, 7, top - 1, -top, -top + 1, top >> 1, -(top >> 1), 100, -100, 5]
    format_ = _FORMATS[name]
    largest, tiny = float(format_.largest), float(format_.tiny)
    one_off = 1 + 2.0**-format_.fraction
    special = [np.nan, np.inf, -np.inf, largest, -largest, tiny, -tiny, tiny / 4, -tiny / 2]
    return [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, one_off, *special]


def _random(name: str, count: int, random: Random) -> Array:
    if name == "i1":
        return random.integers(0, 2, count).astype(bool)
    if name in INTEGERS:
        bits = INTEGERS[name]
        numbers = random.integers(-(1 << (bits - 1)), 1 << (bits - 1), count)
        return (numbers >> random.integers(0, bits - 1, count)).astype(_NUMPY[name])
    reach = min(20, _FORMATS[name].high - 3)
    return (random.uniform(1, 2, count) * 2.0 ** random.integers(-reach, reach, count) * _signs(count, random)).astype(
        _NUMPY[name]
    )


def _signs(count: int, random: Random) -> Array:
    return np.where(random.integers(0, 2, count) == 1, 1.0, -1.0)


def inputs(*names: str, count: int, only_edges: bool = False) -> Callable[[Random], list[Array]]:
    """Arrays of `count` elements: all pairs (or triples, as far as they fit) of edges, then random ones."""

    def make(random: Random) -> list[Array]:
        listed = [np.array(edges(name), _NUMPY[name]) for name in names]
        grid = [part.ravel() for part in np.meshgrid(*listed, indexing="ij")]
        order = random.permutation(grid[0].size)[: count if only_edges else count * 3 // 4]
        arrays = []
        for name, part in zip(names, grid, strict=True):
            rest = np.resize(part, count - order.size) if only_edges else _random(name, count - order.size, random)
            arrays.append(np.concatenate([part[order], rest]).astype(_NUMPY[name]))
        return arrays

    return make


def ranges(name: str, *bounds: tuple[float, float], count: int) -> Callable[[Random], list[Array]]:
    """One array of each pair of bounds, uniform between them."""

    def make(random: Random) -> list[Array]:
        return [random.uniform(low, high, count).astype(_NUMPY[name]) for low, high in bounds]

    return make
