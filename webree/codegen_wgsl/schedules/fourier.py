"""Stages of fast Fourier transforms, as loop nests of linalg.

Enters: `iree_linalg_ext.fft`, one stage of the iterative transform (Cooley and Tukey, decimation in time) along the
last dimension, in place. Leaves: for its real and its imaginary part a `linalg.generic` over the result, in which each
element is computed of the two that its butterfly reads, so that no thread writes what another reads.
"""

from __future__ import annotations

import math as mathematics
from collections.abc import Callable
from typing import Any

from webree.codegen_wgsl.schedules.building import generated, index

__all__ = ["RULES"]


def _stage(op: Any) -> list[Any] | None:
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    (stage,), real_factors, imaginary_factors, (real,), (imaginary,) = _segments(op)
    element = ir.RankedTensorType(real.type).element_type
    if not isinstance(element, ir.F32Type | ir.F64Type):
        return None
    factors = (real_factors[0], imaginary_factors[0]) if real_factors else None
    one = index(1)
    half = arith.shli(one, arith.subi(stage, one))

    def part(is_real: bool) -> Any:
        def body(place: list[Any]) -> Any:
            *outer, at = place
            lane = arith.remui(at, half)  # which butterfly of its block
            upper = arith.cmpi(1, arith.andi(at, half), index(0))
            first = arith.select(upper, arith.subi(at, half), at)
            turned = _turned(real, imaginary, [*outer, arith.addi(first, half)], lane, half, factors, is_real)
            kept = _element(real if is_real else imaginary, [*outer, first])
            return arith.select(upper, arith.subf(kept, turned), arith.addf(kept, turned))

        return generated(real, body)

    return [part(True), part(False)]


def _turned(
    real: Any, imaginary: Any, place: list[Any], lane: Any, half: Any, factors: tuple[Any, Any] | None, is_real: bool
) -> Any:
    """The real or imaginary part of an element times `exp(-i * pi * lane / half)`."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith
    from iree.compiler.dialects import math as math_ops

    x, y = _element(real, place), _element(imaginary, place)
    if factors is not None:
        cosine, sine = (_element(factor, [lane]) for factor in factors)
    else:
        numbers = [arith.sitofp(x.type, arith.index_cast(ir.IntegerType.get_signless(32), n)) for n in (lane, half)]
        turn = arith.constant(x.type, ir.FloatAttr.get(x.type, -mathematics.pi))
        angle = arith.divf(arith.mulf(turn, numbers[0]), numbers[1])
        cosine, sine = math_ops.cos(angle), math_ops.sin(angle)
    if is_real:
        return arith.subf(arith.mulf(x, cosine), arith.mulf(y, sine))
    return arith.addf(arith.mulf(x, sine), arith.mulf(y, cosine))


def _element(source: Any, place: list[Any]) -> Any:
    from iree.compiler.dialects import tensor

    return tensor.extract(source, place)


def _segments(op: Any) -> list[list[Any]]:
    """Stage, real and imaginary factors, real and imaginary part."""
    operands = list(op.operands)
    factors = [operands[1:2], operands[2:3]] if len(operands) == 5 else [[], []]
    return [operands[:1], *factors, operands[-2:-1], operands[-1:]]


RULES: dict[str, Callable[[Any], list[Any] | None]] = {"iree_linalg_ext.fft": _stage}
