"""An ONNX graph in the making, with one source of weights: a random generator, or arrays that were stored by name.

Enters: calls of `Graph.add`, `Graph.weights`, … in the order of the layers. Leaves: an `onnx.ModelProto`. The models of
`models_text.py` and `models_vision.py` are written on it, so that no exporter stands between a paper and a test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Graph", "Weights", "fan_in_scaled"]

Weights = npt.NDArray[np.float32]


class Graph:
    """Nodes and initialisers in the making.

    Args:
        seed: of all random weights.
        stored: real weights by name; with them nothing is random, and a name that is not there is an error.
    """

    def __init__(self, seed: int = 0, stored: Mapping[str, Weights] | None = None) -> None:
        self.random = np.random.default_rng(seed)
        self.stored = stored
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        """Append a node with one result; returns the result's name."""
        result = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [result], name=result, **attributes))
        return result

    def constant(self, name: str, values: npt.NDArray[np.generic]) -> str:
        """Add an initialiser (the first of a name stays); returns its name."""
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.asarray(values, order="C"), name)
        return name

    def scalar(self, value: float) -> str:
        """Add an f32 initialiser of shape []."""
        return self.constant(f"scalar_{value}", np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        """Add an i64 initialiser of one dimension."""
        return self.constant("integers_" + "_".join(map(str, values)), np.array(values, np.int64))

    def values(self, name: str, shape: tuple[int, ...], drawn: npt.NDArray[np.floating[Any]]) -> Weights:
        """The stored array of that name, checked, or else what was drawn."""
        if self.stored is None:
            return drawn.astype(np.float32)
        if name not in self.stored:
            raise ValueError(f"no stored weights are named {name}")
        found = self.stored[name]
        if found.shape != shape:
            raise ValueError(f"stored weights {name} have shape {found.shape}; the model needs {shape}")
        return found.astype(np.float32)

    def weights(self, name: str, *shape: int) -> str:
        """Add weights, laid out as convolutions and `Gemm` with `transB` have them (outputs first)."""
        return self.constant(name, self.values(name, shape, fan_in_scaled(self.random, shape)))

    def bias(self, name: str, count: int) -> str:
        """Add a small bias."""
        return self.constant(name, self.values(name, (count,), self.random.normal(0.0, 0.1, count)))

    def scale(self, name: str, count: int, *, middle: float = 1.0) -> str:
        """Add factors around `middle`."""
        drawn = middle * self.random.uniform(0.8, 1.2, count)
        return self.constant(name, self.values(name, (count,), drawn))

    def dense(self, x: str, name: str, inputs: int, outputs: int, *, gain: float = 1.0) -> str:
        """`x @ weight.T + bias` over the last dimension; the weight is stored outputs first, as PyTorch does.

        A gain of 1 keeps the variance of random inputs; before a ReLU it takes 2."""
        drawn = fan_in_scaled(self.random, (outputs, inputs)) * np.float32(math.sqrt(gain / 2))
        weight = self.constant(f"{name}.weight", self.values(f"{name}.weight", (outputs, inputs), drawn).T)
        return self.add("Add", self.add("MatMul", x, weight), self.bias(f"{name}.bias", outputs))

    def convolution(
        self,
        x: str,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        stride: int = 1,
        group: int = 1,
        dilation: int = 1,
        pads: Sequence[int] | None = None,
        name: str = "",
    ) -> str:
        """Append a convolution with bias; padding is "same" unless `pads` (top, left, bottom, right) says otherwise."""
        name = name or f"conv_{len(self.nodes)}"
        weights = self.weights(f"{name}.weight", outputs, inputs // group, kernel, kernel)
        return self.add(
            "Conv",
            x,
            weights,
            self.bias(f"{name}.bias", outputs),
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            dilations=[dilation] * 2,
            pads=list(pads or [dilation * (kernel // 2)] * 4),
            group=group,
        )

    def relu6(self, x: str) -> str:
        """Append a clip to [0, 6]."""
        return self.add("Clip", x, self.scalar(0.0), self.scalar(6.0))

    def model(
        self,
        name: str,
        inputs: Mapping[str, tuple[int, Sequence[int]]],
        outputs: Mapping[str, tuple[str, Sequence[int]]],
        *,
        opset: int = 17,
    ) -> onnx.ModelProto:
        """The finished model.

        Args:
            name: of the graph.
            inputs: name -> element type (`TensorProto.…`) and shape.
            outputs: name -> the result that it is, and its shape; all are f32.
        """
        renamed = {result: output for output, (result, _) in outputs.items()}
        for node in self.nodes:
            for position, value in enumerate(node.output):
                node.output[position] = renamed.get(value, value)
            for position, value in enumerate(node.input):
                node.input[position] = renamed.get(value, value)
        return helper.make_model(
            helper.make_graph(
                self.nodes,
                name,
                [helper.make_tensor_value_info(key, kind, shape) for key, (kind, shape) in inputs.items()],
                [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, (_, shape) in outputs.items()],
                list(self.initializers.values()),
            ),
            opset_imports=[helper.make_opsetid("", opset)],
            ir_version=8,
        )


def fan_in_scaled(random: np.random.Generator, shape: tuple[int, ...]) -> Weights:
    """Weights of He et al.: activations stay around 1 through the deepest model."""
    fan_in = max(1, math.prod(shape[1:]))
    return random.normal(0.0, math.sqrt(2.0 / fan_in), shape).astype(np.float32)
