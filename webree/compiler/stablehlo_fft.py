"""Discrete Fourier transforms that the input conversion does not have.

Enters: `stablehlo.fft` of complex64 or float32. The conversion has transforms of one dimension whose length is a power
of two. Leaves: transforms of several dimensions as one after the other, https://openxla.org/stablehlo/spec#fft; and
those of other lengths as products with matrices of cosines and sines, which are computed in 64 bits. These take
length² multiplications for each transform, and length² constants, so that there is a limit.
"""

from __future__ import annotations

import re
from typing import Any

from webree.compiler.stablehlo_build import create

__all__ = ["write_out_fft"]

LONGEST = 2048
"""Of the lengths that are no powers of two: longer transforms are left, and the conversion refuses them."""


def write_out_fft(op: Any) -> bool:
    """Replace the operation by transforms of one dimension; False if it is one already, or cannot be written out."""
    from iree.compiler import ir

    kind = str(op.attributes["fft_type"])
    match = re.search(r"\b(I?R?FFT)\b", kind)
    lengths = [int(length) for length in list(op.attributes["fft_length"])]
    operand = op.operands[0]
    shape = ir.RankedTensorType(operand.type)
    if match is None or (len(lengths) == 1 and _is_power_of_two(lengths[0])) or not shape.has_static_shape:
        return False
    if any(length > LONGEST and not _is_power_of_two(length) for length in lengths):
        return False
    if str(shape.element_type) not in ("f32", "complex<f32>"):
        return False
    value, name, last = operand, match[1], shape.rank - 1
    others = [last - 1 - position for position in range(len(lengths) - 1)]  # the last dimension has the last length
    extents = dict(zip(others, reversed(lengths[:-1]), strict=True))
    if name == "IRFFT":
        for dim, length in extents.items():
            value = _along(value, dim, "IFFT", length)
        value = _transform(value, name, lengths[-1])
    else:
        value = _transform(value, name, lengths[-1])
        for dim, length in extents.items():
            value = _along(value, dim, "IFFT" if name == "IFFT" else "FFT", length)
    op.results[0].replace_all_uses_with(value)
    op.erase()
    return True


def _is_power_of_two(length: int) -> bool:
    return length > 1 and length & (length - 1) == 0


def _along(value: Any, dim: int, name: str, length: int) -> Any:
    """The transform of another dimension than the last."""
    from iree.compiler import ir

    order = list(range(ir.RankedTensorType(value.type).rank))
    order[dim], order[-1] = order[-1], order[dim]
    return _transpose(_transform(_transpose(value, order), name, length), order)


def _transform(value: Any, name: str, length: int) -> Any:
    """The transform of the last dimension."""
    from iree.compiler import ir

    kind = ir.RankedTensorType(value.type)
    if _is_power_of_two(length):
        extent = {"RFFT": length // 2 + 1, "IRFFT": length}.get(name, length)
        element = ir.F32Type.get() if name == "IRFFT" else ir.ComplexType.get(ir.F32Type.get())
        return create(
            "fft",
            [ir.RankedTensorType.get([*kind.shape[:-1], extent], element)],
            [value],
            fft_type=ir.Attribute.parse(f"#stablehlo<fft_type {name}>"),
            fft_length=ir.DenseI64ArrayAttr.get([length]),
        )
    cosines, sines = _tables(name, length)
    if name == "RFFT":
        return _complex(_times(value, cosines), _times(value, -sines))
    real, imaginary = (_part(value, part) for part in ("real", "imag"))
    if name == "IRFFT":
        return _binary("subtract", _times(real, cosines), _times(imaginary, sines))
    if name == "FFT":
        sines = -sines
    return _complex(
        _binary("subtract", _times(real, cosines), _times(imaginary, sines)),
        _binary("add", _times(real, sines), _times(imaginary, cosines)),
    )


def _tables(name: str, length: int) -> tuple[Any, Any]:
    """Cosines and sines of every input (row) and output (column), with the factors of the inverse transforms."""
    import numpy as np

    half = np.arange(length // 2 + 1)
    rows = half if name == "IRFFT" else np.arange(length)
    columns = half if name == "RFFT" else np.arange(length)
    angles = 2 * np.pi * (np.outer(rows, columns) % length) / length
    factors = np.ones(len(rows))
    if name == "IRFFT":  # every other term stands for its conjugate as well
        factors = np.where((half == 0) | (2 * half == length), 1.0, 2.0)
    if name in ("IFFT", "IRFFT"):
        factors = factors / length
    return np.cos(angles) * factors[:, None], np.sin(angles) * factors[:, None]


def _times(value: Any, table: Any) -> Any:
    """The product of the last dimension with a matrix."""
    import numpy as np
    from iree.compiler import ir

    kind = ir.RankedTensorType(value.type)
    data = np.ascontiguousarray(table, dtype=np.float32)
    matrix_type = ir.RankedTensorType.get(list(data.shape), kind.element_type)
    matrix = create("constant", [matrix_type], [], value=ir.DenseElementsAttr.get(data))
    numbers = f"lhs_contracting_dimensions = [{kind.rank - 1}], rhs_contracting_dimensions = [0]"
    return create(
        "dot_general",
        [ir.RankedTensorType.get([*kind.shape[:-1], data.shape[1]], kind.element_type)],
        [value, matrix],
        dot_dimension_numbers=ir.Attribute.parse(f"#stablehlo.dot<{numbers}>"),
    )


def _part(value: Any, name: str) -> Any:
    from iree.compiler import ir

    kind = ir.RankedTensorType(value.type)
    return create(name, [ir.RankedTensorType.get(kind.shape, ir.F32Type.get())], [value])


def _complex(real: Any, imaginary: Any) -> Any:
    from iree.compiler import ir

    kind = ir.RankedTensorType(real.type)
    result = ir.RankedTensorType.get(kind.shape, ir.ComplexType.get(kind.element_type))
    return create("complex", [result], [real, imaginary])


def _binary(name: str, left: Any, right: Any) -> Any:
    return create(name, [left.type], [left, right])


def _transpose(value: Any, order: list[int]) -> Any:
    from iree.compiler import ir

    kind = ir.RankedTensorType(value.type)
    result = ir.RankedTensorType.get([kind.shape[dim] for dim in order], kind.element_type)
    return create("transpose", [result], [value], permutation=ir.DenseI64ArrayAttr.get(order))
