"""Quantised weights stay quantised: dequantisation inside the kernels that use them.

Enters: the module after `input` and after the layouts are chosen, where constant 8- and 4-bit weights are made floats
and then go into a matrix product or convolution. The compiler would evaluate that once, at compile time, and store
floats: four or eight times the memory and bandwidth. Leaves: the same module, in which such a product is one linalg
operation over 32-bit words of packed weights. Its body shifts a weight out of its word, extends the sign
and multiplies; the words lie so that neighbouring columns are neighbours in memory. Scales of whole columns
are applied to the result, scales of blocks inside. All operands are 32 bits wide, so that these kernels
vectorise as those of floats do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from webree.compiler.walking import walk
from webree.compiler.weights_codes import expanded, extended, generic, loop_index, unpacked
from webree.compiler.weights_matching import Quantized, find_quantized, is_product, reads

__all__ = ["keep_quantized"]

_WORD = 32
_MIN_ELEMENTS = 1024


@dataclass(frozen=True, slots=True)
class _Loops:
    """How the loops of a product map to those of its packed form.

    Attributes:
        count: of the new loops.
        of: new loop (or `group, word` for the split one) of each old loop.
        lane: the loop over the weights of one word.
        split: the old loop that is split.
        sizes: of `group, word, lane` (no group without blocks).
    """

    count: int
    of: tuple[tuple[int, ...], ...]
    lane: int
    split: int
    sizes: tuple[int, ...]


def keep_quantized(module: Any) -> int:
    """Rewrite the products in place; returns how many there were."""
    count = 0
    for op in [op for op in walk(module.operation) if is_product(op)]:
        for side in (1, 0):
            quantized = find_quantized(op.operands[side])
            if quantized is not None and quantized.element_count >= _MIN_ELEMENTS and _rewrite(op, side, quantized):
                count += 1
                break
    return count


def _rewrite(op: Any, side: int, weights: Quantized) -> bool:
    from iree.compiler import ir

    maps = reads(op)
    if maps is None:
        return False
    weight_loops, other, output = maps[side], maps[1 - side], maps[2]
    # Loops by the dimensions of the constant, which may have been transposed or repeated on the way.
    by_dim = {}
    for dim, loops_of_dim in zip(weights.permutation, weight_loops, strict=True):
        if dim is not None:
            if len(loops_of_dim) != 1:
                return False
            by_dim[dim] = loops_of_dim[0]
    parallel = {loop for dim in output for loop in dim}
    loops = _split(weights, by_dim, parallel, other, maps)
    if loops is None:
        return False
    with op.context, op.location, ir.InsertionPoint(op):
        _Packed(op, side, weights, by_dim, loops, other, output).build()
    op.erase()
    return True


def _split(
    weights: Quantized,
    by_dim: dict[int, int],
    parallel: set[int],
    other: Sequence[tuple[int, ...]],
    maps: Sequence[Sequence[tuple[int, ...]]],
) -> _Loops | None:
    """The reduction that words are packed along, or None if there is none whose length is whole words."""
    lanes = _WORD // weights.bits
    old_count = 1 + max(loop for access in maps for dim in access for loop in dim)
    for dim, loop in sorted(by_dim.items(), reverse=True):
        size, blocked = weights.shape[dim], weights.block is not None and weights.block[0] == dim
        along = weights.block[1] if blocked and weights.block is not None else size
        single = [access for access in other if loop in access]
        if loop in parallel or size % along or along % lanes or single != [(loop,)]:
            continue
        if weights.block is not None and not blocked:
            continue
        if any(by_dim[item] not in parallel for item in weights.scale_dims if not (blocked and item == dim)):
            continue  # scales along another reduction
        parts = 2 if blocked else 1
        of, position = [], 0
        for old in range(old_count):
            width = parts if old == loop else 1
            of.append(tuple(range(position, position + width)))
            position += width
        sizes = (size // along, along // lanes, lanes) if blocked else (size // lanes, lanes)
        return _Loops(position + 1, tuple(of), position, loop, sizes)
    return None


class _Packed:
    """Builds the packed form of one product before it."""

    def __init__(
        self,
        op: Any,
        side: int,
        weights: Quantized,
        by_dim: dict[int, int],
        loops: _Loops,
        other: Sequence[tuple[int, ...]],
        output: Sequence[tuple[int, ...]],
    ) -> None:
        from iree.compiler import ir

        self._op, self._side, self._weights, self._loops = op, side, weights, loops
        self._other, self._output, self._by_dim = other, output, by_dim
        self._maps = [ir.AffineMapAttr(item).value for item in _indexing_maps(op)]
        self._split_dim = next(dim for dim, loop in by_dim.items() if loop == loops.split)

    def build(self) -> None:
        """Replace the product's result."""
        from iree.compiler import ir
        from iree.compiler.dialects import arith

        op, weights, loops = self._op, self._weights, self._loops
        word = ir.IntegerType.get_signless(_WORD)
        words, word_loops = self._words()
        left = [_WORD - weights.bits * (lane + 1) for lane in range(_WORD // weights.bits)]
        shifts = arith.constant(
            ir.RankedTensorType.get([len(left)], word),
            ir.DenseIntElementsAttr.get(
                [ir.IntegerAttr.get(word, number) for number in left], type=ir.RankedTensorType.get([len(left)], word)
            ),
        )
        operands = [self._image(), words, shifts]
        accesses = [self._image_access(), [self._dim(loop) for loop in word_loops], [self._dim(loops.lane)]]
        inside = weights.block is not None
        along = [item for dim in weights.scale_dims for item in self._scale_loops(dim)]
        if weights.zero is not None:
            operands.append(extended(weights.zero, weights.unsigned))
            accesses.append([self._dim(loop) for loop in along])
        if inside:
            operands.append(weights.scale)
            accesses.append([self._dim(loop) for loop in along])
        outputs = [self._renamed(item) for item in self._maps[2].results]
        start = op.operands[2]
        zero = start if inside else _zeros_like(start)
        maps = [ir.AffineMap.get(loops.count, 0, item) for item in (*accesses, outputs)]
        kinds = ["parallel" if loop in self._parallel() else "reduction" for loop in range(loops.count)]
        total = generic([*operands, zero], maps, kinds, lambda arguments: [self._body(arguments)])
        if not inside:
            total = self._scaled(total, start)
        op.results[0].replace_all_uses_with(total)

    def _parallel(self) -> set[int]:
        return {item for dim in self._output for loop in dim for item in self._loops.of[loop]}

    def _scale_loops(self, dim: int) -> list[int]:
        """The loops of a scale's dimension: of blocks, the one over groups."""
        return [self._loops.of[self._by_dim[dim]][0]]

    def _dim(self, loop: int) -> Any:
        from iree.compiler import ir

        return ir.AffineExpr.get_dim(loop)

    def _renamed(self, expression: Any) -> Any:
        from iree.compiler import ir

        dims = [ir.AffineExpr.get_dim(item[0]) for item in self._loops.of]
        return expression.compose(ir.AffineMap.get(self._loops.count, 0, dims))

    def _image_access(self) -> list[Any]:
        found: list[Any] = []
        for loops, expression in zip(self._other, self._maps[1 - self._side].results, strict=True):
            if loops == (self._loops.split,):
                found += [self._dim(item) for item in (*self._loops.of[self._loops.split], self._loops.lane)]
            else:
                found.append(self._renamed(expression))
        return found

    def _image(self) -> Any:
        """The other operand, with the split dimension in parts."""
        value = self._op.operands[1 - self._side]
        at = next(index for index, loops in enumerate(self._other) if loops == (self._loops.split,))
        return expanded(value, at, self._loops.sizes)

    def _words(self) -> tuple[Any, list[int]]:
        """The packed weights, and the loop of each of their dimensions; the last column of the output is innermost."""
        from iree.compiler import ir
        from iree.compiler.dialects import arith, linalg, tensor

        weights, loops = self._weights, self._loops
        word = ir.IntegerType.get_signless(_WORD)
        codes = weights.value if weights.bits == 8 else unpacked(weights.value)
        parts = expanded(codes, self._split_dim, loops.sizes)
        dims: list[tuple[int, int]] = []  # loop (the lane's last), size; in the order of the expanded constant
        for dim, size in enumerate(weights.shape):
            if dim == self._split_dim:
                dims += zip((*loops.of[loops.split], loops.lane), loops.sizes, strict=True)
            else:
                dims.append((loops.of[self._by_dim[dim]][0], size))
        column = self._loops.of[self._output[-1][0]][0] if self._output and self._output[-1] else -1
        order = [item for item in dims if item[0] not in (loops.lane, column)]
        order = [item for name in self._reading_order() for item in order if item[0] == name]
        order += [item for item in dims if item[0] == column]
        count = len(order) + 1
        position = {loop: index for index, (loop, _) in enumerate(order)} | {loops.lane: count - 1}
        maps = [
            ir.AffineMap.get(count, 0, [self._dim(position[loop]) for loop, _ in dims]),
            ir.AffineMap.get(count, 0, [self._dim(index) for index in range(count - 1)]),
        ]
        empty = tensor.empty([size for _, size in order], word)
        start = linalg.fill(arith.constant(word, 0), outs=[empty])

        def body(arguments: Sequence[Any]) -> list[Any]:
            code = arith.extui(word, arguments[0])
            lane = arith.muli(loop_index(count - 1, word), arith.constant(word, weights.bits))
            moved = arith.shli(code, lane)
            return [arith.ori(moved, arguments[1])]

        kinds = ["parallel"] * (count - 1) + ["reduction"]
        return generic([parts, start], maps, kinds, body), [loop for loop, _ in order]

    def _reading_order(self) -> list[int]:
        return [item for loops in self._loops.of for item in loops]

    def _body(self, arguments: Sequence[Any]) -> Any:
        from iree.compiler import ir
        from iree.compiler.dialects import arith

        weights = self._weights
        image, word, shift, *others, total = arguments
        bits = arith.constant(word.type, _WORD - weights.bits)
        code = (arith.shrui if weights.unsigned else arith.shrsi)(arith.shli(word, shift), bits)
        is_word = weights.zero is not None and str(others[0].type) == "i32"
        if is_word:
            code = arith.subi(code, others.pop(0))
        number = arith.sitofp(ir.F32Type.get(), code)
        if weights.zero is not None and not is_word:
            number = arith.subf(number, others.pop(0))
        if others:
            number = arith.mulf(number, others[0])
        return arith.addf(total, arith.mulf(image, number))

    def _scaled(self, total: Any, start: Any) -> Any:
        """Columns times their scales, plus what the product started from."""
        from iree.compiler import ir
        from iree.compiler.dialects import arith

        rank = ir.RankedTensorType(total.type).rank
        identity = ir.AffineMap.get_identity(rank)
        where = [loop for dim in self._output for loop in dim]
        scale = ir.AffineMap.get(
            rank, 0, [self._dim(where.index(self._by_dim[dim])) for dim in self._weights.scale_dims]
        )

        def body(arguments: Sequence[Any]) -> list[Any]:
            product = arith.mulf(arguments[0], arguments[1])
            return [product if len(arguments) == 3 else arith.addf(arguments[2], product)]

        inputs = [total, self._weights.scale] if _is_zero(start) else [total, self._weights.scale, start]
        maps = [*(identity, scale, identity)[: len(inputs)], identity]
        return generic([*inputs, _empty_like(start)], maps, ["parallel"] * rank, body)


def _empty_like(value: Any) -> Any:
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    kind = ir.RankedTensorType(value.type)
    sizes = [
        tensor.dim(value, arith.constant(ir.IndexType.get(), dim)) if kind.is_dynamic_dim(dim) else kind.shape[dim]
        for dim in range(kind.rank)
    ]
    return tensor.empty(sizes, kind.element_type)


def _zeros_like(value: Any) -> Any:
    from iree.compiler import ir
    from iree.compiler.dialects import arith, linalg

    return value if _is_zero(value) else linalg.fill(arith.constant(ir.F32Type.get(), 0.0), outs=[_empty_like(value)])


def _is_zero(value: Any) -> bool:
    """Whether a tensor is a fill with zero."""
    fill = value.owner
    if getattr(fill, "name", "") != "linalg.fill":
        return False
    number = fill.operands[0].owner
    return getattr(number, "name", "") == "arith.constant" and str(number.attributes["value"]).startswith("0.0")


def _indexing_maps(op: Any) -> Any:
    from iree.compiler.dialects import linalg

    return linalg.get_indexing_maps(op)
