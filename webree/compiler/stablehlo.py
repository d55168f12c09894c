"""StableHLO as its specification has it, where the input conversion does something else.

Enters: a module as a front end made it, before the phase `input`. Leaves: the same module, in which

- the start indices of `gather` are clamped: https://openxla.org/stablehlo/spec#gather says that windows are moved into
  the operand, and the conversion reads whatever lies at the index;
- `select_and_scatter` that adds (the gradient of max pooling) is written out as slices, comparisons and pads, one of
  each for every position in a window: https://openxla.org/stablehlo/spec#select_and_scatter. The conversion has it only
  for windows that do not overlap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

__all__ = ["repair_stablehlo"]

_WINDOW_POSITIONS = 128
"""Larger windows are left to the conversion: the program would grow with them."""
_LOWEST = {
    "f16": "0xFC00",
    "bf16": "0xFF80",
    "f32": "0xFF800000",
    "f64": "0xFFF0000000000000",
    "i8": "-128",
    "i16": "-32768",
    "i32": "-2147483648",
    "i64": "-9223372036854775808",
}
_HIGHEST = {
    "f16": "0x7C00",
    "bf16": "0x7F80",
    "f32": "0x7F800000",
    "f64": "0x7FF0000000000000",
    "i8": "127",
    "i16": "32767",
    "i32": "2147483647",
    "i64": "9223372036854775807",
}
_OUTSIDE = {"GE": _LOWEST, "GT": _LOWEST, "LE": _HIGHEST, "LT": _HIGHEST}
"""Comparison that keeps the selected element -> values of the padding, which it never selects."""


def repair_stablehlo(module: Any) -> int:
    """Change the module in place; returns how many operations were changed."""
    from iree.compiler import ir

    count = 0
    for op in [op for op in _walk(module.operation) if op.name in _REPAIRS]:
        with op.context, op.location, ir.InsertionPoint(op):
            count += _REPAIRS[op.name](op)
    return count


def _clamp_gather(op: Any) -> bool:
    """The start indices of a gather: at least 0, at most what leaves the window inside."""
    from iree.compiler import ir

    operand, indices = op.operands[0], op.operands[1]
    numbers = str(op.attributes["dimension_numbers"])
    index_map, vector_dim = _numbers(numbers, "start_index_map"), _number(numbers, "index_vector_dim")
    shape, sizes = ir.RankedTensorType(operand.type).shape, list(op.attributes["slice_sizes"])
    kind = ir.RankedTensorType(indices.type)
    limits = [shape[dim] - sizes[dim] for dim in index_map]
    if any(operand.type.is_dynamic_dim(dim) for dim in index_map) or not limits:
        return False
    if len(set(limits)) == 1:
        low, high = (_constant([], kind.element_type, value) for value in (0, limits[0]))
    elif kind.has_static_shape:
        low = _constant([], kind.element_type, 0)
        vector = _constant([len(limits)], kind.element_type, limits)
        high = _create(
            "broadcast_in_dim", [kind], [vector], broadcast_dimensions=ir.DenseI64ArrayAttr.get([vector_dim])
        )
        low = _create("broadcast_in_dim", [kind], [low], broadcast_dimensions=ir.DenseI64ArrayAttr.get([]))
    else:
        return False
    op.operands[1] = _create("clamp", [kind], [low, indices, high])
    return True


def _write_out_select_and_scatter(op: Any) -> bool:
    """Which position of its window each source element goes to, then one padded tensor per position, added up."""
    from iree.compiler import ir

    operand, source, start = op.operands
    types = [ir.RankedTensorType(value.type) for value in (operand, source)]
    direction, element = _selects_by(op.regions[0]), str(types[0].element_type)
    if not all(kind.has_static_shape for kind in types) or not _only_adds(op.regions[1]):
        return False
    shape, counts = list(types[0].shape), list(types[1].shape)
    window = _extents(op, "window_dimensions", [1] * len(shape))
    strides = _extents(op, "window_strides", [1] * len(shape))
    if direction is None or element not in _LOWEST or prod(window) > _WINDOW_POSITIONS:
        return False
    padding = _pairs(op, len(shape))
    outside = _constant([], types[0].element_type, _OUTSIDE[direction][element])
    padded = _pad(operand, outside, [low for low, _ in padding], [high for _, high in padding])
    extents = list(ir.RankedTensorType(padded.type).shape)
    positions = list(product(*(range(extent) for extent in window)))
    places = [(position, [a + (n - 1) * s + 1 for a, n, s in zip(position, counts, strides, strict=True)])
              for position in positions]  # fmt: skip
    chosen = _choose(padded, places, strides, counts, direction)
    zero = _broadcast(_constant([], types[0].element_type, 0), types[1])
    nothing = _constant([], types[0].element_type, 0)
    total = _broadcast(start, padded.type)
    for number, (position, limits) in enumerate(places):
        here = _compare(chosen, _splat(chosen.type, number), "EQ")
        part = _create("select", [source.type], [here, source, zero])
        after = [extent - limit for extent, limit in zip(extents, limits, strict=True)]
        spread = _pad(part, nothing, list(position), after, [stride - 1 for stride in strides])
        total = _create("add", [padded.type], [total, spread])
    result = _slice(total, [low for low, _ in padding], [low + n for (low, _), n in zip(padding, shape, strict=True)])
    op.results[0].replace_all_uses_with(result)
    op.erase()
    return True


def _choose(padded: Any, places: Sequence[Any], strides: list[int], counts: list[int], direction: str) -> Any:
    """The number of the selected position of each window, as the order of the positions has it."""
    from iree.compiler import ir

    numbers = ir.RankedTensorType.get(counts, ir.IntegerType.get_signless(32))
    best = chosen = None
    for number, (position, limits) in enumerate(places):
        candidate = _slice(padded, list(position), limits, strides)
        if best is None:
            best, chosen = candidate, _splat(numbers, 0)
            continue
        keep = _compare(best, candidate, direction)
        best = _create("select", [candidate.type], [keep, best, candidate])
        chosen = _create("select", [numbers], [keep, chosen, _splat(numbers, number)])
    return chosen


_REPAIRS = {
    "stablehlo.gather": _clamp_gather,
    "stablehlo.select_and_scatter": _write_out_select_and_scatter,
}


# --- Reading ----------------------------------------------------------------------------------------------------------


def _selects_by(region: Any) -> str | None:
    """The direction of a region that is one comparison of its two arguments, in order."""
    ops = [op.operation for op in region.blocks[0]]
    arguments = list(region.blocks[0].arguments)
    if len(ops) != 2 or ops[0].name != "stablehlo.compare" or list(ops[0].operands) != arguments:
        return None
    match = re.search(r"\b(GE|GT|LE|LT)\b", str(ops[0].attributes["comparison_direction"]))
    return match[1] if match else None


def _only_adds(region: Any) -> bool:
    return [op.operation.name for op in region.blocks[0]] == ["stablehlo.add", "stablehlo.return"]


def _numbers(text: str, name: str) -> list[int]:
    match = re.search(rf"\b{name} = \[([\d, ]*)\]", text)
    return [int(word) for word in match[1].split(",") if word.strip()] if match else []


def _number(text: str, name: str) -> int:
    match = re.search(rf"\b{name} = (\d+)", text)
    return int(match[1]) if match else 0


def _extents(op: Any, name: str, default: list[int]) -> list[int]:
    return list(op.attributes[name]) if name in op.attributes else default


def _pairs(op: Any, rank: int) -> list[tuple[int, int]]:
    """The padding before and after each dimension."""
    if "padding" not in op.attributes:
        return [(0, 0)] * rank
    values = list(op.attributes["padding"])
    if len(values) == 1:  # a splat
        values = values * (2 * rank)
    return [(int(values[2 * dim]), int(values[2 * dim + 1])) for dim in range(rank)]


# --- Building ---------------------------------------------------------------------------------------------------------


def _create(name: str, types: Sequence[Any], operands: Sequence[Any], **attributes: Any) -> Any:
    from iree.compiler import ir

    return ir.Operation.create(f"stablehlo.{name}", list(types), list(operands), attributes=attributes).results[0]


def _constant(shape: Sequence[int], element: Any, value: Any) -> Any:
    """`value`: a number, MLIR's text of one, or a list."""
    from iree.compiler import ir

    kind = ir.RankedTensorType.get(list(shape), element)
    return _create("constant", [kind], [], value=ir.Attribute.parse(f"dense<{_literal(value, str(element))}> : {kind}"))


