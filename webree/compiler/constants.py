"""Constants that belong in memory, not in kernels.

Enters: the module after `global-optimization`, where constant expressions are evaluated. Leaves: the same module with
every tensor constant of more than a few elements in a global of its own. Left as they are, constants of up to 256
bytes (a convolution's bias, most often) are copied into each kernel: WGSL then holds them as arrays in every
invocation's private memory, and kernels that differ in nothing else cannot be shared; vectors of 64-bit integers among
them cannot be lowered to pairs of words at all. The scheduler packs all these
globals into one buffer that is uploaded once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

__all__ = ["outline_constants"]

_KEPT_ELEMENTS = 4
_PREFIX = "__weights_"


def outline_constants(module: Any) -> int:
    """Move the constants of a module's functions; returns how many globals there are now for them."""
    from iree.compiler import ir

    with module.context, ir.Location.unknown():
        body = module.regions[0].blocks[0]
        globals_by_value: dict[Any, str] = {}
        for op in [op for op in _walk(module) if op.name == "arith.constant" and _is_large(op)]:
            value = op.attributes["value"]
            kind = op.results[0].type
            if value not in globals_by_value:
                globals_by_value[value] = f"{_PREFIX}{len(globals_by_value)}"
                with ir.InsertionPoint.at_block_begin(body):
                    ir.Operation.create(
                        "util.global",
                        attributes={
                            "sym_name": ir.StringAttr.get(globals_by_value[value]),
                            "sym_visibility": ir.StringAttr.get("private"),
                            "type": ir.TypeAttr.get(kind),
                            "initial_value": value,
                            "inlining_policy": ir.Attribute.parse("#util.inline.never"),
                        },
                        loc=op.location,
                    )
            with ir.InsertionPoint(op):
                load = ir.Operation.create(
                    "util.global.load",
                    results=[kind],
                    attributes={
                        "global": ir.FlatSymbolRefAttr.get(globals_by_value[value]),
                        "is_immutable": ir.UnitAttr.get(),
                    },
                    loc=op.location,
                )
            op.results[0].replace_all_uses_with(load.results[0])
            op.erase()
    return len(globals_by_value)


def _is_large(op: Any) -> bool:
    from iree.compiler import ir

    kind = op.results[0].type
    value = op.attributes["value"]
    if not isinstance(kind, ir.RankedTensorType) or (isinstance(value, ir.DenseElementsAttr) and value.is_splat):
        return False
    return bool(math.prod(kind.shape) > (1 if str(kind.element_type) == "i64" else _KEPT_ELEMENTS))


def _walk(op: Any) -> Iterator[Any]:
    for region in op.regions:
        for block in region:
            for inner in block:
                yield inner.operation
                yield from _walk(inner.operation)
