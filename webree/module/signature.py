"""Calling conventions (`0rIIiiCID_r`) and the attributes that describe a function to its callers.

Enters: strings of the module file. Leaves: frozen data. Letters: i I f F = i32 i64 f32 f64, r = reference, v = nothing,
`C…D` = a span: any number of tuples of the letters inside.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from webree.errors import ModuleError

__all__ = ["CallingConvention", "Signature", "parse_calling_convention"]

_LETTERS = frozenset("iIfFr")


@dataclass(frozen=True, slots=True)
class CallingConvention:
    """A parsed convention. Items are letters, or `C…D` strings for spans (only in arguments of imports).

    Attributes:
        text: as written.
        arguments, results: one item per value or span.
        has_spans: True if any argument is a span.
    """

    text: str
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    has_spans: bool


@dataclass(frozen=True, slots=True)
class Signature:
    """What is known of a function's interface.

    Attributes:
        calling_convention: how values are passed.
        attributes: reflection attributes (`iree.abi.declaration`, …), as stored.
    """

    calling_convention: CallingConvention
    attributes: Mapping[str, str] = field(default_factory=dict)


@functools.lru_cache(maxsize=512)
def parse_calling_convention(text: str) -> CallingConvention:
    """Parse a convention; the empty string means no arguments and no results. Raises `ModuleError`."""
    if not text:
        return CallingConvention(text, (), (), False)
    if text[0] != "0":
        raise ModuleError(f"calling convention {text!r} has version {text[0]!r}, supported: '0'")
    arguments_text, _separator, results_text = text[1:].partition("_")
    arguments = _parse_items(text, arguments_text)
    results = _parse_items(text, results_text)
    if any(len(item) > 1 for item in results):
        raise ModuleError(f"calling convention {text!r} returns a span")
    return CallingConvention(text, arguments, results, any(len(item) > 1 for item in arguments))


def _parse_items(text: str, letters: str) -> tuple[str, ...]:
    if letters in ("", "v"):
        return ()
    items: list[str] = []
    position = 0
    while position < len(letters):
        letter = letters[position]
        end = position + 1
        if letter == "C":
            end = letters.find("D", position) + 1
            element = letters[position + 1 : end - 1]
            if end == 0 or not element or not _LETTERS.issuperset(element):
                raise ModuleError(f"calling convention {text!r} has a malformed span")
        elif letter not in _LETTERS:
            raise ModuleError(f"calling convention {text!r} has the unknown letter {letter!r}")
        items.append(letters[position:end])
        position = end
    return tuple(items)
