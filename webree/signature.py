"""Signatures of exported functions: names, element types and dimensions of what goes in and comes out.

Enters: a function's reflection attributes and its calling convention. Leaves: a `Signature`. The source is IREE's
`iree.abi.declaration` (MLIR's text of the original function) or, from other front ends, `iree.abi` (JSON, its nested
structures flattened); where a file has neither, or one that does not fit the calling convention, the convention alone
says how many values of which kind there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webree.dtypes import DType, by_mlir
from webree.errors import ModuleError

__all__ = ["OpaqueType", "Parameter", "ScalarType", "Signature", "TensorType", "ValueType", "parse_signature"]

_DECLARATION, _JSON, _MODEL, _COARSE_FENCES = "iree.abi.declaration", "iree.abi", "iree.abi.model", "coarse-fences"
_FENCE_COUNT = 2  # wait and signal, last in the argument list
_OPEN, _CLOSE = "([{<", ")]}>"
_BY_LETTER = {"i": "i32", "I": "i64", "f": "f32", "F": "f64"}
_SCALAR_LETTERS = {"i1": "i", "i8": "i", "i16": "i", "i32": "i", "i64": "I", "index": "I", "f32": "f", "f64": "F"}


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor; `shape` has None for a dynamic dimension."""

    dtype: DType
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        extents = "".join(f"{'?' if extent is None else extent}x" for extent in self.shape)
        return f"{extents}{self.dtype.mlir}"


@dataclass(frozen=True, slots=True)
class ScalarType:
    """A number passed by value: `i1`, `i8`, `i16`, `i32`, `i64`, `index`, `f32` or `f64`."""

    mlir: str

    @property
    def letter(self) -> str:
        """The calling convention's letter."""
        return _SCALAR_LETTERS[self.mlir]

    def __str__(self) -> str:
        return self.mlir


@dataclass(frozen=True, slots=True)
class OpaqueType:
    """A reference that is not a tensor (`!hal.buffer`, `!util.list<?>`), or one of unknown type (`?`)."""

    mlir: str

    def __str__(self) -> str:
        return self.mlir


ValueType = TensorType | ScalarType | OpaqueType


@dataclass(frozen=True, slots=True)
class Parameter:
    """A named input or output."""

    name: str
    type: ValueType

    def __str__(self) -> str:
        return f"{self.name}: {self.type}"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and gives.

    Attributes:
        name: the export's name.
        inputs, outputs: in order, without the fences of the `coarse-fences` model.
        has_fences: whether the export takes a wait and a signal fence as its last arguments.
        declaration: the original declaration in MLIR, or "".
    """

    name: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    has_fences: bool = False
    declaration: str = ""

    def __str__(self) -> str:
        inputs = ", ".join(str(parameter) for parameter in self.inputs)
        if not self.outputs:
            return f"{self.name}({inputs})"
        outputs = ", ".join(str(parameter) for parameter in self.outputs)
        return f"{self.name}({inputs}) -> {outputs if len(self.outputs) == 1 else f'({outputs})'}"


def parse_signature(name: str, calling_convention: str, attributes: Mapping[str, str]) -> Signature:
    """The signature of an export. Raises `ModuleError` for a calling convention that no host can call."""
    inputs, outputs = _letters(name, calling_convention)
    has_fences = attributes.get(_MODEL) == _COARSE_FENCES
    if has_fences:
        if inputs[-_FENCE_COUNT:] != "rr":
            raise ModuleError(f"an export with fences has calling convention {calling_convention!r}", where=name)
        inputs = inputs[:-_FENCE_COUNT]
    declaration = attributes.get(_DECLARATION, "")
    for parsed in (_parse_declaration(declaration), _parse_json(attributes.get(_JSON, ""))):
        if parsed is not None and _fits(parsed[0], inputs) and _fits(parsed[1], outputs):
            return Signature(name, tuple(parsed[0]), tuple(parsed[1]), has_fences, declaration)
    return Signature(name, _unnamed("input", inputs), _unnamed("output", outputs), has_fences, declaration)


def _letters(name: str, calling_convention: str) -> tuple[str, str]:
    inputs, _, outputs = calling_convention.removeprefix("0").partition("_")
    inputs, outputs = inputs.replace("v", ""), outputs.replace("v", "")
    if set(inputs + outputs) - set("iIfFr"):
        raise ModuleError(f"calling convention {calling_convention!r} cannot be called from the host", where=name)
    return inputs, outputs


def _unnamed(prefix: str, letters: str) -> tuple[Parameter, ...]:
    def value_type(letter: str) -> ValueType:
        return OpaqueType("?") if letter == "r" else ScalarType(_BY_LETTER[letter])

    return tuple(Parameter(f"{prefix}{position}", value_type(letter)) for position, letter in enumerate(letters))


def _fits(parameters: Sequence[Parameter], letters: str) -> bool:
    found = "".join(p.type.letter if isinstance(p.type, ScalarType) else "r" for p in parameters)
    return found == letters


# --- JSON ---------------------------------------------------------------------------------------------------------


def _parse_json(text: str) -> tuple[list[Parameter], list[Parameter]] | None:
    """Parameters of `{"a": [arguments], "r": [results]}`, or None if the text has another form."""
    if not text:
        return None
    try:
        fields = json.loads(text)
        inputs = [leaf for n, item in enumerate(fields["a"]) for leaf in _leaves(f"input{n}", item)]
        outputs = [leaf for n, item in enumerate(fields["r"]) for leaf in _leaves(f"output{n}", item)]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return None
    return inputs, outputs


def _leaves(name: str, item: Any) -> Iterator[Parameter]:
    """The values inside a description; a structure's parts are named by position or key."""
    if isinstance(item, str):
        yield Parameter(name, _parse_type(item))
        return
    kind, *rest = item
    if kind == "ndarray":
        dtype, rank, *shape = rest
        if len(shape) != rank:
            raise ValueError(f"rank {rank} with {len(shape)} dimensions")
        yield Parameter(
            name, TensorType(by_mlir(dtype), tuple(None if extent is None else int(extent) for extent in shape))
        )
    elif kind == "named":
        yield from _leaves(rest[0], rest[1])
    elif kind in ("slist", "stuple"):
        for position, part in enumerate(rest):
            yield from _leaves(f"{name}_{position}", part)
    elif kind == "sdict":
        for key, part in rest:
            yield from _leaves(f"{name}_{key}", part)
    else:
        yield Parameter(name, OpaqueType(f"!{kind}"))


