"""Rules for operators that work on each element, and for random ones: BitCast, casts, Gelu, Dropout, Bernoulli, Range.

Enters: a node. Leaves: arithmetic, or a program in MLIR where ONNX has no words for it (the bits of a number).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from webree.compiler.frontends.onnx_builder import Builder, attributes_of
from webree.compiler.frontends.onnx_values import Value, constant, value_of, where

__all__ = ["RULES", "elementwise", "tensor_type"]

_NOISE = 1 << 16
"""A seeded operator draws its numbers at compile time, up to this many."""


def elementwise(build: Builder, value: Value, kind: Any, lines: str, shape: list[int | None]) -> Value:
    """A program that makes each `%out` from an `%in` by `lines`."""
    import numpy

    rank = len(shape)
    loops = ", ".join(f"d{number}" for number in range(rank))
    taken, given = tensor_type(shape, value.kind), tensor_type(shape, kind)
    dims = [f"  %d{n} = tensor.dim %x, %c{n} : {taken}" for n, size in enumerate(shape) if size is None]
    numbers = [f"  %c{n} = arith.constant {n} : index" for n, size in enumerate(shape) if size is None]
    open_sizes = ", ".join(f"%d{n}" for n, size in enumerate(shape) if size is None)
    iterators = ", ".join(['"parallel"'] * rank)
    text = f"""func.func @f(%x: {taken}) -> {given} {{
{chr(10).join(numbers + dims)}
  %empty = tensor.empty({open_sizes}) : {given}
  %y = linalg.generic {{indexing_maps = [affine_map<({loops}) -> ({loops})>, affine_map<({loops}) -> ({loops})>],
      iterator_types = [{iterators}]}} ins(%x : {taken}) outs(%empty : {given}) {{
  ^bb0(%in: {mlir_type(value.kind)}, %old: {mlir_type(kind)}):
    {lines}
    linalg.yield %out : {mlir_type(kind)}
  }} -> {given}
  return %y : {given}
}}"""
    return Value(build, build.program(text, [value.name], numpy.dtype(kind), shape), kind)


def tensor_type(shape: Sequence[int | None], kind: Any) -> str:
    """The builtin tensor type of these sizes and a NumPy type."""
    sizes = "".join("?x" if size is None else f"{size}x" for size in shape)
    return f"tensor<{sizes}{mlir_type(kind)}>"


def mlir_type(kind: Any) -> str:
    """The builtin element type of a NumPy type."""
    import numpy

    kind = numpy.dtype(kind)
    if kind.name == "bfloat16":
        return "bf16"
    if kind.kind == "b":
        return "i1"
    return f"{'f' if kind.kind == 'f' else 'i'}{8 * kind.itemsize}"


def _bit_cast(node: Any, build: Builder) -> str | None:
    """The same bits as another type of the same width."""
    from onnx import helper

    source = node.input[0]
    kind, shape = build.type_of(source), build.shape_of(source)
    target = helper.tensor_dtype_to_np_dtype(attributes_of(node)["to"])
    if "b" in (getattr(kind, "kind", ""), target.kind):  # a byte of 0 or 1
        return build.op("Cast", source, to=int(attributes_of(node)["to"]))
    if kind is None or shape is None or kind.itemsize != target.itemsize:
        return None
    left, right = mlir_type(kind), mlir_type(target)
    line = f"%out = arith.bitcast %in : {left} to {right}"
    if left == right:  # signs apart
        line = f"%zero = arith.constant 0 : {left} %out = arith.ori %in, %zero : {left}"
    return elementwise(build, value_of(build, source), target, line, shape).name


def _cast(node: Any, build: Builder) -> str | None:
    """To and from 16-bit integers and unsigned ones of 32 and 64 bits, which the importer has no names for."""
    from onnx import helper

    source = node.input[0]
    kind, shape = build.type_of(source), build.shape_of(source)
    target = helper.tensor_dtype_to_np_dtype(attributes_of(node)["to"])
    if kind is None or shape is None or kind.kind not in "biuf" or target.kind not in "biuf":
        return None
    if kind == target or not any(_is_unnamed(item) for item in (kind, target)):
        return None
    left, right = mlir_type(kind), mlir_type(target)
    if target.kind == "b":
        return (~value_of(build, source).equals(0)).name
    if "f" in (kind.kind, target.kind):
        step = ("u" if kind.kind in "ub" else "s") + "itofp" if target.kind == "f" else f"fpto{_sign(target)}i"
        line = f"%out = arith.{step} %in : {left} to {right}"
    elif kind.itemsize == target.itemsize and kind.kind != "b":
        line = f"%zero = arith.constant 0 : {left} %out = arith.ori %in, %zero : {left}"
    elif kind.itemsize > target.itemsize:
        line = f"%out = arith.trunci %in : {left} to {right}"
    else:
        line = f"%out = arith.ext{'u' if kind.kind in 'ub' else 's'}i %in : {left} to {right}"
    return elementwise(build, value_of(build, source), target, line, shape).name


def _is_unnamed(kind: Any) -> bool:
    return bool(kind.kind == "u" and kind.itemsize > 1) or kind.name == "int16"


def _sign(kind: Any) -> str:
    return "u" if kind.kind == "u" else "s"


def _gelu(node: Any, build: Builder) -> str | None:
    """The tanh form as a sigmoid, which keeps its digits where the result is small."""
    if attributes_of(node).get("approximate", "none") != "tanh" or build.type_of(node.input[0]) is None:
        return None
    x = value_of(build, node.input[0])
    angle = (x + x * x * x * 0.044715) * (-2 * math.sqrt(2 / math.pi))
    return (x / (angle.make("Exp") + 1)).name


def _lp_normalization(node: Any, build: Builder) -> str | None:
    """x divided by its norm; what has the norm 0 stays 0."""
    shape = build.shape_of(node.input[0])
    if shape is None or build.type_of(node.input[0]) is None:
        return None
    attributes = attributes_of(node)
    axis = attributes.get("axis", -1) % len(shape)
    x = value_of(build, node.input[0])
    norm = x.reduce("ReduceL1" if attributes.get("p", 2) == 1 else "ReduceL2", axis, keepdims=1)
    return where(norm.equals(0), x * 0, x / where(norm.equals(0), norm + 1, norm)).name


def _range(node: Any, build: Builder) -> str | None:
    """Halves are counted as 32-bit floats."""
    kind = build.type_of(node.input[0])
    if kind is None or kind.name not in ("float16", "bfloat16"):
        return None
    first, *rest = (value_of(build, name).cast("float32") for name in node.input)
    return first.make("Range", *rest).cast(kind).name


# --- Random numbers ---------------------------------------------------------------------------------------------------


def _noise(build: Builder, attributes: dict[str, Any], shape: list[int] | None) -> Value | None:
    """Uniform numbers of [0, 1) for a seed, drawn by NumPy's generator: the same ones in every call."""
    import numpy

    if "seed" not in attributes or shape is None or math.prod(shape) > _NOISE:
        return None
    drawn = numpy.random.RandomState(int(attributes["seed"])).uniform(0.0, 1.0, shape)
    return constant(build, drawn, "float32")


