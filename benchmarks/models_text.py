"""Encoders of text as ONNX files: BERT's layers as in MiniLM, and MobileBERT.

Enters: sizes, and a seed or stored weights under the names that PyTorch checkpoints of these models use. Leaves: an
`onnx.ModelProto`, batch 1, token numbers i64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto

from benchmarks.graph import Graph, Weights

__all__ = ["bert_sentence_encoder", "mobilebert"]

POSITIONS = 512  # what both models were trained for


def _penalty(graph: Graph) -> str:
    """f32[1,1,1,tokens]: 0 where `attention_mask` is 1, far below every score where it is 0."""
    mask = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    absent = graph.add("Sub", graph.scalar(1.0), mask)
    return graph.add("Mul", graph.add("Unsqueeze", absent, graph.integers(1, 2)), graph.scalar(-1e4))


def _attention(graph: Graph, query: str, key: str, value: str, penalty: str, *, shape: tuple[int, int, int]) -> str:
    """Softmax attention of projected rows; `shape` is tokens, heads, width of a head."""
    tokens, heads, width = shape
    split = graph.integers(1, tokens, heads, width)
    query, key, value = (graph.add("Reshape", x, split) for x in (query, key, value))
    query, value = (graph.add("Transpose", x, perm=[0, 2, 1, 3]) for x in (query, value))
    scores = graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 2, 3, 1]))
    scores = graph.add("Add", graph.add("Mul", scores, graph.scalar(1 / math.sqrt(width))), penalty)
    mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
    return graph.add(
        "Reshape", graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), graph.integers(1, tokens, heads * width)
    )


def bert_sentence_encoder(
    seed: int = 0,
    stored: Mapping[str, Weights] | None = None,
    *,
    tokens: int = 128,
    vocabulary: int = 30522,
    layers: int = 6,
    width: int = 384,
    heads: int = 12,
) -> onnx.ModelProto:
    """A sentence encoder of all-MiniLM-L6-v2's shape: token numbers and mask -> a vector of length 1.

    i64[1,tokens] twice -> f32[1,width], after https://arxiv.org/abs/1810.04805 and https://arxiv.org/abs/2002.10957:
    embeddings of words, positions and the first segment; attention and a hidden layer with GELU, each with a residual
    and a normalisation; the mean over the tokens that the mask has, divided by its 2-norm.
    """
    graph = Graph(seed, stored)

    def normalized(x: str, name: str) -> str:
        scale, bias = graph.scale(f"{name}.weight", width), graph.bias(f"{name}.bias", width)
        return graph.add("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-12)

    def table(name: str, rows: int) -> Weights:
        return graph.values(f"embeddings.{name}.weight", (rows, width), graph.random.normal(0, 1, (rows, width)))

    words = graph.constant("words", table("word_embeddings", vocabulary))
    first_segment = table("token_type_embeddings", 2)[0]
    places = graph.constant("places", table("position_embeddings", POSITIONS)[:tokens] + first_segment)
    penalty = _penalty(graph)
    x = graph.add("Add", graph.add("Gather", words, "input_ids"), places)
    x = normalized(x, "embeddings.LayerNorm")
    for layer in range(layers):
        name = f"encoder.layer.{layer}"
        query, key, value = (
            graph.dense(x, f"{name}.attention.self.{part}", width, width) for part in ("query", "key", "value")
        )
        mixed = _attention(graph, query, key, value, penalty, shape=(tokens, heads, width // heads))
        attended = graph.dense(mixed, f"{name}.attention.output.dense", width, width)
        x = normalized(graph.add("Add", x, attended), f"{name}.attention.output.LayerNorm")
        hidden = graph.dense(x, f"{name}.intermediate.dense", width, 4 * width)
        error = graph.add("Erf", graph.add("Div", hidden, graph.scalar(math.sqrt(2.0))))
        gate = graph.add("Mul", graph.add("Add", error, graph.scalar(1.0)), graph.scalar(0.5))
        output = graph.dense(graph.add("Mul", hidden, gate), f"{name}.output.dense", 4 * width, width)
        x = normalized(graph.add("Add", x, output), f"{name}.output.LayerNorm")
    # Dividing by the number of tokens first would change nothing: the result's length is 1.
    kept = graph.add("Unsqueeze", graph.add("Cast", "attention_mask", to=TensorProto.FLOAT), graph.integers(2))
    total = graph.add("ReduceSum", graph.add("Mul", x, kept), graph.integers(1), keepdims=0)
    embedding = graph.add("Div", total, graph.add("ReduceL2", total, axes=[-1], keepdims=1))
    integers = {name: (TensorProto.INT64, [1, tokens]) for name in ("input_ids", "attention_mask")}
    return graph.model("sentence_encoder", integers, {"embedding": (embedding, [1, width])})


def mobilebert(
    seed: int = 0,
    stored: Mapping[str, Weights] | None = None,
    *,
    tokens: int = 128,
    vocabulary: int = 30522,
    layers: int = 24,
) -> onnx.ModelProto:
    """MobileBERT with a head that finds answers in a text: i64[1,tokens] three times -> f32[1,tokens] twice.

    https://arxiv.org/abs/2004.02984, table 1: 24 layers of 512 columns, bottlenecks of 128 with 4 heads and 4 hidden
    layers each, no layer normalisation but a factor and an addend per column, ReLU, words embedded in 128 columns
    beside their neighbours. Inputs: token numbers, mask, segments. Outputs: logits of the answer's start and end.
    """
    graph = Graph(seed, stored)
    body, inner, words_width, heads = 512, 128, 128, 4

    # Random weights make branches small beside what they are added to, as training does, and keep the sums around 1:
    # 24 layers without a normalisation would amplify every rounding otherwise.
    branch = 0.2

    def affine(x: str, name: str, width: int, *, middle: float = 1.0) -> str:
        """What the paper has in place of a layer normalisation."""
        scaled = graph.add("Mul", x, graph.scale(f"{name}.weight", width, middle=middle))
        return graph.add("Add", scaled, graph.bias(f"{name}.bias", width))

    def plus(x: str, y: str, name: str, width: int = inner) -> str:
        return affine(graph.add("Add", y, x), f"{name}.LayerNorm", width, middle=(1 + branch) ** -0.5)

    def table(name: str, rows: int, width: int) -> str:
        drawn = graph.random.normal(0, 1, (rows, width))
        return graph.constant(name, graph.values(f"embeddings.{name}.weight", (rows, width), drawn))

    def hidden_layer(x: str, name: str) -> str:
        inside = graph.add("Relu", graph.dense(x, f"{name}.intermediate.dense", inner, 4 * inner, gain=2.0))
        return plus(x, graph.dense(inside, f"{name}.output.dense", 4 * inner, inner, gain=branch), f"{name}.output")

    def bottleneck(x: str, name: str) -> str:
        return affine(graph.dense(x, f"{name}.dense", body, inner), f"{name}.LayerNorm", inner)

    words = graph.add("Gather", table("word_embeddings", vocabulary, words_width), "input_ids")
    x = graph.dense(_beside_neighbours(graph, words), "embeddings.embedding_transformation", 3 * words_width, body)
    positions = graph.add(
        "Slice", table("position_embeddings", POSITIONS, body), graph.integers(0), graph.integers(tokens)
    )
    segments = graph.add("Gather", table("token_type_embeddings", 2, body), "token_type_ids")
    x = affine(graph.add("Add", graph.add("Add", x, positions), segments), "embeddings.LayerNorm", body, middle=3**-0.5)
    penalty = _penalty(graph)
    for layer in range(layers):
        name = f"encoder.layer.{layer}"
        shared = bottleneck(x, f"{name}.bottleneck.attention")  # what queries and keys are made of
        y = bottleneck(x, f"{name}.bottleneck.input")
        query = graph.dense(shared, f"{name}.attention.self.query", inner, inner)
        key = graph.dense(shared, f"{name}.attention.self.key", inner, inner)
        value = graph.dense(x, f"{name}.attention.self.value", body, inner)
        mixed = _attention(graph, query, key, value, penalty, shape=(tokens, heads, inner // heads))
        attended = graph.dense(mixed, f"{name}.attention.output.dense", inner, inner, gain=branch)
        y = plus(y, attended, f"{name}.attention.output")
        for number in range(3):
            y = hidden_layer(y, f"{name}.ffn.{number}")
        y = hidden_layer(y, name)
        widened = graph.dense(y, f"{name}.output.bottleneck.dense", inner, body, gain=branch)
        x = plus(x, widened, f"{name}.output.bottleneck", body)
    logits = graph.dense(x, "qa_outputs", body, 2)
    start, end = (graph.add("Gather", logits, graph.constant(f"n{n}", np.array(n, np.int64)), axis=2) for n in (0, 1))
    integers = {name: (TensorProto.INT64, [1, tokens]) for name in ("input_ids", "attention_mask", "token_type_ids")}
    return graph.model("mobilebert", integers, {"start_logits": (start, [1, tokens]), "end_logits": (end, [1, tokens])})


def _beside_neighbours(graph: Graph, x: str) -> str:
    """f32[1,tokens,w] -> f32[1,tokens,3w]: the next row, the row, the row before; zeros beyond the ends."""
    from_second = graph.integers(1), graph.integers(np.iinfo(np.int64).max), graph.integers(1)
    following = graph.add("Pad", graph.add("Slice", x, *from_second), graph.integers(0, 0, 0, 0, 1, 0))
    to_last = graph.integers(0), graph.integers(-1), graph.integers(1)
    previous = graph.add("Pad", graph.add("Slice", x, *to_last), graph.integers(0, 1, 0, 0, 0, 0))
    return graph.add("Concat", following, x, previous, axis=2)
