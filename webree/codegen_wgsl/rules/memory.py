"""Loads, stores and pointers.

An access chain becomes the text of a WGSL reference (`binding0[i]`, `shared0[row]`) at its loads and stores; no WGSL
pointer is ever made. Where a binding's element type differs from the view's (see `resources.py`), loads and stores
convert.
Spec: https://www.w3.org/TR/WGSL/#ref-ptr-use-cases, #memory-view-types
"""

from __future__ import annotations

from collections.abc import Callable

from webree.codegen_wgsl.emitter import BUILTINS, Emitter, Place, unsupported, vector_of
from webree.codegen_wgsl.expressions import Expr, Rank, binary
from webree.codegen_wgsl.resources import Binding
from webree.codegen_wgsl.rules.composite import component
from webree.codegen_wgsl.rules.half import is_packed, load_halves, store_halves
from webree.codegen_wgsl.spirv import Global, Op, Value, unwrapped
from webree.codegen_wgsl.types import I32, Array, Pointer, Scalar, Type, Vector, byte_size, scalar_of, wgsl_type
from webree.codegen_wgsl.variables import is_final

__all__ = ["RULES", "binding_of", "reference"]

_LARGEST_ARRAY = 1 << 20


# -- pointers ---------------------------------------------------------------------------------------------------------


def _address_of(emitter: Emitter, op: Op) -> None:
    variable = emitter.module.globals[op.attributes["variable"]]
    emitter.places[op.result] = Place(variable, (), variable.pointee)


def _access_chain(emitter: Emitter, op: Op) -> None:
    if not op.result.uses:
        return
    base = emitter.places[op.operands[0]]
    indices = list(base.indices)
    view = base.view
    repeated = len(op.result.uses) > 1 or op.result.uses[0].block is not op.block
    for operand in op.operands[1:]:
        index = emitter.atom(operand, "at") if repeated else emitter.expr(operand)
        if isinstance(view, Array | Vector):
            index = _in_range(emitter, index, operand, view)
            indices.append(index)
        elif unwrapped(view) is view:
            raise unsupported(op, f"access into {view}")
        view = _element(view)
    emitter.places[op.result] = Place(base.root, tuple(indices), view)


def _in_range(emitter: Emitter, index: Expr, operand: Value, view: Array | Vector) -> Expr:
    """WGSL rejects constant indices that are out of range, in code never reached as well."""
    limit = view.count if view.count is not None else 0x80000000
    return emitter.runtime(index, operand.type) if index.is_const and not 0 <= index.value < limit else index


def _element(type_: Type) -> Type:
    if isinstance(type_, Array | Vector):
        return type_.element
    return getattr(type_, "members", (type_,))[0]


def binding_of(emitter: Emitter, place: Place) -> Binding | None:
    return emitter.resources.bindings.get(place.root.name) if isinstance(place.root, Global) else None


def reference(emitter: Emitter, place: Place) -> str:
    """The WGSL reference of a place outside storage buffers and push constants."""
    if isinstance(place.root, Value):
        name = emitter.variable_names[place.root]
    else:
        name = emitter.resources.shared[place.root.name].name
    return name + "".join(f"[{index.text}]" for index in place.indices)


# -- variables --------------------------------------------------------------------------------------------------------


def _check_size(op: Op, array: Array) -> None:
    """WGSL promises a function 8 KiB; devices take more, but not what the compiler sets aside for unknown sizes."""
    size = byte_size(array)
    if size > _LARGEST_ARRAY:
        raise unsupported(
            op,
            f"a thread would keep {size:,} bytes of intermediate values, and {_LARGEST_ARRAY:,} is what kernels may: "
            "a row whose length only the run knows, or a very long one. Give its length (`--dim NAME=N`)",
        )


def _variable(emitter: Emitter, op: Op) -> None:
    pointer = op.result
    if pointer in emitter.promoted or not pointer.uses:
        return
    assert isinstance(pointer.type, Pointer)
    emitter.places[pointer] = Place(pointer, (), pointer.type.pointee)
    type_ = unwrapped(pointer.type.pointee)
    initial = emitter.expr(op.operands[0]) if op.operands else None
    table = _table_store(pointer)
    if isinstance(type_, Array):
        _check_size(op, type_)
        name = emitter.state.namer.fresh("table" if table else "array")
        if table is not None:
            initial = emitter.expr(table.operands[1])
            emitter.skipped.add(table)
        # At the function's top: WGSL zeroes variables at their declaration, in a loop again and again.
        if initial is None or table is not None or initial.is_const:
            emitter.hoist(name, type_, initial)
        else:
            emitter.variable(name, type_, initial)
    else:
        name = emitter.state.namer.fresh("m")
        emitter.variable(name, type_, initial)
    emitter.variable_names[pointer] = name


