"""Operations of MLIR modules, found by walking and replaced by rules.

Enters: a module or an operation. Leaves: the operations inside it, each before those inside of itself; or the same
module with some of them replaced. Every pass that is ours begins here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["replace", "walk"]


def walk(op: Any) -> Iterator[Any]:
    """All operations inside `op`, of any depth. Take a list of them before you insert or erase any."""
    for region in op.regions:
        for block in region.blocks:
            for inner in block.operations:
                yield inner.operation
                yield from walk(inner.operation)


def replace(op: Any, rules: Mapping[str, Callable[[Any], Any]], wanted: Callable[[Any], bool] = lambda _: True) -> int:
    """Replace operations inside `op` by what the rule for their name makes, at their place; returns how many.

    A rule gives one value per result (alone, or a list), or None to leave the operation as it is."""
    from iree.compiler import ir

    count = 0
    for found in [inner for inner in walk(op) if inner.name in rules and wanted(inner)]:
        with found.context, found.location, ir.InsertionPoint(found):
            made = rules[found.name](found)
        if made is None:
            continue
        for result, value in zip(found.results, made if isinstance(made, list) else [made], strict=True):
            result.replace_all_uses_with(value)
        found.erase()
        count += 1
    return count
