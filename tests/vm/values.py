"""Inputs for programs under test: edge values and random ones, and how results are compared.

Enters: a kind (`i32`, `i64`, `f32`, `f64`) and a random generator. Leaves: integers; floats are given by their bits.
"""

from __future__ import annotations

import random
import struct

_EDGES = {
    "i32": (0, 1, -1, 2, 3, 7, 31, 32, 33, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, -0x80000000, -128),
    "i64": (0, 1, -1, 5, 63, 64, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 53, (1 << 63) - 1, -(1 << 63), -(1 << 31)),
    "f32": (0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 2.5, -2.5, 3.0, 6.72, 1e-40, 3.4e38, -3.4e38, 16777217.0),
    "f64": (0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 2.5, -2.5, 3.0, 6.72, 1e-310, 1.7e308, 2.0**53, 4503599627370497.5),
}
_NOT_FINITE = (float("inf"), float("-inf"), float("nan"))


def bits(kind: str, value: float) -> int:
    """The bits of a float as a signed integer."""
    letters = ("<f", "<i") if kind == "f32" else ("<d", "<q")
    return int(struct.unpack(letters[1], struct.pack(letters[0], value))[0])


def number(kind: str, value: int) -> float:
    """The float with these bits."""
    letters = ("<f", "<i") if kind == "f32" else ("<d", "<q")
    return float(struct.unpack(letters[0], struct.pack(letters[1], value))[0])


def draw(kind: str, rng: random.Random) -> int:
    """An input of this kind: an edge value, or a random one of random magnitude."""
    if kind in ("i32", "i64"):
        width = int(kind[1:])
        if rng.random() < 0.4:
            return rng.choice(_EDGES[kind])
        value = rng.getrandbits(rng.randint(1, width))
        value = -value if rng.random() < 0.3 else value
        return (value + (1 << width - 1)) % (1 << width) - (1 << width - 1)
    chance = rng.random()
    if chance < 0.3:
        return bits(kind, rng.choice(_EDGES[kind]))
    if chance < 0.4:
        return bits(kind, rng.choice(_NOT_FINITE))
    if chance < 0.5:
        return bits(kind, float(rng.randint(-1000, 1000)) / 2)
    return bits(kind, rng.uniform(-1, 1) * 10.0 ** rng.randint(-6, 12))


def differs(kind: str, ours: int, theirs: int, ulps: int) -> bool:
    """Whether two results of this kind differ: floats by more than `ulps`, NaNs not at all."""
    if ours == theirs:
        return False
    if kind in ("i32", "i64"):
        return True
    a, b = number(kind, ours), number(kind, theirs)
    if a != a and b != b:
        return False
    sign = -(1 << (int(kind[1:]) - 1))
    ordered = [x if x >= 0 else sign - x for x in (ours, theirs)]
    return a != a or b != b or abs(ordered[0] - ordered[1]) > ulps
