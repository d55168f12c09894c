"""Rules for `If`, `Loop` and `Scan`: choices that are known are taken, loops of known length are written out.

Enters: a node. Leaves: the nodes of its subgraphs, with names of their own. An `If` whose condition is known at run
time only computes both branches, and chooses; that takes branches with results of one size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from webree.compiler.frontends.onnx_builder import Builder, attributes_of
from webree.compiler.frontends.onnx_elementwise import tensor_type
from webree.compiler.frontends.onnx_graph import nodes_of, value_infos_of

__all__ = ["RULES", "complete_loops"]

_ITERATIONS = 64


def _if(node: Any, build: Builder) -> list[str] | None:
    attributes = attributes_of(node)
    condition = build.constant_of(node.input[0])
    if condition is not None:
        branch = attributes["then_branch" if condition.reshape(-1)[0] else "else_branch"]
        return _insert(branch, [], build)
    branches = attributes["then_branch"], attributes["else_branch"]
    for pair in zip(branches[0].output, branches[1].output, strict=True):
        sizes = [_static_shape(item) for item in pair]
        if None in sizes or sizes[0] != sizes[1]:
            return _squeeze(node, branches, build)
    yes, no = (_insert(branch, [], build) for branch in branches)
    return [build.op("Where", node.input[0], *pair) for pair in zip(yes, no, strict=True)]


def _squeeze(node: Any, branches: tuple[Any, Any], build: Builder) -> list[str] | None:
    """What PyTorch's exporter makes of `squeeze` along a dimension of unknown size: if it is 1, squeeze, else leave it.

    The results differ in their number of dimensions, and only one can be compiled. The first is, with the demand that
    the size be 1 whenever the node is reached."""
    if not build.settled:  # the size may be known once other nodes are folded
        return None
    then, otherwise = ([item for item in branch.node if item.op_type != "Constant"] for branch in branches)
    if [item.op_type for item in (*then, *otherwise)] != ["Squeeze", "Identity"]:
        return None
    source = then[0].input[0]
    axes = Builder(branches[0], build.opset, build).constant_of(then[0].input[1]) if len(then[0].input) > 1 else None
    shape, kind = build.shape_of(source), build.type_of(source)
    if axes is None or axes.size != 1 or shape is None or kind is None or otherwise[0].input[0] != source:
        return None
    axis = int(axes.reshape(-1)[0]) % len(shape)
    if _tested_size(node.input[0], build) not in ((source, axis), (source, axis - len(shape))):
        return None
    message = f"node {node.name} (If): this module was compiled for the size 1 of dimension {axis} of {source}"
    checked = build.program(
        _require_one(shape, kind, axis, message), [source], kind, [*shape[:axis], 1, *shape[axis + 1 :]]
    )
    return [build.op("Squeeze", checked, build.constant([axis], "int64"))]


def _tested_size(condition: str, build: Builder) -> tuple[str, int] | None:
    """The value and the dimension that a condition compares with 1."""
    test = build.maker_of(condition)
    if test is None or test.op_type != "Equal" or build.constant_of(test.input[1]) != 1:
        return None
    size = build.maker_of(test.input[0])
    index = build.constant_of(size.input[1]) if size is not None and size.op_type == "Gather" else None
    if index is None or index.size != 1:
        return None
    sizes = build.maker_of(size.input[0])
    if sizes is None or sizes.op_type != "Shape" or sizes.attribute:
        return None
    return sizes.input[0], int(index.reshape(-1)[0])


def _require_one(shape: Sequence[int | None], kind: Any, axis: int, message: str) -> str:
    taken, given = (tensor_type(sizes, kind) for sizes in (shape, [*shape[:axis], 1, *shape[axis + 1 :]]))
    text = message.replace("\\", "/").replace('"', "'")
    return f"""func.func @f(%x: {taken}) -> {given} {{
  %axis = arith.constant {axis} : index
  %one = arith.constant 1 : index
  %size = tensor.dim %x, %axis : {taken}
  %fits = arith.cmpi eq, %size, %one : index
  cf.assert %fits, "{text}"
  %y = tensor.cast %x : {taken} to {given}
  return %y : {given}
}}"""


def _loop(node: Any, build: Builder) -> list[str] | None:
    """A `Loop` that counts: its number of rounds is known, and its condition is always true."""
    body = attributes_of(node)["body"]
    count = build.constant_of(node.input[0]) if node.input[0] else None
    condition = build.constant_of(node.input[1]) if len(node.input) > 1 and node.input[1] else True
    if count is None or condition is None or not _goes_on(body):
        return None
    rounds = int(count.reshape(-1)[0]) if condition else 0
    carried = list(node.input[2:])
    collected: list[list[str]] = [[] for _ in body.output[1 + len(carried) :]]
    if not 0 <= rounds <= _ITERATIONS or (collected and not rounds):
        return None
    for index in range(rounds):
        given = [build.constant(index, "int64"), build.constant(True, "bool"), *carried]
        results = _insert(body, given, build)[1:]
        carried = results[: len(carried)]
        for values, value in zip(collected, results[len(carried) :], strict=True):
            values.append(value)
    return carried + [_stack(build, values, 0) for values in collected]


def _goes_on(body: Any) -> bool:
    """Whether the body hands on its condition as it is, or as true."""
    from onnx import numpy_helper

    name = body.output[0].name
    makers = {output: node for node in body.node for output in node.output}
    while name in makers and makers[name].op_type == "Identity":
        name = makers[name].input[0]
    for tensor in body.initializer:
        if tensor.name == name:
            return bool(numpy_helper.to_array(tensor).reshape(-1)[0])
    if name in makers and makers[name].op_type == "Constant":
        attributes = attributes_of(makers[name])
        return "value" in attributes and bool(numpy_helper.to_array(attributes["value"]).reshape(-1)[0])
    return bool(name == body.input[1].name)


def _scan(node: Any, build: Builder) -> list[str] | None:
    attributes = attributes_of(node)
    body = attributes["body"]
    count = attributes["num_scan_inputs"]
    if build.opset < 9:
        return _scan_batches(node, build)
    carried, scanned = list(node.input[: len(node.input) - count]), list(node.input[len(node.input) - count :])
    made = len(body.output) - len(carried)
    axes = list(attributes.get("scan_input_axes", [0] * count))
    backwards = list(attributes.get("scan_input_directions", [0] * count))
    shape = build.shape_of(scanned[0])
    rounds = shape[axes[0]] if shape else None
    if rounds is None or not 0 < rounds <= _ITERATIONS:
        return None
    collected: list[list[str]] = [[] for _ in range(made)]
    for index in range(rounds):
        given = []
        for name, axis, back in zip(scanned, axes, backwards, strict=True):
            position = rounds - 1 - index if back else index
            given.append(build.op("Gather", name, build.constant(position, "int64"), axis=axis))
        results = _insert(body, [*carried, *given], build)
        carried = results[: len(carried)]
        for values, value in zip(collected, results[len(carried) :], strict=True):
            values.append(value)
    out_axes = attributes.get("scan_output_axes", [0] * made)
    out_backwards = attributes.get("scan_output_directions", [0] * made)
    stacked = [
        _stack(build, values[::-1] if back else values, axis)
        for values, axis, back in zip(collected, out_axes, out_backwards, strict=True)
    ]
    return carried + stacked


def _scan_batches(node: Any, build: Builder) -> list[str] | None:
    """Version 8: every value has a batch in front, and each of its entries is scanned on its own."""
    attributes = attributes_of(node)
    body, count = attributes["body"], attributes["num_scan_inputs"]
    given = list(node.input[1:])
    first = len(given) - count
    shape = build.static_shape_of(given[first])
    if shape is None or node.input[0] or not 0 < shape[0] * shape[1] <= _ITERATIONS:
        return None
    sizes = [build.static_shape_of(name) for name in node.output]
    if None in sizes:
        return None
    backwards = list(attributes.get("directions", [0] * count))
    entries: list[list[str]] = []
    for entry in range(shape[0]):
        own = [build.op("Gather", name, build.constant(entry, "int64"), axis=0) for name in given]
        carried = own[:first]
        collected: list[list[str]] = [[] for _ in range(len(body.output) - first)]
        for index in range(shape[1]):
            rows = []
            for name, back in zip(own[first:], backwards, strict=True):
                position = shape[1] - 1 - index if back else index
                rows.append(build.op("Gather", name, build.constant(position, "int64"), axis=0))
            results = _insert(body, [*carried, *rows], build)
            carried = results[:first]
            for values, value in zip(collected, results[first:], strict=True):
                values.append(value)
        entries.append(carried + [_flat(build, values) for values in collected])
    flat = [_flat(build, list(values)) for values in zip(*entries, strict=True)]
    return [build.reshape(value, shape or []) for value, shape in zip(flat, sizes, strict=True)]


def _flat(build: Builder, values: Sequence[str]) -> str:
    """All elements in a row."""
    return build.op("Concat", *(build.reshape(value, [-1]) for value in values), axis=0)


def _stack(build: Builder, values: Sequence[str], axis: int) -> str:
    rows = [build.op("Unsqueeze", value, build.constant([axis], "int64")) for value in values]
    return rows[0] if len(rows) == 1 else build.op("Concat", *rows, axis=axis)


def _insert(graph: Any, inputs: Sequence[str], build: Builder) -> list[str]:
    """The nodes of a subgraph, under new names; returns the names of its outputs."""
    from onnx import numpy_helper

    names = dict(zip((item.name for item in graph.input), inputs, strict=True))
    for tensor in graph.initializer:
        names[tensor.name] = build.constant(numpy_helper.to_array(tensor))
    for node in graph.node:
        copy = type(node)()
        copy.CopyFrom(node)
        build.insert(copy, names)
        _rename_within(copy, names)
    return [names.get(item.name, item.name) for item in graph.output]


def _rename_within(node: Any, names: Mapping[str, str]) -> None:
    """Values of outer graphs that the node's own subgraphs use."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            for inner in nodes_of(attribute.g):
                for index, name in enumerate(inner.input):
                    inner.input[index] = names.get(name, name)
            for item in attribute.g.output:
                item.name = names.get(item.name, item.name)


