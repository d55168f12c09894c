"""Tensors of elements below 8 bits, several to a byte, for targets whose kernels cannot read or write them.

Enters: the module after the phase `input`. Leaves: the same module, in which operations that compute take and give such
tensors with an element to a byte (booleans as booleans). Around them elements are taken out of bytes and put together
to bytes; what is put together has a kernel of its own. Everywhere else, at a function's boundary too, they stay packed.
Packed are integers and floats of 2, 4 and other few bits, and booleans whose type says so (`packed_storage`); the first
element has a byte's lowest bits.
"""

from __future__ import annotations

import math
from typing import Any

from webree.codegen_wgsl.schedules.building import generated, index
from webree.compiler.walking import walk

__all__ = ["as_bytes", "is_packed", "unpack_subbytes"]

_COMPUTING = ("linalg.", "iree_linalg_ext.")
_NAMED = ("linalg.", "arith.", "math.")
_KEPT = ("linalg.generic", "arith.constant")
_TO_GENERIC = "any(convert-elementwise-to-linalg,linalg-generalize-named-ops)"
_BYTE = 8


def unpack_subbytes(module: Any) -> int:
    """Change the module in place; returns the number of operations changed."""
    _generalise(module)
    found = [op for op in walk(module.operation) if op.name.startswith(_COMPUTING) and _packed_values(op)]
    unpacked: dict[Any, Any] = {}  # packed value -> the same, an element to a byte
    for op in found:
        _change(op, unpacked)
    return len(found)


def _generalise(module: Any) -> None:
    """Make generic operations of elementwise and named ones in the functions where one has packed values."""
    from iree.compiler.passmanager import PassManager

    for function in [op.operation for op in module.regions[0].blocks[0]]:
        inner = [op for op in walk(function) if op.name.startswith(_NAMED) and op.name not in _KEPT]
        if any(_packed_values(op) for op in inner):
            PassManager.parse(_TO_GENERIC, function.context).run(function)


def _packed_values(op: Any) -> list[Any]:
    return [value for value in (*op.operands, *op.results) if is_packed(value.type)]


def is_packed(kind: Any) -> bool:
    """Whether it is a tensor of known size with several elements to a byte, which fill whole bytes."""
    from iree.compiler import ir

    if not isinstance(kind, ir.RankedTensorType) or not kind.has_static_shape:
        return False
    bits = _bits(kind.element_type)
    if bits == 1 and (kind.encoding is None or "packed_storage" not in str(kind.encoding)):
        return False
    return bits in (1, 2, 4) and math.prod(kind.shape) * bits % _BYTE == 0


def _bits(element: Any) -> int:
    from iree.compiler import ir

    return int(element.width) if isinstance(element, ir.IntegerType | ir.FloatType) else 0


def _wide(kind: Any) -> Any:
    """The type with an element to a byte."""
    from iree.compiler import ir

    bits = _bits(kind.element_type)
    return ir.RankedTensorType.get(kind.shape, ir.IntegerType.get_signless(1 if bits == 1 else _BYTE))


def _change(op: Any, unpacked: dict[Any, Any]) -> None:
    arguments = list(op.regions[0].blocks[0].arguments) if op.name == "linalg.generic" else []
    with op.context, op.location:
        for number, operand in enumerate(op.operands):
            if not is_packed(operand.type):
                continue
            if operand not in unpacked:
                with _behind(operand):
                    unpacked[operand] = _unpack(operand)
            op.operands[number] = unpacked[operand]
            if arguments:
                _narrow_argument(arguments[number], operand.type.element_type)
        if any(is_packed(result.type) for result in op.results):
            for number, result in enumerate(op.results):
                if is_packed(result.type) and arguments:
                    _widen_yield(op, number)
            _replace(op, unpacked)


def _behind(value: Any) -> Any:
    from iree.compiler import ir

    if isinstance(value.owner, ir.Block):
        return ir.InsertionPoint.at_block_begin(value.owner)
    return ir.InsertionPoint.after(value.owner)


def _narrow_argument(argument: Any, element: Any) -> None:
    """An argument of a body that is a byte now, and the value of few bits that the body computes with."""
    from iree.compiler import ir

    wide = ir.IntegerType.get_signless(1 if _bits(element) == 1 else _BYTE)
    if element == wide:
        return
    uses = [(use.owner, use.operand_number) for use in argument.uses]
    argument.set_type(wide)
    with ir.InsertionPoint.at_block_begin(argument.owner):
        value = _from_byte(argument, element)
    for user, number in uses:
        user.operation.operands[number] = value


