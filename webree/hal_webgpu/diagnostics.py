"""Error texts for what a WebGPU implementation reports about shaders.

Enters: the kernel's name, its WGSL, and the implementation's message (naga natively, Tint in Chromium). Leaves: a
`DeviceError` with the message and the numbered source lines around the place. Both sides of the backend use it.
"""

from __future__ import annotations

import re

from webree.errors import DeviceError, StatusCode

__all__ = ["numbered_lines", "shader_error"]

CONTEXT_LINES = 3
"""Source lines shown before and after the one in error."""

_NOISE = ("┌─", "In wgpu", "In a ", "Caused by", "note: label", "Validation Error")

_POSITION = re.compile(r"(?:wgsl|^|\s):(\d+):(\d+)")


def shader_error(label: str, source: str, message: str, line: int | None = None) -> DeviceError:
    """The error for a kernel that the driver rejects.

    `line` counts from 1; where it is None it is looked for in the message (`wgsl:12:5` of naga, `:12:5` of Tint)."""
    if line is None and (found := _POSITION.search(message)):
        line = int(found.group(1))
    at = f" at WGSL line {line}" if line else ""
    excerpt = "\n" + numbered_lines(source, line) if line else ""
    return DeviceError(
        f"the WebGPU driver rejects kernel {label!r}{at}: {_essence(message)}{excerpt}",
        status=StatusCode.INTERNAL,
    )


def numbered_lines(source: str, line: int) -> str:
    """The lines around `line` (from 1), each with its number, the line itself marked."""
    lines = source.splitlines()
    first, last = max(1, line - CONTEXT_LINES), min(len(lines), line + CONTEXT_LINES)
    width = len(str(last))
    return "\n".join(
        f"{'>' if number == line else ' '} {number:{width}} | {lines[number - 1]}" for number in range(first, last + 1)
    )


def _essence(message: str) -> str:
    """The message without headlines, wrapping and drawings: naga draws an excerpt of its own, ours is numbered."""
    kept: list[str] = []
    for line in message.splitlines():
        text = line.strip()
        if text and "│" not in text and not text.startswith(_NOISE) and text not in kept:
            kept.append(text)
    return "; ".join(kept) or message.strip()