def _table_store(pointer: Value) -> Op | None:
    """The one store of a constant that makes a variable a look-up table, if it is one."""
    stores = [use for use in pointer.uses if use.name == "spirv.Store"]
    if len(stores) != 1 or stores[0].operands[1].op is None or stores[0].operands[1].op.name != "spirv.Constant":
        return None
    others = [use for use in pointer.uses if use is not stores[0]]
    chained = [use for chain in others if chain.name == "spirv.AccessChain" for use in chain.result.uses]
    readers = [use for use in others if use.name != "spirv.AccessChain"] + chained
    return stores[0] if all(use.name == "spirv.Load" for use in readers) else None


# -- loads ------------------------------------------------------------------------------------------------------------


def _load(emitter: Emitter, op: Op) -> None:
    if not op.result.uses:
        return
    if op.operands[0] in emitter.promoted:
        emitter.bind(op.result, emitter.expr(emitter.promoted[op.operands[0]]))
        return
    place = emitter.places[op.operands[0]]
    binding = binding_of(emitter, place)
    if binding is not None:
        loaded = _load_binding(emitter, op, place, binding)
        emitter.bind(op.result, emitter.let(loaded, "x"))
    elif isinstance(place.root, Global) and place.root.built_in is not None:
        _load_builtin(emitter, op, place)
    elif isinstance(place.root, Global) and place.root.storage == "PushConstant":
        # Uniform and never written: may stand inline.
        emitter.define(op.result, _load_constant(emitter, op, place), "k")
    else:
        text = reference(emitter, place)
        shared = emitter.resources.shared.get(place.root.name) if isinstance(place.root, Global) else None
        loaded = Expr(f"atomicLoad(&{text})" if shared is not None and shared.atomic else text)
        if isinstance(place.root, Value) and not place.indices and is_final(op):
            emitter.bind(op.result, loaded)
        else:
            emitter.bind(op.result, emitter.let(loaded, "x"))


def _load_builtin(emitter: Emitter, op: Op, place: Place) -> None:
    assert isinstance(place.root, Global)
    built_in = place.root.built_in or ""
    if built_in == "WorkgroupSize":
        if isinstance(place.view, Vector):
            emitter.bind(op.result, emitter.constant(place.view, list(emitter.workgroup_size)))
            return
        emitter.bind(op.result, emitter.constant(place.view, emitter.workgroup_size[place.indices[0].value]))
        return
    if built_in not in BUILTINS:
        raise unsupported(op, f"built-in variable `{built_in}`; supported: WorkgroupSize, {', '.join(BUILTINS)}")
    if built_in.startswith("Subgroup"):
        emitter.state.require("subgroups", op)
    name = Expr(emitter.builtin(BUILTINS[built_in]))
    for index in place.indices:
        name = component(name, index.value)
    emitter.bind(op.result, emitter.signed(name, op.result.type))


def _load_constant(emitter: Emitter, op: Op, place: Place) -> Expr:
    """A push constant: word k is constants[k / 4][k % 4]."""
    if len(place.indices) != 1 or not isinstance(place.view, Scalar):
        raise unsupported(op, f"push constants of type {place.view}")
    index = place.indices[0]
    if index.is_const:
        word = component(Expr(f"{emitter.resources.constants}[{index.value // 4}]"), index.value % 4)
    else:
        index = index if index.is_atom else emitter.let(index, "at")
        word = Expr(f"{emitter.resources.constants}[{index.text} / 4][{index.text} % 4]")
    return emitter.signed(word, I32) if place.view == I32 else Expr(f"bitcast<{wgsl_type(place.view)}>({word.text})")


def _load_binding(emitter: Emitter, op: Op, place: Place, binding: Binding) -> Expr:
    view, index = _whole_element(op, place)
    lane = place.indices[1] if len(place.indices) > 1 else None
    if is_packed(binding, view):
        if lane is not None:
            raise unsupported(op, "loading one component of a vector of 16-bit values that lie two to a word")
        return load_halves(emitter, op, binding, view, index)
    if lane is not None:
        return _load_lane(emitter, binding, view, index, lane)
    wide = binding.element.count if isinstance(binding.element, Vector) else 1
    narrow = view.count if isinstance(view, Vector) else 1
    if wide == narrow:
        loaded = _element_load(binding, index)
    elif wide == 1:
        assert isinstance(view, Vector)
        base = _scaled(emitter, index, narrow)
        items = [_as(binding, _element_load(binding, _plus(base, lane)), view.element) for lane in range(narrow)]
        return vector_of(view, items)
    else:
        loaded = _load_part(emitter, binding, index, wide, narrow)
    return _as(binding, loaded, view)


def _load_lane(emitter: Emitter, binding: Binding, view: Type, index: Expr, lane: Expr) -> Expr:
    """One component through a vector view."""
    scalar = scalar_of(view)
    if isinstance(binding.element, Vector):
        return _as(binding, Expr(f"{binding.name}[{index.text}][{lane.text}]"), scalar)
    assert isinstance(view, Vector)
    base = _scaled(emitter, index, view.count)
    return _as(binding, _element_load(binding, binary(base, "+", lane)), scalar)


