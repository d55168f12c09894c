"""What a dequantised weight looks like in a module, and which operations are products.

Enters: values and operations after `input`. Leaves: a `Quantized`, if a value is a constant of narrow integers made
floats: by `iree_linalg_ext.dequantize_affine`, or, for scales of blocks, by a conversion, a subtraction of zero points
and a multiplication by scales that are repeated along the block. Transpositions
and repetitions on the way (a weight for each matrix of a batch) are looked through.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

from webree.compiler.weights_codes import is_unpackable

__all__ = ["Quantized", "find_quantized", "is_product", "reads"]

_DEQUANTIZE = "iree_linalg_ext.dequantize_affine"
_NIBBLE = 4
_BITS = (_NIBBLE, 8)


@dataclass(frozen=True, slots=True)
class Quantized:
    """Constant narrow integers, and how they become numbers: `(value - zero) * scale`.

    Attributes:
        value: the constant.
        shape: its sizes.
        bits: of an element.
        unsigned: whether elements count from zero.
        scale: a tensor or number of f32; `zero`: one of integers of the same shape, or None.
        scale_dims: dimensions of the constant that the scale's are, in order.
        block: a dimension of the constant and how many neighbours along it share a scale; or None.
        permutation: dimensions of the constant in the order of the floats' dimensions; None for one that repeats it.
    """

    value: Any
    shape: tuple[int, ...]
    bits: int
    unsigned: bool
    scale: Any
    zero: Any | None
    scale_dims: tuple[int, ...]
    block: tuple[int, int] | None
    permutation: tuple[int | None, ...]

    @property
    def element_count(self) -> int:
        """Of the constant."""
        return prod(self.shape)


def is_product(op: Any) -> bool:
    """Whether an operation adds up products of f32 elements of its two inputs."""
    if not op.name.startswith("linalg.") or len(op.operands) != 3 or len(op.results) != 1:
        return False
    body = [inner.operation for inner in op.regions[0].blocks[0]]
    if [item.name for item in body] != ["arith.mulf", "arith.addf", "linalg.yield"]:
        return False
    left, right, total = op.regions[0].blocks[0].arguments
    factors = list(body[0].operands)
    return (
        all(str(argument.type) == "f32" for argument in (left, right, total))
        and left in factors
        and right in factors
        and total in list(body[1].operands)
    )


def reads(op: Any) -> list[list[tuple[int, ...]]] | None:
    """The loops of each dimension of each operand; None if the output's are not one loop each."""
    from iree.compiler import ir
    from iree.compiler.dialects import linalg

    maps = [ir.AffineMapAttr(item).value for item in linalg.get_indexing_maps(op)]
    found = [[_loops(expression) for expression in item.results] for item in maps]
    plain = all(isinstance(expression, ir.AffineDimExpr) for expression in maps[2].results)
    return found if plain and maps[2].results else None


def _loops(expression: Any) -> tuple[int, ...]:
    from iree.compiler import ir

    if isinstance(expression, ir.AffineDimExpr):
        return (expression.position,)
    if isinstance(expression, ir.AffineConstantExpr):
        return ()
    return _loops(expression.lhs) + _loops(expression.rhs)


def find_quantized(value: Any) -> Quantized | None:
    """How a value comes from quantised constants, or None."""
    op = _owner(value)
    if op is None:
        return None
    if op.name == "linalg.transpose":
        from iree.compiler import ir

        inner = find_quantized(op.operands[0])
        if inner is None:
            return None
        order = list(ir.DenseI64ArrayAttr(op.attributes["permutation"]))
        return replace(inner, permutation=tuple(inner.permutation[dim] for dim in order))
    if op.name == _DEQUANTIZE:
        return _affine(op)
    return _spread(op) or _blocked(op)


def _spread(op: Any) -> Quantized | None:
    """Through an operation that copies its input along new dimensions."""
    from iree.compiler import ir
    from iree.compiler.dialects import linalg

    if op.name != "linalg.generic" or len(op.operands) != 2 or len(list(op.regions[0].blocks[0])) != 1:
        return None
    maps = [ir.AffineMapAttr(item).value for item in linalg.get_indexing_maps(op)]
    if maps[1] != ir.AffineMap.get_identity(maps[1].n_dims, maps[1].context):
        return None
    if not all(isinstance(item, ir.AffineDimExpr) for item in maps[0].results):
        return None
    inner = find_quantized(op.operands[0])
    if inner is None:
        return None
    where = {item.position: dim for dim, item in enumerate(maps[0].results)}
    order = [inner.permutation[where[dim]] if dim in where else None for dim in range(maps[1].n_dims)]
    return replace(inner, permutation=tuple(order))


