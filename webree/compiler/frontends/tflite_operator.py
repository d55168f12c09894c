"""One operator being lowered: its inputs, its options, what goes wrong with it, and quantised arithmetic.

Enters: the file's operator, the values of its inputs. Leaves: what the lowerings in tflite_*.py share: inputs by
position, constants and sizes that must be known, kernels over broadcast operands, float arithmetic around integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from webree.compiler.frontends.tflite_body import Body, Scalar
from webree.compiler.frontends.tflite_emit import Emitter
from webree.compiler.frontends.tflite_file import Array, OperatorInfo, Quantization, TensorInfo
from webree.compiler.frontends.tflite_values import Dim, Size, Value
from webree.errors import CompileError

__all__ = ["ACTIVATIONS", "Operator", "Rule", "activate", "broadcast", "quantized", "shown"]

ACTIVATIONS = {1: (0.0, None), 2: (-1.0, 1.0), 3: (0.0, 6.0)}
"""Of the schema's ActivationFunctionType: the limits that it clamps to. 4 is tanh."""

_TANH = 4


@dataclass
class Operator:
    """An operator with its inputs.

    Attributes:
        inputs: None for one that is left out.
        outputs: what the file says of the results.
        label: of the file, for errors.
    """

    emitter: Emitter
    info: OperatorInfo
    inputs: list[Value | None]
    outputs: list[TensorInfo]
    label: str
    options: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.options = self.info.options

    @property
    def place(self) -> str:
        """Name, number and result of the operator, as errors and locations show it."""
        result = f" -> {self.outputs[0].name!r}" if self.outputs else ""
        return f"{self.info.name} (operator {self.info.index}){result}"

    @property
    def quantization(self) -> Quantization | None:
        """Of the first result."""
        return self.outputs[0].quantization

    @property
    def dtype(self) -> str:
        """Element type of the first result."""
        return self.outputs[0].element.name

    def fail(self, message: str, *, unsupported: bool = True) -> CompileError:
        """The error that names this operator."""
        return CompileError(
            f"{self.label}: {self.place}: {message}", op=self.info.name, location=self.place, unsupported=unsupported
        )

    def invalid(self, message: str) -> CompileError:
        """The error for what the format does not allow."""
        return self.fail(message, unsupported=False)

    def has(self, position: int) -> bool:
        """Whether the input is there."""
        return position < len(self.inputs) and self.inputs[position] is not None

    def value(self, position: int) -> Value:
        """An input that must be there."""
        found = self.inputs[position] if position < len(self.inputs) else None
        if found is None:
            raise self.invalid(f"input {position} is missing; the operator has {len(self.inputs)}")
        return found

    def array(self, position: int, what: str) -> Array:
        """An input whose elements must be constants."""
        value = self.value(position)
        if value.constant is None:
            raise self.fail(f"{what} ({value.label!r}) is computed at run time; it must be a constant")
        return value.constant

    def integers(self, position: int, what: str) -> list[int]:
        """A constant input of integers, flat."""
        return [int(item) for item in self.array(position, what).reshape(-1)]

    def sizes(self, position: int, what: str) -> list[Size]:
        """Sizes that are constant or come from the shapes of other tensors."""
        value = self.value(position)
        if value.data is None:
            raise self.fail(
                f"{what} ({value.label!r}) is computed from tensors' elements at run time; it must be a constant or "
                "come from tensors' shapes"
            )
        return [item if isinstance(item, Dim) else int(item) for item in value.data.reshape(-1)]

    def axis(self, axis: int, rank: int) -> int:
        """An axis counted from the front."""
        if not -rank <= axis < rank:
            raise self.invalid(f"axis {axis} does not exist in a tensor of {rank} dimensions")
        return axis % rank

    def static(self, value: Value, axis: int, what: str) -> int:
        """A size that must be known."""
        size = value.shape[axis]
        if not isinstance(size, int):
            raise self.fail(f"{what} of {value.label!r} is known only at run time; bind it with --dim")
        return size

    def rank(self, value: Value, *ranks: int) -> Value:
        """Check a tensor's number of dimensions."""
        if value.rank not in ranks:
            raise self.invalid(f"{value.label!r} has {value.rank} dimensions, expected {' or '.join(map(str, ranks))}")
        return value

    def kernel(
        self,
        values: Sequence[Value],
        compute: Callable[..., Scalar],
        *,
        dtype: str | None = None,
        shape: Sequence[Size] | None = None,
    ) -> Value:
        """An element-wise kernel over broadcast operands.

        Where an operand or the result is quantised, `compute` sees f32: operands are turned into real numbers, and the
        result is rounded back."""
        emitter, dtype = self.emitter, dtype or self.dtype
        found, maps = broadcast(self, values) if shape is None else (tuple(shape), _maps(values, shape))
        target = self.quantization if quantized(dtype, self.quantization) else None

        def body(b: Body, *scalars: Scalar) -> Scalar:
            reals = [real(b, scalar, value) for scalar, value in zip(scalars, values, strict=True)]
            result = compute(b, *reals)
            if target is not None:
                return b.quantize(b.cast(result, "f32"), target, dtype)
            return b.cast(result, dtype)

        made = emitter.generic(found, dtype, list(zip(values, maps, strict=True)), body)
        return Value(made.ssa, dtype, made.shape, self.outputs[0].quantization, None, self.outputs[0].name)

    def real(self, value: Value) -> Value:
        """The tensor as real numbers in f32, if it is quantised; constants at once."""
        quantization = value.quantization
        if quantization is None or value.dtype == "f32" or not quantized(value.dtype, quantization):
            return value
        if value.constant is not None:
            return self.emitter.constant(dequantized(value.constant, quantization), "f32", value.label)
        if not quantization.per_tensor:
            raise self.fail(f"{value.label!r} has one scale per channel and is computed at run time")
        maps = [f"d{axis}" for axis in range(value.rank)]
        kernel = lambda b, scalar: b.dequantize(scalar, quantization)  # noqa: E731
        made = self.emitter.generic(value.shape, "f32", [(value, maps)], kernel)
        return Value(made.ssa, "f32", value.shape, None, None, value.label)

    def finish(self, value: Value, compute: Callable[[Body, Scalar], Scalar] | None = None) -> Value:
        """A result in f32 -> the activation, `compute`, and the result's quantisation."""
        code = self.options.get("activation", 0)
        if compute is None and not code and not quantized(self.dtype, self.quantization):
            return value

        def body(b: Body, scalar: Scalar) -> Scalar:
            return activate(self, b, compute(b, scalar) if compute else scalar)

        return self.kernel([value], body)


