"""TensorFlow Lite models: names, sizes left open, state between calls, control flow, real models, damaged files.

References are Google's interpreter's, on fresh inputs. The operators one by one are in test_tflite_ops.py.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import webree
from tests.compiling import compiled_file
from tests.conftest import Machine
from tests.frontends.tflite_models import ON_DEVICES, REAL, Builder, Quantized, expose, fetch, interpret, output_names
from tests.models import relative_error
from webree.compiler.frontends import import_model, open_source
from webree.compiler.session import Session
from webree.errors import CompileError, InvocationError, UsageError

Tensor = np.ndarray[Any, Any]


def _options(name: str, **fields: Any) -> Any:
    found = getattr(schema, f"{name}OptionsT")()
    for key, value in fields.items():
        assert hasattr(found, key), key
        setattr(found, key, value)
    return found


def _load(data: bytes, machine: Machine) -> webree.Module:
    path = compiled_file(data, target=machine.target, profile=machine.profile)
    return webree.load(path, device=machine.device)


def _perceptron(seed: int) -> bytes:
    """Rows left open; the reshape takes their number from the input's shape, as Keras writes it."""
    generator = np.random.default_rng(seed)

    def weights(*shape: int) -> Tensor:
        return generator.uniform(-1, 1, shape).astype(np.float32)

    builder = Builder()
    x = builder.input("x:0", [1, 3, 4], "float32", signature=[-1, 3, 4])
    shape = builder.tensor("shape", [3], "int32")
    builder.operator("SHAPE", [x], [shape], _options("Shape", outType=2))
    rows = builder.tensor("rows", [], "int32")
    ends = [builder.constant(np.array([value], np.int32)) for value in (0, 1, 1)]
    builder.operator("STRIDED_SLICE", [shape, *ends], [rows], _options("StridedSlice", shrinkAxisMask=1))
    sizes = builder.tensor("sizes", [2], "int32")
    twelve = builder.constant(np.array(12, np.int32))
    builder.operator("PACK", [rows, twelve], [sizes], _options("Pack", valuesCount=2, axis=0))
    flat = builder.tensor("flat", [1, 12], "float32", signature=[-1, 12])
    builder.operator("RESHAPE", [x, sizes], [flat], _options("Reshape", newShape=[]))
    y = builder.tensor("y:0", [1, 5], "float32", signature=[-1, 5])
    builder.operator(
        "FULLY_CONNECTED",
        [flat, builder.constant(weights(5, 12)), builder.constant(weights(5))],
        [y],
        _options("FullyConnected", fusedActivationFunction=1),
    )
    builder.graph.outputs.append(y)
    builder.signature("serving_default", {"features": x}, {"scores": y})
    return builder.build()


@ON_DEVICES
def test_rows_left_open(machine: Machine, seed: int) -> None:
    data = _perceptron(seed)
    generator = np.random.default_rng(seed + 1)
    with _load(data, machine) as module:
        signature = module.main.signature
        assert [item.name for item in signature.inputs] == ["features"]
        assert [item.name for item in signature.outputs] == ["scores"]
        for rows in (1, 4, 7):
            x = generator.standard_normal((rows, 3, 4)).astype(np.float32)
            ((expected,),) = interpret(data, [x])
            assert relative_error(module.main(features=x), expected) < 1e-5


def test_computed_in_f16(seed: int) -> None:
    x = np.random.default_rng(seed + 1).standard_normal((4, 3, 4)).astype(np.float32)
    data = _perceptron(seed)
    ((expected,),) = interpret(data, [x])
    module = webree.compile(data, target="cpu", demote=["f32-to-f16"])
    with webree.load(module, device="cpu") as loaded:
        error = relative_error(loaded.main(x), expected)
    assert 1e-6 < error < 1e-2, f"WEBREE_SEED={seed}"


def test_sizes_bound_by_name(seed: int) -> None:
    data = _perceptron(seed)
    for dims in ({"batch": 2}, {"features[0]": 2}):
        module = webree.load(webree.compile(data, target="cpu", dims=dims), device="cpu")
        with module, pytest.raises(InvocationError, match=r"2x3x4|\(2, 3, 4\)"):
            module.main(np.zeros((3, 3, 4), np.float32))
    with pytest.raises(UsageError, match=r"no dimension named rows; .* by input and axis \(features\[0\]"):
        webree.compile(data, target="cpu", dims={"rows": 2})


