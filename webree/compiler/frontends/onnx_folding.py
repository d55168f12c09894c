"""What an ONNX model computes from constants and sizes alone, computed now.

Enters: a graph with shapes inferred, changed in place. Leaves: constants in place of small values that are known. The
definitions of composite operators compute axes, sizes and choices this way, and the importer must know them.
"""

from __future__ import annotations

from typing import Any

from webree.compiler.frontends.onnx_builder import Builder, attributes_of
from webree.compiler.frontends.onnx_graph import nodes_of

__all__ = ["fold"]

_ELEMENTS = 4096
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
_DEFAULT_DOMAINS = ("", "ai.onnx")


def fold(graph: Any, build: Builder) -> bool:
    """Fold the nodes of the main graph; `build` gets the new constants. Whether anything changed."""
    kept = []
    outputs = {item.name for item in graph.output}
    for node in graph.node:
        values = None if node.op_type == "Constant" or outputs & set(node.output) else _values(node, build)
        if values is None:
            kept.append(node)
        else:
            for name, value in zip(node.output, values, strict=False):
                if name:
                    build.add_constant(name, value)
    if len(kept) == len(graph.node):
        return False
    kept = [type(node).FromString(node.SerializeToString()) for node in kept]  # their owner is emptied
    del graph.node[:]
    graph.node.extend(kept)
    _drop_unused(graph, outputs)
    return True


def _values(node: Any, build: Builder) -> list[Any] | None:
    """What a node makes, or None if that is known at run time only, or is large."""
    import numpy

    if node.domain not in _DEFAULT_DOMAINS or node.op_type in _RANDOM:
        return None
    if node.op_type in ("Shape", "Size"):
        shape = build.static_shape_of(node.input[0])
        if shape is None:
            return None
        if node.op_type == "Size":
            return [numpy.array(int(numpy.prod(shape)), numpy.int64)]
        attributes = attributes_of(node)
        return [numpy.array(shape[attributes.get("start", 0) : attributes.get("end", len(shape))], numpy.int64)]
    inputs = {name: build.constant_of(name) for name in node.input if name}
    if any(value is None or value.size > _ELEMENTS for value in inputs.values()):
        return None
    if any(item.HasField("g") or item.graphs for item in node.attribute):
        return None
    for name in node.output:  # nothing large is made from something small
        shape = build.static_shape_of(name)
        if shape is not None and numpy.prod(shape) > _ELEMENTS:
            return None
    if node.op_type == "ConstantOfShape" and numpy.prod(inputs[node.input[0]]) > _ELEMENTS:
        return None
    return _evaluate(node, inputs, build)


def _evaluate(node: Any, inputs: dict[str, Any], build: Builder) -> list[Any] | None:
    import warnings

    import numpy
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    given = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in inputs.items()
    ]
    results = [name for name in node.output if name]
    graph = helper.make_graph([node], "node", given, [helper.make_empty_tensor_value_info(name) for name in results])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", build.opset)])
    try:
        with warnings.catch_warnings(), numpy.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            made = dict(zip(results, ReferenceEvaluator(model).run(None, inputs), strict=True))
    except Exception:  # what the reference cannot do, or refuses to: the compiler has the last word
        return None
    values = [numpy.asarray(made[name]) if name else None for name in node.output]
    if any(value is not None and (value.size > _ELEMENTS or value.dtype.kind not in "biuf") for value in values):
        return None
    return values


def _drop_unused(graph: Any, outputs: set[str]) -> None:
    """Nodes of no use any more: what was folded does not need their results."""
    used = set(outputs)
    for node in nodes_of(graph):
        used.update(node.input)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                used.update(item.name for item in attribute.g.output)
    kept = []
    for node in reversed(graph.node):
        if used & set(node.output):
            kept.append(type(node).FromString(node.SerializeToString()))
    del graph.node[:]
    graph.node.extend(reversed(kept))
