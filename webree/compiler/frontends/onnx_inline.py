"""Parts of an imported ONNX model that are not the importer's: loops and choices of run time, and programs of ours.

Enters: the module with `torch.operator` operations. Leaves: the same module, where

* `Program` nodes, which rules make for what no ONNX operator says, are replaced by the body of the MLIR function that
  they carry (over builtin tensors: linalg, tensor, arith, math, scf);
* `Loop` and `If` nodes that were not written out at import are `scf.while` and `scf.if`.

The importer's own conversion of loops and choices takes few forms of them. Values go between torch's tensors and
builtin ones by casts that the input conversion removes. ONNX: https://onnx.ai/onnx/operators/onnx__Loop.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from webree.compiler.extents import assert_equal
from webree.compiler.session import location_names
from webree.errors import CompileError

__all__ = ["DOMAIN", "PROGRAM", "check_sizes", "lower_inline"]

DOMAIN = "webree.inline"
"""Domain of the nodes that carry a program."""
PROGRAM = "Program"

_NAME = "name"
_TEXT = "torch.onnx.program"


def lower_inline(module: Any) -> None:
    """Lower all of them, inner ones first."""
    from iree.compiler import ir

    with module.context, ir.Location.unknown():
        for op in list(_operators(module)):
            match str(ir.StringAttr(op.attributes[_NAME]).value):
                case "onnx.Program":
                    _lower_program(op)
                case "onnx.Loop":
                    _lower_loop(op)
                case "onnx.If":
                    _lower_if(op)


def _operators(op: Any) -> Iterator[Any]:
    """`torch.operator` operations, those inside of others first."""
    for region in op.regions:
        for block in region:
            for inner in block:
                yield from _operators(inner.operation)
                if inner.operation.name == "torch.operator":
                    yield inner.operation


def check_sizes(block: Any, groups: Mapping[str, Sequence[tuple[int, str, int]]]) -> None:
    """Assert at the start of a function that what the model calls by one name is one size.

    groups: for each name of a dimension, where it stands: the argument's position, its name, the axis."""
    from iree.compiler import ir
    from iree.compiler.dialects import tensor

    with block.owner.context, ir.Location.unknown(), ir.InsertionPoint.at_block_begin(block):
        for dim, places in groups.items():
            sizes = [tensor.dim(to_builtin(block.arguments[number]), _number(axis)) for number, _, axis in places]
            _, first_name, first_axis = places[0]
            for size, (_, name, axis) in zip(sizes[1:], places[1:], strict=True):
                assert_equal(
                    sizes[0],
                    size,
                    f"dimension {axis} of input {name!r} and dimension {first_axis} of input {first_name!r} "
                    f"are both {dim!r} in the model, so they must be equal",
                )


# --- Types ------------------------------------------------------------------------------------------------------------


def builtin_type(kind: Any) -> Any:
    """`tensor<2x?xi64>` for `!torch.vtensor<[2,?],si64>`."""
    from iree.compiler import ir

    text = str(kind).removeprefix("!torch.vtensor<").removesuffix(">")
    sizes, _, element = text.rpartition("],")
    shape = "".join(f"{size}x" for size in sizes.removeprefix("[").split(",") if size)
    return ir.Type.parse(f"tensor<{shape}{_signless(element)}>")


def _signless(element: str) -> str:
    return element.removeprefix("s").removeprefix("u") if element[:2] in ("si", "ui") else element


def to_builtin(value: Any, kind: Any = None) -> Any:
    """A torch tensor as a builtin one, of type `kind` if its sizes are to be forgotten."""
    own = builtin_type(value.type)
    cast = _make("torch_c.to_builtin_tensor", [own], [value])
    return cast if kind is None or kind == own else _make("tensor.cast", [kind], [cast])


def to_torch(value: Any, kind: Any) -> Any:
    """A builtin tensor as the torch tensor `kind`."""
    own = builtin_type(kind)
    cast = value if value.type == own else _make("tensor.cast", [own], [value])
    return _make("torch_c.from_builtin_tensor", [kind], [cast])


def _make(name: str, results: Sequence[Any], operands: Sequence[Any], **attributes: Any) -> Any:
    """An operation; its only result, or all of them."""
    from iree.compiler import ir

    op = ir.Operation.create(name, results=list(results), operands=list(operands), attributes=attributes)
    return op.results[0] if len(results) == 1 else list(op.results)


def _number(value: int) -> Any:
    from iree.compiler import ir

    kind = ir.IndexType.get()
    return _make("arith.constant", [kind], [], value=ir.IntegerAttr.get(kind, value))


def _scalar(tensor: Any) -> Any:
    """The one element of a builtin tensor of one element."""
    kind = tensor.type
    return _make("tensor.extract", [kind.element_type], [tensor, *[_number(0)] * len(kind.shape)])


# --- Programs ---------------------------------------------------------------------------------------------------------


