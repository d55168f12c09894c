"""StableHLO as its specification has it, where the input conversion does something else.

Enters: a module as a front end made it, before the phase `input`. Leaves: the same module, in which

- the start indices of `gather` are clamped: https://openxla.org/stablehlo/spec#gather says that windows are moved into
  the operand, and the conversion reads whatever lies at the index;
- `fft` of several dimensions or of lengths that are no powers of two is written out (stablehlo_fft.py);
- `dot_general` of open sizes and many dimensions is one of three at most (stablehlo_dot.py);
- operations whose sizes are operands are such as it has (stablehlo_dynamic.py);
- `scatter` leaves out what is outside of its operand (stablehlo_bounds.py);
- `scatter` of windows in the dimensions that it scatters along is one of single elements (stablehlo_scatter.py);
- `select_and_scatter` that adds (the gradient of max pooling) is written out as slices, comparisons and pads, one of
  each for every position in a window: https://openxla.org/stablehlo/spec#select_and_scatter. The conversion has it only
  for windows that do not overlap.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

from webree.compiler.stablehlo_bounds import leave_out_outside
from webree.compiler.stablehlo_build import (
    broadcast,
    compare,
    constant,
    create,
    number_in,
    numbers_in,
    pad,
    splat,
    take_slice,
)
from webree.compiler.stablehlo_dot import collapse_dot
from webree.compiler.stablehlo_dynamic import take_part, tell_what_grows, write_out_reshape
from webree.compiler.stablehlo_fft import write_out_fft
from webree.compiler.stablehlo_scatter import scatter_elements
from webree.compiler.walking import walk
from webree.errors import CompileError

__all__ = ["explain_custom_call", "repair_stablehlo"]

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
    for op in [op for op in walk(module.operation) if op.name in _REPAIRS]:
        with op.context, op.location, ir.InsertionPoint(op):
            count += _REPAIRS[op.name](op)
    return count + leave_out_outside(module)


def explain_custom_call(error: CompileError) -> CompileError:
    """The error of the input conversion; of a call of a library's function (LAPACK's, XLA's), one that names it."""
    name = re.search(r'call_target_name = "([^"]*)"', str(error))
    if error.op != "stablehlo.custom_call" or name is None:
        return error
    return CompileError(
        f"{f'{error.location}: ' if error.location else ''}the model calls the function {name[1]} of a library outside "
        "of the model (stablehlo.custom_call), which no target of webree has; write it with operations of StableHLO",
        op=error.op,
        location=error.location,
        unsupported=True,
    )


def _clamp_gather(op: Any) -> bool:
    """The start indices of a gather: at least 0, at most what leaves the window inside."""
    from iree.compiler import ir

    operand, indices = op.operands[0], op.operands[1]
    numbers = str(op.attributes["dimension_numbers"])
    index_map, vector_dim = numbers_in(numbers, "start_index_map"), number_in(numbers, "index_vector_dim")
    shape, sizes = ir.RankedTensorType(operand.type).shape, list(op.attributes["slice_sizes"])
    kind = ir.RankedTensorType(indices.type)
    limits = [shape[dim] - sizes[dim] for dim in index_map]
    if any(operand.type.is_dynamic_dim(dim) for dim in index_map) or not limits:
        return False
    if len(set(limits)) == 1:
        low, high = (constant([], kind.element_type, value) for value in (0, limits[0]))
    elif kind.has_static_shape:
        low = constant([], kind.element_type, 0)
        vector = constant([len(limits)], kind.element_type, limits)
        high = create("broadcast_in_dim", [kind], [vector], broadcast_dimensions=ir.DenseI64ArrayAttr.get([vector_dim]))
        low = create("broadcast_in_dim", [kind], [low], broadcast_dimensions=ir.DenseI64ArrayAttr.get([]))
    else:
        return False
    op.operands[1] = create("clamp", [kind], [low, indices, high])
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
    outside = constant([], types[0].element_type, _OUTSIDE[direction][element])
    padded = pad(operand, outside, [low for low, _ in padding], [high for _, high in padding])
    extents = list(ir.RankedTensorType(padded.type).shape)
    positions = list(product(*(range(extent) for extent in window)))
    places = [(position, [a + (n - 1) * s + 1 for a, n, s in zip(position, counts, strides, strict=True)])
              for position in positions]  # fmt: skip
    chosen = _choose(padded, places, strides, counts, direction)
    zero = broadcast(constant([], types[0].element_type, 0), types[1])
    nothing = constant([], types[0].element_type, 0)
    total = broadcast(start, padded.type)
    for number, (position, limits) in enumerate(places):
        here = compare(chosen, splat(chosen.type, number), "EQ")
        part = create("select", [source.type], [here, source, zero])
        after = [extent - limit for extent, limit in zip(extents, limits, strict=True)]
        spread = pad(part, nothing, list(position), after, [stride - 1 for stride in strides])
        total = create("add", [padded.type], [total, spread])
    result = take_slice(
        total, [low for low, _ in padding], [low + n for (low, _), n in zip(padding, shape, strict=True)]
    )
    op.results[0].replace_all_uses_with(result)
    op.erase()
    return True


def _choose(padded: Any, places: Sequence[Any], strides: list[int], counts: list[int], direction: str) -> Any:
    """The number of the selected position of each window, as the order of the positions has it."""
    from iree.compiler import ir

    numbers = ir.RankedTensorType.get(counts, ir.IntegerType.get_signless(32))
    best = chosen = None
    for number, (position, limits) in enumerate(places):
        candidate = take_slice(padded, list(position), limits, strides)
        if best is None:
            best, chosen = candidate, splat(numbers, 0)
            continue
        keep = compare(best, candidate, direction)
        best = create("select", [candidate.type], [keep, best, candidate])
        chosen = create("select", [numbers], [keep, chosen, splat(numbers, number)])
    return chosen


_REPAIRS = {
    "stablehlo.dot_general": collapse_dot,
    "stablehlo.dynamic_broadcast_in_dim": tell_what_grows,
    "stablehlo.dynamic_gather": take_part,
    "stablehlo.dynamic_reshape": write_out_reshape,
    "stablehlo.fft": write_out_fft,
    "stablehlo.gather": _clamp_gather,
    "stablehlo.scatter": scatter_elements,
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
