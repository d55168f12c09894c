"""A small GPT as exporters write one to ONNX: keys and values of earlier tokens go in and come out longer.

Enters: a seed. Leaves: a file. Inputs `input_ids [batch, sequence]` and `attention_mask [batch, total]` (i64), and
per layer `past_key_values.N.key` and `.value [batch, heads, past, size]`; outputs `logits [batch, sequence, V]` and
`present.N.key` and `.value [batch, heads, total, size]`: the names and symbolic sizes of Hugging Face's exporter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["HEADS", "HEAD_SIZE", "LAYERS", "VOCABULARY", "onnx_gpt"]

LAYERS, HEADS, HEAD_SIZE, VOCABULARY, POSITIONS = 2, 4, 16, 160, 64
WIDTH = HEADS * HEAD_SIZE


class _Graph:
    """Nodes and constants, named as they come."""

    def __init__(self, seed: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(seed)
        self._count = 0

    def __call__(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        self._count += 1
        output = output or f"v{self._count}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def constant(self, values: Any) -> str:
        self._count += 1
        self.constants.append(numpy_helper.from_array(np.asarray(values), f"c{self._count}"))
        return self.constants[-1].name

    def weights(self, *shape: int, size: float) -> str:
        return self.constant(self._random.normal(0, size, shape).astype(np.float32))

    def linear(self, x: str, inputs: int, outputs: int) -> str:
        product = self("MatMul", x, self.weights(inputs, outputs, size=2 / inputs**0.5))
        return self("Add", product, self.weights(outputs, size=0.1))

    def norm(self, x: str) -> str:
        scale = self.constant(self._random.uniform(0.5, 1.5, WIDTH).astype(np.float32))
        return self("LayerNormalization", x, scale, self.weights(WIDTH, size=0.1), axis=-1)

    def heads(self, x: str) -> str:
        split = self("Reshape", x, self.constant([0, 0, HEADS, HEAD_SIZE]))
        return self("Transpose", split, perm=[0, 2, 1, 3])


def onnx_gpt(seed: int) -> bytes:
    """The model."""
    g = _Graph(seed)
    table = g.weights(VOCABULARY, WIDTH, size=0.3)
    sequence = g("Shape", "input_ids", start=1, end=2)
    total = g("Shape", "attention_mask", start=1, end=2)
    past = g("Sub", total, sequence)
    scalars = [g("Squeeze", value, g.constant([0])) for value in (past, total)]
    one = g.constant(np.int64(1))
    places = g("Range", scalars[0], scalars[1], one)
    every = g("Range", g.constant(np.int64(0)), scalars[1], one)
    x = g("Add", g("Gather", table, "input_ids"), g("Gather", g.weights(POSITIONS, WIDTH, size=0.3), places))
    seen = g("LessOrEqual", g("Unsqueeze", every, g.constant([0])), g("Unsqueeze", places, g.constant([1])))
    kept = g("Cast", g("Unsqueeze", "attention_mask", g.constant([1, 2])), to=TensorProto.BOOL)
    seen = g("And", g("Unsqueeze", seen, g.constant([0, 1])), kept)
    zero, masked = (g.constant(np.float32(value)) for value in (0, np.finfo(np.float32).min))
    bias = g("Where", seen, zero, masked)
    for layer in range(LAYERS):
        normed = g.norm(x)
        q, k, v = (g.heads(g.linear(normed, WIDTH, WIDTH)) for _ in range(3))
        k = g("Concat", f"past_key_values.{layer}.key", k, axis=2, output=f"present.{layer}.key")
        v = g("Concat", f"past_key_values.{layer}.value", v, axis=2, output=f"present.{layer}.value")
        scores = g("MatMul", q, g("Transpose", k, perm=[0, 1, 3, 2]))
        scores = g("Add", g("Mul", scores, g.constant(np.float32(HEAD_SIZE**-0.5))), bias)
        mixed = g("Transpose", g("MatMul", g("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
        x = g("Add", x, g.linear(g("Reshape", mixed, g.constant([0, 0, WIDTH])), WIDTH, WIDTH))
        inner = g("Gelu", g.linear(g.norm(x), WIDTH, 4 * WIDTH), approximate="tanh")
        x = g("Add", x, g.linear(inner, 4 * WIDTH, WIDTH))
    g("MatMul", g.norm(x), g("Transpose", table, perm=[1, 0]), output="logits")
    return _model(g)


def _model(g: _Graph) -> bytes:
    def cache(kind: str, length: str) -> list[onnx.ValueInfoProto]:
        sizes = ["batch", HEADS, length, HEAD_SIZE]
        names = [f"{kind}.{layer}.{part}" for layer in range(LAYERS) for part in ("key", "value")]
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name in names]

    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])
    mask = helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "total"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "sequence", VOCABULARY])
    inputs = [ids, mask, *cache("past_key_values", "past")]
    graph = helper.make_graph(g.nodes, "gpt", inputs, [logits, *cache("present", "total")], g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
