"""Model files for tests and benchmarks: real architectures with random weights, made on the spot.

Enters: a name of `MODELS`, a seed. Leaves: an ONNX file (opset 13 to 17, batch 1, f32) whose weights are drawn from
that seed: the same seed gives the same bytes. No weights are shipped: MobileNetV2 is built here layer by layer after
its paper (https://arxiv.org/abs/1801.04381, table 2, with batch normalisation folded into the convolutions);
SqueezeNet, ShuffleNet, ResNet-50, … are the `light` graphs of the `onnx` wheel, whose weights are `ConstantOfShape`
nodes that are replaced here.

Weights are scaled by their fan-in (He et al.), so that activations stay around 1 through the deepest model and a
wrong kernel shows in the output.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx.version_converter
from onnx import TensorProto, helper, numpy_helper

__all__ = ["MODELS", "input_shape", "light", "main", "minilm_l6", "mobilenet_v2", "random_input", "write"]

Weights = npt.NDArray[np.float32]

# (expansion, output channels, repeats, stride of the first): table 2 of the paper.
_BOTTLENECKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class _Graph:
    """Nodes and initialisers in the making, with one random generator behind all weights."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        """Append a node with one result; returns the result's name."""
        result = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [result], name=result, **attributes))
        return result

    def constant(self, name: str, values: npt.NDArray[np.generic]) -> str:
        """Add an initialiser; returns its name."""
        self.initializers.append(numpy_helper.from_array(values, name))
        return name

    def weights(self, name: str, *shape: int) -> str:
        """Add random weights, laid out as ONNX convolutions and `Gemm` with `transB` have them (outputs first)."""
        return self.constant(name, _fan_in_scaled(self.random, shape))

    def bias(self, name: str, count: int) -> str:
        """Add a small random bias."""
        return self.constant(name, self.random.normal(0.0, 0.1, count).astype(np.float32))

    def convolution(self, x: str, inputs: int, outputs: int, *, kernel: int, stride: int = 1, group: int = 1) -> str:
        """Append a convolution with bias and "same" padding."""
        name = f"conv_{len(self.nodes)}"
        weights = self.weights(f"{name}.weight", outputs, inputs // group, kernel, kernel)
        bias = self.bias(f"{name}.bias", outputs)
        pad = kernel // 2
        return self.add(
            "Conv", x, weights, bias, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, group=group
        )

    def relu6(self, x: str) -> str:
        """Append a clip to [0, 6]."""
        return self.add("Clip", x, "zero", "six")


def _fan_in_scaled(random: np.random.Generator, shape: tuple[int, ...]) -> Weights:
    fan_in = max(1, math.prod(shape[1:]))
    return random.normal(0.0, math.sqrt(2.0 / fan_in), shape).astype(np.float32)


def mobilenet_v2(seed: int = 0, *, size: int = 224, classes: int = 1000) -> onnx.ModelProto:
    """MobileNetV2 1.0 with random weights: f32[1,3,size,size] -> f32[1,classes]."""
    graph = _Graph(seed)
    graph.constant("zero", np.float32(0.0).reshape(()))
    graph.constant("six", np.float32(6.0).reshape(()))
    x = graph.relu6(graph.convolution("image", 3, 32, kernel=3, stride=2))
    channels = 32
    for expansion, outputs, repeats, first_stride in _BOTTLENECKS:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            hidden = channels * expansion
            y = x if expansion == 1 else graph.relu6(graph.convolution(x, channels, hidden, kernel=1))
            y = graph.relu6(graph.convolution(y, hidden, hidden, kernel=3, stride=stride, group=hidden))
            y = graph.convolution(y, hidden, outputs, kernel=1)
            x = graph.add("Add", x, y) if stride == 1 and channels == outputs else y
            channels = outputs
    x = graph.relu6(graph.convolution(x, channels, 1280, kernel=1))
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x), axis=1)
    x = graph.add(
        "Gemm", x, graph.weights("classes.weight", classes, 1280), graph.bias("classes.bias", classes), transB=1
    )
    graph.nodes[-1].output[0] = "logits"
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "mobilenet_v2",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size, size])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, classes])],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )


