"""Constant codes of quantised weights and zero points, made ready for packing.

Enters: constants of 8 or 4 bits, at phase `input`. Leaves: expressions of constants, which the compiler evaluates:
4-bit constants, two to a byte with the lower bits first, are taken apart by shifts, for the compiler's own evaluation
knows no such type.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from webree.errors import CompileError

__all__ = ["expanded", "extended", "generic", "is_unpackable", "loop_index", "unpacked", "widen_nibbles"]

_WORD = 32
_SHAPE = r"tensor<(?P<sizes>(?:\d+x)*)(?P<last>\d+)xi4>"
_RESOURCE = re.compile(rf"dense_resource<(?P<key>.*)> : {_SHAPE}", re.DOTALL)
_DENSE = re.compile(rf'dense<"0x(?P<digits>[0-9A-F]+)"> : {_SHAPE}')


def extended(zero: Any, unsigned: bool) -> Any:
    """Zero points as words (floats stay floats); evaluated at compile time."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    shaped = isinstance(zero.type, ir.ShapedType)
    element = zero.type.element_type if shaped else zero.type
    word = ir.IntegerType.get_signless(_WORD)
    if isinstance(element, ir.FloatType) or element == word:
        return zero
    kind = ir.RankedTensorType.get(zero.type.shape, word) if shaped else word
    if element.width < 8:
        codes = arith.extui(kind, unpacked(zero))
        if unsigned:
            return codes
        up = arith.constant(kind, ir.DenseElementsAttr.get_splat(kind, ir.IntegerAttr.get(word, _WORD - element.width)))
        return arith.shrsi(arith.shli(codes, up), up)
    if element.width > _WORD:
        return arith.trunci(kind, zero)
    return (arith.extui if unsigned else arith.extsi)(kind, zero)


def is_unpackable(value: Any) -> bool:
    """Whether a 4-bit constant is one that `unpacked` takes apart: stored bytes, an even number of columns."""
    match = _stored(value)
    return match is not None and int(match["last"]) % 2 == 0


def unpacked(value: Any) -> Any:
    """A 4-bit constant as one of bytes of the same shape, each 0 to 15."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    match = _stored(value)
    assert match is not None
    byte = ir.IntegerType.get_signless(8)
    sizes = [int(size) for size in match["sizes"].split("x") if size] + [int(match["last"]) // 2]
    kind = ir.RankedTensorType.get(sizes, byte)
    if "digits" in match.groupdict():
        data = ir.DenseElementsAttr.get(memoryview(bytes.fromhex(match["digits"])).cast("B", sizes), type=kind)
    else:
        data = ir.Attribute.parse(f"dense_resource<{match['key']}> : {kind}")
    stored = arith.constant(kind, data)
    rank = len(sizes)
    maps = [
        ir.AffineMap.get(rank + 1, 0, [ir.AffineExpr.get_dim(dim) for dim in range(rank)]),
        ir.AffineMap.get_identity(rank + 1),
    ]

    def body(arguments: Sequence[Any]) -> list[Any]:
        shift = arith.muli(loop_index(rank, byte), arith.constant(byte, 4))
        return [arith.andi(arith.shrui(arguments[0], shift), arith.constant(byte, 15))]

    pairs = generic([stored, tensor.empty([*sizes, 2], byte)], maps, ["parallel"] * (rank + 1), body)
    groups = [[dim] for dim in range(rank - 1)] + [[rank - 1, rank]]
    index = ir.IntegerType.get_signless(64)
    return ir.Operation.create(
        "tensor.collapse_shape",
        [ir.RankedTensorType.get([*sizes[:-1], 2 * sizes[-1]], byte)],
        [pairs],
        attributes={
            "reassociation": ir.ArrayAttr.get(
                [ir.ArrayAttr.get([ir.IntegerAttr.get(index, item) for item in group]) for group in groups]
            )
        },
    ).results[0]


def widen_nibbles(module: Any) -> int:
    """Make the remaining 4-bit constants of a module bytes, where conversions of numbers use them; returns how many.

    The importer stores two to a byte, where the compiler takes a byte for each: it would read past their end."""
    from iree.compiler import ir

    found = []

    def visit(op: Any) -> Any:
        if op.name == "arith.constant" and is_unpackable(op.results[0]):
            found.append(op)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for op in found:
        for use in list(op.results[0].uses):
            _widen(op, use.owner.operation, use.operand_number)
    return len(found)


def _widen(constant: Any, user: Any, number: int) -> None:
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    argument = user.regions[0].blocks[0].arguments[number] if user.name == "linalg.generic" else None
    names = set() if argument is None else {use.owner.operation.name for use in argument.uses}
    if len(names) != 1 or not names <= {"arith.sitofp", "arith.uitofp", "arith.extsi", "arith.extui"}:
        raise CompileError(
            f"a constant of 4 bits is used by {user.name}; supported are conversions to wider numbers",
            op=user.name,
            unsupported=True,
        )
    with user.context, user.location, ir.InsertionPoint(user):
        value = unpacked(constant.results[0])
        if names & {"arith.sitofp", "arith.extsi"}:
            byte = ir.IntegerType.get_signless(8)
            four = arith.constant(value.type, ir.DenseElementsAttr.get_splat(value.type, ir.IntegerAttr.get(byte, 4)))
            value = arith.shrsi(arith.shli(value, four), four)
    user.operands[number] = value
    assert argument is not None
    argument.set_type(ir.IntegerType.get_signless(8, user.context))


def _stored(value: Any) -> re.Match[str] | None:
    """The text of a 4-bit constant: bytes in hexadecimal digits, or the key of a resource."""
    owner = value.owner
    if getattr(owner, "name", "") != "arith.constant" or not str(value.type).endswith("i4>"):
        return None
    text = str(owner.attributes["value"])
    match = _DENSE.fullmatch(text)
    if match is None:
        return _RESOURCE.fullmatch(text)
    whole = math.prod(int(size) for size in [*match["sizes"].split("x")[:-1], match["last"]])
    return match if len(match["digits"]) == whole else None  # two to a byte


def loop_index(loop: int, kind: Any) -> Any:
    """The index of a loop of the operation whose body is being written, as an integer."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, linalg

    dim = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), loop)
    return arith.index_cast(kind, linalg.IndexOp(dim).result)


