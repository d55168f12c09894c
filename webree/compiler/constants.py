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
from typing import Any

from webree.compiler.walking import walk

__all__ = ["outline_constants"]

_KEPT_ELEMENTS = 4
_PREFIX = "__weights_"


def outline_constants(module: Any) -> int:
    """Move the constants of a module's functions; returns how many globals there are now for them."""
    from iree.compiler import ir

    with module.context, ir.Location.unknown():
        body = module.regions[0].blocks[0]
        globals_by_value: dict[Any, str] = {}
        for op in [op for op in walk(module) if op.name == "arith.constant" and _is_large(op)]:
            kind = op.results[0].type
            value = _complex_text(op) if _is_complex(kind) else op.attributes["value"]
            if value not in globals_by_value:
                globals_by_value[value] = f"{_PREFIX}{len(globals_by_value)}"
                with ir.InsertionPoint.at_block_begin(body):
                    _create_global(globals_by_value[value], kind, value, op.location)
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


def _create_global(name: str, kind: Any, value: Any, location: Any) -> None:
    """`value`: an attribute, or the text of one."""
    from iree.compiler import ir

    if isinstance(value, str):
        properties = f'sym_name = "{name}", sym_visibility = "private", type = {kind}, initial_value = {value}'
        text = f'"util.global"() <{{{properties}, inlining_policy = #util.inline.never}}> : () -> ()'
        ir.InsertionPoint.current.insert(ir.Operation.parse(text))
        return
    ir.Operation.create(
        "util.global",
        attributes={
            "sym_name": ir.StringAttr.get(name),
            "sym_visibility": ir.StringAttr.get("private"),
            "type": ir.TypeAttr.get(kind),
            "initial_value": value,
            "inlining_policy": ir.Attribute.parse("#util.inline.never"),
        },
        loc=location,
    )


def _is_complex(kind: Any) -> bool:
    return "complex<" in str(kind)


def _complex_text(op: Any) -> str:
    """The value of a constant of complex numbers, which MLIR's Python bindings cannot hold."""
    return str(op.get_asm()).partition(" arith.constant ")[2].strip()


def _is_large(op: Any) -> bool:
    from iree.compiler import ir

    kind = op.results[0].type
    if not isinstance(kind, ir.RankedTensorType):
        return False
    if not _is_complex(kind):
        value = op.attributes["value"]
        if isinstance(value, ir.DenseElementsAttr) and value.is_splat:
            return False
    elif _complex_text(op).startswith("dense<("):  # all elements alike
        return False
    return bool(math.prod(kind.shape) > (1 if str(kind.element_type) == "i64" else _KEPT_ELEMENTS))
