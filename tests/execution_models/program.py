"""What a program is: one function in MLIR with inputs drawn within ranges, and how the common ones are written.

Enters: nothing. Leaves: `Input`, `Program`, `text(programs)`, which is their MLIR, and inputs of floats and integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Input", "Program", "floats", "integers", "text"]

_SMALL = (-100, 100)


@dataclass(frozen=True)
class Input:
    """A random tensor: extents, MLIR element type, least and greatest element."""

    shape: tuple[int, ...]
    element: str
    low: float
    high: float


@dataclass(frozen=True)
class Program:
    """One exported function.

    Attributes:
        tolerance: relative, with the same absolute floor; 0 for equal bits.
        differs_on_vmvx: the operation in NumPy, where VMVX's instruction is another one than MLIR means.
        differs_inline: whether the stock compiler makes another program of it for inline models (see docs).
    """

    name: str
    inputs: tuple[Input, ...]
    text: str
    tolerance: float = 1e-5
    differs_on_vmvx: Callable[..., Any] | None = None
    differs_inline: bool = False


def text(programs: Sequence[Program]) -> str:
    return "\n".join(program.text for program in programs)


def floats(*shapes: tuple[int, ...]) -> tuple[Input, ...]:
    return tuple(Input(shape, "f32", -1.0, 1.0) for shape in shapes)


def integers(element: str, *shapes: tuple[int, ...]) -> tuple[Input, ...]:
    return tuple(Input(shape, element, *_SMALL) for shape in shapes)
