"""Parts of tensors that begin anywhere in a row, kept from being read as vectors.

Enters: kernels at phase `executable-sources`, scheduled by annotate.py. Leaves: the same kernels, in which a binding
has an innermost extent that looks unknown if a part of it begins in the middle of a vector. The lowering to SPIR-V
makes a buffer an array of vectors where all accesses are vectors and the innermost extent is a multiple of their
length. It does not look at where they begin, and rounds that down. Of a buffer whose innermost extent it does not
know it loads single elements, and makes vectors of these.
"""

from __future__ import annotations

from typing import Any

from webree.compiler.walking import walk

__all__ = ["keep_misaligned_scalar"]

_VECTOR = 4
_SUBSPAN = "hal.interface.binding.subspan"
_LOAD, _STORE = "iree_tensor_ext.dispatch.tensor.load", "iree_tensor_ext.dispatch.tensor.store"
_PASSED_ON = ("tensor.cast", "tensor.collapse_shape", "tensor.expand_shape")


def keep_misaligned_scalar(module: Any) -> int:
    """Change the kernels of a module in place; returns how many bindings are concerned."""
    found = [op for op in walk(module.operation) if op.name == _SUBSPAN and _is_misaligned(op)]
    return sum(_hide_innermost(op) for op in found)


def _is_misaligned(subspan: Any) -> bool:
    return any(_part_is_misaligned(use.owner) or _is_cut(use.owner) for use in subspan.results[0].uses)


def _is_cut(access: Any) -> bool:
    """Whether something is cut out of what is loaded (or put into what is stored) in the middle of a vector."""
    return access.name == _LOAD and _cuts(access.results[0])


def _cuts(value: Any) -> bool:
    for use in value.uses:
        op = use.owner
        if op.name == "tensor.extract_slice" and (_part_is_misaligned(op) or _cuts(op.results[0])):
            return True
        if op.name in _PASSED_ON and _cuts(op.results[0]):
            return True
    return False


def _part_is_misaligned(op: Any) -> bool:
    """Whether the innermost offset of a load, a store or a slice is no multiple of a vector. With a stride, elements
    are loaded one by one anyway (and wrongly, where the extent is not known)."""
    offsets, strides = _integers(op, "static_offsets"), _integers(op, "static_strides")
    # An offset that only the run knows is a large negative number, and a multiple of nothing that matters here.
    return bool(offsets) and strides[-1] == 1 and (offsets[-1] < 0 or offsets[-1] % _VECTOR != 0)


def _integers(op: Any, name: str) -> list[int]:
    from iree.compiler import ir

    return list(ir.DenseI64ArrayAttr(op.attributes[name])) if name in op.attributes else []


def _hide_innermost(subspan: Any) -> bool:
    """Make the innermost extent one that is given as a value."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    old = str(subspan.results[0].type)
    before, _, element = old.rpartition("x")
    start = max(before.rfind("x"), before.rfind("<")) + 1
    extent = before[start:]
    uses = [use.owner for use in subspan.results[0].uses]
    if not extent.isdigit() or any(op.name not in (_LOAD, _STORE) for op in uses):
        return False
    with subspan.context, subspan.location, ir.InsertionPoint(subspan):
        kind = ir.Type.parse(f"{before[:start]}?x{element}")
        size = arith.constant(ir.IndexType.get(), int(extent))
        attributes = {name: subspan.attributes[name] for name in subspan.attributes}
        segments = list(ir.DenseI32ArrayAttr(attributes["operandSegmentSizes"]))
        segments[-1] += 1
        attributes["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get(segments)
        new = ir.Operation.create(_SUBSPAN, [kind], [*subspan.operands, size], attributes=attributes)
    for op in dict.fromkeys(uses):
        _replace_access(op, subspan.results[0], new.results[0], size)
    subspan.erase()
    return True


def _replace_access(op: Any, old: Any, new: Any, size: Any) -> None:
    """A load or store of the binding whose innermost extent is a value."""
    from iree.compiler import ir

    segments = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))
    dims = 1 if op.name == _LOAD else 2  # the segment of the binding's dynamic extents
    end = sum(segments[: dims + 1])
    operands = [new if operand == old else operand for operand in op.operands]
    operands.insert(end, size)
    segments[dims] += 1
    with op.context, op.location, ir.InsertionPoint(op):
        attributes = {name: op.attributes[name] for name in op.attributes}
        attributes["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get(segments)
        results = [result.type for result in op.results]
        made = ir.Operation.create(op.name, results, operands, attributes=attributes)
    for before, after in zip(op.results, made.results, strict=True):
        before.replace_all_uses_with(after)
    op.erase()
