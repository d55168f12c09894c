"""Functions of 16-bit floats, computed in 32 bits.

Enters: kernels at `executable-sources`. Leaves: the same kernels, in which every function (`math.*`) with an f16 or
bf16 result is made of an f32 one and a rounding. The lowering to SPIR-V lacks some of them in f16 (rounding to
integers, signs, arc functions), and writes others out in several steps with constants that it rounds to 16 bits first
(2**x as e**(x ln 2)), which loses half the digits. Conversions from integers to bf16 round on the bits, for as an
operation of its own the rounding would be merged with the conversion, and that be lowered to one to f32 whose upper
half is dropped. Conversions from booleans become selections: the lowering lacks the signed one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from webree.compiler.walking import walk

__all__ = ["widen_half_functions"]

_HALVES = ("f16", "bf16")
# Exact in any format, and lowered in each.
_KEPT = frozenset({"math.absf", "math.floor", "math.ceil", "math.trunc", "math.isnan", "math.isinf", "math.isfinite"})
_CONVERSIONS = frozenset({"arith.sitofp", "arith.uitofp"})


def widen_half_functions(kernels: Sequence[Any]) -> int:
    """Change the kernels in place; returns the number of operations changed."""
    count = 0
    for op in [op for kernel in kernels for op in walk(kernel)]:
        rule = _rule(op)
        if rule is not None:
            _replace(op, rule)
            count += 1
    return count


def _rule(op: Any) -> Callable[[Any], Any] | None:
    kind = str(op.results[0].type) if len(op.results) == 1 else ""
    if op.name in _CONVERSIONS:
        if str(op.operands[0].type) == "i1":
            return _from_boolean
        return _to_bf16 if kind == "bf16" else None
    return _in_single if op.name.startswith("math.") and op.name not in _KEPT and kind in _HALVES else None


def _replace(op: Any, rule: Callable[[Any], Any]) -> None:
    from iree.compiler import ir

    with op.context, op.location, ir.InsertionPoint(op):
        op.results[0].replace_all_uses_with(rule(op))
    op.erase()


def _in_single(op: Any) -> Any:
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    single = ir.F32Type.get()
    operands = [arith.extf(single, operand) if str(operand.type) in _HALVES else operand for operand in op.operands]
    attributes = {name: op.attributes[name] for name in op.attributes}
    wide = ir.Operation.create(op.name, [single], operands, attributes=attributes)
    return arith.truncf(op.results[0].type, wide.results[0])


def _from_boolean(op: Any) -> Any:
    from iree.compiler.dialects import arith

    kind = op.results[0].type
    one = arith.constant(kind, -1.0 if op.name == "arith.sitofp" else 1.0)
    return arith.select(op.operands[0], one, arith.constant(kind, 0.0))


def _to_bf16(op: Any) -> Any:
    """The upper half of the f32, after adding half a unit in its last place, ties to even. No integer is NaN."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    word, half = ir.IntegerType.get_signless(32), ir.IntegerType.get_signless(16)
    single = ir.Operation.create(op.name, [ir.F32Type.get()], list(op.operands)).results[0]
    bits = arith.bitcast(word, single)
    sixteen = arith.constant(word, 16)
    last = arith.andi(arith.shrui(bits, sixteen), arith.constant(word, 1))
    bits = arith.addi(arith.addi(bits, arith.constant(word, 0x7FFF)), last)
    return arith.bitcast(op.results[0].type, arith.trunci(half, arith.shrui(bits, sixteen)))