def test_a_size_that_the_file_fixes_can_be_another(seed: int) -> None:
    builder = Builder()
    x, y = builder.input("x", [1, 4], "float32"), builder.tensor("y", [1, 4], "float32")
    builder.operator("EXP", [x], [y])
    builder.graph.outputs.append(y)
    value = np.random.default_rng(seed).standard_normal((3, 4)).astype(np.float32)
    with webree.load(webree.compile(builder.build(), target="cpu", dims={"x[0]": 3}), device="cpu") as module:
        assert relative_error(module.main(value), np.exp(value.astype(np.float64))) < 1e-6


def _counter() -> bytes:
    """Adds its input to a variable that starts at 5, and returns the sum; two signatures share the variable."""
    builder = Builder()
    x = builder.input("x", [2], "int32")
    builder.operator("CALL_ONCE", [], [], _options("CallOnce", initSubgraphIndex=1))
    handle, old, total = (builder.tensor("h", [], "resource"), *(builder.tensor(n, [2], "int32") for n in "ab"))
    variable = _options("VarHandle", container="", sharedName="total")
    builder.operator("VAR_HANDLE", [], [handle], variable)
    builder.operator("READ_VARIABLE", [handle], [old])
    builder.operator("ADD", [old, x], [total], _options("Add"))
    builder.operator("ASSIGN_VARIABLE", [handle, total], [])
    builder.graph.outputs.append(total)
    builder.subgraph()
    handle = builder.tensor("h", [], "resource")
    builder.operator("VAR_HANDLE", [], [handle], variable)
    builder.operator("ASSIGN_VARIABLE", [handle, builder.constant(np.array([5, 6], np.int32))], [])
    builder.subgraph()
    handle, now = builder.tensor("h", [], "resource"), builder.tensor("now", [2], "int32")
    builder.operator("VAR_HANDLE", [], [handle], variable)
    builder.operator("READ_VARIABLE", [handle], [now])
    builder.graph.outputs.append(now)
    builder.signature("add", {"x": x}, {"total": total})
    builder.signature("show", {}, {"now": now}, subgraph=2)
    return builder.build()


@ON_DEVICES
def test_variables_keep_their_elements_between_calls_and_functions(machine: Machine) -> None:
    with _load(_counter(), machine) as module:
        one = np.array([1, 10], np.int32)
        assert module.show().tolist() == [5, 6]
        assert module.add(one).tolist() == [6, 16]
        assert module.add(one).tolist() == [7, 26]
        assert module.show().tolist() == [7, 26]


def _control_flow() -> bytes:
    """Doubles x until it is above 100, then halves it if `halve`."""
    builder = Builder()
    x, halve = builder.input("x", [], "float32"), builder.input("halve", [], "bool")
    big, y = builder.tensor("big", [], "float32"), builder.tensor("y", [], "float32")
    builder.operator("WHILE", [x], [big], _options("While", condSubgraphIndex=1, bodySubgraphIndex=2))
    builder.operator("IF", [halve, big], [y], _options("If", thenSubgraphIndex=3, elseSubgraphIndex=4))
    builder.graph.outputs.append(y)

    def graph(op: str, other: float, dtype: str, options: Any) -> None:
        builder.subgraph()
        value, result = builder.input("v", [], "float32"), builder.tensor("r", [], dtype)
        builder.operator(op, [value, builder.constant(np.array(other, np.float32))], [result], options)
        builder.graph.outputs.append(result)

    graph("LESS", 100, "bool", None)
    graph("MUL", 2, "float32", _options("Mul"))
    graph("MUL", 0.5, "float32", _options("Mul"))
    graph("ADD", 0, "float32", _options("Add"))
    return builder.build()


@ON_DEVICES
def test_control_flow(machine: Machine, seed: int) -> None:
    data = _control_flow()
    generator = np.random.default_rng(seed)
    with _load(data, machine) as module:
        for halve in (False, True):
            x, flag = np.float32(generator.uniform(0.5, 90)), np.bool_(halve)
            inputs = [np.asarray(x), np.asarray(flag)]
            ((expected,),) = interpret(data, inputs)
            np.testing.assert_array_equal(module.main(*inputs), expected)


def _lstm(seed: int, batch: int, steps: int, time_major: bool) -> bytes:
    """One layer, with its state in tensors that the file marks as variable."""
    generator = np.random.default_rng(seed)
    width, units = 5, 6

    def weights(*shape: int) -> Tensor:
        return generator.uniform(-0.7, 0.7, shape).astype(np.float32)

    builder = Builder()
    outer = [steps, batch] if time_major else [batch, steps]
    x, y = builder.input("x", [*outer, width], "float32"), builder.tensor("y", [*outer, units], "float32")
    inputs = [x, *(builder.constant(weights(units, width)) for _ in range(4))]
    inputs += [*(builder.constant(weights(units, units)) for _ in range(4)), -1, -1, -1]
    inputs += [*(builder.constant(weights(units)) for _ in range(4)), -1, -1]
    for name in ("state", "cell"):
        inputs.append(builder.tensor(name, [batch, units], "float32"))
        builder.graph.tensors[inputs[-1]].isVariable = True
    options = _options("UnidirectionalSequenceLSTM", fusedActivationFunction=4, timeMajor=time_major)
    builder.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", [*inputs, -1, -1, -1, -1], [y], options)
    builder.graph.outputs.append(y)
    return builder.build()


