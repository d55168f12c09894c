"""Sliding windows as chains of one-dimensional ones, which vectorise.

Enters: a channels-last convolution or pooling, a `linalg.generic` whose input is indexed by sums such as `2 * h + i`.
Leaves: one operation per tap of every window dimension but the innermost, each accumulating on the one before, on a
strided slice of the input; the innermost window becomes a one-dimensional convolution or pooling, where the
compiler's vectoriser knows that neighbouring results share inputs. Where that form does not fit (an image with a
batch dimension, another order of dimensions), the innermost window is unrolled as well. A dimension that is only
strided (a 1x1 convolution with stride 2) becomes a strided slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from webree.codegen_wgsl.schedules.nest import Nest, nest_of

__all__ = ["MAX_TAPS", "Window", "find_windows", "unroll_windows"]

MAX_TAPS = 64
"""Windows with more taps outside the innermost dimension are left alone: the kernel's code would be too long."""

_MULTIPLY_ADD = ("arith.mulf", "arith.addf")
_ONE_DIMENSIONAL: dict[tuple[str, ...], str] = {
    ("conv", *_MULTIPLY_ADD): "linalg.conv_1d_nwc_wcf",
    ("depthwise", *_MULTIPLY_ADD): "linalg.depthwise_conv_1d_nwc_wc",
    ("pooling", "arith.addf"): "linalg.pooling_nwc_sum",
    ("pooling", "arith.maximumf"): "linalg.pooling_nwc_max",
}
"""By shape and body: the operation that slides a one-dimensional window."""

# Indices of input, filter and result of the forms above, over loops (n, w, f | c, j, …) as the operation has them.
_SHAPES: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "conv": (("n", "w", "c"), ("j", "c", "f"), ("n", "w", "f")),
    "depthwise": (("n", "w", "c"), ("j", "c"), ("n", "w", "c")),
    "pooling": (("n", "w", "c"), ("j",), ("n", "w", "c")),
}


@dataclass(frozen=True, slots=True)
class Window:
    """A dimension of the input that a window slides along.

    Attributes:
        dim: of the input.
        position: loop over the results.
        tap: loop over the window; None where results are only strided.
        stride: distance of neighbouring results' windows.
        dilation: distance of neighbouring taps.
    """

    dim: int
    position: int
    tap: int | None
    stride: int
    dilation: int


def find_windows(nest: Nest) -> tuple[Window, ...]:
    """The windows of a nest whose first input is an image of known size; () if there are none or they are odd."""
    if not nest.inputs or len(nest.outputs) != 1 or not nest.straight:
        return ()
    if not all(access.projected for access in (*nest.inputs[1:], *nest.outputs)):
        return ()
    windows = []
    for dim, index in enumerate(nest.inputs[0].dims):
        if index is None or len(index) > 2:
            return ()
        if len(index) == 1 and index[0][1] == 1:
            continue
        positions = [(loop, factor) for loop, factor in index if not nest.reductions[loop]]
        taps = [(loop, factor) for loop, factor in index if nest.reductions[loop]]
        if len(positions) != 1 or len(taps) != len(index) - 1 or nest.ranges[positions[0][0]] is None:
            return ()
        tap, dilation = taps[0] if taps else (None, 1)
        if tap is not None and nest.ranges[tap] is None:
            return ()
        windows.append(Window(dim, positions[0][0], tap, positions[0][1], dilation))
    return tuple(windows)


def unroll_windows(op: Any) -> tuple[Any, int]:
    """Replace a windowed generic operation by its chain; returns the chain's last operation and its length.

    The length is 0 for a windowed operation that is left alone, 1 for one without windows.
    """
    nest = nest_of(op)
    windows = find_windows(nest)
    if not windows:
        return op, int(nest.projected)
    if any(access.bits != 32 for access in nest.accesses):
        return op, 0
    sliding = [window for window in windows if window.tap is not None]
    last = sliding[-1] if sliding else None
    form = _one_dimensional_form(op, nest, last) if last is not None else None
    unrolled = [window for window in sliding if form is None or window is not last]
    counts = [nest.ranges[window.tap] or 1 for window in unrolled if window.tap is not None]
    taps = list(product(*[range(count) for count in counts]))
    if len(taps) > MAX_TAPS:
        return op, 0
    return _chain(op, nest, windows, unrolled, taps, form, last), len(taps)


