"""Composite operators of ONNX replaced by what ONNX defines them to be made of.

Enters: a `ModelProto` with shapes inferred. Leaves: a model without the operators of `COMPOSITES`. The compiler does
not convert these as such, but it does convert their parts. ONNX's own inliner cannot be used for them directly: it
stops at optional inputs that are left out.
"""

from __future__ import annotations

from typing import Any

from webree.compiler.frontends.onnx_graph import nodes_of, opset_of, value_infos_of

__all__ = ["COMPOSITES", "expand_composites"]

COMPOSITES = frozenset(
    {
        ("", "Attention"),
        ("", "BlackmanWindow"),
        ("", "CausalConvWithState"),
        ("", "CenterCropPad"),
        ("", "HammingWindow"),
        ("", "HannWindow"),
        ("", "LinearAttention"),
        ("", "MeanVarianceNormalization"),
        ("", "NegativeLogLikelihoodLoss"),
        ("", "QLinearMatMul"),
        ("", "SoftmaxCrossEntropyLoss"),
        ("", "SwiGLU"),
        ("", "Swish"),
        ("ai.onnx.preview", "FlexAttention"),
    }
)
"""(domain, operator)."""

_DOMAIN = "webree.composites"


def expand_composites(model: Any) -> Any:
    """The model with its composite operators expanded; the same object if it has none."""
    import onnx
    from onnx import inliner

    wanted = [node for node in nodes_of(model.graph) if (node.domain, node.op_type) in COMPOSITES]
    if not wanted:
        return model
    types = {item.name: item.type for item in value_infos_of(model.graph)}
    for tensor in model.graph.initializer:
        types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
    for index, node in enumerate(wanted):
        function = _definition(model, node, types)
        if function is None:
            continue
        function.domain, function.name = _DOMAIN, f"{node.op_type}_{index}"
        del function.opset_import[:]
        function.opset_import.extend(model.opset_import)
        model.functions.append(function)
        node.domain, node.op_type = function.domain, function.name
    model.opset_import.append(onnx.helper.make_opsetid(_DOMAIN, 1))
    return inliner.inline_local_functions(model)


def _definition(model: Any, node: Any, types: dict[str, Any]) -> Any:
    """The operator's body for this node, or None if it stays as it is."""
    import onnx

    if node.op_type == "QLinearMatMul":
        return _quantized_matmul(model, node, types)
    versions = {item.domain: item.version for item in model.opset_import}
    version = versions.get(node.domain) or opset_of(model)
    schema = onnx.defs.get_schema(node.op_type, max_inclusive_version=version, domain=node.domain)
    given = {attribute.name for attribute in node.attribute}
    for name, attribute in schema.attributes.items():
        if name not in given and attribute.default_value.type != onnx.AttributeProto.UNDEFINED:
            node.attribute.append(attribute.default_value)
    inputs = [types.get(name, onnx.TypeProto()).SerializeToString() for name in node.input]
    dependent = [number for number in schema.context_dependent_function_opset_versions if number <= version]
    plain = [number for number in schema.function_opset_versions if number <= version]
    if dependent:
        text = schema.get_context_dependent_function_with_opset_version(
            max(dependent), node.SerializeToString(), inputs
        )
    elif plain:
        text = schema.get_function_with_opset_version(max(plain))
    else:
        return None
    function = onnx.FunctionProto()
    function.ParseFromString(text)
    return function


def _quantized_matmul(model: Any, node: Any, types: dict[str, Any]) -> Any:
    """Dequantize, multiply, quantize; None for matrices. The compiler's conversion of it is right for these alone."""
    from onnx import helper

    ranks = [len(types[name].tensor_type.shape.dim) for name in (node.input[0], node.input[3]) if name in types]
    if ranks == [2, 2]:
        return None
    names = ["a", "a_scale", "a_zero", "b", "b_scale", "b_zero", "y_scale", "y_zero"]
    squeezed = [name for name in names if "_" in name]  # [1] as well as scalars are allowed for these
    nodes = [helper.make_node("Squeeze", [name], [f"{name}_scalar"]) for name in squeezed]
    nodes += [
        helper.make_node("DequantizeLinear", ["a", "a_scale_scalar", "a_zero_scalar"], ["a_real"]),
        helper.make_node("DequantizeLinear", ["b", "b_scale_scalar", "b_zero_scalar"], ["b_real"]),
        helper.make_node("MatMul", ["a_real", "b_real"], ["y_real"]),
        helper.make_node("QuantizeLinear", ["y_real", "y_scale_scalar", "y_zero_scalar"], ["y"]),
    ]
    return helper.make_function(_DOMAIN, node.op_type, names, ["y"], nodes, list(model.opset_import))
