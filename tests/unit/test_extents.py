"""Extents of inputs that must be equal (compiler/extents.py): which are compared, and what a caller reads."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import webree
from webree.errors import InvocationError

_ADD = """
func.func @main(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %0 = stablehlo.add %a, %b : tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}
"""
_CHAIN = """
func.func @main(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>, %c: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %0 = stablehlo.dot %a, %b : (tensor<?x?xf32>, tensor<?x?xf32>) -> tensor<?x?xf32>
  %1 = stablehlo.tanh %0 : tensor<?x?xf32>
  %2 = arith.addf %1, %c : tensor<?x?xf32>
  return %2 : tensor<?x?xf32>
}
"""
_APART = """
func.func @main(%a: tensor<?xf32>, %b: tensor<?xf32>) -> (tensor<?xf32>, tensor<?xf32>) {
  %0 = stablehlo.tanh %a : tensor<?xf32>
  %1 = stablehlo.tanh %b : tensor<?xf32>
  return %0, %1 : tensor<?xf32>, tensor<?xf32>
}
"""


def module(folder: Path, text: str) -> webree.Module:
    path = folder / "program.mlir"
    path.write_text(text)
    return webree.load(webree.compile(path, target="cpu"), device="cpu")


def test_sum(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b = (random.standard_normal((rows, 4), np.float32) for rows in (3, 2))
    with module(tmp_path, _ADD) as program:
        assert np.array_equal(np.asarray(program.main(a, a)), a + a)
        for wrong in ((a, b), (b, a)):
            with pytest.raises(
                InvocationError, match=r"dimension 0 of input 1 and dimension 0 of input 0 must be equal"
            ):
                program.main(*wrong)


def test_extents_of_intermediate_values(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    a, b, c = (random.standard_normal(shape, np.float32) for shape in ((2, 3), (3, 4), (2, 4)))
    wrong = [
        ((a, b[:2], c), "dimension 0 of input 1 and dimension 1 of input 0"),
        ((a, b, c[:1]), "dimension 0 of input 2 and dimension 0 of input 0"),
        ((a, b, c[:, :3]), "dimension 1 of input 2 and dimension 1 of input 1"),
    ]
    with module(tmp_path, _CHAIN) as program:
        assert np.allclose(np.asarray(program.main(a, b, c)), np.tanh(a @ b) + c, atol=1e-5)
        for inputs, words in wrong:
            with pytest.raises(InvocationError, match=re.escape(f"{words} must be equal")):
                program.main(*map(np.ascontiguousarray, inputs))


def test_what_is_not_read_together_may_differ(tmp_path: Path) -> None:
    with module(tmp_path, _APART) as program:
        one, two = program.main(np.zeros(3, np.float32), np.zeros(2, np.float32))
        assert (np.asarray(one).shape, np.asarray(two).shape) == ((3,), (2,))
