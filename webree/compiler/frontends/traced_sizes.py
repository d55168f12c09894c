"""Open sizes of PyTorch and JAX functions: what a framework calls by one name must be one size.

Enters: a function's entry block, the names of its inputs, and for each input its sizes, as numbers or as the framework
writes them (`batch`, `2*batch`, `s77`). Leaves: assertions at its beginning, by sizes alone, which cost no work on the
device. Without them an operation that never sees both of two sizes would read what is not there. Longer expressions
(`a + b`) are left to the operations that use them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from webree.compiler.extents import assert_equal

__all__ = ["Sizes", "check_sizes"]

Sizes = Sequence[Sequence[int | str]]
"""For each input its sizes: numbers, or expressions of symbols."""

_MULTIPLE = re.compile(r"(?:(\d+)\*)?([A-Za-z_]\w*)$")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a symbol stands: the argument, its name, the axis, and by what the symbol is multiplied there."""

    argument: int
    name: str
    axis: int
    text: str
    factor: int


def check_sizes(block: Any, names: Sequence[str], sizes: Sizes) -> None:
    """Assert that every symbol has one value. The messages name both inputs and their dimensions."""
    from iree.compiler import ir

    groups: dict[str, list[_Place]] = {}
    for argument, (name, extents) in enumerate(zip(names, sizes, strict=True)):
        for axis, extent in enumerate(extents):
            match = _MULTIPLE.match(str(extent))
            if match is not None:
                place = _Place(argument, name, axis, str(extent), int(match[1] or 1))
                groups.setdefault(match[2], []).append(place)
    for dialect in ("arith", "cf", "tensor"):
        block.owner.context.dialects[dialect]  # loads it
    with block.owner.context, ir.Location.unknown(), ir.InsertionPoint.at_block_begin(block):
        for places in groups.values():
            if len(places) > 1 or places[0].factor > 1:
                _check_group(block, sorted(places, key=lambda place: place.factor))


def _check_group(block: Any, places: Sequence[_Place]) -> None:
    from iree.compiler.dialects import arith

    values = []
    for place in places:
        size = _size(block.arguments[place.argument], place.axis)
        if place.factor > 1:
            factor = _index(place.factor)
            assert_equal(
                arith.remui(size, factor),
                _index(0),
                f"dimension {place.axis} of input {place.name!r} is {place.text} in the model, so it must be a "
                f"multiple of {place.factor}",
            )
            size = arith.divui(size, factor)
        values.append(size)
    first = places[0]
    for place, value in zip(places[1:], values[1:], strict=True):
        where = f"dimension {place.axis} of input {place.name!r} and dimension {first.axis} of input {first.name!r}"
        relation = (
            "are one open size in the model, so they must be equal"
            if place.factor == first.factor
            else f"are {place.text} and {first.text} in the model, and do not fit together"
        )
        assert_equal(values[0], value, f"{where} {relation}")


def _size(argument: Any, axis: int) -> Any:
    from iree.compiler.dialects import tensor

    from webree.compiler.frontends.onnx_inline import to_builtin

    value = argument if str(argument.type).startswith("tensor<") else to_builtin(argument)
    return tensor.dim(value, _index(axis))


def _index(value: int) -> Any:
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    return arith.constant(ir.IndexType.get(), value)
