"""Operators of TensorFlow Lite that read by index, repeat, fill, or regroup: gather, tile, one-hot, blocks, …

Enters: an `Operator`. Leaves: kernels that read where tables or indices say, or reshapes around a transpose. On
constants, and on sizes computed from shapes, this happens while importing.
"""

from __future__ import annotations

import math

import numpy as np

from webree.compiler.frontends.tflite_body import Body, Scalar
from webree.compiler.frontends.tflite_file import Array
from webree.compiler.frontends.tflite_folding import as_sizes
from webree.compiler.frontends.tflite_operator import Operator, Rule, quantized, shown
from webree.compiler.frontends.tflite_values import Dim, Size, Value, is_float, known, numpy_type

__all__ = ["RULES", "take"]

_MAX_FOLDED = 1 << 24  # elements of a constant that is made while importing; larger ones are computed on the device


def take(op: Operator, value: Value, axis: int, rows: Array) -> Value:
    """The elements of an axis in the order of a table."""
    if value.data is not None:
        return op.emitter.constant(value.data.take(rows, axis), value.dtype, value.label, value.quantization)
    emitter = op.emitter
    name, table = emitter.name(value), emitter.constant(rows.astype(np.int32), "i32")
    shape = [*value.shape[:axis], len(rows), *value.shape[axis + 1 :]]

    def body(b: Body, row: Scalar) -> Scalar:
        places = [b.cast(row, "index") if item == axis else b.index(item) for item in range(value.rank)]
        return b.extract(name, value, places)

    made = emitter.generic(shape, value.dtype, [(table, [f"d{axis}"])], body)
    return Value(made.ssa, value.dtype, made.shape, value.quantization, None, value.label)


def _gather(op: Operator) -> Value:
    """Elements of an axis by index; an index outside is taken as the nearest one inside."""
    value, indices = op.value(0), op.value(1)
    axis, batch = op.axis(op.options["axis"], value.rank), op.options["batch_dims"]
    batch += indices.rank if batch < 0 else 0
    if not 0 <= batch <= min(axis, indices.rank):
        raise op.invalid(f"{batch} batch dimensions do not fit axis {axis}")
    if indices.constant is not None and not batch:
        size = op.static(value, axis, "the size")
        rows = indices.constant.reshape(-1)
        if rows.size and not 0 <= rows.min() <= rows.max() < size:
            raise op.invalid(f"an index lies outside the {size} elements of dimension {axis}")
        found = take(op, value, axis, rows)
        return op.emitter.reshape(found, [*value.shape[:axis], *indices.shape, *value.shape[axis + 1 :]])
    emitter, name = op.emitter, op.emitter.name(value)
    shape = [*value.shape[:axis], *indices.shape[batch:], *value.shape[axis + 1 :]]
    inner = indices.rank - batch
    where = [f"d{item}" for item in [*range(batch), *range(axis, axis + inner)]]

    def body(b: Body, index: Scalar) -> Scalar:
        place = _inside(op, b, index, value.shape[axis])
        before, after = range(axis), range(axis + inner, len(shape))
        return b.extract(name, value, [*map(b.index, before), place, *map(b.index, after)])

    made = emitter.generic(shape, value.dtype, [(indices, where)], body)
    return Value(made.ssa, value.dtype, made.shape, value.quantization, None, op.outputs[0].name)


def _inside(op: Operator, b: Body, index: Scalar, size: Size) -> Scalar:
    last = b.sub(Scalar(op.emitter.index(size), "index"), 1)
    return b.minimum(b.maximum(b.cast(index, "index"), 0), last)


def _gather_nd(op: Operator) -> Value:
    value, indices = op.value(0), op.value(1)
    depth = op.static(indices, indices.rank - 1, "the number of indices") if indices.rank else 0
    if not 0 < depth <= value.rank:
        raise op.invalid(f"{depth} indices for {value.rank} dimensions")
    emitter, outer = op.emitter, indices.rank - 1
    name, places = emitter.name(value), emitter.name(indices)
    shape = [*indices.shape[:-1], *value.shape[depth:]]

    def body(b: Body) -> Scalar:
        found = []
        for item in range(depth):
            number = b.extract(places, indices, [*map(b.index, range(outer)), b.constant(item, "index")])
            found.append(_inside(op, b, number, value.shape[item]))
        return b.extract(name, value, [*found, *map(b.index, range(outer, len(shape)))])

    made = emitter.generic(shape, value.dtype, [], body)
    return Value(made.ssa, value.dtype, made.shape, value.quantization, None, op.outputs[0].name)


def _embedding(op: Operator) -> Value:
    """Rows of a table; the indices come first."""
    op.inputs = [op.real(op.value(1)), op.value(0)]
    op.options = {"axis": 0, "batch_dims": 0}
    return _gather(op)