Rule = Callable[[Operator], "Value | list[Value]"]


def quantized(dtype: str, quantization: Quantization | None) -> bool:
    """Whether the elements stand for real numbers. 32-bit and wider integers are never computed with as such."""
    return quantization is not None and dtype in ("i8", "ui8", "i16") and quantization.scale[0] > 0


def real(b: Body, scalar: Scalar, value: Value) -> Scalar:
    """A scalar of a tensor as a real number."""
    if value.quantization is not None and quantized(value.dtype, value.quantization):
        return b.dequantize(scalar, value.quantization)
    return scalar


def dequantized(data: Array, quantization: Quantization) -> Array:
    """A constant's real numbers in f32."""
    shape = [1] * data.ndim
    if not quantization.per_tensor:
        shape[quantization.axis] = -1
    scale = np.asarray(quantization.scale, np.float32).reshape(shape)
    zero_point = np.asarray(quantization.zero_point, np.int64).reshape(shape)
    result: Array = ((data.astype(np.int64) - zero_point).astype(np.float32) * scale).astype(np.float32)
    return result.reshape(data.shape)


def activate(op: Operator, b: Body, value: Scalar) -> Scalar:
    """The operator's fused activation."""
    code = op.options.get("activation", 0)
    if code == 0:
        return value
    if code == _TANH:
        return b.math("tanh", value)
    if code not in ACTIVATIONS:
        raise op.fail(f"the fused activation {code} is not supported")
    return b.clamp(value, *ACTIVATIONS[code])


def broadcast(op: Operator, values: Sequence[Value]) -> tuple[tuple[Size, ...], list[list[str]]]:
    """The common shape by NumPy's rules, and each operand's map.

    Sizes known at run time only are taken to be equal where they meet, and different from a known 1."""
    rank = max(value.rank for value in values)
    shape: list[Size] = [1] * rank
    for value in values:
        for axis, size in enumerate(value.shape, rank - value.rank):
            known = shape[axis]
            if isinstance(known, int) and known == 1:
                shape[axis] = size
            elif isinstance(known, int) and isinstance(size, int) and size not in (1, known):
                shapes = " and ".join(str(shown(item.shape)) for item in values)
                raise op.invalid(f"inputs of the shapes {shapes} do not fit together")
            elif isinstance(known, Dim) and isinstance(size, int) and size != 1:
                shape[axis] = size
    return tuple(shape), _maps(values, shape)


def _maps(values: Sequence[Value], shape: Sequence[Size]) -> list[list[str]]:
    rank = len(shape)
    return [
        [
            "0" if isinstance(size, int) and size == 1 and shape[axis] != 1 else f"d{axis}"
            for axis, size in enumerate(value.shape, rank - value.rank)
        ]
        for value in values
    ]


def shown(sizes: Sequence[Size]) -> list[int | str]:
    """A shape for an error."""
    return [size if isinstance(size, int) else "?" for size in sizes]
