"""What sums of halves are accumulated in: 32 bits, or by choice 16.

Enters: the module after `input` and the narrower types. Leaves: the same module. By default every linalg reduction with
an f16 result becomes an f32 one, rounded to f16 once at the end: a sum kept in 16 bits loses a digit each time its
terms double. By choice reductions of f16 with an f16 result stay as they are, and those for which the front end wrote
an f32 accumulator that is rounded to f16 at once get an f16 one. A result that the model wants in f32 stays f32.
"""

from __future__ import annotations

from typing import Any, Literal

from webree.compiler.walking import walk
from webree.errors import UsageError

__all__ = ["Accumulator", "check_accumulator", "is_sum_of_halves", "set_accumulators"]

Accumulator = Literal["f32", "f16"]
"""The type that sums of halves are accumulated in."""
_NAMES: tuple[Accumulator, ...] = ("f32", "f16")

# Named operations whose body adds up products or elements; the compiler writes the casts of mixed types itself.
_SUMS = ("matmul", "matvec", "vecmat", "mmt4d", "dot", "conv_", "pooling_", "contract")


def check_accumulator(name: str) -> Accumulator:
    """The type by its name. Raises `UsageError` for one that there is not."""
    for known in _NAMES:
        if name == known:
            return known
    raise UsageError(f"sums of f16 cannot be accumulated in {name!r}; there are {', '.join(_NAMES)}")


def set_accumulators(module: Any, element: Accumulator) -> int:
    """Change the module in place; returns how many reductions there were.

    Raises `UsageError` if f16 is asked for and nothing is summed up in f16."""
    from iree.compiler import ir

    sums = [op for op in walk(module) if is_sum_of_halves(op)]
    found = sums if element == "f32" else [op for op in walk(module) if _is_rounded_sum(op)]
    for op in found:
        with op.context, op.location, ir.InsertionPoint(op):
            _replace(op, ir.F32Type.get() if element == "f32" else ir.F16Type.get())
        op.erase()
    if element == "f16" and not sums and not found:
        raise UsageError(
            "accumulating in f16 has no meaning for this model, which has no sum or product of f16 with an f16 result; "
            "leave the option out, or compute in f16 (demote f32-to-f16)"
        )
    return len(found)


def is_sum_of_halves(op: Any) -> bool:
    """True for a linalg reduction that adds up in f16."""
    return _is_reduction(op, "f16")


def _is_rounded_sum(op: Any) -> bool:
    """Whether an operation adds up f16 in f32, and all that is made of it is f16."""
    if not _is_reduction(op, "f32"):
        return False
    block = op.regions[0].blocks[0]
    inside = [*block.arguments, *(result for inner in block for result in inner.operation.results)]
    return (
        all(_element(_source(value)) == "f16" for value in list(op.operands)[:-1])
        and all(operand in inside for inner in block for operand in inner.operation.operands)
        and all(_rounds(use.owner, use.operand_number) for use in op.results[0].uses)
    )


def _source(value: Any) -> Any:
    """The tensor of f16 that one of f32 holds the numbers of, or the tensor itself."""
    op = getattr(value.owner, "operation", None)
    if op is None or not (op.name == "arith.extf" or (op.name == "linalg.generic" and _only_extends(op))):
        return value
    return op.operands[0] if _element(op.operands[0]) == "f16" else value


def _only_extends(op: Any) -> bool:
    """Whether a generic does nothing but widen each element in its place."""
    from iree.compiler import ir

    maps = [ir.AffineMapAttr(item).value for item in op.attributes["indexing_maps"]]
    body = [inner.operation for inner in op.regions[0].blocks[0]]
    return (
        len(maps) == 2
        and all(item == ir.AffineMap.get_identity(item.n_dims, op.context) for item in maps)
        and [item.name for item in body] == ["arith.extf", "linalg.yield"]
        and body[0].operands[0] == op.regions[0].blocks[0].arguments[0]
    )


def _rounds(op: Any, number: int) -> bool:
    """Whether an operation does nothing with an operand but round it to f16."""
    owner = op.operation
    if owner.name == "linalg.generic":
        uses = [(use.owner.operation.name, use.owner) for use in owner.regions[0].blocks[0].arguments[number].uses]
        return all(name == "arith.truncf" and _element(last.results[0]) == "f16" for name, last in uses)
    return bool(owner.name == "arith.truncf" and _element(owner.results[0]) == "f16")


