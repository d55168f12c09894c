"""Source locations of instructions, read from the module's debug database when something asks for one.

Enters: the flatbuffer table and a function's instruction offsets. Leaves: text such as `model.onnx:12:3`.
"""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from webree.module.flatbuffer import Table

__all__ = ["DebugDatabase"]

_CALL_SITE, _FILE_LINE_COLUMN, _FUSED, _NAME = 1, 2, 3, 4
_MAX_NODES = 24
_MAX_FUSED = 4


class DebugDatabase:
    """The locations of a module; empty if the module was stripped."""

    def __init__(self, table: Table | None) -> None:
        self._table = table

    @functools.cached_property
    def _locations(self) -> tuple[Sequence[int], list[Table | None]]:
        table = self._table
        return ((), []) if table is None else (table.scalars(0, "B"), table.union_tables(1))

    @functools.cached_property
    def functions(self) -> list[tuple[str, list[tuple[int, int]]]]:
        """(local name, [(bytecode offset, location index)]) of each function that has locations."""
        if self._table is None:
            return []
        return [(t.string(0) or "", [(r[0], r[1]) for r in t.structs(1, "ii")]) for t in self._table.tables(2)]

    def describe(self, index: int) -> str:
        """A location as text: file:line:column, a name, or several joined; "" if unknown."""
        return self._describe(index, iter(range(_MAX_NODES)))

    def _describe(self, index: int, budget: Iterator[int]) -> str:
        """Locations refer to each other and may do so in circles: `budget` runs out after a few."""
        kinds, tables = self._locations
        if next(budget, None) is None or not 0 <= index < min(len(kinds), len(tables)):
            return ""
        table = tables[index]
        if table is None:
            return ""
        kind = kinds[index]
        if kind == _FILE_LINE_COLUMN:
            return f"{table.string(0) or '?'}:{table.scalar(1, 'i', 0)}:{table.scalar(2, 'i', 0)}"
        if kind == _CALL_SITE:
            callee = self._describe(table.scalar(0, "i", 0), budget)
            caller = self._describe(table.scalar(1, "i", 0), budget)
            return f"{callee} called from {caller}" if callee and caller else callee or caller
        if kind == _NAME:
            name = table.string(0) or ""
            child = self._describe(table.scalar(1, "i", 0), budget)
            return f'"{name}" ({child})' if child else f'"{name}"'
        if kind == _FUSED:
            parts = dict.fromkeys(self._describe(i, budget) for i in table.scalars(1, "i")[:_MAX_FUSED])
            return ", ".join(part for part in parts if part)
        return ""

    def locate(self, function: str, byte_offset: int) -> str:
        """The location of the instruction at `byte_offset` of the function with this local name, "" if unknown."""
        return self.locator(function)(byte_offset)

    def locator(self, function: str) -> Callable[[int], str]:
        """`locate` for many instructions of one function."""
        rows = sorted(next((rows for name, rows in self.functions if name == function), []))
        offsets = [offset for offset, _location in rows]

        def locate(byte_offset: int) -> str:
            position = bisect_right(offsets, byte_offset)
            return self.describe(rows[position - 1][1]) if position else ""

        return locate
