"""What one dispatch does, read from its tensor program before code generation.

Enters: the program of one export at the phase `executable-sources` (linalg on tensors between loads and stores of
dispatch bindings). Leaves: floating-point (or integer) operations and bytes moved, where the shapes are static, and a
short text for people: the operations with their shapes and where in the model they come from.
Operations are counted as arithmetic operations of the loop body times the loop's iterations; a matmul of M×N×K counts
2·M·N·K. Bytes are those that the dispatch loads from and stores to its bindings, each access once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from webree.compiler.session import location_names
from webree.dtypes import by_mlir

__all__ = ["DispatchStatistics", "measure"]

_ARITHMETIC = ("arith.", "math.")
_FREE = frozenset(
    f"arith.{name}"
    for name in ("constant", "bitcast", "extf", "truncf", "extsi", "extui", "trunci", "index_cast", "index_castui")
)
_TILING_ONLY = ("linalg.index", "linalg.yield", "linalg.fill")
_TENSOR_LOAD = "iree_tensor_ext.dispatch.tensor.load"
_TENSOR_STORE = "iree_tensor_ext.dispatch.tensor.store"
_MAX_LOCATIONS = 4
_MAX_TEXT = 160


@dataclass(frozen=True, slots=True)
class DispatchStatistics:
    """Of one dispatch.

    Attributes:
        flops: arithmetic operations; -1 if a shape is dynamic.
        byte_count: bytes loaded and stored; -1 if a shape is dynamic.
        largest_tensor_bytes: of the largest tensor loaded or stored whose shape is static.
        locations: where in the model the operations come from: node names or file positions.
        description: lines of text: one per structured operation, then the source locations.
    """

    flops: int
    byte_count: int
    largest_tensor_bytes: int
    locations: tuple[str, ...]
    description: str


def measure(function: Any) -> DispatchStatistics:
    """The statistics of a dispatch function (`iree.compiler.ir.Operation`)."""
    flops = 0
    byte_count = 0
    largest = 0
    lines: list[str] = []
    locations: dict[str, None] = {}
    for op in _walk(function):
        if op.name in (_TENSOR_LOAD, _TENSOR_STORE):
            tensor = op.results[0].type if op.name == _TENSOR_LOAD else op.operands[0].type
            tensor_bytes = _tensor_bytes(tensor)
            byte_count = _add(byte_count, tensor_bytes)
            largest = max(largest, tensor_bytes)
        elif _is_structured(op):
            flops = _add(flops, _operations(op))
            lines.append(_signature(op))
            locations.update(dict.fromkeys(location_names(str(op.location))))
    if locations:
        names = list(locations)
        rest = f", … {len(names) - _MAX_LOCATIONS} more" if len(names) > _MAX_LOCATIONS else ""
        lines.append("from " + ", ".join(names[:_MAX_LOCATIONS]) + rest)
    return DispatchStatistics(
        flops, byte_count, largest, tuple(locations), "\n".join(line[:_MAX_TEXT] for line in lines)
    )


def _walk(op: Any) -> Iterator[Any]:
    """All operations inside `op`, except those inside structured operations."""
    for region in op.regions:
        for block in region:
            for inner in block:
                operation = inner.operation
                yield operation
                if not _is_structured(operation):
                    yield from _walk(operation)


def _is_structured(op: Any) -> bool:
    return op.name.startswith(("linalg.", "iree_linalg_ext.")) and op.name not in _TILING_ONLY


def _operations(op: Any) -> int:
    """Arithmetic operations of a structured operation; -1 if its iteration space is dynamic."""
    body = _body_operations(op)
    iterations = _iterations(op)
    if op.name.startswith("iree_linalg_ext.") and iterations > 0:
        body = max(body, 1)
    return -1 if iterations < 0 else body * iterations


def _body_operations(op: Any) -> int:
    return sum(
        1
        for region in op.regions
        for block in region
        for inner in block
        if inner.operation.name.startswith(_ARITHMETIC) and inner.operation.name not in _FREE
    )


def _iterations(op: Any) -> int:
    """Size of the iteration space; -1 if it is dynamic. Without indexing maps, the number of result elements."""
    from iree.compiler import ir
    from iree.compiler.dialects import linalg

    if not op.name.startswith("linalg.") or op.name in ("linalg.softmax", "linalg.winograd_filter_transform"):
        return max((_element_count(result.type) for result in op.results), default=0)
    maps = linalg.get_indexing_maps(op)
    if maps is None:
        return max((_element_count(result.type) for result in op.results), default=0)
    extents: dict[int, int] = {}
    for operand, attribute in zip(op.operands, maps, strict=False):
        shape = _shape(operand.type)
        for size, expression in zip(shape, attribute.value.results, strict=False):
            if isinstance(expression, ir.AffineDimExpr):
                extents.setdefault(ir.AffineDimExpr(expression).position, size)
    sizes = list(extents.values())
    return -1 if any(size < 0 for size in sizes) else math.prod(sizes)


def _shape(kind: Any) -> tuple[int, ...]:
    """Extents of a tensor type, -1 where dynamic; () for a scalar."""
    from iree.compiler import ir

    if not isinstance(kind, ir.RankedTensorType):
        return ()
    tensor = ir.RankedTensorType(kind)
    return tuple(-1 if tensor.is_dynamic_dim(axis) else tensor.get_dim_size(axis) for axis in range(tensor.rank))


def _element_count(kind: Any) -> int:
    shape = _shape(kind)
    return -1 if any(size < 0 for size in shape) else math.prod(shape)


def _tensor_bytes(kind: Any) -> int:
    from iree.compiler import ir

    count = _element_count(kind)
    if count < 0 or not isinstance(kind, ir.RankedTensorType):
        return -1
    try:
        return count * by_mlir(str(ir.RankedTensorType(kind).element_type)).byte_size
    except KeyError:
        return -1


def _add(total: int, more: int) -> int:
    return -1 if total < 0 or more < 0 else total + more


def _signature(op: Any) -> str:
    """One line such as `linalg.matmul (4x8xf32, 8x16xf32) -> 4x16xf32`."""
    results = ", ".join(_type_text(result.type) for result in op.results)
    result_count = len(op.results)
    inputs = list(op.operands)[: len(op.operands) - result_count] if result_count else list(op.operands)
    return f"{op.name} ({', '.join(_type_text(value.type) for value in inputs)}) -> {results}"


def _type_text(kind: Any) -> str:
    return re.sub(r"\Atensor<(.*)>\Z", r"\1", str(kind))