def _one_dimensional_form(op: Any, nest: Nest, window: Window) -> str | None:
    """The operation that does the innermost window at once, if input, filter and result are as it wants them."""
    body = tuple(item.operation.name for item in op.regions[0].blocks[0].operations)[:-1]
    for shape, letters in _SHAPES.items():
        name = _ONE_DIMENSIONAL.get((shape, *body))
        if name is not None and _matches(nest, window, letters):
            return name
    return None


def _matches(nest: Nest, window: Window, letters: Sequence[tuple[str, ...]]) -> bool:
    loops: dict[str, int] = {}
    accesses = nest.accesses
    if len(accesses) != len(letters):
        return False
    for access, wanted in zip(accesses, letters, strict=True):
        dims = [dim for dim in access.dims if dim is not None]
        if access is nest.inputs[0]:
            kept = [
                ((window.position, 1),) if index == window.dim else _position(nest, dim)
                for index, dim in enumerate(dims)
            ]
        else:
            kept = [dim for dim in dims if not _is_outer_tap(nest, window, dim[0][0])]
        if len(kept) != len(wanted) or (access is nest.inputs[0] and wanted[window.dim] != "w"):
            return False
        for letter, dim in zip(wanted, kept, strict=True):
            expected = window.tap if letter == "j" else dim[0][0]
            if dim[0][0] != expected or loops.setdefault(letter, dim[0][0]) != dim[0][0]:
                return False
    others = {loop for loop in range(len(nest.ranges)) if not _is_outer_tap(nest, window, loop)}
    return set(loops.values()) | {window.tap} == others


def _position(nest: Nest, dim: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    return tuple(pair for pair in dim if not nest.reductions[pair[0]]) or dim


def _is_outer_tap(nest: Nest, window: Window, loop: int) -> bool:
    """A tap of another window: unrolled, so that its dimension vanishes."""
    return any(loop == other.tap for other in find_windows(nest) if other.tap is not None and other.dim != window.dim)


def _chain(
    op: Any,
    nest: Nest,
    windows: Sequence[Window],
    unrolled: Sequence[Window],
    taps: Sequence[tuple[int, ...]],
    form: str | None,
    last: Window | None,
) -> Any:
    from iree.compiler import ir

    image, *others, start = op.operands
    gone = {window.tap: index for index, window in enumerate(unrolled)}
    link = op
    with op.location, ir.InsertionPoint(op):
        for offsets in taps:
            slices = [_image_slice(image, nest, windows, gone, offsets, form, last)]
            for operand, access in zip(others, nest.inputs[1:], strict=True):
                slices.append(_tap_slice(operand, [dim[0][0] for dim in access.dims if dim is not None], gone, offsets))
            operands = [*slices, start]
            link = (
                _window_op(op, form, operands, last) if form and last else _plain_op(op, nest, operands, windows, gone)
            )
            start = link.results[0]
    op.results[0].replace_all_uses_with(start)
    op.erase()
    return link


def _image_slice(
    image: Any,
    nest: Nest,
    windows: Sequence[Window],
    gone: dict[int | None, int],
    offsets: Sequence[int],
    form: str | None,
    last: Window | None,
) -> Any:
    from iree.compiler import ir

    old = ir.RankedTensorType(image.type)
    rank = old.rank
    starts, strides = [0] * rank, [1] * rank
    sizes: list[int | None] = [None if old.is_dynamic_dim(dim) else old.get_dim_size(dim) for dim in range(rank)]
    for window in windows:
        if form is not None and window is last:
            continue
        starts[window.dim] = offsets[gone[window.tap]] * window.dilation if window.tap is not None else 0
        strides[window.dim] = window.stride
        sizes[window.dim] = nest.ranges[window.position]
    return _slice(image, starts, sizes, strides, list(range(rank)))


def _tap_slice(operand: Any, loops: Sequence[int], gone: dict[int | None, int], offsets: Sequence[int]) -> Any:
    """The part of a filter that belongs to some taps, without their dimensions."""
    from iree.compiler import ir

    if not isinstance(operand.type, ir.RankedTensorType):
        return operand
    old = ir.RankedTensorType(operand.type)
    starts = [offsets[gone[loop]] if loop in gone else 0 for loop in loops]
    sizes: list[int | None] = [
        1 if loop in gone else None if old.is_dynamic_dim(dim) else old.get_dim_size(dim)
        for dim, loop in enumerate(loops)
    ]
    kept = [dim for dim, loop in enumerate(loops) if loop not in gone]
    return _slice(operand, starts, sizes, [1] * len(loops), kept)


def _slice(
    value: Any, starts: Sequence[int], sizes: Sequence[int | None], strides: Sequence[int], kept: Sequence[int]
) -> Any:
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    old = ir.RankedTensorType(value.type)
    if len(kept) == old.rank and all(
        size == old_size for size, old_size in zip(sizes, old.shape, strict=True) if size is not None
    ):
        if set(starts) <= {0} and set(strides) <= {1}:
            return value
    dynamic = [
        tensor.dim(value, arith.constant(ir.IndexType.get(), dim)) for dim, size in enumerate(sizes) if size is None
    ]
    marker = ir.ShapedType.get_dynamic_size()
    shape = [marker if sizes[dim] is None else sizes[dim] for dim in kept]
    return ir.Operation.create(
        "tensor.extract_slice",
        results=[ir.RankedTensorType.get(shape, old.element_type)],
        operands=[value, *dynamic],
        attributes={
            "static_offsets": ir.DenseI64ArrayAttr.get(list(starts)),
            "static_sizes": ir.DenseI64ArrayAttr.get([marker if size is None else size for size in sizes]),
            "static_strides": ir.DenseI64ArrayAttr.get(list(strides)),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, len(dynamic), 0]),
        },
    ).results[0]


