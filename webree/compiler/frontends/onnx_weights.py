"""Weights of an ONNX model: read from files beside it, and kept out of the way of what copies whole models.

Enters: a `ModelProto`, which is changed in place. Leaves: its large initialisers, or the model with them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webree.compiler.frontends import ModelSource
from webree.compiler.frontends.onnx_graph import one_line
from webree.errors import CompileError

__all__ = ["detach_weights", "forget_inputs", "load_external_data", "read_weight"]

_ALIGNMENT = 64
_WEIGHT_BYTES = 4096  # smaller initialisers stay: shapes, axes and the like, which shape inference looks into


@dataclass(frozen=True, slots=True)
class _External:
    """A tensor in another file, to be read when it is needed: models are larger than memory has room for twice."""

    tensor: Any
    folder: str
    label: str


def detach_weights(graph: Any, source: ModelSource) -> dict[str, Any]:
    """Take large initialisers out, and leave inputs of the same types in their places; returns them by name.

    ONNX's checker, converter and shape inference each copy the whole model, and stop at 2 GiB."""
    import onnx
    from onnx.external_data_helper import uses_external_data

    inputs = {item.name for item in graph.input}
    weights: dict[str, Any] = {}
    kept = []
    for tensor in graph.initializer:
        outside = uses_external_data(tensor)
        if not tensor.name or not (outside or tensor.ByteSize() > _WEIGHT_BYTES):
            kept.append(tensor)
            continue
        own = onnx.TensorProto()
        own.CopyFrom(tensor)  # a reference would keep the whole model alive
        weights[tensor.name] = _External(own, _folder(source), source.label) if outside else own
        if tensor.name not in inputs:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return weights


class _Mapped:
    """A tensor whose bytes are those of a mapped file: as much of a `TensorProto` as the importer looks at.

    What the compiler makes of the weights is then the only copy of them in memory."""

    def __init__(self, tensor: Any, data: memoryview) -> None:
        self.name = tensor.name
        self.data_type = tensor.data_type
        self.dims = tensor.dims
        self.raw_data = data

    def HasField(self, name: str) -> bool:
        """As the message's method."""
        return name == "raw_data"


def _mapped(weight: _External) -> _Mapped | None:
    """None if the bytes do not lie as the compiler wants them: all of them, at a multiple of 64."""
    import mmap

    from onnx.external_data_helper import ExternalDataInfo

    info = ExternalDataInfo(weight.tensor)
    begin, length = int(info.offset or 0), int(info.length or 0)
    if begin % _ALIGNMENT or not _is_large_file(weight.tensor, weight.folder):
        return None
    with open(Path(weight.folder) / info.location, "rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return _Mapped(weight.tensor, data[begin : begin + length])


def read_weight(weight: Any) -> Any:
    """A weight's tensor, read now if it lies in another file. Raises `CompileError`."""
    if not isinstance(weight, _External):
        return weight
    mapped = _mapped(weight)
    if mapped is not None:
        return mapped
    _read(weight.tensor, weight.folder, weight.label)
    return weight.tensor


def forget_inputs(graph: Any, weights: Mapping[str, Any]) -> None:
    """Make the inputs that stand for weights plain values of known type again."""
    graph.value_info.extend(item for item in graph.input if item.name in weights)
    inputs = [item for item in graph.input if item.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)


def load_external_data(model: Any, source: ModelSource) -> None:
    """Read small tensors that lie in other files, and check that the files of large ones are there.

    Raises `CompileError` with the tensor's and the file's name."""
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
    folder = _folder(source)
    large = {tensor.name: tensor for tensor in model.graph.initializer if _is_large_file(tensor, folder)}
    for tensor in external:
        if large.get(tensor.name) is not tensor:
            _read(tensor, folder, source.label)


def _folder(source: ModelSource) -> str:
    return "" if source.path is None else str(Path(source.path).resolve().parent)


def _is_large_file(tensor: Any, folder: str) -> bool:
    """Whether a named tensor is large, and all of it lies in a file of the folder."""
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    if not tensor.name or not uses_external_data(tensor):
        return False
    info = ExternalDataInfo(tensor)
    path = (Path(folder) / info.location).resolve()
    begin, length = int(info.offset or 0), int(info.length or 0)
    if length <= _WEIGHT_BYTES or not path.is_relative_to(folder) or not path.is_file():
        return False
    return length == _byte_count(tensor) and begin + length <= path.stat().st_size


def _byte_count(tensor: Any) -> int:
    from onnx import helper

    size = int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    count: int = math.prod(tensor.dims)
    return size * count


def _read(tensor: Any, folder: str, label: str) -> None:
    from onnx import external_data_helper

    where = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
    try:
        external_data_helper.load_external_data_for_tensor(tensor, folder)
    except Exception as error:  # OSError, ValidationError (a path outside the folder), ValueError
        raise CompileError(
            f"{label}: the weights of {tensor.name!r} cannot be read from {where!r} beside it: {one_line(error)}",
            location=label,
        ) from error
    del tensor.external_data[:]
    tensor.ClearField("data_location")