def _literal(value: Any, element: str) -> str:
    return f"{value}.0" if isinstance(value, int) and "f" in element else str(value)


def _splat(kind: Any, value: int) -> Any:
    from iree.compiler import ir

    kind = ir.RankedTensorType(kind)
    return _constant(kind.shape, kind.element_type, value)


def _broadcast(scalar: Any, kind: Any) -> Any:
    from iree.compiler import ir

    return _create("broadcast_in_dim", [kind], [scalar], broadcast_dimensions=ir.DenseI64ArrayAttr.get([]))


def _compare(left: Any, right: Any, direction: str) -> Any:
    from iree.compiler import ir

    kind = ir.RankedTensorType(left.type)
    result = ir.RankedTensorType.get(kind.shape, ir.IntegerType.get_signless(1))
    name = ir.Attribute.parse(f"#stablehlo<comparison_direction {direction}>")
    return _create("compare", [result], [left, right], comparison_direction=name)


def _slice(value: Any, start: list[int], limit: list[int], strides: list[int] | None = None) -> Any:
    from iree.compiler import ir

    kind = ir.RankedTensorType(value.type)
    steps = strides or [1] * len(start)
    shape = [-(-(b - a) // step) for a, b, step in zip(start, limit, steps, strict=True)]
    array = ir.DenseI64ArrayAttr.get
    return _create(
        "slice",
        [ir.RankedTensorType.get(shape, kind.element_type)],
        [value],
        start_indices=array(start),
        limit_indices=array(limit),
        strides=array(steps),
    )


def _pad(value: Any, fill: Any, low: list[int], high: list[int], interior: list[int] | None = None) -> Any:
    from iree.compiler import ir

    kind = ir.RankedTensorType(value.type)
    between = interior or [0] * len(low)
    shape = [a + n + (n - 1) * i + b for n, a, b, i in zip(kind.shape, low, high, between, strict=True)]
    array = ir.DenseI64ArrayAttr.get
    return _create(
        "pad",
        [ir.RankedTensorType.get(shape, kind.element_type)],
        [value, fill],
        edge_padding_low=array(low),
        edge_padding_high=array(high),
        interior_padding=array(between),
    )


def _walk(op: Any) -> Iterator[Any]:
    for region in op.regions:
        for block in region:
            for inner in block:
                yield inner.operation
                yield from _walk(inner.operation)
