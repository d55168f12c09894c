"""Loads, stores and bit casts of values of 16 bits that lie two to a 32-bit word: i16, and f16 where WGSL has no f16
or the binding holds other types as well.

A word's first half is its low one. Two invocations may store into the two halves of one word, so a buffer that takes
single 16-bit values is declared atomic and each store touches its own bits only. Where the device has no f16, values
of f16 are f32 (`half.py`); values of i16 are i32 (`shorts.py`).
Spec: https://www.w3.org/TR/WGSL/#unpack2x16float-builtin, #pack2x16float-builtin, #quantizeToF16-builtin,
#bitcast-builtin
"""

from __future__ import annotations

from collections.abc import Callable

from webree.codegen_wgsl.emitter import Emitter, unsupported
from webree.codegen_wgsl.expressions import Expr, binary, call
from webree.codegen_wgsl.half import ROUND
from webree.codegen_wgsl.resources import Binding
from webree.codegen_wgsl.shorts import CAST, SIGN_EXTEND, ZERO_EXTEND
from webree.codegen_wgsl.spirv import Op
from webree.codegen_wgsl.types import F16, I16, Scalar, Type, Vector, scalar_of, wgsl_type, with_scalar

__all__ = ["RULES", "is_packed", "load_halves", "store_halves"]


def is_packed(binding: Binding, view: Scalar | Vector) -> bool:
    """True if the view is of 16-bit values and the binding of words."""
    return scalar_of(view) in (F16, I16) and scalar_of(binding.element) != scalar_of(view)


