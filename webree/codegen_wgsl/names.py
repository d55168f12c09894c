"""One namer per WGSL module: hints -> unique, legal identifiers, the same on every run.

Spec: https://www.w3.org/TR/WGSL/#identifiers. We use the ASCII subset, never start with `__`, and never end in a
bare `_`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from webree.codegen_wgsl.keywords import TAKEN

__all__ = ["Namer"]


class Namer:
    """Hands out identifiers. `fresh` numbers from 0 per hint, `unique` keeps the hint itself where it is free."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._taken: set[str] = {*TAKEN, *reserved}
        self._counters: dict[str, int] = {}

    def fresh(self, hint: str) -> str:
        """`v` -> v0, v1, ...: for values, where the number tells them apart."""
        while True:
            number = self._counters.get(hint, 0)
            self._counters[hint] = number + 1
            name = f"{hint}{number}"
            if name not in self._taken:
                self._taken.add(name)
                return name

    def unique(self, hint: str) -> str:
        """`main$async_dispatch_0` -> main_async_dispatch_0, with `_1`, `_2`, ... appended if that is taken."""
        base = re.sub(r"\W+", "_", hint, flags=re.ASCII).strip("_") or "unnamed"
        if base[0].isdigit():
            base = f"n{base}"
        name, number = base, 0
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        return name
