"""Floats of 8 and 4 bits, integers of 4 and 2 bits: one byte each, and arithmetic where the model converts them.

Enters: a model with shapes inferred. Leaves: the same model without these types. A float is the byte of its code, an
integer the byte of its value, in inputs and outputs as well: the calling convention has no names for these types. Casts
and (de)quantisation are written out; operators that only move elements work on the bytes.
Source: https://onnx.ai/onnx/technical/float8.html, …/float4.html, …/int4.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from webree.compiler.frontends.onnx_builder import Builder, attributes_of
from webree.compiler.frontends.onnx_elementwise import elementwise
from webree.compiler.frontends.onnx_graph import node_label, opset_of, value_infos_of
from webree.compiler.frontends.onnx_inline import DOMAIN
from webree.compiler.frontends.onnx_quantized import spread_parameter
from webree.compiler.frontends.onnx_values import Value, constant, value_of, where
from webree.errors import CompileError

__all__ = ["replace_small_types"]

_MOVES = frozenset(
    {
        *("Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Tile"),
        *("Transpose", "Unsqueeze", "Constant"),
    }
)


@dataclass(frozen=True)
class _Float:
    """A format of floats.

    Attributes:
        mantissa: bits of it.
        bias: of the exponent.
        largest: code of the largest finite number.
        beyond: code for what lies beyond it if that is not saturated.
        nan: code; a format without one has -0 there.
        sign: the sign's bit.
        has_negative_zero: whether the sign of 0 is kept.
    """

    mantissa: int
    bias: int
    largest: int
    beyond: int
    nan: int
    sign: int = 7
    has_negative_zero: bool = True


_FLOATS = {
    "FLOAT8E4M3FN": _Float(3, 7, 0x7E, 0x7F, 0x7F),
    "FLOAT8E4M3FNUZ": _Float(3, 8, 0x7F, 0x80, 0x80, has_negative_zero=False),
    "FLOAT8E5M2": _Float(2, 15, 0x7B, 0x7C, 0x7F),
    "FLOAT8E5M2FNUZ": _Float(2, 16, 0x7F, 0x80, 0x80, has_negative_zero=False),
    "FLOAT4E2M1": _Float(1, 1, 0x7, 0x7, 0x8, sign=3),
}
_POWERS = "FLOAT8E8M0"
_INTEGERS = {"INT4": (4, True), "UINT4": (4, False), "INT2": (2, True), "UINT2": (2, False)}
_NAMES = (*_FLOATS, _POWERS, *_INTEGERS)


def replace_small_types(model: Any) -> Any:
    """The model without small types, the same object. Raises `CompileError` for operators that compute with them."""
    from onnx import TensorProto

    graph = model.graph
    small = {number: name for name in _NAMES if (number := getattr(TensorProto, name, None)) is not None}
    kinds = {item.name: small[kind] for item in value_infos_of(graph) if (kind := _element(item)) in small}
    tensors = [*graph.initializer, *(part.t for node in graph.node for part in node.attribute if part.HasField("t"))]
    kinds |= {item.name: small[item.data_type] for item in graph.initializer if item.data_type in small}
    targets = [attributes_of(node).get("to") for node in graph.node if node.op_type == "Cast"]
    if not kinds and not any(tensor.data_type in small for tensor in tensors) and not set(targets) & set(small):
        return model
    for item in value_infos_of(graph):
        if _element(item) in small:
            item.type.tensor_type.elem_type = _byte(small[_element(item)])
    for tensor in tensors:
        if tensor.data_type in small:
            _as_bytes(tensor, small[tensor.data_type])
    _rewrite(model, kinds, small)
    return model


def _element(item: Any) -> int:
    return int(item.type.tensor_type.elem_type)


def _byte(name: str) -> int:
    from onnx import TensorProto

    return int(TensorProto.INT8 if name in ("INT4", "INT2") else TensorProto.UINT8)


def _as_bytes(tensor: Any, name: str) -> None:
    import numpy
    from onnx import numpy_helper

    array = numpy_helper.to_array(tensor)
    signed = name in ("INT4", "INT2")
    data = array.astype(numpy.int8 if signed else numpy.uint8) if name in _INTEGERS else array.view(numpy.uint8)
    own = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(data, own))


def _rewrite(model: Any, kinds: dict[str, str], small: dict[int, str]) -> None:
    graph = model.graph
    build = Builder(graph, opset_of(model))
    nodes = []
    for node in graph.node:
        build.begin(node)
        result = _replacement(node, build, kinds, small)
        if result is None:
            nodes.append(node)
        else:
            build.finish([result.name], node.output)
            nodes += build.nodes
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]  # their owner is emptied
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in graph.node for name in node.input}
    graph.initializer.extend(tensor for tensor in build.initializers if tensor.name in used)
    graph.value_info.extend(build.value_infos)
    if not any(item.domain == DOMAIN for item in model.opset_import):
        item = model.opset_import.add()
        item.domain, item.version = DOMAIN, 1


def _replacement(node: Any, build: Builder, kinds: dict[str, str], small: dict[int, str]) -> Value | None:
    touched = [kinds[name] for name in (*node.input, *node.output) if name in kinds]
    attributes = attributes_of(node)
    if node.op_type in ("Cast", "CastLike"):
        source = kinds.get(node.input[0], "")
        target = attributes["to"] if node.op_type == "Cast" else 0
        to = small.get(target, "") if target else kinds.get(node.input[1], "")
        if not source and not to:
            return None
        value = _decoded(build, node.input[0], source)
        if to:
            return (
                value if source == to else _encoded(build, value, to, attributes, build.shape_of(node.input[0]) or [])
            )
        kind = _numpy_kind(target) if target else build.type_of(node.input[1])
        return value.cast(kind)
    if not touched:
        return None
    if node.op_type == "DequantizeLinear" and node.input[0] in kinds:
        return _dequantized(node, build, kinds, attributes)
    if node.op_type == "QuantizeLinear":
        return _quantized(node, build, kinds, small, attributes)
    if node.op_type not in _MOVES:
        raise CompileError(
            f"node {node_label(node)}: {node.op_type} cannot be computed with elements of type {touched[0]}; "
            f"such elements can be moved, cast and (de)quantised: cast them first",
            op=f"onnx.{node.op_type}",
            location=node.name,
            unsupported=True,
        )
    return None


def _numpy_kind(number: int) -> Any:
    from onnx import helper

    return helper.tensor_dtype_to_np_dtype(number)


# --- Bytes to numbers and back ----------------------------------------------------------------------------------------


def _decoded(build: Builder, name: str, kind: str) -> Value:
    """The numbers of the bytes, as 32-bit floats; what has no small type stays as it is."""
    import numpy
    from onnx import TensorProto

    value = value_of(build, name)
    if not kind or kind in _INTEGERS:
        return value
    codes = numpy.arange(16 if kind == "FLOAT4E2M1" else 256).astype(numpy.uint8)
    table = codes.view(_numpy_kind(getattr(TensorProto, kind))).astype(numpy.float32)
    # By way of floats: WebGPU's code generator reads a byte that is widened to an index as a signed one.
    return constant(build, table, "float32").gather(value.cast("float32").cast("int32"))


def _encoded(build: Builder, value: Value, kind: str, attributes: dict[str, Any], shape: list[int | None]) -> Value:
    """The bytes of numbers."""
    if kind in _INTEGERS:
        bits, signed = _INTEGERS[kind]
        low = value.cast("int32").remainder(1 << bits)
        low = where(low >= 1 << (bits - 1), low - (1 << bits), low) if signed else low
        return low.cast("int8" if signed else "uint8")
    is_saturated = bool(attributes.get("saturate", 1))
    if kind == _POWERS:
        lines = _power_lines(attributes.get("round_mode", "up"), is_saturated)
    else:
        lines = _float_lines(_FLOATS[kind], is_saturated)
    return elementwise(build, value.cast("float32"), "uint8", lines, shape)


def _float_lines(form: _Float, is_saturated: bool) -> str:
    """MLIR that makes `%out` (i8) of `%in` (f32): scaled so that the last bit kept is 1, rounded to even, shifted."""
    smallest = 1 - form.bias
    beyond = form.largest if is_saturated else form.beyond
    has_infinity = form.beyond != form.nan and not is_saturated
    infinite = form.beyond if has_infinity else (form.largest if is_saturated else form.nan)
    numbers = {
        "magnitude_mask": 0x7FFFFFFF,
        "infinity": 0x7F800000,
        "w23": 23,
        "w31": 31,
        "middle": 127,
        "smallest": smallest,
        "mantissa": form.mantissa,
        "scale_exponent": 127 + form.mantissa,
        "top": 120,
        "largest": form.largest,
        "beyond": beyond,
        "infinite": infinite,
        "nan": form.nan,
        "sign_place": form.sign,
        "zero": 0,
    }
    lines = [f"%{name} = arith.constant {value} : i32" for name, value in numbers.items()]
    lines += [
        "%bits = arith.bitcast %in : f32 to i32",
        "%magnitude = arith.andi %bits, %magnitude_mask : i32",
        "%sign = arith.shrui %bits, %w31 : i32",
        "%raw = arith.shrui %magnitude, %w23 : i32",
        "%exponent0 = arith.subi %raw, %middle : i32",
        "%exponent1 = arith.maxsi %exponent0, %smallest : i32",
        "%exponent = arith.minsi %exponent1, %top : i32",
        "%scale0 = arith.subi %scale_exponent, %exponent : i32",
        "%scale1 = arith.shli %scale0, %w23 : i32",
        "%scale = arith.bitcast %scale1 : i32 to f32",
        "%is_infinite = arith.cmpi eq, %magnitude, %infinity : i32",
        "%is_nan = arith.cmpi ugt, %magnitude, %infinity : i32",
        "%is_large = arith.cmpi sgt, %exponent0, %top : i32",
        "%safe = arith.select %is_large, %zero, %magnitude : i32",
        "%size = arith.bitcast %safe : i32 to f32",
        "%scaled = arith.mulf %size, %scale : f32",
        "%rounded = math.roundeven %scaled : f32",
        "%steps = arith.fptosi %rounded : f32 to i32",
        "%above = arith.subi %exponent, %smallest : i32",
        "%shifted = arith.shli %above, %mantissa : i32",
        "%code0 = arith.addi %steps, %shifted : i32",
        "%too_large0 = arith.cmpi sgt, %code0, %largest : i32",
        "%too_large = arith.ori %too_large0, %is_large : i1",
        "%code1 = arith.select %too_large, %beyond, %code0 : i32",
        "%code2 = arith.select %is_infinite, %infinite, %code1 : i32",
        "%code = arith.select %is_nan, %nan, %code2 : i32",
        "%sign_bit = arith.shli %sign, %sign_place : i32",
        "%signed = arith.ori %code, %sign_bit : i32",
    ]
    if not form.has_negative_zero:  # the code of -0 is that of NaN
        lines += ["%is_zero = arith.cmpi eq, %code, %zero : i32", "%all = arith.select %is_zero, %zero, %signed : i32"]
    else:
        lines += ["%all = arith.ori %signed, %zero : i32"]
    return "\n    ".join([*lines, "%out = arith.trunci %all : i32 to i8"])


def _power_lines(mode: str, is_saturated: bool) -> str:
    """The exponent's byte, rounded by the mantissa."""
    threshold = {"up": 1, "nearest": 0x400000, "down": 0x7FFFFFFF}[mode]
    numbers = {
        "magnitude_mask": 0x7FFFFFFF,
        "infinity": 0x7F800000,
        "w23": 23,
        "one": 1,
        "fraction_mask": 0x7FFFFF,
        "threshold": threshold,
        "largest": 254,
        "beyond": 254 if is_saturated else 255,
        "nan": 255,
    }
    lines = [f"%{name} = arith.constant {value} : i32" for name, value in numbers.items()]
    lines += [
        "%bits = arith.bitcast %in : f32 to i32",
        "%magnitude = arith.andi %bits, %magnitude_mask : i32",
        "%raw = arith.shrui %magnitude, %w23 : i32",
        "%fraction = arith.andi %bits, %fraction_mask : i32",
        "%rounds = arith.cmpi uge, %fraction, %threshold : i32",
        "%step = arith.extui %rounds : i1 to i32",
        "%code0 = arith.addi %raw, %step : i32",
        "%is_nan = arith.cmpi ugt, %magnitude, %infinity : i32",
        "%too_large = arith.cmpi sgt, %code0, %largest : i32",
        "%code1 = arith.select %too_large, %beyond, %code0 : i32",
        "%code = arith.select %is_nan, %nan, %code1 : i32",
        "%out = arith.trunci %code : i32 to i8",
    ]
    return "\n    ".join(lines)


