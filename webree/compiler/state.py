"""Mutable globals keep memory of their own, and the order in which they are loaded and stored.

Enters: the module after `input`. Leaves: the same module, in which

- no two mutable tensors begin with a value that the compiler can see to be the same. It would make one buffer of equal
  initial values, all globals that begin with it would start with that buffer, and a program that then updates them in
  place (a KV cache, an optimiser's moments) would write through one into all others;
- a call of a function that does nothing stands before and behind every loop and condition that has to do with them.
  The compiler moves loads up and stores down in a block without looking into the regions of what they pass; it moves
  nothing across calls.
"""

from __future__ import annotations

from typing import Any

from webree.compiler.walking import walk
from webree.dtypes import by_mlir

__all__ = ["keep_order", "separate_state"]

_VALUE = "initial_value"
_FUNCTIONS = ("util.func", "util.initializer")
_TOUCHING = ("util.global.load", "util.global.store", "util.global.load.indirect", "util.global.store.indirect")
_NOTHING = "webree.nothing"
_DOES_NOTHING = f"""
util.func private @{_NOTHING}() attributes {{inlining_policy = #util.inline.never}} {{
  %zero = arith.constant 0 : i32
  %hidden = util.optimization_barrier %zero : i32
  util.return
}}"""
"""Calls of a function without a barrier would be taken out."""


def keep_order(module: Any) -> int:
    """Put calls around loops and conditions that may load or store mutable globals; returns around how many."""
    from iree.compiler import ir

    body = module.regions[0].blocks[0]
    if not any(op.operation.name == "util.global" and "is_mutable" in op.operation.attributes for op in body):
        return 0
    found = [
        op.operation
        for function in body
        if function.operation.name in _FUNCTIONS
        for block in function.operation.regions[0].blocks
        for op in block.operations
        if any(inner.name in _TOUCHING or inner.name == "util.call" for inner in walk(op.operation))
    ]
    if not found:
        return 0
    with module.context, module.location:
        body.append(ir.Operation.parse(_DOES_NOTHING))
        for op in found:
            for point in (ir.InsertionPoint(op), ir.InsertionPoint.after(op)):
                with op.location, point:
                    callee = ir.FlatSymbolRefAttr.get(_NOTHING)
                    ir.Operation.create("util.call", attributes={"callee": callee})
    return len(found)


def separate_state(module: Any) -> int:
    """Move initial values into initialisers, behind a barrier, for all mutable tensors but the first; returns how many.

    Values that differ in type may still be the same bytes, so that all are moved."""
    from iree.compiler import ir

    body = module.regions[0].blocks[0]
    mutable = [op.operation for op in body if _is_mutable_tensor(op.operation)]
    with module.context:
        for op in mutable[1:]:
            value = op.attributes[_VALUE]
            kind = ir.RankedTensorType(ir.TypeAttr(op.attributes["type"]).value)
            del op.attributes[_VALUE]
            initializer = ir.Operation.create(
                "util.initializer",
                attributes={"function_type": ir.TypeAttr.get(ir.FunctionType.get([], []))},
                regions=1,
                loc=op.location,
                ip=ir.InsertionPoint(body),
            )
            block = ir.Block.create_at_start(initializer.regions[0], [])
            with op.location, ir.InsertionPoint(block):
                own = _own_memory(value, kind)
                symbol = ir.FlatSymbolRefAttr.get(ir.StringAttr(op.attributes["sym_name"]).value)
                ir.Operation.create("util.global.store", operands=[own], attributes={"global": symbol})
                ir.Operation.create("util.return")
    return max(len(mutable) - 1, 0)


def _own_memory(value: Any, kind: Any) -> Any:
    """A tensor with this value that shares no memory with any other: filled with a number of which the compiler does
    not know that it is a constant, and then, if the elements differ, overwritten with the constant."""
    from iree.compiler import ir

    is_splat = isinstance(value, ir.DenseElementsAttr) and value.is_splat
    element = kind.element_type
    integer = element if isinstance(element, ir.IntegerType) else ir.IntegerType.get_signless(element.width)
    bits = _bits(value.get_splat_value(), element) if is_splat else 0
    number = _make("arith.constant", integer, value=ir.IntegerAttr.get(integer, bits))
    hidden = _make("util.optimization_barrier", integer, number)
    filled = _make("flow.tensor.splat", ir.RankedTensorType.get(kind.shape, integer), hidden)
    if integer != element:
        segments = ir.DenseI32ArrayAttr.get([1, 0, 0])
        filled = _make("flow.tensor.bitcast", kind, filled, operandSegmentSizes=segments)
    if is_splat:
        return filled
    constant = _make("arith.constant", kind, value=value)
    index = ir.IndexType.get()
    zero = _make("arith.constant", index, value=ir.IntegerAttr.get(index, 0))
    count = len(kind.shape)
    segments = ir.DenseI32ArrayAttr.get([1, 0, count, 1, 0])
    return _make("flow.tensor.update", kind, filled, *[zero] * count, constant, operandSegmentSizes=segments)


def _make(name: str, kind: Any, *operands: Any, **attributes: Any) -> Any:
    from iree.compiler import ir

    return ir.Operation.create(name, results=[kind], operands=list(operands), attributes=attributes).result


def _bits(value: Any, element: Any) -> int:
    from iree.compiler import ir

    if isinstance(element, ir.IntegerType):
        return int(ir.IntegerAttr(value).value)
    dtype = by_mlir(str(element))
    import ml_dtypes
    import numpy

    number = ml_dtypes.bfloat16 if dtype.name == "bfloat16" else numpy.dtype(dtype.name).type
    return int(number(ir.FloatAttr(value).value).view(f"i{dtype.byte_size}"))


def _is_mutable_tensor(op: Any) -> bool:
    from iree.compiler import ir

    if op.name != "util.global" or "is_mutable" not in op.attributes or _VALUE not in op.attributes:
        return False
    return isinstance(ir.TypeAttr(op.attributes["type"]).value, ir.RankedTensorType)
