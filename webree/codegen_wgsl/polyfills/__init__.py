"""WGSL helper functions, one `.wgsl` file each, added to a module only where used.

A helper is written once for every shape: the words FLOAT, INT, UINT and BOOL stand for `f32`, `i32`, `u32`, `bool`
or the vectors of these, NAME for the function's name, and `NAME_of(other)` for another helper of the same shape.
The file's leading comment stays in the output.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

__all__ = ["instantiate"]

_SHAPED = {"FLOAT": "f32", "INT": "i32", "UINT": "u32", "BOOL": "bool"}


@lru_cache(maxsize=256)
def _source(helper: str) -> str:
    return (Path(__file__).parent / f"{helper}.wgsl").read_text(encoding="utf-8").strip()


def instantiate(helper: str, count: int) -> tuple[str, str, list[str]]:
    """One helper for vectors of `count` (1: scalars): its function name, its text, and the helpers that it calls."""
    suffix = "" if count == 1 else f"_vec{count}"
    text = _source(helper)
    needed = re.findall(r"NAME_of\((\w+)\)", text)
    text = re.sub(r"NAME_of\((\w+)\)", rf"\1{suffix}", text)
    text = re.sub(r"\bNAME\b", f"{helper}{suffix}", text)
    for word, scalar in _SHAPED.items():
        text = re.sub(rf"\b{word}\b", scalar if count == 1 else f"vec{count}<{scalar}>", text)
    return f"{helper}{suffix}", text, needed
