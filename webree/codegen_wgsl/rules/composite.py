"""Vectors, arrays and structs: building them, taking them apart, constants.

Structs occur only as results of ops with two results (carry, extended products, frexp); they stay a tuple of
expressions and never reach WGSL.
Spec: https://www.w3.org/TR/WGSL/#composite-types, #vector-access-expr
"""

from __future__ import annotations

import re
from collections.abc import Callable

from webree.codegen_wgsl.emitter import Emitter, unsupported, vector_of
from webree.codegen_wgsl.expressions import Expr
from webree.codegen_wgsl.spirv import Op
from webree.codegen_wgsl.types import Array, Scalar, Struct, Vector, wgsl_type

__all__ = ["RULES", "component"]

_LANES = "xyzw"


def component(vector: Expr, lane: int) -> Expr:
    """One component of a vector that is a name or a swizzle of a name."""
    if swizzled := re.fullmatch(r"(\w+)\.([xyzw]{2,4})", vector.text):
        return Expr(f"{swizzled[1]}.{swizzled[2][lane]}")
    return Expr(f"{vector.text}.{_LANES[lane]}")


def _constant(emitter: Emitter, op: Op) -> None:
    emitter.bind(op.result, emitter.constant(op.result.type, op.attributes["value"]))


def _spec_constant(emitter: Emitter, op: Op) -> None:
    value = emitter.module.spec_constants[op.attributes["spec_const"]]
    emitter.bind(op.result, emitter.constant(op.result.type, value))


def _undef(emitter: Emitter, op: Op) -> None:
    if op.result.uses:
        emitter.bind(op.result, emitter.zero(op.result.type))


def _construct(emitter: Emitter, op: Op) -> None:
    type_ = op.result.type
    items = [emitter.expr(operand) for operand in op.operands]
    if isinstance(type_, Struct):
        emitter.bind(op.result, Expr("", members=tuple(items)))
    elif isinstance(type_, Vector):
        emitter.define(op.result, vector_of(type_, items))
    else:
        listed = ", ".join(item.argument for item in items)
        emitter.define(op.result, Expr(f"{wgsl_type(type_)}({listed})"), "array_value")


def _extract(emitter: Emitter, op: Op) -> None:
    indices = [int(index) for index in op.attributes["indices"]]
    whole = emitter.expr(op.operands[0])
    type_ = op.operands[0].type
    while isinstance(type_, Struct) and whole.members is not None:
        type_, whole, indices = type_.members[indices[0]], whole.members[indices[0]], indices[1:]
    if not indices:
        emitter.bind(op.result, whole)
        return
    if whole.unsigned is not None and whole.unsigned.is_atom and isinstance(type_, Vector):
        # A component of a built-in value such as workgroup_id: i32(workgroup_id.x).
        lane = component(whole.unsigned, indices[0])
        emitter.define(op.result, emitter.signed(lane, op.result.type), lane.text.replace(".", "_"))
        return
    if not whole.is_atom:
        whole = emitter.atom(op.operands[0])
    path = whole.text
    for index in indices:
        path = component(Expr(path), index).text if isinstance(type_, Vector) else f"{path}[{index}]"
        type_ = type_.element if isinstance(type_, Vector | Array) else type_
    emitter.define(op.result, Expr(path))


def _insert(emitter: Emitter, op: Op) -> None:
    item, type_ = emitter.expr(op.operands[0]), op.result.type
    indices = [int(index) for index in op.attributes["indices"]]
    whole = emitter.expr(op.operands[1])
    if isinstance(type_, Struct) and whole.members is not None and len(indices) == 1:
        members = list(whole.members)
        members[indices[0]] = item
        emitter.bind(op.result, Expr("", members=tuple(members)))
    elif isinstance(type_, Vector):
        whole = emitter.atom(op.operands[1])
        items = [component(whole, lane) for lane in range(type_.count)]
        items[indices[0]] = item
        emitter.define(op.result, vector_of(type_, items))
    else:
        path = "".join(f"[{index}]" for index in indices)
        _insert_through_variable(emitter, op, whole, path, item)


