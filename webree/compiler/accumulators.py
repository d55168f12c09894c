"""Sums of halves, accumulated in 32 bits.

Enters: the module after `input`. Leaves: the same module, in which every linalg reduction with an f16 result has an
f32 one, rounded to f16 once at the end. A sum kept in 16 bits loses a digit each time its terms double.
"""

from __future__ import annotations

from typing import Any

from webree.compiler.walking import walk

__all__ = ["accumulate_in_single"]

# Named operations whose body adds up products or elements; the compiler writes the casts of mixed types itself.
_SUMS = ("matmul", "matvec", "vecmat", "mmt4d", "dot", "conv_", "pooling_", "contract")


def accumulate_in_single(module: Any) -> int:
    """Change the module in place; returns how many reductions there were."""
    from iree.compiler import ir

    found = [op for op in walk(module) if _sums_halves(op)]
    for op in found:
        with op.context, op.location, ir.InsertionPoint(op):
            _replace(op)
        op.erase()
    return len(found)


def _sums_halves(op: Any) -> bool:
    from iree.compiler import ir

    if not op.name.startswith("linalg.") or len(op.results) != 1:
        return False
    kind = op.results[0].type
    if not isinstance(kind, ir.RankedTensorType) or str(kind.element_type) != "f16":
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


def _replace(op: Any) -> None:
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    half = op.results[0].type
    single = ir.RankedTensorType.get(half.shape, ir.F32Type.get(), half.encoding)
    *inputs, start = op.operands
    attributes = {name: op.attributes[name] for name in op.attributes}
    new = ir.Operation.create(op.name, [single], [*inputs, _in_single(start, single)], attributes=attributes, regions=1)
    _copy_body(op.regions[0].blocks[0], new)
    op.results[0].replace_all_uses_with(arith.truncf(half, new.results[0]))


def _in_single(start: Any, single: Any) -> Any:
    """The initial value; a fill is filled anew, so that it stays one."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, linalg, tensor

    fill = start.owner
    if getattr(fill, "name", "") != "linalg.fill":
        return arith.extf(single, start)
    value = fill.operands[0]
    empty = fill.operands[1].owner
    if getattr(empty, "name", "") != "tensor.empty":
        return arith.extf(single, start)
    sizes = iter(empty.operands)
    shape = [next(sizes) if single.is_dynamic_dim(dim) else single.get_dim_size(dim) for dim in range(single.rank)]
    wide = value if str(value.type) == "f32" else arith.extf(ir.F32Type.get(), value)
    return linalg.fill(wide, outs=[tensor.empty(shape, ir.F32Type.get())])


def _copy_body(old: Any, op: Any) -> None:
    """The body with everything in 32 bits: elements are widened as they are read."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    single = ir.F32Type.get()
    kinds = [argument.type for argument in old.arguments]
    block = op.regions[0].blocks.append(*kinds[:-1], single)
    values: dict[Any, Any] = {}
    with ir.InsertionPoint(block):
        for before, after in zip(old.arguments, block.arguments, strict=True):
            values[before] = arith.extf(single, after) if str(after.type) == "f16" else after
        for inner in old:
            item = inner.operation
            operands = [values.get(operand, operand) for operand in item.operands]
            operands = [arith.extf(single, value) if str(value.type) == "f16" else value for value in operands]
            if item.name in ("arith.extf", "arith.truncf"):
                values[item.results[0]] = operands[0]
            elif item.name == "linalg.yield":
                ir.Operation.create("linalg.yield", operands=operands)
            else:
                values[item.results[0]] = ir.Operation.create(item.name, [single], operands).results[0]
