"""Networks for images as ONNX files, layer by layer after their papers: PoseNet, DeepLabV3, EfficientNet-Lite0.

Enters: sizes, and a seed or stored weights under the names of a PyTorch checkpoint. Leaves: an `onnx.ModelProto`, batch
1, channels first, batch normalisation folded into the convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from benchmarks.graph import Graph, Weights

__all__ = ["deeplab_v3", "efficientnet_lite0", "folded", "posenet"]

FloatArray = npt.NDArray[np.floating]

# MobileNetV1 (https://arxiv.org/abs/1704.04861, table 1): output channels and stride of each depthwise-pointwise pair.
_PAIRS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)

# MobileNetV2 at half width (https://arxiv.org/abs/1801.04381, table 2): expansion, channels, repeats, stride, dilation.
# From 1/8 of the image on, strides are replaced by dilations, as DeepLab does.
_DILATED_BOTTLENECKS = (
    (1, 8, 1, 1, 1),
    (6, 16, 2, 2, 1),
    (6, 16, 3, 2, 1),
    (6, 32, 4, 1, 1),
    (6, 48, 3, 1, 2),
    (6, 80, 3, 1, 2),
    (6, 160, 1, 1, 4),
)

# EfficientNet-Lite0: B0 of https://arxiv.org/abs/1905.11946, table 1, without squeeze-and-excitation, ReLU6 for swish:
# expansion, channels, repeats, stride, kernel.
_LITE0_BLOCKS = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


def posenet(seed: int = 0, *, size: int = 257) -> onnx.ModelProto:
    """PoseNet on MobileNetV1: f32[1,3,size,size] -> heat maps, offsets, displacements of 17 key points and 16 edges.

    Four maps of 1/32 of the image: f32[1,17,9,9] (through a sigmoid), f32[1,34,9,9], f32[1,32,9,9] twice; after
    https://arxiv.org/abs/1803.08225.
    """
    graph = Graph(seed)
    x = graph.relu6(graph.convolution("image", 3, 32, kernel=3, stride=2))
    channels = 32
    for outputs, stride in _PAIRS:
        x = graph.relu6(graph.convolution(x, channels, channels, kernel=3, stride=stride, group=channels))
        x = graph.relu6(graph.convolution(x, channels, outputs, kernel=1))
        channels = outputs
    cells = (size - 1) // 32 + 1
    heads = {"heatmap": 17, "offset": 34, "displacement_forward": 32, "displacement_backward": 32}
    results = {}
    for name, outputs in heads.items():
        y = graph.convolution(x, channels, outputs, kernel=1)
        results[name] = (graph.add("Sigmoid", y) if name == "heatmap" else y, [1, outputs, cells, cells])
    return graph.model("posenet", {"image": (TensorProto.FLOAT, [1, 3, size, size])}, results)


def deeplab_v3(seed: int = 0, *, size: int = 257, classes: int = 21) -> onnx.ModelProto:
    """DeepLabV3 on MobileNetV2 at half width: f32[1,3,size,size] -> f32[1,classes,size,size], logits of each pixel.

    https://arxiv.org/abs/1706.05587 with the features at 1/8 of the image: dilated convolutions, the whole image's mean
    beside each cell's features, and two bilinear resizes, corners to corners.
    """
    graph = Graph(seed)
    cells = (size - 1) // 8 + 1
    x = graph.relu6(graph.convolution("image", 3, 16, kernel=3, stride=2))
    channels = 16
    for expansion, outputs, repeats, first_stride, dilation in _DILATED_BOTTLENECKS:
        for repeat in range(repeats):
            stride, hidden = (first_stride if repeat == 0 else 1), channels * expansion
            y = x if expansion == 1 else graph.relu6(graph.convolution(x, channels, hidden, kernel=1))
            y = graph.relu6(
                graph.convolution(y, hidden, hidden, kernel=3, stride=stride, group=hidden, dilation=dilation)
            )
            y = graph.convolution(y, hidden, outputs, kernel=1)
            x = graph.add("Add", x, y) if stride == 1 and channels == outputs else y
            channels = outputs

    def resize(x: str, channels: int, size: int) -> str:
        sizes = graph.integers(1, channels, size, size)
        mode = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
        return graph.add("Resize", x, "", "", sizes, **mode)

    whole = graph.convolution(graph.add("GlobalAveragePool", x), channels, 256, kernel=1)
    whole = resize(graph.add("Relu", whole), 256, cells)
    each = graph.add("Relu", graph.convolution(x, channels, 256, kernel=1))
    x = graph.add("Relu", graph.convolution(graph.add("Concat", whole, each, axis=1), 512, 256, kernel=1))
    logits = resize(graph.convolution(x, 256, classes, kernel=1), classes, size)
    image = {"image": (TensorProto.FLOAT, [1, 3, size, size])}
    return graph.model("deeplab_v3", image, {"logits": (logits, [1, classes, size, size])})


def efficientnet_lite0(
    seed: int = 0, stored: Mapping[str, Weights] | None = None, *, size: int = 224, classes: int = 1000
) -> onnx.ModelProto:
    """EfficientNet-Lite0: f32[1,3,size,size], RGB in about [-1, 1] -> f32[1,classes], logits.

    `stored` has the convolutions under PyTorch's names, batch normalisation folded in (see `folded`). Windows with a
    stride begin at the first pixel and reach over the last ("same" padding as TensorFlow has it).
    """
    graph = Graph(seed, stored)

    def convolution(x: str, name: str, shape: tuple[int, int, int, int], *, stride: int = 1, group: int = 1) -> str:
        inputs, outputs, kernel, extent = shape
        total = max(0, (-(-extent // stride) - 1) * stride + kernel - extent)
        pads = [total // 2, total // 2, total - total // 2, total - total // 2]
        return graph.convolution(x, inputs, outputs, kernel=kernel, stride=stride, group=group, pads=pads, name=name)

    x = graph.relu6(convolution("image", "_conv_stem", (3, 32, 3, size), stride=2))
    channels, extent, number = 32, -(-size // 2), 0
    for expansion, outputs, repeats, first_stride, kernel in _LITE0_BLOCKS:
        for repeat in range(repeats):
            name, stride, hidden = f"_blocks.{number}", (first_stride if repeat == 0 else 1), channels * expansion
            y = x
            if expansion != 1:
                y = graph.relu6(convolution(x, f"{name}._expand_conv", (channels, hidden, 1, extent)))
            shape = (hidden, hidden, kernel, extent)
            y = graph.relu6(convolution(y, f"{name}._depthwise_conv", shape, stride=stride, group=hidden))
            extent = -(-extent // stride)
            y = convolution(y, f"{name}._project_conv", (hidden, outputs, 1, extent))
            x = graph.add("Add", y, x) if stride == 1 and channels == outputs else y
            channels, number = outputs, number + 1
    x = graph.relu6(convolution(x, "_conv_head", (channels, 1280, 1, extent)))
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x), axis=1)
    weights, bias = graph.weights("_fc.weight", classes, 1280), graph.bias("_fc.bias", classes)
    logits = graph.add("Gemm", x, weights, bias, transB=1)
    image = {"image": (TensorProto.FLOAT, [1, 3, size, size])}
    return graph.model("efficientnet_lite0", image, {"logits": (logits, [1, classes])})


def folded(stored: Mapping[str, FloatArray], *, epsilon: float = 1e-3) -> dict[str, Weights]:
    """The convolutions of a checkpoint of EfficientNet with their batch normalisations folded in, and the rest.

    The checkpoint numbers normalisations within each block, in the order of the convolutions that there are.
    """
    order = {
        **{"_conv_stem": "_bn0", "_conv_head": "_bn1"},
        **{"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"},
    }
    found: dict[str, Weights] = {}
    for name, weight in stored.items():
        prefix, _, last = name.removesuffix(".weight").rpartition(".")
        if name.startswith("_fc."):
            found[name] = weight.astype(np.float32)
        elif last in order:
            norm = f"{prefix}.{order[last]}".lstrip(".")
            scale, bias, mean, variance = (
                stored[f"{norm}.{part}"].astype(np.float64)
                for part in ("weight", "bias", "running_mean", "running_var")
            )
            factor = scale / np.sqrt(variance + epsilon)
            found[name] = (weight * factor[:, None, None, None]).astype(np.float32)
            found[name.replace(".weight", ".bias")] = (bias - mean * factor).astype(np.float32)
    return found
