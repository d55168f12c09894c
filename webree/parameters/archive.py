"""Parameter archives: weights kept in files of their own, found by scope and key.

Enters: what users pass as `parameters=` (a path, a source of bytes, or a mapping from scope to those). Leaves:
`Archive`s whose entries are slices of the file: natively mapped, in the browser JavaScript bytes, never copied through
Python. The format is told by the file's first bytes: `.irpa` by its magic number, everything else must be
`.safetensors`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from webree.errors import InvocationError, ModuleError, StatusCode, UsageError
from webree.module.source import ByteSource, MemorySource

__all__ = ["Archive", "Entry", "Parameters", "Scopes", "open_archive", "open_parameters"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One parameter: bytes of the file, or (`source` is None) a pattern repeated over `byte_length` bytes."""

    byte_length: int
    source: ByteSource | None = None
    pattern: bytes = b""


@dataclass(frozen=True, slots=True)
class Archive:
    """The parameters of one file, by key. `name` is the file's name for messages."""

    entries: Mapping[str, Entry]
    name: str = ""

    def find(self, key: str, scope: str) -> Entry:
        """The entry. Raises `InvocationError` (NOT_FOUND) with the nearest key there is."""
        entry = self.entries.get(key)
        if entry is None:
            near = get_close_matches(key, self.entries, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InvocationError(
                f"{self.name or 'the parameter file'} has no parameter {key!r} (scope {scope!r}) "
                f"among its {len(self.entries)}{hint}",
                status=StatusCode.NOT_FOUND,
            )
        return entry


ArchiveSource = str | os.PathLike[str] | bytes | bytearray | memoryview | ByteSource | Archive
Parameters = ArchiveSource | Mapping[str, ArchiveSource]
"""One archive for all scopes, or one for each."""


@dataclass(frozen=True, slots=True)
class Scopes:
    """Archives by scope; `everywhere` serves the scopes that have none of their own."""

    by_scope: Mapping[str, Archive] = field(default_factory=dict)
    everywhere: Archive | None = None

    def find(self, scope: str) -> Archive:
        """The archive. Raises `InvocationError` (NOT_FOUND) that says how to pass one."""
        archive = self.by_scope.get(scope, self.everywhere)
        if archive is None:
            there = ", ".join(repr(name) for name in self.by_scope) or "none"
            raise InvocationError(
                f"the module needs parameters of scope {scope!r}, passed are {there}; pass "
                f'parameters={{"{scope}": "FILE.safetensors"}} (or --parameters {scope}=FILE)',
                status=StatusCode.NOT_FOUND,
            )
        return archive


def open_parameters(parameters: Parameters | None) -> Scopes:
    """Open what a user passed. Raises `ModuleError` for files that are missing or damaged."""
    if parameters is None:
        return Scopes()
    if isinstance(parameters, Mapping):
        return Scopes({scope: open_archive(source) for scope, source in parameters.items()})
    return Scopes(everywhere=open_archive(parameters))


def open_archive(source: ArchiveSource, name: str = "") -> Archive:
    """Open one file; `name` is what messages call it if it is not a path.

    Raises `ModuleError` for one that is missing or damaged."""
    from webree.parameters.irpa import MAGIC, read_irpa
    from webree.parameters.safetensors import read_safetensors

    if isinstance(source, Archive):
        return source
    data, path = _bytes_of(source)
    name = name or path
    try:
        is_irpa = data.size >= len(MAGIC) and data.read(0, len(MAGIC)) == MAGIC
        entries = read_irpa(data) if is_irpa else read_safetensors(data)
    except ModuleError as error:
        if not name:
            raise
        raise ModuleError(str(error), where=name, status=error.status) from error
    return Archive(entries, name)


def _bytes_of(source: ArchiveSource) -> tuple[ByteSource, str]:
    from webree.api import map_file
    from webree.hal.registry import IN_BROWSER

    if isinstance(source, (str, os.PathLike)):
        return map_file(source), os.fspath(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return MemorySource(source), ""
    if IN_BROWSER:
        from webree.browser.values import from_js, is_js_array

        if is_js_array(source):
            return from_js(source)[0], ""
    if not all(hasattr(source, name) for name in ("size", "read", "slice")):
        raise UsageError(f"parameters come from a path or bytes, found a {type(source).__name__}")
    return source, ""  # type: ignore[return-value]
