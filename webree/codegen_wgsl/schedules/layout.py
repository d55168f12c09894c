"""Channels-last: images are stored with the channel as innermost dimension from the first convolution to the last.

Enters: the module at phase `input`, where convolutions and poolings are named operations on images with channels
first. Leaves: the same module, in which each operation of `CHANNELS_LAST` is its channels-last twin. What lies
between two of them (padding, concatenation, elementwise operations, channel shuffles) is rewritten on demand, so that
transpositions are left only where an image enters or leaves; filters are transposed too, which the compiler does
once, at compile time. Channels-last is what vector loads want: neighbouring channels are neighbours in memory, and
every output channel of a convolution reads the same inputs. The compiler's own pass of this kind knows neither
depthwise convolutions nor poolings nor padding, and fails on some dynamic shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from webree.compiler.walking import walk

__all__ = ["CHANNELS_LAST", "LAYOUTS", "Twin", "to_channels_last"]

LAYOUTS: dict[int, tuple[int, ...]] = {3: (0, 2, 1), 4: (0, 2, 3, 1), 5: (0, 3, 4, 1, 2)}
"""By rank: where each dimension of a channels-last image comes from (rank 5: batch, group, channel, height, width)."""


@dataclass(frozen=True, slots=True)
class Twin:
    """An operation's channels-last form.

    Attributes:
        name: of the operation.
        filter: permutation of the filter (new dimension -> old); None where the second operand is a window's shape.
    """

    name: str
    filter: tuple[int, ...] | None = None


CHANNELS_LAST: dict[str, Twin] = {
    "linalg.conv_1d_ncw_fcw": Twin("linalg.conv_1d_nwc_wcf", (2, 1, 0)),
    "linalg.conv_2d_nchw_fchw": Twin("linalg.conv_2d_nhwc_hwcf", (2, 3, 1, 0)),
    "linalg.conv_2d_ngchw_gfchw": Twin("linalg.conv_2d_nhwgc_gfhwc", (0, 1, 3, 4, 2)),
    "linalg.depthwise_conv_1d_ncw_cw": Twin("linalg.depthwise_conv_1d_nwc_wc", (1, 0)),
    "linalg.depthwise_conv_2d_nchw_chw": Twin("linalg.depthwise_conv_2d_nhwc_hwc", (1, 2, 0)),
    "linalg.pooling_ncw_max": Twin("linalg.pooling_nwc_max"),
    "linalg.pooling_ncw_sum": Twin("linalg.pooling_nwc_sum"),
    "linalg.pooling_nchw_max": Twin("linalg.pooling_nhwc_max"),
    "linalg.pooling_nchw_sum": Twin("linalg.pooling_nhwc_sum"),
}


def to_channels_last(module: Any) -> int:
    """Rewrite every operation of `CHANNELS_LAST` in a module (an `ir.Module` or its operation); returns how many."""
    found = [op for op in walk(module.operation) if op.name in CHANNELS_LAST]
    rewriter = _Rewriter()
    for op in found:
        rewriter.replace(op, CHANNELS_LAST[op.name])
    for op in reversed(found):
        op.erase()
    return len(found)


class _Rewriter:
    """Channels-last versions of values, made once each."""

    def __init__(self) -> None:
        self._made: dict[Any, Any] = {}

    def replace(self, op: Any, twin: Twin) -> None:
        """Put the twin of an operation before it and let all users of the result read the twin's."""
        from iree.compiler import ir

        image, window, start = (self.last(op.operands[0]), op.operands[1], self.last(op.operands[2]))
        with op.location, ir.InsertionPoint(op):
            if twin.filter is not None:
                window = _transposed(window, twin.filter)
            new = ir.Operation.create(
                twin.name,
                results=[start.type],
                operands=[image, window, start],
                attributes={name: op.attributes[name] for name in ("strides", "dilations", "operandSegmentSizes")},
                regions=1,
            )
            _copy_body(op, new)
            layout = LAYOUTS[ir.RankedTensorType(start.type).rank]
            first = _transposed(new.results[0], _inverse(layout))
        op.results[0].replace_all_uses_with(first)
        self._made[first] = new.results[0]

    def last(self, value: Any) -> Any:
        """The channels-last version of an image."""
        from iree.compiler import ir

        if value not in self._made:
            owner = value.owner
            layout = LAYOUTS[ir.RankedTensorType(value.type).rank]
            if isinstance(owner, ir.Block):
                with ir.Location.unknown(value.context), ir.InsertionPoint.at_block_begin(owner):
                    self._made[value] = _transposed(value, layout)
            else:
                op = owner.operation
                with op.location, _after(op):
                    made = _THROUGH[op.name](self, op, layout) if op.name in _THROUGH else None
                    self._made[value] = _transposed(value, layout) if made is None else made
        return self._made[value]


