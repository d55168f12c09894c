"""Schedules of CPU kernels: every kind of kernel that they change, on fresh shapes and values, against ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import webree
from webree.codegen_cpu.schedules.tiles import CACHED_BYTES, COLUMNS, ROWS, WORKGROUPS, choose
from webree.codegen_wgsl.schedules.nest import Access, Nest

SEED = int.from_bytes(os.urandom(4), "little")
TOLERANCE = 2e-5

Array = np.ndarray[Any, Any]
Inputs = dict[str, tuple[Sequence[int | str], tuple[int, ...]]]
"""Name -> shape of the model (names of unknown sizes) and of the value."""


class Graph:
    """An ONNX graph in the making: nodes, weights from one random generator, results."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random, self.nodes, self.weights = random, list[Any](), list[Any]()

    def weight(self, *shape: int) -> str:
        """A constant; scaled, so that sums of many products stay near 1."""
        scale = 1.0 / np.sqrt(max(1, np.prod(shape[1:], dtype=np.int64) if len(shape) > 2 else shape[0]))
        values = (self.random.standard_normal(shape) * scale).astype(np.float32)
        return self.constant(values)

    def constant(self, values: Array) -> str:
        self.weights.append(numpy_helper.from_array(values, f"w{len(self.weights)}"))
        return str(self.weights[-1].name)

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def model(self, inputs: Inputs, result: str) -> bytes:
        graph = helper.make_graph(
            self.nodes,
            "graph",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, (shape, _) in inputs.items()],
            [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        data: bytes = onnx.shape_inference.infer_shapes(model).SerializeToString()
        return data


@pytest.fixture
def random() -> np.random.Generator:
    print("seed", SEED)
    return np.random.default_rng(SEED)


def check(graph: Graph, inputs: Inputs, result: str, target: str = "cpu") -> None:
    """Compile, run and compare."""
    data = graph.model(inputs, result)
    arrays = {name: graph.random.standard_normal(shape).astype(np.float32) for name, (_, shape) in inputs.items()}
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, arrays)
    with webree.load(webree.compile(data, target=target), device="cpu") as module:
        found = np.asarray(module.main(*arrays.values()))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE * max(1.0, np.abs(expected).max())


