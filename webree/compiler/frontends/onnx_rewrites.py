"""ONNX operators that the importer's conversion does not take, written with others that it takes.

Enters: a `ModelProto` with shapes inferred. Leaves: the same model, changed in place. A rule looks at one node and
returns the value that stands for its first output, built with `Builder`, or None to leave the node as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from webree.compiler.frontends import onnx_axes
from webree.compiler.frontends.onnx_builder import Builder
from webree.compiler.frontends.onnx_graph import opset_of

__all__ = ["RULES", "needs_rewriting", "rewrite"]

RULES: dict[str, Callable[[Any, Builder], str | None]] = {**onnx_axes.RULES}
"""Rules by the operator's name, in the standard domain."""

_DEFAULT_DOMAINS = ("", "ai.onnx")


def needs_rewriting(model: Any) -> bool:
    """Whether there is a rule for one of the nodes."""
    return any(_has_rule(node) for node in model.graph.node)


def rewrite(model: Any) -> None:
    """Apply the rules to the nodes of the main graph."""
    graph = model.graph
    build = Builder(graph, opset_of(model))
    nodes = []
    for node in graph.node:
        if _has_rule(node):
            build.begin(node)
            result = RULES[node.op_type](node, build)
            if result is not None:
                build.finish(result, node.output[0])
                nodes += build.nodes
                continue
        nodes.append(node)
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]  # their owner is emptied
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(build.initializers)


def _has_rule(node: Any) -> bool:
    return node.domain in _DEFAULT_DOMAINS and node.op_type in RULES