def minilm_l6(
    seed: int = 0, *, tokens: int = 128, vocabulary: int = 30522, layers: int = 6, width: int = 384, heads: int = 12
) -> onnx.ModelProto:
    """A sentence encoder of all-MiniLM-L6's shape with random weights: token numbers and mask -> one vector.

    i64[1,tokens] twice -> f32[1,width], after https://arxiv.org/abs/2002.10957 and BERT's blocks: embeddings, self
    attention and a hidden layer with GELU, each with a residual and a normalisation; the mean over the tokens that
    the mask has.
    """
    graph = _Graph(seed)

    def dense(x: str, inputs: int, outputs: int) -> str:
        name = f"dense_{len(graph.nodes)}"
        product = graph.add("MatMul", x, graph.weights(f"{name}.weight", inputs, outputs))
        return graph.add("Add", product, graph.bias(f"{name}.bias", outputs))

    def normalized(x: str) -> str:
        name = f"norm_{len(graph.nodes)}"
        scale = graph.constant(f"{name}.scale", graph.random.uniform(0.8, 1.2, width).astype(np.float32))
        return graph.add("LayerNormalization", x, scale, graph.bias(f"{name}.bias", width), axis=-1, epsilon=1e-12)

    def scalar(name: str, value: float) -> str:
        return graph.constant(name, np.array(value, np.float32))

    graph.constant("split", np.array([1, tokens, heads, width // heads], np.int64))
    graph.constant("joined", np.array([1, tokens, width], np.int64))
    one, half, root = scalar("one", 1.0), scalar("half", 0.5), scalar("root_of_two", math.sqrt(2.0))
    scale, far = scalar("scale", 1 / math.sqrt(width // heads)), scalar("far", -1e4)
    embeddings = graph.constant("words", graph.random.normal(0, 1, (vocabulary, width)).astype(np.float32))
    positions = graph.constant("positions", graph.random.normal(0, 1, (tokens, width)).astype(np.float32))
    mask = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    axes = graph.constant("axes_1_2", np.array([1, 2], np.int64))
    penalty = graph.add("Mul", graph.add("Unsqueeze", graph.add("Sub", one, mask), axes), far)
    x = normalized(graph.add("Add", graph.add("Gather", embeddings, "input_ids"), positions))
    for _ in range(layers):
        parts = [graph.add("Reshape", dense(x, width, width), "split") for _ in range(3)]
        query, value = (graph.add("Transpose", part, perm=[0, 2, 1, 3]) for part in parts[::2])
        key = graph.add("Transpose", parts[1], perm=[0, 2, 3, 1])
        scores = graph.add("Mul", graph.add("MatMul", query, key), scale)
        weights = graph.add("Softmax", graph.add("Add", scores, penalty), axis=-1)
        mixed = graph.add("Transpose", graph.add("MatMul", weights, value), perm=[0, 2, 1, 3])
        attended = dense(graph.add("Reshape", mixed, "joined"), width, width)
        x = normalized(graph.add("Add", x, attended))
        hidden = dense(x, width, 4 * width)
        gate = graph.add("Mul", graph.add("Add", graph.add("Erf", graph.add("Div", hidden, root)), one), half)
        x = normalized(graph.add("Add", x, dense(graph.add("Mul", hidden, gate), 4 * width, width)))
    last, middle = (graph.constant(f"axes_{axis}", np.array([axis], np.int64)) for axis in (2, 1))
    kept = graph.add("Unsqueeze", mask, last)
    total = graph.add("ReduceSum", graph.add("Mul", x, kept), middle, keepdims=0)
    graph.add("Div", total, graph.add("ReduceSum", kept, middle, keepdims=0))
    graph.nodes[-1].output[0] = "embedding"
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "minilm_l6",
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, [1, tokens])
                for name in ("input_ids", "attention_mask")
            ],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, width])],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def light(name: str, seed: int = 0) -> onnx.ModelProto:
    """A `light` model of the `onnx` wheel (name as in `light_<name>.onnx`) with random weights.

    Its `ConstantOfShape` nodes become initialisers; variances of batch normalisations stay positive, scales near 1.
    """
    path = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx"
    model = onnx.load(path)
    graph, random = model.graph, np.random.default_rng(seed)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    roles = _batch_normalisation_roles(graph)
    made = [node for node in graph.node if node.op_type == "ConstantOfShape"]
    for node in made:
        shape = tuple(int(extent) for extent in shapes[node.input[0]])
        values = _role_values(random, roles.get(node.output[0], ""), shape)
        graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
    initialised = {tensor.name for tensor in graph.initializer}
    for value in [value for value in graph.input if value.name in initialised or value.name not in used]:
        graph.input.remove(value)
    model.ir_version = 8  # from version 4 on, initialisers need not be inputs
    return onnx.version_converter.convert_version(model, 17)


def _batch_normalisation_roles(graph: onnx.GraphProto) -> dict[str, str]:
    names = ("", "scale", "bias", "mean", "variance")
    nodes = (node for node in graph.node if node.op_type == "BatchNormalization")
    return {value: role for node in nodes for value, role in zip(node.input, names, strict=True) if role}


def _role_values(random: np.random.Generator, role: str, shape: tuple[int, ...]) -> Weights:
    if role in ("scale", "variance"):
        # Scales below 1 keep the residual branches small beside the trunk: the sums do not grow from block to block.
        middle = 0.6 if role == "scale" else 1.0
        return random.uniform(0.75 * middle, 1.25 * middle, shape).astype(np.float32)
    if role in ("bias", "mean") or len(shape) == 1:
        return random.normal(0.0, 0.1, shape).astype(np.float32)
    classifier = len(shape) == 2  # small logits: a softmax that picks one class would hide every error
    return _fan_in_scaled(random, shape) * np.float32(0.1 if classifier else 1.0)


MODELS: dict[str, Callable[[int], onnx.ModelProto]] = {
    "mobilenet_v2": mobilenet_v2,
    "squeezenet": lambda seed: light("squeezenet", seed),
    "shufflenet": lambda seed: light("shufflenet", seed),
    "resnet50": lambda seed: light("resnet50", seed),
    "densenet121": lambda seed: light("densenet121", seed),
}


def input_shape(model: onnx.ModelProto) -> tuple[int, ...]:
    """Shape of the model's only input."""
    (value,) = model.graph.input
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def random_input(model: onnx.ModelProto, seed: int) -> Weights:
    """A random input (standard normal) for a model with one f32 input."""
    return np.random.default_rng(seed).standard_normal(input_shape(model)).astype(np.float32)


def write(name: str, path: Path, seed: int = 0) -> Path:
    """Write the model of that name to `path`; returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(MODELS[name](seed).SerializeToString(deterministic=True))
    return path


def main(arguments: list[str] | None = None) -> int:
    """Command line: `python -m benchmarks.models NAME... -o FOLDER [--seed N]`."""
    parser = argparse.ArgumentParser(description="Write benchmark models (random weights) as ONNX files.")
    parser.add_argument("names", nargs="*", help="models to write (default: all)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights (default 0)")
    options = parser.parse_args(arguments)
    for name in options.names or MODELS:
        print(write(name, options.output / f"{name}.onnx", options.seed))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