CONVOLUTIONS = {
    # channels, filters, kernel, size, strides, dilations, groups, batch, pads
    "3x3": (16, 24, (3, 3), (13, 17), 1, 1, 1, 1, 1),
    "odd channels": (5, 19, (3, 3), (9, 10), 1, 1, 1, 1, 1),
    "few filters": (6, 3, (3, 3), (8, 8), 1, 1, 1, 1, 0),
    "stride 2": (8, 16, (3, 3), (15, 14), 2, 1, 1, 1, 1),
    "dilation 2": (8, 8, (3, 3), (12, 11), 1, 2, 1, 1, 2),
    "batch": (8, 16, (3, 3), (7, 9), 1, 1, 1, 3, 1),
    "7x7, stride 2": (3, 32, (7, 7), (31, 29), 2, 1, 1, 1, 3),
    "image unpadded": (3, 16, (3, 3), (21, 23), 2, 1, 1, 1, 0),
    "1x1": (24, 40, (1, 1), (7, 7), 1, 1, 1, 1, 0),
    "1x1, odd": (7, 13, (1, 1), (5, 3), 1, 1, 1, 2, 0),
    "1x1, stride 2": (16, 24, (1, 1), (14, 13), 2, 1, 1, 1, 0),
    "1x5": (8, 16, (1, 5), (6, 20), 1, 1, 1, 1, 0),
    "grouped": (16, 32, (3, 3), (8, 9), 1, 1, 4, 1, 1),
    "depthwise": (20, 20, (3, 3), (11, 9), 1, 1, 20, 1, 1),
    "depthwise, stride 2": (24, 24, (3, 3), (15, 13), 2, 1, 24, 2, 1),
    "deep": (256, 136, (3, 3), (7, 5), 1, 1, 1, 1, 1),
    "deep, stride 2, dilation 2": (256, 128, (3, 3), (12, 11), 2, 2, 1, 2, 2),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name: str, random: np.random.Generator) -> None:
    channels, filters, kernel, size, stride, dilation, groups, batch, pad = CONVOLUTIONS[name]
    graph = Graph(random)
    y = graph.add(
        "Conv",
        "x",
        graph.weight(filters, channels // groups, *kernel),
        graph.weight(filters),
        kernel_shape=list(kernel),
        strides=[stride] * 2,
        dilations=[dilation] * 2,
        group=groups,
        pads=[pad] * 4,
    )
    shape = (batch, channels, *size)
    check(graph, {"x": (shape, shape)}, graph.add("Relu", y))


@pytest.mark.parametrize("rows", [1, 3, 7, 49])
@pytest.mark.parametrize(("depth", "columns"), [(33, 40), (64, 13), (17, 7), (1, 8)])
def test_products_with_constants(rows: int, depth: int, columns: int, random: np.random.Generator) -> None:
    graph = Graph(random)
    y = graph.add("Add", graph.add("MatMul", "x", graph.weight(depth, columns)), graph.weight(columns))
    check(graph, {"x": ((rows, depth), (rows, depth))}, graph.add("Add", graph.add("Relu", y), y))


@pytest.mark.parametrize("rows", [1, 4, 6, 37])
def test_unknown_rows(rows: int, random: np.random.Generator) -> None:
    graph = Graph(random)
    y = graph.add("MatMul", "x", graph.weight(24, 32))
    check(graph, {"x": (("rows", 24), (rows, 24))}, graph.add("Relu", y))


@pytest.mark.parametrize("batch", [1, 3])
def test_batches_share_their_constant(batch: int, random: np.random.Generator) -> None:
    graph = Graph(random)
    y = graph.add("MatMul", "x", graph.weight(24, 32))
    y = graph.add("MatMul", graph.add("Add", y, graph.weight(32)), graph.weight(1, 32, 18))
    check(graph, {"x": ((batch, 9, 24), (batch, 9, 24))}, y)


def test_columns_by_rows_of_weights(random: np.random.Generator) -> None:
    graph = Graph(random)
    check(graph, {"x": ((5, 24), (5, 24))}, graph.add("Gemm", "x", graph.weight(20, 24), graph.weight(20), transB=1))


@pytest.mark.parametrize("sizes", [(9, 16, 24), (7, 5, 11), (16, 8, 8)])
def test_products_of_computed_matrices(sizes: tuple[int, int, int], random: np.random.Generator) -> None:
    rows, depth, columns = sizes
    graph = Graph(random)
    inputs: Inputs = {
        "a": ((2, 3, rows, depth), (2, 3, rows, depth)),
        "b": ((2, 3, depth, columns), (2, 3, depth, columns)),
    }
    check(graph, inputs, graph.add("Softmax", graph.add("MatMul", "a", "b"), axis=-1))


@pytest.mark.parametrize("columns", [48, 13])
def test_a_feed_forward_block(columns: int, random: np.random.Generator) -> None:
    graph = Graph(random)
    f = graph.add("Add", graph.add("MatMul", "x", graph.weight(24, columns)), graph.weight(columns))
    root, half, one = (graph.constant(np.array(value, np.float32)) for value in (2**0.5, 0.5, 1.0))
    e = graph.add("Add", graph.add("Erf", graph.add("Div", f, root)), one)
    y = graph.add(
        "Add", graph.add("MatMul", graph.add("Mul", graph.add("Mul", f, half), e), graph.weight(columns, 24)), "x"
    )
    y = graph.add("LayerNormalization", y, graph.weight(24), graph.weight(24), axis=-1)
    check(graph, {"x": ((1, 10, 24), (1, 10, 24))}, y)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(("channels", "stride", "pad"), [(16, 1, 1), (5, 2, 0), (8, 2, 1)])
def test_poolings(op: str, channels: int, stride: int, pad: int, random: np.random.Generator) -> None:
    graph = Graph(random)
    y = graph.add("Conv", "x", graph.weight(channels, 3, 1, 1))
    y = graph.add(op, y, kernel_shape=[3, 3], strides=[stride] * 2, pads=[pad] * 4)
    check(graph, {"x": ((1, 3, 13, 12), (1, 3, 13, 12))}, y)


@pytest.mark.parametrize("rows", [(3, 128), (7, 33), (2, 3, 4, 50), (5, 1)])
def test_softmax(rows: tuple[int, ...], random: np.random.Generator) -> None:
    graph = Graph(random)
    check(graph, {"x": (rows, rows)}, graph.add("Softmax", "x", axis=-1))


def test_weights_shared_with_another_target(random: np.random.Generator) -> None:
    """Without panels: 3x3 and 1x1 convolutions, a product, one with transposed weights."""
    graph = Graph(random)
    y = graph.add("Conv", "x", graph.weight(16, 3, 3, 3), graph.weight(16), strides=[2, 2])
    y = graph.add("Conv", graph.add("Relu", y), graph.weight(24, 16, 1, 1))
    y = graph.add("Relu", graph.add("Conv", y, graph.weight(20, 24, 3, 3), pads=[1] * 4))
    y = graph.add("MatMul", y, graph.weight(9, 24))
    y = graph.add("Reshape", y, graph.constant(np.array([-1, 24], np.int64)))
    y = graph.add("Gemm", y, graph.weight(12, 24), graph.weight(12), transB=1)
    check(graph, {"x": ((1, 3, 21, 19), (1, 3, 21, 19))}, y, "webgpu,cpu")


@pytest.mark.parametrize("target", ["cpu", "webgpu,cpu"])
@pytest.mark.parametrize(("channels", "filters", "length"), [(16, 24, 30), (5, 10, 13)])
def test_one_dimensional_convolutions(
    channels: int, filters: int, length: int, target: str, random: np.random.Generator
) -> None:
    graph = Graph(random)
    y = graph.add("Conv", "x", graph.weight(filters, channels, 5), graph.weight(filters), kernel_shape=[5])
    check(graph, {"x": ((1, channels, length), (1, channels, length))}, graph.add("Relu", y), target)


def test_a_constant_start_is_added(random: np.random.Generator) -> None:
    """Products that accumulate on something other than zeros."""
    source = """
    func.func @main(%x: tensor<6x16xf32>, %start: tensor<6x24xf32>) -> tensor<6x24xf32> {
      %w = arith.constant dense<WEIGHTS> : tensor<16x24xf32>
      %y = linalg.matmul ins(%x, %w : tensor<6x16xf32>, tensor<16x24xf32>) outs(%start : tensor<6x24xf32>)
           -> tensor<6x24xf32>
      return %y : tensor<6x24xf32>
    }"""
    w = random.standard_normal((16, 24)).astype(np.float32)
    x, start = (random.standard_normal(shape).astype(np.float32) for shape in ((6, 16), (6, 24)))
    source = source.replace("WEIGHTS", f'"0x{w.astype("<f4").tobytes().hex().upper()}"')
    with webree.load(webree.compile(source.encode(), target="cpu"), device="cpu") as module:
        np.testing.assert_allclose(module.main(x, start), start + x @ w, rtol=1e-5, atol=1e-5)


def test_weights_become_panels(random: np.random.Generator) -> None:
    graph = Graph(random)
    y = graph.add("MatMul", "x", graph.weight(24, 20))
    data = graph.model({"x": ((5, 24), (5, 24))}, y)
    text = webree.compile(data, target="cpu", compile_to="flow").decode()
    assert "tensor<3x24x8xf32>" in text
    assert "tensor<24x20xf32>" not in text
    shared = webree.compile(data, target="webgpu,cpu", compile_to="flow").decode()
    assert "x8xf32>" not in shared


def product(rows: int | None, panels: int, depth: int) -> Nest:
    """The nest of a product with weights in panels: loops row, panel, column, k."""

    def access(*loops: int) -> Access:
        return Access(tuple(((loop, 1),) for loop in loops), 32)

    return Nest(
        ranges=(rows, panels, COLUMNS, depth),
        reductions=(False, False, False, True),
        inputs=(access(0, 3), access(1, 3, 2)),
        outputs=(access(0, 1, 2),),
        straight=True,
    )


BODY = ("arith.mulf", "arith.addf")


@pytest.mark.parametrize("rows", [1, 2, 49, 196, 12544, None])
@pytest.mark.parametrize("panels", [1, 7, 64, 250])
@pytest.mark.parametrize("depth", [16, 512, 4608])
def test_tiles_of_products(rows: int | None, panels: int, depth: int) -> None:
    tiling = choose(product(rows, panels, depth), BODY)
    assert tiling is not None
    row, panel, column, k = tiling.workgroup
    assert tiling.vector == (min(ROWS, row), 1, COLUMNS, 0)
    assert tiling.steps == (0, 0, 0, 1)
    assert (column, k) == (0, 0)
    assert rows is None or rows % row == 0
    assert panel * COLUMNS * 4 * depth <= max(CACHED_BYTES, COLUMNS * 4 * depth)
    count = (1 if rows is None else rows // row) * -(-panels // panel)
    by_cache = -(-panels * COLUMNS * 4 * depth // CACHED_BYTES)
    assert count <= 4 * max(WORKGROUPS, by_cache)


def test_unknown_bodies_are_left_alone() -> None:
    assert choose(product(8, 4, 16), ("arith.mulf", "arith.subf")) is None
    integers = product(8, 4, 16)
    narrow = tuple(Access(access.dims, 16) for access in integers.inputs)
    assert choose(Nest(integers.ranges, integers.reductions, narrow, integers.outputs, True), BODY) is None
