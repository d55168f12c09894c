"""Loads, stores and bit casts of f16 on devices without f16: two to a 32-bit word.

A word's first half is its low one. Two invocations may store into the two halves of one word, so a buffer that takes
single f16 values is declared atomic and each store touches its own bits only.
Spec: https://www.w3.org/TR/WGSL/#unpack2x16float-builtin, #pack2x16float-builtin, #quantizeToF16-builtin
"""

from __future__ import annotations

from collections.abc import Callable

from webree.codegen_wgsl.emitter import Emitter, unsupported
from webree.codegen_wgsl.expressions import Expr, binary, call
from webree.codegen_wgsl.half import ROUND, TO_HALVES, TO_WORDS
from webree.codegen_wgsl.resources import Binding
from webree.codegen_wgsl.spirv import Op
from webree.codegen_wgsl.types import F16, Scalar, Type, Vector, scalar_of, wgsl_type, with_scalar

__all__ = ["RULES", "is_packed", "load_halves", "store_halves"]


def is_packed(binding: Binding, view: Scalar | Vector) -> bool:
    """True if the view is of f16 and the binding of words."""
    return scalar_of(view) == F16 and scalar_of(binding.element) != F16


def load_halves(emitter: Emitter, op: Op, binding: Binding, view: Scalar | Vector, index: Expr) -> Expr:
    """One element of a view of f16, as f32."""
    if isinstance(view, Scalar):
        if index.is_const:
            word = _word(emitter, binding, index.value // 2)
            return Expr(f"unpack2x16float({word}).{'xy'[index.value % 2]}")
        index = index if index.is_atom else emitter.let(index, "at")
        word = _word(emitter, binding, f"{index.text} >> 1u")
        return Expr(f"unpack2x16float({word})[{index.text} & 1]")
    return _unpacked([_word(emitter, binding, *place) for place in _places(emitter, op, binding, view, index)])


def store_halves(emitter: Emitter, op: Op, binding: Binding, view: Scalar | Vector, index: Expr, value: Expr) -> None:
    """Rounds f32 to f16 and stores it."""
    if isinstance(view, Scalar):
        index = index if index.is_atom else emitter.let(index, "at")
        place = f"&{binding.name}[{index.text} >> 1u]"
        shift = emitter.let(Expr(f"u32({index.text} & 1) << 4u"), "shift").text
        bits = emitter.let(Expr(f"{_pack(emitter)}(vec2<f32>({value.text}, 0.0))"), "bits").text
        emitter.statement(f"atomicAnd({place}, ~(65535 << {shift}))")
        emitter.statement(f"atomicOr({place}, i32({bits} << {shift}))")
        return
    value = value if value.is_atom else emitter.let(value)
    for (place, lane), pair in zip(_places(emitter, op, binding, view, index), ("xy", "zw"), strict=False):
        pair_of = value.text if view.count == 2 else f"{value.text}.{pair}"
        packed = f"i32({_pack(emitter)}({pair_of}))"
        target = f"{binding.name}[{place}]{lane}"
        emitter.statement(f"atomicStore(&{target}, {packed})" if binding.atomic else f"{target} = {packed}")


def _pack(emitter: Emitter) -> str:
    return emitter.helper("pack_halves")


def _places(emitter: Emitter, op: Op, binding: Binding, view: Vector, index: Expr) -> list[tuple[str, str]]:
    """Index and component of each word of an element."""
    if view.count not in (2, 4):
        raise unsupported(op, f"a view of vectors of {view.count} f16")
    words = view.count // 2
    if isinstance(binding.element, Vector):
        index = index if index.is_atom else emitter.let(index, "at")
        return [(index.text, lane) for lane in (".x", ".y")]
    if words == 1:
        return [(index.text, "")]
    base = binary(index, "*", Expr("2"))
    base = base if index.is_const else emitter.let(base, "at")
    return [(base.text, ""), (f"{base.text} + 1", "")]


def _word(emitter: Emitter, binding: Binding, index: object, lane: str = "") -> str:
    text = f"{binding.name}[{index}]{lane}"
    return f"u32(atomicLoad(&{text}))" if binding.atomic else f"u32({text})"


def _unpacked(words: list[str]) -> Expr:
    pairs = [f"unpack2x16float({word})" for word in words]
    return Expr(pairs[0] if len(pairs) == 1 else f"vec4<f32>({', '.join(pairs)})")


def _round(emitter: Emitter, op: Op) -> None:
    """To f16 and back. quantizeToF16 would take denormal halves for zeros, which are no denormals as f32."""
    (operand,) = emitter.arguments(op)
    count = _count(op.result.type)
    if count not in (1, 2, 4):
        emitter.define(op.result, call("quantizeToF16", operand))
        return
    if count == 1:
        packed = f"unpack2x16float({_pack(emitter)}(vec2<f32>({operand.text}, 0.0))).x"
    elif count == 2:
        packed = f"unpack2x16float({_pack(emitter)}({operand.text}))"
    else:
        operand = operand if operand.is_atom else emitter.let(operand)
        pairs = ", ".join(f"unpack2x16float({_pack(emitter)}({operand.text}.{pair}))" for pair in ("xy", "zw"))
        packed = f"vec4<f32>({pairs})"
    emitter.define(op.result, Expr(packed))


def _to_halves(emitter: Emitter, op: Op) -> None:
    """Words -> f16 values, as f32."""
    source, count = op.operands[0].type, _count(op.result.type)
    if count != 2 * _count(source):
        raise unsupported(op, f"bits of {source} as {count} f16")
    (operand,) = emitter.arguments(op)
    words = Expr(f"bitcast<{with_scalar(source, 'u32')}>({operand.text})")
    if count == 2:
        emitter.define(op.result, _unpacked([words.text]))
        return
    words = emitter.let(words, "words")
    emitter.define(op.result, _unpacked([f"{words.text}.x", f"{words.text}.y"]))


def _to_words(emitter: Emitter, op: Op) -> None:
    """f16 values, kept as f32 -> words."""
    target, count = op.result.type, _count(op.operands[0].type)
    if count != 2 * _count(target):
        raise unsupported(op, f"bits of {count} f16 as {target}")
    value = emitter.atom(op.operands[0])
    pairs = [value.text] if count == 2 else [f"{value.text}.xy", f"{value.text}.zw"]
    packed = ", ".join(f"{_pack(emitter)}({pair})" for pair in pairs)
    words = packed if count == 2 else f"vec2<u32>({packed})"
    emitter.define(op.result, Expr(f"bitcast<{wgsl_type(target)}>({words})"))


def _count(type_: Type) -> int:
    return type_.count if isinstance(type_, Vector) else 1


RULES: dict[str, Callable[[Emitter, Op], None]] = {ROUND: _round, TO_HALVES: _to_halves, TO_WORDS: _to_words}