def _window_op(op: Any, name: str, operands: Sequence[Any], window: Window) -> Any:
    from iree.compiler import ir

    new = ir.Operation.create(
        name,
        results=[operands[-1].type],
        operands=list(operands),
        attributes={
            "strides": ir.Attribute.parse(f"dense<{window.stride}> : tensor<1xi64>"),
            "dilations": ir.Attribute.parse(f"dense<{window.dilation}> : tensor<1xi64>"),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([len(operands) - 1, 1]),
        },
        regions=1,
    )
    _named_body(op, new)
    return new


def _named_body(op: Any, new: Any) -> None:
    """The body of a named operation: multiply and add, or the pooling's own operation on image and result."""
    from iree.compiler import ir

    old = op.regions[0].blocks[0]
    element = old.arguments[0].type
    block = new.regions[0].blocks.append(*[argument.type for argument in old.arguments])
    image, other, total = block.arguments
    names = [item.operation.name for item in old.operations][:-1]
    with ir.InsertionPoint(block):
        if len(names) == 2:
            image = ir.Operation.create(names[0], results=[element], operands=[image, other]).results[0]
        result = ir.Operation.create(names[-1], results=[element], operands=[total, image]).results[0]
        ir.Operation.create("linalg.yield", operands=[result])


def _plain_op(
    op: Any, nest: Nest, operands: Sequence[Any], windows: Sequence[Window], gone: dict[int | None, int]
) -> Any:
    """The generic operation without the loops that were unrolled, all indices single loops."""
    from iree.compiler import ir

    kept = [loop for loop in range(len(nest.ranges)) if loop not in gone]
    renamed = {loop: index for index, loop in enumerate(kept)}
    positions = {window.dim: window.position for window in windows}
    maps = []
    for number, access in enumerate(nest.accesses):
        loops = [dim[0][0] for dim in access.dims if dim is not None]
        if number == 0:
            loops = [positions.get(dim, loop) for dim, loop in enumerate(loops)]
        results = [ir.AffineExpr.get_dim(renamed[loop]) for loop in loops if loop in renamed]
        maps.append(ir.AffineMapAttr.get(ir.AffineMap.get(len(kept), 0, results)))
    new = op.clone()
    kinds = ir.ArrayAttr(op.attributes["iterator_types"])
    new.attributes["indexing_maps"] = ir.ArrayAttr.get(maps)
    new.attributes["iterator_types"] = ir.ArrayAttr.get([kinds[loop] for loop in kept])
    for index, operand in enumerate(operands):
        new.operands[index] = operand
    return new