# --- The declaration's text ---------------------------------------------------------------------------------------


def _parse_declaration(text: str) -> tuple[list[Parameter], list[Parameter]] | None:
    """Parameters of `sync func @f(%a: T {…}, …) -> (%b: T, …)`, or None if the text has another form."""
    start = text.find("(")
    if start < 0:
        return None
    end = _matching(text, start)
    if end is None:
        return None
    inputs = _parse_parameters(text[start + 1 : end])
    arrow, _, rest = text[end + 1 :].partition("->")
    if arrow.strip():
        return None
    rest = rest.strip()
    if rest.startswith("(") and rest.endswith(")"):
        rest = rest[1:-1]
    outputs = _parse_parameters(rest)
    return None if inputs is None or outputs is None else (inputs, outputs)


def _parse_parameters(text: str) -> list[Parameter] | None:
    parameters = []
    for part in _split(text):
        name, colon, rest = part.partition(": ")  # names may hold colons (x:0)
        if not colon or not name.strip().startswith("%"):
            return None
        parameters.append(Parameter(name.strip()[1:].strip('"'), _parse_type(_without_attributes(rest.strip()))))
    return parameters


def _parse_type(text: str) -> ValueType:
    if text in _SCALAR_LETTERS:
        return ScalarType(text)
    if not (text.startswith("tensor<") and text.endswith(">")):
        return OpaqueType(text)
    body = _split(text[len("tensor<") : -1])[0]  # an encoding may follow the type
    shape: list[int | None] = []
    while True:
        extent, x, rest = body.partition("x")
        if not x or not (extent == "?" or extent.isdecimal()):
            break
        shape.append(None if extent == "?" else int(extent))
        body = rest
    try:
        return TensorType(by_mlir(body), tuple(shape))
    except KeyError:
        return OpaqueType(text)


def _without_attributes(text: str) -> str:
    """The type in front of ` {iree.abi.output = 0 : index}`."""
    brace = text.find(" {")
    return text if brace < 0 else text[:brace].rstrip()


def _matching(text: str, start: int) -> int | None:
    """Position of the bracket that closes the one at `start`."""
    for position, depth in _depths(text, start):
        if depth == 0:
            return position
    return None


def _split(text: str) -> list[str]:
    """The parts between commas that stand in no bracket and no string."""
    cuts = [position for position, depth in _depths(text, 0) if depth == 0 and text[position] == ","]
    bounds = zip([-1, *cuts], [*cuts, len(text)], strict=True)
    return [part for low, high in bounds if (part := text[low + 1 : high].strip())]


def _depths(text: str, start: int) -> list[tuple[int, int]]:
    """Position and bracket depth after it of every character outside strings."""
    depth, in_string, found, previous = 0, False, [], ""
    for position in range(start, len(text)):
        letter = text[position]
        if letter == '"' and previous != "\\":
            in_string = not in_string
        elif not in_string:
            if letter in _OPEN:
                depth += 1
            elif letter in _CLOSE and previous != "-":
                depth -= 1
            found.append((position, depth))
        previous = letter
    return found
