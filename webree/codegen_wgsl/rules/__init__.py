"""Op -> WGSL: one table over all families. An op that is in none of them is unsupported."""

from __future__ import annotations

from collections.abc import Callable

from webree.codegen_wgsl.emitter import Emitter
from webree.codegen_wgsl.rules import arith, composite, gpu, half, math, memory
from webree.codegen_wgsl.spirv import Op

__all__ = ["RULES"]

RULES: dict[str, Callable[[Emitter, Op], None]] = {
    **arith.RULES,
    **composite.RULES,
    **gpu.RULES,
    **half.RULES,
    **math.RULES,
    **memory.RULES,
}
