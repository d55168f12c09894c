"""What a schedule needs to know of a linalg operation: its loops and how its operands are read and written along
them.

Enters: a `linalg.generic` or a named linalg operation. Leaves: a `Nest`, plain data, on which tile sizes are chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["NAMED_LOOPS", "Access", "Nest", "indexing_maps", "linear", "nest_of"]

_P, _R = "parallel", "reduction"
NAMED_LOOPS: dict[str, tuple[str, ...]] = {
    "linalg.matmul": (_P, _P, _R),
    "linalg.batch_matmul": (_P, _P, _P, _R),
    "linalg.matvec": (_P, _R),
    "linalg.vecmat": (_P, _R),
    "linalg.batch_matvec": (_P, _P, _R),
    "linalg.batch_vecmat": (_P, _P, _R),
    "linalg.conv_1d_nwc_wcf": (_P, _P, _P, _R, _R),
    "linalg.depthwise_conv_1d_nwc_wc": (_P, _P, _P, _R),
    "linalg.pooling_nwc_max": (_P, _P, _P, _R),
    "linalg.pooling_nwc_sum": (_P, _P, _P, _R),
    "linalg.transpose": (),
}
"""Named operations that can be scheduled, with their loops' kinds (`transpose`: parallel ones, one per dimension)."""


@dataclass(frozen=True, slots=True)
class Access:
    """How one operand is indexed.

    Attributes:
        dims: per dimension of the operand, the loops of its index with their factors (`2 * d0 + d3` is `((0, 2), (3,
            1))`); None where the index is not linear.
        bits: width of an element; 0 for elements that are no integers or floats.
    """

    dims: tuple[tuple[tuple[int, int], ...] | None, ...]
    bits: int

    @property
    def projected(self) -> bool:
        """Every dimension is indexed by one loop alone, no loop twice."""
        loops = [dim[0][0] for dim in self.dims if dim is not None and len(dim) == 1 and dim[0][1] == 1]
        return len(loops) == len(self.dims) == len(set(loops))

    @property
    def loops(self) -> frozenset[int]:
        """The loops that the operand's elements depend on."""
        return frozenset(loop for dim in self.dims if dim is not None for loop, _ in dim)

    @property
    def innermost(self) -> int | None:
        """The loop along which neighbours in memory are read, if it is one loop alone."""
        last = self.dims[-1] if self.dims else None
        return last[0][0] if last is not None and len(last) == 1 and last[0][1] == 1 else None


@dataclass(frozen=True, slots=True)
class Nest:
    """A loop nest.

    Attributes:
        ranges: iterations of each loop; None where only the run knows.
        reductions: which loops accumulate.
        inputs: accesses of the operands that are read.
        outputs: accesses of the results.
        straight: the body computes on its operands alone (no loop indices, no memory accesses of its own).
        single: loops that a step takes one iteration of: those whose index the body reads; all of them if it reads
            memory of its own. Vectors of indices have no lowering everywhere, and end the compiler's process.
    """

    ranges: tuple[int | None, ...]
    reductions: tuple[bool, ...]
    inputs: tuple[Access, ...]
    outputs: tuple[Access, ...]
    straight: bool
    single: frozenset[int] = frozenset()

    @property
    def parallel(self) -> tuple[int, ...]:
        """The loops that do not accumulate, in order."""
        return tuple(loop for loop, reduces in enumerate(self.reductions) if not reduces)

    @property
    def accesses(self) -> tuple[Access, ...]:
        """Of all operands, results last."""
        return (*self.inputs, *self.outputs)

    @property
    def projected(self) -> bool:
        """Every operand is indexed by single loops."""
        return all(access.projected for access in self.accesses)


def nest_of(op: Any) -> Nest:
    """The loop nest of a linalg operation (a generic one, or a named one with indexing maps)."""
    from iree.compiler import ir

    maps = indexing_maps(op)
    if op.name == "linalg.generic":
        kinds = [str(kind) for kind in ir.ArrayAttr(op.attributes["iterator_types"])]
    else:
        kinds = list(NAMED_LOOPS[op.name]) or [_P] * maps[0].n_dims
    types = [operand.type for operand in op.operands]
    accesses = [
        Access(tuple(linear(result) for result in access.results), _element_bits(operand_type))
        for access, operand_type in zip(maps, types, strict=True)
    ]
    ranges: list[int | None] = [None] * len(kinds)
    for access, operand_type in zip(accesses, types, strict=True):
        for dim, index in enumerate(access.dims):
            if index is not None and len(index) == 1 and index[0][1] == 1:
                if not operand_type.is_dynamic_dim(dim):
                    ranges[index[0][0]] = operand_type.get_dim_size(dim)
    input_count = len(types) - len(op.results)
    body = [item.operation for item in op.regions[0].blocks[0].operations]
    computes = [item.name.split(".")[0] in ("arith", "math") or item.name == "linalg.yield" for item in body]
    indexed = {ir.IntegerAttr(item.attributes["dim"]).value for item in body if item.name == "linalg.index"}
    plain = sum(computes) + sum(item.name == "linalg.index" for item in body) == len(body)
    return Nest(
        ranges=tuple(ranges),
        reductions=tuple("reduction" in kind for kind in kinds),
        inputs=tuple(accesses[:input_count]),
        outputs=tuple(accesses[input_count:]),
        straight=all(computes),
        single=frozenset(indexed if plain else range(len(kinds))),
    )


def indexing_maps(op: Any) -> list[Any]:
    """The affine maps of a linalg operation's operands."""
    from iree.compiler import ir
    from iree.compiler.dialects import linalg

    return [ir.AffineMapAttr(item).value for item in linalg.get_indexing_maps(op)]


def linear(expression: Any) -> tuple[tuple[int, int], ...] | None:
    """An affine expression as loops with factors, in the order of the loops; None if it is anything else."""
    from iree.compiler import ir

    if isinstance(expression, ir.AffineDimExpr):
        return ((expression.position, 1),)
    if isinstance(expression, ir.AffineMulExpr):
        if isinstance(expression.lhs, ir.AffineDimExpr) and isinstance(expression.rhs, ir.AffineConstantExpr):
            return ((expression.lhs.position, expression.rhs.value),)
    elif isinstance(expression, ir.AffineAddExpr):
        left, right = linear(expression.lhs), linear(expression.rhs)
        return None if left is None or right is None else tuple(sorted(left + right))
    return None


def _element_bits(operand_type: Any) -> int:
    from iree.compiler import ir

    element = operand_type.element_type if isinstance(operand_type, ir.RankedTensorType) else operand_type
    return int(element.width) if isinstance(element, ir.IntegerType | ir.FloatType) else 0
