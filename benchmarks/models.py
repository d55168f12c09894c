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
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.version_converter
from onnx import TensorProto, numpy_helper

from benchmarks.graph import Graph, Weights, fan_in_scaled
from benchmarks.models_text import bert_sentence_encoder, mobilebert
from benchmarks.models_vision import deeplab_v3, efficientnet_lite0, posenet

__all__ = ["MODELS", "input_shape", "light", "main", "minilm_l6", "mobilenet_v2", "random_input", "write"]

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


def mobilenet_v2(seed: int = 0, *, size: int = 224, classes: int = 1000) -> onnx.ModelProto:
    """MobileNetV2 1.0 with random weights: f32[1,3,size,size] -> f32[1,classes]."""
    graph = Graph(seed)
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
    weights, bias = graph.weights("classes.weight", classes, 1280), graph.bias("classes.bias", classes)
    logits = graph.add("Gemm", x, weights, bias, transB=1)
    image = {"image": (TensorProto.FLOAT, [1, 3, size, size])}
    return graph.model("mobilenet_v2", image, {"logits": (logits, [1, classes])}, opset=13)


def minilm_l6(seed: int = 0, *, tokens: int = 128, vocabulary: int = 30522) -> onnx.ModelProto:
    """A sentence encoder of all-MiniLM-L6's shape with random weights: i64[1,tokens] twice -> f32[1,384]."""
    return bert_sentence_encoder(seed, tokens=tokens, vocabulary=vocabulary)


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
    return fan_in_scaled(random, shape) * np.float32(0.1 if classifier else 1.0)


MODELS: dict[str, Callable[[int], onnx.ModelProto]] = {
    "mobilenet_v2": mobilenet_v2,
    "squeezenet": lambda seed: light("squeezenet", seed),
    "shufflenet": lambda seed: light("shufflenet", seed),
    "resnet50": lambda seed: light("resnet50", seed),
    "densenet121": lambda seed: light("densenet121", seed),
    "posenet": posenet,
    "deeplab_v3": deeplab_v3,
    "efficientnet_lite0": efficientnet_lite0,
    "mobilebert": mobilebert,
    "minilm_l6": minilm_l6,
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
