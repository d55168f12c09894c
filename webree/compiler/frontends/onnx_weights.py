"""Weights of an ONNX model: read from files beside it, and kept out of the way of what copies whole models.

Enters: a `ModelProto`, which is changed in place. Leaves: its large initialisers, or the model with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from webree.compiler.frontends import ModelSource
from webree.compiler.frontends.onnx_graph import one_line
from webree.errors import CompileError

__all__ = ["detach_weights", "forget_inputs", "load_external_data"]

_WEIGHT_BYTES = 4096  # smaller initialisers stay: shapes, axes and the like, which shape inference looks into


def detach_weights(graph: Any) -> dict[str, Any]:
    """Take large initialisers out, and leave inputs of the same types in their places; returns them by name.

    ONNX's checker, converter and shape inference each copy the whole model, and stop at 2 GiB."""
    import onnx

    inputs = {item.name for item in graph.input}
    weights = {}
    kept = []
    for tensor in graph.initializer:
        if tensor.ByteSize() <= _WEIGHT_BYTES or not tensor.name:
            kept.append(tensor)
            continue
        weights[tensor.name] = onnx.TensorProto()
        weights[tensor.name].CopyFrom(tensor)  # a reference would keep the whole model alive
        if tensor.name not in inputs:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return weights


def forget_inputs(graph: Any, weights: Mapping[str, Any]) -> None:
    """Make the inputs that stand for weights plain values of known type again."""
    graph.value_info.extend(item for item in graph.input if item.name in weights)
    inputs = [item for item in graph.input if item.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)


def load_external_data(model: Any, source: ModelSource) -> None:
    """Read tensors that lie in other files. Raises `CompileError` with the tensor's and the file's name."""
    from onnx import external_data_helper

    external = [
        tensor
        for tensor in external_data_helper._get_all_tensors(model)
        if external_data_helper.uses_external_data(tensor)
    ]
    if not external:
        return
    if source.path is None:
        raise CompileError(
            f"{source.label} keeps weights in other files (tensor {external[0].name!r}); give its path, not its bytes",
            location=source.label,
        )
    folder = str(Path(source.path).resolve().parent)
    for tensor in external:
        where = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
        try:
            external_data_helper.load_external_data_for_tensor(tensor, folder)
        except Exception as error:  # OSError, ValidationError (a path outside the folder), ValueError
            raise CompileError(
                f"{source.label}: the weights of {tensor.name!r} cannot be read from {where!r} beside it: "
                f"{one_line(error)}",
                location=source.label,
            ) from error
        del tensor.external_data[:]
        tensor.ClearField("data_location")
