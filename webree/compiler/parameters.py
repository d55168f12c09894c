"""Weights in a file of their own: `compile(..., parameters="out.safetensors")`.

Enters: the module as the front end made it, for the model's names of its tensors; and the module after
`global-optimization`, whose constants are in globals by then, in the layouts that the kernels read. Leaves: a parameter
file with the constants above a small size, and the module with references to them by key, in the scope `model`. The
compiler's own pass writes `.irpa`, and knows the bytes of every type; `.safetensors` is made of that. Constants of one
repeated value and the initial values of variables stay in the module, where they take a few bytes.
Formats: docs/module-format.md, https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from webree.compiler.parameter_files import StoredTensor, write_empty, write_safetensors
from webree.compiler.session import Session, location_names
from webree.compiler.walking import walk
from webree.errors import UsageError

__all__ = ["SCOPE", "ParameterFile", "WeightNames"]

SCOPE = "model"
"""The scope under which programs ask for the parameters that were taken out of them."""

_ENDINGS = (".safetensors", ".irpa")
_MIN_BYTES = 256  # the compiler's own threshold; less costs more as an entry than as a constant
_MIN_ELEMENTS = _MIN_BYTES // 4
_PASS = "iree-io-export-parameters{path=%s minimum-size=%d}"
_PLACE = re.compile(r":\d+:\d+\Z")  # a location in a file, which is no name
_VALUES = ("value", "torch.onnx.value")


@dataclass(slots=True)
class WeightNames:
    """What the model calls its constants, before any pass has touched them.

    A constant that comes through as it is is found again by its value. One that was transposed, packed or converted is
    found by the operation that uses it, if just one constant of that operation has as many elements, or is large.
    """

    by_value: dict[Any, str] = field(default_factory=dict)
    by_use: dict[tuple[str, int], set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, module: Any) -> WeightNames:
        """Read from a front end's module. Names are those of the constants' locations, or of globals."""
        names = cls()
        for op in walk(module):
            value = next((op.attributes[key] for key in _VALUES if key in op.attributes), None)
            if op.name == "util.global" and "initial_value" in op.attributes:
                names.by_value[op.attributes["initial_value"]] = _symbol(op)
            elif value is not None and _is_tensor(value) and len(op.results) == 1:
                names._add(op, value)
        return names

    def _add(self, op: Any, value: Any) -> None:
        name = _name_of(op)
        if name is None:
            return
        self.by_value.setdefault(value, name)
        kind = _value_type(value)
        assert kind is not None
        count: int = prod(kind.shape)
        for use in op.results[0].uses:
            user = _name_of(use.owner.operation)
            if user is not None:
                self.by_use.setdefault((user, count), set()).add(name)
                if count >= _MIN_ELEMENTS:
                    self.by_use.setdefault((user, -1), set()).add(name)  # padding changes the count

    def name(self, op: Any, number: int) -> str:
        """The name of a global's constant; `weights.N` if the model had none."""
        found = self.by_value.get(op.attributes["initial_value"])
        if found is not None:
            return found
        place = _name_of(op)
        if place is None:
            return f"weights.{number}"
        shape = _type(op).shape
        candidates = self.by_use.get((place, prod(shape))) or self.by_use.get((place, -1), set())
        return next(iter(candidates)) if len(candidates) == 1 else f"{place}.{'x'.join(map(str, shape))}"


