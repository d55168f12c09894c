"""What exporters write into models: sizes without names, squeezes that may not be, mirrors of open sizes, contributed
operators. Run with fresh inputs on the WebGPU device and the CPU; reference: ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, parser

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
@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
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
