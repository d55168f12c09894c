"""What is calculated while importing: sizes from shapes, and sparse weights.

Enters: constants, and arrays of sizes some of which are known at run time only (`Dim`). Leaves: the same. Models with
dynamic shapes compute the shapes of their reshapes out of SHAPE, STRIDED_SLICE, MUL, PACK, …; none of it reaches the
device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from webree.compiler.frontends.tflite_file import Array, TensorInfo
from webree.compiler.frontends.tflite_operator import Operator
from webree.compiler.frontends.tflite_values import Dim, Value, is_float, numpy_type

__all__ = ["as_sizes", "densify", "fold_binary", "fold_reduction"]


_MAX_DENSE = 1 << 30


def _maximum(x: Any, y: Any) -> Any:
    return x.maximum(y) if isinstance(x, Dim) else y.maximum(x) if isinstance(y, Dim) else max(x, y)


def _minimum(x: Any, y: Any) -> Any:
    return x.minimum(y) if isinstance(x, Dim) else y.minimum(x) if isinstance(y, Dim) else min(x, y)


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "ADD": lambda x, y: x + y,
    "SUB": lambda x, y: x - y,
    "MUL": lambda x, y: x * y,
    "DIV": lambda x, y: x // y,  # sizes are not negative, so that truncating is rounding down
    "FLOOR_DIV": lambda x, y: x // y,
    "FLOOR_MOD": lambda x, y: x % y,
    "MAXIMUM": _maximum,
    "MINIMUM": _minimum,
}


def as_sizes(items: list[Any], dtype: str) -> Array:
    """An array of sizes: of numbers if all are known."""
    if any(isinstance(item, Dim) for item in items):
        found = np.empty(len(items), object)
        found[:] = items
        return found
    return np.array(items, numpy_type(dtype))


def fold_binary(op: Operator, name: str, left: Value, right: Value) -> Value | None:
    """The calculation on integers that are known while compiling, or None if it has to wait."""
    if left.data is None or right.data is None or is_float(left.dtype) or name not in _BINARY:
        return None
    if left.quantization is not None and left.dtype not in ("i32", "i64"):
        return None
    x, y = np.broadcast_arrays(left.data, right.data)
    if name in ("DIV", "FLOOR_DIV", "FLOOR_MOD") and any(not isinstance(item, Dim) and item == 0 for item in y.flat):
        return None
    pairs = zip(x.reshape(-1), y.reshape(-1), strict=True)
    items = [_BINARY[name](_number(a), _number(b)) for a, b in pairs]
    data = as_sizes(items, "i64")
    if data.dtype != object:
        data = data.astype(numpy_type(left.dtype))
    return op.emitter.constant(data.reshape(x.shape), left.dtype, op.outputs[0].name)


def _number(item: Any) -> Any:
    return item if isinstance(item, Dim) else int(item)


def fold_reduction(op: Operator, value: Value, axes: list[int], keep: bool) -> Value | None:
    """Sum or product of sizes, or None if the elements are not known."""
    if value.data is None or is_float(value.dtype) or value.rank != 1 or axes != [0]:
        return None
    items = [_number(item) for item in value.data]
    if op.info.name not in ("REDUCE_PROD", "SUM"):
        return None
    total: Any = math.prod(items) if op.info.name == "REDUCE_PROD" else sum(items)
    data = as_sizes([total], "i64")
    data = data if data.dtype == object else data.astype(numpy_type(value.dtype))
    return op.emitter.constant(data.reshape((1,) if keep else ()), value.dtype, op.outputs[0].name)


def densify(op: Operator, info: TensorInfo) -> Array:
    """The elements of a sparse constant, with zeros between them.

    Levels are walked from the outside in, all entries of a level at once: a dense level gives every entry `size`
    children, a compressed one those between two segments. Format: Sparsity in tflite_file.py."""
    sparsity, data = info.sparsity, info.data
    if sparsity is None or data is None:
        raise op.invalid(f"{info.name!r} is no sparse constant")
    rank = len(info.shape)
    order, blocks = sparsity.order, sparsity.block_map
    if sorted(order) != list(range(rank + len(blocks))) or len(sparsity.dimensions) != len(order):
        raise op.invalid(f"{info.name!r} has {len(sparsity.dimensions)} levels and the order {list(order)}")
    if any(not 0 <= axis < rank for axis in blocks):
        raise op.invalid(f"{info.name!r} has blocks along {list(blocks)}")
    parent = np.zeros(1, np.int64)
    found: dict[int, Array] = {}
    sizes: dict[int, int] = {}
    for axis, level in zip(order, sparsity.dimensions, strict=True):
        parent, coordinate, repeat = _level(op, info, parent, level)
        found = {known: items[repeat] for known, items in found.items()}
        found[axis], sizes[axis] = coordinate, level.size
    if len(parent) > len(data) or (len(parent) and parent.max() >= len(data)):
        raise op.invalid(f"{info.name!r} has {len(data)} values for {len(parent)} places")
    index = [found[axis] for axis in range(rank)]
    for number, axis in enumerate(blocks):
        index[axis] = index[axis] * sizes[rank + number] + found[rank + number]
    for axis, coordinates in enumerate(index):
        if len(coordinates) and not 0 <= coordinates.min() <= coordinates.max() < info.shape[axis]:
            raise op.invalid(f"{info.name!r} has an element outside its shape {list(info.shape)}")
    if math.prod(info.shape) > _MAX_DENSE:
        raise op.fail(f"{info.name!r} would have {math.prod(info.shape)} elements")
    dense = np.zeros(info.shape, data.dtype)
    dense[tuple(index)] = data[parent]
    return dense


def _level(op: Operator, info: TensorInfo, parent: Array, level: Any) -> tuple[Array, Array, Array]:
    """Children of the entries `parent`: their positions, coordinates, and the number of their parent in the list."""
    if level.is_dense:
        if level.size < 0 or level.size * len(parent) > math.prod(info.shape):
            raise op.invalid(f"{info.name!r} has a level of {level.size} for {len(parent)} entries")
        repeat = np.repeat(np.arange(len(parent)), level.size)
        coordinate = np.tile(np.arange(level.size), len(parent))
        return parent[repeat] * level.size + coordinate, coordinate, repeat
    segments, indices = np.asarray(level.segments, np.int64), np.asarray(level.indices, np.int64)
    rising = len(segments) > 0 and segments[0] >= 0 and (np.diff(segments) >= 0).all()
    if not rising or segments[-1] > len(indices) or (len(parent) and parent.max() + 1 >= len(segments)):
        raise op.invalid(f"{info.name!r} has damaged sparse indices")
    counts = (segments[1:] - segments[:-1])[parent]
    repeat = np.repeat(np.arange(len(parent)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    children = segments[:-1][parent][repeat] + within
    return children, indices[children], repeat
