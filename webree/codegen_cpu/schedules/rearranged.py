"""Rearrangements of constants, done with NumPy before the compiler sees them.

Enters: the module after `input` and after the layouts are chosen: constant weights are transposed, cut into panels and
reshaped there by operations that only move elements. Leaves: the same module with the results as constants, bit for bit
what the compiler's own evaluation of constants makes. That compiles a program of its own for every weight (50 to 80 ms
of processor time each, whatever its size), where NumPy copies.

Constants whose elements are no whole bytes, and values that only a parameter file knows, stay the compiler's.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from webree.compiler.walking import walk

__all__ = ["evaluate_rearrangements"]

if TYPE_CHECKING:
    import numpy as np

    _Array = np.ndarray[Any, Any]

_BYTES = {"f32": 4, "f64": 8, "f16": 2, "bf16": 2, "i8": 1, "i16": 2, "i32": 4, "i64": 8}
_HEX = '"0x'
_ALIGNMENT = 64


def evaluate_rearrangements(module: Any) -> int:
    """Replace rearranged constants in place; returns how many new constants there are."""
    evaluator = _Evaluator(module)
    found = [op for op in walk(module.operation) if op.name in _RULES]
    for op in found:
        uses = [use.owner.operation for use in op.results[0].uses]
        if any(user.name not in _RULES or user.operands[0] != op.results[0] for user in uses):
            evaluator.replace(op)
    for op in reversed(found):
        if not list(op.results[0].uses):
            op.erase()
    return evaluator.count


class _Evaluator:
    """Values of constants, read and rearranged once each, so that what was one weight stays one."""

    def __init__(self, module: Any) -> None:
        self.count = 0
        self._globals = {op.attributes["sym_name"]: op for op in walk(module.operation) if op.name == "util.global"}
        self._read: dict[Any, _Array | None] = {}
        self._made: dict[Any, Any] = {}

    def replace(self, op: Any) -> None:
        """Replace an operation's result by a constant, if it is a rearranged one."""
        from iree.compiler import ir

        key = self._key(op.results[0])
        if key is None:
            return
        kind = ir.RankedTensorType(op.results[0].type)
        if key not in self._made:
            values = self._values(op.results[0])
            if values is None:
                return
            with op.context, op.location:
                self._made[key] = _attribute(values, kind)
            self.count += 1
        with op.context, op.location, ir.InsertionPoint(op):
            constant = ir.Operation.create("arith.constant", [kind], attributes={"value": self._made[key]})
        op.results[0].replace_all_uses_with(constant.results[0])

    def _key(self, value: Any) -> Any | None:
        """What a value is made of: the constant, and every operation on the way with its attributes and type."""
        from iree.compiler import ir

        if isinstance(value.owner, ir.Block):
            return None
        op = value.owner.operation
        if op.name not in _RULES:
            return self._source(op)
        inner = self._key(op.operands[0])
        return None if inner is None else (inner, op.name, str(op.attributes), value.type)

    def _source(self, op: Any) -> Any | None:
        """The attribute that a constant's value is, or None."""
        from iree.compiler import ir

        if op.name == "util.global.load" and "is_immutable" in op.attributes:
            op = self._globals.get(ir.StringAttr.get(ir.FlatSymbolRefAttr(op.attributes["global"]).value, op.context))
            value = op.attributes["initial_value"] if op is not None and "initial_value" in op.attributes else None
        else:
            value = op.attributes["value"] if op.name == "arith.constant" else None
        return value

    def _values(self, value: Any) -> _Array | None:
        op = value.owner.operation
        if op.name in _RULES:
            inner = self._values(op.operands[0])
            return None if inner is None else _RULES[op.name](op, inner)
        source = self._source(op)
        if source not in self._read:
            self._read[source] = _elements(source, value.type)
        return self._read[source]


