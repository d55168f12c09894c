"""f16 where the device has no f16: values become f32, storage stays 16 bits wide.

Enters: a `SpirvModule` whose values and buffers may be f16. Leaves: the same module, in which every value is f32 and
only storage buffers still are arrays of f16; the rules for loads and stores (`rules/half.py`) convert there. Results
of single operations keep f32's precision; conversions to f16 round, as stores do, and the additions of kernels that add
up in f16 by choice. (A product of two f16 is exact in f32, so that adding it rounds as one operation of f16 would.)
"""

from __future__ import annotations

from webree.codegen_wgsl.spirv import Op, SpirvModule, Value, walk
from webree.codegen_wgsl.types import F16, F32, Array, Pointer, Scalar, Struct, Type, Vector

__all__ = ["ROUND", "uses_f16", "widen_halves", "widen_values"]

# What becomes of conversions to f16.
ROUND = "f16 round"

_ADDITIONS = ("spirv.FAdd", "spirv.GL.Fma")


def uses_f16(type_: Type) -> bool:
    """True for f16 and whatever is made of it; a pointer into a buffer says nothing about values."""
    match type_:
        case Scalar():
            return type_ == F16
        case Vector(element, _) | Array(element, _):
            return uses_f16(element)
        case Struct(members):
            return any(uses_f16(member) for member in members)
        case Pointer(pointee, storage):
            return storage != "StorageBuffer" and uses_f16(pointee)


def widen_halves(module: SpirvModule, *, round_sums: bool = False) -> None:
    """Rewrites all functions and variables of `module` in place. `round_sums`: additions in f16 round, as with f16."""
    for function in module.functions.values():
        for op in list(walk(function.body)):
            if op.name == "spirv.FConvert" and uses_f16(op.result.type):
                op.name = ROUND
            if round_sums and op.name in _ADDITIONS and uses_f16(op.result.type):
                _round_result(op)
    widen_values(module, F16, F32)


def _round_result(op: Op) -> None:
    """Puts a rounding between an operation and all that reads it."""
    rounded = Value(op.result.type, uses=op.result.uses)
    rounded.op = Op(ROUND, op.block, [op.result], [rounded], {}, [], [], op._source)
    op.result.uses = [rounded.op]
    op.block.ops.insert(op.block.ops.index(op) + 1, rounded.op)
    for user in rounded.uses:
        user.operands = [rounded if operand is op.result else operand for operand in user.operands]
        user.successors = [
            (block, [rounded if value is op.result else value for value in values]) for block, values in user.successors
        ]


def widen_values(module: SpirvModule, narrow: Scalar, wide: Scalar) -> None:
    """Gives every value of one scalar type, and variables outside storage buffers, another one."""
    for variable in module.globals.values():
        if variable.storage != "StorageBuffer":
            variable.pointee = _widened(variable.pointee, narrow, wide)
    for function in module.functions.values():
        function.result_types = [_widened(type_, narrow, wide) for type_ in function.result_types]
        values = [argument for block in function.body.blocks for argument in block.arguments]
        for op in walk(function.body):
            values += op.results
            values += [argument for region in op.regions for block in region.blocks for argument in block.arguments]
        for value in values:
            value.type = _widened(value.type, narrow, wide)


def _widened(type_: Type, narrow: Scalar, wide: Scalar) -> Type:
    match type_:
        case Scalar():
            return wide if type_ == narrow else type_
        case Vector(element, count):
            return Vector(wide if element == narrow else element, count)
        case Array(element, length):
            return Array(_widened(element, narrow, wide), length)
        case Struct(members):
            return Struct(tuple(_widened(member, narrow, wide) for member in members))
        case Pointer(pointee, storage):
            return type_ if storage == "StorageBuffer" else Pointer(_widened(pointee, narrow, wide), storage)
