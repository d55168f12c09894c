"""ONNX -> module in the torch dialect, by the importer inside the compiler's wheel.

Enters: an ONNX file (with its external data beside it), its bytes, or a `ModelProto`. Leaves: a module whose one
function carries the model's computation, every operation located by its node's name, and the names of inputs and
outputs. What is done to the model before is in onnx_prepare.py, what is refused in onnx_checks.py.
Format: https://github.com/onnx/onnx/blob/main/docs/IR.md, operators: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from webree.compiler.frontends import ImportedModel, ModelSource, Signature
from webree.compiler.frontends.onnx_graph import node_label, one_line, opset_of
from webree.compiler.frontends.onnx_inline import check_sizes, lower_inline
from webree.compiler.frontends.onnx_prepare import prepare
from webree.compiler.frontends.onnx_unsupported import explain_unsupported
from webree.compiler.frontends.onnx_weights import read_weight
from webree.compiler.session import Session, location_names
from webree.errors import CompileError, WebreeError

__all__ = ["import_model"]


def import_model(session: Session, source: ModelSource, *, dims: Mapping[str, int], entry_name: str) -> ImportedModel:
    """Read, check, prepare and import a model. Raises `CompileError`, and `UsageError` for a wrong `dims`."""
    _require_onnx()
    module, signature, _opset = _import(session, source, dims, entry_name)

    def explain(error: CompileError) -> CompileError:
        # From the start again: the failed conversion left a torso, and keeping the model would keep its weights.
        again, _signature, opset = _import(session, source, dims, entry_name, strict=True)
        return explain_unsupported(again, opset, source.label, error)

    return ImportedModel(module, (signature,), explain)


def _import(
    session: Session, source: ModelSource, dims: Mapping[str, int], entry_name: str, *, strict: bool = False
) -> tuple[Any, Signature, int]:
    """The module, its function's signature, and the model's opset."""
    try:
        model, weights = prepare(source, dims, strict=strict)
    except WebreeError:
        raise
    except Exception as error:  # whatever ONNX's own code does with damaged content (bytes for names, no types, …)
        kind = "" if isinstance(error, ValueError | RuntimeError) else f"{type(error).__name__}: "
        raise CompileError(
            f"{source.label} is damaged or not a valid ONNX model: {kind}{one_line(error)}", location=source.label
        ) from error
    module, signature = _build(session, model, weights, source.label, entry_name)
    return module, signature, opset_of(model)


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise CompileError(
            'compiling ONNX models needs the package onnx; install it with: pip install "webree[compiler]"'
        ) from error


def _build(session: Session, model: Any, weights: dict[str, Any], label: str, entry_name: str) -> tuple[Any, Signature]:
    """The module, with one function of the name `entry_name`. Empties `weights`, so that they are held once."""
    from iree.compiler import ir
    from iree.compiler.dialects import func
    from iree.compiler.extras import onnx_importer

    context = session.context
    for dialect in ("builtin", "func", "torch", "torch_c", "arith", "cf", "scf", "tensor"):
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
            for name in list(weights):
                where = f"{label}: tensor {name!r}"
                importer.import_initializer(read_weight(weights.pop(name)))
            for node in graph.graph_proto.node:
                where = f"{label}: node {node_label(node)} ({node.op_type})"
                importer.import_node(node)
            with ir.InsertionPoint(importer._b), ir.Location.unknown(context):
                func.ReturnOp([importer._nv_map[item.name] for item in graph.graph_proto.output])
            where = label
            lower_inline(module)
            _verify(module, label)
            check_sizes(importer._b, _shared_dims(graph))
    except WebreeError:
        raise
    except Exception as error:  # the importer raises whatever its innards do
        raise CompileError(f"{where} cannot be imported: {one_line(error)}", location=where) from error
    function = next(op.operation for op in module.regions[0].blocks[0] if op.operation.name == "func.func")
    with context:
        function.attributes["sym_name"] = ir.StringAttr.get(entry_name)
    inputs = tuple(graph.input_map)
    outputs = tuple(item.name for item in graph.graph_proto.output)
    return module, Signature(entry_name, inputs, outputs)


def _verify(module: Any, label: str) -> None:
    """MLIR's verifier: passes take for granted, and end the process where it is not so, that types fit together.

    ONNX's own checks do not compare what a graph says of its results with what its nodes make."""
    from iree.compiler import ir

    try:
        module.verify()
    except ir.MLIRError as error:
        first = error.error_diagnostics[0]
        place = next(iter(location_names(str(first.location))), label)
        where = f"{label}: {place}" if place != label else label
        raise CompileError(f"{where}: types do not fit together: {one_line(first.message)}", location=place) from error


def _shared_dims(graph: Any) -> dict[str, list[tuple[int, str, int]]]:
    """Names of dimensions that several inputs have, or one has twice: (position, input's name, axis) of each."""
    places: dict[str, list[tuple[int, str, int]]] = {}
    for position, (name, item) in enumerate(graph.input_map.items()):
        for axis, dim in enumerate(item.type.tensor_type.shape.dim):
            if dim.dim_param and not dim.HasField("dim_value"):
                places.setdefault(dim.dim_param, []).append((position, name, axis))
    return {dim: found for dim, found in places.items() if len(found) > 1}