def _after(op: Any) -> Any:
    from iree.compiler import ir

    following = list(op.block.operations)
    return ir.InsertionPoint(following[[item.operation for item in following].index(op) + 1])


def _pad(rewriter: _Rewriter, op: Any, layout: Sequence[int]) -> Any | None:
    """Pad the channels-last image, if all amounts are constants and the value comes from outside."""
    from iree.compiler import ir

    body = op.regions[0].blocks[0]
    filler = body.operations[len(body.operations) - 1].operands[0]
    if len(op.operands) != 1 or filler.owner == body or filler.owner.operation.block == body:
        return None
    source = rewriter.last(op.operands[0])
    amounts = {
        name: ir.DenseI64ArrayAttr.get(_permuted(list(ir.DenseI64ArrayAttr(op.attributes[name])), layout))
        for name in ("static_low", "static_high")
    }
    new = ir.Operation.create(
        op.name,
        results=[_permuted_type(op.results[0].type, layout)],
        operands=[source],
        attributes={**amounts, "operandSegmentSizes": op.attributes["operandSegmentSizes"]},
        regions=1,
    )
    block = new.regions[0].blocks.append(*[argument.type for argument in body.arguments])
    with ir.InsertionPoint(block):
        ir.Operation.create("tensor.yield", operands=[filler])
    return new.results[0]


def _concat(rewriter: _Rewriter, op: Any, layout: Sequence[int]) -> Any | None:
    from iree.compiler import ir

    dim = layout.index(ir.IntegerAttr(op.attributes["dim"]).value)
    sources = [rewriter.last(operand) for operand in op.operands]
    return ir.Operation.create(
        op.name,
        results=[_permuted_type(op.results[0].type, layout)],
        operands=sources,
        attributes={"dim": ir.IntegerAttr.get(ir.IntegerType.get_signless(64), dim)},
    ).results[0]


def _fill(rewriter: _Rewriter, op: Any, layout: Sequence[int]) -> Any | None:
    from iree.compiler.dialects import linalg

    return linalg.fill(op.operands[0], outs=[_empty(op.results[0], layout)])


def _broadcast(rewriter: _Rewriter, op: Any, layout: Sequence[int]) -> Any | None:
    """A vector of channels spread over the image."""
    from iree.compiler import ir
    from iree.compiler.dialects import linalg

    old = list(ir.DenseI64ArrayAttr(op.attributes["dimensions"]))
    if len(layout) - len(old) != 1:
        return None
    added = sorted(layout.index(dim) for dim in old)
    return linalg.broadcast(op.operands[0], outs=[_empty(op.results[0], layout)], dimensions=added).results[0]


def _elementwise(rewriter: _Rewriter, op: Any, layout: Sequence[int]) -> Any | None:
    """An elementwise operation: its loops are permuted, operands of the image's shape are taken channels-last."""
    from iree.compiler import ir

    rank = len(layout)
    kinds = [str(kind) for kind in ir.ArrayAttr(op.attributes["iterator_types"])]
    maps = [ir.AffineMapAttr(item).value for item in ir.ArrayAttr(op.attributes["indexing_maps"])]
    identity = ir.AffineMap.get_identity(rank)
    inside = op.regions[0].blocks[0].operations
    if (
        len(op.results) != 1
        or len(kinds) != rank
        or any("parallel" not in kind for kind in kinds)
        or maps[-1] != identity
        or any(item.operation.name == "linalg.index" or item.operation.regions for item in inside)
    ):
        return None
    loops = [ir.AffineExpr.get_dim(_inverse(layout)[loop]) for loop in range(rank)]
    operands, new_maps = [], []
    for operand, access in zip(op.operands, maps, strict=True):
        if access == identity:
            operands.append(_empty(operand, layout) if _is_empty(operand) else rewriter.last(operand))
            new_maps.append(identity)
        else:
            operands.append(operand)
            results = [_with_dims(result, loops) for result in access.results]
            new_maps.append(ir.AffineMap.get(rank, 0, results))
    new = ir.Operation.create(
        op.name,
        results=[_permuted_type(op.results[0].type, layout)],
        operands=operands,
        attributes={
            "indexing_maps": ir.ArrayAttr.get([ir.AffineMapAttr.get(item) for item in new_maps]),
            "iterator_types": op.attributes["iterator_types"],
            "operandSegmentSizes": op.attributes["operandSegmentSizes"],
        },
        regions=1,
    )
    _copy_body(op, new)
    return new.results[0]