@ON_DEVICES
@pytest.mark.parametrize("time_major", [False, True])
def test_lstm_goes_on_where_the_call_before_ended(machine: Machine, seed: int, time_major: bool) -> None:
    data = _lstm(seed, 2, 7, time_major)
    generator = np.random.default_rng(seed + 1)
    calls = [[generator.standard_normal((7, 2, 5) if time_major else (2, 7, 5)).astype(np.float32)] for _ in range(3)]
    with _load(data, machine) as module:
        for inputs, (expected,) in zip(calls, interpret(data, *calls), strict=True):
            assert relative_error(module.main(*inputs), expected) < 1e-5, f"WEBREE_SEED={seed}"


def _spectrum(length: int) -> bytes:
    """The parts of a transform of each row, and its magnitude."""
    builder, count = Builder(), length // 2 + 1
    x, z = builder.input("x", [3, 1, length], "float32"), builder.tensor("z", [3, 1, count], "complex64")
    builder.operator("RFFT2D", [x, builder.constant(np.array([1, length], np.int32))], [z])
    flat = builder.tensor("flat", [3, count], "complex64")
    builder.operator("RESHAPE", [z, builder.constant(np.array([3, count], np.int32))], [flat])
    for name in ("REAL", "IMAG", "COMPLEX_ABS", "CAST"):
        y = builder.tensor(name, [3, count], "float32")
        builder.operator(name, [flat], [y])
        builder.graph.outputs.append(y)
    return builder.build()


