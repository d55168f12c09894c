"""What exporters write into models: sizes without names, squeezes that may not be, mirrors of open sizes, contributed
operators. Run with fresh inputs on the WebGPU device and the CPU; reference: ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, numpy_helper, parser

import webree
from tests.conftest import Machine
from tests.models import reference
from webree.compiler.api import compile
from webree.errors import CompileError, InvocationError, UsageError

Arrays = Mapping[str, np.ndarray[Any, Any]]

on_two_machines = pytest.mark.parametrize(
    "machine", [pytest.param("lavapipe", marks=pytest.mark.native), "cpu"], indirect=True
)


def model_of(text: str, opsets: str = '"" : 17') -> ModelProto:
    return parser.parse_model(f"<ir_version: 8, opset_import: [{opsets}]> {text}")


def random(seed: int, *shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def load(model: ModelProto, machine: Machine, **options: Any) -> Any:
    data = compile(model, target=machine.target, profile=machine.profile, **options)
    return webree.load(data, device=machine.device)


def check(module: Any, model: ModelProto, inputs: Arrays, tolerance: float = 1e-5) -> None:
    found = module.main(*inputs.values())
    found = found if isinstance(found, tuple) else (found,)
    for mine, wanted in zip(found, reference(model.SerializeToString(), inputs), strict=True):
        assert np.asarray(mine).dtype == wanted.dtype
        np.testing.assert_allclose(np.asarray(mine), wanted, rtol=tolerance, atol=tolerance)


@on_two_machines
def test_a_convolution_with_one_result_and_rows_that_it_does_not_read(machine: Machine, seed: int) -> None:
    model = model_of(
        "g (float[1, 4, 2] x, float[4, 4, 3] w) => (float[1, 4, 1] y) {"
        " y = Conv <strides = [2], pads = [1, 1]> (x, w) }"
    )
    inputs = {"x": random(seed, 1, 4, 2), "w": random(seed + 1, 4, 4, 3)}
    check(load(model, machine), model, inputs)


SQUEEZE = """g (float[1, 3, columns] table) => (float[1, 3] y) {
    x = MaxPool <kernel_shape = [1], strides = [2]> (table)
    sizes = Shape (x)
    last = Constant <value = int64[1] {-1}> ()
    size = Gather <axis = 0> (sizes, last)
    one = Constant <value = int64[1] {1}> ()
    is_one = Equal (size, one)
    s = If (is_one) <
        then_branch = yes () => (float[1, 3] a) { a = Squeeze (x, last) },
        else_branch = no () => (float[1, 3, n] b) { b = Identity (x) }>
    y = Neg (s)
}"""


@on_two_machines
def test_a_squeeze_that_depends_on_the_size(machine: Machine, seed: int) -> None:
    """PyTorch's exporter writes a choice between two numbers of dimensions. Webree takes the squeeze, and says so."""
    model = model_of(SQUEEZE)
    model.graph.node[6].name = "choice"
    with load(model, machine) as module:
        for columns in (1, 2):
            check(module, model, {"table": random(seed, 1, 3, columns)})
        with pytest.raises(InvocationError, match=r"node choice \(If\): this module was compiled for the size 1 of di"):
            module.main(random(seed, 1, 3, 3))


def test_a_choice_between_numbers_of_dimensions_is_refused_by_name() -> None:
    model = model_of("""g (float[n, 1] x, bool c) => (float[n] y) {
        last = Constant <value = int64[1] {1}> ()
        y = If (c) <then_branch = yes () => (float[n] a) { a = ReduceSum <keepdims = 0> (x, last) },
                    else_branch = no () => (float[n, 1] b) { b = Neg (x) }>
    }""")
    model.graph.node[1].name = "choice"
    with pytest.raises(
        CompileError, match=r"node 'choice' \(If\): its branches give tensors of 1 and of 2 dim"
    ) as caught:
        compile(model, target="cpu")
    assert caught.value.unsupported


@on_two_machines
@pytest.mark.parametrize("mode", ["reflect"])
def test_padding_of_open_sizes(mode: str, machine: Machine, seed: int) -> None:
    model = model_of(
        f"""g (float[n, m] x) => (float[k, l] y) <int64[4] pads = {{0, 2, 0, 3}}> {{
        y = Pad <mode = "{mode}"> (x, pads)
    }}""",
        '"" : 19',
    )
    with load(model, machine) as module:
        for columns in (4, 9):
            check(module, model, {"x": random(seed, 2, columns)}, 0)


