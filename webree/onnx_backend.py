"""webree as an ONNX backend: `prepare`, `run_model`, `run_node`, `supports_device`, as `onnx.backend.base` has them.

    from onnx.backend.test import BackendTest
    import webree.onnx_backend

    globals().update(BackendTest(webree.onnx_backend).test_cases)

Enters: an `onnx.ModelProto` (or a node), and NumPy arrays by position or name. Leaves: a tuple of NumPy arrays, of the
types that the model states. The model is compiled in this process. ONNX's own device names say nothing about a GPU that
is no CUDA device, so `CPU` means the device named in the environment variable `WEBREE_ONNX_DEVICE`, by default `cpu`;
webree's own names (`cpu`, `vmvx`, `webgpu`) mean themselves.
API: https://onnx.ai/onnx/api/backend.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import webree
from webree.errors import UsageError

__all__ = ["DEVICES", "BackendRep", "is_compatible", "prepare", "run_model", "run_node", "supports_device"]

DEVICES = ("cpu", "vmvx", "webgpu")
"""Devices by webree's names; each is a compile target as well."""

_SMALL_FLOATS = ("float8", "float4")
_SMALL_INTEGERS = ("int4", "uint4", "int2", "uint2")
"""Types of ml_dtypes that a module has as bytes: a float's code, an integer's value."""
_VARIABLE = "WEBREE_ONNX_DEVICE"


class BackendRep:
    """A compiled and loaded model.

    Attributes:
        module: the `webree.Module`; its one function is `main`.
    """

    def __init__(self, module: Any, inputs: Sequence[str], outputs: Sequence[Any]) -> None:
        self.module = module
        self._inputs = list(inputs)
        self._outputs = list(outputs)

    def run(self, inputs: Any, **_: Any) -> tuple[Any, ...]:
        """The outputs for these inputs: one array, a sequence in the model's order, or a mapping by name.

        Raises `InvocationError` for inputs that do not fit the model."""
        import numpy

        if isinstance(inputs, Mapping):
            inputs = [inputs[name] for name in self._inputs]
        elif isinstance(inputs, numpy.ndarray):
            inputs = [inputs]
        taken = [parameter.type for parameter in self.module.main.signature.inputs]
        results = self.module.main(*(_as_taken(value, kind) for value, kind in zip(inputs, taken, strict=True)))
        if len(self._outputs) == 1:
            results = (results,)
        return tuple(_as_stated(value, kind) for value, kind in zip(results, self._outputs, strict=True))


def supports_device(device: str) -> bool:
    """Whether `device` is ONNX's `CPU` or a device of webree."""
    return device == "CPU" or device.lower() in DEVICES


def is_compatible(model: Any, device: str = "CPU", **_: Any) -> bool:
    """True: whether a model can be compiled shows when it is."""
    return supports_device(device)


def prepare(model: Any, device: str = "CPU", **options: Any) -> BackendRep:
    """Compile and load a model. `options` go to `webree.compile`, but for those that ONNX's tests add.

    A device without 64-bit floats computes them as 32-bit floats, of which a `CompileWarning` tells; inputs and outputs
    keep the types that the model states, and are converted here.

    Raises `CompileError`, `DeviceError`, and `UsageError` for a device that there is not."""
    import onnx

    name = _device_name(device)
    options = {key: value for key, value in options.items() if key not in ("rtol", "atol")}
    data = webree.compile(model, target=name, **options)
    initialised = {tensor.name for tensor in model.graph.initializer}
    inputs = [item.name for item in model.graph.input if item.name not in initialised]
    outputs = [onnx.helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type) for item in model.graph.output]
    return BackendRep(webree.load(data, device=name), inputs, outputs)


def run_model(model: Any, inputs: Any, device: str = "CPU", **options: Any) -> tuple[Any, ...]:
    """Compile a model, run it once, and return its outputs. Raises as `prepare` and `BackendRep.run` do."""
    return prepare(model, device, **options).run(inputs)


def run_node(
    node: Any,
    inputs: Any,
    device: str = "CPU",
    outputs_info: Sequence[tuple[Any, tuple[int, ...]]] | None = None,
    **options: Any,
) -> tuple[Any, ...]:
    """Run one node. `inputs`: arrays for those of its inputs that have names, in order, or a mapping by name.

    `outputs_info` gives type and shape of each output; without it they are inferred. `opset_version` among the options
    chooses the operator's version, by default the newest. Raises as `run_model` does."""
    import numpy
    from onnx import helper, shape_inference

    names = [name for name in dict.fromkeys(node.input) if name]
    arrays = inputs if isinstance(inputs, Mapping) else dict(zip(names, inputs, strict=True))
    arrays = {name: numpy.asarray(arrays[name]) for name in names}
    given = [_value_info(name, array.dtype, array.shape) for name, array in arrays.items()]
    results = [name for name in node.output if name]
    if outputs_info is None:
        made = [helper.make_empty_tensor_value_info(name) for name in results]
    else:
        made = [
            _value_info(name, numpy.dtype(kind), shape)
            for name, (kind, shape) in zip(results, outputs_info, strict=True)
        ]
    version = options.pop("opset_version", None)
    opsets = {"opset_imports": [helper.make_opsetid(node.domain, version)]} if version else {}
    model = helper.make_model(helper.make_graph([node], "node", given, made), **opsets)
    if outputs_info is None:
        model = shape_inference.infer_shapes(model, strict_mode=True)
    return run_model(model, list(arrays.values()), device, **options)


def _as_taken(value: Any, kind: Any) -> Any:
    """A 64-bit float as the 32-bit one that the module takes in its place; numbers of few bits as bytes."""
    import numpy

    if not isinstance(value, numpy.ndarray):
        return value
    if value.dtype == numpy.float64 and str(kind).endswith("f32"):
        return value.astype(numpy.float32)
    if value.dtype.name.startswith(_SMALL_FLOATS):
        return value.view(numpy.uint8)
    if value.dtype.name in _SMALL_INTEGERS:
        return value.astype(numpy.uint8 if value.dtype.name.startswith("u") else numpy.int8)
    return value


def _as_stated(value: Any, kind: Any) -> Any:
    """A result as the type that the model states."""
    import numpy

    if kind.name.startswith(_SMALL_FLOATS):
        return numpy.ascontiguousarray(value).view(kind)
    return numpy.asarray(value).astype(kind) if kind.name in _SMALL_INTEGERS else numpy.asarray(value, kind)


def _value_info(name: str, kind: Any, shape: Sequence[int]) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(kind), shape)


def _device_name(device: str) -> str:
    name = os.environ.get(_VARIABLE, "cpu") if device == "CPU" else device.lower()
    if name not in DEVICES:
        where = f" (environment variable {_VARIABLE})" if device == "CPU" else ""
        raise UsageError(f"there is no device {name!r}{where}; there are {', '.join(DEVICES)}")
    return name
