"""Spectra: RFFT2D of single rows, and what models do with complex numbers.

Enters: an `Operator`. Leaves: products with matrices of cosines and sines, one for the real and one for the imaginary
part; a part that nobody reads is dropped by the compiler. A complex tensor is a `Value` of its real part that carries
the imaginary part along (`Value.imaginary`).
"""

from __future__ import annotations

import numpy as np

from webree.compiler.frontends.tflite_operator import Operator, Rule
from webree.compiler.frontends.tflite_values import Size, Value

__all__ = ["RULES"]

_MAX_LENGTH = 1 << 13  # the matrices have length * length / 2 elements each


def _rfft(op: Operator) -> Value:
    """X[k] = sum over n of x[n] * exp(-2 pi i k n / N), for k from 0 to N / 2."""
    emitter, value, lengths = op.emitter, op.value(0), op.integers(1, "the length")
    if value.rank < 2 or len(lengths) != 2:
        raise op.invalid(f"{value.rank} dimensions and lengths {lengths}")
    length = op.static(value, value.rank - 1, "the length")
    if lengths != [1, length] or value.shape[-2] != 1 or not 0 < length <= _MAX_LENGTH:
        raise op.fail(
            f"a transform of the lengths {lengths} of rows of {length} is not supported; one of single rows is"
        )
    count = length // 2 + 1
    turns = np.outer(np.arange(length), np.arange(count)) % length  # exact, so that the angles are
    angles = turns * (2 * np.pi / length)
    rows: Size = 1
    for size in value.shape[:-1]:
        rows = rows * size
    flat = emitter.reshape(value, [rows, length])
    shape = [*value.shape[:-1], count]
    parts = []
    for matrix in (np.cos(angles), -np.sin(angles)):
        weights = emitter.constant(matrix.astype(np.float32), "f32", "transform")
        target = emitter.filled([rows, count], "f32", 0)
        names, kinds = (
            f"{emitter.name(flat)}, {emitter.name(weights)}",
            f"{emitter.type_of(flat)}, {emitter.type_of(weights)}",
        )
        text = f"linalg.matmul ins({names} : {kinds}) outs({target.ssa} : {emitter.type_of(target)}) ->"
        parts.append(emitter.reshape(emitter.result(text, [rows, count], "f32"), shape))
    return Value(parts[0].ssa, "complex64", parts[0].shape, imaginary=parts[1])


def _parts(op: Operator) -> tuple[Value, Value]:
    value = op.value(0)
    if value.imaginary is None:
        raise op.fail(f"{value.label!r} does not come from RFFT2D; other complex tensors are not supported")
    return Value(value.ssa, "f32", value.shape), value.imaginary


def _magnitude(op: Operator) -> Value:
    real, imaginary = _parts(op)
    return op.kernel([real, imaginary], lambda b, x, y: b.math("sqrt", b.add(b.mul(x, x), b.mul(y, y))))


RULES: dict[str, Rule] = {
    "RFFT2D": _rfft,
    "REAL": lambda op: _parts(op)[0],
    "IMAG": lambda op: _parts(op)[1],
    "COMPLEX_ABS": _magnitude,
}