def _elements(source: Any, kind: Any) -> _Array | None:
    """The elements of a tensor's value as unsigned integers; None for those that are all alike, or too narrow."""
    import numpy as np
    from iree.compiler import ir

    size = _BYTES.get(str(kind.element_type))
    if size is None:
        return None
    dtype = np.dtype(f"<u{size}")
    if isinstance(source, ir.DenseElementsAttr):
        if source.is_splat:
            return None
        with contextlib.suppress(TypeError):  # bf16
            return np.array(source).view(dtype).reshape(kind.shape)
    # MLIR's Python interface writes resources but does not read them: their text has the bytes, after their alignment.
    text = _text(source, kind)
    start, end = text.find(_HEX), text.rfind('"')
    byte_count = size * math.prod(kind.shape)
    data = bytes.fromhex(text[start + len(_HEX) : end])[-byte_count:] if start >= 0 else b""
    return np.frombuffer(data, dtype).reshape(kind.shape) if len(data) == byte_count else None


def _text(source: Any, kind: Any) -> str:
    """A module of one constant as text."""
    from iree.compiler import ir

    with source.context, ir.Location.unknown():
        module = ir.Module.create()
        with ir.InsertionPoint(module.body):
            ir.Operation.create("arith.constant", [kind], attributes={"value": source})
        return str(module.operation.get_asm())


def _attribute(values: _Array, kind: Any) -> Any:
    import numpy as np
    from iree.compiler import ir

    data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    return ir.DenseResourceElementsAttr.get_from_buffer(data, "rearranged", kind, _ALIGNMENT)


def _transpose(op: Any, values: _Array) -> _Array | None:
    from iree.compiler import ir

    return values.transpose(list(ir.DenseI64ArrayAttr(op.attributes["permutation"])))


def _reshape(op: Any, values: _Array) -> _Array | None:
    kind = op.results[0].type
    return values.reshape(kind.shape) if kind.has_static_shape else None


def _pack(op: Any, values: _Array) -> _Array | None:
    """Tiles become the innermost dimensions, in the order in which they are named; the others may be permuted."""
    import numpy as np
    from iree.compiler import ir

    def numbers(name: str) -> list[int]:
        return list(ir.DenseI64ArrayAttr(op.attributes[name])) if name in op.attributes else []

    dims, sizes = numbers("inner_dims_pos"), numbers("static_inner_tiles")
    operands = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
    if operands[3] or len(set(dims)) != len(dims) or not op.results[0].type.has_static_shape:
        return None
    missing = [(0, 0)] * values.ndim
    for dim, size in zip(dims, sizes, strict=True):
        missing[dim] = (0, -values.shape[dim] % size)
    if any(after for _, after in missing):
        if not operands[2] or not _is_zero(op.operands[2]):
            return None
        values = np.pad(values, missing)
    shape: list[int] = []
    outer: list[int] = []
    inner: dict[int, int] = {}
    for dim, size in enumerate(values.shape):
        outer.append(len(shape))
        if dim in dims:
            tile = sizes[dims.index(dim)]
            shape.append(size // tile)
            inner[dim] = len(shape)
            shape.append(tile)
        else:
            shape.append(size)
    order = numbers("outer_dims_perm") or range(values.ndim)
    return values.reshape(shape).transpose([*(outer[dim] for dim in order), *(inner[dim] for dim in dims)])


def _is_zero(value: Any) -> bool:
    """Whether a value is the float whose bits are all zero."""
    op = getattr(value.owner, "operation", None)
    return op is not None and op.name == "arith.constant" and str(op.attributes["value"]).startswith("0.0")


_RULES: dict[str, Callable[[Any, _Array], _Array | None]] = {
    "linalg.transpose": _transpose,
    "linalg.pack": _pack,
    "tensor.collapse_shape": _reshape,
    "tensor.expand_shape": _reshape,
    "tensor.cast": _reshape,
}
"""How the elements of an operation's first operand become those of its result; None where the compiler has to do it."""
