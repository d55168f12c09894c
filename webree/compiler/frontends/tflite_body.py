"""Scalars inside a kernel: one operation, the right instruction for floats, signed and unsigned integers.

Enters: an emitter, scalars with their element types. Leaves: operations of the arith and math dialects.
Quantised numbers are turned into f32 and back here; rounding is to the nearest even number, as TensorFlow Lite's
default kernels (XNNPACK) do: https://ai.google.dev/edge/litert/models/quantization_spec
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from webree.compiler.frontends.tflite_values import Value, is_float, is_unsigned, signless, tensor_type

if TYPE_CHECKING:
    from webree.compiler.frontends.tflite_emit import Emitter
    from webree.compiler.frontends.tflite_file import Quantization

__all__ = ["Body", "Scalar", "limits", "literal"]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A scalar value: its name in MLIR and its element type (or `index`)."""

    name: str
    dtype: str


# Name of an operation -> instruction for floats, signed and unsigned integers ("" where there is none).
_BINARY = {
    "add": ("arith.addf", "arith.addi", "arith.addi"),
    "sub": ("arith.subf", "arith.subi", "arith.subi"),
    "mul": ("arith.mulf", "arith.muli", "arith.muli"),
    "div": ("arith.divf", "arith.divsi", "arith.divui"),
    "floor_div": ("", "arith.floordivsi", "arith.divui"),
    "rem": ("arith.remf", "arith.remsi", "arith.remui"),
    "maximum": ("arith.maximumf", "arith.maxsi", "arith.maxui"),
    "minimum": ("arith.minimumf", "arith.minsi", "arith.minui"),
    "pow": ("math.powf", "", ""),
    "atan2": ("math.atan2", "", ""),
    "logical_and": ("", "arith.andi", "arith.andi"),
    "logical_or": ("", "arith.ori", "arith.ori"),
    "xor": ("", "arith.xori", "arith.xori"),
    "shift_right": ("", "arith.shrsi", "arith.shrui"),
}
_PREDICATES = {
    "eq": ("oeq", "eq", "eq"),
    "ne": ("une", "ne", "ne"),
    "lt": ("olt", "slt", "ult"),
    "le": ("ole", "sle", "ule"),
    "gt": ("ogt", "sgt", "ugt"),
    "ge": ("oge", "sge", "uge"),
}


def limits(dtype: str) -> tuple[int, int]:
    """Smallest and largest number of an integer type."""
    bits = int(dtype.lstrip("ui"))
    return (0, (1 << bits) - 1) if is_unsigned(dtype) else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def literal(value: Any, dtype: str) -> str:
    """A number as MLIR writes it; floats by their bits where decimal digits would not do."""
    if dtype == "i1":
        return "true" if value else "false"
    if not is_float(dtype):
        number = int(value)
        bits = int(signless(dtype)[1:])
        return str(number - (1 << bits) if number >= 1 << (bits - 1) else number)
    kind = {"f16": np.float16, "f32": np.float32, "f64": np.float64}[dtype]
    rounded: Any = kind(value)
    if math.isfinite(rounded):
        return f"{float(rounded):.17e}"
    return "0x" + np.array(rounded, kind).tobytes()[::-1].hex().upper()


