"""SPIR-V types: the text that MLIR prints -> plain dataclasses -> how WGSL spells them.

Enters: the text of an MLIR type of the `spirv` dialect, e.g. `!spirv.ptr<!spirv.array<4 x f32, stride=4>, Function>`
(the Python bindings offer no classes for these, their text is the only stable view). Leaves: a `Type`.

Integers are signless in MLIR; here every one is an `i32`, and rules reinterpret the bits where an op is unsigned.
Spec: https://mlir.llvm.org/docs/Dialects/SPIR-V/#types and https://www.w3.org/TR/WGSL/#types
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from webree.errors import CompileError

__all__ = [
    "BOOL",
    "F16",
    "F32",
    "I16",
    "I32",
    "VOID",
    "Array",
    "Pointer",
    "Scalar",
    "Struct",
    "Type",
    "Vector",
    "byte_size",
    "parse_type",
    "scalar_of",
    "wgsl_type",
    "with_scalar",
]


@dataclass(frozen=True)
class Scalar:
    """A number or a truth value; `name` is MLIR's spelling (`f32`, `i1`)."""

    name: str


@dataclass(frozen=True)
class Vector:
    element: Scalar
    count: int


@dataclass(frozen=True)
class Array:
    """`count` elements, or as many as the binding holds if `count` is None (a runtime array)."""

    element: Type
    count: int | None


@dataclass(frozen=True)
class Struct:
    members: tuple[Type, ...]


@dataclass(frozen=True)
class Pointer:
    pointee: Type
    storage: str


Type = Scalar | Vector | Array | Struct | Pointer

I16 = Scalar("i16")
I32 = Scalar("i32")
U32 = Scalar("ui32")
F32 = Scalar("f32")
F16 = Scalar("f16")
BOOL = Scalar("i1")
VOID = Scalar("none")

# MLIR's scalar types that WGSL has, and its spelling; ui32/si32 occur where an op insists on a sign.
WGSL_SCALARS = {"i1": "bool", "i32": "i32", "si32": "i32", "ui32": "i32", "f32": "f32", "f16": "f16"}
_SCALAR_SIZES = {"i1": 4, "i32": 4, "si32": 4, "ui32": 4, "f32": 4, "f16": 2, "i16": 2}

_TOKEN = re.compile(r"\s*(!spirv\.\w+|\d+|\w+|->|[<>()\[\],=*])")


class _Parser:
    """Recursive descent over the tokens of one type."""

    def __init__(self, text: str) -> None:
        # `2x` and `x` of `vector<2xi32>` / `array<2 x i32>` come apart so that both read the same.
        spaced = re.sub(r"(?<![\w!.])(\d+)x(?=[!\w])", r"\1 x ", text)
        self.text = text
        self.tokens = _TOKEN.findall(spaced)
        self.position = 0

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self, expected: str | None = None) -> str:
        token = self.peek()
        if not token or (expected is not None and token != expected):
            raise CompileError(
                f"type `{self.text}`: expected `{expected or 'more'}` and found `{token or 'the end'}`",
                unsupported=True,
            )
        self.position += 1
        return token

    def skip_to_close(self) -> None:
        """Skips decorations up to the `>` that closes the current bracket, and takes it."""
        depth = 0
        while True:
            token = self.take()
            if token == "<":
                depth += 1
            elif token == ">":
                if depth == 0:
                    return
                depth -= 1

    def type(self) -> Type:
        token = self.take()
        match token:
            case "vector":
                return self._vector()
            case "!spirv.array":
                self.take("<")
                count = int(self.take())
                self.take("x")
                element = self.type()
                self.skip_to_close()
                return Array(element, count)
            case "!spirv.rtarray":
                self.take("<")
                element = self.type()
                self.skip_to_close()
                return Array(element, None)
            case "!spirv.ptr":
                self.take("<")
                pointee = self.type()
                self.take(",")
                storage = self.take()
                self.take(">")
                return Pointer(pointee, storage)
            case "!spirv.struct":
                return self._struct()
        if token.startswith("!"):
            raise CompileError(f"type `{self.text}` has no WGSL counterpart", unsupported=True)
        return Scalar(token)

    def _vector(self) -> Type:
        self.take("<")
        count = int(self.take())
        self.take("x")
        element = self.type()
        self.take(">")
        if not isinstance(element, Scalar) or not 2 <= count <= 4:
            raise CompileError(
                f"type `{self.text}`: WGSL has vectors of 2, 3 and 4 scalars only", op="spirv vector", unsupported=True
            )
        return Vector(element, count)

    def _struct(self) -> Type:
        self.take("<")
        if self.peek() != "(":  # an identified struct: `<name, (...)>`
            self.take()
            self.take(",")
        self.take("(")
        members: list[Type] = []
        while self.peek() != ")":
            members.append(self.type())
            if self.peek() == "[":
                while self.take() != "]":
                    pass
            if self.peek() == ",":
                self.take(",")
        self.take(")")
        self.skip_to_close()
        return Struct(tuple(members))


@lru_cache(maxsize=4096)
def parse_type(text: str) -> Type:
    """Parses one type as MLIR prints it; raises `CompileError` for what WGSL cannot express."""
    parser = _Parser(text)
    result = parser.type()
    if parser.peek():
        raise CompileError(f"type `{text}`: unexpected `{parser.peek()}`", unsupported=True)
    return result


def wgsl_type(type_: Type) -> str:
    """How WGSL spells a type of values; raises `CompileError` for i8, i16, i64, bf16, f64 and structs."""
    match type_:
        case Scalar(name):
            if name not in WGSL_SCALARS:
                raise CompileError(
                    f"WGSL has no type `{name}`; the passes before codegen must emulate it "
                    f"(supported: {', '.join(WGSL_SCALARS)})",
                    unsupported=True,
                )
            return WGSL_SCALARS[name]
        case Vector(element, count):
            return f"vec{count}<{wgsl_type(element)}>"
        case Array(element, None):
            return f"array<{wgsl_type(element)}>"
        case Array(element, count):
            return f"array<{wgsl_type(element)}, {count}>"
    raise CompileError(f"values of type {type_} have no WGSL counterpart", unsupported=True)


def scalar_of(type_: Type) -> Scalar:
    """The scalar of a scalar or vector type."""
    if isinstance(type_, Vector):
        return type_.element
    if isinstance(type_, Scalar):
        return type_
    raise CompileError(f"expected a scalar or a vector and found {type_}", unsupported=True)


def with_scalar(type_: Type, wgsl_scalar: str) -> str:
    """The WGSL type of the same shape as `type_` with another scalar: (vector<2xf32>, "u32") -> `vec2<u32>`."""
    return f"vec{type_.count}<{wgsl_scalar}>" if isinstance(type_, Vector) else wgsl_scalar


def byte_size(type_: Type) -> int:
    """Bytes that WGSL's layout rules give a value of `type_` (array strides and vec3 alignment included)."""
    match type_:
        case Scalar(name):
            return _SCALAR_SIZES.get(name, 4)
        case Vector(element, count):
            return _SCALAR_SIZES.get(element.name, 4) * count
        case Array(element, count):
            size = byte_size(element)
            alignment = _alignment(element)
            return (size + alignment - 1) // alignment * alignment * (count or 0)
        case Struct(members):
            return sum(byte_size(member) for member in members)
    raise CompileError(f"type {type_} has no size", unsupported=True)


def _alignment(type_: Type) -> int:
    match type_:
        case Vector(element, count):
            return _SCALAR_SIZES.get(element.name, 4) * (2 if count == 2 else 4)
        case Array(element, _):
            return _alignment(element)
    return byte_size(type_)