def _lower_program(op: Any) -> None:
    """Move the operations of the program's function here."""
    from iree.compiler import ir

    program = ir.Module.parse(str(ir.StringAttr(op.attributes[_TEXT]).value))
    function = next(iter(program.body)).operation
    block = function.regions[0].blocks[0]
    with ir.InsertionPoint(op), op.location:
        for argument, value in zip(block.arguments, op.operands, strict=True):
            argument.replace_all_uses_with(to_builtin(value, argument.type))
        moved = [inner.operation for inner in block]
        for inner in moved[:-1]:
            inner.move_before(op)
        for old, value in zip(op.results, list(moved[-1].operands), strict=True):
            old.replace_all_uses_with(to_torch(value, old.type))
    moved[-1].erase()
    op.erase()


# --- Choices ----------------------------------------------------------------------------------------------------------


def _lower_if(op: Any) -> None:
    """`scf.if` with the sizes that both branches agree on."""
    from iree.compiler import ir

    # The importer keeps a node's subgraphs in the order of their attributes' names: else, then.
    otherwise, then = op.regions[0].blocks[0], op.regions[1].blocks[0]
    _require_one_rank(op, then, otherwise)
    kinds = [
        _common(result.type, *(_terminator(block).operands[index].type for block in (then, otherwise)))
        for index, result in enumerate(op.results)
    ]
    with ir.InsertionPoint(op), op.location:
        condition = _scalar(to_builtin(op.operands[0]))
        choice = ir.Operation.create("scf.if", results=kinds, operands=[condition], regions=2)
    for region, block in zip(choice.regions, (then, otherwise), strict=True):
        body = region.blocks.append()
        _move_body(block, body)
        last = _terminator(block)
        with ir.InsertionPoint(body), op.location:
            values = [to_builtin(value, kind) for value, kind in zip(last.operands, kinds, strict=True)]
            ir.Operation.create("scf.yield", operands=values)
    _replace(op, list(choice.results), op)


def _require_one_rank(op: Any, then: Any, otherwise: Any) -> None:
    pairs = zip(_terminator(then).operands, _terminator(otherwise).operands, strict=True)
    for one, other in [(builtin_type(left.type), builtin_type(right.type)) for left, right in pairs]:
        if one.rank != other.rank:
            names = location_names(str(op.location))
            raise CompileError(
                f"node {names[0] if names else ''!r} (If): its branches give tensors of {one.rank} and of {other.rank} "
                f"dimensions, and which of them runs depends on sizes or values that are not known at compile time. "
                f"Bind the model's open dimensions (dims={{name: size}}, --dim NAME=SIZE)",
                op="onnx.If",
                location=names[0] if names else None,
                unsupported=True,
            )


def _common(*kinds: Any) -> Any:
    """The builtin type of values of several torch types: sizes that differ are left open."""
    from iree.compiler import ir

    tensors = [builtin_type(kind) for kind in kinds]
    dynamic = ir.ShapedType.get_dynamic_size()
    sizes = zip(*(tensor.shape for tensor in tensors), strict=True)
    shape = [group[0] if len(set(group)) == 1 else dynamic for group in sizes]
    return ir.RankedTensorType.get(shape, tensors[0].element_type)


def _terminator(block: Any) -> Any:
    return list(block)[-1].operation


def _move_body(block: Any, body: Any) -> None:
    """All operations of `block` but its last to the end of `body`."""
    from iree.compiler import ir

    with ir.InsertionPoint(body), ir.Location.unknown():
        anchor = ir.Operation.create("torch.constant.none", results=[ir.Type.parse("!torch.none")])
    for inner in [item.operation for item in block][:-1]:
        inner.move_before(anchor)
    anchor.erase()


def _replace(op: Any, values: Sequence[Any], before: Any) -> None:
    from iree.compiler import ir

    with ir.InsertionPoint(before), op.location:
        for old, value in zip(op.results, values, strict=True):
            old.replace_all_uses_with(to_torch(value, old.type))
    op.erase()


# --- Loops ------------------------------------------------------------------------------------------------------------


