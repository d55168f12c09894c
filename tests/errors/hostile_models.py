"""Small valid models of every front end, as files: what the damaged ones of tests/errors/mutants.py are made of.

Enters: nothing. Leaves: `models()`, each a `Model`: a name, its format, and its files, the first of which is compiled.
Together they hold what readers have branches for: weights inside and beside the model, subgraphs, local functions,
sizes left open, quantised tensors, signatures, metadata, several functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.compiler_programs import PROGRAMS, onnx_model

__all__ = ["FORMATS", "Model", "models"]


@dataclass(frozen=True)
class Model:
    """A model as files by name; the first is the model, others lie beside it."""

    name: str
    format: str
    files: dict[str, bytes]


def models(form: str) -> list[Model]:
    """All small models of a format."""
    return [Model(name, form, files) for name, files in FORMATS[form]().items()]


def _onnx() -> dict[str, dict[str, bytes]]:
    found = {"image": _image(), "open": _open(), "control": _control(), "quantised": _quantised(), "small": _small()}
    return {name: {"model.onnx": model.SerializeToString()} for name, model in found.items()}


def _weights(name: str, *shape: int) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape), name)


def _image() -> Any:
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("MaxPool", ["c"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "m"], ["g"], transB=1),
        helper.make_node("Softmax", ["g"], ["y"], axis=1),
    ]
    weights = [_weights("w", 4, 3, 3, 3), _weights("b", 4), _weights("m", 5, 64)]
    return onnx_model(nodes, [("x", TensorProto.FLOAT, [1, 3, 8, 8])], [("y", TensorProto.FLOAT, [1, 5])], weights)


def _open() -> Any:
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axis"], ["u"]),
        helper.make_node("Concat", ["u", "rest"], ["sizes"], axis=0),
        helper.make_node("Reshape", ["x", "sizes"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["r", "t"], ["m"]),
        helper.make_node("ReduceMean", ["m"], ["y"], axes=[-1], keepdims=0),
        helper.make_node("Cast", ["y"], ["z"], to=TensorProto.INT64),
    ]
    constants = [
        numpy_helper.from_array(np.array(0), "zero"),
        numpy_helper.from_array(np.array([0]), "axis"),
        numpy_helper.from_array(np.array([2, 3]), "rest"),
    ]
    return onnx_model(
        nodes,
        [("x", TensorProto.FLOAT, ["n", 6])],
        [("y", TensorProto.FLOAT, ["n", 2]), ("z", TensorProto.INT64, ["n", 2])],
        constants,
    )


def _control() -> Any:
    """A loop, a branch and a local function."""
    from onnx import TensorProto, helper, numpy_helper

    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Add", ["v", "v"], ["w"]), helper.make_node("Identity", ["c"], ["d"])],
        "body",
        [info("i", TensorProto.INT64, []), info("c", TensorProto.BOOL, []), info("v", TensorProto.FLOAT, [4])],
        [info("d", TensorProto.BOOL, []), info("w", TensorProto.FLOAT, [4])],
    )
    sides = {
        name: helper.make_graph([helper.make_node(op, ["l"], [name])], name, [], [info(name, TensorProto.FLOAT, [4])])
        for name, op in (("yes", "Relu"), ("no", "Neg"))
    }
    nodes = [
        helper.make_node("Loop", ["count", "", "x"], ["l"], body=body),
        helper.make_node("If", ["flag"], ["b"], then_branch=sides["yes"], else_branch=sides["no"]),
        helper.make_node("Twice", ["b"], ["y"], domain="own"),
    ]
    model = onnx_model(
        nodes,
        [("x", TensorProto.FLOAT, [4]), ("flag", TensorProto.BOOL, [])],
        [("y", TensorProto.FLOAT, [4])],
        [numpy_helper.from_array(np.array(3), "count")],
    )
    twice = [helper.make_node("Mul", ["a", "two"], ["r"])]
    twice.insert(0, helper.make_node("Constant", [], ["two"], value_float=2.0))
    model.opset_import.append(helper.make_opsetid("own", 1))
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "Twice", ["a"], ["r"], twice, opsets))
    return model


def _quantised() -> Any:
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("MatMulInteger", ["q", "w", "z"], ["m"]),
        helper.make_node("Cast", ["m"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("DequantizeLinear", ["w", "s", "zw"], ["d"]),
        helper.make_node("MatMul", ["f", "d"], ["g"]),
        helper.make_node("LayerNormalization", ["g", "n"], ["y"], axis=-1),
    ]
    constants = [
        numpy_helper.from_array(np.array(0.1, np.float32), "s"),
        numpy_helper.from_array(np.array(3, np.uint8), "z"),
        numpy_helper.from_array(np.array(0, np.int8), "zw"),
        numpy_helper.from_array(np.arange(-8, 8, dtype=np.int8).reshape(4, 4), "w"),
        _weights("n", 4),
    ]
    return onnx_model(
        nodes, [("x", TensorProto.FLOAT, [2, 4])], [("y", TensorProto.FLOAT, [2, 4])], constants, opset=17
    )


def _small() -> Any:
    """Operators whose sizes follow from values: slices, pads, tiles, indices, resizes."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Slice", ["x", "begin", "end", "axes"], ["a"]),
        helper.make_node("Pad", ["a", "pads"], ["b"]),
        helper.make_node("Tile", ["b", "times"], ["c"]),
        helper.make_node("Split", ["c"], ["d", "e"], axis=1),
        helper.make_node("TopK", ["d", "k"], ["f", "g"], axis=-1),
        helper.make_node("CumSum", ["e", "axis"], ["h"]),
        helper.make_node("Einsum", ["f", "h"], ["y"], equation="ij,ik->jk"),
        helper.make_node(
            "ConstantOfShape", ["times"], ["o"], value=helper.make_tensor("v", TensorProto.FLOAT, [1], [2])
        ),
        helper.make_node("Expand", ["o", "times"], ["z"]),
    ]
    values = {
        "begin": [0, 1],
        "end": [2, 3],
        "axes": [0, 1],
        "pads": [0, 1, 0, 1],
        "times": [2, 2],
        "k": [2],
    }
    constants = [numpy_helper.from_array(np.array(item), name) for name, item in values.items()]
    constants.append(numpy_helper.from_array(np.array(1), "axis"))
    return onnx_model(
        nodes,
        [("x", TensorProto.FLOAT, [3, 4])],
        [("y", TensorProto.FLOAT, None), ("g", TensorProto.INT64, None), ("z", TensorProto.FLOAT, None)],
        constants,
    )