def _dropout(node: Any, build: Builder) -> list[str] | None:
    """In training, elements are dropped by drawn numbers; the rest grows to keep the mean."""
    names = [*node.input, "", ""][:3]
    shape, kind = build.static_shape_of(names[0]), build.type_of(names[0])
    training = build.constant_of(names[2]) if names[2] else False
    if build.opset < 12 or shape is None or kind is None or (training is not None and not training):
        return None
    noise = _noise(build, attributes_of(node), shape)
    if noise is None:
        noise = Value(build, build.op("RandomUniformLike", names[0], dtype=1), "float32")
    ratio = value_of(build, names[1]).cast("float32") if names[1] else constant(build, 0.5, "float32")
    active = value_of(build, names[2]).cast("float32")
    ratio = ratio * active
    kept = noise >= ratio
    value = value_of(build, names[0])
    scaled = value * (1 / (1 - ratio)).cast(kind)
    return [where(kept, scaled, value * 0).name, kept.name]


def _bernoulli(node: Any, build: Builder) -> str | None:
    """Ones with the probabilities given."""
    from onnx import helper

    source = node.input[0]
    kind, shape = build.type_of(source), build.static_shape_of(source)
    if kind is None:
        return None
    attributes = attributes_of(node)
    noise = _noise(build, attributes, shape)
    if noise is None:
        noise = Value(build, build.op("RandomUniformLike", source, dtype=1), "float32")
    target = helper.tensor_dtype_to_np_dtype(attributes["dtype"]) if "dtype" in attributes else kind
    return (noise < value_of(build, source).cast("float32")).cast(target).name


def _uniform(node: Any, build: Builder) -> str | None:
    """Seeded ones, drawn at compile time."""
    from onnx import helper

    attributes = attributes_of(node)
    noise = _noise(build, attributes, build.static_shape_of(node.output[0]))
    if noise is None:
        return None
    low, high = attributes.get("low", 0.0), attributes.get("high", 1.0)
    kind = build.type_of(node.input[0]) if node.input else None
    target = helper.tensor_dtype_to_np_dtype(attributes["dtype"]) if "dtype" in attributes else kind
    drawn: Value = noise * (high - low) + low
    return drawn.cast(target or "float32").name


RULES: dict[str, Callable[[Any, Builder], str | list[str] | None]] = {
    "Bernoulli": _bernoulli,
    "BitCast": _bit_cast,
    "Cast": _cast,
    "Dropout": _dropout,
    "Gelu": _gelu,
    "LpNormalization": _lp_normalization,
    "RandomUniform": _uniform,
    "RandomUniformLike": _uniform,
    "Range": _range,
}
