"""Walking ONNX graphs: nodes and values with those of subgraphs, labels for messages.

Enters: parts of a `ModelProto`. Leaves: iterators over them, and short texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["node_label", "nodes_of", "one_line", "opset_of", "value_infos_of"]

_DEFAULT_DOMAINS = ("", "ai.onnx")
_MESSAGE_LENGTH = 600


def nodes_of(graph: Any) -> Iterator[Any]:
    """All nodes, those of subgraphs after their own."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes_of(attribute.g)
            for subgraph in attribute.graphs:
                yield from nodes_of(subgraph)


def value_infos_of(graph: Any) -> Iterator[Any]:
    """All typed values: inputs, outputs and intermediate ones, those of subgraphs last."""
    yield from graph.input
    yield from graph.output
    yield from graph.value_info
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from value_infos_of(attribute.g)


def node_label(node: Any) -> str:
    """The node for messages: its name, or what it makes."""
    return repr(node.name) if node.name else f"that makes {', '.join(repr(name) for name in node.output)}"


def opset_of(model: Any) -> int:
    """Version of the standard operators; 0 if the model names no version at all."""
    versions = [item.version for item in model.opset_import if item.domain in _DEFAULT_DOMAINS]
    return int(versions[0]) if versions else 0 if not model.opset_import else 1


def one_line(error: object) -> str:
    """An error's text without line breaks, cut at some length."""
    text = " ".join(str(error).split())
    return text if len(text) < _MESSAGE_LENGTH else text[:_MESSAGE_LENGTH] + " …"