def _external() -> dict[str, dict[str, bytes]]:
    """Weights in a file beside the model: some mapped where they lie (large, aligned), some read."""
    from onnx import TensorProto

    model = _image()
    large = _weights("m", 5, 4096)
    model.graph.initializer[2].CopyFrom(large)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 64
    model.graph.initializer[2].dims[:] = [5, 4096]
    data = bytearray()
    for tensor in model.graph.initializer:
        data += bytes(-len(data) % 64)
        content = tensor.raw_data
        for key, value in {"location": "weights.bin", "offset": len(data), "length": len(content)}.items():
            tensor.external_data.add(key=key, value=str(value))
        tensor.data_location = TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        data += content
    return {"external": {"model.onnx": model.SerializeToString(), "weights.bin": bytes(data)}}


def _tflite() -> dict[str, dict[str, bytes]]:
    from ai_edge_litert import schema_py_generated as schema

    from tests.frontends.tflite_models import Builder, Quantized

    def options(name: str, **fields: Any) -> Any:
        made = getattr(schema, f"{name}OptionsT")()
        for key, value in fields.items():
            setattr(made, key, value)
        return made

    image = Builder()
    x = image.input("x", [1, 6, 6, 2], "float32", signature=[-1, 6, 6, 2])
    w = image.constant(np.ones((3, 3, 3, 2), np.float32))
    b = image.constant(np.ones(3, np.float32))
    c = image.tensor("c", [1, 3, 3, 3], "float32", signature=[-1, 3, 3, 3])
    image.operator(
        "CONV_2D", [x, w, b], [c], options("Conv2D", strideW=2, strideH=2, dilationWFactor=1, dilationHFactor=1)
    )
    shape = image.constant(np.array([-1, 27], np.int32))
    r = image.tensor("r", [1, 27], "float32", signature=[-1, 27])
    image.operator("RESHAPE", [c, shape], [r], options("Reshape", newShape=[-1, 27]))
    y = image.tensor("y", [1, 27], "float32", signature=[-1, 27])
    image.operator("SOFTMAX", [r], [y], options("Softmax", beta=1.0))
    image.graph.outputs = [y]
    image.signature("serve", {"in": x}, {"out": y})

    quantised = Builder()
    how = Quantized(0.5, 3)
    x = quantised.input("x", [2, 4], "int8", quantized=how)
    w = quantised.constant(np.arange(20, dtype=np.int8).reshape(5, 4), Quantized([0.1] * 5, 0, 0))
    b = quantised.constant(np.arange(5, dtype=np.int32))
    y = quantised.tensor("y", [2, 5], "int8", quantized=how)
    quantised.operator("FULLY_CONNECTED", [x, w, b], [y], options("FullyConnected"))
    begins = quantised.constant(np.array([0, 1], np.int32))
    sizes = quantised.constant(np.array([2, 3], np.int32))
    z = quantised.tensor("z", [2, 3], "int8", quantized=how)
    quantised.operator("SLICE", [y, begins, sizes], [z])
    quantised.graph.outputs = [z, y]

    control = Builder()
    flag = control.input("flag", [], "bool")
    x = control.input("x", [4], "float32")
    y = control.tensor("y", [4], "float32")
    control.operator("IF", [flag, x], [y], options("If", thenSubgraphIndex=1, elseSubgraphIndex=2))
    control.graph.outputs = [y]
    for name in ("EXP", "NEG"):
        control.subgraph()
        inner = control.input("a", [4], "float32")
        out = control.tensor("b", [4], "float32")
        control.operator(name, [inner], [out])
        control.graph.outputs = [out]
    built = {"image": image, "quantised": quantised, "control": control}
    return {name: {"model.tflite": builder.build()} for name, builder in built.items()}


