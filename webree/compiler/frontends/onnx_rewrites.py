"""ONNX operators that the importer's conversion does not take, written with others that it takes.

Enters: a `ModelProto`. Leaves: a model whose composite operators are expanded, whose sizes and axes are constants where
they can be, and whose nodes with a rule are replaced. A rule looks at one node and returns the value or values that
stand for its outputs, built with `Builder`, or None to leave the node as it is. A model that has nothing of all this
stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from webree.compiler.frontends import (
    onnx_axes,
    onnx_control,
    onnx_elementwise,
    onnx_neural,
    onnx_pools,
    onnx_quantized,
    onnx_quantized_conv,
    onnx_recurrent,
    onnx_resize,
    onnx_sampling,
    onnx_selection,
    onnx_spatial,
)
from webree.compiler.frontends.onnx_builder import Builder
from webree.compiler.frontends.onnx_composites import COMPOSITES, expand_composites
from webree.compiler.frontends.onnx_contrib import CONTRIBUTED
from webree.compiler.frontends.onnx_folding import fold
from webree.compiler.frontends.onnx_graph import nodes_of, opset_of
from webree.compiler.frontends.onnx_inline import DOMAIN
from webree.compiler.frontends.onnx_training import DOMAIN_RULES

__all__ = ["RULES", "name_nodes", "simplify"]

RULES: Mapping[str, Callable[[Any, Builder], str | list[str] | None]] = {
    **onnx_axes.RULES,
    **onnx_control.RULES,
    **onnx_elementwise.RULES,
    **onnx_neural.RULES,
    **onnx_pools.RULES,
    **onnx_quantized.RULES,
    **onnx_quantized_conv.RULES,
    **onnx_recurrent.RULES,
    **onnx_resize.RULES,
    **onnx_sampling.RULES,
    **onnx_selection.RULES,
    **onnx_spatial.RULES,
}
"""Rules by the operator's name, in the standard domain."""

_DEFAULT_DOMAINS = ("", "ai.onnx")
_ROUNDS = 16


def simplify(model: Any, infer_shapes: Callable[[Any], Any]) -> Any:
    """Expand, fold and rewrite until nothing is left to do. `model` may be changed."""
    for _ in range(_ROUNDS):
        has_composites = any((node.domain, node.op_type) in COMPOSITES for node in nodes_of(model.graph))
        name_nodes(model.graph)
        model = infer_shapes(model)
        if _rewrite(model):
            continue
        if not has_composites:
            if _rewrite(model, settled=True):
                continue
            break
        model = expand_composites(infer_shapes(model))
    return model


def name_nodes(graph: Any) -> None:
    """Names for nodes without one, so that errors and kernels can say where they come from."""
    for index, node in enumerate(nodes_of(graph)):
        if not node.name:
            node.name = f"{node.op_type}_{index}"


def _rewrite(model: Any, *, settled: bool = False) -> bool:
    """Fold, and apply the rules to the nodes of the main graph and of those within. Whether anything changed."""
    changed = _rewrite_graph(model.graph, Builder(model.graph, opset_of(model), settled=settled))
    if changed and not any(item.domain == DOMAIN for item in model.opset_import):
        item = model.opset_import.add()
        item.domain, item.version = DOMAIN, 1
    return changed


def _rewrite_graph(graph: Any, build: Builder) -> bool:
    changed = fold(graph, build)
    nodes = []
    for node in graph.node:
        build.begin(node)
        result: str | list[str] | None = _nothing(node, build)
        rule = _rule(node) if result is None else None
        if rule is not None:
            build.begin(node)
            result = rule(node, build)
        if result is None:
            for part in node.attribute:
                if part.HasField("g"):
                    changed |= _rewrite_graph(part.g, Builder(part.g, build.opset, build))
            nodes.append(node)
            continue
        changed = True
        build.finish([result] if isinstance(result, str) else result, node.output)
        nodes += build.nodes
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]  # their owner is emptied
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in nodes_of(graph) for name in node.input}
    used |= {item.name for node in nodes_of(graph) for part in node.attribute for item in part.g.output}
    graph.initializer.extend(tensor for tensor in build.initializers if tensor.name in used)
    if changed:
        _forget_sizes(graph)
    graph.value_info.extend(build.value_infos)
    return changed


def _forget_sizes(graph: Any) -> None:
    """Sizes that inference named itself (unk__0): they may be known now, and it does not look at them again."""
    constants = {tensor.name for tensor in graph.initializer}
    kept = [
        type(item).FromString(item.SerializeToString())
        for item in graph.value_info
        if item.name not in constants
        and not any(dim.dim_param.startswith("unk__") for dim in item.type.tensor_type.shape.dim)
    ]
    del graph.value_info[:]
    graph.value_info.extend(kept)


def _nothing(node: Any, build: Builder) -> list[str] | None:
    """Results without any element, which no kernel has to compute."""
    import numpy

    if node.op_type in ("Constant", "Identity"):
        return None
    found = [(build.static_shape_of(name), build.type_of(name)) for name in node.output if name]
    if not found or not all(shape is not None and 0 in shape and kind is not None for shape, kind in found):
        return None
    return [build.constant(numpy.zeros(shape or 0, kind)) for shape, kind in found]


def _rule(node: Any) -> Callable[[Any, Builder], str | list[str] | None] | None:
    if node.domain in _DEFAULT_DOMAINS and node.op_type in RULES:
        return RULES[node.op_type]
    key = (node.domain, node.op_type)
    return DOMAIN_RULES.get(key) or CONTRIBUTED.get(key)
