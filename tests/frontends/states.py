"""Programs with state, and what they must do, in Python: shared by the tests natively and in Chromium.

Enters: a way to call functions of a loaded module. Leaves: assertions. `cells(…)` is a module with two mutable tensors
of the same or of different initial values, whose functions write them in place, swap them, store one value in both, and
return old and new values; `Mirror` does the same with arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["COUNTING", "INITIAL", "SHAPE", "cells", "check_cells"]

SHAPE = (4, 2)
INITIAL = np.arange(1, 9).reshape(SHAPE)
COUNTING = "dense<[[1, 2], [3, 4], [5, 6], [7, 8]]>"

_TEXT = """
util.global private mutable @a = {first} : tensor<4x2x{type}>
util.global private mutable @b = {second} : tensor<4x2x{type}>
func.func @put(%x: tensor<1x2x{type}>, %y: tensor<1x2x{type}>, %i: tensor<i32>) {{
  %scalar = tensor.extract %i[] : tensor<i32>
  %at = arith.index_cast %scalar : i32 to index
  %a = util.global.load @a : tensor<4x2x{type}>
  %b = util.global.load @b : tensor<4x2x{type}>
  %a1 = tensor.insert_slice %x into %a[%at, 0] [1, 2] [1, 1] : tensor<1x2x{type}> into tensor<4x2x{type}>
  %b1 = tensor.insert_slice %y into %b[%at, 0] [1, 2] [1, 1] : tensor<1x2x{type}> into tensor<4x2x{type}>
  util.global.store %a1, @a : tensor<4x2x{type}>
  util.global.store %b1, @b : tensor<4x2x{type}>
  return
}}
func.func @replace(%x: tensor<1x2x{type}>) -> (tensor<4x2x{type}>, tensor<4x2x{type}>) {{
  %a = util.global.load @a : tensor<4x2x{type}>
  %a1 = tensor.insert_slice %x into %a[0, 0] [1, 2] [1, 1] : tensor<1x2x{type}> into tensor<4x2x{type}>
  util.global.store %a1, @a : tensor<4x2x{type}>
  return %a, %a1 : tensor<4x2x{type}>, tensor<4x2x{type}>
}}
func.func @get() -> (tensor<4x2x{type}>, tensor<4x2x{type}>) {{
  %a = util.global.load @a : tensor<4x2x{type}>
  %b = util.global.load @b : tensor<4x2x{type}>
  return %a, %b : tensor<4x2x{type}>, tensor<4x2x{type}>
}}
func.func @swap() {{
  %a = util.global.load @a : tensor<4x2x{type}>
  %b = util.global.load @b : tensor<4x2x{type}>
  util.global.store %b, @a : tensor<4x2x{type}>
  util.global.store %a, @b : tensor<4x2x{type}>
  return
}}
func.func @both(%x: tensor<4x2x{type}>) {{
  util.global.store %x, @a : tensor<4x2x{type}>
  util.global.store %x, @b : tensor<4x2x{type}>
  return
}}
"""


def cells(element: str = "f32", first: str = "dense<0.0>", second: str = "dense<0.0>") -> str:
    """MLIR text of the module; `element` is an MLIR type, `first` and `second` are initial values."""
    return _TEXT.format(type=element, first=first, second=second)


def check_cells(call: Callable[..., Any], dtype: Any, first: Any, second: Any) -> None:
    """Call every function in turn, and compare both tensors after each. `call(name, *arrays)` returns a list."""
    a, b = (np.array(np.broadcast_to(value, SHAPE), dtype) for value in (first, second))

    def row(value: int) -> Any:
        return np.full((1, 2), value).astype(dtype)

    def check(after: str) -> None:
        for name, found, expected in zip("ab", call("get"), (a, b), strict=True):
            np.testing.assert_array_equal(found, expected, err_msg=f"{name} after {after}")

    check("load")
    for step in range(3):
        call("put", row(9 + step), row(20 + step), np.array(step, np.int32))
        a[step], b[step] = row(9 + step), row(20 + step)
        check(f"put {step}")
    old, new = call("replace", row(3))
    np.testing.assert_array_equal(old, a, err_msg="the old value")
    a[0] = row(3)
    np.testing.assert_array_equal(new, a, err_msg="the new value")
    check("replace")
    call("swap")
    a, b = b, a
    check("swap")
    both = np.arange(30, 38).reshape(SHAPE).astype(dtype)
    call("both", both)
    a, b = both.copy(), both.copy()
    check("both")
    call("put", row(5), row(6), np.array(1, np.int32))
    a[1], b[1] = row(5), row(6)
    check("put after both")
