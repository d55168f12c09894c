"""64-bit divisions and unsigned narrow comparisons, which the compiler writes out: against exact integers."""

from __future__ import annotations

import numpy as np
import pytest

import webree
from tests.conftest import Machine
from webree.compiler.api import compile

_COUNT = 67
_WRAP = 1 << 64


def _quotient(left: int, right: int) -> int:
    magnitude = abs(left) // abs(right)
    return -magnitude if (left < 0) != (right < 0) else magnitude


EXACT = {
    "divsi": _quotient,
    "remsi": lambda left, right: left - _quotient(left, right) * right,
    "floordivsi": lambda left, right: left // right,
    "ceildivsi": lambda left, right: -(-left // right),
    "divui": lambda left, right: (left % _WRAP) // (right % _WRAP),
    "remui": lambda left, right: (left % _WRAP) % (right % _WRAP),
    "ceildivui": lambda left, right: -(-(left % _WRAP) // (right % _WRAP)),
}


@pytest.mark.parametrize("operation", EXACT)
def test_division_of_64_bit_integers(operation: str, machine: Machine) -> None:
    chance = np.random.default_rng()
    left, right = (
        chance.integers(-(2**63), 2**63, _COUNT) >> chance.integers(0, 63, _COUNT, dtype=np.int64) for _ in range(2)
    )
    right[right == 0] = 3
    left[:4] = -(2**63), 2**63 - 1, 0, -1
    right[:4] = 2, -(2**63), -7, 2**62
    kind = f"tensor<{_COUNT}xi64>"
    data = compile(
        f"func.func @main(%a: {kind}, %b: {kind}) -> {kind} {{\n"
        f"  %0 = arith.{operation} %a, %b : {kind}\n  return %0 : {kind}\n}}",
        target=machine.target,
    )
    found = np.asarray(webree.load(data, device=machine.device).main(left, right)).view(np.uint64)
    exact = [EXACT[operation](*pair) % _WRAP for pair in zip(left.tolist(), right.tolist(), strict=True)]
    np.testing.assert_array_equal(found, np.array(exact, np.uint64))


@pytest.mark.parametrize("comparison", ["LT", "LE", "GT", "GE"])
@pytest.mark.parametrize("bits", [8, 16])
def test_comparison_of_unsigned_narrow_integers(comparison: str, bits: int, machine: Machine) -> None:
    chance = np.random.default_rng()
    element = {8: np.uint8, 16: np.uint16}[bits]
    left, right = (chance.integers(0, 1 << bits, 33).astype(element) for _ in range(2))
    right[:5] = left[:5]
    kind, result = f"tensor<33xui{bits}>", "tensor<33xi1>"
    data = compile(
        f"func.func @main(%a: {kind}, %b: {kind}) -> {result} {{\n"
        f"  %0 = stablehlo.compare {comparison}, %a, %b : ({kind}, {kind}) -> {result}\n  return %0 : {result}\n}}",
        target=machine.target,
    )
    exact = {"LT": left < right, "LE": left <= right, "GT": left > right, "GE": left >= right}[comparison]
    np.testing.assert_array_equal(np.asarray(webree.load(data, device=machine.device).main(left, right)), exact)