class Body:
    """Writes a kernel's body."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter

    def _op(self, text: str, dtype: str) -> Scalar:
        return Scalar(self._emitter.op(text), dtype)

    def constant(self, value: Any, dtype: str) -> Scalar:
        """A number."""
        if dtype == "index":
            return self._op(f"arith.constant {int(value)} : index", dtype)
        return Scalar(self._emitter.scalar(value, dtype), dtype)

    def binary(self, name: str, left: Scalar, right: Scalar | float) -> Scalar:
        """An operation of two scalars of one type, or of a scalar and a number."""
        if not isinstance(right, Scalar):
            right = self.constant(right, left.dtype)
        if left.dtype == "index":
            return self._op(f"{_BINARY[name][1]} {left.name}, {right.name} : index", "index")
        op = _BINARY[name][_column(left.dtype)]
        return self._op(f"{op} {left.name}, {right.name} : {signless(left.dtype)}", left.dtype)

    def add(self, left: Scalar, right: Scalar | float) -> Scalar:
        """left + right."""
        return self.binary("add", left, right)

    def sub(self, left: Scalar, right: Scalar | float) -> Scalar:
        """left - right."""
        return self.binary("sub", left, right)

    def mul(self, left: Scalar, right: Scalar | float) -> Scalar:
        """left * right."""
        return self.binary("mul", left, right)

    def div(self, left: Scalar, right: Scalar | float) -> Scalar:
        """left / right; integers are truncated."""
        return self.binary("div", left, right)

    def maximum(self, left: Scalar, right: Scalar | float) -> Scalar:
        """The larger one; NaN if either is."""
        return self.binary("maximum", left, right)

    def minimum(self, left: Scalar, right: Scalar | float) -> Scalar:
        """The smaller one; NaN if either is."""
        return self.binary("minimum", left, right)

    def clamp(self, value: Scalar, low: float | None, high: float | None) -> Scalar:
        """Between two numbers; None leaves a side open."""
        value = value if low is None else self.maximum(value, low)
        return value if high is None else self.minimum(value, high)

    def compare(self, predicate: str, left: Scalar, right: Scalar | float) -> Scalar:
        """eq, ne, lt, le, gt or ge -> i1."""
        if not isinstance(right, Scalar):
            right = self.constant(right, left.dtype)
        column = 1 if left.dtype == "index" else _column(left.dtype)
        kind = "index" if left.dtype == "index" else signless(left.dtype)
        op = "arith.cmpf" if column == 0 else "arith.cmpi"
        return self._op(f"{op} {_PREDICATES[predicate][column]}, {left.name}, {right.name} : {kind}", "i1")

    def select(self, condition: Scalar, left: Scalar, right: Scalar) -> Scalar:
        """left where the condition holds, else right."""
        kind = left.dtype if left.dtype == "index" else signless(left.dtype)
        return self._op(f"arith.select {condition.name}, {left.name}, {right.name} : {kind}", left.dtype)

    def math(self, name: str, value: Scalar) -> Scalar:
        """A function of the math dialect (`exp`, `tanh`, …), or `negf`."""
        op = "arith.negf" if name == "negf" else f"math.{name}"
        return self._op(f"{op} {value.name} : {signless(value.dtype)}", value.dtype)

    def cast(self, value: Scalar, dtype: str) -> Scalar:
        """To another type: integers wrap, floats are truncated towards zero, a bool is 0 or 1, anything else != 0."""
        if value.dtype == dtype:
            return value
        if dtype == "i1":
            return self.compare("ne", value, 0)
        old, new = signless(value.dtype), signless(dtype)
        if "index" in (old, new):
            op = "arith.index_castui" if is_unsigned(value.dtype) else "arith.index_cast"
            return self._op(f"{op} {value.name} : {old} to {new}", dtype)
        unsigned = is_unsigned(value.dtype) or value.dtype == "i1"
        if is_float(old) and is_float(new):
            op = "arith.extf" if int(new[1:]) > int(old[1:]) else "arith.truncf"
        elif is_float(new):
            op = "arith.uitofp" if unsigned else "arith.sitofp"
        elif is_float(old):
            op = "arith.fptoui" if is_unsigned(dtype) else "arith.fptosi"
        elif int(new[1:]) == int(old[1:]):
            return Scalar(value.name, dtype)
        elif int(new[1:]) > int(old[1:]):
            op = "arith.extui" if unsigned else "arith.extsi"
        else:
            op = "arith.trunci"
        return self._op(f"{op} {value.name} : {old} to {new}", dtype)

    def index(self, loop: int) -> Scalar:
        """The number of the iteration of a loop."""
        return self._op(f"linalg.index {loop} : index", "index")

    def extract(self, name: str, value: Value, indices: list[Scalar]) -> Scalar:
        """One element of the tensor `value`, which was written as `name` before the kernel."""
        where = ", ".join(index.name for index in indices)
        kind = tensor_type(value.shape, value.dtype)
        return self._op(f"tensor.extract {name}[{where}] : {kind}", value.dtype)

    def dequantize(self, value: Scalar, quantization: Quantization) -> Scalar:
        """(stored - zero point) * scale in f32, with one scale for the whole tensor."""
        wide = value if value.dtype in ("i32", "i64") else self.cast(value, "i32")
        if quantization.zero_point[0]:
            wide = self.sub(wide, quantization.zero_point[0])
        return self.mul(self.cast(wide, "f32"), quantization.scale[0])

    def quantize(self, value: Scalar, quantization: Quantization, dtype: str) -> Scalar:
        """f32 -> stored number: rounded to the nearest even, limited to the type's range."""
        scaled = self.mul(value, float(np.float32(1) / np.float32(quantization.scale[0])))
        return self.store(scaled, quantization.zero_point[0], dtype, *limits(dtype))

    def store(self, scaled: Scalar, zero_point: int, dtype: str, low: int, high: int) -> Scalar:
        """f32 in units of the scale -> stored number between `low` and `high`."""
        near = self.clamp(self.math("roundeven", scaled), low - zero_point, high - zero_point)
        wide = self.cast(near, "i32")
        return self.cast(self.add(wide, zero_point) if zero_point else wide, dtype)


def _column(dtype: str) -> int:
    return 0 if is_float(dtype) else 2 if is_unsigned(dtype) or dtype == "i1" else 1