def _element(value: Any) -> str:
    return str(_element_type(value))


def _element_type(value: Any) -> Any:
    from iree.compiler import ir

    return value.type.element_type if isinstance(value.type, ir.ShapedType) else value.type


def _is_reduction(op: Any, element: str) -> bool:
    """Whether an operation is a sum with results of that type."""
    from iree.compiler import ir

    if not op.name.startswith("linalg.") or len(op.results) != 1:
        return False
    kind = op.results[0].type
    if not isinstance(kind, ir.RankedTensorType) or str(kind.element_type) != element:
        return False
    if op.name == "linalg.generic":
        return "reduction" in str(op.attributes["iterator_types"]) and _is_sum(op.regions[0].blocks[0])
    if op.name == "linalg.reduce":
        return _is_sum(op.regions[0].blocks[0])
    return any(part in op.name for part in _SUMS) and _is_sum(op.regions[0].blocks[0])


def _is_sum(block: Any) -> bool:
    """What is yielded is the accumulator plus something, and the body can be written in 32 bits."""
    *body, last = [inner.operation for inner in block]
    accumulator = block.arguments[len(block.arguments) - 1]
    if len(last.operands) != 1 or not body:
        return False
    total = last.operands[0].owner
    return (
        getattr(total, "name", "") == "arith.addf"
        and accumulator in list(total.operands)
        and len(list(accumulator.uses)) == 1
        and all(op.name in ("arith.mulf", "arith.addf", "arith.subf", "arith.extf", "arith.truncf") for op in body)
    )


def _replace(op: Any, element: Any) -> None:
    from iree.compiler import ir

    old = op.results[0].type
    new_type = ir.RankedTensorType.get(old.shape, element, old.encoding)
    *inputs, start = op.operands
    if str(element) == "f16":
        inputs = [_source(value) for value in inputs]
    attributes = {name: op.attributes[name] for name in op.attributes}
    new = ir.Operation.create(op.name, [new_type], [*inputs, _start(start, new_type)], attributes=attributes, regions=1)
    _copy_body(op.regions[0].blocks[0], new, element)
    op.results[0].replace_all_uses_with(_converted(new.results[0], old))


def _converted(value: Any, wanted: Any) -> Any:
    """A number or tensor of floats as one of another width, or as it is."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    if value.type == wanted:
        return value
    new = wanted.element_type if isinstance(wanted, ir.ShapedType) else wanted
    return (arith.extf if _element_type(value).width < new.width else arith.truncf)(wanted, value)


def _start(start: Any, wanted: Any) -> Any:
    """The initial value; a fill is filled anew, so that it stays one."""
    from iree.compiler.dialects import linalg, tensor

    fill = start.owner
    if getattr(fill, "name", "") != "linalg.fill":
        return _converted(start, wanted)
    empty = fill.operands[1].owner
    if getattr(empty, "name", "") != "tensor.empty":
        return _converted(start, wanted)
    sizes = iter(empty.operands)
    shape = [next(sizes) if wanted.is_dynamic_dim(dim) else wanted.get_dim_size(dim) for dim in range(wanted.rank)]
    value = _converted(fill.operands[0], wanted.element_type)
    return linalg.fill(value, outs=[tensor.empty(shape, wanted.element_type)])


def _copy_body(old: Any, op: Any, element: Any) -> None:
    """The body with everything in one type: elements are widened as they are read."""
    from iree.compiler import ir

    kinds = [_element_type(operand) for operand in op.operands]
    block = op.regions[0].blocks.append(*kinds)
    values: dict[Any, Any] = {}
    with ir.InsertionPoint(block):
        for before, after in zip(old.arguments, block.arguments, strict=True):
            values[before] = _converted(after, element)
        for inner in old:
            item = inner.operation
            operands = [_converted(values.get(operand, operand), element) for operand in item.operands]
            if item.name in ("arith.extf", "arith.truncf"):
                values[item.results[0]] = operands[0]
            elif item.name == "linalg.yield":
                ir.Operation.create("linalg.yield", operands=operands)
            else:
                values[item.results[0]] = ir.Operation.create(item.name, [element], operands).results[0]