def _tile(op: Operator) -> Value:
    value, counts = op.value(0), op.sizes(1, "the repetitions")
    if len(counts) != value.rank:
        raise op.invalid(f"{len(counts)} repetitions for {value.rank} dimensions")
    numbers = known(counts)
    if min(numbers or [0], default=0) < 0:
        raise op.invalid(f"the repetitions {numbers} are impossible")
    if value.constant is not None and numbers is not None and math.prod(numbers) * value.constant.size <= _MAX_FOLDED:
        return op.emitter.constant(np.tile(value.constant, numbers), value.dtype, value.label, value.quantization)
    wide = [size for pair in zip(counts, value.shape, strict=True) for size in pair]
    maps = [f"d{2 * axis + 1}" for axis in range(value.rank)]
    spread = op.emitter.generic(wide, value.dtype, [(value, maps)], lambda b, x: x)
    shape = [count * size for count, size in zip(counts, value.shape, strict=True)]
    made = op.emitter.reshape(spread, shape)
    return Value(made.ssa, value.dtype, made.shape, value.quantization, None, op.outputs[0].name)


def _broadcast_to(op: Operator) -> Value:
    value, shape = op.value(0), op.sizes(1, "the shape")
    lead = len(shape) - value.rank
    maps = ["0" if size == 1 and shape[axis] != 1 else f"d{axis}" for axis, size in enumerate(value.shape, lead)]
    fits = all(
        size == 1 or not isinstance(size, int) or not isinstance(shape[axis], int) or size == shape[axis]
        for axis, size in enumerate(value.shape, lead)
    )
    if lead < 0 or not fits:
        raise op.invalid(f"{shown(value.shape)} cannot be broadcast to {shown(shape)}")
    made = op.emitter.generic(shape, value.dtype, [(value, maps)], lambda b, x: x)
    return Value(made.ssa, value.dtype, made.shape, value.quantization, None, op.outputs[0].name)


def _fill(op: Operator) -> Value:
    shape, value = op.sizes(0, "the shape"), op.value(1)
    sizes = known(shape)
    if value.constant is not None and sizes is not None and math.prod(sizes) <= _MAX_FOLDED:
        data = np.broadcast_to(value.constant.reshape(()), sizes)
        return op.emitter.constant(data, value.dtype, op.outputs[0].name, value.quantization)
    scalar = op.emitter.reshape(value, [1])
    return op.emitter.generic(shape, value.dtype, [(scalar, ["0"])], lambda b, x: x)


def _zeros(op: Operator) -> Value:
    value = op.value(0)
    zero = value.quantization.zero_point[0] if quantized(value.dtype, value.quantization) and value.quantization else 0
    return op.emitter.filled(value.shape, value.dtype, zero)


def _range(op: Operator) -> Value:
    if is_float(op.dtype):
        first, last, step = (op.array(item, "an end").reshape(-1)[0] for item in range(3))
        return op.emitter.constant(np.arange(first, last, step).astype(numpy_type(op.dtype)), op.dtype)
    start, end, stride = (op.sizes(item, "an end")[0] for item in range(3))
    if isinstance(start, Dim) or isinstance(end, Dim) or isinstance(stride, Dim):
        raise op.fail("a range whose ends are known only at run time is not supported; bind the sizes with --dim")
    if stride == 0 or abs(end - start) > abs(stride) << 24:
        raise op.invalid(f"the range from {start} to {end} in steps of {stride} is impossible")
    return op.emitter.constant(np.arange(start, end, stride).astype(numpy_type(op.dtype)), op.dtype, op.outputs[0].name)


def _shape(op: Operator) -> Value:
    return op.emitter.constant(as_sizes(list(op.value(0).shape), op.dtype), op.dtype, op.outputs[0].name)


def _rank(op: Operator) -> Value:
    return op.emitter.constant(np.array(op.value(0).rank, np.int32), "i32", op.outputs[0].name)


def _one_hot(op: Operator) -> Value:
    indices, depth = op.value(0), op.integers(1, "the depth")[0]
    on, off = (op.emitter.reshape(op.value(item), [1]) for item in (2, 3))
    axis = op.axis(op.options["axis"], indices.rank + 1)
    shape = [*indices.shape[:axis], depth, *indices.shape[axis:]]
    where = [f"d{item}" for item in range(len(shape)) if item != axis]

    def body(b: Body, index: Scalar, yes: Scalar, no: Scalar) -> Scalar:
        return b.select(b.compare("eq", b.cast(index, "index"), b.index(axis)), yes, no)

    return op.emitter.generic(shape, on.dtype, [(indices, where), (on, ["0"]), (off, ["0"])], body)


