"""Structured ops, as ONNX nodes: products, convolutions, pooling, gathering, sorting, moving, reducing.

Enters: rows of the table, a seed. Leaves: one ONNX model with all rows as nodes side by side, each with inputs and
outputs of its own, and random inputs for it. Many nodes share a model, so that it is compiled once.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.ops.values import Array

__all__ = ["NODES", "Node", "inputs_of", "model_of"]


@dataclass(frozen=True)
class Tensor:
    """An operand, a constant or an input: given values, or random numbers of a shape between two bounds."""

    shape: tuple[int, ...] = ()
    dtype: Any = np.float32
    low: float = -2
    high: float = 2
    values: Any = None
    constant: bool = False

    def make(self, random: np.random.Generator) -> Array:
        if self.values is not None:
            return np.array(self.values, self.dtype)
        if np.dtype(self.dtype).kind == "b":
            return random.integers(0, 2, self.shape).astype(bool)
        if np.dtype(self.dtype).kind in "iu":
            return random.integers(int(self.low), int(self.high), self.shape).astype(self.dtype)
        return random.uniform(self.low, self.high, self.shape).astype(self.dtype)


def _f(*shape: int, low: float = -2, high: float = 2) -> Tensor:
    return Tensor(shape, low=low, high=high)


def _w(*shape: int) -> Tensor:
    """Weights."""
    return Tensor(shape, constant=True)


def _i(*shape: int, low: float = -50, high: float = 50, dtype: Any = np.int32) -> Tensor:
    return Tensor(shape, dtype, low, high)


def _c(*values: Any) -> Tensor:
    """Constant 64-bit integers: axes, shapes, pads."""
    return Tensor(values=list(values), dtype=np.int64, constant=True)


def _scalar(value: Any, dtype: Any) -> Tensor:
    return Tensor(values=value, dtype=dtype, constant=True)


@dataclass(frozen=True)
class Node:
    """A row: `onnx.name` in the lists of what is known."""

    name: str
    op: str
    operands: Sequence[Tensor | None]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = 1
    relative: float = 1e-5


def _node(name: str, operands: Sequence[Tensor | None], outputs: int = 1, **attributes: Any) -> Node:
    return Node(f"onnx.{name}", name.partition(".")[0], operands, attributes, outputs)


_PADS = [1, 1, 1, 1]
_IMAGE = _f(2, 6, 9, 11)
_INDICES = Tensor(values=[[0, 2], [-1, 1]], dtype=np.int64)

NODES: tuple[Node, ...] = (
    _node("MatMul.vectors", [_f(17), _f(17)]),
    _node("MatMul.matrix_vector", [_f(5, 17), _f(17)]),
    _node("MatMul.odd", [_f(7, 33), _f(33, 19)]),
    _node("MatMul.tiles", [_f(64, 128), _f(128, 32)]),
    _node("MatMul.weights", [_f(3, 40), _w(40, 24)]),
    _node("MatMul.batch", [_f(2, 3, 5, 8), _f(2, 3, 8, 7)]),
    _node("MatMul.broadcast", [_f(4, 5, 8), _w(8, 12)]),
    _node("MatMul.i32", [_i(5, 9), _i(9, 6)]),
    _node("Gemm.transposed", [_f(9, 4), _f(6, 9), _f(6)], transA=1, transB=1, alpha=0.5, beta=2.0),
    _node("Einsum", [_f(3, 4, 5), _f(3, 5, 6)], equation="bij,bjk->bik"),
    _node("Conv.same", [_IMAGE, _w(8, 6, 3, 3), _w(8)], pads=_PADS),
    _node("Conv.stride", [_IMAGE, _w(8, 6, 3, 3)], strides=[2, 2], pads=_PADS),
    _node("Conv.dilated", [_IMAGE, _w(4, 6, 3, 3)], dilations=[2, 2]),
    _node("Conv.group", [_IMAGE, _w(9, 2, 3, 3)], group=3, pads=_PADS),
    _node("Conv.depthwise", [_IMAGE, _w(6, 1, 3, 3), _w(6)], group=6, pads=_PADS),
    _node("Conv.pointwise", [_IMAGE, _w(16, 6, 1, 1)]),
    _node("Conv.dynamic_weights", [_f(1, 4, 8, 8), _f(4, 4, 3, 3)], pads=_PADS),
    _node("Conv.1d", [_f(2, 5, 20), _w(7, 5, 4)], strides=[2]),
    _node("Conv.3d", [_f(1, 2, 5, 6, 7), _w(4, 2, 2, 3, 2)]),
    _node("ConvTranspose", [_f(1, 4, 5, 6), _w(4, 3, 3, 3)], strides=[2, 2], pads=_PADS),
    _node("MaxPool", [_IMAGE], kernel_shape=[3, 3], strides=[2, 2], pads=_PADS),
    _node("AveragePool", [_IMAGE], kernel_shape=[2, 3], strides=[2, 1]),
    _node("AveragePool.padded", [_IMAGE], kernel_shape=[3, 3], pads=_PADS, count_include_pad=0),
    _node("GlobalAveragePool", [_IMAGE]),
    _node("GlobalMaxPool", [_IMAGE]),
    _node("Softmax.last", [_f(5, 37)], axis=-1),
    _node("Softmax.middle", [_f(3, 17, 4)], axis=1),
    _node("LogSoftmax", [_f(5, 37)], axis=-1),
    _node("LayerNormalization", [_f(4, 48), _w(48), _w(48)], axis=-1),
    _node("BatchNormalization", [_IMAGE, _w(6), _w(6), _w(6), Tensor((6,), low=0.5, high=2, constant=True)]),
    _node("InstanceNormalization", [_IMAGE, _w(6), _w(6)]),
    _node("Gather", [_f(6, 7), _INDICES], axis=0),
    _node("Gather.columns", [_f(6, 7), _INDICES], axis=1),
    _node("GatherElements", [_f(3, 3), Tensor(values=[[0, 2, 1], [1, 1, 0]], dtype=np.int64)], axis=0),
    _node("GatherND", [_f(4, 5, 6), Tensor(values=[[0, 1], [3, 4], [2, 2]], dtype=np.int64)]),
    _node("ScatterElements", [_f(3, 4), Tensor(values=[[0, 2, 1, 0]], dtype=np.int64), _f(1, 4)], axis=0),
    _node("ScatterND", [_f(5, 6), Tensor(values=[[1], [4]], dtype=np.int64), _f(2, 6)]),
    _node("Transpose", [_f(3, 5, 7)], perm=[2, 0, 1]),
    _node("Transpose.i64", [_i(6, 10, dtype=np.int64)], perm=[1, 0]),
    _node("Concat", [_f(3, 4), _f(3, 5), _f(3, 2)], axis=1),
    _node("Slice", [_f(9, 10), _c(1, 2), _c(8, 9), _c(0, 1), _c(2, 3)]),
    _node("Slice.backwards", [_f(9, 10), _c(-1), _c(-9), _c(1), _c(-2)]),
    _node("Split", [_f(4, 9), _c(2, 3, 4)], outputs=3, axis=1),
    _node("Pad", [_f(3, 5), _c(1, 2, 0, 3), _scalar(0.5, np.float32)]),
    _node("Pad.reflect", [_f(3, 5), _c(1, 2, 1, 3)], mode="reflect"),
    _node("Pad.edge", [_f(3, 5), _c(1, 2, 1, 3)], mode="edge"),
    _node("Tile", [_f(2, 3), _c(2, 3)]),
    _node("Expand", [_f(3, 1, 4), _c(2, 3, 5, 4)]),
    _node("Where", [Tensor((4, 5), np.bool_), _f(4, 5), _f(5)]),
    _node("DepthToSpace", [_f(1, 8, 3, 4)], blocksize=2),
    _node("SpaceToDepth", [_f(1, 2, 6, 8)], blocksize=2),
    _node("Resize.nearest", [_f(1, 2, 4, 5), None, _scalar([1, 1, 2, 2], np.float32)], mode="nearest"),
    _node("Resize.linear", [_f(1, 2, 4, 5), None, _scalar([1, 1, 2, 2], np.float32)], mode="linear"),
    _node("Trilu", [_f(5, 6)], upper=0),
    _node("OneHot", [_i(7, low=0, high=5, dtype=np.int64), _scalar(5, np.int64), _scalar([0, 1], np.float32)]),
    _node("CumSum", [_f(4, 9), _scalar(1, np.int64)]),
    _node("TopK", [_f(4, 16), _c(5)], outputs=2, axis=1),
    _node("ArgMax", [_f(6, 25)], axis=1, keepdims=0),
    _node("ArgMin", [_f(6, 25)], axis=0, keepdims=1),
    *(
        _node(f"{op}.{axis}", [_f(5, 6, 31, low=low), _c(axis)], keepdims=0)
        for op, low in (
            ("ReduceSum", -2),
            ("ReduceMean", -2),
            ("ReduceMax", -2),
            ("ReduceMin", -2),
            ("ReduceProd", 0.8),
            ("ReduceL2", -2),
            ("ReduceLogSumExp", -2),
        )
        for axis in (0, 2)
    ),
    _node("ReduceSum.i32", [_i(5, 40), _c(1)], keepdims=0),
    _node("ReduceSum.i64", [_i(5, 40, dtype=np.int64), _c(1)], keepdims=0),
    _node("ReduceMax.i8", [_i(5, 40, dtype=np.int8), _c(1)], keepdims=0),
    _node("QuantizeLinear", [_f(5, 7), _scalar(0.03, np.float32), _scalar(10, np.uint8)]),
    _node(
        "DequantizeLinear",
        [_i(5, 7, low=0, high=255, dtype=np.uint8), _scalar(0.03, np.float32), _scalar(10, np.uint8)],
    ),
    _node("MatMulInteger", [_i(4, 9, dtype=np.int8), _i(9, 5, dtype=np.int8)]),
    _node("Gelu", [_f(4, 9)]),
    _node("HardSwish", [_f(4, 9, low=-5, high=5)]),
    _node("LeakyRelu", [_f(4, 9)], alpha=0.1),
    _node("PRelu", [_f(4, 9), _w(9)]),
    _node("Elu", [_f(4, 9)]),
    _node("Selu", [_f(4, 9)]),
    _node("Softplus", [_f(4, 9)]),
    _node("Sigmoid", [_f(4, 9)]),
    _node("Mish", [_f(4, 9)]),
    _node("Clip", [_f(4, 9), _scalar(-1, np.float32), _scalar(1, np.float32)]),
    _node("Mod", [_i(4, 9), _scalar(7, np.int32)]),
    _node("Pow.i32_exponent", [_f(4, 9), Tensor((9,), np.int32, 0, 5)]),
    _node("Cast", [_f(4, 9, low=-100, high=100)], to=onnx.TensorProto.INT32),
)

_OPSET, _IR = 20, 9


def _name(node: Node, index: int) -> str:
    return f"{node.name}.{index}".replace(".", "_")


def model_of(nodes: Sequence[Node], seed: int) -> bytes:
    """One ONNX model; constants are drawn from the seed."""
    made, inputs, initializers, outputs = [], [], [], []
    for node in nodes:
        names = []
        for index, (operand, values) in enumerate(zip(node.operands, _values(node, seed), strict=True)):
            if operand is None or values is None:
                names.append("")
                continue
            names.append(_name(node, index))
            if operand.constant:
                initializers.append(numpy_helper.from_array(values, names[-1]))
            else:
                kind = helper.np_dtype_to_tensor_dtype(values.dtype)
                inputs.append(helper.make_tensor_value_info(names[-1], kind, values.shape))
        results = [f"{_name(node, index)}_out" for index in range(node.outputs)]
        made.append(helper.make_node(node.op, names, results, name=node.name, **node.attributes))
        outputs += [onnx.ValueInfoProto(name=result) for result in results]
    graph = helper.make_graph(made, "nodes", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    return inferred.SerializeToString()


def inputs_of(nodes: Sequence[Node], seed: int) -> dict[str, Array]:
    """The model's inputs by name, in order."""
    return {
        _name(node, index): values
        for node in nodes
        for index, (operand, values) in enumerate(zip(node.operands, _values(node, seed), strict=True))
        if operand is not None and values is not None and not operand.constant
    }


def _values(node: Node, seed: int) -> list[Array | None]:
    random = np.random.default_rng([seed, zlib.crc32(node.name.encode())])
    return [None if operand is None else operand.make(random) for operand in node.operands]