def _load_part(emitter: Emitter, binding: Binding, index: Expr, wide: int, narrow: int) -> Expr:
    """A scalar or a shorter vector out of a vector element."""
    parts = wide // narrow
    if index.is_const:
        whole, part = divmod(index.value, parts)
        lanes = "xyzw"[part * narrow : (part + 1) * narrow]
        return Expr(f"{binding.name}[{whole}].{lanes}")
    index = index if index.is_atom else emitter.let(index, "at")
    shift = parts.bit_length() - 1
    vector = f"{binding.name}[{index.text} >> {shift}u]"
    if narrow == 1:
        return Expr(f"{vector}[{index.text} & {parts - 1}]")
    vector = emitter.let(Expr(vector), "x").text
    return Expr(f"select({vector}.xy, {vector}.zw, ({index.text} & 1) == 1)")


def _whole_element(op: Op, place: Place) -> tuple[Scalar | Vector, Expr]:
    assert isinstance(place.root, Global)
    content = place.root.content
    view = content.element if isinstance(content, Array) else content
    if not isinstance(view, Scalar | Vector) or not 1 <= len(place.indices) <= 2:
        raise unsupported(op, f"access of {place.view} in a storage buffer of {content}")
    return view, place.indices[0]


def _element_load(binding: Binding, index: Expr) -> Expr:
    text = f"{binding.name}[{index.text}]"
    return Expr(f"atomicLoad(&{text})" if binding.atomic else text)


def _scaled(emitter: Emitter, index: Expr, count: int) -> Expr:
    """index * count, named so that it can be repeated."""
    if index.is_const:
        return emitter.constant(I32, index.value * count)
    return emitter.let(binary(index, "*", emitter.constant(I32, count)), "at")


def _plus(base: Expr, offset: int) -> Expr:
    if base.is_const:
        return Expr(str(base.value + offset), value=base.value + offset, is_const=True)
    return base if offset == 0 else Expr(f"{base.text} + {offset}", Rank.SUM)


def _as(binding: Binding, loaded: Expr, view: Scalar | Vector) -> Expr:
    """The bits as the view's scalar type."""
    if scalar_of(binding.element) == scalar_of(view):
        return loaded
    return Expr(f"bitcast<{wgsl_type(view)}>({loaded.text})")


# -- stores -----------------------------------------------------------------------------------------------------------


def _store(emitter: Emitter, op: Op) -> None:
    if op in emitter.skipped or op.operands[0] in emitter.promoted:
        return
    place = emitter.places[op.operands[0]]
    value = emitter.expr(op.operands[1])
    binding = binding_of(emitter, place)
    if binding is not None:
        _store_binding(emitter, op, place, binding, value)
        return
    text = reference(emitter, place)
    shared = emitter.resources.shared.get(place.root.name) if isinstance(place.root, Global) else None
    emitter.statement(f"atomicStore(&{text}, {value.text})" if shared and shared.atomic else f"{text} = {value.text}")


def _store_binding(emitter: Emitter, op: Op, place: Place, binding: Binding, value: Expr) -> None:
    view, index = _whole_element(op, place)
    narrow = view.count if isinstance(view, Vector) else 1
    wide = binding.element.count if isinstance(binding.element, Vector) else 1
    if len(place.indices) > 1:
        raise unsupported(op, "storing one component of a vector in a storage buffer")
    if is_packed(binding, view):
        store_halves(emitter, op, binding, view, index, value)
        return
    if wide == narrow:
        _store_element(emitter, binding, index, _bits(emitter, binding, value, view))
        return
    if wide != 1:
        raise unsupported(op, f"storing {view} into a buffer of {binding.element}")
    assert isinstance(view, Vector)
    base = _scaled(emitter, index, narrow)
    value = value if value.is_atom else emitter.let(value)
    for lane in range(narrow):
        _store_element(
            emitter, binding, _plus(base, lane), _bits(emitter, binding, component(value, lane), view.element)
        )


def _store_element(emitter: Emitter, binding: Binding, index: Expr, value: Expr) -> None:
    text = f"{binding.name}[{index.text}]"
    emitter.statement(f"atomicStore(&{text}, {value.argument})" if binding.atomic else f"{text} = {value.text}")


def _bits(emitter: Emitter, binding: Binding, value: Expr, view: Scalar | Vector) -> Expr:
    """The value as the binding's scalar type."""
    if scalar_of(binding.element) == scalar_of(view):
        return value
    value = emitter.runtime(value, view)
    target = Vector(scalar_of(binding.element), view.count) if isinstance(view, Vector) else scalar_of(binding.element)
    return Expr(f"bitcast<{wgsl_type(target)}>({value.text})")


RULES: dict[str, Callable[[Emitter, Op], None]] = {
    "spirv.mlir.addressof": _address_of,
    "spirv.AccessChain": _access_chain,
    "spirv.Variable": _variable,
    "spirv.Load": _load,
    "spirv.Store": _store,
}
