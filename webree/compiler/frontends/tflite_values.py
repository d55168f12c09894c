"""Values of a TensorFlow Lite model on their way into MLIR: tensors, sizes known only at run time, scalars of a kernel.

Enters: what tflite_emit.py writes. Leaves: the vocabulary that the operators' lowerings speak. A `Dim` is a size that
the caller decides; it calculates like a number, and each calculation becomes an operation of the host program. So shape
arithmetic of the model (SHAPE, STRIDED_SLICE, PACK, …) runs while importing, on arrays of numbers and `Dim`s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from webree.compiler.frontends.tflite_file import Array, Quantization

__all__ = ["Dim", "Size", "Value", "is_float", "is_unsigned", "known", "numpy_type", "signless", "tensor_type"]


class _Writer(Protocol):
    def index_op(self, op: str, *operands: Size) -> Dim: ...


@dataclass(frozen=True, eq=False)
class Dim:
    """A size known at run time only: the name of a value of MLIR's type `index`.

    Two are equal if they are the same value; whether two values are equal is not known while compiling."""

    writer: _Writer
    ssa: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and other.ssa == self.ssa

    def __hash__(self) -> int:
        return hash(self.ssa)

    def __add__(self, other: Size) -> Size:
        return self if _is(other, 0) else self.writer.index_op("arith.addi", self, other)

    def __radd__(self, other: Size) -> Size:
        return self + other

    def __sub__(self, other: Size) -> Size:
        return self if _is(other, 0) else self.writer.index_op("arith.subi", self, other)

    def __rsub__(self, other: Size) -> Size:
        return self.writer.index_op("arith.subi", other, self)

    def __neg__(self) -> Size:
        return 0 - self

    def __mul__(self, other: Size) -> Size:
        return self if _is(other, 1) else 0 if _is(other, 0) else self.writer.index_op("arith.muli", self, other)

    def __rmul__(self, other: Size) -> Size:
        return self * other

    def __floordiv__(self, other: Size) -> Size:
        return self if _is(other, 1) else 1 if other == self else self.writer.index_op("arith.floordivsi", self, other)

    def __rfloordiv__(self, other: Size) -> Size:
        return self.writer.index_op("arith.floordivsi", other, self)

    def __mod__(self, other: Size) -> Size:
        return 0 if _is(other, 1) else self.writer.index_op("arith.remsi", self, other)

    def maximum(self, other: Size) -> Size:
        """The larger of two."""
        return self.writer.index_op("arith.maxsi", self, other)

    def minimum(self, other: Size) -> Size:
        """The smaller of two."""
        return self.writer.index_op("arith.minsi", self, other)


Size = int | Dim


def _is(size: Any, number: int) -> bool:
    return not isinstance(size, Dim) and int(size) == number


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A tensor.

    Attributes:
        ssa: its name in MLIR, or "" for a constant, which is written where it is used.
        dtype: element type as in tflite_schema.py (`ui8` is `i8` in MLIR: see `signless`).
        data: elements of a constant; an array of objects (numbers and `Dim`s) for sizes computed from shapes.
        label: what the model calls it.
        imaginary: of a complex tensor, whose real part this is.
    """

    ssa: str
    dtype: str
    shape: tuple[Size, ...]
    quantization: Quantization | None = None
    data: Array | None = None
    label: str = ""
    imaginary: Value | None = None

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def is_static(self) -> bool:
        """Whether all sizes are known."""
        return all(isinstance(size, int) for size in self.shape)

    @property
    def constant(self) -> Array | None:
        """The elements, if all of them are known numbers."""
        return None if self.data is None or self.data.dtype == object else self.data


_NUMPY = {"f32": "f4", "f16": "f2", "f64": "f8", "i1": "?", "i8": "i1", "i16": "i2", "i32": "i4", "i64": "i8"}


def known(sizes: Iterable[Size]) -> list[int] | None:
    """The sizes as numbers, or None if one of them is known only at run time."""
    found = list(sizes)
    return [int(size) for size in found if isinstance(size, int)] if all(isinstance(x, int) for x in found) else None


def is_float(dtype: str) -> bool:
    """f16, f32, f64."""
    return dtype.startswith("f")


def is_unsigned(dtype: str) -> bool:
    """ui8 to ui64."""
    return dtype.startswith("ui")


def signless(dtype: str) -> str:
    """The type in MLIR: integers carry no sign there, operations do."""
    return dtype.removeprefix("u")


def numpy_type(dtype: str) -> np.dtype[Any]:
    """NumPy's type of the same elements."""
    return np.dtype(_NUMPY[dtype] if not is_unsigned(dtype) else "u" + str(int(dtype[2:]) // 8))


def tensor_type(shape: tuple[Size, ...], dtype: str) -> str:
    """MLIR's tensor type, signless."""
    sizes = "".join(f"{size}x" if isinstance(size, int) else "?x" for size in shape)
    return f"tensor<{sizes}{signless(dtype)}>"