@ON_DEVICES
def test_spectra(machine: Machine, seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((3, 1, 64)).astype(np.float32)
    spectrum = np.fft.rfft(x[:, 0].astype(np.float64))
    with _load(_spectrum(64), machine) as module:
        found = module.main(x)
    for mine, theirs in zip(found, (spectrum.real, spectrum.imag, np.abs(spectrum), spectrum.real), strict=True):
        assert relative_error(mine, theirs) < 1e-6, f"WEBREE_SEED={seed}"


@pytest.mark.parametrize(
    ("name", "machine"),
    [pytest.param(name, *device.values, marks=device.marks) for name, row in REAL.items() for device in row.devices],
    indirect=["machine"],
)
def test_real_model(name: str, machine: Machine, seed: int) -> None:
    """Several calls: state, if there is any, goes on."""
    data = fetch(name)
    if name == "wake_word":  # the score before the sigmoid says more: random sounds are no wake words
        data = expose(data, "FULLY_CONNECTED")
    count = {"wake_word": 40, "face_detection": 2}.get(name, 1)
    calls = [REAL[name].inputs(np.random.default_rng(seed + number)) for number in range(count)]
    expected = interpret(data, *calls)
    with _load(data, machine) as module:
        order = [item.name for item in module.main.signature.outputs]
        for inputs, theirs in zip(calls, expected, strict=True):
            found = module.main(*inputs)
            mine = dict(zip(order, found if isinstance(found, tuple) else (found,), strict=True))
            for output, value in zip(output_names(data), theirs, strict=True):
                REAL[name].check(mine[output], value, f"{output} (WEBREE_SEED={seed})")


def test_quantised_numbers_stay_what_they_are(seed: int) -> None:
    """The signature of an 8-bit model: int8 in, uint8 out, as the file says."""
    with webree.load(webree.compile(fetch("wake_word"), target="cpu"), device="cpu") as module:
        signature = module.main.signature
        assert [str(item) for item in signature.inputs] == ["input_audio: 1x3x40xi8"]
        assert [str(item) for item in signature.outputs] == ["dense_1: 1x1xui8"]


# What is refused


def _import(data: bytes) -> None:
    with Session(["--iree-hal-target-device=local"]) as session:
        import_model(session, open_source(data), "tflite", dims={}, entry_name="main")


def _one(op: str, options: Any = None, dtype: str = "float32", **how: Any) -> bytes:
    builder = Builder()
    x, y = builder.input("x", [2, 3], dtype), builder.tensor("result", [2, 3], dtype)
    builder.operator(op, [x], [y], options, **how)
    builder.graph.outputs.append(y)
    return builder.build()


@pytest.mark.parametrize(
    ("op", "kind"),
    [("WHERE", "builtin operator 109"), ("Flex:Exotic", "custom operator"), ("SVDF", "builtin operator 27")],
)
def test_unsupported_operator(op: str, kind: str) -> None:
    with pytest.raises(CompileError) as found:
        _import(_one(op))
    assert str(found.value).startswith(
        f"model: {op} (operator 0) -> 'result': {op} ({kind}) is not supported; docs/tflite.md lists those that are"
    )
    assert found.value.unsupported
    assert found.value.op == op
    assert found.value.location == f"{op} (operator 0) -> 'result'"


def test_shapes_that_contradict_each_other() -> None:
    builder = Builder()
    x, z = builder.input("x", [2, 3], "float32"), builder.input("z", [4], "float32")
    y = builder.tensor("y", [2, 3], "float32")
    builder.operator("ADD", [x, z], [y], _options("Add"))
    builder.graph.outputs.append(y)
    with pytest.raises(
        CompileError, match=r"ADD \(operator 0\) -> 'y': inputs of the shapes \[2, 3\] and \[4\] do not"
    ):
        _import(builder.build())


def test_a_result_of_another_type_than_the_file_says() -> None:
    builder = Builder()
    x, y = builder.input("x", [2], "float32"), builder.tensor("y", [2], "float16")
    builder.operator("CONCATENATION", [x], [y], _options("Concatenation"))
    builder.graph.outputs.append(y)
    with pytest.raises(CompileError, match=r"CONCATENATION .* result would be f32, and the file says FLOAT16") as found:
        _import(builder.build())
    assert not found.value.unsupported


def test_element_types_that_nothing_reads() -> None:
    data = bytearray(_one("RELU"))
    whole = schema.ModelT.InitFromPackedBuf(bytes(data), 0)
    whole.subgraphs[0].tensors[0].type = schema.TensorType.STRING
    import flatbuffers

    builder = flatbuffers.Builder(256)
    builder.Finish(whole.Pack(builder), b"TFL3")
    with pytest.raises(CompileError, match=r"tensor 'x' has the element type STRING, which is not supported"):
        _import(bytes(builder.Output()))


def test_a_subgraph_that_calls_itself() -> None:
    builder = Builder()
    x, y = builder.input("x", [], "bool"), builder.tensor("y", [], "bool")
    builder.operator("IF", [x, x], [y], _options("If", thenSubgraphIndex=0, elseSubgraphIndex=0))
    builder.graph.outputs.append(y)
    with pytest.raises(CompileError, match=r"is damaged: subgraph 0 .*"):
        _import(builder.build())


def test_damaged_files(seed: int) -> None:
    """Truncated, or with bytes changed: imported, or refused with one `CompileError`; nothing else."""
    dice = random.Random(seed)
    models = [_perceptron(seed), _counter(), _control_flow(), fetch("wake_word")]
    refused = 0
    for number in range(240):
        data = bytearray(models[number % len(models)])
        if number % 5 == 0:
            del data[dice.randrange(8, len(data)) :]
        else:
            for _ in range(dice.choice((1, 1, 2, 8))):
                data[dice.randrange(8, len(data))] = dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))
        try:
            _import(bytes(data))
        except CompileError:
            refused += 1
        except Exception as error:
            pytest.fail(f"{error!r} (WEBREE_SEED={seed}, {number})")
    assert 60 < refused < 240, f"WEBREE_SEED={seed}"


@ON_DEVICES
def test_quantised_weights_with_float_activations(machine: Machine, seed: int) -> None:
    """Weights alone in 8 bits: against the real numbers that they stand for, in f64."""
    generator = np.random.default_rng(seed)
    weights = generator.integers(-127, 128, (6, 40)).astype(np.int8)
    scales = generator.uniform(0.001, 0.02, 6).astype(np.float32)
    builder = Builder()
    x, y = builder.input("x", [3, 40], "float32"), builder.tensor("y", [3, 6], "float32")
    builder.operator(
        "FULLY_CONNECTED",
        [x, builder.constant(weights, Quantized([float(s) for s in scales]))],
        [y],
        _options("FullyConnected"),
        version=12,
    )
    builder.graph.outputs.append(y)
    value = generator.standard_normal((3, 40)).astype(np.float32)
    expected = value.astype(np.float64) @ (weights.astype(np.float64) * scales[:, None].astype(np.float64)).T
    with _load(builder.build(), machine) as module:
        assert relative_error(module.main(value), expected) < 1e-6
