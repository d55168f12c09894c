"""An ONNX model as it is, to a model that the importer takes.

Enters: a file's bytes or a `ModelProto`. Leaves: a copy with local functions and some composite operators inlined,
symbolic dimensions bound, external data loaded, older opsets raised to 17, shapes inferred, and nodes without names
named after their type and position.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from webree.compiler.frontends import ModelSource
from webree.compiler.frontends.onnx_checks import check_model, refuse_element_types, refuse_unknown_operators
from webree.compiler.frontends.onnx_control import complete_loops
from webree.compiler.frontends.onnx_graph import nodes_of, one_line, opset_of, value_infos_of
from webree.compiler.frontends.onnx_rewrites import name_nodes, simplify
from webree.compiler.frontends.onnx_sequences import refuse_sequences, resolve_sequences
from webree.compiler.frontends.onnx_small import replace_small_types
from webree.compiler.frontends.onnx_weights import detach_weights, forget_inputs, load_external_data
from webree.errors import CompileError, UsageError

__all__ = ["prepare"]

_OPSET = 17
_SCAN_WITHOUT_BATCHES = 9
_LOOPS = 4  # so deep lie loops within loops
_IR_VERSION = 4  # from here on initialisers need not be listed as inputs, which exporters ignored before as well

_NAMELESS = frozenset({"?", "-1", "None"})
"""What exporters call every size that they do not know: these are not one size. Others write -1 as the size."""

# Operators whose conversion takes for granted that optional outputs are there, with their number of outputs.
_OUTPUT_COUNTS = {"Unique": 4}


def prepare(source: ModelSource, dims: Mapping[str, int], *, strict: bool = False) -> tuple[Any, dict[str, Any]]:
    """The model, ready to import, and apart from it its large initialisers by name.

    Strict: shapes that contradict each other are an error. The strict check also refuses some models that compile.
    Raises `CompileError`, and `UsageError` for a wrong `dims`."""
    model = _read(source)
    refuse_unknown_operators(model, source.label)
    refuse_sequences(model, source.label)
    model = _inline_functions(model, source.label)
    _bind_dims(model, dims, source.label)
    load_external_data(model, source)
    weights = detach_weights(model.graph, source)
    model.ir_version = max(model.ir_version, _IR_VERSION)
    check_model(model, source.label)
    infer = partial(_infer_shapes, label=source.label, strict=strict)
    model = infer(_raise_opset(model))
    if resolve_sequences(model):
        model = infer(model)
    model = replace_small_types(model)
    model = simplify(model, infer)
    if opset_of(model) < _SCAN_WITHOUT_BATCHES:  # now nothing in it keeps it from being raised
        model = infer(_raise_opset(model))
    if resolve_sequences(model):
        model = infer(model)
    model = replace_small_types(model)
    model = simplify(model, infer)
    name_nodes(model.graph)
    _complete_outputs(model.graph)
    model = _infer_shapes(model, source.label, strict=strict)
    refuse_element_types(model, source.label)
    forget_inputs(model.graph, weights)
    return model, weights


def _read(source: ModelSource) -> Any:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    if source.message is not None:
        model = onnx.ModelProto()
        model.CopyFrom(source.message)
    else:
        try:
            model = onnx.load_model_from_string(source.read())
        except DecodeError as error:
            raise CompileError(
                f"{source.label} is not an ONNX model, or is damaged: its protobuf cannot be read ({error})",
                location=source.label,
            ) from error
    if not model.HasField("graph") or not model.graph.output:
        raise CompileError(
            f"{source.label} is not an ONNX model, or is damaged: it holds no graph with outputs",
            location=source.label,
        )
    if opset_of(model) == 0:
        raise CompileError(
            f"{source.label} does not say which version of the ONNX operators it uses (opset_import)",
            location=source.label,
        )
    return model


def _inline_functions(model: Any, label: str) -> Any:
    if not model.functions:
        return model
    from onnx import inliner

    try:
        return inliner.inline_local_functions(model)
    except Exception as error:
        raise CompileError(f"{label}: its local functions cannot be inlined: {error}", location=label) from error


def _bind_dims(model: Any, dims: Mapping[str, int], label: str) -> None:
    """Write numbers in place of symbolic dimensions, everywhere that they occur.

    A dimension without a name goes by its place: `image[2]` is the third of the input `image`."""
    graph = model.graph
    for item in value_infos_of(graph):
        for dim in item.type.tensor_type.shape.dim:
            if dim.dim_value < 0 or dim.dim_param in _NAMELESS:
                dim.Clear()
    initialised = {item.name for item in graph.initializer}
    known: dict[str, list[Any]] = {}
    for item in graph.input:
        for axis, dim in enumerate(item.type.tensor_type.shape.dim):
            if item.name not in initialised and not dim.HasField("dim_value"):
                known.setdefault(dim.dim_param or f"{item.name}[{axis}]", []).append(dim)
    for name, size in dims.items():
        if name not in known:
            there = f"it has {', '.join(known)}" if known else "its inputs have none"
            raise UsageError(f"{label} has no symbolic dimension {name!r}; {there}")
        if size < 1:
            raise UsageError(f"dimension {name!r} cannot be {size}; give a number of at least 1")
        for dim in known[name]:
            dim.dim_value = size  # which takes the place of its name, if it has one
    if dims:
        for item in value_infos_of(graph):
            for dim in item.type.tensor_type.shape.dim:
                if dim.dim_param in dims:
                    dim.dim_value = dims[dim.dim_param]


def _raise_opset(model: Any) -> Any:
    """Newer definitions of the operators are better covered by the importer than old ones; a model that ONNX's
    converter cannot convert is imported as it is."""
    import onnx

    if not any(item.domain in ("", "ai.onnx") for item in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid("", _OPSET))  # rules make nodes of this domain
    if opset_of(model) >= _OPSET:
        return model
    if opset_of(model) < _SCAN_WITHOUT_BATCHES and any(node.op_type == "Scan" for node in model.graph.node):
        return model  # the converter takes the batch from the sizes of the model's inputs
    try:
        converted = onnx.version_converter.convert_version(model, _OPSET)
        onnx.checker.check_model(converted)
    except Exception:  # the converter raises bare RuntimeErrors of many kinds for operators without an adapter
        return model
    return converted


def _complete_outputs(graph: Any) -> None:
    for node in nodes_of(graph):
        count = _OUTPUT_COUNTS.get(node.op_type, 0)
        for index in range(count):
            name = f"{node.name}/unused_{index}"
            if index >= len(node.output):
                node.output.append(name)
            elif not node.output[index]:
                node.output[index] = name


def _infer_shapes(model: Any, label: str, *, strict: bool) -> Any:
    import onnx

    try:
        for _ in range(_LOOPS):
            model = onnx.shape_inference.infer_shapes(model, check_type=strict, strict_mode=strict, data_prop=True)
            if not complete_loops(model.graph):
                break
        return model
    except onnx.shape_inference.InferenceError as error:
        raise CompileError(
            f"{label}: types or shapes do not fit together: {one_line(error)}", location=label
        ) from error
