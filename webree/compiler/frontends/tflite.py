"""TensorFlow Lite (`.tflite`) -> module in linalg, by our own importer.

Enters: a file or its bytes. Leaves: a module with a function per signature (or one for the first subgraph), every
operation located by its operator, and the names of inputs and outputs as the model states them. Quantised inputs and
outputs keep their integers. No package beside the compiler's wheel is needed: files are read by tflite_file.py,
operators are lowered in tflite_graph.py. What is supported: docs/tflite.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from webree.compiler.frontends import ImportedModel, ModelSource, Signature, unique_names
from webree.compiler.frontends.tflite_emit import ATTRIBUTE
from webree.compiler.frontends.tflite_file import Array, ModelInfo, SignatureInfo, SubgraphInfo, read
from webree.compiler.frontends.tflite_graph import Graph
from webree.compiler.session import Session
from webree.errors import CompileError, UsageError

__all__ = ["import_model"]

_BATCH = "batch"


def import_model(session: Session, source: ModelSource, *, dims: Mapping[str, int], entry_name: str) -> ImportedModel:
    """Read and convert a model. `dims`: sizes of inputs by `NAME[AXIS]`, or `batch` for all open first ones.

    Raises `CompileError` for what is damaged or not supported, and `UsageError` for a wrong `dims`."""
    model = read(source.read(), source.label)
    graph = Graph(model, source.label)
    unused = dict(dims)
    signatures = []
    for name, entry in _entries(model, entry_name, source.label):
        subgraph = model.subgraphs[entry.subgraph]
        shapes = _bind(subgraph, entry, dims, unused)
        graph.function(name, subgraph, shapes, [index for _, index in entry.outputs])
        signatures.append(_signature(name, subgraph, entry))
    if unused:
        raise _unknown_dims(unused, model, entry_name, source.label)
    text = "\n".join(["module {", *graph.globals(), *graph.emitter.lines, "}"])
    try:
        module = session.parse(text.encode(), source.label)
    except CompileError as error:  # shapes or types that no converter writes, and that no rule looks at
        raise CompileError(
            f"{source.label} contradicts itself: {error}", op=error.op, location=error.location
        ) from error
    _put_constants(module, graph.emitter.constants)
    return ImportedModel(module, tuple(signatures))


def _entries(model: ModelInfo, entry_name: str, label: str) -> list[tuple[str, SignatureInfo]]:
    """Names of functions, and what each computes. Inputs and outputs that a signature leaves out keep their tensor's
    name, in the subgraph's order."""
    if not model.signatures:
        first = model.subgraphs[0]
        inputs = tuple((first.tensors[index].name, index) for index in first.inputs)
        outputs = tuple((first.tensors[index].name, index) for index in first.outputs)
        return [(entry_name, SignatureInfo("", 0, inputs, outputs))]
    if len(model.signatures) == 1:
        return [(entry_name, model.signatures[0])]
    keys = [item.key for item in model.signatures]
    if len(set(keys)) != len(keys):
        raise CompileError(
            f"{label} is damaged: it has several signatures of one name ({', '.join(keys)})", location=label
        )
    return list(zip(keys, model.signatures, strict=True))


def _signature(name: str, subgraph: SubgraphInfo, entry: SignatureInfo) -> Signature:
    named = {index: given for given, index in entry.inputs}
    inputs = [named.get(index, subgraph.tensors[index].name) for index in subgraph.inputs]
    return Signature(name, _plain(inputs), _plain([given for given, _ in entry.outputs]))


def _plain(names: list[str]) -> tuple[str, ...]:
    """Names as a declaration can hold them: without spaces, commas, quotes and brackets."""
    return unique_names(re.sub(r"[\s,\"\\(){}<>\[\]]", "_", name) for name in names)


def _bind(
    subgraph: SubgraphInfo, entry: SignatureInfo, dims: Mapping[str, int], unused: dict[str, int]
) -> dict[int, tuple[int, ...]]:
    """Shapes of the inputs, with the sizes of `dims`; takes those that were used out of `unused`."""
    named = {index: given for given, index in entry.inputs}
    shapes = {}
    for index in subgraph.inputs:
        shape = list(subgraph.tensors[index].shape)
        for axis, size in enumerate(shape):
            keys = [f"{named.get(index, subgraph.tensors[index].name)}[{axis}]"]
            keys += [_BATCH] if axis == 0 and size == -1 else []
            for key in keys:
                if key in dims:
                    shape[axis] = dims[key]
                    unused.pop(key, None)
                    break
        shapes[index] = tuple(shape)
    return shapes


def _unknown_dims(unused: Mapping[str, int], model: ModelInfo, entry_name: str, label: str) -> UsageError:
    known = []
    for _, entry in _entries(model, entry_name, label):
        subgraph = model.subgraphs[entry.subgraph]
        named = {index: given for given, index in entry.inputs}
        for index in subgraph.inputs:
            tensor = subgraph.tensors[index]
            known += [f"{named.get(index, tensor.name)}[{axis}]" for axis in range(len(tensor.shape))]
    return UsageError(
        f"{label} has no dimension named {', '.join(sorted(unused))}; dimensions are named by input and axis "
        f"({', '.join(known[:8])}), and {_BATCH} stands for all first ones that are open"
    )


def _put_constants(module: Any, constants: list[Array]) -> None:
    """Put the arrays in the places of the zeros that stand for them."""
    from iree.compiler import ir

    with module.context:

        def visit(op: Any) -> Any:
            if ATTRIBUTE in op.attributes:
                number = ir.IntegerAttr(op.attributes[ATTRIBUTE]).value
                field = "value" if "value" in op.attributes else "initial_value"
                kind = ir.DenseElementsAttr(op.attributes[field]).type
                op.attributes[field] = _elements(ir, constants[number], kind)
                del op.attributes[ATTRIBUTE]
            return ir.WalkResult.ADVANCE

        module.walk(visit)


def _elements(ir: Any, data: Array, kind: Any) -> Any:
    """Dense elements, not a resource: the conversions of number types (`--demote`) do not look into resources."""
    array = np.ascontiguousarray(data)
    if array.dtype == bool:
        array = np.packbits(array.reshape(-1), bitorder="little")
    return ir.DenseElementsAttr.get(array, type=kind)
