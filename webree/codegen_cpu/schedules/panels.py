"""Constant weights as panels: the columns that a kernel computes at once are neighbours in memory.

Enters: the module at phase `input`, images channels-last. Leaves: the same module, in which convolutions and matrix
products with constant f32 weights are generic operations that read the weights as panels: `[columns / 8, …, 8]`, where
`…` are the reduced dimensions. The rearrangement is evaluated once, at compile time (`rearranged.py`; by the compiler
at load time for parameters), and a kernel then loads two vectors of 128 bits one after the other for every step of its
reduction, instead of strided rows. Without panels the compiler also undoes transpositions of weights and gathers
columns one by one.

Only for modules whose one target is the CPU: a module for several devices shares its weights between them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from webree.compiler.walking import walk

__all__ = ["PANEL", "keep_rearranged", "to_panels"]

PANEL = 8
"""Columns of a panel: two vectors of 128 bits."""
DIRECT_BYTES = 1 << 20
"""Filters beyond that do not stay in a core's second-level cache while an image passes: the windows are written out as
rows then, so that the convolution becomes a matrix product, which reads the filter panel by panel."""

_CONVOLUTION = "linalg.conv_2d_nhwc_hwcf"
_MATMULS = ("linalg.matmul", "linalg.batch_matmul")
_CONSTANTS = ("arith.constant", "util.global.load")
_LOOKED_THROUGH = ("linalg.transpose", "tensor.expand_shape", "tensor.collapse_shape", "tensor.cast")


def to_panels(module: Any) -> int:
    """Rewrite every operation of a module (an `ir.Module` or its operation) that can be; returns how many were."""
    found = [op for op in walk(module.operation) if op.name == _CONVOLUTION or op.name in _MATMULS]
    count = 0
    for op in found:
        if not _is_plain(op):
            continue
        from iree.compiler import ir

        with op.location, ir.InsertionPoint(op):
            result = _convolution(op) if op.name == _CONVOLUTION else _matmul(op)
            if result is None:
                continue
            result = _plus_start(result, op.operands[2])
        op.results[0].replace_all_uses_with(result)
        op.erase()
        count += 1
    return count


def keep_rearranged(module: Any) -> int:
    """Keep images and weights as an earlier step has transposed them for convolutions and products; returns how many.

    For modules that share their weights with another target. Otherwise the compiler makes the transposition part of the
    kernel that reads the value, which then finds neither columns of weights nor channels beside each other."""
    from iree.compiler import ir

    found = [op for op in walk(module.operation) if op.name == _CONVOLUTION or op.name in _MATMULS]
    count = 0
    for op in found:
        for index, operand in enumerate(op.operands):
            if index < 2 and not isinstance(operand.owner, ir.Block) and operand.owner.name == "linalg.transpose":
                with op.location, ir.InsertionPoint(op):
                    op.operands[index] = _kept_apart(operand)
                count += 1
    return count


def _is_plain(op: Any) -> bool:
    """An f32 operation on tensors with the maps that its name stands for."""
    from iree.compiler import ir

    kinds = [operand.type for operand in op.operands]
    if any(not isinstance(kind, ir.RankedTensorType) or str(kind.element_type) != "f32" for kind in kinds):
        return False
    if op.name == _CONVOLUTION:
        return True
    batch = ("d0, ",) if op.name == "linalg.batch_matmul" else ("",)
    m, n, k = ("d1", "d2", "d3") if batch[0] else ("d0", "d1", "d2")
    wanted = [f"({batch[0]}{m}, {k})", f"({batch[0]}{k}, {n})", f"({batch[0]}{m}, {n})"]
    from webree.codegen_wgsl.schedules.nest import indexing_maps

    return [str(item).partition("-> ")[2] for item in indexing_maps(op)] == wanted


def _matmul(op: Any) -> Any | None:
    """A matrix product, or a batch of them with the same constant."""
    left, right = op.operands[0], op.operands[1]
    if op.name == "linalg.batch_matmul":
        right = _unbatched(right)
    if right is None or not _is_constant(right) or not right.type.has_static_shape:
        return None
    return _product(left, right)


def _unbatched(right: Any) -> Any | None:
    """The matrix behind a batch of equal ones."""
    from iree.compiler import ir

    owner = right.owner
    if not isinstance(owner, ir.Block):
        op = owner.operation
        if op.name == "linalg.broadcast" and list(ir.DenseI64ArrayAttr(op.attributes["dimensions"])) == [0]:
            return op.operands[0]
        if op.name == "linalg.generic" and len(op.operands) == 2:
            maps = [str(ir.AffineMapAttr(item).value) for item in ir.ArrayAttr(op.attributes["indexing_maps"])]
            body = [item.operation.name for item in op.regions[0].blocks[0].operations]
            if maps == ["(d0, d1, d2) -> (d1, d2)", "(d0, d1, d2) -> (d0, d1, d2)"] and body == ["linalg.yield"]:
                return op.operands[0]
    if right.type.has_static_shape and right.type.shape[0] == 1 and _is_constant(right):
        return _collapse(right, [[0, 1], [2]])
    return None


def _product(left: Any, right: Any) -> Any | None:
    """left[…, k] * right[k, n], the right side as panels [n / 8, k, 8]."""
    columns = right.type.shape[1]
    if columns < PANEL:
        return None
    panels = _pack(right, 1, [1, 0])
    rows = list(range(left.type.rank - 1))
    panel, column, depth = (len(rows) + item for item in range(3))
    result = _generic(
        [left, panels],
        [*[_size(left, dim) for dim in rows], panels.type.shape[0], PANEL],
        loops=depth + 1,
        maps=[
            [*[[row] for row in rows], [depth]],
            [[panel], [depth], [column]],
            [[loop] for loop in range(depth)],
        ],
        reductions=1,
    )
    return _columns(_collapse(result, [*[[row] for row in rows], [panel, column]]), columns)


def _convolution(op: Any) -> Any | None:
    """A convolution [n, h, w, c] by [i, j, c, f]; one with a window of one pixel is a matrix product."""
    from iree.compiler import ir

    image, filters, start = op.operands
    if not _is_constant(filters) or not filters.type.has_static_shape:
        return None
    strides, dilations = (
        [int(item) for item in ir.DenseIntElementsAttr(op.attributes[name])] for name in ("strides", "dilations")
    )
    height, width, _, columns = filters.type.shape
    if columns < PANEL:
        return None
    if any(start.type.is_dynamic_dim(dim) for dim in (1, 2)):
        return None
    matrix = _collapse(filters, [[0, 1, 2], [3]])
    if (height, width) == (1, 1):
        return _product(image if strides == [1, 1] else _strided(image, strides, start), matrix)
    if 4 * math.prod(filters.type.shape) <= DIRECT_BYTES:
        if not isinstance(image.owner, ir.Block) and image.owner.name == "linalg.transpose":
            op.operands[0] = _kept_apart(image)  # or the kernel would read channels of the original image, far apart
        return None
    return _product(_windows(image, filters, start, strides, dilations), matrix)


def _windows(image: Any, filters: Any, start: Any, strides: Sequence[int], dilations: Sequence[int]) -> Any:
    """The window of every result as a row: [n, h, w, i * j * c]."""
    from iree.compiler import ir
    from iree.compiler.dialects import tensor

    rows, columns, depth, _ = filters.type.shape
    element = image.type.element_type
    shape = [*[_size(start, dim) for dim in range(3)], rows, columns, depth]
    # Loops: n, h, w, i, j, c.
    access: Sequence[Sequence[Any]] = [
        [0],
        [(1, strides[0]), (3, dilations[0])],
        [(2, strides[1]), (4, dilations[1])],
        [5],
    ]
    source = ir.AffineMap.get(6, 0, [_index(index) for index in access])
    empty = tensor.empty(shape, element)
    op = _elementwise([image], [source], empty)
    with ir.InsertionPoint(op.regions[0].blocks[0]):
        ir.Operation.create("linalg.yield", operands=[op.regions[0].blocks[0].arguments[0]])
    return _collapse(_kept_apart(op.results[0]), [[0], [1], [2], [3, 4, 5]])


def _kept_apart(value: Any) -> Any:
    """The same value, which the compiler then does not make part of the kernels that read it."""
    from iree.compiler import ir

    return ir.Operation.create("iree_tensor_ext.compute_barrier.start", results=[value.type], operands=[value]).results[
        0
    ]


def _strided(image: Any, strides: Sequence[int], start: Any) -> Any:
    """Every so many pixels of an image [n, h, w, c]: those that a window of one pixel visits."""
    sizes = [_size(image, 0), start.type.shape[1], start.type.shape[2], _size(image, 3)]
    return _slice(image, sizes, [1, *strides, 1])


def _columns(value: Any, count: int) -> Any:
    """The first columns of a result whose last panel is padded."""
    old = value.type
    if old.shape[-1] == count:
        return value
    return _slice(value, [*[_size(value, dim) for dim in range(old.rank - 1)], count], [1] * old.rank)


def _slice(value: Any, sizes: Sequence[Any], strides: Sequence[int]) -> Any:
    """Elements from the start of each dimension: a number of them, with a stride."""
    from iree.compiler import ir

    marker = ir.ShapedType.get_dynamic_size()
    static = [size if isinstance(size, int) else marker for size in sizes]
    dynamic = [size for size in sizes if not isinstance(size, int)]
    return ir.Operation.create(
        "tensor.extract_slice",
        results=[ir.RankedTensorType.get(static, value.type.element_type)],
        operands=[value, *dynamic],
        attributes={
            "static_offsets": ir.DenseI64ArrayAttr.get([0] * len(static)),
            "static_sizes": ir.DenseI64ArrayAttr.get(static),
            "static_strides": ir.DenseI64ArrayAttr.get(list(strides)),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, len(dynamic), 0]),
        },
    ).results[0]


def _plus_start(result: Any, start: Any) -> Any:
    """The result plus the values that the operation accumulated on, unless they are zeros."""
    from iree.compiler import ir
    from iree.compiler.dialects import tensor

    if _is_zero(start):
        return result
    rank, element = start.type.rank, start.type.element_type
    identity = ir.AffineMap.get_identity(rank)
    empty = tensor.empty([_size(start, dim) for dim in range(rank)], element)
    op = _elementwise([result, start], [identity] * 2, empty)
    block = op.regions[0].blocks[0]
    with ir.InsertionPoint(block):
        total = ir.Operation.create("arith.addf", results=[element], operands=list(block.arguments)[:2]).results[0]
        ir.Operation.create("linalg.yield", operands=[total])
    return op.results[0]


def _elementwise(inputs: Sequence[Any], accesses: Sequence[Any], empty: Any) -> Any:
    """A generic operation with an empty body over the dimensions of its result."""
    from iree.compiler import ir

    rank = empty.type.rank
    maps = [*accesses, ir.AffineMap.get_identity(rank)]
    op = ir.Operation.create(
        "linalg.generic",
        results=[empty.type],
        operands=[*inputs, empty],
        attributes={
            "indexing_maps": ir.ArrayAttr.get([ir.AffineMapAttr.get(item) for item in maps]),
            "iterator_types": ir.ArrayAttr.get([ir.Attribute.parse("#linalg.iterator_type<parallel>")] * rank),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([len(inputs), 1]),
        },
        regions=1,
    )
    op.regions[0].blocks.append(*[value.type.element_type for value in (*inputs, empty)])
    return op


def _is_zero(value: Any) -> bool:
    from iree.compiler import ir

    owner = value.owner
    if isinstance(owner, ir.Block) or owner.name != "linalg.fill":
        return False
    filler = owner.operands[0].owner
    if isinstance(filler, ir.Block) or filler.name != "arith.constant":
        return False
    number = ir.FloatAttr(filler.attributes["value"]).value
    return number == 0.0 and math.copysign(1.0, number) > 0


def _is_constant(value: Any) -> bool:
    """A constant, or a rearrangement of one that the compiler will evaluate."""
    from iree.compiler import ir

    owner = value.owner
    if isinstance(owner, ir.Block):
        return False
    if owner.name == "util.global.load":
        return "is_immutable" in owner.attributes
    return owner.name in _CONSTANTS or (owner.name in _LOOKED_THROUGH and _is_constant(owner.operands[0]))


def _size(value: Any, dim: int) -> Any:
    """A dimension: a number, or a value if only the run knows."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    if value.type.is_dynamic_dim(dim):
        return tensor.dim(value, arith.constant(ir.IndexType.get(), dim))
    return value.type.get_dim_size(dim)