def _transpose(rewriter: _Rewriter, op: Any, layout: Sequence[int]) -> Any | None:
    """A transposition, a channel shuffle for instance, done on the channels-last source."""
    from iree.compiler import ir

    order = list(ir.DenseI64ArrayAttr(op.attributes["permutation"]))
    permutation = [list(layout).index(order[dim]) for dim in layout]
    source = rewriter.last(op.operands[0])
    return source if permutation == sorted(permutation) else _transposed(source, permutation)


def _reshape(rewriter: _Rewriter, op: Any, layout: Sequence[int]) -> Any | None:
    """A split or a merge of channels, as grouped convolutions have them: it moves with its dimensions."""
    from iree.compiler import ir

    groups = [
        [ir.IntegerAttr(dim).value for dim in ir.ArrayAttr(group)]
        for group in ir.ArrayAttr(op.attributes["reassociation"])
    ]
    source, result = op.operands[0], op.results[0]
    types = [ir.RankedTensorType(value.type) for value in (source, result)]
    if any(not item.has_static_shape or item.rank not in LAYOUTS for item in types):
        return None
    splits = op.name == "tensor.expand_shape"
    outer = LAYOUTS[len(groups)]
    order = [dim for group in outer for dim in groups[group]]
    if order != list(LAYOUTS[len(order)]):
        return None
    new_groups, start = [], 0
    for group in outer:
        new_groups.append(list(range(start, start + len(groups[group]))))
        start += len(groups[group])
    index = ir.IntegerType.get_signless(64)
    attributes = {
        "reassociation": ir.ArrayAttr.get(
            [ir.ArrayAttr.get([ir.IntegerAttr.get(index, dim) for dim in group]) for group in new_groups]
        )
    }
    if splits:
        attributes["static_output_shape"] = ir.DenseI64ArrayAttr.get(_permuted(types[1].shape, layout))
    return ir.Operation.create(
        op.name,
        results=[_permuted_type(result.type, layout)],
        operands=[rewriter.last(source)],
        attributes=attributes,
    ).results[0]


_THROUGH: dict[str, Callable[[_Rewriter, Any, Sequence[int]], Any | None]] = {
    "tensor.pad": _pad,
    "tensor.concat": _concat,
    "tensor.expand_shape": _reshape,
    "tensor.collapse_shape": _reshape,
    "linalg.fill": _fill,
    "linalg.broadcast": _broadcast,
    "linalg.generic": _elementwise,
    "linalg.transpose": _transpose,
}
"""How the channels-last version of an operation's result is made; None where a case is left to a transposition."""


def _copy_body(source: Any, target: Any) -> None:
    """Give `target` a copy of the only block of `source`, a straight line of operations without regions."""
    from iree.compiler import ir

    old = source.regions[0].blocks[0]
    new = target.regions[0].blocks.append(*[argument.type for argument in old.arguments])
    values = dict(zip(old.arguments, new.arguments, strict=True))
    with ir.InsertionPoint(new):
        for inner in old.operations:
            copy = inner.operation.clone()
            for index, operand in enumerate(inner.operation.operands):
                copy.operands[index] = values.get(operand, operand)
            values.update(zip(inner.operation.results, copy.results, strict=True))


def _transposed(value: Any, permutation: Sequence[int]) -> Any:
    """`value` with its dimensions permuted (new dimension -> old)."""
    from iree.compiler.dialects import linalg

    return linalg.transpose(value, outs=[_empty(value, permutation)], permutation=list(permutation)).results[0]


def _empty(like: Any, permutation: Sequence[int]) -> Any:
    """An undefined tensor of the permuted shape of `like`."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    old = ir.RankedTensorType(like.type)
    sizes = [
        tensor.dim(like, arith.constant(ir.IndexType.get(), dim)) if old.is_dynamic_dim(dim) else old.shape[dim]
        for dim in permutation
    ]
    return tensor.empty(sizes, old.element_type)


def _is_empty(value: Any) -> bool:
    from iree.compiler import ir

    return not isinstance(value.owner, ir.Block) and value.owner.name == "tensor.empty"


def _with_dims(expression: Any, loops: Sequence[Any]) -> Any:
    """An affine expression with its dimensions replaced."""
    from iree.compiler import ir

    return expression.compose(ir.AffineMap.get(len(loops), 0, list(loops)))


def _permuted(items: Sequence[int], permutation: Sequence[int]) -> list[int]:
    return [items[dim] for dim in permutation]


def _permuted_type(old: Any, permutation: Sequence[int]) -> Any:
    from iree.compiler import ir

    tensor_type = ir.RankedTensorType(old)
    return ir.RankedTensorType.get(_permuted(tensor_type.shape, permutation), tensor_type.element_type)


def _inverse(permutation: Sequence[int]) -> tuple[int, ...]:
    return tuple(list(permutation).index(dim) for dim in range(len(permutation)))
