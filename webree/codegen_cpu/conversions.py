"""Conversions that LLVM's WebAssembly back end lacks, written out in those that it has.

Enters: the module at phase `flow` or later, with kernels as operations on tensors. Leaves: the same module in which an
integer becomes a bf16 by way of the bits of an f32: two conversions in a row the compiler would fold into the direct
one, and where LLVM meets that, it ends the whole process.
"""

from __future__ import annotations

from typing import Any

from webree.compiler.walking import walk

__all__ = ["write_out_conversions"]

_TO_FLOAT = ("arith.sitofp", "arith.uitofp")


def write_out_conversions(module: Any) -> int:
    """Change the kernels in place; returns the number of operations written out."""
    from iree.compiler import ir

    count = 0
    for op in list(walk(module)):
        if op.name not in _TO_FLOAT or not isinstance(op.results[0].type, ir.BF16Type):
            continue
        with op.context, op.location, ir.InsertionPoint(op):
            value = ir.Operation.create(op.name, [ir.F32Type.get()], [op.operands[0]]).results[0]
            value = _upper_half(value)
        op.results[0].replace_all_uses_with(value)
        op.erase()
        count += 1
    return count


def _upper_half(value: Any) -> Any:
    """A finite f32 as bf16: its upper 16 bits, rounded to the nearest, to even in the middle."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    word = ir.IntegerType.get_signless(32)
    shift, one, half = (arith.constant(word, number) for number in (16, 1, 0x7FFF))
    bits = arith.bitcast(word, value)
    odd = arith.andi(arith.shrui(bits, shift), one)
    bits = arith.shrui(arith.addi(bits, arith.addi(half, odd)), shift)
    return arith.bitcast(ir.BF16Type.get(), arith.trunci(ir.IntegerType.get_signless(16), bits))
