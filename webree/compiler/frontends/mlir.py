"""MLIR text and bytecode -> module: programs in linalg, TOSA, StableHLO or torch, alone or mixed with arith, scf, ….

Enters: a file of the `mlir` format. Leaves: the parsed and verified module; the compiler sees by its dialects which
input conversion it needs. Anything that is not a program to compile (no public function, a dialect that the compiler
does not know) is refused here. Text that was written for earlier versions is read as well (mlir_versions.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from webree.compiler.frontends import ImportedModel, ModelSource
from webree.compiler.frontends.mlir_bytecode import MAGIC, try_bytecode
from webree.compiler.frontends.mlir_versions import modernise
from webree.compiler.session import Session, location_names
from webree.compiler.walking import walk
from webree.errors import CompileError, UsageError

__all__ = ["import_model"]

_SIZES = ("tensor.dim", "memref.dim")
_FUNCTIONS = ("func.func", "util.func", "ml_program.func")


def import_model(session: Session, source: ModelSource, *, dims: Mapping[str, int], entry_name: str) -> ImportedModel:
    """Parse and verify. `entry_name` is not used: functions keep their names. Raises `CompileError`."""
    if dims:
        raise UsageError(
            f"{source.label}: dimensions can be bound by name in ONNX models only (given: {', '.join(sorted(dims))}); "
            "in MLIR, write the sizes into the types"
        )
    # Operations of dialects that the compiler does not know end the process in its passes: they are refused here.
    session.context.allow_unregistered_dialects = False
    try:
        module = _parse(session, source.read(), source.label)
    finally:
        session.context.allow_unregistered_dialects = True
    _check_names(module, source.label)
    _check_axes(module, source.label)
    if not any(op.name in _FUNCTIONS and _is_public(op) for op in _children(module)):
        raise CompileError(
            f"{source.label} has no public function, so there is nothing to compile", location=source.label
        )
    return ImportedModel(module)


def _check_names(module: Any, label: str) -> None:
    """Raises `CompileError` for a name that is not text: MLIR takes any bytes, the module file does not."""
    from iree.compiler import ir

    for op in _children(module):
        name = ir.StringAttr(op.attributes["sym_name"]).value_bytes if "sym_name" in op.attributes else b""
        try:
            name.decode()
        except UnicodeDecodeError as error:
            raise CompileError(f"{label}: the name {name!r} of a {op.name} is not UTF-8", location=label) from error


def _check_axes(module: Any, label: str) -> None:
    """Raises `CompileError` for the size of an axis that a tensor does not have: MLIR leaves it undefined, and ends the
    process in a pass."""
    from iree.compiler import ir

    for op in walk(module):
        if op.name not in _SIZES:
            continue
        shaped, index = ir.ShapedType(op.operands[0].type), op.operands[1].owner
        if not shaped.has_rank or isinstance(index, ir.Block) or index.operation.name != "arith.constant":
            continue
        axis = ir.IntegerAttr(index.attributes["value"]).value
        if not 0 <= axis < shaped.rank:
            place = next(iter(location_names(str(op.location))), label)
            raise CompileError(
                f"{place}: '{op.name}' asks for axis {axis} of {shaped}, whose axes are 0 to {shaped.rank - 1}",
                op=op.name,
                location=place,
            )


def _parse(session: Session, data: bytes, label: str) -> Any:
    is_bytecode = data.startswith(MAGIC)
    if is_bytecode:
        try_bytecode(data, label)
    try:
        return session.parse(data, label)
    except CompileError as error:
        error = _with_operation(error, data)
        rewritten = data if is_bytecode else modernise(data)
        if rewritten == data:
            raise error from None
        try:
            return session.parse(rewritten, label)
        except CompileError as later:
            if later.location is None or later.location.split(":")[1:2] == (error.location or "").split(":")[1:2]:
                raise error from None  # its columns are those of the file
            raise later from None


def _with_operation(error: CompileError, data: bytes) -> CompileError:
    """The error, with the name of an operation whose dialect the compiler does not know: MLIR gives only its place."""
    place = re.search(r":(\d+):(\d+)\Z", error.location or "")
    if place is None or "operation being parsed with an unregistered dialect" not in str(error):
        return error
    lines = data.split(b"\n")
    line = lines[int(place[1]) - 1] if int(place[1]) <= len(lines) else b""
    names = re.findall(rb'"([\w.$]+)"', line[: int(place[2]) - 1])
    if not names:
        return error
    op = names[-1].decode()
    return CompileError(
        f"{error.location}: not valid MLIR: the compiler does not know the dialect of {op!r}; programs in linalg, "
        "TOSA, StableHLO and torch are compiled",
        op=op,
        location=error.location,
        unsupported=True,
    )


def _is_public(op: Any) -> bool:
    return str(op.attributes["sym_visibility"]) != '"private"' if "sym_visibility" in op.attributes else True


def _children(op: Any) -> list[Any]:
    return [inner.operation for region in op.regions for block in region for inner in block]
