"""Kernels that write several parts of one buffer bind these parts, not all of it several times.

Enters: the module after `stream`. Leaves: the same module, in which such a dispatch binds each part with its own
offset and length. A kernel that several dispatches share gets the offsets of its parts as numbers and is bound to
whole buffers, where those dispatches differ in which of the parts lie in one buffer. WebGPU forbids that two writable
bindings of a dispatch overlap, even where the kernel writes apart
(https://www.w3.org/TR/webgpu/#programming-model-resource-usages).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from webree.compiler.walking import walk

__all__ = ["bind_parts"]

_WRITE = 2  # bit of stream.cmd.dispatch's resource_accesses
_ALIGNMENT = 16  # byte lengths are rounded up to it; the compiler packs at multiples of 256
_SUBSPAN = "stream.binding.subspan"
_SAME_NUMBER = ("arith.index_castui", "arith.index_cast", "util.assume.int")
_BITS = {"f64": 64, "i64": 64, "f32": 32, "i32": 32, "f16": 16, "bf16": 16, "i16": 16, "i8": 8, "i1": 8}


def bind_parts(module: Any) -> int:
    """Change dispatches in place; returns how many bindings changed."""
    kernels = {name: function for name, function in _kernels(module)}
    count = 0
    with module.context:
        for function in module.regions[0].blocks[0]:
            for dispatch in list(_dispatches(function.operation)):
                shared = _written_together(dispatch)
                kernel = kernels.get(_kernel_name(dispatch)) if shared else None
                if kernel is not None:
                    count += sum(_bind_part(function.operation, dispatch, kernel, index) for index in shared)
    return count


def _kernels(module: Any) -> Iterator[tuple[str, Any]]:
    for executable in module.regions[0].blocks[0]:
        if executable.operation.name != "stream.executable":
            continue
        symbol = str(executable.operation.attributes["sym_name"]).strip('"')
        for inner in walk(executable.operation):
            if inner.name == "func.func":
                name = str(inner.attributes["sym_name"]).strip('"')
                yield f"@{symbol}::@{name}", inner


def _kernel_name(dispatch: Any) -> str:
    entries = list(dispatch.attributes["entry_points"])
    return str(entries[0]) if len(entries) == 1 else ""


def _dispatches(op: Any) -> Iterator[Any]:
    if op.name not in ("stream.executable", "hal.executable"):
        yield from (inner for inner in walk(op) if inner.name == "stream.cmd.dispatch")


def _segments(dispatch: Any) -> list[int]:
    """Where the groups of operands begin: workload, numbers, resources, their sizes, offsets, lengths, and the end."""
    starts = [0]
    for length in list(dispatch.attributes["operandSegmentSizes"]):
        starts.append(starts[-1] + length)
    return starts


def _written_together(dispatch: Any) -> list[int]:
    """Bindings that are written and have the resource and the offset of another that is written too."""
    starts = _segments(dispatch)
    resources = [dispatch.operands[index] for index in range(starts[2], starts[3])]
    offsets = [dispatch.operands[index] for index in range(starts[4], starts[5])]
    writes = [access.value & _WRITE for access in dispatch.attributes["resource_accesses"]]
    return [
        one
        for one in range(len(resources))
        if writes[one]
        and any(
            writes[other] and resources[one] == resources[other] and offsets[one] == offsets[other]
            for other in range(len(resources))
            if other != one
        )
    ]


def _bind_part(function: Any, dispatch: Any, kernel: Any, index: int) -> bool:
    """Bind what the kernel writes, if that is known: one part of static size that begins at a number."""
    from iree.compiler import ir

    arguments = list(kernel.regions[0].blocks[0].arguments)
    bindings = [argument for argument in arguments if str(argument.type) == "!stream.binding"]
    uses = list(bindings[index].uses) if index < len(bindings) else []
    if len(uses) != 1 or uses[0].owner.name != _SUBSPAN:
        return False
    subspan = uses[0].owner
    size, source = _byte_size(str(subspan.results[0].type)), _source(subspan.operands[1])
    starts = _segments(dispatch)
    base = _constant(dispatch.operands[starts[4] + index])
    if size is None or base is None:
        return False
    start, position = _constant(source), None
    if start is None and isinstance(source, ir.BlockArgument) and len(list(source.uses)) == 1:
        # Numbers are the arguments that are no bindings, in the order of the dispatch's.
        position = starts[1] + [argument for argument in arguments if argument not in bindings].index(source)
        start = _constant(dispatch.operands[position])
    if start is None:
        return False
    block = function.regions[0].blocks[0]
    with dispatch.location, ir.InsertionPoint.at_block_begin(block):
        kind = ir.IndexType.get()
        if position is None:
            offset, length = base, start + size  # the kernel itself adds the start
        else:
            offset, length = base + start, size
            dispatch.operands[position] = _number(dispatch.operands[position].type, 0)
        dispatch.operands[starts[4] + index] = _number(kind, offset)
        dispatch.operands[starts[5] + index] = _number(kind, -(-length // _ALIGNMENT) * _ALIGNMENT)
    return True


def _number(kind: Any, value: int) -> Any:
    from iree.compiler.dialects import arith

    return arith.constant(kind, value)


def _source(value: Any) -> Any:
    """The number that this is: through conversions that leave it as it is, if nothing else uses them."""
    from iree.compiler import ir

    while isinstance(value, ir.OpResult) and value.owner.operation.name in _SAME_NUMBER:
        if len(list(value.uses)) != 1 or len(value.owner.operation.operands) != 1:
            break
        value = value.owner.operation.operands[0]
    return value


def _constant(value: Any) -> int | None:
    from iree.compiler import ir

    if not isinstance(value, ir.OpResult) or value.owner.operation.name != "arith.constant":
        return None
    return int(ir.IntegerAttr(value.owner.operation.attributes["value"]).value)


def _byte_size(text: str) -> int | None:
    """Bytes of `!iree_tensor_ext.dispatch.tensor<writeonly:tensor<4x8xf32>>`, or None if that is not known."""
    match = re.search(r":tensor<((?:\d+x)*)(\w+)>>$", text)
    if match is None or match[2] not in _BITS:
        return None
    count = 1
    for extent in match[1].split("x")[:-1]:
        count *= int(extent)
    return count * _BITS[match[2]] // 8
