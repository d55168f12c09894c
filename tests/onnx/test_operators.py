"""ONNX operators that the front end writes with others, on the WebGPU device, with fresh inputs.

References: ONNX's own reference implementation where it has the operator, else NumPy or PyTorch. Shapes are small: the
rules are what is tested, and the kernels that they lead to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper, parser
from onnx.reference import ReferenceEvaluator

import webree
from tests.conftest import Machine
from webree.compiler.api import compile
from webree.errors import CompileError, InvocationError

Arrays = Mapping[str, Any]

on_two_machines = pytest.mark.parametrize(
    "machine", [pytest.param("lavapipe", marks=pytest.mark.native), "cpu"], indirect=True
)


def model_of(
    node: Any, inputs: Arrays, outputs: int = 1, opset: int = 22, constants: Arrays | None = None
) -> ModelProto:
    """A model of one node; the sizes of its results are what the reference finds."""
    kinds = {np.dtype(name): getattr(TensorProto, code) for name, code in _KINDS.items()}
    given = [helper.make_tensor_value_info(name, kinds[np.asarray(x).dtype], np.shape(x)) for name, x in inputs.items()]
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    names = [name for name in node.output if name][:outputs]

    def build(made: list[Any]) -> ModelProto:
        graph = helper.make_graph([node], "node", given, made, held)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 10
        return model

    loose = build([helper.make_empty_tensor_value_info(name) for name in names])
    found = ReferenceEvaluator(loose).run(None, dict(inputs))
    return build([helper.make_tensor_value_info(n, kinds[x.dtype], x.shape) for n, x in zip(names, found, strict=True)])


_KINDS = {"float32": "FLOAT", "int64": "INT64", "int32": "INT32", "uint8": "UINT8", "bool": "BOOL"}


def run(model: ModelProto, inputs: Arrays, machine: Machine, **options: Any) -> list[Any]:
    data = compile(model, target=machine.target, profile=machine.profile, **options)
    found = webree.load(data, device=machine.device).main(*inputs.values())
    return [np.asarray(item) for item in (found if isinstance(found, tuple) else (found,))]


def check(model: ModelProto, inputs: Arrays, machine: Machine, seed: int, tolerance: float = 1e-4) -> None:
    expected = ReferenceEvaluator(model).run(None, dict(inputs))
    for wanted, found in zip(expected, run(model, inputs, machine), strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance, err_msg=f"seed {seed}")


@pytest.fixture
def chance(seed: int) -> np.random.Generator:
    print("seed", seed)
    return np.random.default_rng(seed)


def uniform(chance: np.random.Generator, *shape: int) -> np.ndarray[Any, Any]:
    return chance.uniform(-1, 1, shape).astype(np.float32)


@on_two_machines
@pytest.mark.parametrize(
    ("attributes", "sizes"),
    [
        ({"mode": "cubic", "coordinate_transformation_mode": "align_corners"}, [1, 2, 9, 3]),
        ({"mode": "linear", "antialias": 1}, [1, 2, 3, 4]),
        ({"mode": "nearest", "nearest_mode": "ceil"}, [1, 2, 10, 7]),
    ],
    ids=["cubic", "antialias", "nearest"],
)
def test_resize(
    attributes: dict[str, Any], sizes: list[int], machine: Machine, chance: np.random.Generator, seed: int
) -> None:
    inputs = {"x": uniform(chance, 1, 2, 5, 6)}
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **attributes)
    check(model_of(node, inputs, constants={"sizes": np.array(sizes)}), inputs, machine, seed)


@on_two_machines
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_grid_sample(padding: str, machine: Machine, chance: np.random.Generator, seed: int) -> None:
    """Points beside the image among them."""
    inputs = {"x": uniform(chance, 2, 3, 4, 5), "grid": 1.5 * uniform(chance, 2, 3, 4, 2)}
    check(
        model_of(helper.make_node("GridSample", ["x", "grid"], ["y"], padding_mode=padding), inputs),
        inputs,
        machine,
        seed,
    )


def _recurrent(kind: str, chance: np.random.Generator) -> dict[str, np.ndarray[Any, Any]]:
    gates = {"GRU": 3, "LSTM": 4}[kind]
    shapes = {"w": (2, gates * 3, 4), "r": (2, gates * 3, 3), "b": (2, gates * 6)}
    return {"x": uniform(chance, 5, 2, 4)} | {name: uniform(chance, *shape) for name, shape in shapes.items()}


@on_two_machines
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_recurrent_layers_in_both_directions(
    kind: str, machine: Machine, chance: np.random.Generator, seed: int
) -> None:
    """Sequences of different lengths; reference: PyTorch with packed sequences."""
    import torch

    inputs: dict[str, Any] = {**_recurrent(kind, chance), "lengths": np.array([5, 3], np.int32)}
    options = {"linear_before_reset": 1} if kind == "GRU" else {}
    node = helper.make_node(
        kind, ["x", "w", "r", "b", "lengths"], ["y"], hidden_size=3, direction="bidirectional", **options
    )
    infos = [
        helper.make_tensor_value_info(name, TensorProto.INT32 if name == "lengths" else TensorProto.FLOAT, x.shape)
        for name, x in inputs.items()
    ]
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, (5, 2, 2, 3))]
    model = helper.make_model(
        helper.make_graph([node], "layer", infos, made), opset_imports=[helper.make_opsetid("", 22)]
    )
    model.ir_version = 10
    layer = getattr(torch.nn, kind)(4, 3, bidirectional=True)
    # ONNX orders gates z r h and i o f c, PyTorch r z n and i f g o.
    order = [1, 0, 2] if kind == "GRU" else [0, 2, 3, 1]
    with torch.no_grad():
        for number, suffix in enumerate(("", "_reverse")):
            parts = {"weight_ih": inputs["w"][number], "weight_hh": inputs["r"][number]}
            half = inputs["b"].shape[1] // 2
            parts |= {"bias_ih": inputs["b"][number, :half], "bias_hh": inputs["b"][number, half:]}
            for name, value in parts.items():
                blocks = np.split(value, len(order))
                ordered = np.concatenate([blocks[index] for index in order])
                getattr(layer, f"{name}_l0{suffix}").copy_(torch.from_numpy(ordered))
        packed = torch.nn.utils.rnn.pack_padded_sequence(torch.from_numpy(inputs["x"]), [5, 3])
        wanted, _ = torch.nn.utils.rnn.pad_packed_sequence(layer(packed)[0])
    expected = wanted.numpy().reshape(5, 2, 2, 3).transpose(0, 2, 1, 3)
    (found,) = run(model, inputs, machine)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5, err_msg=f"seed {seed}")


@on_two_machines
def test_suppression_of_many_boxes(machine: Machine, chance: np.random.Generator, seed: int) -> None:
    """More boxes than a loop that is written out has rounds: a loop of run time, and so many results as it finds."""
    corners = chance.uniform(0, 10, (1, 80, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + chance.uniform(1, 6, (1, 80, 2)).astype(np.float32)], 2)
    scores = chance.permutation(160).reshape(1, 2, 80).astype(np.float32) / 160
    node = helper.make_node("NonMaxSuppression", ["boxes", "scores", "limit", "overlap", "least"], ["y"])
    constants = {"limit": np.array([20]), "overlap": np.array([0.3], np.float32), "least": np.array([0.1], np.float32)}
    inputs = {"boxes": boxes, "scores": scores}
    model = model_of(node, inputs, constants=constants, opset=17)
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "found"
    check(model, inputs, machine, seed)


@on_two_machines
def test_loop_of_run_time(machine: Machine) -> None:
    """Its number of rounds is an input, its condition is computed, and what it collects has a size of run time."""
    model = parser.parse_model("""<ir_version: 9, opset_import: ["" : 17]>
        g (int64 limit, float[3] x) => (float[3] y, float[rounds, 3] all) {
          always = Constant <value = bool {1}> ()
          y, all = Loop (limit, always, x) <
              body = b (int64 i, bool before, float[3] a) => (bool goes_on, float[3] o, float[3] c) {
            o = Add (a, a)
            c = Identity (o)
            top = Constant <value = float {100.0}> ()
            largest = ReduceMax <keepdims = 0> (o)
            goes_on = Less (largest, top)
          }>
        }""")
    module = webree.load(compile(model, target=machine.target, profile=machine.profile), device=machine.device)
    for limit, rounds in ((3, 3), (50, 6), (1, 1)):
        last, collected = (np.asarray(item) for item in module.main(np.int64(limit), np.full(3, 2, np.float32)))
        np.testing.assert_array_equal(last, np.full(3, 2.0 ** (rounds + 1)))
        np.testing.assert_array_equal(collected, np.repeat(2.0 ** np.arange(2, rounds + 2), 3).reshape(rounds, 3))


@on_two_machines
def test_negative_padding_cuts_off(machine: Machine, chance: np.random.Generator) -> None:
    inputs = {"x": uniform(chance, 1, 5, 2)}
    node = helper.make_node("Pad", ["x", "pads"], ["y"])
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 5, 2]) for name in "xy"]
    pads = numpy_helper.from_array(np.array([0, -1, 0, 0, 1, 0]), "pads")
    model = helper.make_model(
        helper.make_graph([node], "pad", info[:1], info[1:], [pads]), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 10
    (found,) = run(model, inputs, machine)
    np.testing.assert_array_equal(found, np.pad(inputs["x"][:, 1:], ((0, 0), (0, 1), (0, 0))))


@on_two_machines
def test_dimensions_of_one_name_must_be_equal(machine: Machine) -> None:
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 3]) for name in ("a", "b", "c")]
    model = helper.make_model(
        helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "sum", info[:2], info[2:]),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    model.ir_version = 10
    module = webree.load(compile(model, target=machine.target, profile=machine.profile), device=machine.device)
    one, two = np.ones((1, 3), np.float32), np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(np.asarray(module.main(two, two)), two + two)
    message = (
        "dimension 0 of input 'b' and dimension 0 of input 'a' are both 'rows' in the model, so they must be equal"
    )
    with pytest.raises(InvocationError, match=message):
        module.main(one, two)
    np.testing.assert_array_equal(np.asarray(module.main(one, one)), one + one)


@on_two_machines
def test_bernoulli_draws_with_the_given_chances(machine: Machine) -> None:
    """0 and 1 for certain; a quarter of many within five standard deviations."""
    chances = np.concatenate([np.zeros(100), np.ones(100), np.full(10_000, 0.25)]).astype(np.float32)
    node = helper.make_node("Bernoulli", ["p"], ["y"], seed=1.0)
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, chances.shape) for name in ("p", "y")]
    model = helper.make_model(
        helper.make_graph([node], "draw", info[:1], info[1:]), opset_imports=[helper.make_opsetid("", 22)]
    )
    model.ir_version = 10
    (found,) = run(model, {"p": chances}, machine)
    assert not found[:100].any()
    assert found[100:200].all()
    assert abs(found[200:].mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 10_000)


def test_small_floats_can_only_be_moved_and_cast() -> None:
    kind = TensorProto.FLOAT8E4M3FN
    info = [helper.make_tensor_value_info(name, kind, [4]) for name in ("x", "y")]
    model = helper.make_model(
        helper.make_graph([helper.make_node("Relu", ["x"], ["y"], name="r")], "small", info[:1], info[1:]),
        opset_imports=[helper.make_opsetid("", 22)],
    )
    with pytest.raises(
        CompileError, match=r"'r': Relu cannot be computed with elements of type FLOAT8E4M3FN.*cast them"
    ):
        compile(model, target="cpu")


@on_two_machines
def test_sequences_within_a_model(machine: Machine, chance: np.random.Generator) -> None:
    """Split, picked, put in, counted and joined again."""
    model = parser.parse_model("""<ir_version: 9, opset_import: ["" : 17]>
        g (float[6, 2] x) => (float[4, 2] y, int64 n) {
          two = Constant <value = int64 {2}> ()
          zero = Constant <value = int64 {0}> ()
          last = Constant <value = int64 {-1}> ()
          parts = SplitToSequence <axis = 0> (x, two)
          tail = SequenceAt (parts, last)
          shorter = SequenceErase (parts, last)
          front = SequenceErase (shorter, zero)
          turned = SequenceInsert (front, tail, zero)
          n = SequenceLength (turned)
          y = ConcatFromSequence <axis = 0> (turned)
        }""")
    x = uniform(chance, 6, 2)
    found, count = run(model, {"x": x}, machine)
    np.testing.assert_array_equal(found, np.concatenate([x[4:], x[2:4]]))
    assert count == 2


def test_sequences_of_a_signature_are_refused_by_name() -> None:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [2]))
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("SequenceConstruct", ["x"], ["s"])],
            "sequence",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
            [helper.make_value_info("s", kind)],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    message = r"functions of a module take and return tensors; found output 's' \(a sequence\)\. Make it several"
    with pytest.raises(CompileError, match=message) as caught:
        compile(model, target="cpu")
    assert caught.value.unsupported