def _lower_loop(op: Any) -> None:
    """`scf.while` over the count of rounds, the condition, what is carried, and what is collected so far."""
    from iree.compiler import ir

    block = op.regions[0].blocks[0]
    last = _terminator(block)
    count = len(op.operands) - 2
    index = ir.IndexType.get()
    carried = [
        _common(op.operands[2 + i].type, block.arguments[2 + i].type, last.operands[1 + i].type, op.results[i].type)
        for i in range(count)
    ]
    collected = [
        _collection(value.type, op.results[count + i].type) for i, value in enumerate(list(last.operands)[1 + count :])
    ]
    kinds = [index, ir.IntegerType.get_signless(1), *carried, *collected]
    with ir.InsertionPoint(op), op.location:
        limit = _limit(op.operands[0])
        first = [_number(0), _condition(op.operands[1])]
        first += [to_builtin(value, kind) for value, kind in zip(list(op.operands)[2:], carried, strict=True)]
        first += [_empty(kind) for kind in collected]
        loop = ir.Operation.create("scf.while", results=kinds, operands=first, regions=2)
    head = loop.regions[0].blocks.append(*kinds, arg_locs=[op.location] * len(kinds))
    with ir.InsertionPoint(head), op.location:
        below = _compare("slt", head.arguments[0], limit)
        goes_on = _make("arith.andi", [kinds[1]], [below, head.arguments[1]])
        ir.Operation.create("scf.condition", operands=[goes_on, *head.arguments])
    body = loop.regions[1].blocks.append(*kinds, arg_locs=[op.location] * len(kinds))
    with ir.InsertionPoint(body), op.location:
        _give(block, list(body.arguments)[: 2 + count])
        next_round = _make("arith.addi", [index], [body.arguments[0], _number(1)])
    _move_body(block, body)
    with ir.InsertionPoint(body), op.location:
        values = [next_round, _condition(last.operands[0])]
        rest = list(last.operands)[1:]
        values += [to_builtin(value, kind) for value, kind in zip(rest, carried, strict=False)]
        for value, so_far in zip(rest[count:], list(body.arguments)[2 + count :], strict=True):
            row = ir.RankedTensorType.get(so_far.type.shape[1:], so_far.type.element_type)
            values.append(_appended(so_far, to_builtin(value, row)))
        ir.Operation.create("scf.yield", operands=values)
    _replace(op, list(loop.results)[2:], op)


def _limit(value: Any) -> Any:
    """The largest number of rounds, as an index."""
    from iree.compiler import ir

    if str(value.type) == "!torch.none":
        return _number(2**31 - 1)
    return _make("arith.index_cast", [ir.IndexType.get()], [_scalar(to_builtin(value))])


def _condition(value: Any) -> Any:
    from iree.compiler import ir

    kind = ir.IntegerType.get_signless(1)
    if str(value.type) == "!torch.none":
        return _make("arith.constant", [kind], [], value=ir.IntegerAttr.get(kind, 1))
    return _scalar(to_builtin(value))


def _compare(predicate: str, left: Any, right: Any) -> Any:
    from iree.compiler.dialects import arith

    return arith.cmpi(getattr(arith.CmpIPredicate, predicate), left, right)


def _give(block: Any, arguments: Sequence[Any]) -> None:
    """The loop's arguments in place of the block's: round, condition, carried values."""
    from iree.compiler import ir

    wide = ir.IntegerType.get_signless(64)
    number = _make("arith.index_cast", [wide], [arguments[0]])
    for position, (old, value) in enumerate(zip(block.arguments, arguments, strict=True)):
        if position < 2:
            given = number if position == 0 else value
            kind = builtin_type(old.type)
            value = _make("tensor.from_elements", [kind], [given])
        old.replace_all_uses_with(to_torch(value, old.type))


def _collection(kind: Any, whole: Any) -> Any:
    """The type of what is collected of values of type `kind`; where the body has no shapes, the result's count."""
    from iree.compiler import ir

    row, result = builtin_type(kind), builtin_type(whole)
    sizes = row.shape if len(row.shape) + 1 == len(result.shape) else result.shape[1:]
    return ir.RankedTensorType.get([ir.ShapedType.get_dynamic_size(), *sizes], row.element_type)


def _empty(kind: Any) -> Any:
    """A collection of nothing; sizes of elements that are not known yet are taken as 0."""
    from iree.compiler import ir

    open_sizes = [size for size in kind.shape if size == ir.ShapedType.get_dynamic_size()]
    return _make("tensor.empty", [kind], [_number(0)] * len(open_sizes))


def _appended(so_far: Any, value: Any) -> Any:
    """One more row: into a tensor of one row more."""
    from iree.compiler import ir
    from iree.compiler.dialects import tensor

    kind = so_far.type
    dynamic = ir.ShapedType.get_dynamic_size()
    groups = [[0, 1], *[[axis] for axis in range(2, len(kind.shape))]] if len(kind.shape) > 1 else []
    sizes = [tensor.dim(value, _number(axis)) for axis, size in enumerate(value.type.shape) if size == dynamic]
    row_kind = ir.RankedTensorType.get([1, *value.type.shape], kind.element_type)
    static = ir.DenseI64ArrayAttr.get(list(row_kind.shape))
    reassociation = ir.ArrayAttr.get(
        [ir.ArrayAttr.get([ir.IntegerAttr.get(ir.IntegerType.get_signless(64), n) for n in group]) for group in groups]
    )
    row = _make(
        "tensor.expand_shape", [row_kind], [value, *sizes], reassociation=reassociation, static_output_shape=static
    )
    dim = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), 0)
    return _make("tensor.concat", [kind], [so_far, row], dim=dim)
