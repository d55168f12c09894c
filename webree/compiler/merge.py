"""One executable of all kernels, with a variant for each target.

Enters: a module for several targets at `executable-targets`: an executable per kernel, each with a variant per target.
Leaves: one executable whose variants hold all kernels, so that a device loads one library. The compiler's own linking
does this for one target; with several it loses the variants of all but one.
"""

from __future__ import annotations

import re
from typing import Any

from webree.compiler.walking import walk

__all__ = ["MERGED", "merge_executables"]

MERGED = "kernels"
"""Symbol of the executable."""

_TERMINATOR = "vm.module_terminator"
_PATH = re.compile(r"\A@(?:\"([^\"]+)\"|([\w$.-]+))::(.*)\Z")


def merge_executables(module: Any) -> None:
    """Merge in place."""
    from iree.compiler import ir

    executables = [op for op in _children(module) if op.name == "hal.executable"]
    if not executables:
        return
    names = {_symbol(op) for op in executables}
    target, *sources = executables
    with module.context:
        merged = {_symbol(variant): variant for variant in _variants(target)}
        for source in sources:
            for variant in _variants(source):
                _move(variant, merged[_symbol(variant)])
            source.erase()
        target.attributes["sym_name"] = ir.StringAttr.get(MERGED)
        for op in walk(module):
            if op.name == "stream.cmd.dispatch":
                paths = [_in_merged(str(path), names) for path in op.attributes["entry_points"]]
                op.attributes["entry_points"] = ir.Attribute.parse(f"[{', '.join(paths)}]")


def _move(source: Any, target: Any) -> None:
    """Move a variant's exports and code into another variant of the same target."""
    from iree.compiler import ir

    index = ir.IndexType.get()
    exports = _exports(target)
    last = exports[-1]
    for position, export in enumerate(_exports(source)):
        export.attributes["ordinal"] = ir.IntegerAttr.get(index, len(exports) + position)
        export.move_after(last)
        last = export
    source_code, target_code = _code(source), _code(target)
    _make_unique(source_code, {_symbol(op): op for op in _children(target_code) if "sym_name" in op.attributes})
    terminator = next((op for op in _children(target_code) if op.name == _TERMINATOR), None)
    for op in _children(source_code):
        if op.name == _TERMINATOR:
            continue
        if terminator is not None:
            op.move_before(terminator)
        else:
            target_code.regions[0].blocks[0].append(op)


def _make_unique(source: Any, taken: dict[str, Any]) -> None:
    """Drop the declarations that the target has too, and rename what else has a name of the target's."""
    from iree.compiler import ir

    renamed: dict[str, str] = {}
    for op in _children(source):
        if "sym_name" not in op.attributes or (name := _symbol(op)) not in taken:
            continue
        if _is_declaration(op) and _is_declaration(taken[name]):
            op.erase()
            continue
        number = 0
        while f"{name}_{number}" in taken:
            number += 1
        renamed[name] = f"{name}_{number}"
        op.attributes["sym_name"] = ir.StringAttr.get(renamed[name])
    if not renamed:
        return
    for op in walk(source):
        for name in list(op.attributes):
            attribute = op.attributes[name]
            if isinstance(attribute, ir.FlatSymbolRefAttr) and attribute.value in renamed:
                op.attributes[name] = ir.FlatSymbolRefAttr.get(renamed[attribute.value])


def _is_declaration(op: Any) -> bool:
    """A function without a body: an import."""
    return op.name == "vm.import" or (op.name == "llvm.func" and not _children(op))


def _code(variant: Any) -> Any:
    """What holds a variant's functions: its module, or the VM module in it."""
    (outer,) = (op for op in _children(variant) if op.name == "builtin.module")
    return next((op for op in _children(outer) if op.name == "vm.module"), outer)


def _in_merged(path: str, names: set[str]) -> str:
    match = _PATH.match(path)
    assert match is not None, path
    return f"@{MERGED}::{match[3]}" if (match[1] or match[2]) in names else path


def _variants(executable: Any) -> list[Any]:
    return [op for op in _children(executable) if op.name == "hal.executable.variant"]


def _exports(variant: Any) -> list[Any]:
    return [op for op in _children(variant) if op.name == "hal.executable.export"]


def _children(op: Any) -> list[Any]:
    return [inner.operation for region in op.regions for block in region for inner in block]


def _symbol(op: Any) -> str:
    from iree.compiler import ir

    return str(ir.StringAttr(op.attributes["sym_name"]).value)
