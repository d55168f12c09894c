"""Weights of an ONNX model: read from files beside it, and kept out of the way of what copies whole models.

Enters: a `ModelProto`, which is changed in place. Leaves: its large initialisers, or the model with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webree.compiler.frontends import ModelSource
from webree.compiler.frontends.onnx_graph import one_line
from webree.compiler.frontends.onnx_tensors import byte_count, check_tensors, tensors_of
from webree.errors import CompileError

__all__ = ["detach_weights", "forget_inputs", "load_external_data", "read_weight"]

_ALIGNMENT = 64
_WEIGHT_BYTES = 4096  # smaller initialisers stay: shapes, axes and the like, which shape inference looks into


@dataclass(frozen=True, slots=True)
class _External:
    """A tensor in another file, to be read when it is needed: models are larger than memory has room for twice.

    `begin` is the byte of `path` where its elements start; all of them lie in the file."""

    tensor: Any
    path: Path
    begin: int
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
        weights[tensor.name] = _find(own, source) if outside else own
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


def _mapped(weight: _External) -> _Mapped:
    import mmap

    with open(weight.path, "rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return _Mapped(weight.tensor, data[weight.begin : weight.begin + byte_count(weight.tensor)])


def read_weight(weight: Any) -> Any:
    """A weight's tensor, read now if it lies in another file. Raises `CompileError`."""
    if not isinstance(weight, _External):
        return weight
    try:
        if weight.begin % _ALIGNMENT == 0:  # as the compiler wants bytes that it does not copy
            return _mapped(weight)
        _read(weight)
    except OSError as error:
        raise _unreadable(weight.tensor, weight.label, error.strerror or str(error)) from error
    return weight.tensor


def forget_inputs(graph: Any, weights: Mapping[str, Any]) -> None:
    """Make the inputs that stand for weights plain values of known type again."""
    graph.value_info.extend(item for item in graph.input if item.name in weights)
    inputs = [item for item in graph.input if item.name not in weights]
    del graph.input[:]
    graph.input.extend(inputs)


def load_external_data(model: Any, source: ModelSource) -> None:
    """Check all tensors, read small ones that lie in other files, and check that the files of large ones are there.

    Raises `CompileError` with the tensor's and the file's name."""
    from onnx.external_data_helper import uses_external_data

    check_tensors(model, source.label)
    external = [(tensor, what) for tensor, what in tensors_of(model) if uses_external_data(tensor)]
    if external and source.path is None:
        raise CompileError(
            f"{source.label} keeps weights in other files ({external[0][1]}); give its path, not its bytes",
            location=source.label,
        )
    initialisers = {id(tensor) for tensor in model.graph.initializer}
    for tensor, _ in external:
        found = _find(tensor, source)
        if id(tensor) in initialisers and tensor.name and byte_count(tensor) > _WEIGHT_BYTES:
            continue
        try:
            _read(found)
        except OSError as error:
            raise _unreadable(tensor, source.label, error.strerror or str(error)) from error


def _find(tensor: Any, source: ModelSource) -> _External:
    """Where a tensor's elements lie. Raises `CompileError` unless all of them are in a file of the model's folder.

    A link is followed to where the model's own link leads (caches of downloads are made so), and no further."""
    from onnx import TensorProto

    assert source.path is not None
    entries = {entry.key: entry.value for entry in tensor.external_data}
    try:
        begin = int(entries.get("offset", "0"))
        length = int(entries.get("length", str(byte_count(tensor))))
        path = (source.path.parent / entries.get("location", "")).resolve()
        folders = (source.path.parent.resolve(), source.path.resolve().parent)
        size = path.stat().st_size if path.is_file() else None
    except OSError as error:
        raise _unreadable(tensor, source.label, error.strerror or str(error)) from error
    except ValueError as error:
        raise _unreadable(tensor, source.label, one_line(error)) from error
    needed = byte_count(tensor)
    if tensor.data_type == TensorProto.STRING:
        reason = "strings cannot lie in another file"
    elif not any(path.is_relative_to(folder) for folder in folders):
        reason = "it lies outside the model's folder"
    elif size is None:
        reason = "there is no such file"
    elif length != needed:
        reason = f"it takes {needed} bytes, and the model says {length}"
    elif not 0 <= begin <= size - length:
        reason = f"the bytes {begin} to {begin + length} are not in a file of {size}; is it truncated?"
    else:
        return _External(tensor, path, begin, source.label)
    raise _unreadable(tensor, source.label, reason)


def _read(weight: _External) -> None:
    """Make it a tensor that holds its elements itself. Raises `OSError`."""
    length = byte_count(weight.tensor)
    with open(weight.path, "rb") as file:
        file.seek(weight.begin)
        data = file.read(length)
    if len(data) != length:
        raise OSError(f"{len(data)} bytes were there, of {length}")
    weight.tensor.raw_data = data
    del weight.tensor.external_data[:]
    weight.tensor.ClearField("data_location")


def _unreadable(tensor: Any, label: str, reason: str) -> CompileError:
    where = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
    return CompileError(
        f"{label}: the weights of {tensor.name!r} cannot be read from {where!r} beside it: {reason}", location=label
    )