@dataclass
class ParameterFile:
    """A parameter file in the making. Use as a context manager: what is not committed is removed.

    Attributes:
        path: where it goes; its ending is the format.
        names: what the model calls its constants, once it is imported.
    """

    path: Path
    names: WeightNames = field(default_factory=WeightNames)

    def __post_init__(self) -> None:
        """Raises `UsageError` for another ending, or a folder that is not there."""
        if self.path.suffix not in _ENDINGS:
            raise UsageError(f"parameters go to a file ending in {' or '.join(_ENDINGS)}, found {self.path}")
        if not self.path.parent.is_dir():
            raise UsageError(f"cannot write {self.path}: there is no folder {self.path.parent}")
        self._archive = self.path.with_name(f".{self.path.name}.{os.getpid()}.irpa")
        self._finished = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        self._tensors: list[StoredTensor] = []

    def __enter__(self) -> ParameterFile:
        return self

    def __exit__(self, *exception: object) -> None:
        for path in (self._archive, self._finished):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def export(self, session: Session, module: Any) -> int:
        """Move the constants of a module after `global-optimization` to the file; returns how many there are.

        Raises `CompileError` if they cannot be written."""
        from iree.compiler import ir

        self._tensors = self._rename(module, _used(module))
        used = {tensor.name for tensor in self._tensors}
        kept = [op for op in _globals(module) if _symbol(op) not in used]
        saved = {_symbol(op): op.attributes["initial_value"] for op in kept}
        for op in kept:
            del op.attributes["initial_value"]
        if self._tensors:
            pipeline = _PASS % (_quoted(f"{SCOPE}={self._archive}"), _MIN_BYTES)
            session.run_passes(module, pipeline, f"writing of the parameters to {self.path}")
        with module.context, ir.Location.unknown():
            for op in _operations(module, "util.global"):
                if _symbol(op) in saved:
                    op.attributes["initial_value"] = saved[_symbol(op)]
        return len(self._tensors)

    def commit(self) -> str | None:
        """Put the file in its place; returns what the caller should know of it, if anything.

        Raises `UsageError` if it cannot be written."""
        try:
            if self.path.suffix == ".irpa":
                if not self._tensors:
                    write_empty(self._archive)
                self._archive.replace(self.path)
            else:
                write_safetensors(self._finished, self._archive, self._tensors)
                self._finished.replace(self.path)
        except OSError as error:
            raise UsageError(f"cannot write {self.path}: {error.strerror or error}") from error
        if self._tensors:
            return None
        return (
            f"the model has no weights of {_MIN_BYTES} bytes or more, so {self.path} is empty, and the module is "
            "loaded without parameters"
        )

    def _rename(self, module: Any, used: set[str]) -> list[StoredTensor]:
        """Give the globals that go the names of the model's tensors: their symbols become the keys."""
        from iree.compiler import ir

        taken = {_symbol(op) for op in _operations(module, None) if "sym_name" in op.attributes}
        renamed: dict[str, str] = {}
        tensors = []
        for number, op in enumerate(op for op in _globals(module) if not _stays(op) and _symbol(op) in used):
            old = _symbol(op)
            taken.discard(old)
            renamed[old] = _free(self.names.name(op, number), taken)
            taken.add(renamed[old])
            kind = _type(op)
            tensors.append(StoredTensor(renamed[old], str(kind.element_type), tuple(kind.shape)))
        with module.context:
            for op in walk(module):
                if op.name == "util.global" and _symbol(op) in renamed:
                    op.attributes["sym_name"] = ir.StringAttr.get(renamed[_symbol(op)])
                elif "global" in op.attributes:
                    symbol = ir.FlatSymbolRefAttr(op.attributes["global"]).value
                    if symbol in renamed:
                        op.attributes["global"] = ir.FlatSymbolRefAttr.get(renamed[symbol])
        return tensors


def _globals(module: Any) -> list[Any]:
    """Those with a tensor as initial value."""
    return [
        op
        for op in _operations(module, "util.global")
        if "initial_value" in op.attributes and _is_tensor(op.attributes["initial_value"])
    ]


def _used(module: Any) -> set[str]:
    """Symbols of the globals that something reads; the others are left over from the evaluation of constants."""
    from iree.compiler import ir

    loads = [op for op in walk(module) if "global" in op.attributes]
    return {ir.FlatSymbolRefAttr(op.attributes["global"]).value for op in loads}


def _is_tensor(value: Any) -> bool:
    return _value_type(value) is not None


def _value_type(value: Any) -> Any | None:
    """The type of a tensor's value; None for all other attributes. Resources are not told by their Python class."""
    from iree.compiler import ir

    if isinstance(value, ir.DenseElementsAttr):
        return ir.ShapedType(value.type)
    try:
        return ir.ShapedType(ir.DenseResourceElementsAttr(value).type)
    except ValueError:
        return None


def _stays(op: Any) -> bool:
    """Variables, single values, and tensors so small that the pass leaves them."""
    from iree.compiler import ir

    value = op.attributes["initial_value"]
    if "is_mutable" in op.attributes or (isinstance(value, ir.DenseElementsAttr) and value.is_splat):
        return True
    return _byte_count(_type(op)) < _MIN_BYTES


def _byte_count(kind: Any) -> int:
    """As the pass counts: sub-byte integers are packed, booleans are not."""
    match = re.search(r"\d+", str(kind.element_type))
    bits = int(match[0]) if match else 32
    count: int = prod(kind.shape)
    return -(-count * (8 if bits == 1 else bits) // 8)


def _type(op: Any) -> Any:
    from iree.compiler import ir

    return ir.RankedTensorType(ir.TypeAttr(op.attributes["type"]).value)


def _free(name: str, taken: set[str]) -> str:
    candidate, number = name, 1
    while candidate in taken:
        candidate, number = f"{name}.{number}", number + 1
    return candidate


def _name_of(op: Any) -> str | None:
    """The first name in an operation's location that is no place in a file."""
    text = str(op.location)
    return next((name for name in location_names(text) if not _PLACE.search(name)), None)


def _symbol(op: Any) -> str:
    from iree.compiler import ir

    return str(ir.StringAttr(op.attributes["sym_name"]).value)


def _quoted(text: str) -> str:
    """As the value of a pass option."""
    return text if re.fullmatch(r"[\w./=+-]+", text) else f"'{text}'"


def _operations(module: Any, name: str | None) -> list[Any]:
    children = [inner.operation for inner in module.regions[0].blocks[0]]
    return children if name is None else [op for op in children if op.name == name]
