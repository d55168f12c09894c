"""Writing MLIR for TensorFlow Lite operators: named values, constants, kernels as `linalg.generic`.

Enters: calls of the operators' lowerings. Leaves: the text of a function's body, every line located by the operator
that it comes from, and the constants' arrays, which are put into the parsed module afterwards (`ATTRIBUTE`), so that
weights are never written as text. Kernels are built from scalars (`Body`): one place decides what an operation means
for floats, signed and unsigned integers. Dialects: https://mlir.llvm.org/docs/Dialects/Linalg/, …/TensorOps/
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from webree.compiler.frontends.tflite_body import Body, Scalar, literal
from webree.compiler.frontends.tflite_file import Array, Quantization
from webree.compiler.frontends.tflite_values import Dim, Size, Value, known, numpy_type, signless, tensor_type

__all__ = ["ATTRIBUTE", "Emitter", "Kernel"]

ATTRIBUTE = "webree.constant"

Kernel = Callable[..., Scalar]
Operand = tuple[Value, Sequence[str]]


class Emitter:
    """The text of a module, line by line.

    Attributes:
        constants: arrays of the constants, by the number in their placeholders.
        location: name that the next lines are located by.
        lines: what has been written.
    """

    def __init__(self) -> None:
        self.constants: list[Array] = []
        self.location = "model"
        self.lines: list[str] = []
        self._count = 0
        self._indices: dict[int, int] = {}

    def fresh(self) -> str:
        """A new name of a value."""
        self._count += 1
        return f"%v{self._count}"

    def line(self, text: str, *, located: bool = True) -> None:
        """Add a line."""
        self.lines.append(f"{text} loc({json.dumps(self.location)})" if located else text)

    def op(self, text: str) -> str:
        """Add an operation with one result; returns its name."""
        name = self.fresh()
        self.line(f"{name} = {text}")
        return name

    @contextmanager
    def collected(self) -> Iterator[list[str]]:
        """Lines added inside go into the list that is handed out."""
        outer, self.lines = self.lines, []
        try:
            yield self.lines
        finally:
            self.lines = outer

    def extend(self, lines: Sequence[str]) -> None:
        """Add lines that are complete."""
        self.lines.extend(lines)

    # Sizes and constants

    def index(self, size: Size) -> str:
        """The name of an `index` value."""
        return size.ssa if isinstance(size, Dim) else self.op(f"arith.constant {int(size)} : index")

    def index_op(self, op: str, *operands: Size) -> Dim:
        """A calculation with sizes on the host."""
        names = ", ".join([self.index(operand) for operand in operands])
        return Dim(self, self.op(f"{op} {names} : index"))

    def index_value(self, text: str) -> Dim:
        """A size that an operation gives."""
        return Dim(self, self.op(text))

    def scalar(self, value: float, dtype: str) -> str:
        """A scalar constant."""
        return self.op(f"arith.constant {literal(value, dtype)}{'' if dtype == 'i1' else f' : {signless(dtype)}'}")

    def constant(self, data: Array, dtype: str, label: str = "", quantization: Quantization | None = None) -> Value:
        """A constant, written where it is used."""
        return Value("", dtype, tuple(data.shape), quantization, data, label)

    def name(self, value: Value) -> str:
        """The value's name; writes it first if it is a constant."""
        if value.ssa:
            return value.ssa
        data = value.data
        assert data is not None
        kind = tensor_type(value.shape, value.dtype)
        if data.dtype == object:
            return self._from_sizes(value, data)
        if data.size == 0:
            return self.op(f"tensor.empty() : {kind}")
        first = data.reshape(-1)[0]
        if data.size == 1 or (data.dtype.kind != "f" and (data == first).all()):
            return self.op(f"arith.constant dense<{literal(first, value.dtype)}> : {kind}")
        if value.dtype == "i1":
            text = json.dumps(data.tolist())
            return self.op(f"arith.constant dense<{text}> : {kind}")
        zero = literal(0, value.dtype)
        number = self._number(data)
        return self.op(f"arith.constant {{{ATTRIBUTE} = {number} : i64}} dense<{zero}> : {kind}")

    def _number(self, data: Array) -> int:
        """Where the array stands among the constants; the same array is kept once."""
        if id(data) not in self._indices:
            self._indices[id(data)] = len(self.constants)
            self.constants.append(data)
        return self._indices[id(data)]

    def _from_sizes(self, value: Value, data: Array) -> str:
        kind = signless(value.dtype)
        names = [self.op(f"arith.index_cast {self.index(size)} : index to {kind}") for size in data.reshape(-1)]
        return self.op(f"tensor.from_elements {', '.join(names)} : {tensor_type(value.shape, value.dtype)}")

    # Tensors

    def result(self, text: str, shape: Sequence[Size], dtype: str, quantization: Quantization | None = None) -> Value:
        """An operation whose result is a tensor; its type is appended where `text` ends in a colon or an arrow."""
        kind = tensor_type(tuple(shape), dtype)
        return Value(
            self.op(f"{text} {kind}" if text.endswith((":", "->", "to")) else text), dtype, tuple(shape), quantization
        )

    def type_of(self, value: Value) -> str:
        """The tensor's type in MLIR."""
        return tensor_type(value.shape, value.dtype)

    def empty(self, shape: Sequence[Size], dtype: str) -> str:
        """A tensor whose elements are written later."""
        sizes = ", ".join(size.ssa for size in shape if isinstance(size, Dim))
        return self.op(f"tensor.empty({sizes}) : {tensor_type(tuple(shape), dtype)}")

    def filled(self, shape: Sequence[Size], dtype: str, value: float) -> Value:
        """A tensor of one number."""
        kind, number = tensor_type(tuple(shape), dtype), self.scalar(value, dtype)
        text = f"linalg.fill ins({number} : {signless(dtype)}) outs({self.empty(shape, dtype)} : {kind}) ->"
        return self.result(text, shape, dtype)

    def generic(
        self,
        shape: Sequence[Size],
        dtype: str,
        operands: Sequence[Operand],
        kernel: Kernel,
        *,
        out: Sequence[str] | None = None,
        loops: int | None = None,
        initial: float | None = None,
    ) -> Value:
        """A kernel over loops d0, d1, …: parallel ones, and reductions where the result's map `out` lacks a loop.

        `operands` pair a tensor with its map (`d0`, or `0` for a dimension of size 1 that is broadcast). `kernel` gets
        the body and a scalar per operand, then the accumulator if `initial` is given; it returns the scalar to write.
        """
        out = [f"d{axis}" for axis in range(len(shape))] if out is None else out
        loops = len(shape) if loops is None else loops
        variables = ", ".join(f"d{axis}" for axis in range(loops))
        kinds = ["parallel" if f"d{axis}" in out else "reduction" for axis in range(loops)]
        target = self.filled(shape, dtype, initial).ssa if initial is not None else self.empty(shape, dtype)
        names = [self.name(value) for value, _ in operands]
        maps = ", ".join(
            f"affine_map<({variables}) -> ({', '.join(item)})>" for item in [*(m for _, m in operands), out]
        )
        ins = f" ins({', '.join(names)} : {', '.join(self.type_of(value) for value, _ in operands)})" if names else ""
        kind = tensor_type(tuple(shape), dtype)
        with self.collected() as region:
            body = Body(self)
            scalars = [Scalar(self.fresh(), value.dtype) for value, _ in operands]
            last = Scalar(self.fresh(), dtype)
            result = kernel(body, *scalars, *([last] if initial is not None else []))
            self.line(f"linalg.yield {result.name} : {signless(dtype)}")
        arguments = ", ".join(f"{scalar.name}: {signless(scalar.dtype)}" for scalar in [*scalars, last])
        iterators = ", ".join(json.dumps(item) for item in kinds)
        name = self.fresh()
        self.line(
            f"{name} = linalg.generic {{indexing_maps = [{maps}], iterator_types = [{iterators}]}}{ins} "
            f"outs({target} : {kind}) {{",
            located=False,
        )
        self.line(f"^bb0({arguments}):", located=False)
        self.extend(region)
        self.line(f"}} -> {kind}")
        return Value(name, dtype, tuple(shape))

    def reshape(self, value: Value, shape: Sequence[Size]) -> Value:
        """Same elements in the same order, other sizes. Constants stay constants."""
        shape = tuple(shape)
        if shape == value.shape:
            return value
        if value.imaginary is not None:
            real = self.reshape(Value(value.ssa, "f32", value.shape), shape)
            return Value(real.ssa, value.dtype, shape, imaginary=self.reshape(value.imaginary, shape))
        sizes_known = known(shape)
        if value.data is not None and sizes_known is not None:
            return self.constant(value.data.reshape(sizes_known), value.dtype, value.label, value.quantization)
        if not value.rank or not shape:
            op = "collapse_shape" if value.rank else "expand_shape"
            sizes = "" if value.rank else f" output_shape [{', '.join(map(self._item, shape))}]"
            kind = tensor_type(shape, value.dtype)
            text = f"tensor.{op} {self.name(value)} []{sizes} : {self.type_of(value)} into {kind}"
            return self.result(text, shape, value.dtype, value.quantization)
        return self._regroup(value, shape)

    def _regroup(self, value: Value, shape: tuple[Size, ...]) -> Value:
        """Collapse the dimensions that differ into one, and expand it again; the passes see through both."""
        old, limit = value.shape, min(value.rank, len(shape)) - 1
        front = 0
        while front < limit and old[front] == shape[front]:
            front += 1
        back = 0
        while back < limit - front and old[-1 - back] == shape[-1 - back]:
            back += 1
        total: Size = 1
        for size in old[front : value.rank - back]:
            total = total * size
        flat = (*old[:front], total, *old[value.rank - back :])
        current = value
        if value.rank > len(flat):
            kind = tensor_type(flat, value.dtype)
            text = f"tensor.collapse_shape {self.name(value)} {_groups(value.rank, front, back)} : "
            current = self.result(f"{text}{self.type_of(value)} into {kind}", flat, value.dtype)
        if len(shape) == len(flat):
            name = self.name(current)
            if current.shape != shape:
                kinds = self.type_of(current), tensor_type(shape, value.dtype)
                name = name if kinds[0] == kinds[1] else self.op(f"tensor.cast {name} : {kinds[0]} to {kinds[1]}")
            return Value(name, value.dtype, shape, value.quantization, None, value.label)
        kind, sizes = tensor_type(shape, value.dtype), ", ".join(map(self._item, shape))
        text = f"tensor.expand_shape {self.name(current)} {_groups(len(shape), front, back)} output_shape [{sizes}] : "
        return self.result(f"{text}{self.type_of(current)} into {kind}", shape, value.dtype, value.quantization)

    def transpose(self, value: Value, order: Sequence[int]) -> Value:
        """Dimensions in another order: result dimension i is dimension order[i]."""
        if list(order) == list(range(value.rank)):
            return value
        if value.data is not None:
            data = np.ascontiguousarray(value.data.transpose(tuple(order)))
            return self.constant(data, value.dtype, value.label, value.quantization)
        shape = [value.shape[axis] for axis in order]
        text = (
            f"linalg.transpose ins({self.name(value)} : {self.type_of(value)}) "
            f"outs({self.empty(shape, value.dtype)} : {tensor_type(tuple(shape), value.dtype)}) "
            f"permutation = [{', '.join(map(str, order))}]"
        )
        return self.result(text, shape, value.dtype, value.quantization)

    def pad(self, value: Value, low: Sequence[Size], high: Sequence[Size], fill: float) -> Value:
        """Constant elements around a tensor."""
        if all(isinstance(size, int) and size == 0 for size in [*low, *high]):
            return value
        shape = [size + before + after for size, before, after in zip(value.shape, low, high, strict=True)]
        lows, highs = (", ".join(self._item(size) for size in sizes) for sizes in (low, high))
        number = self.scalar(fill, value.dtype)
        arguments = ", ".join(f"{self.fresh()}: index" for _ in shape)
        source, name = self.name(value), self.fresh()
        self.line(f"{name} = tensor.pad {source} low[{lows}] high[{highs}] {{", located=False)
        self.line(f"^bb0({arguments}):", located=False)
        self.line(f"tensor.yield {number} : {signless(value.dtype)}")
        self.line(f"}} : {self.type_of(value)} to {tensor_type(tuple(shape), value.dtype)}")
        return Value(name, value.dtype, tuple(shape), value.quantization)

    def slice(self, value: Value, offsets: Sequence[Size], sizes: Sequence[Size], strides: Sequence[int]) -> Value:
        """A part of a tensor, with positive strides."""
        if tuple(sizes) == value.shape:
            return value
        starts, counts = known(offsets), known(sizes)
        if value.data is not None and starts is not None and counts is not None:
            window = zip(starts, counts, strides, strict=True)
            part = tuple(
                slice(start, start + (size - 1) * step + 1 if size else start, step) for start, size, step in window
            )
            return self.constant(value.data[part], value.dtype, value.label, value.quantization)
        parts = "".join(f"[{', '.join(self._item(item) for item in items)}]" for items in (offsets, sizes, strides))
        kind = tensor_type(tuple(sizes), value.dtype)
        text = f"tensor.extract_slice {self.name(value)}{parts} : {self.type_of(value)} to {kind}"
        return self.result(text, sizes, value.dtype, value.quantization)

    def bitcast(self, name: str, shape: tuple[Size, ...], dtype: str, other: str) -> str:
        """The same bytes under another element type of the same width; signed or not as the types are written."""
        sizes = "".join(f"{size}x" if isinstance(size, int) else "?x" for size in shape)
        dims = ", ".join(size.ssa for size in shape if isinstance(size, Dim))
        dims = f"{{{dims}}}" if dims else ""
        return self.op(f"flow.tensor.bitcast {name} : tensor<{sizes}{dtype}>{dims} -> tensor<{sizes}{other}>{dims}")

    def concatenate(self, values: Sequence[Value], axis: int, shape: Sequence[Size]) -> Value:
        """Tensors one behind the other along an axis."""
        arrays = [value.data for value in values if value.data is not None]
        if len(arrays) == len(values):
            return self.constant(np.concatenate(arrays, axis), values[0].dtype, "", values[0].quantization)
        names = ", ".join(self.name(value) for value in values)
        kinds = ", ".join(self.type_of(value) for value in values)
        kind = tensor_type(tuple(shape), values[0].dtype)
        text = f"tensor.concat dim({axis}) {names} : ({kinds}) -> {kind}"
        return self.result(text, shape, values[0].dtype, values[0].quantization)

    def _item(self, size: Size) -> str:
        return size.ssa if isinstance(size, Dim) else str(int(size))

    def numpy(self, value: Value) -> np.dtype[Any]:
        """NumPy's element type."""
        return numpy_type(value.dtype)


def _groups(rank: int, front: int, back: int) -> str:
    """Dimensions before `front` and the last `back` alone, those between together."""
    groups = [[axis] for axis in range(front)] + [list(range(front, rank - back))]
    return str(groups + [[axis] for axis in range(rank - back, rank)])
