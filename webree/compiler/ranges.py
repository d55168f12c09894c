"""Bindings narrowed to the bytes that a kernel uses.

Enters: the module at `executable-sources`. The scheduler packs transient tensors into one allocation and binds all of
it, with each tensor's offset as a constant of the dispatch, so that one kernel serves many places. Where two such
bindings are left in one dispatch (a kernel that reads the model's input in one place and a transient in another), they
overlap, which WebGPU forbids if one is written: the runtime would have to copy the whole allocation for every dispatch.
Leaves: the same module in which a binding that has one view starts at the view and is as long:
`%slab[%c0 for %c512]` with constant 256 becomes `%slab[%c256 for %c256]`, and the kernel's own offset is zero.
Offsets that stay in kernels are bounded, for the passes behind this one size views by the largest possible offset.

WebGPU: https://www.w3.org/TR/webgpu/#programming-model-resource-usages
"""

from __future__ import annotations

import operator
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from webree.compiler.walking import walk

__all__ = ["narrow_ranges"]

_BYTE_SIZES = {"i1": 1, "i8": 1, "i16": 2, "f16": 2, "bf16": 2, "i32": 4, "f32": 4, "i64": 8, "f64": 8}
_TENSOR = re.compile(r"tensor<((?:(?:\d+|\?)x)*)(\w+)>>$")
_PASSED_ON = ("arith.index_castui", "arith.index_cast", "iree_tensor_ext.dispatch.workload.ordinal")
_FOLDED = {"arith.addi": operator.add, "arith.muli": operator.mul}
_UPPER_BOUND = re.compile(r"umax = (\d+)")
_LARGEST_OFFSET = (1 << 31) - 256  # index_bits is 32; a multiple of every alignment


@dataclass(frozen=True)
class _View:
    """A binding's only view: its `subspan` operation, and which dispatch constants are its offset and dynamic extents.

    `byte_length` is that of the static extents."""

    subspan: Any
    offset: int
    extents: tuple[int, ...]
    byte_length: int

    @property
    def place(self) -> tuple[object, ...]:
        """What does not depend on the target that the kernel is for."""
        return (self.offset, self.extents, self.byte_length)


class _Dispatch:
    """A `stream.cmd.dispatch` with its operands by kind. New values are computed in front of the execution it is in."""

    def __init__(self, op: Any) -> None:
        self.op = op
        text = str(op.attributes["operandSegmentSizes"])
        sizes = [int(size) for size in text.partition(":")[2].strip(" >").split(",")]
        starts = [sum(sizes[:kind]) for kind in range(len(sizes))]
        _, self._constants, _, _, self._offsets, self._lengths = starts
        self._execution = op
        while self._execution.name != "stream.cmd.execute":
            self._execution = self._execution.parent.operation

    def knows(self, view: _View) -> bool:
        """Whether the view's offset and extents are there in front of the execution."""
        return all(not self._is_inside(self._constant(number)) for number in (view.offset, *view.extents))

    def narrow(self, binding: int, view: _View) -> None:
        """Bind the view alone."""
        from iree.compiler import ir

        with ir.InsertionPoint(self._execution):
            offset = self._as_index(view.offset)
            length = _index(view.byte_length)
            for number in view.extents:
                length = _arithmetic("arith.muli", length, self._as_index(number))
            position = self._offsets + binding
            self.op.operands[position] = _arithmetic("arith.addi", self.op.operands[position], offset)
            self.op.operands[self._lengths + binding] = length

    def _constant(self, number: int) -> Any:
        return self.op.operands[self._constants + number]

    def _as_index(self, number: int) -> Any:
        """A dispatch constant as an index: the value it was made from, or a cast of it."""
        from iree.compiler import ir

        value = self._constant(number)
        if (known := _integer(value)) is not None:
            return _index(known)
        op = _defining(value)
        if op is not None and op.name in _PASSED_ON:
            return op.operands[0]
        return ir.Operation.create("arith.index_castui", results=[ir.IndexType.get()], operands=[value]).results[0]

    def _is_inside(self, value: Any) -> bool:
        op = _defining(value)
        block = value.owner if op is None else op.block
        while block.owner is not None:
            if block.owner.operation == self._execution:
                return True
            if block.owner.operation.name.startswith("util."):
                return False
            block = block.owner.operation.block
        return False