# --- Quantisation -----------------------------------------------------------------------------------------------------


def _parameter(build: Builder, name: str, value: Value, shape: list[int], attributes: dict[str, Any]) -> Value:
    """The numbers `value` of a scale or zero point `name`, one per element."""
    axis = attributes.get("axis", 1) % max(len(shape), 1)
    sizes = build.static_shape_of(name)
    spread = spread_parameter(build, value, shape, axis, attributes.get("block_size", 0), sizes)
    assert spread is not None
    return spread


def _dequantized(node: Any, build: Builder, kinds: dict[str, str], attributes: dict[str, Any]) -> Value | None:
    source, scale_name, zero_name = [*node.input, ""][:3]
    shape = build.static_shape_of(source)
    if shape is None:
        return None
    value = _decoded(build, source, kinds[source]).cast("float32")
    if zero_name:
        zero = _decoded(build, zero_name, kinds.get(zero_name, "")).cast("float32")
        value = value - _parameter(build, zero_name, zero, shape, attributes)
    scale = value_of(build, scale_name)
    return (value * _parameter(build, scale_name, scale.cast("float32"), shape, attributes)).cast(scale.kind)


def _quantized(
    node: Any, build: Builder, kinds: dict[str, str], small: dict[int, str], attributes: dict[str, Any]
) -> Value | None:
    source, scale_name, zero_name = [*node.input, ""][:3]
    shape = build.static_shape_of(source)
    kind = kinds.get(zero_name) or small.get(attributes.get("output_dtype", 0), "")
    if shape is None or not kind:
        return None
    scale = value_of(build, scale_name).cast("float32")
    value = value_of(build, source).cast("float32") / _parameter(build, scale_name, scale, shape, attributes)
    value = value.make("Round") if kind in _INTEGERS else value
    if zero_name:
        zero = _decoded(build, zero_name, kind).cast("float32")
        value = value + _parameter(build, zero_name, zero, shape, attributes)
    if kind in _INTEGERS:
        bits, signed = _INTEGERS[kind]
        value = value.clip(-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else value.clip(0, (1 << bits) - 1)
    return _encoded(build, value, kind, attributes, list(shape))