def _static_shape(item: Any) -> list[int] | None:
    kind = item.type.tensor_type
    if not kind.HasField("shape") or not all(dim.HasField("dim_value") for dim in kind.shape.dim):
        return None
    return [dim.dim_value for dim in kind.shape.dim]


def complete_loops(graph: Any) -> bool:
    """Sizes of what loops of run time make, which ONNX's inference leaves out; whether there was any to add.

    What is carried keeps its number of dimensions; a size that the body does not state may change from round to round.
    """
    changed = False
    known = {item.name: item.type.tensor_type for item in value_infos_of(graph)}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                changed |= complete_loops(attribute.g)
        if node.op_type != "Loop":
            continue
        body = next(attribute.g for attribute in node.attribute if attribute.name == "body")
        carried = len(node.input) - 2
        for index, name in enumerate(node.output):
            made = body.output[1 + index].type.tensor_type
            if index < carried:
                first = known.get(node.input[2 + index])
                own = body.input[2 + index].type.tensor_type
                sizes = _merged([kind for kind in (first, own, made) if kind is not None and kind.HasField("shape")])
                if sizes is not None and not made.HasField("shape"):
                    sizes = [None] * len(sizes)
                if sizes is not None and not own.HasField("shape"):
                    _set_sizes(own, sizes)
                    changed = True
            else:
                sizes = [None, *_sizes(made)] if made.HasField("shape") else None
            kind = known.get(name)
            if name and kind is not None and sizes is not None and not kind.HasField("shape"):
                _set_sizes(kind, sizes)
                changed = True
    return changed


def _sizes(kind: Any) -> list[int | None]:
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]


def _merged(kinds: Sequence[Any]) -> list[int | None] | None:
    """The sizes that all agree on; None if there are none, or their number differs."""
    found = [_sizes(kind) for kind in kinds]
    if not found or len({len(sizes) for sizes in found}) > 1:
        return None
    return [group[0] if len(set(group)) == 1 else None for group in zip(*found, strict=True)]


def _set_sizes(kind: Any, sizes: Sequence[int | None]) -> None:
    kind.shape.SetInParent()
    for size in sizes:
        dim = kind.shape.dim.add()
        if size is not None:
            dim.dim_value = size


RULES: dict[str, Callable[[Any, Builder], list[str] | None]] = {"If": _if, "Loop": _loop, "Scan": _scan}
