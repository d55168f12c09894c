"""Tile sizes of kernels on 128-bit vectors.

Enters: the loop nest of a kernel's main operation and the operations of its body. Leaves: a `Tiling`, or None for a
kind of kernel that is better left to the compiler.

Two things decide. In the innermost tile, multiplications must outnumber loads, with all results in registers: 4 rows by
8 columns, or 1 row by 32 columns where rows cannot be tiled. Around it, the weights that a workgroup reads again for
every 4 rows must stay in the core's second-level cache; the rest of the work is cut so that a few dozen workgroups
keep up to 16 threads busy to the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from webree.codegen_wgsl.schedules.nest import Nest

__all__ = ["CACHED_BYTES", "Tiling", "choose"]

COLUMNS = 8
LANES = 4
ROWS, COLUMNS = 4, 8
"""The innermost tile. Rows that are left over are peeled off, which costs little as long as their number is known."""
TRANSPOSED_ROWS = 8
"""Of the tile with one vector of columns, for weights that are transposed in registers."""
CACHED_BYTES = 256 << 10
"""Weights of a workgroup: half of a small core's second-level cache."""
WORD_COLUMNS, WORD_WORKGROUP = 16, 512
"""Columns of weights in words: of a tile, and at most of a workgroup."""
WORKGROUPS = 32
"""More of them cost more than they balance."""
WORKGROUP_FLOPS = 1 << 20
"""Less work than that is not worth a workgroup."""
_UNKNOWN_ROWS = 32
"""Of a workgroup, where only the run knows how many there are."""

_MULTIPLY_ADD = (("arith.mulf", "arith.addf"),)
_TILED, _CONVOLVED = "DoubleTilingExpert", "ConvTileAndDecomposeExpert"


@dataclass(frozen=True, slots=True)
class Tiling:
    """Tile sizes, one per loop of the main operation; 0 leaves a loop whole.

    Attributes:
        workgroup: iterations of the parallel loops that one workgroup does.
        vector: iterations that are computed at once.
        steps: iterations of the reductions that are computed at once.
        pipeline: the compiler's pass pipeline.
    """

    workgroup: tuple[int, ...]
    vector: tuple[int, ...]
    steps: tuple[int, ...]
    pipeline: str


def choose(nest: Nest, body: tuple[str, ...]) -> Tiling | None:
    """The tiling of a kernel's main operation, or None."""
    if len(nest.outputs) != 1 or not nest.outputs[0].projected or any(access.bits != 32 for access in nest.accesses):
        return None
    result = [dim[0][0] for dim in nest.outputs[0].dims if dim is not None]
    if is_dequantised(body) and nest.straight and nest.projected:
        return _dequantised(nest, result)
    if len(nest.inputs) != 2 or body not in _MULTIPLY_ADD:
        return None
    left, right = nest.inputs
    if not right.projected or any(dim is None for dim in left.dims):
        return None
    if left.projected:
        if _is_panelled(nest, result):
            return _panelled(nest, result)
        return _product(nest, result)
    return _convolution(nest, result)


def is_dequantised(body: tuple[str, ...]) -> bool:
    """A product with weights that are words of several small integers: shifted out, made floats, multiplied, added."""
    return (
        body[-2:] in _MULTIPLY_ADD
        and {"arith.sitofp"} < {*body}
        and not {"arith.shrui", "arith.shrsi"}.isdisjoint(body)
    )