def _gguf() -> dict[str, dict[str, bytes]]:
    from tests.llm.random_models import random_gpt2, random_llama

    gpt2 = random_gpt2(1, layers=1, width=32, heads=2, vocabulary=32, context=16)
    llama = random_llama(1, layers=1, width=64, vocabulary=32, hidden=64, context=16, types=("Q4_0", "Q8_0", "F16"))
    return {"gpt2": {"model.gguf": gpt2.data}, "llama": {"model.gguf": llama.data}}


def _mlir() -> dict[str, dict[str, bytes]]:
    return {name: {"model.mlir": text.encode()} for name, text in PROGRAMS.items()}


def _mlir_bytecode() -> dict[str, dict[str, bytes]]:
    import io

    from webree.compiler.session import Session

    found = {}
    for name, text in PROGRAMS.items():
        with Session() as session:
            buffer = io.BytesIO()
            session.parse(text.encode(), name).write_bytecode(buffer)
            found[name] = {"model.mlirbc": buffer.getvalue()}
    return found


def _parameters() -> dict[str, dict[str, bytes]]:
    """Archives of weights, which are opened beside a compiled module."""
    import json
    import struct
    import tempfile
    from pathlib import Path

    import webree

    data = bytes(range(64)) * 4
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "a": {"dtype": "F32", "shape": [4, 8], "data_offsets": [0, 128]},
            "b": {"dtype": "I8", "shape": [128], "data_offsets": [128, 256]},
        }
    ).encode()
    found = {"plain": {"model.safetensors": struct.pack("<Q", len(header)) + header + data}}
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("irpa", "safetensors"):
            path = Path(folder) / f"model.{ending}"
            webree.compile(_image(), parameters=path)
            found[ending] = {path.name: path.read_bytes()}
    return found


def _jax() -> dict[str, dict[str, bytes]]:
    import jax
    import jax.export

    def layer(x: Any, w: Any) -> Any:
        return jax.nn.softmax(jax.numpy.tanh(x @ w), axis=-1).sum(0)

    arguments = (jax.ShapeDtypeStruct((3, 4), "float32"), jax.ShapeDtypeStruct((4, 5), "float32"))
    exported = jax.export.export(jax.jit(layer), platforms=["cpu"])(*arguments)
    return {"layer": {"model.jaxexport": bytes(exported.serialize())}}


def _torch() -> dict[str, dict[str, bytes]]:
    import io

    import torch

    module = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.GELU(), torch.nn.LayerNorm(5))
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(module, (torch.zeros(2, 4),)), buffer)
    return {"layers": {"model.pt2": buffer.getvalue()}}


FORMATS: dict[str, Callable[[], dict[str, dict[str, bytes]]]] = {
    "onnx": _onnx,
    "external": _external,
    "tflite": _tflite,
    "gguf": _gguf,
    "mlir": _mlir,
    "mlirbc": _mlir_bytecode,
    "parameters": _parameters,
    "jax": _jax,
    "torch": _torch,
}
"""Format -> its models; `jax` and `torch` take seconds to import, and are left to runs by hand."""
