"""Bindings narrowed to the bytes that a kernel uses.

Enters: the module at `executable-sources`. The scheduler packs transient tensors into one allocation and binds all of it,
with each tensor's offset as a constant of the dispatch, so that one kernel serves many places. Where two such bindings
are left in one dispatch (a kernel that reads the model's input in one place and a transient in another), they overlap,
which WebGPU forbids if one is written: the runtime would have to copy the whole allocation for every dispatch.
Leaves: the same module in which a binding with one view of static shape starts at the view, wherever all offsets are
known: `%slab[%c0 for %c512]` with constant 256 becomes `%slab[%c256 for %c256]`, and the kernel's own offset is zero.

WebGPU: https://www.w3.org/TR/webgpu/#programming-model-resource-usages
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

__all__ = ["narrow_ranges"]

_BYTE_SIZES = {"i1": 1, "i8": 1, "i16": 2, "f16": 2, "bf16": 2, "i32": 4, "f32": 4, "i64": 8, "f64": 8}
_STATIC_TENSOR = re.compile(r"tensor<((?:\d+x)*)(\w+)>>$")
_VECTOR_BYTES = 16  # kernels load whole vectors; the scheduler aligns ranges to more than this
_CASTS = ("arith.index_castui", "arith.index_cast")


@dataclass(frozen=True)
class _View:
    """A binding's only view: its `subspan` operation, the dispatch constant that is its offset, its size in bytes."""

    subspan: Any
    constant: int
    byte_length: int


class _Dispatch:
    """A `stream.cmd.dispatch` with its operands by kind."""

    def __init__(self, op: Any) -> None:
        self.op = op
        text = str(op.attributes["operandSegmentSizes"])
        sizes = [int(size) for size in text.partition(":")[2].strip(" >").split(",")]
        starts = [sum(sizes[:kind]) for kind in range(len(sizes))]
        _, self._constants, _, _, self._offsets, self._lengths = starts

    def constant(self, number: int) -> int | None:
        return _integer(self.op.operands[self._constants + number])

    def range(self, binding: int) -> tuple[int, int] | None:
        """Offset and length of a binding, if both are known."""
        offset = _integer(self.op.operands[self._offsets + binding])
        length = _integer(self.op.operands[self._lengths + binding])
        return None if offset is None or length is None else (offset, length)

    def set_range(self, binding: int, byte_offset: int, byte_length: int) -> None:
        block = _function_block(self.op)
        self.op.operands[self._offsets + binding] = _index(block, byte_offset)
        self.op.operands[self._lengths + binding] = _index(block, byte_length)


def narrow_ranges(module: Any) -> int:
    """Narrow the bindings of a module's dispatches; returns how many bindings of kernels have no offset any more."""
    from iree.compiler import ir

    with module.context, ir.Location.unknown():
        dispatches: dict[str, list[_Dispatch]] = defaultdict(list)
        kernels: dict[str, Any] = {}
        for op in list(_walk(module)):
            if op.name == "stream.cmd.dispatch":
                for entry_point in op.attributes["entry_points"]:
                    dispatches[str(entry_point)].append(_Dispatch(op))
            elif op.name == "func.func" and (path := _export_path(op)):
                kernels[path] = op
        return sum(_narrow(kernels[path], sites) for path, sites in dispatches.items() if path in kernels)


def _narrow(kernel: Any, sites: Sequence[_Dispatch]) -> int:
    narrowed = 0
    for binding, view in _single_views(kernel).items():
        ranges = [_narrowed_range(site, binding, view) for site in sites]
        if any(found is None for found in ranges):
            continue
        view.subspan.operands[0] = _index(view.subspan.block, 0)
        for site, found in zip(sites, ranges, strict=True):
            assert found is not None
            site.set_range(binding, *found)
        narrowed += 1
    return narrowed


def _narrowed_range(site: _Dispatch, binding: int, view: _View) -> tuple[int, int] | None:
    bound, constant = site.range(binding), site.constant(view.constant)
    if bound is None or constant is None or len(site.op.attributes["entry_points"]) != 1:
        return None
    offset, length = bound
    left = length - constant
    if constant < 0 or left < view.byte_length:
        return None
    padded = -(-view.byte_length // _VECTOR_BYTES) * _VECTOR_BYTES
    return offset + constant, min(padded, left)


def _single_views(kernel: Any) -> dict[int, _View]:
    """Bindings that have one view of static shape, at an offset that is a constant of the dispatch."""
    subspans: dict[int, list[Any]] = defaultdict(list)
    for op in _walk(kernel):
        if op.name == "hal.interface.binding.subspan":
            subspans[op.attributes["binding"].value].append(op)
    views = {}
    for binding, found in subspans.items():
        constant = _dispatch_constant(found[0].operands[0]) if len(found) == 1 else None
        size = _byte_length(found[0].results[0].type)
        if constant is not None and size is not None:
            views[binding] = _View(found[0], constant, size)
    return views


def _dispatch_constant(value: Any) -> int | None:
    """The number of the dispatch constant that an index is, through casts and assumptions."""
    while True:
        op = _defining(value)
        if op is None:
            return None
        if op.name == "util.assume.int":
            value = op.operands[list(op.results).index(value)]
        elif op.name in _CASTS:
            value = op.operands[0]
        else:
            return int(op.attributes["ordinal"].value) if op.name == "hal.interface.constant.load" else None


def _byte_length(kind: Any) -> int | None:
    match = _STATIC_TENSOR.search(str(kind))
    if match is None or match[2] not in _BYTE_SIZES:
        return None
    return prod(int(extent) for extent in match[1].split("x")[:-1]) * _BYTE_SIZES[match[2]]


def _export_path(function: Any) -> str | None:
    """`@executable::@variant::@kernel` of a kernel's function."""
    from iree.compiler import ir

    names = [ir.StringAttr(function.attributes["sym_name"]).value]
    op = function.parent
    while op is not None:
        op = op.operation
        if op.name in ("hal.executable.variant", "hal.executable"):
            names.append(ir.StringAttr(op.attributes["sym_name"]).value)
        op = op.parent
    return "::".join(f"@{name}" for name in reversed(names)) if len(names) == 3 else None


def _integer(value: Any) -> int | None:
    op = _defining(value)
    return int(op.attributes["value"].value) if op is not None and op.name == "arith.constant" else None


def _defining(value: Any) -> Any | None:
    from iree.compiler import ir

    owner = value.owner
    return None if isinstance(owner, ir.Block) else owner.operation if hasattr(owner, "operation") else owner


def _index(block: Any, number: int) -> Any:
    """A new index constant at the beginning of a block."""
    from iree.compiler import ir

    kind = ir.IndexType.get()
    with ir.InsertionPoint.at_block_begin(block):
        constant = ir.Operation.create(
            "arith.constant", results=[kind], attributes={"value": ir.IntegerAttr.get(kind, number)}
        )
    return constant.results[0]


def _function_block(op: Any) -> Any:
    """The first block of the function or initialiser that an operation is in."""
    while not op.name.startswith(("util.func", "util.initializer")):
        op = op.parent.operation
    return op.regions[0].blocks[0]


def _walk(op: Any) -> Iterator[Any]:
    for region in op.regions:
        for block in region:
            for child in block:
                yield child.operation
                yield from _walk(child.operation)