def _insert_through_variable(emitter: Emitter, op: Op, whole: Expr, path: str, item: Expr) -> None:
    """WGSL values are immutable: a changed copy needs a variable."""
    name = emitter.state.namer.fresh("changed")
    emitter.variable(name, op.result.type, whole)
    emitter.statement(f"{name}{path} = {item.text}")
    emitter.bind(op.result, Expr(name))


def _shuffle(emitter: Emitter, op: Op) -> None:
    left_type, type_ = op.operands[0].type, op.result.type
    assert isinstance(left_type, Vector)
    assert isinstance(type_, Vector)
    lanes = [int(lane) for lane in op.attributes["components"]]
    count = left_type.count
    # 0xFFFFFFFF stands for "any value".
    lanes = [lane if 0 <= lane < 2 * 4 else 0 for lane in lanes]
    sides = {lane >= count for lane in lanes}
    if len(sides) == 1:
        offset = count if sides == {True} else 0
        source = emitter.atom(op.operands[1 if offset else 0])
        if [lane - offset for lane in lanes] == list(range(_width(op.operands[1 if offset else 0]))):
            emitter.bind(op.result, source)
            return
        swizzle = "".join(_LANES[lane - offset] for lane in lanes)
        emitter.define(op.result, Expr(f"{source.text}.{swizzle}"))
        return
    left, right = emitter.atom(op.operands[0]), emitter.atom(op.operands[1])
    items = [component(left, lane) if lane < count else component(right, lane - count) for lane in lanes]
    emitter.define(op.result, vector_of(type_, items))


def _width(value: object) -> int:
    type_ = getattr(value, "type", None)
    return type_.count if isinstance(type_, Vector) else 1


def _extract_dynamic(emitter: Emitter, op: Op) -> None:
    vector = emitter.atom(op.operands[0])
    index = emitter.expr(op.operands[1])
    if index.is_const and not 0 <= index.value < _width(op.operands[0]):
        index = emitter.runtime(index, op.operands[1].type)
    if vector.is_const:
        vector = emitter.runtime(vector, op.operands[0].type)
    emitter.define(op.result, Expr(f"{vector.text}[{index.text}]"))


def _insert_dynamic(emitter: Emitter, op: Op) -> None:
    vector, item, index = (emitter.expr(operand) for operand in op.operands)
    if index.is_const and not 0 <= index.value < _width(op.operands[0]):
        index = emitter.runtime(index, op.operands[2].type)
    _insert_through_variable(emitter, op, vector, f"[{index.text}]", item)


def _choose(emitter: Emitter, op: Op) -> None:
    """`Select` between arrays, which WGSL's select() does not take."""
    condition, true_value, false_value = (emitter.expr(operand) for operand in op.operands)
    if not isinstance(op.operands[0].type, Scalar):
        raise unsupported(op, "a vector condition over arrays")
    name = emitter.state.namer.fresh("chosen")
    emitter.variable(name, op.result.type, false_value)
    with emitter.writer.block(f"if ({condition.text})"):
        emitter.statement(f"{name} = {true_value.text}")
    emitter.bind(op.result, Expr(name))


RULES: dict[str, Callable[[Emitter, Op], None]] = {
    "spirv.Constant": _constant,
    "spirv.mlir.referenceof": _spec_constant,
    "spirv.Undef": _undef,
    "spirv.CompositeConstruct": _construct,
    "spirv.CompositeExtract": _extract,
    "spirv.CompositeInsert": _insert,
    "spirv.VectorShuffle": _shuffle,
    "spirv.VectorExtractDynamic": _extract_dynamic,
    "spirv.VectorInsertDynamic": _insert_dynamic,
    "array select": _choose,
}
