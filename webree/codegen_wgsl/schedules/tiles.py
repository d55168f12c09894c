"""Tile sizes: how the loops of a kernel are split over workgroups, threads and steps.

Enters: a `Nest` and a `Budget`. Leaves: a `Tiling`, the numbers of a lowering configuration. Plain arithmetic.

A thread's tile divides its loop, so that all vectors have a fixed size; a loop of unknown or awkward length gets
tiles of one element, and the threads of the last workgroup that have nothing to do stay idle.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from webree.codegen_wgsl.schedules.nest import Nest
from webree.codegen_wgsl.schedules.tables import Budget

__all__ = ["MAX_WORKGROUPS", "Tiling", "choose", "divisor", "serial"]

MAX_WORKGROUPS = 65535
_DISTRIBUTED = 3
_SERIAL_ELEMENTS = 16
_VECTOR = 4


@dataclass(frozen=True, slots=True)
class Tiling:
    """A lowering configuration's numbers.

    Attributes:
        workgroup: iterations of each parallel loop per workgroup.
        thread: iterations of each parallel loop per thread and step.
        reduction: iterations of each loop per step of the innermost serial loops (0: all at once).
        workgroup_size: threads in x, y and z.
    """

    workgroup: tuple[int, ...]
    thread: tuple[int, ...]
    reduction: tuple[int, ...]
    workgroup_size: tuple[int, int, int]


def choose(nest: Nest, budget: Budget, *, vectors: bool = True, links: int = 1) -> Tiling | None:
    """The tiling of a nest whose parallel loops come first and in the order of its results; None if it has none.

    Without `vectors` a thread computes one element at a time: bytes and halves are emulated on words, one by one.
    `links` is how many such nests follow each other in the kernel (see windows.py).
    """
    count = len(nest.parallel)
    if count == 0 or nest.parallel != tuple(range(count)):
        return None
    contraction = _contracts(nest)
    thread = [1] * count
    if vectors:
        thread = _contraction_tile(nest, budget) if contraction else _plain_tile(nest, budget)
        thread = [1 if loop in nest.single else size for loop, size in enumerate(thread)]
    if contraction:
        threads = _spread(nest, thread, budget.threads, budget.column_threads)
    else:
        threads = _spread(nest, thread, budget.elementwise_threads, budget.elementwise_threads)
    workgroup = [tile * many for tile, many in zip(thread, threads, strict=True)]
    _respect_workgroup_limit(nest, thread, workgroup)
    size = [*reversed(threads), 1, 1, 1][:_DISTRIBUTED]
    reduction = _reduction_tile(nest, budget, prod(thread) * links) if vectors else _single_steps(nest)
    return Tiling(tuple(workgroup), tuple(thread), reduction, (size[0], size[1], size[2]))


def serial(ranges: tuple[int | None, ...], skip: int | None = None) -> Tiling | None:
    """One thread per workgroup over some elements of the innermost loop; `skip` is a loop that accumulates."""
    loops = [loop for loop in range(len(ranges)) if loop != skip]
    if not loops:
        return None
    workgroup = [0 if loop == skip else 1 for loop in range(len(ranges))]
    workgroup[loops[-1]] = _SERIAL_ELEMENTS
    while _product(None if loop == skip else number for loop, number in enumerate(ranges)) > MAX_WORKGROUPS * _product(
        size or None for size in workgroup
    ):
        workgroup[loops[-1]] *= 2
    thread = tuple(min(size, 1) for size in workgroup)
    return Tiling(tuple(workgroup), thread, (), (1, 1, 1))


def _product(numbers: Iterable[int | None]) -> int:
    return prod(number for number in numbers if number is not None)


def divisor(number: int | None, limit: int) -> int:
    """The largest divisor of a number that is not above a limit; 1 for an unknown number."""
    if number is None or number < 1:
        return 1
    return max(size for size in range(1, min(number, limit) + 1) if number % size == 0)


def _first_divisor(number: int | None, candidates: tuple[int, ...]) -> int:
    if number is None:
        return 1
    return next((size for size in candidates if number % size == 0), 1)


def _contracts(nest: Nest) -> bool:
    """Values of one operand are used for many results: a register tile pays."""
    column = nest.parallel[-1]
    return any(nest.reductions) and _row_loop(nest, column) is not None


def _row_loop(nest: Nest, column: int) -> int | None:
    """The innermost parallel loop along which an operand that varies with the column stays the same."""
    shared = [access for access in nest.inputs if column in access.loops and access.dims]
    others = [access for access in nest.inputs if access not in shared]
    for loop in reversed(nest.parallel):
        if loop != column and any(loop not in access.loops for access in shared):
            reads = [access for access in (*shared, *others) if loop in access.loops]
            if reads:
                return loop
    return None


def _contraction_tile(nest: Nest, budget: Budget) -> list[int]:
    column = nest.parallel[-1]
    row = _row_loop(nest, column)
    tile = [1] * len(nest.parallel)
    tile[column] = _first_divisor(nest.ranges[column], budget.columns)
    if row is not None and _one_sided(nest, column, row):
        tile[column] = _first_divisor(nest.ranges[column], budget.vector)
        tile[row] = divisor(nest.ranges[row], budget.neighbours)
    elif row is not None:
        limit = min(budget.rows, budget.accumulators // tile[column])
        tile[row] = _row_tile(nest.ranges[row], limit)
        wide = 2 * tile[column]
        if 4 * tile[row] <= limit and wide <= 2 * budget.columns[0] and divisor(nest.ranges[column], wide) == wide:
            tile[column] = wide
    return tile


def _one_sided(nest: Nest, column: int, row: int) -> bool:
    """Whether a tile uses only one operand again (depthwise convolutions): larger tiles are more code, not speed."""
    return all(column in access.loops for access in nest.inputs if row in access.loops)


def _row_tile(number: int | None, limit: int) -> int:
    """A divisor near half of the limit: smaller ones read too much, larger ones leave too few threads."""
    small = divisor(number, max(1, limit // 2))
    return small if small * 4 > limit else divisor(number, limit)


def _plain_tile(nest: Nest, budget: Budget) -> list[int]:
    """A vector of the innermost loop, if it is along memory for most operands; neighbours of a sliding window too."""
    column = nest.parallel[-1]
    tile = [1] * len(nest.parallel)
    reads = [access for access in nest.accesses if column in access.loops]
    along = sum(access.innermost == column for access in reads)
    fits = nest.straight or (any(nest.reductions) and column not in nest.single)
    if fits and 2 * along > len(reads):
        tile[column] = _first_divisor(nest.ranges[column], budget.vector)
    for index in _windows(nest):
        for loop, _ in index:
            if not nest.reductions[loop]:
                tile[loop] = divisor(nest.ranges[loop], budget.neighbours)
    return tile


def _windows(nest: Nest) -> list[tuple[tuple[int, int], ...]]:
    """Indices that are sums of loops."""
    return [dim for access in nest.inputs for dim in access.dims if dim is not None and len(dim) > 1]


def _spread(nest: Nest, tile: list[int], threads: int, innermost: int) -> list[int]:
    """Threads per loop, innermost first, at most three loops."""
    counts = [1] * len(tile)
    left = threads
    for loop in list(reversed(range(len(tile))))[:_DISTRIBUTED]:
        number = nest.ranges[loop]
        most = min(left, innermost) if loop == len(tile) - 1 else left
        if number is None:
            counts[loop] = most if loop == len(tile) - 1 else 1
        elif tile[loop] == 1:
            counts[loop] = min(most, number)
        else:
            counts[loop] = divisor(number // tile[loop], most)
        left //= counts[loop]
        if left <= 1:
            break
    return counts


def _respect_workgroup_limit(nest: Nest, tile: list[int], workgroup: list[int]) -> None:
    """Let workgroups do more where there would be too many of them; dimensions of unknown size count as one."""
    for loop, number in enumerate(nest.ranges[: len(tile)]):
        if number is None:
            continue
        while _count(nest, workgroup) > MAX_WORKGROUPS and workgroup[loop] < number:
            parts = -(-number // workgroup[loop])
            factor = next((size for size in range(2, parts + 1) if parts % size == 0), parts)
            workgroup[loop] *= factor


def _count(nest: Nest, workgroup: list[int]) -> int:
    total = 1
    for number, size in zip(nest.ranges, workgroup, strict=False):
        total *= 1 if number is None else -(-number // size)
    return total


def _reduction_tile(nest: Nest, budget: Budget, results: int) -> tuple[int, ...]:
    """Steps of the reductions: vectors along memory, a whole window if the code stays short, single steps of others.

    `results` is how many results a thread has in flight in all links together.
    """
    steps = list(_single_steps(nest))
    reductions = [loop for loop, reduces in enumerate(nest.reductions) if reduces]
    taps = [loop for index in _windows(nest) for loop, _ in index if nest.reductions[loop]]
    inner = {access.innermost for access in nest.inputs}
    along = [loop for loop in reductions if loop not in taps and loop not in nest.single]
    along = [loop for loop in along if loop in inner or len(reductions) == 1]
    for loop in along:
        steps[loop] = _first_divisor(nest.ranges[loop], budget.depth)
    if len(along) > 1 and results * prod(max(1, step) for step in steps) // _VECTOR > budget.code // 2:
        steps[along[0]] = 1  # one word at a time, where the other loop is over the parts of a word
    length = results * prod(max(1, step) for step in steps) // _VECTOR
    for loop in taps:
        number = nest.ranges[loop]
        short = number is not None and number <= budget.window and length * number <= budget.code
        if number is not None and short and loop not in nest.single:
            steps[loop] = 0
            length *= number
    return tuple(steps)


def _single_steps(nest: Nest) -> tuple[int, ...]:
    return tuple(int(reduces) for reduces in nest.reductions)