def _affine(op: Any) -> Quantized | None:
    from iree.compiler import ir

    maps = [ir.AffineMapAttr(item).value for item in op.attributes["indexing_maps"]]
    weights, scale, *zero, _ = op.operands
    dims = [item.results for item in maps]
    if any(not isinstance(item, ir.AffineDimExpr) for access in dims for item in access):
        return None
    positions = [tuple(item.position for item in access) for access in dims]
    rank = len(positions[0])
    if positions[0] != tuple(range(rank)) or positions[-1] != positions[0]:
        return None
    if zero and positions[2] != positions[1]:
        return None
    return _quantized(weights, scale, zero[0] if zero else None, "input_unsigned" in op.attributes, positions[1], None)


def _blocked(op: Any) -> Quantized | None:
    """A product of converted constants and of scales, repeated along blocks of one dimension."""
    if not _is_elementwise(op, "arith.mulf"):
        return _columns(op)
    for codes, scales in ((op.operands[0], op.operands[1]), (op.operands[1], op.operands[0])):
        repeated = _repeated(scales)
        converted = _owner(codes)
        if repeated is None or converted is None:
            continue
        zero = None
        if _is_elementwise(converted, "arith.subf"):
            zeros = _repeated(converted.operands[1])
            converted = _owner(converted.operands[0])
            if zeros is None or converted is None or zeros[1:] != repeated[1:]:
                continue
            zero = (_unconverted(_owner(zeros[0])) or zeros)[0]
        constant = _unconverted(converted)
        if constant is None:
            continue
        source, unsigned = constant
        scale, dim, size = repeated
        dims = tuple(range(len(source.type.shape)))
        return _quantized(source, scale, zero, unsigned, dims, (dim, size))
    return None


def _columns(op: Any) -> Quantized | None:
    """A product of converted constants and of scales that are read along some dimensions, the others being 1."""
    factors = _broadcast(op, "arith.mulf")
    if factors is None:
        return None
    codes, scale, read = factors
    converted, zero = _owner(codes), None
    differences = None if converted is None else _broadcast(converted, "arith.subf")
    if differences is not None:
        if differences[2] != read or str(differences[1].type) != str(scale.type):
            return None
        converted, zero = _owner(differences[0]), differences[1]
    constant = None if converted is None else _unconverted(converted)
    if constant is None:
        return None
    dims = tuple(dim for dim in read if dim is not None)
    found = _quantized(constant[0], scale, zero, constant[1], dims, None)
    if found is None or len(dims) == len(read):
        return found
    if len(dims) != 1:  # more than one, with ones between them: not seen in models
        return None
    with op.context, op.location, _before(op):
        return replace(found, scale=_flat(scale), zero=None if zero is None else _flat(zero))


def _broadcast(op: Any, name: str) -> tuple[Any, Any, list[int | None]] | None:
    """Operands of an operation on elements whose second operand is repeated along dimensions, and where it is read."""
    from iree.compiler import ir
    from iree.compiler.dialects import linalg

    if op.name != "linalg.generic" or len(op.operands) != 3:
        return None
    body = [inner.operation for inner in op.regions[0].blocks[0]]
    if [item.name for item in body] != [name, "linalg.yield"]:
        return None
    if list(body[0].operands) != list(op.regions[0].blocks[0].arguments)[:2]:
        return None
    maps = [ir.AffineMapAttr(item).value for item in linalg.get_indexing_maps(op)]
    identity = ir.AffineMap.get_identity(maps[0].n_dims, maps[0].context)
    if maps[0] != identity or maps[2] != identity:
        return None
    return op.operands[0], op.operands[1], [getattr(item, "position", None) for item in maps[1].results]


def _before(op: Any) -> Any:
    """Before an operation."""
    from iree.compiler import ir

    return ir.InsertionPoint(op)


