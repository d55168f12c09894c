"""Block arguments are assigned as if all at once: the statements are run, for every tangle of three names."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from webree.codegen_wgsl.expressions import Expr
from webree.codegen_wgsl.structure import ControlFlow

NAMES = ("x", "y", "z")
SOURCES = ("x", "y", "z", "7", "x + z", "y * 3 + x")


class _Emitter:
    """As much of an emitter as assignments need; values are their own text."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def expr(self, value: str) -> Expr:
        return Expr(value)

    def statement(self, text: str) -> None:
        self.lines.append(text)

    def let(self, expr: Expr, prefix: str) -> Expr:
        name = f"{prefix}{len(self.lines)}"
        self.lines.append(f"{name} = {expr.text}")
        assert len(self.lines) < 10, f"no end: {self.lines}"
        return Expr(name)


@pytest.mark.parametrize("sources", list(product(SOURCES, repeat=3)), ids=", ".join)
def test_all_at_once(sources: tuple[str, ...]) -> None:
    emitter: Any = _Emitter()
    target: Any = SimpleNamespace(arguments=NAMES)
    flow = ControlFlow(emitter, lambda op: None)
    frame: Any = SimpleNamespace(update=None)
    flow._assign(target, list(sources), frame)

    before = {"x": 11, "y": 13, "z": 17}
    after: dict[str, int] = dict(before)
    exec("\n".join(emitter.lines), {}, after)
    assert {name: after[name] for name in NAMES} == {
        name: eval(source, {}, before) for name, source in zip(NAMES, sources, strict=True)
    }
