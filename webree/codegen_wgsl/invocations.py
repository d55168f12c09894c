"""What the invocations of a kernel do beside each other: how many of them are needed, and what they share."""

from __future__ import annotations

from collections.abc import Sequence

from webree.codegen_wgsl.spirv import Function, Op, SpirvModule, walk
from webree.codegen_wgsl.types import Pointer

__all__ = ["shares_storage", "useful_size"]


def useful_size(module: SpirvModule, functions: Sequence[Function], size: tuple[int, int, int]) -> tuple[int, int, int]:
    """The workgroup size without dimensions along which all invocations do the same.

    Kernels that the compiler could not distribute run the same code in every invocation, often in place: right only
    where all of them load before any stores, as in one subgroup of a GPU. One invocation is enough.
    """
    lanes: set[int] = set()
    for function in functions:
        for op in walk(function.body):
            if op.name.startswith("spirv.GroupNonUniform"):
                return size
            if op.name != "spirv.mlir.addressof":
                continue
            built_in = module.globals[op.attributes["variable"]].built_in
            if built_in is None or built_in in ("WorkgroupId", "NumWorkgroups"):
                continue
            lanes |= _lanes_used(op) if built_in == "LocalInvocationId" else {0, 1, 2}
    x, y, z = (length if lane in lanes else 1 for lane, length in enumerate(size))
    return x, y, z


def _lanes_used(address: Op) -> set[int]:
    """Which components of a built-in vector are read."""
    lanes: set[int] = set()
    for load in address.result.uses:
        for use in load.result.uses if load.name == "spirv.Load" else ():
            if use.name != "spirv.CompositeExtract":
                return {0, 1, 2}
            if use.result.uses:
                lanes.add(int(use.attributes["indices"][0]))
        if load.name != "spirv.Load":
            return {0, 1, 2}
    return lanes


def shares_storage(functions: Sequence[Function]) -> bool:
    """True if the kernel both stores to buffers and loads from buffers that it may store to."""
    stored: set[object] = set()
    loaded: set[object] = set()
    for function in functions:
        for op in walk(function.body):
            if op.name in ("spirv.Store", "spirv.Load") and isinstance(op.operands[0].type, Pointer):
                pointer = op.operands[0]
                if pointer.type.storage == "StorageBuffer":  # type: ignore[union-attr]
                    (stored if op.name == "spirv.Store" else loaded).add(_root(op))
    return bool(stored & loaded)


def _root(op: Op) -> object:
    """The global that a load or store goes to, by name."""
    pointer = op.operands[0]
    while pointer.op is not None and pointer.op.name == "spirv.AccessChain":
        pointer = pointer.op.operands[0]
    return pointer.op.attributes.get("variable") if pointer.op is not None else None
