"""What in an ONNX model webree refuses before it tries to compile it.

Enters: a `ModelProto`. Leaves: nothing, or a `CompileError` that names everything of one kind at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from webree.compiler.frontends.onnx_contrib import CONTRIBUTED
from webree.compiler.frontends.onnx_graph import node_label, nodes_of, one_line, opset_of, value_infos_of
from webree.errors import CompileError

__all__ = ["check_model", "refuse_element_types", "refuse_unknown_operators"]

_SHOWN = 12
_ELEMENT_TYPES = (
    *("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "BOOL"),
    *("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
)


def refuse_unknown_operators(model: Any, label: str) -> None:
    """All operators that neither ONNX nor the model itself defines, in one error."""
    _refuse_bytes(model, label)
    versions = {("" if item.domain == "ai.onnx" else item.domain): item.version for item in model.opset_import}
    local = {(function.domain, function.name) for function in model.functions}
    unknown: dict[str, list[str]] = {}
    for node in nodes_of(model.graph):
        domain = "" if node.domain == "ai.onnx" else node.domain
        if (domain, node.op_type) in CONTRIBUTED or (node.domain, node.op_type) in local:
            continue
        if _has_schema(node.op_type, domain, versions.get(domain, 1)):
            continue
        name = f"{domain}.{node.op_type}" if domain else node.op_type
        unknown.setdefault(name, []).append(node_label(node))
    if unknown:
        listed = "; ".join(f"{name} (node {', '.join(nodes[:3])})" for name, nodes in list(unknown.items())[:_SHOWN])
        first_name, first_nodes = next(iter(unknown.items()))
        raise CompileError(
            f"{label}: operators that ONNX opset {opset_of(model)} does not define and the model brings no function "
            f"for: {listed}. Replace them by standard operators when exporting the model",
            op=first_name if "." in first_name else f"onnx.{first_name}",
            location=first_nodes[0].strip("'").removeprefix("that makes '"),
            unsupported=True,
        )


def _refuse_bytes(model: Any, label: str) -> None:
    """Names that are not UTF-8: protobuf hands them on as bytes, and nothing after it expects them. Also numbers of
    types and versions that there are not."""
    import onnx

    nodes = [*nodes_of(model.graph), *(node for function in model.functions for node in function.node)]
    names = [
        *((item.name, "a value") for item in value_infos_of(model.graph)),
        *((tensor.name, "a tensor") for tensor in model.graph.initializer),
        *((name, f"node {number}") for number, node in enumerate(nodes) for name in _names(node)),
        *((item.domain, "an operator set") for item in model.opset_import),
    ]
    for name, what in names:
        if isinstance(name, bytes):
            raise CompileError(f"{label} is damaged: the name {name[:40]!r} of {what} is not UTF-8", location=label)
    known = onnx.TensorProto.DataType.values()
    for value in value_infos_of(model.graph):
        if value.type.tensor_type.elem_type not in known:
            kind = f"the unknown element type {value.type.tensor_type.elem_type}"
            raise CompileError(f"{label} is damaged: value {value.name!r} has {kind}", location=value.name or label)
    for item in model.opset_import:
        if not 0 <= item.version < 1 << 31:
            where = f"operator set {item.domain or 'ai.onnx'!r}"
            raise CompileError(f"{label} is damaged: version {item.version} of {where}", location=label)


def _names(node: Any) -> list[str | bytes]:
    attributes = [attribute.name for attribute in node.attribute]
    return [node.name, node.op_type, node.domain, *node.input, *node.output, *attributes]


def _has_schema(op_type: str, domain: str, version: int) -> bool:
    import onnx

    try:
        onnx.defs.get_schema(op_type, max_inclusive_version=version, domain=domain)
    except onnx.defs.SchemaError:
        return False
    return True


def refuse_element_types(model: Any, label: str) -> None:
    """All values of element types that neither WebGPU nor the emulation on it has, in one error.

    They are refused here because the compiler stops the whole process at some of them."""
    import onnx

    numbers = {name: onnx.TensorProto.DataType.Value(name) for name in _ELEMENT_TYPES}
    found: dict[str, str] = {}
    for value in value_infos_of(model.graph):
        _note(found, value.type.tensor_type.elem_type, f"value {value.name!r}", numbers)
    for tensor in model.graph.initializer:
        _note(found, tensor.data_type, f"tensor {tensor.name!r}", numbers)
    for node in nodes_of(model.graph):
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to":
                _note(found, attribute.i, f"node {node_label(node)}", numbers)
    if found:
        listed = "; ".join(f"{kind} ({where})" for kind, where in found.items())
        raise CompileError(
            f"{label}: element types that webree cannot compile: {listed}. "
            f"Supported: {', '.join(name.lower() for name in _ELEMENT_TYPES)}; 8-bit and 4-bit floats and 4-bit and "
            f"2-bit integers in casts and (de)quantisation",
            location=next(iter(found.values())).partition(" ")[2].strip("'"),
            unsupported=True,
        )


def _note(found: dict[str, str], number: int, where: str, numbers: Mapping[str, int]) -> None:
    if number and number not in numbers.values():
        found.setdefault(_type_name(number), where)


def check_model(model: Any, label: str) -> None:
    """ONNX's own check of a model's structure, and that values have the types that the graph says they have.

    The compiler stops the whole process where an operator makes floats that the graph calls integers."""
    import onnx

    try:
        onnx.checker.check_model(model)
        _refuse_references(model, label)
        onnx.shape_inference.infer_shapes(model, strict_mode=True)
    except onnx.checker.ValidationError as error:
        raise CompileError(f"{label} is not a valid ONNX model: {one_line(error)}", location=label) from error
    except onnx.shape_inference.InferenceError as error:  # about sizes it may be wrong: opinions of exporters differ
        found = _OTHER_TYPE.search(one_line(error))
        if found is None:
            return
        node, made, said = found["name"] or found["op"], *(_type_name(int(found[key])) for key in ("made", "said"))
        raise CompileError(
            f"{label} contradicts itself: node {node!r} ({found['op']}) makes {made}, and the graph says {said}",
            op=f"onnx.{found['op']}",
            location=node,
        ) from error


def _refuse_references(model: Any, label: str) -> None:
    """Attributes that refer to those of a function, in no function."""
    for node in nodes_of(model.graph):
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                raise CompileError(
                    f"{label} is damaged: the attribute {attribute.name!r} of node {node_label(node)} refers to "
                    f"{attribute.ref_attr_name!r} of a function, and the node is in none",
                    location=node.name or label,
                )


_OTHER_TYPE = re.compile(
    r"\(op_type:(?P<op>\w+)(?:, node name: (?P<name>[^)]*))?\): \[TypeInferenceError\] "
    r"Inferred elem type differs from existing elem type: \((?P<made>\d+)\) vs \((?P<said>\d+)\)"
)


def _type_name(number: int) -> str:
    import onnx

    return onnx.TensorProto.DataType.Name(number) if number in onnx.TensorProto.DataType.values() else f"type {number}"
