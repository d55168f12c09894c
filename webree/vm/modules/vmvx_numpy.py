"""The `vmvx` module's arithmetic in NumPy. Enters: checked operands (vmvx.py). Leaves: results in the target.

Functions of reals are computed in float64 and rounded once, as the plain twin does; matrix products of floats are
summed in float32 by the matrix library, those of int8 exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from webree.errors import InvocationError, StatusCode
from webree.vm.modules.vmvx import Operand

__all__ = ["NumpyKernels"]

_EXACT_BITS = 53


def _divide(left: Any, right: Any) -> Any:
    """Towards zero, in wider integers, so that the one overflow wraps."""
    if not right.all():
        raise InvocationError("integer division by zero", status=StatusCode.INVALID_ARGUMENT)
    wide_left, wide_right = left.astype(np.int64), right.astype(np.int64)
    quotient = np.abs(wide_left) // np.abs(wide_right)
    return np.where((wide_left < 0) != (wide_right < 0), -quotient, quotient).astype(left.dtype)


def _unsigned(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda left, right: function(left.view(np.uint32), right.view(np.uint32)).view(np.int32)


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "divs": _divide,
    "divu": _unsigned(_divide),
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "shl": lambda left, right: left << (right & 31),
    "shrs": lambda left, right: left >> (right & 31),
    "shru": _unsigned(lambda left, right: left >> (right & np.uint32(31))),
}


def _wide(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: function(x.astype(np.float64)).astype(np.float32)


def _leading_zeros(x: Any) -> Any:
    """32 less the exponent that float64 gives the unsigned value."""
    return (32 - np.frexp(x.view(np.uint32).astype(np.float64))[1]).astype(np.int32)


_UNARY: dict[str, Callable[[Any], Any]] = {
    "copy": lambda x: x,
    "abs": np.abs,
    "ceil": np.ceil,
    "floor": np.floor,
    "neg": np.negative,
    "exp": _wide(np.exp),
    "log": _wide(np.log),
    "rsqrt": _wide(lambda x: 1.0 / np.sqrt(x)),
    "ctlz": _leading_zeros,
}


class NumpyKernels:
    """See `webree.vm.modules.vmvx.Kernels`."""

    def binary(self, operation: str, left: Operand, right: Operand, target: Operand) -> None:
        with np.errstate(all="ignore"):
            _array(target)[...] = _BINARY[operation](_array(left), _array(right))

    def unary(self, operation: str, source: Operand, target: Operand) -> None:
        with np.errstate(all="ignore"):
            _array(target)[...] = _UNARY[operation](_array(source))

    def fill(self, value: int, target: Operand) -> None:
        _array(target)[...] = value

    def mmt4d(self, left: Operand, right: Operand, target: Operand, accumulate: bool) -> None:
        (m, k, m0, k0), (n, _, n0, _) = left.sizes, right.sizes
        rows, columns = (_array(side).transpose(0, 2, 1, 3) for side in (left, right))
        a, b = rows.reshape(m * m0, k * k0), columns.reshape(n * n0, k * k0)
        if left.view.format == "b":
            # Whole numbers below 2**53 are exact in float64, whose product the matrix library does fast.
            assert 14 + (k * k0).bit_length() <= _EXACT_BITS
            product = (a.astype(np.float64) @ b.T.astype(np.float64)).astype(np.int64).astype(np.int32)
        else:
            with np.errstate(all="ignore"):
                product = a @ b.T
        tiles = product.reshape(m, m0, n, n0).transpose(0, 2, 1, 3)
        out = _array(target)
        out[...] = out + tiles if accumulate else tiles

    def pack(self, source: Operand, target: Operand, padding: bytes, inner: bool, outer: bool) -> None:
        tiles = _untransposed(_array(target), inner, outer)
        rows, columns, height, width = tiles.shape
        flat = _array(source)[: rows * height, : columns * width]
        padded = np.full((rows * height, columns * width), np.frombuffer(padding, flat.dtype)[0])
        padded[: flat.shape[0], : flat.shape[1]] = flat
        tiles[...] = padded.reshape(rows, height, columns, width).transpose(0, 2, 1, 3)

    def unpack(self, source: Operand, target: Operand, inner: bool, outer: bool) -> None:
        tiles = _untransposed(_array(source), inner, outer)
        rows, columns, height, width = tiles.shape
        flat = tiles.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)
        out = _array(target)
        out[...] = flat[: out.shape[0], : out.shape[1]]


def _array(operand: Operand) -> Any:
    view = operand.view
    size = view.itemsize
    strides = [stride * size for stride in operand.strides]
    return np.ndarray(operand.sizes, view.format, view, operand.offset * size, strides)


def _untransposed(tiles: Any, inner: bool, outer: bool) -> Any:
    return tiles.transpose(*((1, 0) if outer else (0, 1)), *((3, 2) if inner else (2, 3)))