def load_halves(emitter: Emitter, op: Op, binding: Binding, view: Scalar | Vector, index: Expr) -> Expr:
    """One element of a view of f16 or i16, as the type of such values."""
    kind = scalar_of(view)
    if isinstance(view, Scalar):
        if index.is_const:
            word = _word(binding, kind, index.value // 2)
            return Expr(f"{_pair_of(emitter, kind, word)}.{'xy'[index.value % 2]}")
        index = index if index.is_atom else emitter.let(index, "at")
        word = _word(binding, kind, f"{index.text} >> 1u")
        if kind == I16:
            return Expr(f"extractBits({word}, u32({index.text} & 1) << 4u, 16u)")
        return Expr(f"{_pair_of(emitter, kind, word)}[{index.text} & 1]")
    words = [_word(binding, kind, *place) for place in _places(emitter, op, binding, view, index)]
    return _from_words(emitter, kind, words)


def store_halves(emitter: Emitter, op: Op, binding: Binding, view: Scalar | Vector, index: Expr, value: Expr) -> None:
    """Stores values of f16 (f32 is rounded) or i16."""
    if isinstance(view, Scalar):
        index = index if index.is_atom else emitter.let(index, "at")
        place = f"&{binding.name}[{index.text} >> 1u]"
        shift = emitter.let(Expr(f"u32({index.text} & 1) << 4u"), "shift").text
        bits = emitter.let(Expr(_low_half(emitter, view, value)), "bits").text
        emitter.statement(f"atomicAnd({place}, ~(65535 << {shift}))")
        emitter.statement(f"atomicOr({place}, i32({bits} << {shift}))")
        return
    value = value if value.is_atom else emitter.let(value)
    words = _to_words_of(emitter, scalar_of(view), value, view.count)
    for (place, lane), word in zip(_places(emitter, op, binding, view, index), words, strict=True):
        target = f"{binding.name}[{place}]{lane}"
        emitter.statement(f"atomicStore(&{target}, i32({word}))" if binding.atomic else f"{target} = i32({word})")


# -- pairs and words --------------------------------------------------------------------------------------------------
# By way of f32, exactly: naga has no bit casts between f16 and 32-bit types.


def _is_native(emitter: Emitter, kind: Scalar) -> bool:
    """Whether values of f16 are values of f16 in WGSL."""
    return kind == F16 and emitter.state.has("shader-f16")


def _pair_of(emitter: Emitter, kind: Scalar, word: str) -> str:
    """The two values of a word: an i32 if they are i16, a u32 if they are f16."""
    if kind == I16:
        return f"((vec2<i32>({word}) << vec2<u32>(16u, 0u)) >> vec2<u32>(16u))"
    pair = f"unpack2x16float({word})"
    return f"vec2<f16>({pair})" if _is_native(emitter, kind) else pair


def _word_of(emitter: Emitter, kind: Scalar, pair: str) -> str:
    """Two values, an expression that can be repeated, as a u32."""
    if kind == I16:
        return f"((u32({pair}.x) & 65535u) | (u32({pair}.y) << 16u))"
    if _is_native(emitter, kind):
        return f"pack2x16float(vec2<f32>({pair}))"
    return f"{_pack(emitter)}({pair})"


def _low_half(emitter: Emitter, kind: Scalar, value: Expr) -> str:
    """A value in the lower half of a u32."""
    if kind == I16:
        return f"u32({value.text}) & 65535u"
    if _is_native(emitter, kind):
        return f"pack2x16float(vec2<f32>(f32({value.text}), 0.0))"
    return f"{_pack(emitter)}(vec2<f32>({value.text}, 0.0))"


def _to_words_of(emitter: Emitter, kind: Scalar, value: Expr, count: int) -> list[str]:
    """A vector of 2 or 4 values, a name, as u32."""
    pairs = [value.text] if count == 2 else [f"{value.text}.xy", f"{value.text}.zw"]
    return [_word_of(emitter, kind, pair) for pair in pairs]


def _from_words(emitter: Emitter, kind: Scalar, words: list[str]) -> Expr:
    pairs = [_pair_of(emitter, kind, word) for word in words]
    if len(pairs) == 1:
        return Expr(pairs[0])
    scalar = {I16: "i32", F16: "f16" if _is_native(emitter, kind) else "f32"}[kind]
    return Expr(f"vec4<{scalar}>({', '.join(pairs)})")


def _pack(emitter: Emitter) -> str:
    return emitter.helper("pack_halves")


def _places(emitter: Emitter, op: Op, binding: Binding, view: Vector, index: Expr) -> list[tuple[str, str]]:
    """Index and component of each word of an element."""
    if view.count not in (2, 4):
        raise unsupported(op, f"a view of vectors of {view.count} {view.element.name}")
    words = view.count // 2
    if isinstance(binding.element, Vector):
        index = index if index.is_atom else emitter.let(index, "at")
        return [(index.text, lane) for lane in (".x", ".y")]
    if words == 1:
        return [(index.text, "")]
    base = binary(index, "*", Expr("2"))
    base = base if index.is_const else emitter.let(base, "at")
    return [(base.text, ""), (f"{base.text} + 1", "")]


def _word(binding: Binding, kind: Scalar, index: object, lane: str = "") -> str:
    text = f"{binding.name}[{index}]{lane}"
    text = f"atomicLoad(&{text})" if binding.atomic else text
    return text if kind == I16 else f"u32({text})"


# -- operations -------------------------------------------------------------------------------------------------------


def _round(emitter: Emitter, op: Op) -> None:
    """To f16 and back. quantizeToF16 would take denormal halves for zeros, which are no denormals as f32."""
    (operand,) = emitter.arguments(op)
    count = _count(op.result.type)
    if count not in (1, 2, 4):
        emitter.define(op.result, call("quantizeToF16", operand))
        return
    if count == 1:
        emitter.define(op.result, Expr(f"{_pair_of(emitter, F16, _low_half(emitter, F16, operand))}.x"))
        return
    operand = operand if operand.is_atom or count == 2 else emitter.let(operand)
    emitter.define(op.result, _from_words(emitter, F16, _to_words_of(emitter, F16, operand, count)))


def _cast(emitter: Emitter, op: Op) -> None:
    """The same bits as another type, one of which at least is of 16-bit values."""
    source, target = op.attributes["from"], op.attributes["to"]
    (operand,) = emitter.arguments(op)
    kinds, counts = (scalar_of(source), scalar_of(target)), (_count(source), _count(target))
    if kinds[0] in (F16, I16) and kinds[1] in (F16, I16):
        words = _split_halves(emitter, op, kinds[0], operand, counts[0])
    elif kinds[0] in (F16, I16) and counts[0] == 2 * counts[1]:
        words = _to_words_of(emitter, kinds[0], operand if operand.is_atom else emitter.let(operand), counts[0])
    elif kinds[1] in (F16, I16) and counts[1] == 2 * counts[0]:
        named = Expr(f"bitcast<{with_scalar(source, 'u32')}>({operand.text})")
        named = named if counts[0] == 1 else emitter.let(named, "words")
        words = [named.text] if counts[0] == 1 else [f"{named.text}.x", f"{named.text}.y"]
    else:
        raise unsupported(op, f"bits of {source} as {target}")
    if kinds[1] == I16:
        words = [f"i32({word})" for word in words]
    if kinds[1] not in (F16, I16):
        packed = words[0] if len(words) == 1 else f"vec2<u32>({', '.join(words)})"
        emitter.define(op.result, Expr(f"bitcast<{wgsl_type(target)}>({packed})"))
    elif counts[1] == 1:
        emitter.define(op.result, Expr(f"{_pair_of(emitter, kinds[1], words[0])}.x"))
    else:
        emitter.define(op.result, _from_words(emitter, kinds[1], words))


def _split_halves(emitter: Emitter, op: Op, kind: Scalar, operand: Expr, count: int) -> list[str]:
    if count not in (1, 2, 4):
        raise unsupported(op, f"bits of vectors of {count} {kind.name}")
    if count == 1:
        return [_low_half(emitter, kind, operand)]
    return _to_words_of(emitter, kind, operand if operand.is_atom else emitter.let(operand), count)


def _sign_extend(emitter: Emitter, op: Op) -> None:
    (operand,) = emitter.arguments(op)
    emitter.define(op.result, call("extractBits", operand, Expr("0u"), Expr("16u")))


def _zero_extend(emitter: Emitter, op: Op) -> None:
    (operand,) = emitter.arguments(op)
    count = _count(op.result.type)
    ones = emitter.constant(op.result.type, 0xFFFF if count == 1 else [0xFFFF] * count)
    emitter.define(op.result, binary(operand, "&", ones))


def _count(type_: Type) -> int:
    return type_.count if isinstance(type_, Vector) else 1


RULES: dict[str, Callable[[Emitter, Op], None]] = {
    ROUND: _round,
    CAST: _cast,
    SIGN_EXTEND: _sign_extend,
    ZERO_EXTEND: _zero_extend,
}