def _flat(value: Any) -> Any:
    """A tensor with one dimension that is not 1, as one of that dimension alone."""
    from iree.compiler import ir
    from iree.compiler.dialects import tensor

    kind = ir.RankedTensorType(value.type)
    flat = ir.RankedTensorType.get([prod(kind.shape)], kind.element_type)
    return tensor.collapse_shape(flat, value, [list(range(kind.rank))])


def _quantized(
    weights: Any, scale: Any, zero: Any, unsigned: bool, dims: tuple[int, ...], block: tuple[int, int] | None
) -> Quantized | None:
    from iree.compiler import ir

    kind = ir.RankedTensorType(weights.type)
    element = kind.element_type
    if not isinstance(element, ir.IntegerType) or element.width not in _BITS or not kind.has_static_shape:
        return None
    if str(scale.type.element_type if isinstance(scale.type, ir.ShapedType) else scale.type) != "f32":
        return None
    if not all(_is_constant(item) for item in (weights, scale, *([] if zero is None else [zero]))):
        return None
    if element.width == _NIBBLE and not is_unpackable(weights):
        return None
    if zero is not None and _width(zero) < 8 and not is_unpackable(zero):
        return None
    shape = tuple(kind.shape)
    return Quantized(weights, shape, element.width, unsigned, scale, zero, dims, block, tuple(range(len(shape))))


def _width(value: Any) -> int:
    from iree.compiler import ir

    return int((value.type.element_type if isinstance(value.type, ir.ShapedType) else value.type).width)


def _repeated(value: Any) -> tuple[Any, int, int] | None:
    """What a value repeats, the dimension and how often: a broadcast along a new dimension, collapsed into the one
    before it."""
    from iree.compiler import ir
    from iree.compiler.dialects import linalg

    collapse = _owner(value)
    if collapse is None or collapse.name != "tensor.collapse_shape":
        return None
    groups = [[int(item) for item in group] for group in collapse.attributes["reassociation"]]
    broadcast = _owner(collapse.operands[0])
    if broadcast is None or broadcast.name != "linalg.generic" or len(broadcast.operands) != 2:
        return None
    if len(list(broadcast.regions[0].blocks[0])) != 1:
        return None
    pairs = [number for number, group in enumerate(groups) if len(group) == 2]
    if len(pairs) != 1 or any(len(group) > 2 for group in groups):
        return None
    maps = [ir.AffineMapAttr(item).value for item in linalg.get_indexing_maps(broadcast)]
    rank = len(maps[1].results)
    new = groups[pairs[0]][1]
    wanted = [dim for dim in range(rank) if dim != new]
    read = [getattr(item, "position", -1) for item in maps[0].results]
    if read != wanted or maps[1] != ir.AffineMap.get_identity(rank, maps[1].context):
        return None
    return broadcast.operands[0], pairs[0], int(ir.RankedTensorType(broadcast.results[0].type).shape[new])


def _unconverted(op: Any) -> tuple[Any, bool] | None:
    """The integers that an operation makes floats of, and whether they count from zero."""
    for name, unsigned in (("arith.sitofp", False), ("arith.uitofp", True)):
        if op is not None and _is_elementwise(op, name):
            return op.operands[0], unsigned
    return None


def _is_elementwise(op: Any, name: str) -> bool:
    """A `linalg.generic` of one operation on the elements at the same place."""
    from iree.compiler import ir
    from iree.compiler.dialects import linalg

    if op.name != "linalg.generic":
        return False
    body = [inner.operation for inner in op.regions[0].blocks[0]]
    maps = [ir.AffineMapAttr(item).value for item in linalg.get_indexing_maps(op)]
    arguments = list(op.regions[0].blocks[0].arguments)[:-1]
    return (
        [item.name for item in body] == [name, "linalg.yield"]
        and list(body[0].operands) == arguments
        and all(item == ir.AffineMap.get_identity(item.n_dims, item.context) for item in maps)
    )


def _is_constant(value: Any) -> bool:
    op = _owner(value)
    if op is None:
        return False
    return op.name == "arith.constant" or (op.name == "util.global.load" and "is_immutable" in op.attributes)


def _owner(value: Any) -> Any | None:
    from iree.compiler import ir

    return (
        None
        if isinstance(value.owner, ir.Block)
        else value.owner.operation
        if hasattr(value.owner, "operation")
        else value.owner
    )
