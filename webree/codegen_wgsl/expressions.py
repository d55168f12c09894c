"""Pieces of WGSL expression text that know how tightly they bind, and constants as such pieces.

WGSL's grammar is stricter than C's: shifts, bitwise and logical operators may not be mixed without parentheses, and
`a < b, c > (d)` reads as a template. `Rank` orders what may stand bare inside what; everything else gets parentheses.
Spec: https://www.w3.org/TR/WGSL/#expression-grammar, #template-lists-sec
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from webree.codegen_wgsl.literals import f16_literal, f32_bits, f32_literal, i32_literal, needs_bits, u32_literal
from webree.codegen_wgsl.types import Array, Scalar, Type, Vector, wgsl_type
from webree.errors import CompileError

__all__ = ["Expr", "Rank", "binary", "call", "constant", "needs_polyfill", "prefix"]


class Rank(IntEnum):
    """How tightly an expression binds; a place asks for at least some rank."""

    LOOSE = 0  # relational, bitwise, shift, logical: bare only where nothing surrounds them
    SUM = 3
    PRODUCT = 4
    UNARY = 5
    PRIMARY = 6


@dataclass(frozen=True, slots=True)
class Expr:
    """The text of an expression.

    Attributes:
        rank: how tightly it binds.
        value: for constants, the Python value (int, float, bool, or a flat list of these), else None.
        is_const: True if WGSL would evaluate it when compiling (literals and constructors of them).
        negation: for comparisons of integers, the text of the opposite comparison.
        unsigned: for bits that an op made as u32, that u32 expression: a consumer of u32 need not convert back.
        members: for values of a struct type, one expression per member (structs never reach WGSL).
    """

    text: str
    rank: Rank = Rank.PRIMARY
    value: Any = None
    is_const: bool = False
    negation: str | None = None
    unsigned: Expr | None = None
    members: tuple[Expr, ...] | None = None

    def at(self, rank: Rank) -> str:
        """The text, in parentheses unless it binds at least as tightly as `rank`."""
        return self.text if self.rank >= rank else f"({self.text})"

    @property
    def argument(self) -> str:
        """The text as an argument of a call. Comparisons get parentheses, lest `a < b, c > d` read as a template."""
        return f"({self.text})" if self.rank == Rank.LOOSE and re.search(" [<>] ", self.text) else self.text

    @property
    def is_atom(self) -> bool:
        """True for a name, a literal, or a component of a name: cheap and clear to repeat."""
        is_literal = self.is_const and self.value is not None and not isinstance(self.value, list)
        return is_literal or self.text.replace(".", "").replace("_", "").isalnum()


_LEFT_ASSOCIATIVE = {"+": Rank.SUM, "-": Rank.SUM, "*": Rank.PRODUCT, "/": Rank.PRODUCT, "%": Rank.PRODUCT}
_RELATIONAL = {"<", ">", "<=", ">=", "==", "!="}
_OPPOSITE = {"<": ">=", ">": "<=", "<=": ">", ">=": "<", "==": "!=", "!=": "=="}


def binary(left: Expr, operator: str, right: Expr, *, total_order: bool = False) -> Expr:
    """`left operator right`; `total_order` says that the opposite comparison is the negation (no NaN)."""
    if operator == "+" and right.is_const and isinstance(right.value, int) and -0x80000000 < right.value < 0:
        operator, right = "-", Expr(str(-right.value), is_const=True)
    if rank := _LEFT_ASSOCIATIVE.get(operator):
        # The operand on the right must bind more tightly: a - (b - c).
        return Expr(f"{left.at(rank)} {operator} {right.at(Rank(rank + 1))}", rank)
    inner = Rank.SUM if operator in _RELATIONAL else Rank.UNARY
    sides = left.at(inner), right.at(inner)
    negation = f"{sides[0]} {_OPPOSITE[operator]} {sides[1]}" if total_order else None
    return Expr(f"{sides[0]} {operator} {sides[1]}", Rank.LOOSE, negation=negation)


def prefix(operator: str, operand: Expr) -> Expr:
    """`-x`, `!x`, `~x`; nested prefixes get parentheses (`--` is a token of its own)."""
    return Expr(f"{operator}{operand.at(Rank.PRIMARY)}", Rank.UNARY)


def call(function: str, *arguments: Expr) -> Expr:
    """`function(a, b)`."""
    return Expr(f"{function}({', '.join(argument.argument for argument in arguments)})")


def needs_polyfill(type_: Type, value: Any) -> bool:
    """True if `constant` needs `f32_from_bits` for this value."""
    if isinstance(type_, Scalar):
        value = value[0] if isinstance(value, list) else value
        return type_.name in ("f32", "f16") and needs_bits(float(value), half=type_.name == "f16")
    inner = type_.element if isinstance(type_, Vector | Array) else type_
    return any(needs_polyfill(_innermost(inner), item) for item in value)


def _innermost(type_: Type) -> Type:
    while isinstance(type_, Vector | Array):
        type_ = type_.element
    return type_


def constant(type_: Type, value: Any, from_bits: str = "") -> Expr:
    """A constant as an expression.

    Args:
        type_: scalar, vector, or array.
        value: a number, or the flat list of an aggregate's numbers (one number alone stands for all: a splat).
        from_bits: name of the polyfill u32 -> f32, for values that no literal can say.
    """
    match type_:
        case Scalar():
            return _scalar(type_, value[0] if isinstance(value, list) else value, from_bits)
        case Vector(element, count):
            values = _spread(value, count)
            items = [_scalar(element, item, from_bits) for item in values]
            unsigned = None
            if all(item.unsigned is not None for item in items):
                words = [item.unsigned.text for item in items if item.unsigned is not None]
                unsigned = Expr(f"vec{count}<u32>({_listed(words)})", value=values, is_const=True)
            text = f"{wgsl_type(type_)}({_listed([item.text for item in items])})"
            return Expr(text, value=values, is_const=all(item.is_const for item in items), unsigned=unsigned)
        case Array(element, int(count)):
            values = _spread(value, count * _scalar_count(element))
            size = len(values) // count
            parts = [values[start : start + size] for start in range(0, len(values), size)]
            items = [constant(element, part[0] if isinstance(element, Scalar) else part, from_bits) for part in parts]
            listed = ", ".join(item.text for item in items)
            return Expr(f"{wgsl_type(type_)}({listed})", value=values, is_const=all(item.is_const for item in items))
    raise CompileError(f"constants of type {type_} are not supported", op="spirv.Constant", unsupported=True)


def _listed(texts: list[str]) -> str:
    """A vector's components; one alone stands for all."""
    return texts[0] if len(set(texts)) == 1 else ", ".join(texts)


