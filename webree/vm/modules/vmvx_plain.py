"""The `vmvx` module's arithmetic in plain Python, for where NumPy is not. Enters: checked operands (vmvx.py). Leaves:
results in the target. Rows are read and written whole; sums of products are kept in float64 and rounded once.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from webree.vm import arithmetic
from webree.vm.arithmetic import wrap32
from webree.vm.modules.vmvx import Operand

__all__ = ["PlainKernels"]

_U32 = 0xFFFFFFFF

_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": arithmetic.div_f,
    "divs": arithmetic.div_i32_s,
    "divu": arithmetic.div_i32_u,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << (b & 31),
    "shrs": lambda a, b: a >> (b & 31),
    "shru": lambda a, b: (a & _U32) >> (b & 31),
}
_UNARY: dict[str, Callable[[Any], Any]] = {
    "abs": abs,
    "ceil": arithmetic.ceil_f,
    "floor": arithmetic.floor_f,
    "neg": lambda x: -x,
    "exp": arithmetic.exp_f,
    "log": arithmetic.log_f,
    "rsqrt": arithmetic.rsqrt_f,
    "ctlz": lambda x: 32 - (x & _U32).bit_length(),
}


class PlainKernels:
    """See `webree.vm.modules.vmvx.Kernels`."""

    def binary(self, operation: str, left: Operand, right: Operand, target: Operand) -> None:
        function = _BINARY[operation]
        for position, (a, b) in enumerate(zip(_rows(left), _rows(right), strict=True)):
            _write_row(target, (position,), [function(x, y) for x, y in zip(a, b, strict=True)])

    def unary(self, operation: str, source: Operand, target: Operand) -> None:
        function = _UNARY.get(operation, lambda x: x)
        for position, values in enumerate(_rows(source)):
            _write_row(target, (position,), [function(x) for x in values])

    def fill(self, value: int, target: Operand) -> None:
        for position in range(target.sizes[0]):
            _write_row(target, (position,), [value] * target.sizes[1])

    def mmt4d(self, left: Operand, right: Operand, target: Operand, accumulate: bool) -> None:
        left_rows, right_rows = _depth_rows(left), _depth_rows(right)
        height, width = left.sizes[2], right.sizes[2]
        for i, j, a in product(range(left.sizes[0]), range(right.sizes[0]), range(height)):
            row = left_rows[i * height + a]
            sums = [sum(map(_times, row, column)) for column in right_rows[j * width : j * width + width]]
            if accumulate:
                sums = [x + y for x, y in zip(_read_row(target, (i, j, a)), sums, strict=True)]
            _write_row(target, (i, j, a), sums)

    def pack(self, source: Operand, target: Operand, padding: bytes, inner: bool, outer: bool) -> None:
        (filler,) = memoryview(padding).cast(_format(source))
        height, width = source.sizes
        tile = target.sizes[3 if inner else 2], target.sizes[2 if inner else 3]
        view, (stride0, stride1) = source.view, source.strides
        for i, j, a in product(*map(range, target.sizes[:3])):
            values = []
            for b in range(target.sizes[3]):
                row = (j if outer else i) * tile[0] + (b if inner else a)
                column = (i if outer else j) * tile[1] + (a if inner else b)
                inside = row < height and column < width
                values.append(view[source.offset + row * stride0 + column * stride1] if inside else filler)
            _write_row(target, (i, j, a), values)

    def unpack(self, source: Operand, target: Operand, inner: bool, outer: bool) -> None:
        tile = source.sizes[3 if inner else 2], source.sizes[2 if inner else 3]
        view, (stride0, stride1, stride2, _) = source.view, source.strides
        for row in range(target.sizes[0]):
            i, a = divmod(row, tile[0])
            values = []
            for column in range(target.sizes[1]):
                j, b = divmod(column, tile[1])
                at = source.offset + (j * stride0 + i * stride1 if outer else i * stride0 + j * stride1)
                values.append(view[at + (b * stride2 + a if inner else a * stride2 + b)])
            _write_row(target, (row,), values)


def _times(x: Any, y: Any) -> Any:
    return x * y


def _start(operand: Operand, indices: tuple[int, ...]) -> int:
    return operand.offset + sum(index * stride for index, stride in zip(indices, operand.strides, strict=False))


def _read_row(operand: Operand, indices: tuple[int, ...]) -> list[Any]:
    """The elements along the last axis."""
    start, stride, count = _start(operand, indices), operand.strides[-1], operand.sizes[-1]
    if stride == 1:
        return operand.view[start : start + count].tolist()
    view = operand.view
    return [view[start + position * stride] for position in range(count)]


def _rows(operand: Operand) -> Iterator[list[Any]]:
    return (_read_row(operand, (position,)) for position in range(operand.sizes[0]))


def _write_row(operand: Operand, indices: tuple[int, ...], values: list[Any]) -> None:
    """Integers wrap, floats are rounded by the store."""
    start, stride = _start(operand, indices), operand.strides[-1]
    view, letter = operand.view, _format(operand)
    if letter == "i":
        values = [x if -0x8000_0000 <= x <= 0x7FFF_FFFF else wrap32(x) for x in values]
    if stride == 1:
        view[start : start + len(values)] = memoryview(array(letter, values))
        return
    for position, value in enumerate(values):
        view[start + position * stride] = value


def _format(operand: Operand) -> Any:
    return operand.view.format


def _depth_rows(operand: Operand) -> list[list[Any]]:
    """All rows of the matrix that the tiles make up, along the depth."""
    outer, depth, inner, _ = operand.sizes
    return [
        [x for k in range(depth) for x in _read_row(operand, (i, k, a))] for i, a in product(range(outer), range(inner))
    ]
