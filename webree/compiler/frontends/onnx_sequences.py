"""Sequences of tensors inside a model, resolved at import.

Enters: a graph with shapes inferred. Leaves: the same graph where every sequence whose length is known is a list of
values at import time: what is put in, taken out, counted and joined again becomes plain nodes. Modules take and return
tensors only, so a sequence or an optional value among a model's inputs or outputs is refused by name.
Source: https://onnx.ai/onnx/operators/onnx__SequenceAt.html and its neighbours
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from webree.compiler.frontends.onnx_builder import Builder, attributes_of
from webree.compiler.frontends.onnx_graph import node_label, opset_of
from webree.compiler.frontends.onnx_values import value_of
from webree.errors import CompileError

__all__ = ["refuse_sequences", "resolve_sequences"]

Sequences = dict[str, list[str]]
"""The names of the tensors of each sequence."""


def refuse_sequences(model: Any, label: str) -> None:
    """All inputs and outputs that are no tensors, in one error."""
    found = {}
    for word, items in (("input", model.graph.input), ("output", model.graph.output)):
        for item in items:
            kind = item.type.WhichOneof("value")
            if kind not in (None, "tensor_type"):
                found[f"{word} {item.name!r}"] = kind.removesuffix("_type").replace("_", " ")
    if found:
        listed = "; ".join(f"{where} ({'an' if kind == 'optional' else 'a'} {kind})" for where, kind in found.items())
        raise CompileError(
            f"{label}: functions of a module take and return tensors; found {listed}. Make it several inputs or "
            f"outputs, one for each tensor, when exporting the model",
            location=next(iter(found)).split("'")[1],
            unsupported=True,
        )


def resolve_sequences(model: Any) -> bool:
    """Resolve in place; whether anything changed. Raises `CompileError` for a sequence of unknown length."""
    graph = model.graph
    if not any(node.op_type in _RULES for node in graph.node):
        return False
    build = Builder(graph, opset_of(model))
    sequences: Sequences = {}
    nodes = []
    for node in graph.node:
        copies = node.op_type == "Identity" and node.input[0] in sequences
        if node.op_type not in _RULES and not copies:
            nodes.append(node)
            continue
        build.begin(node)
        if copies:
            sequences[node.output[0]] = sequences[node.input[0]]
            continue
        result = _RULES[node.op_type](node, build, sequences)
        if isinstance(result, list):
            sequences[node.output[0]] = result
        else:
            build.finish([result], node.output)
        nodes += build.nodes
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]  # their owner is emptied
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(build.initializers)
    infos = [item for item in graph.value_info if item.type.WhichOneof("value") == "tensor_type"]
    infos = [type(item).FromString(item.SerializeToString()) for item in infos]
    del graph.value_info[:]
    graph.value_info.extend(infos)
    return True


def _sequence(node: Any, sequences: Sequences, index: int = 0) -> list[str]:
    name = node.input[index]
    if name not in sequences:
        raise _unknown(node, f"the length of the sequence {name!r} is known at run time only")
    return sequences[name]


def _unknown(node: Any, why: str) -> CompileError:
    return CompileError(
        f"node {node_label(node)}: {node.op_type}: {why}; sequences are resolved at compile time, so their lengths and "
        f"positions must be constants",
        op=f"onnx.{node.op_type}",
        location=node.name,
        unsupported=True,
    )


def _position(node: Any, build: Builder, index: int) -> int:
    value = build.constant_of(node.input[index])
    if value is None:
        raise _unknown(node, f"the position {node.input[index]!r} is known at run time only")
    return int(value.reshape(-1)[0])


def _construct(node: Any, build: Builder, sequences: Sequences) -> list[str]:
    return list(node.input)


def _empty(node: Any, build: Builder, sequences: Sequences) -> list[str]:
    return []


def _insert(node: Any, build: Builder, sequences: Sequences) -> list[str]:
    values = list(_sequence(node, sequences))
    position = _position(node, build, 2) if len(node.input) > 2 and node.input[2] else len(values)
    values.insert(position if position >= 0 else position + len(values), node.input[1])
    return values


def _erase(node: Any, build: Builder, sequences: Sequences) -> list[str]:
    values = list(_sequence(node, sequences))
    del values[_position(node, build, 1) if len(node.input) > 1 and node.input[1] else -1]
    return values


def _at(node: Any, build: Builder, sequences: Sequences) -> str:
    values = _sequence(node, sequences)
    position = _position(node, build, 1)
    if not -len(values) <= position < len(values):
        raise CompileError(
            f"node {node_label(node)}: SequenceAt takes element {position} of a sequence of {len(values)}",
            location=node.name,
        )
    return values[position]


def _length(node: Any, build: Builder, sequences: Sequences) -> str:
    return build.constant(len(_sequence(node, sequences)), "int64")


def _split(node: Any, build: Builder, sequences: Sequences) -> list[str]:
    attributes = attributes_of(node)
    shape = build.shape_of(node.input[0])
    axis = attributes.get("axis", 0) % max(len(shape or [0]), 1)
    size = shape[axis] if shape else None
    split = node.input[1] if len(node.input) > 1 else ""
    lengths = build.constant_of(split) if split else None
    if size is None or (split and lengths is None):
        raise _unknown(node, "the sizes of the parts are known at run time only")
    if lengths is None:
        counts = [1] * size
    elif lengths.ndim == 0:
        step = int(lengths)
        counts = [min(step, size - start) for start in range(0, size, step)]
    else:
        counts = [int(count) for count in lengths]
    value = value_of(build, node.input[0])
    parts = []
    start = 0
    for count in counts:
        part = value.slice(axis, start, start + count)
        is_row = lengths is None and not attributes.get("keepdims", 1)
        parts.append(part.squeeze(axis).name if is_row else part.name)
        start += count
    return parts


def _concat(node: Any, build: Builder, sequences: Sequences) -> str:
    attributes = attributes_of(node)
    values = _sequence(node, sequences)
    axis = attributes["axis"]
    if attributes.get("new_axis", 0):
        values = [build.op("Unsqueeze", name, build.constant([axis], "int64")) for name in values]
    return build.op("Concat", *values, axis=axis)


_RULES: dict[str, Callable[[Any, Builder, Sequences], str | list[str]]] = {
    "ConcatFromSequence": _concat,
    "SequenceAt": _at,
    "SequenceConstruct": _construct,
    "SequenceEmpty": _empty,
    "SequenceErase": _erase,
    "SequenceInsert": _insert,
    "SequenceLength": _length,
    "SplitToSequence": _split,
}