def _spread(value: Any, count: int) -> list[Any]:
    """The flat list of an aggregate's numbers, from a flat or nested list or a splat."""
    flat: list[Any] = []
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(reversed(item))
        else:
            flat.append(item)
    return flat * count if len(flat) == 1 else flat


def _scalar_count(type_: Type) -> int:
    match type_:
        case Vector(_, count):
            return count
        case Array(element, int(count)):
            return count * _scalar_count(element)
    return 1


def _scalar(type_: Scalar, value: Any, from_bits: str) -> Expr:
    match type_.name:
        case "i1":
            return Expr("true" if value else "false", value=bool(value), is_const=True)
        case "f32" if needs_bits(float(value)):
            return Expr(f"{from_bits}({f32_bits(value):#010x}u)", value=float(value))
        case "f32":
            text = f32_literal(float(value))
            return Expr(text, Rank.UNARY if value < 0 else Rank.PRIMARY, value=float(value), is_const=True)
        case "f16" if needs_bits(float(value), half=True):
            return Expr(f"f16({from_bits}({f32_bits(value):#010x}u))", value=float(value))
        case "f16":
            text = f16_literal(float(value))
            return Expr(text, Rank.UNARY if value < 0 else Rank.PRIMARY, value=float(value), is_const=True)
        case "i32" | "si32" | "ui32":
            number = int(value)
            text = i32_literal(number)
            rank = Rank.UNARY if text.startswith("-") else Rank.PRIMARY
            unsigned = Expr(u32_literal(number), value=number & 0xFFFFFFFF, is_const=True)
            return Expr(text, rank, value=number, is_const=True, unsigned=unsigned)
    raise CompileError(f"constants of type `{type_.name}` are not supported", op="spirv.Constant", unsupported=True)