def _pack(value: Any, columns: int, order: Sequence[int]) -> Any:
    """`value` with the dimension `columns` in tiles of a panel, tiles innermost, the other dimensions in `order`."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    old = value.type
    tiles = [-(-size // PANEL) if dim == columns else size for dim, size in enumerate(old.shape)]
    shape = [*[tiles[dim] for dim in order], PANEL]
    empty = tensor.empty(shape, old.element_type)
    padding = [arith.constant(old.element_type, 0.0)] if old.shape[columns] % PANEL else []
    return ir.Operation.create(
        "linalg.pack",
        results=[empty.type],
        operands=[value, empty, *padding],
        attributes={
            "outer_dims_perm": ir.DenseI64ArrayAttr.get(list(order)),
            "inner_dims_pos": ir.DenseI64ArrayAttr.get([columns]),
            "static_inner_tiles": ir.DenseI64ArrayAttr.get([PANEL]),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1, len(padding), 0]),
        },
    ).results[0]


def _generic(inputs: Sequence[Any], shape: Sequence[Any], *, loops: int, maps: Sequence[Any], reductions: int) -> Any:
    """Multiply and add over the last loops; an index is a sum of loops, or of (loop, factor)."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, linalg, tensor

    element = inputs[0].type.element_type
    zero = arith.constant(element, 0.0)
    start = linalg.fill(zero, outs=[tensor.empty(list(shape), element)])
    kinds = ["parallel"] * (loops - reductions) + ["reduction"] * reductions
    affine = [
        ir.AffineMapAttr.get(ir.AffineMap.get(loops, 0, [_index(index) for index in indices])) for indices in maps
    ]
    op = ir.Operation.create(
        "linalg.generic",
        results=[start.type],
        operands=[*inputs, start],
        attributes={
            "indexing_maps": ir.ArrayAttr.get(affine),
            "iterator_types": ir.ArrayAttr.get(
                [ir.Attribute.parse(f"#linalg.iterator_type<{kind}>") for kind in kinds]
            ),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([2, 1]),
        },
        regions=1,
    )
    block = op.regions[0].blocks.append(element, element, element)
    left, right, total = block.arguments
    with ir.InsertionPoint(block):
        product = ir.Operation.create("arith.mulf", results=[element], operands=[left, right]).results[0]
        result = ir.Operation.create("arith.addf", results=[element], operands=[total, product]).results[0]
        ir.Operation.create("linalg.yield", operands=[result])
    return op.results[0]