def _widen_yield(op: Any, number: int) -> None:
    from iree.compiler import ir

    operations = op.regions[0].blocks[0].operations
    last = operations[len(operations) - 1].operation
    with ir.InsertionPoint(last):
        last.operands[number] = _to_byte(last.operands[number])


def _from_byte(value: Any, element: Any) -> Any:
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    narrow = arith.trunci(ir.IntegerType.get_signless(_bits(element)), value)
    return narrow if isinstance(element, ir.IntegerType) else arith.bitcast(element, narrow)


def _to_byte(value: Any) -> Any:
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    if _bits(value.type) == 1:
        return value
    narrow = ir.IntegerType.get_signless(_bits(value.type))
    bits = value if isinstance(value.type, ir.IntegerType) else arith.bitcast(narrow, value)
    return arith.extui(ir.IntegerType.get_signless(_BYTE), bits)


def _replace(op: Any, unpacked: dict[Any, Any]) -> None:
    """The same operation with wide results, which are packed for those who use them as they were."""
    from iree.compiler import ir

    kinds = [_wide(result.type) if is_packed(result.type) else result.type for result in op.results]
    attributes = {name: op.attributes[name] for name in op.attributes}
    with ir.InsertionPoint(op):
        new = ir.Operation.create(op.name, kinds, list(op.operands), attributes=attributes, regions=len(op.regions))
        for old_region, new_region in zip(op.regions, new.regions, strict=True):
            for block in list(old_region.blocks):
                block.append_to(new_region)
        for old, result in zip(op.results, new.results, strict=True):
            packed = _pack(result, old.type) if is_packed(old.type) else result
            if packed is not result:
                unpacked[packed] = result
            old.replace_all_uses_with(packed)
    op.erase()


def _unpack(value: Any) -> Any:
    """The elements, each in a byte."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    bits = _bits(value.type.element_type)
    kind = _wide(value.type)
    if getattr(value.owner, "name", "") == "tensor.empty":
        return tensor.empty(kind.shape, kind.element_type)
    byte = ir.IntegerType.get_signless(_BYTE)
    shape = list(kind.shape)
    each = _BYTE // bits
    stored = _hidden(as_bytes(value))

    def body(indices: list[Any]) -> Any:
        flat = index(0)
        for loop, extent in zip(indices, shape, strict=True):
            flat = arith.addi(arith.muli(flat, index(extent)), loop)
        whole = tensor.extract(stored, [arith.divui(flat, index(each))])
        shift = arith.index_cast(byte, arith.muli(arith.remui(flat, index(each)), index(bits)))
        code = arith.andi(arith.shrui(whole, shift), arith.constant(byte, (1 << bits) - 1))
        return arith.trunci(kind.element_type, code) if bits == 1 else code

    return generated(tensor.empty(shape, kind.element_type), body)


def _pack(value: Any, kind: Any) -> Any:
    """A tensor of the packed type, put together from bytes that a kernel before has written."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith, tensor

    bits = _bits(kind.element_type)
    byte = ir.IntegerType.get_signless(_BYTE)
    each = _BYTE // bits
    count = math.prod(kind.shape) // each
    value = _hidden(value)

    def body(indices: list[Any]) -> Any:
        whole = arith.constant(byte, 0)
        for place in range(each):
            flat = arith.addi(arith.muli(indices[0], index(each)), index(place))
            at: list[Any] = []
            for extent in reversed(kind.shape):
                at.insert(0, arith.remui(flat, index(extent)))
                flat = arith.divui(flat, index(extent))
            element = tensor.extract(value, at)
            element = arith.extui(byte, element) if bits == 1 else element
            whole = arith.ori(whole, arith.shli(element, arith.constant(byte, place * bits)))
        return whole

    return _bitcast(generated(tensor.empty([count], byte), body), kind)


def as_bytes(value: Any) -> Any:
    """The bytes of a packed tensor."""
    from iree.compiler import ir

    count = math.prod(value.type.shape) * _bits(value.type.element_type) // _BYTE
    return _bitcast(value, ir.RankedTensorType.get([count], ir.IntegerType.get_signless(_BYTE)))


def _hidden(value: Any) -> Any:
    """A value in memory: no kernel is formed across a barrier."""
    from iree.compiler import ir

    return ir.Operation.create("util.optimization_barrier", [value.type], [value]).results[0]


def _bitcast(value: Any, kind: Any) -> Any:
    from iree.compiler import ir

    segments = ir.DenseI32ArrayAttr.get([1, 0, 0])
    return ir.Operation.create(
        "flow.tensor.bitcast", [kind], [value], attributes={"operandSegmentSizes": segments}
    ).results[0]