def _dequantised(nest: Nest, result: list[int]) -> Tiling | None:
    """Words [… k …, n] times a row, or times several, which then share what a word becomes."""
    *outer, column = result
    width = nest.ranges[column]
    if width is None or None in nest.ranges or len(outer) > 1:
        return None
    if not any(access.innermost == column for access in nest.inputs):
        return None
    columns = WORD_COLUMNS if not outer and width % WORD_COLUMNS == 0 else COLUMNS
    if width % columns:
        return None
    vector = _sizes(nest, {column: columns} | {row: min(ROWS, nest.ranges[row] or 1) for row in outer})
    return _tiling(nest, {column: columns * _divisor(width // columns, WORD_WORKGROUP // columns)}, vector, _TILED)


def _is_panelled(nest: Nest, result: list[int]) -> bool:
    """Weights [panel, k, column] and results […, panel, column]."""
    weights = [dim[0][0] for dim in nest.inputs[1].dims if dim is not None]
    rows = {dim[0][0] for dim in nest.inputs[0].dims if dim is not None}
    return (
        len(result) >= 2
        and len(weights) == 3
        and (weights[0], weights[2]) == (result[-2], result[-1])
        and nest.ranges[result[-1]] == COLUMNS
        and nest.reductions[weights[1]]
        and rows == {*result[:-2], weights[1]}
    )


def _panelled(nest: Nest, result: list[int]) -> Tiling:
    """A product with weights in panels."""
    panel, column = result[-2:]
    depth = next(loop for loop, reduces in enumerate(nest.reductions) if reduces)
    vector = _sizes(nest, {loop: 1 for loop in result} | {column: COLUMNS})
    panels = nest.ranges[panel] or 1
    if len(result) == 2:  # one row
        vector[panel] = min(ROWS, panels)
        chunk = max(vector[panel], -(-panels // WORKGROUPS))
        return _tiling(nest, {panel: chunk}, vector, _TILED)
    row = result[-3]
    chunk = _divisor(panels, CACHED_BYTES // (4 * COLUMNS * (nest.ranges[depth] or 1)))
    workgroup = {panel: chunk, **_cut_rows(nest, result[:-2], -(-panels // chunk), ROWS)}
    vector[row] = min(ROWS, workgroup[row])
    return _tiling(nest, workgroup, vector, _TILED)


def _product(nest: Nest, result: list[int]) -> Tiling | None:
    """A product of two matrices, the right one read along its rows [… k, n] or, in registers, transposed [… n, k]."""
    if len(result) < 2 or sum(nest.reductions) != 1:
        return None
    row, column = result[-2:]
    left, right = ([dim[0][0] for dim in access.dims if dim is not None] for access in nest.inputs)
    depth = nest.reductions.index(True)
    if row in right or column in left or (nest.ranges[column] or 0) < COLUMNS:
        return None
    if nest.ranges[row] is None or left[-2:] != [row, depth] or {*right[-2:]} != {depth, column}:
        return None
    transposed = right[-1] == depth
    depths, width = nest.ranges[depth] or 1, nest.ranges[column] or 1
    if transposed and (depths % LANES or width % LANES):
        return None
    rows, columns = (TRANSPOSED_ROWS, LANES) if transposed else (ROWS, COLUMNS)
    chunk = width
    if width % COLUMNS == 0:
        chunk = COLUMNS * _divisor(width // COLUMNS, CACHED_BYTES // (4 * COLUMNS * depths))
    workgroup = {column: chunk, **_cut_rows(nest, result[:-1], -(-width // chunk), rows)}
    vector = _sizes(nest, {loop: 1 for loop in result} | {row: min(rows, workgroup[row]), column: columns})
    return _tiling(nest, workgroup, vector, _TILED, LANES if transposed else 1)


def _convolution(nest: Nest, result: list[int]) -> Tiling | None:
    """A convolution [n, h, w, c] by [i, j, c, f], or one without h and i, along rows of the image."""
    left, right = nest.inputs
    sizes = (len(result), len(right.dims), len(left.dims), len(nest.ranges))
    if sizes not in ((4, 4, 4, 7), (3, 3, 3, 5)):
        return None
    *outer, width, column = result
    *_, depth, last = [dim[0][0] for dim in right.dims if dim is not None]
    if last != column or left.innermost != depth or (nest.ranges[column] or 0) < COLUMNS:
        return None
    vector = _sizes(nest, {loop: 1 for loop in result})
    vector[width], vector[column] = min(ROWS, nest.ranges[width] or ROWS), COLUMNS
    return _tiling(
        nest,
        _cut_rows(nest, outer if len(result) == 4 else [*outer, width], 1, ROWS if len(result) == 3 else 1),
        vector,
        _CONVOLVED,
    )


def _cut_rows(nest: Nest, loops: list[int], others: int, least: int = 1) -> dict[int, int]:
    """Tiles of some loops for workgroups, the outer ones cut first, so that there are enough of them.

    A tile divides its loop, because only tiles of known size are vectorised whole. `others` is how many parts other
    loops are cut into; no tile of the last loop has less than `least` iterations."""
    flops = 2 * prod(number or 1 for number in nest.ranges)
    wanted = max(1, min(WORKGROUPS, flops // WORKGROUP_FLOPS)) / others
    cut: dict[int, int] = {}
    for loop in loops:
        number = nest.ranges[loop]
        if number is None:
            cut[loop] = 1 if loop != loops[-1] else _UNKNOWN_ROWS
            continue
        size = max(1, round(number / max(1.0, wanted)))
        cut[loop] = _divisor_near(number, size, least if loop == loops[-1] else 1)
        wanted /= number / cut[loop]
    return cut


def _divisor_near(number: int, size: int, least: int) -> int:
    """The divisor of a number that is nearest to a size, by ratio, but not below `least`."""
    divisors = [divisor for divisor in range(1, number + 1) if number % divisor == 0 and divisor >= least] or [number]
    return min(divisors, key=lambda divisor: max(divisor / size, size / divisor))


def _divisor(number: int, limit: int) -> int:
    """The largest divisor of a number up to a limit; the limit if divisors are far below it."""
    limit = max(1, min(number, limit))
    best = max(size for size in range(1, limit + 1) if number % size == 0)
    return best if 2 * best >= limit else limit


def _sizes(nest: Nest, sizes: dict[int, int]) -> list[int]:
    return [sizes.get(loop, 0) for loop in range(len(nest.ranges))]


def _tiling(nest: Nest, workgroup: dict[int, int], vector: list[int], pipeline: str, step: int = 1) -> Tiling:
    return Tiling(
        workgroup=tuple(_sizes(nest, workgroup)),
        vector=tuple(vector),
        steps=tuple(step if reduces else 0 for reduces in nest.reductions),
        pipeline=pipeline,
    )