def generic(operands: Sequence[Any], maps: Sequence[Any], kinds: Sequence[str], body: Any) -> Any:
    """A `linalg.generic` whose last operand is its result's start."""
    from iree.compiler import ir

    iterators = ", ".join(f"#linalg.iterator_type<{kind}>" for kind in kinds)
    op = ir.Operation.create(
        "linalg.generic",
        [operands[-1].type],
        list(operands),
        attributes={
            "indexing_maps": ir.ArrayAttr.get([ir.AffineMapAttr.get(item) for item in maps]),
            "iterator_types": ir.Attribute.parse(f"[{iterators}]"),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([len(operands) - 1, 1]),
        },
        regions=1,
    )
    block = op.regions[0].blocks.append(
        *[value.type.element_type if isinstance(value.type, ir.ShapedType) else value.type for value in operands]
    )
    with ir.InsertionPoint(block):
        ir.Operation.create("linalg.yield", operands=body(list(block.arguments)))
    return op.results[0]


def expanded(value: Any, at: int, sizes: Sequence[int]) -> Any:
    """A tensor with one dimension in parts."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    kind = ir.RankedTensorType(value.type)
    groups: list[list[int]] = []
    shape: list[int] = []
    for dim in range(kind.rank):
        parts = list(sizes) if dim == at else [kind.shape[dim]]
        groups.append(list(range(len(shape), len(shape) + len(parts))))
        shape += parts
    unknown = [dim for dim in range(kind.rank) if kind.is_dynamic_dim(dim)]
    dynamic = [tensor.dim(value, arith.constant(ir.IndexType.get(), dim)) for dim in unknown]
    result = ir.RankedTensorType.get(shape, kind.element_type)
    index = ir.IntegerType.get_signless(64)
    return ir.Operation.create(
        "tensor.expand_shape",
        [result],
        [value, *dynamic],
        attributes={
            "reassociation": ir.ArrayAttr.get(
                [ir.ArrayAttr.get([ir.IntegerAttr.get(index, item) for item in group]) for group in groups]
            ),
            "static_output_shape": ir.DenseI64ArrayAttr.get(shape),
        },
    ).results[0]
