"""MLIR text of earlier versions, in the syntax of the compiler that is installed.

Enters: text that the parser does not accept. Leaves: the same program with what changed its syntax written anew; lines
keep their numbers. MLIR promises no stable text, so programs that were written down some months ago need this:

- TOSA operations had their attributes in braces: `tosa.clamp %x {min_val = 0.0 : f32} : (…)`;
- linalg had an operation for each elementwise function: `linalg.add ins(…)`, now `linalg.elementwise <add> ins(…)`;
- the attention operations of `iree_linalg_ext` had their indexing maps in braces, now in angle brackets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["modernise"]

_ELEMENTWISE: Mapping[bytes, bytes] = {
    **{
        name: name
        for name in (
            b"exp log abs ceil floor negf reciprocal round sqrt rsqrt square tanh erf add sub mul div div_unsigned "
            b"powf select"
        ).split()
    },
    b"max": b"max_signed",
    b"min": b"min_signed",
}
"""Earlier operation of linalg -> kind of `linalg.elementwise`."""

_TOSA_WITH_BRACES = re.compile(
    rb"(?<![\"\w])tosa\.(\w+)\s+((?:%[\w#.$-]+\s*,?\s*)*)\{([^{}]*)\}(\s*:\s*\()"
)  # the generic form is read by every version
_LINALG_NAMED = re.compile(rb"(?<![\"\w.])linalg\.(" + b"|".join(_ELEMENTWISE) + rb")(?=\s+ins\b)")
_LINALG_KIND = re.compile(rb"(?<![\"\w.])linalg\.elementwise\s+kind\s*=\s*#linalg\.elementwise_kind<(\w+)>")
_ATTENTION = re.compile(rb"(iree_linalg_ext\.(?:online_)?attention)(\s*)\{([^{}]*)\}(?=\s*ins\b)")


def modernise(text: bytes) -> bytes:
    """The program in today's syntax; the same bytes if nothing in it has changed."""
    text = _TOSA_WITH_BRACES.sub(rb'"tosa.\1"(\2) <{\3}>\4', text)
    text = _LINALG_NAMED.sub(lambda match: b"linalg.elementwise <" + _ELEMENTWISE[match[1]] + b">", text)
    text = _LINALG_KIND.sub(rb"linalg.elementwise <\1>", text)
    return _ATTENTION.sub(rb"\1\2 <\3>", text)
