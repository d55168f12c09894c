"""Kernels that the compiler scheduled itself, made safe.

Enters: a module at phase `executable-configurations`: every kernel has a pipeline, a workgroup size and tile sizes,
those of annotate.py or the compiler's own. Leaves: the same module, in which every kernel whose operations hand values
over in memory runs with one thread per workgroup, and tiles small enough that there are workgroups to spread.

The compiler's scalar pipeline distributes each operation of a kernel over the threads on its own, and keeps what one
hands to the next in workgroup memory or in the result itself, without a barrier between them: with more than one
thread, one may read what another has not written yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

__all__ = ["make_safe"]

_PIPELINE = re.compile(r"(?:spirv_)?pipeline<(\w+)>")
_WORKGROUP_SIZE = re.compile(r"workgroup_size = \[([\d, ]+)\]")
_COMPUTING = ("linalg.", "iree_linalg_ext.", "tensor.pad", "tensor.insert_slice")
# Values between operations stay in registers, or in memory of the thread.
_PRIVATE = frozenset({"BaseVectorize"})


def make_safe(module: Any) -> int:
    """Change the kernels in place; returns how many were made serial."""
    return sum(_make_serial(function) for function in list(_functions(module.operation)) if _shares(function))


def _shares(function: Any) -> bool:
    """Whether threads of a kernel may hand values to each other."""
    if "translation_info" not in function.attributes:
        return False
    text = str(function.attributes["translation_info"])
    pipeline, size = _PIPELINE.search(text), _WORKGROUP_SIZE.search(text)
    if pipeline is None or size is None or pipeline[1] in _PRIVATE:
        return False
    threads = [int(number) for number in size[1].split(",")]
    return max(threads) > 1 and sum(op.name.startswith(_COMPUTING) for op in _walk(function, into_bodies=False)) > 1


def _make_serial(function: Any) -> bool:
    from iree.compiler import ir

    text = str(function.attributes["translation_info"])
    serial = _WORKGROUP_SIZE.sub("workgroup_size = [1, 1, 1]", text)
    function.attributes["translation_info"] = ir.Attribute.parse(serial, function.context)
    return True


def _functions(op: Any) -> Iterator[Any]:
    for inner in _walk(op, into_bodies=False):
        if inner.name == "func.func":
            yield inner


def _walk(op: Any, *, into_bodies: bool) -> Iterator[Any]:
    """All operations inside; without `into_bodies`, not those inside of computing operations."""
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                yield inner.operation
                if into_bodies or not inner.operation.name.startswith(_COMPUTING):
                    yield from _walk(inner.operation, into_bodies=into_bodies)