def _blocks(op: Operator) -> Value:
    """DEPTH_TO_SPACE and SPACE_TO_DEPTH."""
    value, block, emitter = op.rank(op.value(0), 4), op.options["block_size"], op.emitter
    batch, height, width, channels = value.shape
    if block < 1:
        raise op.invalid(f"the block size {block} is impossible")
    if op.info.name == "DEPTH_TO_SPACE":
        parts = emitter.reshape(value, [batch, height, width, block, block, channels // (block * block)])
        moved = emitter.transpose(parts, [0, 1, 3, 2, 4, 5])
        return emitter.reshape(moved, [batch, height * block, width * block, channels // (block * block)])
    parts = emitter.reshape(value, [batch, height // block, block, width // block, block, channels])
    moved = emitter.transpose(parts, [0, 1, 3, 2, 4, 5])
    return emitter.reshape(moved, [batch, height // block, width // block, channels * block * block])


def _space_to_batch(op: Operator) -> Value:
    """Cut the middle dimensions into blocks, and put the place within a block into the batch."""
    value, blocks, pads = op.value(0), op.integers(1, "the block shape"), op.integers(2, "the padding")
    count, emitter = len(blocks), op.emitter
    if min(blocks, default=0) < 1 or len(pads) != 2 * count or count >= value.rank:
        raise op.invalid(f"blocks {blocks} and padding {pads} do not fit {value.rank} dimensions")
    rest = [0] * (value.rank - 1 - count)
    zero = value.quantization.zero_point[0] if value.quantization and quantized(value.dtype, value.quantization) else 0
    value = emitter.pad(value, [0, *pads[::2], *rest], [0, *pads[1::2], *rest], zero)
    middle = value.shape[1 : 1 + count]
    split = [
        size
        for pair in zip([size // block for size, block in zip(middle, blocks, strict=True)], blocks, strict=True)
        for size in pair
    ]
    parts = emitter.reshape(value, [value.shape[0], *split, *value.shape[1 + count :]])
    inner = [2 + 2 * item for item in range(count)]
    order = [*inner, 0, *(item - 1 for item in inner), *range(1 + 2 * count, parts.rank)]
    moved = emitter.transpose(parts, order)
    return emitter.reshape(moved, [value.shape[0] * int(np.prod(blocks)), *split[::2], *value.shape[1 + count :]])


def _batch_to_space(op: Operator) -> Value:
    value, blocks, crops = op.value(0), op.integers(1, "the block shape"), op.integers(2, "the crops")
    count, emitter = len(blocks), op.emitter
    if min(blocks, default=0) < 1 or len(crops) != 2 * count or count >= value.rank:
        raise op.invalid(f"blocks {blocks} and crops {crops} do not fit {value.rank} dimensions")
    batch = value.shape[0] // int(np.prod(blocks))
    middle, rest = value.shape[1 : 1 + count], value.shape[1 + count :]
    parts = emitter.reshape(value, [*blocks, batch, *middle, *rest])
    order = [count]
    for item in range(count):
        order += [count + 1 + item, item]
    moved = emitter.transpose(parts, [*order, *range(2 * count + 1, parts.rank)])
    whole = [size * block for size, block in zip(middle, blocks, strict=True)]
    joined = emitter.reshape(moved, [batch, *whole, *rest])
    sizes = [size - low - high for size, low, high in zip(whole, crops[::2], crops[1::2], strict=True)]
    if any(isinstance(size, int) and size < 0 for size in sizes) or min(crops, default=0) < 0:
        raise op.invalid(f"the crops {crops} are more than {shown(whole)}")
    return emitter.slice(joined, [0, *crops[::2], *[0] * len(rest)], [batch, *sizes, *rest], [1] * value.rank)


def _update_slice(op: Operator) -> Value:
    """DYNAMIC_UPDATE_SLICE: the start is moved so that the update lies inside."""
    value, update, starts = op.value(0), op.value(1), op.value(2)
    emitter = op.emitter
    name, source, places = emitter.name(value), emitter.name(update), emitter.name(starts)
    sizes = list(zip(value.shape, update.shape, strict=True))

    def body(b: Body) -> Scalar:
        inside: Scalar | None = None
        offsets = []
        for axis, (whole, part) in enumerate(sizes):
            start = b.cast(b.extract(places, starts, [b.constant(axis, "index")]), "index")
            last = Scalar(emitter.index(whole - part), "index")
            offset = b.sub(b.index(axis), b.minimum(b.maximum(start, 0), last))
            end = Scalar(emitter.index(part), "index")
            here = b.binary("logical_and", b.compare("ge", offset, 0), b.compare("lt", offset, end))
            inside = here if inside is None else b.binary("logical_and", inside, here)
            offsets.append(b.minimum(b.maximum(offset, 0), b.sub(end, 1)))
        old = b.extract(name, value, [b.index(axis) for axis in range(value.rank)])
        new = b.extract(source, update, offsets)
        return new if inside is None else b.select(inside, new, old)

    made = emitter.generic(value.shape, value.dtype, [], body)
    return Value(made.ssa, value.dtype, made.shape, value.quantization, None, op.outputs[0].name)


RULES: dict[str, Rule] = {
    "GATHER": _gather,
    "GATHER_ND": _gather_nd,
    "EMBEDDING_LOOKUP": _embedding,
    "TILE": _tile,
    "BROADCAST_TO": _broadcast_to,
    "FILL": _fill,
    "ZEROS_LIKE": _zeros,
    "RANGE": _range,
    "SHAPE": _shape,
    "RANK": _rank,
    "ONE_HOT": _one_hot,
    "DEPTH_TO_SPACE": _blocks,
    "SPACE_TO_DEPTH": _blocks,
    "SPACE_TO_BATCH_ND": _space_to_batch,
    "BATCH_TO_SPACE_ND": _batch_to_space,
    "DYNAMIC_UPDATE_SLICE": _update_slice,
}
