"""ONNX -> module in the torch dialect, by the importer inside the compiler's wheel.

Enters: an ONNX file (with its external data beside it), its bytes, or a `ModelProto`. Leaves: a module whose one
function carries the model's computation, every operation located by its node's name, and the names of inputs and
outputs. Before the import: local functions are inlined, symbolic dimensions bound, older opsets raised to 17, shapes
inferred, nodes without names named after their type and position.
Format: https://github.com/onnx/onnx/blob/main/docs/IR.md, operators: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from webree.compiler.frontends import ImportedModel, ModelSource, Signature
from webree.compiler.frontends.onnx_unsupported import explain_unsupported
from webree.compiler.session import Session
from webree.errors import CompileError, UsageError, WebreeError

__all__ = ["import_model"]

_OPSET = 17
_IR_VERSION = 4  # from here on initialisers need not be listed as inputs, which exporters ignored before as well
_WEIGHT_BYTES = 4096  # smaller initialisers stay: shapes, axes and the like, which shape inference looks into
_DEFAULT_DOMAINS = ("", "ai.onnx")
_SHOWN = 12

# Operators whose conversion takes for granted that optional outputs are there, with their number of outputs.
_OUTPUT_COUNTS = {"Unique": 4}


def import_model(session: Session, source: ModelSource, *, dims: Mapping[str, int], entry_name: str) -> ImportedModel:
    """Read, check, prepare and import a model. Raises `CompileError`, and `UsageError` for a wrong `dims`."""
    _require_onnx()
    try:
        model = _prepare(source, dims)
    except WebreeError:
        raise
    except Exception as error:  # whatever ONNX's own code does with damaged content (bytes for names, no types, …)
        raise CompileError(
            f"{source.label} is damaged or not a valid ONNX model: {type(error).__name__}: {_one_line(error)}",
            location=source.label,
        ) from error
    module, signature = _build(session, model, source.label, entry_name)

    def explain(error: CompileError) -> CompileError:
        _check_shapes(model, source.label)
        again, _ = _build(session, model, source.label, entry_name)  # the failed conversion left a torso
        return explain_unsupported(session, again, _opset_of(model), source.label, error)

    return ImportedModel(module, (signature,), explain)


def _prepare(source: ModelSource, dims: Mapping[str, int]) -> Any:
    """The model, ready to import."""
    model = _read(source)
    _refuse_unknown_operators(model, source.label)
    model = _inline_functions(model, source.label)
    _bind_dims(model, dims, source.label)
    _load_external_data(model, source)
    weights = _detach_weights(model.graph)
    _check(model, source.label)
    model = _raise_opset(model)
    _name_nodes(model.graph)
    _complete_outputs(model.graph)
    model = _infer_shapes(model, source.label)
    _attach_weights(model.graph, weights)
    return model


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise CompileError(
            'compiling ONNX models needs the package onnx; install it with: pip install "webree[compiler]"'
        ) from error


def _read(source: ModelSource) -> Any:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    if source.message is not None:
        model = onnx.ModelProto()
        model.CopyFrom(source.message)
    else:
        try:
            model = onnx.load_model_from_string(source.data)
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
    if _opset_of(model) == 0:
        raise CompileError(
            f"{source.label} does not say which version of the ONNX operators it uses (opset_import)",
            location=source.label,
        )
    return model


def _opset_of(model: Any) -> int:
    versions = [item.version for item in model.opset_import if item.domain in _DEFAULT_DOMAINS]
    return int(versions[0]) if versions else 0 if not model.opset_import else 1


def _refuse_unknown_operators(model: Any, label: str) -> None:
    """All operators that neither ONNX nor the model itself defines, in one error."""
    import onnx

    versions = {("" if item.domain == "ai.onnx" else item.domain): item.version for item in model.opset_import}
    local = {(function.domain, function.name) for function in model.functions}
    unknown: dict[str, list[str]] = {}
    for node in _nodes(model.graph):
        domain = "" if node.domain == "ai.onnx" else node.domain
        if (node.domain, node.op_type) in local:
            continue
        if domain == "" and _has_schema(onnx, node.op_type, versions.get("", 1)):
            continue
        name = f"{domain}.{node.op_type}" if domain else node.op_type
        unknown.setdefault(name, []).append(_node_label(node))
    if unknown:
        listed = "; ".join(f"{name} (node {', '.join(nodes[:3])})" for name, nodes in list(unknown.items())[:_SHOWN])
        first_name, first_nodes = next(iter(unknown.items()))
        raise CompileError(
            f"{label}: operators that ONNX opset {_opset_of(model)} does not define and the model brings no function "
            f"for: {listed}. Replace them by standard operators when exporting the model",
            op=first_name if "." in first_name else f"onnx.{first_name}",
            location=first_nodes[0].strip("'").removeprefix("that makes '"),
            unsupported=True,
        )


def _has_schema(onnx: Any, op_type: str, version: int) -> bool:
    try:
        onnx.defs.get_schema(op_type, max_inclusive_version=version)
    except onnx.defs.SchemaError:
        return False
    return True


def _inline_functions(model: Any, label: str) -> Any:
    if not model.functions:
        return model
    from onnx import inliner

    try:
        return inliner.inline_local_functions(model)
    except Exception as error:
        raise CompileError(f"{label}: its local functions cannot be inlined: {error}", location=label) from error


def _bind_dims(model: Any, dims: Mapping[str, int], label: str) -> None:
    """Write numbers in place of symbolic dimensions, everywhere that they occur."""
    graph = model.graph
    initialised = {item.name for item in graph.initializer}
    known = dict.fromkeys(
        dim.dim_param
        for item in graph.input
        if item.name not in initialised
        for dim in item.type.tensor_type.shape.dim
        if dim.dim_param
    )
    for name, size in dims.items():
        if name not in known:
            there = f"it has {', '.join(known)}" if known else "its inputs have none"
            raise UsageError(f"{label} has no symbolic dimension {name!r}; {there}")
        if size < 1:
            raise UsageError(f"dimension {name!r} cannot be {size}; give a number of at least 1")
    if dims:
        for item in _value_infos(graph):
            for dim in item.type.tensor_type.shape.dim:
                if dim.dim_param in dims:
                    dim.dim_value = dims[dim.dim_param]


def _detach_weights(graph: Any) -> dict[str, tuple[Any, bool]]:
    """Take large initialisers out, and leave inputs of the same types in their places.

    ONNX's checker, converter and shape inference each copy the whole model, and stop at 2 GiB.
    Returns by name: the initialiser, and whether the model lists it as an input itself."""
    import onnx

    inputs = {item.name for item in graph.input}
    weights = {
        tensor.name: (tensor, tensor.name in inputs)
        for tensor in graph.initializer
        if tensor.ByteSize() > _WEIGHT_BYTES and tensor.name
    }
    kept = [tensor for tensor in graph.initializer if tensor.name not in weights]
    for name, (tensor, is_input) in weights.items():
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        weights[name] = (copy, is_input)
        if not is_input:
            graph.input.append(onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return weights


def _attach_weights(graph: Any, weights: Mapping[str, tuple[Any, bool]]) -> None:
    added = {name for name, (_tensor, is_input) in weights.items() if not is_input}
    inputs = [item for item in graph.input if item.name not in added]
    del graph.input[:]
    graph.input.extend(inputs)
    graph.initializer.extend(tensor for tensor, _is_input in weights.values())


def _check(model: Any, label: str) -> None:
    import onnx

    model.ir_version = max(model.ir_version, _IR_VERSION)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise CompileError(f"{label} is not a valid ONNX model: {_one_line(error)}", location=label) from error


def _raise_opset(model: Any) -> Any:
    """Newer definitions of the operators are better covered by the importer than old ones; a model that ONNX's
    converter cannot convert is imported as it is."""
    import onnx

    if _opset_of(model) >= _OPSET:
        return model
    try:
        converted = onnx.version_converter.convert_version(model, _OPSET)
        onnx.checker.check_model(converted)
    except Exception:  # the converter raises bare RuntimeErrors of many kinds for operators without an adapter
        return model
    return converted


def _infer_shapes(model: Any, label: str) -> Any:
    import onnx

    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise CompileError(f"{label}: its shapes do not fit together: {_one_line(error)}", location=label) from error


def _check_shapes(model: Any, label: str) -> None:
    """Raises `CompileError` if the nodes' shapes contradict each other. Only for models that do not compile anyway:
    the strict check also refuses some that do."""
    import onnx

    weights = _detach_weights(model.graph)
    try:
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise CompileError(
            f"{label}: types or shapes do not fit together: {_one_line(error)}", location=label
        ) from error
    finally:
        _attach_weights(model.graph, weights)


def _load_external_data(model: Any, source: ModelSource) -> None:
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
                f"{_one_line(error)}",
                location=source.label,
            ) from error
        del tensor.external_data[:]
        tensor.ClearField("data_location")


def _build(session: Session, model: Any, label: str, entry_name: str) -> tuple[Any, Signature]:
    """The module, with one function of the name `entry_name`."""
    from iree.compiler import ir
    from iree.compiler.dialects import func
    from iree.compiler.extras import onnx_importer

    context = session.context
    for dialect in ("builtin", "func", "torch"):
        context.dialects[dialect]  # loads it: operations made before would stay opaque
    info = onnx_importer.ModelInfo(model)
    graph = info.main_graph
    module = info.create_module(context).operation
    where = f"{label}: graph {graph.graph_proto.name!r}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importer = onnx_importer.NodeImporter.define_function(graph, module)
            for tensor in graph.graph_proto.initializer:
                where = f"{label}: tensor {tensor.name!r}"
                importer.import_initializer(tensor)
            for node in graph.graph_proto.node:
                where = f"{label}: node {_node_label(node)} ({node.op_type})"
                importer.import_node(node)
            with ir.InsertionPoint(importer._b), ir.Location.unknown(context):
                func.ReturnOp([importer._nv_map[item.name] for item in graph.graph_proto.output])
    except Exception as error:  # the importer raises whatever its innards do
        raise CompileError(f"{where} cannot be imported: {_one_line(error)}", location=where) from error
    function = next(op.operation for op in module.regions[0].blocks[0] if op.operation.name == "func.func")
    with context:
        function.attributes["sym_name"] = ir.StringAttr.get(entry_name)
    inputs = tuple(graph.input_map)
    outputs = tuple(item.name for item in graph.graph_proto.output)
    return module, Signature(entry_name, inputs, outputs)


def _name_nodes(graph: Any) -> None:
    """Names for nodes without one, so that errors and kernels can say where they come from."""
    for index, node in enumerate(_nodes(graph)):
        if not node.name:
            node.name = f"{node.op_type}_{index}"


def _complete_outputs(graph: Any) -> None:
    for node in _nodes(graph):
        count = _OUTPUT_COUNTS.get(node.op_type, 0)
        for index in range(count):
            name = f"{node.name}/unused_{index}"
            if index >= len(node.output):
                node.output.append(name)
            elif not node.output[index]:
                node.output[index] = name


def _node_label(node: Any) -> str:
    return repr(node.name) if node.name else f"that makes {', '.join(repr(name) for name in node.output)}"


def _nodes(graph: Any) -> Iterator[Any]:
    """All nodes, those of subgraphs after their own."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
            for subgraph in attribute.graphs:
                yield from _nodes(subgraph)


def _value_infos(graph: Any) -> Iterator[Any]:
    yield from graph.input
    yield from graph.output
    yield from graph.value_info
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _value_infos(attribute.g)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 600 else text[:600] + " …"