def narrow_ranges(module: Any) -> int:
    """Narrow the bindings of a module's dispatches; returns how many bindings of kernels have no offset any more."""
    from iree.compiler import ir

    with module.context, ir.Location.unknown():
        dispatches: dict[tuple[str, ...], list[_Dispatch]] = defaultdict(list)
        kernels: dict[str, Any] = {}
        for op in list(walk(module)):
            if op.name == "stream.cmd.dispatch":
                dispatches[tuple(map(str, op.attributes["entry_points"]))].append(_Dispatch(op))
            elif op.name == "func.func" and (path := _export_path(op)):
                kernels[path] = op
        narrowed = sum(
            _narrow([kernels[path] for path in paths], sites)
            for paths, sites in dispatches.items()
            if all(path in kernels for path in paths)
        )
        for kernel in kernels.values():
            _bound_offsets(kernel)
        return narrowed


def _narrow(kernels: Sequence[Any], sites: Sequence[_Dispatch]) -> int:
    """Narrow the bindings of one kernel, which is there once per target."""
    from iree.compiler import ir

    narrowed = 0
    by_target = [_single_views(kernel) for kernel in kernels]
    for binding, view in by_target[0].items():
        views = [found[binding] for found in by_target if binding in found]
        if len(views) < len(kernels) or any(other.place != view.place for other in views):
            continue
        if not all(site.knows(view) for site in sites):
            continue
        for each in views:
            with ir.InsertionPoint(each.subspan):
                each.subspan.operands[0] = _index(0)
        for site in sites:
            site.narrow(binding, view)
        narrowed += 1
    return narrowed


def _single_views(kernel: Any) -> dict[int, _View]:
    """Bindings that have one view, at an offset that is a constant of the dispatch."""
    subspans: dict[int, list[Any]] = defaultdict(list)
    for op in walk(kernel):
        if op.name == "hal.interface.binding.subspan":
            subspans[op.attributes["binding"].value].append(op)
    views = {}
    for binding, found in subspans.items():
        view = _view(found[0]) if len(found) == 1 else None
        if view is not None:
            views[binding] = view
    return views


def _view(subspan: Any) -> _View | None:
    match = _TENSOR.search(str(subspan.results[0].type))
    offset, *extents = (_dispatch_constant(value) for value in subspan.operands)
    if match is None or match[2] not in _BYTE_SIZES or offset is None:
        return None
    known = [extent for extent in extents if extent is not None]
    shape = match[1].split("x")[:-1]
    if len(known) != shape.count("?"):
        return None
    byte_length = prod(int(extent) for extent in shape if extent != "?") * _BYTE_SIZES[match[2]]
    return _View(subspan, offset, tuple(known), byte_length)


def _dispatch_constant(value: Any) -> int | None:
    """The number of the dispatch constant that an index is, through casts and assumptions."""
    while True:
        op = _defining(value)
        if op is None:
            return None
        if op.name == "util.assume.int":
            value = op.operands[list(op.results).index(value)]
        elif op.name in _PASSED_ON:
            value = op.operands[0]
        else:
            return int(op.attributes["ordinal"].value) if op.name == "hal.interface.constant.load" else None


def _bound_offsets(kernel: Any) -> None:
    """Lower the bounds that are beyond 32 bits: no buffer is that long."""
    from iree.compiler import ir

    for op in walk(kernel):
        if op.name == "util.assume.int":
            text = str(op.attributes["assumptions"])
            bounded = _UPPER_BOUND.sub(lambda match: f"umax = {min(int(match[1]), _LARGEST_OFFSET)}", text)
            op.attributes["assumptions"] = ir.Attribute.parse(bounded)


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


def _defining(value: Any) -> Any | None:
    """The operation that makes a value; None for a block's argument."""
    from iree.compiler import ir

    owner = value.owner
    return None if isinstance(owner, ir.Block) else owner.operation if hasattr(owner, "operation") else owner


def _integer(value: Any) -> int | None:
    op = _defining(value)
    return int(op.attributes["value"].value) if op is not None and op.name == "arith.constant" else None


def _index(number: int) -> Any:
    from iree.compiler import ir

    kind = ir.IndexType.get()
    attributes = {"value": ir.IntegerAttr.get(kind, number)}
    return ir.Operation.create("arith.constant", results=[kind], attributes=attributes).results[0]


def _arithmetic(name: str, left: Any, right: Any) -> Any:
    """A sum or product of indices, worked out where both are known."""
    from iree.compiler import ir

    known = _integer(left), _integer(right)
    if known[0] is not None and known[1] is not None:
        return _index(_FOLDED[name](known[0], known[1]))
    return ir.Operation.create(name, results=[ir.IndexType.get()], operands=[left, right]).results[0]
