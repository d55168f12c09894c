"""Tests for NaN and infinities as comparisons.

Enters: kernels at `executable-sources`, of targets with IEEE comparisons. Leaves: the same kernels without
`math.isinf` and `math.isfinite`, which those targets' lowerings lack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from webree.compiler.walking import walk

__all__ = ["write_out_classes"]

# What the absolute value is to infinity, as a predicate of arith.cmpf: equal, or less (which NaN is not).
_PREDICATES = {"math.isinf": 1, "math.isfinite": 4}


def write_out_classes(kernels: Sequence[Any]) -> int:
    """Change the kernels in place; returns the number of operations written out."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, math

    found = [op for kernel in kernels for op in walk(kernel) if op.name in _PREDICATES]
    for op in found:
        with op.context, op.location, ir.InsertionPoint(op):
            (value,) = op.operands
            infinity = arith.constant(value.type, float("inf"))
            op.results[0].replace_all_uses_with(arith.cmpf(_PREDICATES[op.name], math.absf(value), infinity))
        op.erase()
    return len(found)
