"""Parts of bindings as the lowering to SPIR-V takes them.

Enters: kernels at `executable-sources`. Leaves: the same kernels, in which

- no `tensor.extract` reads from a binding loaded in part: its indices are moved to where the part lies. The lowering
  makes one index of several with the extents of the part, although the memory has the rows of the whole, and so reads
  other elements;
- parts have the stride 1 along dimensions of one element, where a stride says nothing. The lowering refuses others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from webree.compiler.walking import walk

__all__ = ["drop_idle_strides", "pick_from_whole"]

_LOAD, _STORE = "iree_tensor_ext.dispatch.tensor.load", "iree_tensor_ext.dispatch.tensor.store"


def drop_idle_strides(kernels: Sequence[Any]) -> int:
    """Change the kernels in place; returns the number of loads and stores changed."""
    from iree.compiler import ir

    changed = 0
    for op in [op for kernel in kernels for op in walk(kernel) if op.name in (_LOAD, _STORE)]:
        sizes, strides = list(op.attributes["static_sizes"]), list(op.attributes["static_strides"])
        # A stride that only the run knows stands among the operands as well, and stays.
        plain = [1 if size == 1 and stride > 1 else stride for size, stride in zip(sizes, strides, strict=True)]
        if plain != strides:
            op.attributes["static_strides"] = ir.DenseI64ArrayAttr.get(plain, context=op.context)
            changed += 1
    return changed


def pick_from_whole(kernels: Sequence[Any]) -> int:
    """Change the kernels in place; returns the number of slices that nothing is picked from any more."""
    from iree.compiler import ir

    slices: dict[Any, list[Any]] = {}
    for op in [op for kernel in kernels for op in walk(kernel) if op.name == "tensor.extract"]:
        owner = op.operands[0].owner
        if not isinstance(owner, ir.Block) and owner.name == _LOAD and _shape_of_whole(owner) is not None:
            slices.setdefault(owner, []).append(op)
    for load, picks in slices.items():
        _pick(load, picks)
    return len(slices)


def _shape_of_whole(load: Any) -> list[int] | None:
    """The extents of the binding if it is loaded in part and all is static, None otherwise."""
    from iree.compiler import ir

    text = str(load.operands[0].type).rpartition("tensor<")[2].rstrip(">")
    extents = text.partition("complex<")[0].split("x")[:-1]
    part = load.results[0].type
    if len(load.operands) != 1 or "?" in extents or not ir.RankedTensorType(part).has_static_shape:
        return None
    whole = [int(extent) for extent in extents]
    return whole if whole != list(part.shape) else None


def _pick(load: Any, picks: list[Any]) -> None:
    from iree.compiler import ir

    whole, part = _shape_of_whole(load), list(load.results[0].type.shape)
    assert whole is not None
    offsets, sizes, strides = (list(load.attributes[f"static_{name}"]) for name in ("offsets", "sizes", "strides"))
    kept = _kept(sizes, part)
    with load.context, load.location, ir.InsertionPoint(load):
        attributes = {name: load.attributes[name] for name in load.attributes}
        for name, values in (("offsets", [0] * len(whole)), ("sizes", whole), ("strides", [1] * len(whole))):
            attributes[f"static_{name}"] = ir.DenseI64ArrayAttr.get(values)
        kind = ir.RankedTensorType.get(whole, load.results[0].type.element_type)
        loaded = ir.Operation.create(_LOAD, [kind], [load.operands[0]], attributes=attributes).results[0]
    for op in picks:
        with op.context, op.location, ir.InsertionPoint(op):
            indices = iter(list(op.operands)[1:])
            moved = [
                _moved(next(indices) if dim in kept else None, offsets[dim], strides[dim]) for dim in range(len(whole))
            ]
            picked = ir.Operation.create("tensor.extract", [op.results[0].type], [loaded, *moved])
            op.results[0].replace_all_uses_with(picked.results[0])
        op.erase()


def _kept(sizes: list[int], part: list[int]) -> set[int]:
    """Which dimensions the part still has: loads drop some of extent 1."""
    kept: set[int] = set()
    left = list(part)
    for dim, size in enumerate(sizes):
        if left and size == left[0]:
            kept.add(dim)
            left.pop(0)
    return kept


def _moved(index: Any, offset: int, stride: int) -> Any:
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    kind = ir.IndexType.get()
    start = arith.constant(kind, offset)
    if index is None:
        return start
    if stride != 1:
        index = arith.muli(index, arith.constant(kind, stride))
    return arith.addi(index, start)
