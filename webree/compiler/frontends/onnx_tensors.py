"""The tensors of an ONNX model, checked before anything reads their elements.

Enters: a `ModelProto` as it was decoded: any field may hold any number. Leaves: nothing, or a `CompileError` that names
the first tensor whose type is unknown, whose sizes are negative or absurd, or which does not hold as many elements as
its sizes say. ONNX's own check does not look at these, and its readers answer with whatever NumPy makes of them.
Source: TensorProto in https://github.com/onnx/onnx/blob/main/onnx/onnx.in.proto
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from webree.errors import CompileError

__all__ = ["byte_count", "check_tensors", "tensors_of"]

_MAX_BYTES = 1 << 46  # more than any address space: products of sizes stay far from 64 bits


def tensors_of(model: Any) -> Iterator[tuple[Any, str]]:
    """All tensors with what errors call them: initialisers and attributes, with those of subgraphs and functions."""
    yield from _graph(model.graph)
    for function in model.functions:
        yield from _nodes(function.node)


def check_tensors(model: Any, label: str) -> None:
    """Raises `CompileError` for the first tensor that contradicts itself."""
    from onnx import TensorProto

    for tensor, what in tensors_of(model):
        if tensor.data_type not in TensorProto.DataType.values():
            raise _damage(label, what, f"has the unknown element type {tensor.data_type}")
        title = f"{TensorProto.DataType.Name(tensor.data_type)} {list(tensor.dims)[:16]}"
        if tensor.data_type == TensorProto.UNDEFINED:
            raise _damage(label, what, "has no element type")
        if any(size < 0 for size in tensor.dims):
            raise _damage(label, what, f"is {title}; sizes are not negative")
        if math.prod(tensor.dims) > _MAX_BYTES // 16:
            raise _damage(label, what, f"is {title}, which no memory holds")
        if tensor.data_location == TensorProto.EXTERNAL:
            continue  # onnx_weights.py, once the file is found
        message = _wrong_length(tensor, title)
        if message is not None:
            raise _damage(label, what, message)


def byte_count(tensor: Any) -> int:
    """Bytes of a tensor's elements where they lie in `raw_data` or in a file; those of 2 and 4 bits are packed."""
    from onnx import TensorProto, helper

    count: int = math.prod(tensor.dims)
    name = TensorProto.DataType.Name(tensor.data_type)
    bits = 4 if name.endswith("INT4") or name.startswith("FLOAT4") else 2 if name.endswith("INT2") else None
    if bits is not None:
        return -(-count * bits // 8)
    return count * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _wrong_length(tensor: Any, title: str) -> str | None:
    from onnx import TensorProto, helper

    if tensor.data_type == TensorProto.STRING:
        found, needed, unit = len(tensor.string_data), math.prod(tensor.dims), "strings"
    elif tensor.HasField("raw_data"):
        found, needed, unit = len(tensor.raw_data), byte_count(tensor), "bytes"
    else:
        field = helper.tensor_dtype_to_field(tensor.data_type)
        size = int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
        packed = byte_count(tensor) // size if size * math.prod(tensor.dims) != byte_count(tensor) else None
        found, needed, unit = len(getattr(tensor, field)), packed or math.prod(tensor.dims), f"values in {field}"
        if tensor.data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
            needed *= 2
    return None if found == needed else f"is {title}, which takes {needed} {unit}, and has {found}"


def _graph(graph: Any) -> Iterator[tuple[Any, str]]:
    for tensor in graph.initializer:
        yield tensor, f"tensor {tensor.name!r}"
    for sparse in graph.sparse_initializer:
        yield sparse.values, f"tensor {sparse.values.name!r}"
        yield sparse.indices, f"the indices of tensor {sparse.values.name!r}"
    yield from _nodes(graph.node)


def _nodes(nodes: Any) -> Iterator[tuple[Any, str]]:
    from webree.compiler.frontends.onnx_graph import node_label

    for node in nodes:
        for attribute in node.attribute:
            what = f"the attribute {attribute.name!r} of node {node_label(node)}"
            if attribute.HasField("t"):
                yield attribute.t, what
            yield from ((tensor, what) for tensor in attribute.tensors)
            if attribute.HasField("g"):
                yield from _graph(attribute.g)
            for subgraph in attribute.graphs:
                yield from _graph(subgraph)


def _damage(label: str, what: str, message: str) -> CompileError:
    return CompileError(f"{label} is damaged: {what} {message}", location=f"{label}: {what}")
