"""Operations of StableHLO, made at the insertion point, and numbers read from their attributes.

Enters: values and attributes as Python has them. Leaves: the result of the new operation. The wheel has no Python
classes for this dialect, so its attributes are read as text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["broadcast", "compare", "constant", "create", "number_in", "numbers_in", "pad", "splat", "take_slice"]


def create(name: str, types: Sequence[Any], operands: Sequence[Any], **attributes: Any) -> Any:
    """The first result of `stablehlo.name`."""
    from iree.compiler import ir

    return ir.Operation.create(f"stablehlo.{name}", list(types), list(operands), attributes=attributes).results[0]


def constant(shape: Sequence[int], element: Any, value: Any) -> Any:
    """`value`: a number, MLIR's text of one, or a list."""
    from iree.compiler import ir

    kind = ir.RankedTensorType.get(list(shape), element)
    return create("constant", [kind], [], value=ir.Attribute.parse(f"dense<{_literal(value, str(element))}> : {kind}"))


def _literal(value: Any, element: str) -> str:
    return f"{value}.0" if isinstance(value, int) and "f" in element else str(value)


def numbers_in(text: str, name: str) -> list[int]:
    """The list `name = [...]` in an attribute's text; empty where it is not there."""
    match = re.search(rf"\b{name} = \[([\d, ]*)\]", text)
    return [int(word) for word in match[1].split(",") if word.strip()] if match else []


def number_in(text: str, name: str) -> int:
    """The number `name = ...` in an attribute's text; 0 where it is not there."""
    match = re.search(rf"\b{name} = (\d+)", text)
    return int(match[1]) if match else 0


def splat(kind: Any, value: int) -> Any:
    """A constant of the type, all elements `value`."""
    from iree.compiler import ir

    kind = ir.RankedTensorType(kind)
    return constant(kind.shape, kind.element_type, value)


def broadcast(scalar: Any, kind: Any) -> Any:
    """A scalar as all elements of the type."""
    from iree.compiler import ir

    return create("broadcast_in_dim", [kind], [scalar], broadcast_dimensions=ir.DenseI64ArrayAttr.get([]))


def compare(left: Any, right: Any, direction: str) -> Any:
    """`direction`: EQ, NE, GE, GT, LE or LT."""
    from iree.compiler import ir

    kind = ir.RankedTensorType(left.type)
    result = ir.RankedTensorType.get(kind.shape, ir.IntegerType.get_signless(1))
    name = ir.Attribute.parse(f"#stablehlo<comparison_direction {direction}>")
    return create("compare", [result], [left, right], comparison_direction=name)


def take_slice(value: Any, start: list[int], limit: list[int], strides: list[int] | None = None) -> Any:
    """`[start, limit)` of every dimension, every `strides`-th."""
    from iree.compiler import ir

    kind = ir.RankedTensorType(value.type)
    steps = strides or [1] * len(start)
    shape = [-(-(b - a) // step) for a, b, step in zip(start, limit, steps, strict=True)]
    array = ir.DenseI64ArrayAttr.get
    return create(
        "slice",
        [ir.RankedTensorType.get(shape, kind.element_type)],
        [value],
        start_indices=array(start),
        limit_indices=array(limit),
        strides=array(steps),
    )


def pad(value: Any, fill: Any, low: list[int], high: list[int], interior: list[int] | None = None) -> Any:
    """`fill` before, after and between the elements; negative numbers cut off."""
    from iree.compiler import ir

    kind = ir.RankedTensorType(value.type)
    between = interior or [0] * len(low)
    shape = [a + n + (n - 1) * i + b for n, a, b, i in zip(kind.shape, low, high, between, strict=True)]
    array = ir.DenseI64ArrayAttr.get
    return create(
        "pad",
        [ir.RankedTensorType.get(shape, kind.element_type)],
        [value, fill],
        edge_padding_low=array(low),
        edge_padding_high=array(high),
        interior_padding=array(between),
    )
