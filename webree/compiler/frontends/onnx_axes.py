"""Rules for operators that work along axes which the model states as an input: Reduce*, CumSum, CumProd.

Enters: a node. Leaves: nodes whose axes are constants. Where the axes are known at run time only, the sizes of the
result, which models state, leave few choices; all of them are computed and one is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

from webree.compiler.frontends.onnx_builder import Builder, attributes_of

__all__ = ["RULES", "either"]

_CHOICES = 8
_ELEMENTWISE = ("Cast", "CastLike", "Exp", "Identity", "Log", "Sqrt")
_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")


def _reduce(node: Any, build: Builder) -> str | None:
    """A reduction whose axes are an input."""
    if len(node.input) < 2 or not node.input[1]:
        return None
    source, axes = node.input[:2]
    if build.constant_of(axes) is not None:
        return None
    shape, result = build.static_shape_of(source), build.static_shape_of(node.output[0])
    count = build.static_shape_of(axes)
    if shape is None or count is None:
        return None
    attributes = attributes_of(node)
    keepdims = attributes.get("keepdims", 1)
    if count[0] == 0:
        everything = [] if attributes.get("noop_with_empty_axes", 0) else list(range(len(shape)))
        return _reduction(build, node.op_type, source, everything, keepdims)
    result = result or _wanted_shape(build, node.output[0])
    if result is None:
        return None
    choices = [
        choice for choice in combinations(range(len(shape)), count[0]) if _reduced(shape, choice, keepdims) == result
    ]
    if not choices or len(choices) > _CHOICES:
        return None
    values = [_reduction(build, node.op_type, source, list(choice), keepdims) for choice in choices]
    return build.choose([_is_choice(build, axes, choice, len(shape)) for choice in choices[:-1]], values)


def _wanted_shape(build: Builder, name: str) -> list[int] | None:
    """The sizes of a value that inference does not know, from what is made of it element by element."""
    for _ in range(_CHOICES):
        users = build.users_of(name)
        if len(users) != 1 or users[0].op_type not in _ELEMENTWISE or users[0].input[0] != name:
            return None
        name = users[0].output[0]
        shape = build.static_shape_of(name)
        if shape is not None:
            return shape
    return None


def _reduction(build: Builder, kind: str, source: str, axes: list[int], keepdims: int) -> str:
    """Along these axes; along none, what the reduction does to each element is left."""
    if axes:
        return build.reduce(kind, source, axes, keepdims)
    if kind in ("ReduceL1", "ReduceL2"):
        return build.op("Abs", source)
    if kind == "ReduceLogSum":
        return build.op("Log", source)
    return build.op("Mul", source, source) if kind == "ReduceSumSquare" else build.op("Identity", source)


def _reduced(shape: list[int], axes: tuple[int, ...], keepdims: int) -> list[int]:
    if keepdims:
        return [1 if axis in axes else size for axis, size in enumerate(shape)]
    return [size for axis, size in enumerate(shape) if axis not in axes]


def _is_choice(build: Builder, axes: str, choice: tuple[int, ...], rank: int) -> str:
    """Whether the axes at run time, in any order and counted from either end, are those of `choice`."""
    kind = build.type_of(axes)
    among = None
    for axis in choice:
        found = either(build, axes, axis, rank, kind)
        among = found if among is None else build.op("Or", among, found)
    assert among is not None
    wrong = build.op("Cast", build.op("Not", among), to=6)  # int32
    return build.op("Equal", build.reduce("ReduceSum", wrong, [0], 0), build.constant(0, "int32"))


def either(build: Builder, axes: str, axis: int, rank: int, kind: Any) -> str:
    """Whether axes known at run time only are `axis`, counted from either end."""
    front = build.op("Equal", axes, build.constant(axis, kind))
    return build.op("Or", front, build.op("Equal", axes, build.constant(axis - rank, kind)))


def _cumulative(node: Any, build: Builder) -> str | None:
    """CumSum and CumProd: in log2(n) steps, each of which adds what lies 1, 2, 4, … elements before."""
    source, axis = node.input[:2]
    shape = build.static_shape_of(source)
    kind = build.type_of(source)
    if shape is None or not shape or kind is None:
        return None
    attributes = attributes_of(node)
    reverse, exclusive = attributes.get("reverse", 0), attributes.get("exclusive", 0)
    known = build.constant_of(axis)
    if known is not None or len(shape) == 1:
        number = int(known.reshape(-1)[0]) % len(shape) if known is not None else 0
        return _scan(node.op_type, build, source, shape, number, bool(reverse), bool(exclusive))
    values = [
        _scan(node.op_type, build, source, shape, number, bool(reverse), bool(exclusive))
        for number in range(len(shape))
    ]
    axis_kind = build.type_of(axis)
    scalar = build.reshape(axis, [1] * len(shape))
    tests = [either(build, scalar, number, len(shape), axis_kind) for number in range(len(shape) - 1)]
    return build.choose(tests, values)


def _scan(
    op_type: str, build: Builder, source: str, shape: list[int], axis: int, reverse: bool, exclusive: bool
) -> str:
    import numpy

    kind = build.type_of(source)
    neutral, combine = (0, "Add") if op_type == "CumSum" else (1, "Mul")
    size = shape[axis]

    def shifted(value: str, step: int) -> str:
        fill = build.constant(numpy.full([*shape[:axis], step, *shape[axis + 1 :]], neutral, kind))
        kept = build.slice(value, axis, step, size) if reverse else build.slice(value, axis, 0, size - step)
        return build.op("Concat", *((kept, fill) if reverse else (fill, kept)), axis=axis)

    value = source
    if exclusive:
        value = shifted(value, 1) if size > 1 else build.constant(numpy.full(shape, neutral, kind))
    step = 1
    while step < size:
        value = build.op(combine, value, shifted(value, step))
        step *= 2
    return value


RULES: dict[str, Callable[[Any, Builder], str | None]] = {
    **{f"Reduce{name}": _reduce for name in _REDUCTIONS},
    "CumSum": _cumulative,
    "CumProd": _cumulative,
}
