"""Lines of WGSL with their indentation.

Blocks are kept as `Lines`, so that a caller can look whether anything was written (an empty loop header becomes a
`while`) before it places them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Writer"]

INDENT = "    "


class Writer:
    """Collects lines; `capture` diverts what is written inside it to a list of its own."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 0

    def line(self, text: str) -> None:
        """Writes one line at the current depth; an empty text is an empty line."""
        self._lines.append(f"{INDENT * self._depth}{text}" if text else "")

    def extend(self, lines: list[str]) -> None:
        """Writes lines that `capture` collected at this depth."""
        self._lines.extend(lines)

    @contextmanager
    def block(self, header: str) -> Iterator[None]:
        """`header {` ... `}`."""
        self.line(f"{header} {{")
        self._depth += 1
        yield
        self._depth -= 1
        self.line("}")

    def reopen(self, keyword: str) -> None:
        """Turns the `}` just written into `} keyword {`."""
        assert self._lines[-1] == f"{INDENT * self._depth}}}"
        self._lines[-1] += f" {keyword} {{"
        self._depth += 1

    def close(self) -> None:
        """Ends what `reopen` opened."""
        self._depth -= 1
        self.line("}")

    @contextmanager
    def capture(self, *, deeper: bool = False) -> Iterator[list[str]]:
        """Diverts lines into the yielded list, one level deeper if asked."""
        outer, self._lines = self._lines, []
        self._depth += deeper
        captured = self._lines
        try:
            yield captured
        finally:
            self._lines = outer
            self._depth -= deeper

    def text(self) -> str:
        return "\n".join(self._lines)