@on_two_machines
def test_sizes_without_names(machine: Machine, seed: int) -> None:
    """`?` twice is not one size, -1 is none; what has no name is bound by its place."""
    model = model_of(
        "g (float[n, 2, m] x) => (float[n, m] y) { axes = Constant <value = int64[1] {1}> ()"
        " y = ReduceSum <keepdims = 0> (x, axes) }"
    )
    first, _, last = model.graph.input[0].type.tensor_type.shape.dim
    first.dim_param = last.dim_param = "?"
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = -1
    check(load(model, machine), model, {"x": random(seed, 3, 2, 4)})
    with load(model, machine, dims={"x[2]": 4}) as module:
        assert "x: ?x2x4xf32" in str(module.main.signature)
    with pytest.raises(UsageError, match=r"has no symbolic dimension 'm'; it has x\[0\], x\[2\]"):
        compile(model, dims={"m": 4})


MICROSOFT = '"" : 17, "com.microsoft" : 1'


@on_two_machines
def test_operators_of_the_optimiser(machine: Machine, seed: int) -> None:
    """Fused and approximated ones that ONNX Runtime writes into models, in a row."""
    model = model_of(
        """g (float[n, 5, 8] x, float[8] bias, float[6, 8] w, float[n, 5, 8] skip, float[8] gamma, float[8] beta)
            => (float[n, 5, 6] product, float[n, 5, 8] normal, float[n, 5, 8] sum, float[n, 5, 8] simple) {
            a = com.microsoft.BiasGelu (x, bias)
            b = com.microsoft.FastGelu (a, bias)
            c = com.microsoft.Gelu (b)
            d = com.microsoft.QuickGelu <alpha = 1.5> (c)
            product = com.microsoft.FusedMatMul <transB = 1, alpha = 0.5> (d, w)
            normal, , , sum = com.microsoft.SkipLayerNormalization <epsilon = 0.001> (d, skip, gamma, beta, bias)
            simple = com.microsoft.SkipSimplifiedLayerNormalization <epsilon = 0.001> (d, skip, gamma)
        }""",
        MICROSOFT,
    )
    shapes = {"x": (2, 5, 8), "bias": (8,), "w": (6, 8), "skip": (2, 5, 8), "gamma": (8,), "beta": (8,)}
    inputs = {name: random(seed + number, *shape) for number, (name, shape) in enumerate(shapes.items())}
    check(load(model, machine), model, inputs, 1e-5)


def _quantised(seed: int) -> tuple[ModelProto, dict[str, np.ndarray[Any, Any]]]:
    """A product and an LSTM, of weights of 8 bits."""
    model = model_of(
        """g (float[1, 1, 4] x, int8[4, 6] m, float[6] ms, int8[6] mz, int8[1, 6, 20] w, int8[1, 5, 20] r,
            float[1, 40] b, float[1, 20] ws, int8[1, 20] wz, float[1] rs, int8[1] rz,
            float[1, 1, 5] h, float[1, 1, 5] c)
            => (float[1, 1, 1, 5] y, float[1, 1, 5] last) {
            p = com.microsoft.DynamicQuantizeMatMul (x, m, ms, mz)
            y, last = com.microsoft.DynamicQuantizeLSTM <hidden_size = 5>
                (p, w, r, b, , h, c, , ws, wz, rs, rz)
        }""",
        MICROSOFT,
    )
    chance = np.random.default_rng(seed)
    sizes: dict[str, tuple[int, ...]] = {"m": (4, 6), "w": (1, 6, 20), "r": (1, 5, 20)}
    codes = {name: chance.integers(-128, 128, size, np.int8) for name, size in sizes.items()}
    scales = {
        name: chance.uniform(0.002, 0.006, size).astype(np.float32)
        for name, size in {"ms": (6,), "ws": (1, 20), "rs": (1,)}.items()
    }
    zeros = {name: np.zeros(size, np.int8) for name, size in {"mz": (6,), "wz": (1, 20), "rz": (1,)}.items()}
    values = {
        "x": random(seed, 1, 1, 4),
        "b": random(seed, 1, 40),
        "h": random(seed, 1, 1, 5),
        "c": random(seed, 1, 1, 5),
        **codes,
        **scales,
        **zeros,
    }
    return model, {item.name: values[item.name] for item in model.graph.input}


@on_two_machines
def test_weights_of_the_quantiser(machine: Machine, seed: int) -> None:
    """Half a step of 8 bits may fall to either side, as sums are rounded differently: hence the tolerance."""
    model, inputs = _quantised(seed)
    held = [numpy_helper.from_array(value, name) for name, value in inputs.items() if name != "x"]
    del model.graph.input[1:]
    model.graph.initializer.extend(held)  # ONNX Runtime takes weights of 8 bits as constants only
    check(load(model, machine), model, {"x": inputs["x"]}, 5e-3)


def test_a_quantised_layer_of_open_sizes_is_refused_by_name() -> None:
    model, _ = _quantised(0)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "steps"
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "steps"
    model.graph.node[1].name = "layer"
    with pytest.raises(
        CompileError, match=r"node 'layer' \(com.microsoft.DynamicQuantizeLSTM\): the sizes of its input"
    ):
        compile(model, target="cpu")