def _index(terms: Sequence[Any]) -> Any:
    from iree.compiler import ir

    total = None
    for term in terms:
        loop, factor = term if isinstance(term, tuple) else (term, 1)
        part = ir.AffineExpr.get_dim(loop)
        part = part if factor == 1 else ir.AffineExpr.get_mul(part, ir.AffineExpr.get_constant(factor))
        total = part if total is None else ir.AffineExpr.get_add(total, part)
    return total


def _collapse(value: Any, groups: Sequence[Sequence[int]]) -> Any:
    from iree.compiler import ir

    old = value.type
    marker = ir.ShapedType.get_dynamic_size()
    shape = [
        marker if any(old.is_dynamic_dim(dim) for dim in group) else math.prod(old.shape[dim] for dim in group)
        for group in groups
    ]
    return ir.Operation.create(
        "tensor.collapse_shape",
        results=[ir.RankedTensorType.get(shape, old.element_type)],
        operands=[value],
        attributes={"reassociation": _groups(groups)},
    ).results[0]


def _expand(value: Any, groups: Sequence[Sequence[int]], shape: Sequence[int]) -> Any:
    from iree.compiler import ir

    return ir.Operation.create(
        "tensor.expand_shape",
        results=[ir.RankedTensorType.get(list(shape), value.type.element_type)],
        operands=[value],
        attributes={
            "reassociation": _groups(groups),
            "static_output_shape": ir.DenseI64ArrayAttr.get(list(shape)),
        },
    ).results[0]


def _groups(groups: Sequence[Sequence[int]]) -> Any:
    from iree.compiler import ir

    index = ir.IntegerType.get_signless(64)
    return ir.ArrayAttr.get([ir.ArrayAttr.get([ir.IntegerAttr.get(index, dim) for dim in group]) for group in groups])
