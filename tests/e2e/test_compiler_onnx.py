"""ONNX operators that the front end prepares before the import, against ONNX's own reference implementation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import webree
from tests.compiler_programs import onnx_model
from webree.compiler.api import compile
from webree.hal.device import Device

pytestmark = pytest.mark.native

FLOAT, INT64, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8
WIDTH, HEADS, ROWS = 64, 4, 100


def random(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng().standard_normal(shape).astype(np.float32)


def check(model: Any, inputs: Mapping[str, Any], device: Device, tolerance: float, **options: Any) -> None:
    model.ir_version = 10
    (expected, *_) = ReferenceEvaluator(model).run(None, dict(inputs))
    found = np.asarray(webree.load(compile(model, **options), device=device).main(*inputs.values()))
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64)).max()
    assert difference <= tolerance * max(1.0, np.abs(expected.astype(np.float64)).max())


@pytest.mark.parametrize("causal", [0, 1])
def test_attention(causal: int, device: Device) -> None:
    shapes = {"q": (1, HEADS, 5, 8), "k": (1, HEADS, 7, 8), "v": (1, HEADS, 7, 8)}
    model = onnx_model(
        [helper.make_node("Attention", ["q", "k", "v"], ["y"], is_causal=causal)],
        [(name, FLOAT, shape) for name, shape in shapes.items()],
        [("y", FLOAT, shapes["q"])],
        opset=23,
    )
    check(model, {name: random(*shape) for name, shape in shapes.items()}, device, 1e-5)


def test_loss(device: Device) -> None:
    model = onnx_model(
        [helper.make_node("SoftmaxCrossEntropyLoss", ["scores", "labels"], ["loss"], reduction="mean")],
        [("scores", FLOAT, [6, 5]), ("labels", INT64, [6])],
        [("loss", FLOAT, [])],
    )
    labels = np.random.default_rng().integers(0, 5, 6)
    check(model, {"scores": random(6, 5), "labels": labels}, device, 1e-5)


@pytest.mark.parametrize("shape", [(4, 8), (2, 4, 8)])
def test_quantized_matmul(shape: tuple[int, ...], device: Device) -> None:
    """The result may be off by one where a product lies between two steps."""
    chance = np.random.default_rng()
    left, right = (chance.integers(0, 256, size).astype(np.uint8) for size in (shape, (*shape[:-2], 8, 3)))
    scales = {"as": np.float32(0.02), "az": np.uint8(113), "bs": np.float32(0.03), "bz": np.uint8(121)}
    scales |= {"ys": np.float32(0.1), "yz": np.uint8(118)}
    model = onnx_model(
        [helper.make_node("QLinearMatMul", ["a", "as", "az", "b", "bs", "bz", "ys", "yz"], ["y"])],
        [("a", UINT8, left.shape), ("b", UINT8, right.shape)],
        [("y", UINT8, (*shape[:-1], 3))],
        [numpy_helper.from_array(np.array([value]), name) for name, value in scales.items()],
    )
    check(model, {"a": left, "b": right}, device, 1.0 / 255)


def _encoder() -> Any:
    """One block of a BERT-like encoder: int64 ids and mask, embeddings, attention, a feed-forward part."""
    weights = {name: 0.1 * random(ROWS, WIDTH) for name in ("tokens", "positions")}
    weights |= {name: 0.1 * random(WIDTH, WIDTH) for name in ("wq", "wk", "wv", "wo")}
    weights |= {"w1": 0.1 * random(WIDTH, 2 * WIDTH), "w2": 0.1 * random(2 * WIDTH, WIDTH)}
    weights |= {name: random(WIDTH) for name in ("scale1", "bias1", "scale2", "bias2")}
    constants = {
        **{"heads": np.array([0, 0, HEADS, WIDTH // HEADS]), "flat": np.array([0, 0, WIDTH]), "axes": np.array([1, 2])},
        **{"zero": np.array(0), "one": np.array(1), "real_one": np.float32(1), "low": np.float32(-10000)},
        **{"factor": np.float32((WIDTH // HEADS) ** -0.5)},
    }
    lines = """
        shape = Shape(ids); length = Gather(shape, one); range = Range(zero, length, one)
        token = Gather(tokens, ids); position = Gather(positions, range); sum = Add(token, position)
        x = LayerNormalization(sum, scale1, bias1)
        q0 = MatMul(x, wq); q1 = Reshape(q0, heads); q = Transpose(q1) 0 2 1 3
        k0 = MatMul(x, wk); k1 = Reshape(k0, heads); k = Transpose(k1) 0 2 3 1
        v0 = MatMul(x, wv); v1 = Reshape(v0, heads); v = Transpose(v1) 0 2 1 3
        s0 = MatMul(q, k); s1 = Mul(s0, factor)
        m0 = Cast(mask); m1 = Unsqueeze(m0, axes); m2 = Sub(real_one, m1); m3 = Mul(m2, low); s = Add(s1, m3)
        p = Softmax(s); c0 = MatMul(p, v); c1 = Transpose(c0) 0 2 1 3; c = Reshape(c1, flat); o = MatMul(c, wo)
        r = Add(o, x); y = LayerNormalization(r, scale2, bias2)
        f0 = MatMul(y, w1); f1 = Erf(f0); f2 = MatMul(f1, w2); out = Add(f2, y)
    """
    nodes = []
    for line in lines.replace("\n", ";").split(";"):
        if line.strip():
            result, call = line.strip().split(" = ")
            operator, rest = call.split("(")
            operands, order = rest.split(")")
            extra = {"perm": [int(axis) for axis in order.split()]} if order else {}
            extra |= {"to": FLOAT} if operator == "Cast" else {}
            nodes.append(helper.make_node(operator, operands.split(", "), [result], name=result, **extra))
    return onnx_model(
        nodes,
        [("ids", INT64, ["batch", "length"]), ("mask", INT64, ["batch", "length"])],
        [("out", FLOAT, ["batch", "length", WIDTH])],
        [numpy_helper.from_array(np.array(value), name) for name, value in {**weights, **constants}.items()],
    )


@pytest.mark.parametrize(
    ("dims", "profile"), [({}, "webgpu"), ({"batch": 1, "length": 32}, "webgpu-software")], ids=["dynamic", "static"]
)
def test_encoder_with_int64_ids(dims: dict[str, int], profile: str, device: Device) -> None:
    ids = np.random.default_rng().integers(0, ROWS, (1, 32))
    mask = (np.arange(32)[None] < 20).astype(np.int64)
    check(_encoder(), {"ids": ids, "mask": mask}, device, 1e-4, dims=dims, profile=profile)
