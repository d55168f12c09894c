"""What the operator tests of TensorFlow Lite run: rows of operators with their inputs, options and results, by family.

Enters: nothing. Leaves: `ROWS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.frontends.tflite_models import Quantized

__all__ = ["ROWS", "Arg", "Row"]

Tensor = np.ndarray[Any, Any]
Random = np.random.Generator


@dataclass(frozen=True)
class Arg:
    """An input: `make(random)` gives its elements; it may be a constant, and quantised."""

    make: Callable[[Random], Tensor]
    constant: bool = False
    quantized: Quantized | None = None


@dataclass(frozen=True)
class Row:
    """One use of an operator.

    Attributes:
        results: element type of each result, with its quantisation.
    """

    op: str
    args: tuple[Arg, ...]
    options: Any = None
    results: tuple[tuple[str, Quantized | None], ...] = (("float32", None),)
    version: int = 1
    tolerance: float = 1e-5


def _f(*shape: int, low: float = -3, high: float = 3) -> Arg:
    return Arg(lambda random: random.uniform(low, high, shape).astype(np.float32))


def _w(*shape: int, low: float = -1, high: float = 1) -> Arg:
    return Arg(lambda random: random.uniform(low, high, shape).astype(np.float32), constant=True)


def _i(*shape: int, low: int = -50, high: int = 50, dtype: str = "int32") -> Arg:
    return Arg(lambda random: random.integers(low, high, shape).astype(dtype))


def _bool(*shape: int) -> Arg:
    return Arg(lambda random: random.integers(0, 2, shape).astype(bool))


def _c(*values: int, dtype: str = "int32", shape: tuple[int, ...] | None = None) -> Arg:
    """A constant of given numbers; a single one is a scalar unless `shape` is given."""
    data = np.array(values, dtype)
    data = data.reshape(shape) if shape is not None else data
    return Arg(lambda _: data, constant=True)


def _q(
    shape: tuple[int, ...], scale: Any, zero: Any = 0, dtype: str = "int8", axis: int = 0, constant: bool = False
) -> Arg:
    limits = np.iinfo(dtype)
    low = -127 if constant and dtype == "int8" else limits.min
    return Arg(
        lambda random: random.integers(low, limits.max + 1, shape).astype(dtype), constant, Quantized(scale, zero, axis)
    )


def _options(name: str, **fields: Any) -> Any:
    found = getattr(schema, f"{name}OptionsT")()
    for key, value in fields.items():
        assert hasattr(found, key), key
        setattr(found, key, value)
    return found


def _act(name: str, activation: int = 0) -> Any:
    return _options(name, fusedActivationFunction=activation)


_INT = (("int32", None),)
_BOOL = (("bool", None),)
_Q8 = Quantized(0.05, 3)


def _q8(scale: float, zero: int = 0, dtype: str = "int8") -> tuple[tuple[str, Quantized | None], ...]:
    return ((dtype, Quantized(scale, zero)),)


def _conv(**fields: Any) -> Any:
    return _options("Conv2D", **{"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, **fields})


def _depthwise(**fields: Any) -> Any:
    base = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "depthMultiplier": 1}
    return _options("DepthwiseConv2D", **{**base, **fields})


def _pool(**fields: Any) -> Any:
    return _options("Pool2D", **{"strideW": 2, "strideH": 2, "filterWidth": 3, "filterHeight": 2, **fields})


def _slice_options(**fields: int) -> Any:
    names = ("beginMask", "endMask", "ellipsisMask", "newAxisMask", "shrinkAxisMask")
    return _options("StridedSlice", **{**dict.fromkeys(names, 0), **fields})


_THREE = (("float32", None),) * 3


def _bias(*scales: float, count: int = 0) -> Arg:
    """A bias in i32; one scale per channel, or one for `count` channels."""
    how = Quantized(scales if len(scales) > 1 else scales[0])
    return Arg(lambda random: random.integers(-900, 900, count or len(scales)).astype("int32"), True, how)


def _number(value: float) -> Arg:
    return Arg(lambda _: np.array(value, np.float32), constant=True)


_UNARY = [
    Row(name, (_f(2, 5, low=low, high=high),), tolerance=tolerance)
    for name, low, high, tolerance in (
        ("EXP", -3, 3, 1e-5),
        ("LOG", 0.1, 5, 1e-5),
        ("SQRT", 0, 5, 1e-5),
        ("RSQRT", 0.1, 5, 1e-5),
        ("SIN", -6, 6, 1e-5),
        ("COS", -6, 6, 1e-5),
        ("TANH", -4, 4, 1e-5),
        ("FLOOR", -5, 5, 0),
        ("CEIL", -5, 5, 0),
        ("ROUND", -5, 5, 0),
        ("LOGISTIC", -9, 9, 1e-5),
        ("ABS", -5, 5, 0),
        ("NEG", -5, 5, 0),
        ("SQUARE", -5, 5, 1e-6),
        ("ELU", -5, 5, 1e-5),
        ("HARD_SWISH", -5, 5, 1e-5),
        ("RELU", -5, 5, 0),
        ("RELU6", -5, 9, 0),
        ("RELU_N1_TO_1", -5, 5, 0),
        ("RELU_0_TO_1", -5, 5, 0),
        ("SIGN", -5, 5, 0),
    )
]

ROWS: dict[str, list[Row]] = {
    "unary": [
        *_UNARY,
        Row("GELU", (_f(3, 4),), _options("Gelu", approximate=False), tolerance=1e-5),
        Row("GELU", (_f(3, 4),), _options("Gelu", approximate=True), tolerance=1e-5),
        Row("LEAKY_RELU", (_f(3, 4),), _options("LeakyRelu", alpha=0.2)),
        Row("PRELU", (_f(1, 3, 4, 2), _w(1, 1, 2))),
        Row("LOGICAL_NOT", (_bool(3, 4),), results=_BOOL),
        Row("CAST", (_f(3, 4, low=-90, high=90),), _options("Cast", inDataType=0, outDataType=2), results=_INT),
        Row("CAST", (_i(3, 4),), _options("Cast", inDataType=2, outDataType=0)),
        Row("CAST", (_i(3, 4, dtype="uint8", low=0, high=255),), results=_INT),
        Row("DEQUANTIZE", (_q((3, 4), 0.1, -5),)),
        Row("QUANTIZE", (_f(3, 4),), results=_q8(0.03, -7)),
        Row("QUANTIZE", (_q((3, 4), 0.1, -5),), results=_q8(0.2, 7)),
        Row("FAKE_QUANT", (_f(3, 4),), _options("FakeQuant", min=-2.1, max=2.4, numBits=8), tolerance=2e-2),
        Row("BITCAST", (_f(3, 4),), results=_INT),
    ],
    "binary": [
        Row("ADD", (_f(2, 3, 4), _f(3, 1)), _act("Add")),
        Row("ADD", (_f(2, 3), _w(2, 3)), _act("Add", 1)),
        Row("SUB", (_f(2, 3), _f(1)), _act("Sub", 3)),
        Row("MUL", (_f(2, 3), _f(2, 3)), _act("Mul", 2)),
        Row("DIV", (_f(2, 3), _f(2, 3, low=1, high=2)), _act("Div")),
        Row("ADD", (_i(2, 3), _i(3)), _act("Add"), results=_INT),
        Row("MAXIMUM", (_f(2, 3), _f(3))),
        Row("MINIMUM", (_i(2, 3), _i(1, 3)), results=_INT),
        Row("POW", (_f(2, 3, low=0.1), _f(2, 3, low=-2, high=2)), tolerance=1e-4),
        Row("ATAN2", (_f(2, 3), _f(2, 3))),
        Row("FLOOR_DIV", (_i(2, 3), _i(2, 3, low=1, high=7)), results=_INT),
        Row("FLOOR_DIV", (_f(2, 3, low=-9, high=9), _f(2, 3, low=1, high=2)), tolerance=0),
        Row("FLOOR_MOD", (_i(2, 3), _i(2, 3, low=-7, high=-1)), results=_INT),
        Row("FLOOR_MOD", (_f(2, 3, low=-9, high=9), _f(2, 3, low=1, high=2))),
        Row("SQUARED_DIFFERENCE", (_f(2, 3), _f(3))),
        Row("LOGICAL_AND", (_bool(2, 3), _bool(2, 3)), results=_BOOL),
        Row("LOGICAL_OR", (_bool(2, 3), _bool(3)), results=_BOOL),
        Row("BITWISE_XOR", (_i(2, 3), _i(2, 3)), results=_INT),
        Row("RIGHT_SHIFT", (_i(2, 3), _i(2, 3, low=0, high=5)), results=_INT),
        *(
            Row(name, (_i(2, 9, low=0, high=4), _i(9, low=0, high=4)), results=_BOOL)
            for name in ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")
        ),
        Row("GREATER", (_f(2, 9), _f(1, low=0, high=0.5)), results=_BOOL),
        Row("SELECT", (_bool(2, 3), _f(2, 3), _f(2, 3))),
        Row("SELECT", (_bool(2), _f(2, 3), _f(2, 3))),
        Row("SELECT_V2", (_bool(2, 1), _f(2, 3), _f(1))),
        Row("ADD_N", (_f(2, 3), _f(2, 3), _f(2, 3))),
    ],
    "layout": [
        Row("RESHAPE", (_f(2, 3, 4), _c(4, -1)), _options("Reshape", newShape=[4, -1])),
        Row("SQUEEZE", (_f(2, 1, 4, 1),), _options("Squeeze", squeezeDims=[1])),
        Row("EXPAND_DIMS", (_f(2, 4), _c(-2, shape=()))),
        Row("TRANSPOSE", (_f(2, 3, 4), _c(2, 0, 1))),
        Row("PAD", (_f(2, 3), _c(1, 0, 2, 1, shape=(2, 2)))),
        Row("PADV2", (_f(2, 3), _c(1, 0, 2, 1, shape=(2, 2)), _number(7))),
        Row("MIRROR_PAD", (_f(4, 5), _c(2, 1, 0, 3, shape=(2, 2))), _options("MirrorPad", mode=0)),
        Row("MIRROR_PAD", (_f(4, 5), _c(2, 4, 5, 1, shape=(2, 2))), _options("MirrorPad", mode=1)),
        Row("REVERSE_V2", (_f(3, 4, 2), _c(1))),
        Row("STRIDED_SLICE", (_f(5, 6), _c(1, 0), _c(5, 6), _c(2, 3)), _slice_options()),
        Row("STRIDED_SLICE", (_f(5, 6), _c(-2, 1), _c(0, 9), _c(1, 1)), _slice_options(shrinkAxisMask=1)),
        Row("STRIDED_SLICE", (_f(5, 6), _c(0, 0), _c(0, -1), _c(-1, 1)), _slice_options(beginMask=3, endMask=1)),
        Row(
            "STRIDED_SLICE",
            (_f(5, 6), _c(0, 0, 2), _c(0, 0, 4), _c(1, 1, 1)),
            _slice_options(ellipsisMask=1, newAxisMask=2),
            version=2,
        ),
        Row("SLICE", (_f(5, 6), _c(1, 2), _c(3, -1))),
        Row("CONCATENATION", (_f(2, 3), _f(2, 1), _w(2, 2)), _options("Concatenation", axis=-1)),
        Row("PACK", (_f(2, 3), _f(2, 3)), _options("Pack", valuesCount=2, axis=1)),
        Row("UNPACK", (_f(2, 3),), _options("Unpack", num=3, axis=1), results=_THREE),
        Row("SPLIT", (_c(1, shape=()), _f(2, 6)), _options("Split", numSplits=3), results=_THREE),
        Row("SPLIT_V", (_f(2, 6), _c(1, -1, 2), _c(1, shape=())), _options("SplitV", numSplits=3), results=_THREE),
        Row("GATHER", (_f(5, 3), _i(2, 2, low=0, high=5)), _options("Gather", axis=0)),
        Row("GATHER", (_f(2, 5, 3), _i(2, 4, low=0, high=5)), _options("Gather", axis=1, batchDims=1), version=5),
        Row("GATHER", (_f(5, 3), _c(2, 0)), _options("Gather", axis=1)),
        Row("GATHER_ND", (_f(4, 3, 2), _i(5, 2, low=0, high=3))),
        Row("EMBEDDING_LOOKUP", (_i(4, low=0, high=5), _w(5, 3))),
        Row("TILE", (_f(2, 3), _c(2, 3))),
        Row("BROADCAST_TO", (_f(3, 1), _c(2, 3, 4)), version=2),
        Row("FILL", (_c(2, 3), _f())),
        Row("ZEROS_LIKE", (_f(2, 3),)),
        Row(
            "ONE_HOT", (_i(2, 3, low=-1, high=5), _c(4, shape=()), _number(2), _number(-1)), _options("OneHot", axis=-1)
        ),
        Row("DEPTH_TO_SPACE", (_f(1, 2, 3, 8),), _options("DepthToSpace", blockSize=2)),
        Row("SPACE_TO_DEPTH", (_f(1, 4, 6, 2),), _options("SpaceToDepth", blockSize=2)),
        Row("SPACE_TO_BATCH_ND", (_f(1, 4, 5, 2), _c(2, 3), _c(0, 0, 1, 0, shape=(2, 2)))),
        Row("BATCH_TO_SPACE_ND", (_f(6, 2, 2, 2), _c(2, 3), _c(0, 1, 1, 0, shape=(2, 2)))),
        Row("DYNAMIC_UPDATE_SLICE", (_f(4, 5), _f(2, 3), _i(2, low=-1, high=6))),
        Row("SHAPE", (_f(4, 5),), _options("Shape", outType=2), results=_INT),
        Row("RANK", (_f(4, 5),), results=_INT),
        Row("RANGE", (_c(2, shape=()), _c(11, shape=()), _c(3, shape=())), results=_INT),
    ],
    "matrix": [
        Row("FULLY_CONNECTED", (_f(3, 4), _w(5, 4), _w(5)), _act("FullyConnected", 1)),
        Row("FULLY_CONNECTED", (_f(2, 3, 4), _w(5, 4)), _options("FullyConnected", keepNumDims=True)),
        Row("BATCH_MATMUL", (_f(2, 3, 4), _f(2, 4, 5)), _options("BatchMatMul")),
        Row("BATCH_MATMUL", (_f(2, 2, 4, 3), _f(2, 5, 4)), _options("BatchMatMul", adjX=True, adjY=True)),
        Row("SOFTMAX", (_f(3, 7),), _options("Softmax", beta=0.5)),
        Row("LOG_SOFTMAX", (_f(3, 7),)),
        Row("L2_NORMALIZATION", (_f(2, 7),), _act("L2Norm")),
        Row("MEAN", (_f(2, 3, 4), _c(1, -1)), _options("Reducer", keepDims=True)),
        Row("SUM", (_f(2, 3, 4), _c(1)), _options("Reducer", keepDims=False)),
        Row("REDUCE_PROD", (_f(2, 3), _c(0)), _options("Reducer", keepDims=False)),
        Row("REDUCE_MAX", (_f(2, 3), _c(0, 1)), _options("Reducer", keepDims=False)),
        Row("REDUCE_MIN", (_i(2, 3), _c(1)), _options("Reducer", keepDims=True), results=_INT),
        Row("REDUCE_ANY", (_bool(4, 3), _c(1)), _options("Reducer", keepDims=False), results=_BOOL),
        Row("REDUCE_ALL", (_bool(4, 3), _c(0)), _options("Reducer", keepDims=False), results=_BOOL),
        Row("ARG_MAX", (_f(4, 9), _c(-1, shape=())), _options("ArgMax", outputType=2), results=_INT),
        Row("ARG_MIN", (_i(4, 9, low=0, high=4), _c(0, shape=())), _options("ArgMin", outputType=2), results=_INT),
        Row("TOPK_V2", (_f(3, 20), _c(5, shape=())), results=(("float32", None), ("int32", None))),
        Row("TOPK_V2", (_i(2, 30, low=0, high=6), _c(30, shape=())), results=(("int32", None), ("int32", None))),
        Row("CUMSUM", (_f(3, 5), _c(1, shape=())), _options("Cumsum", exclusive=False, reverse=False)),
        Row("CUMSUM", (_i(3, 5), _c(0, shape=())), _options("Cumsum", exclusive=True, reverse=True), results=_INT),
    ],
    "spatial": [
        Row("CONV_2D", (_f(2, 7, 6, 3), _w(4, 3, 3, 3), _w(4)), _conv(strideH=2, strideW=2, fusedActivationFunction=3)),
        Row("CONV_2D", (_f(1, 7, 6, 3), _w(4, 3, 2, 3), _w(4)), _conv(padding=1, dilationHFactor=2)),
        Row("CONV_2D", (_f(1, 5, 5, 4), _w(6, 3, 3, 2), _w(6)), _conv(), version=6),
        Row("DEPTHWISE_CONV_2D", (_f(1, 7, 6, 3), _w(1, 3, 3, 3), _w(3)), _depthwise(strideH=2, strideW=2)),
        Row("DEPTHWISE_CONV_2D", (_f(1, 7, 6, 3), _w(1, 3, 3, 6), _w(6)), _depthwise(depthMultiplier=2, padding=1)),
        Row(
            "TRANSPOSE_CONV",
            (_c(1, 8, 6, 4), _w(4, 3, 3, 2), _f(1, 4, 3, 2)),
            _options("TransposeConv", strideW=2, strideH=2),
        ),
        Row(
            "TRANSPOSE_CONV",
            (_c(1, 9, 7, 4), _w(4, 3, 3, 2), _f(1, 4, 3, 2)),
            _options("TransposeConv", strideW=2, strideH=2, padding=1),
        ),
        Row("MAX_POOL_2D", (_f(1, 5, 7, 3),), _pool()),
        Row("AVERAGE_POOL_2D", (_f(1, 5, 7, 3),), _pool(fusedActivationFunction=1)),
        Row("AVERAGE_POOL_2D", (_f(1, 5, 7, 3),), _pool(padding=1)),
        Row("L2_POOL_2D", (_f(1, 5, 7, 3),), _pool(padding=1)),
        *(
            Row(
                "RESIZE_BILINEAR",
                (_f(1, 3, 4, 2), _c(7, 5)),
                _options("ResizeBilinear", alignCorners=corners, halfPixelCenters=half),
                version=3,
            )
            for corners, half in ((False, False), (True, False), (False, True))
        ),
        *(
            Row(
                "RESIZE_NEAREST_NEIGHBOR",
                (_f(1, 3, 4, 2), _c(7, 5)),
                _options("ResizeNearestNeighbor", alignCorners=corners, halfPixelCenters=half),
                version=3,
            )
            for corners, half in ((False, False), (True, False), (False, True))
        ),
    ],
    "quantized": [
        Row(
            "CONV_2D",
            (
                _q((1, 7, 6, 3), 0.05, 4),
                _q((5, 3, 3, 3), [0.01, 0.02, 0.015, 0.03, 0.01], 0, constant=True),
                _bias(0.0005, 0.001, 0.00075, 0.0015, 0.0005),
            ),
            _conv(strideH=2, strideW=2, fusedActivationFunction=1),
            results=_q8(0.07, -20),
            version=3,
        ),
        Row(
            "CONV_2D",
            (
                _q((1, 7, 6, 3), 0.05, 120, "uint8"),
                _q((5, 3, 3, 3), 0.01, 133, "uint8", constant=True),
                _bias(0.0005, count=5),
            ),
            _conv(),
            results=_q8(0.05, 128, "uint8"),
        ),
        Row(
            "DEPTHWISE_CONV_2D",
            (
                _q((1, 7, 6, 3), 0.05, 4),
                _q((1, 3, 3, 3), [0.01, 0.02, 0.03], 0, axis=3, constant=True),
                _bias(0.0005, 0.001, 0.0015),
            ),
            _depthwise(),
            results=_q8(0.07, 5),
            version=3,
        ),
        Row(
            "FULLY_CONNECTED",
            (_q((3, 40), 0.05, 4), _q((6, 40), 0.01, constant=True), _bias(0.0005, count=6)),
            _act("FullyConnected", 3),
            results=_q8(0.03, -128),
            version=4,
        ),
        Row("ADD", (_q((3, 5), 0.05, 4), _q((5,), 0.07, -9)), _act("Add", 1), results=_q8(0.1, -8), version=2),
        Row("MUL", (_q((3, 5), 0.05, 4), _q((3, 5), 0.07, -9)), _act("Mul"), results=_q8(0.5, -8), version=2),
        Row("SUB", (_q((3, 5), 0.05, 4), _q((3, 5), 0.07, -9)), _act("Sub"), results=_q8(0.1, -8), version=2),
        Row("LOGISTIC", (_q((3, 50), 0.06, 4),), results=_q8(1 / 256, -128)),
        Row("TANH", (_q((3, 50), 0.03, 4),), results=_q8(1 / 128, 0)),
        Row("SOFTMAX", (_q((3, 9), 0.06, 4),), _options("Softmax", beta=1.0), results=_q8(1 / 256, -128), version=2),
        Row("HARD_SWISH", (_q((3, 50), 0.06, 4),), results=_q8(0.05, -60)),
        Row("LEAKY_RELU", (_q((3, 50), 0.06, 4),), _options("LeakyRelu", alpha=0.2), results=_q8(0.05, -60), version=2),
        Row("AVERAGE_POOL_2D", (_q((1, 5, 7, 3), 0.05, 4),), _pool(padding=1), results=_q8(0.05, 4), version=2),
        Row("MAX_POOL_2D", (_q((1, 5, 7, 3), 0.05, 4, "uint8"),), _pool(), results=_q8(0.05, 4, "uint8")),
        Row(
            "MEAN",
            (_q((1, 5, 7, 3), 0.05, 4), _c(1, 2)),
            _options("Reducer", keepDims=True),
            results=_q8(0.03, -4),
            version=2,
        ),
        Row(
            "RESIZE_BILINEAR",
            (_q((1, 3, 4, 2), 0.05, 4), _c(7, 5)),
            _options("ResizeBilinear", halfPixelCenters=True),
            results=_q8(0.05, 4),
            version=3,
        ),
        Row(
            "CONCATENATION",
            (_q((2, 3), 0.05, 4), _q((2, 3), 0.05, 4)),
            _options("Concatenation", axis=1),
            results=_q8(0.05, 4),
            version=2,
        ),
        Row("PAD", (_q((2, 3), 0.05, 4), _c(1, 0, 2, 1, shape=(2, 2))), results=_q8(0.05, 4), version=2),
        Row("RELU6", (_q((3, 5), 0.05, 4),), results=_q8(0.04, -128), version=2),
    ],
}
