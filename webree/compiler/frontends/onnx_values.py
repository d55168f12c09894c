"""Arithmetic for rules: a value of the graph with Python's operators, each of which makes a node.

Enters: names of a graph's values, numbers, arrays. Leaves: nodes, through `Builder`. Constants among the operands are
computed at the next folding, so a rule writes one formula for what is known and for what is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from webree.compiler.frontends.onnx_builder import Builder

__all__ = ["Value", "concat", "constant", "maximum", "minimum", "value_of", "where"]


class Value:
    """A value under construction.

    Attributes:
        name: in the graph.
        kind: NumPy type of its elements.
    """

    def __init__(self, build: Builder, name: str, kind: Any) -> None:
        import numpy

        self._build = build
        self.name = name
        self.kind = numpy.dtype(kind)

    def make(self, op_type: str, *others: Any, kind: Any = None, **attributes: Any) -> Value:
        """A node on this value and others, whose result has this type again if `kind` names no other."""
        names = [self.name, *(self.same(other).name for other in others)]
        return Value(self._build, self._build.op(op_type, *names, **attributes), kind or self.kind)

    def on(self, build: Builder) -> Value:
        """The same value for nodes of a graph within."""
        return Value(build, self.name, self.kind)

    def same(self, other: Any) -> Value:
        """Numbers and arrays as constants of this type."""
        return other if isinstance(other, Value) else constant(self._build, other, self.kind)

    def __add__(self, other: Any) -> Value:
        return self.make("Add", other)

    def __radd__(self, other: Any) -> Value:
        return self.make("Add", other)

    def __sub__(self, other: Any) -> Value:
        return self.make("Sub", other)

    def __rsub__(self, other: Any) -> Value:
        return self.same(other).make("Sub", self)

    def __mul__(self, other: Any) -> Value:
        return self.make("Mul", other)

    def __rmul__(self, other: Any) -> Value:
        return self.make("Mul", other)

    def __truediv__(self, other: Any) -> Value:
        return self.make("Div", other)

    def __rtruediv__(self, other: Any) -> Value:
        return self.same(other).make("Div", self)

    def __neg__(self) -> Value:
        return self.make("Neg")

    def __lt__(self, other: Any) -> Value:
        return self.make("Less", other, kind="bool")

    def __gt__(self, other: Any) -> Value:
        return self.make("Greater", other, kind="bool")

    def __le__(self, other: Any) -> Value:
        return self.make("LessOrEqual", other, kind="bool")

    def __ge__(self, other: Any) -> Value:
        return self.make("GreaterOrEqual", other, kind="bool")

    def equals(self, other: Any) -> Value:
        return self.make("Equal", other, kind="bool")

    def __and__(self, other: Value) -> Value:
        return self.make("And", other)

    def __or__(self, other: Value) -> Value:
        return self.make("Or", other)

    def __invert__(self) -> Value:
        return self.make("Not")

    def remainder(self, other: Any) -> Value:
        """With the sign of the divisor."""
        return self.make("Mod", other)

    def floor(self) -> Value:
        return self.make("Floor")

    def abs(self) -> Value:
        return self.make("Abs")

    def clip(self, low: Any, high: Any) -> Value:
        return minimum(maximum(self, low), high)

    def cast(self, kind: Any) -> Value:
        """As another type; the same value if it has it already."""
        import numpy
        from onnx import helper

        target = numpy.dtype(kind)
        if target == self.kind:
            return self
        return self.make("Cast", kind=target, to=helper.np_dtype_to_tensor_dtype(target))

    def reshape(self, *shape: int) -> Value:
        return Value(self._build, self._build.reshape(self.name, shape), self.kind)

    def transpose(self, *order: int) -> Value:
        return self.make("Transpose", perm=list(order))

    def unsqueeze(self, *axes: int) -> Value:
        return self._along("Unsqueeze", axes)

    def squeeze(self, *axes: int) -> Value:
        return self._along("Squeeze", axes)

    def _along(self, op_type: str, axes: Sequence[int]) -> Value:
        axes_name = self._build.constant(list(axes), "int64")
        return Value(self._build, self._build.op(op_type, self.name, axes_name), self.kind)

    def slice(self, axis: int, start: int, end: int) -> Value:
        return Value(self._build, self._build.slice(self.name, axis, start, end), self.kind)

    def item(self, axis: int, index: int) -> Value:
        """One row along an axis, which stays with size 1."""
        return self.slice(axis, index, index + 1)

    def gather(self, index: Value, axis: int = 0) -> Value:
        return self.make("Gather", index, axis=axis)

    def sum(self, *axes: int, keepdims: int = 0) -> Value:
        return Value(self._build, self._build.reduce("ReduceSum", self.name, axes, keepdims), self.kind)

    def reduce(self, op_type: str, *axes: int, keepdims: int = 0) -> Value:
        """ReduceMax, ReduceMin, …"""
        return Value(self._build, self._build.reduce(op_type, self.name, axes, keepdims), self.kind)


def value_of(build: Builder, name: str) -> Value:
    """A value of the graph whose type is known."""
    kind = build.type_of(name)
    assert kind is not None
    return Value(build, name, kind)


def constant(build: Builder, value: Any, kind: Any) -> Value:
    return Value(build, build.constant(value, kind), kind)


def maximum(left: Value, right: Any) -> Value:
    return left.make("Max", right)


def minimum(left: Value, right: Any) -> Value:
    return left.make("Min", right)


def where(condition: Value, yes: Value, no: Any) -> Value:
    return condition.make("Where", yes, yes.same(no), kind=yes.kind)


def concat(values: Sequence[Value], axis: int) -> Value:
    first, *rest = values
    return first if not rest else first.make("Concat", *rest, axis=axis)
