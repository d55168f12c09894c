"""Signatures as the model has them: names of arguments and results, and which integers are unsigned.

Enters: the module before `input`, after it, and after `abi`. Leaves: names and types in `iree.abi.declaration`, the
text that tells the runtime what a function takes and gives. The compiler forgets both: input conversion drops names,
and makes all integers signless, so that a caller would read the bytes of an unsigned result as signed ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webree.compiler.frontends import Signature
from webree.compiler.session import location_names
from webree.errors import CompileError

__all__ = [
    "UnsignedTypes",
    "check_fenced_results",
    "declare_unsigned",
    "set_accumulator",
    "set_names",
    "unsigned_types",
]

_FUNCTIONS = ("func.func", "util.func", "ml_program.func")
_REFLECTION, _DECLARATION = "iree.reflection", "iree.abi.declaration"
ACCUMULATE = "webree.accumulate"
_ENCODING = "source_encoding"
_UNSIGNED = re.compile(r"(?:\b|x)ui(\d+)\b")
_ELEMENT = re.compile(r"tensor<(?:[^<>]*x)?i\d+>")


@dataclass(frozen=True, slots=True)
class UnsignedTypes:
    """Of one function: for each argument and each result, whether it is a tensor of unsigned integers."""

    arguments: tuple[bool, ...]
    results: tuple[bool, ...]


def set_names(module: Any, signatures: Sequence[Signature]) -> None:
    """Put the model's own names on the arguments and results of its functions, after `input`."""
    from iree.compiler import ir

    by_function = {item.function: item for item in signatures}
    with module.context:
        for name, op in _functions(module).items():
            signature = by_function.get(name)
            if signature is None:
                continue
            for attribute, names in (("arg_attrs", signature.inputs), ("res_attrs", signature.outputs)):
                op.attributes[attribute] = ir.ArrayAttr.get(
                    [ir.DictAttr.get({"iree.abi.name": ir.StringAttr.get(name)}) for name in names]
                )


def set_accumulator(module: Any, element: str) -> None:
    """Note on every public function what its sums of f16 are accumulated in, after `input`: `webree dump` shows it."""
    from iree.compiler import ir

    with module.context:
        for op in _functions(module).values():
            if "sym_visibility" in op.attributes and ir.StringAttr(op.attributes["sym_visibility"]).value != "public":
                continue
            reflection = dict(_items(ir.DictAttr(op.attributes[_REFLECTION]))) if _REFLECTION in op.attributes else {}
            op.attributes[_REFLECTION] = ir.DictAttr.get(reflection | {ACCUMULATE: ir.StringAttr.get(element)})


def check_fenced_results(module: Any) -> None:
    """That functions with fences return tensors only or scalars only, after `input`. Raises `CompileError`.

    The compiler makes one barrier of a function's tensors, and loses the scalars beside them."""
    from iree.compiler import ir

    for name, op in _functions(module).items():
        if "sym_visibility" in op.attributes and ir.StringAttr(op.attributes["sym_visibility"]).value != "public":
            continue
        results = ir.FunctionType(ir.TypeAttr(op.attributes["function_type"]).value).results
        scalars = [str(kind) for kind in results if not isinstance(kind, ir.ShapedType)]
        if scalars and len(scalars) < len(results):
            location = next(iter(location_names(str(op.location))), None)
            raise CompileError(
                f"{f'{location}: ' if location else ''}function {name} returns tensors and scalars "
                f"({', '.join(map(str, results))}), which the execution model async-external cannot; return "
                f"the scalars as tensors (tensor<{scalars[0]}>), or compile with async-internal",
                op=op.name,
                location=location,
                unsupported=True,
            )


def unsigned_types(module: Any) -> dict[str, UnsignedTypes]:
    """The functions with unsigned integers, by name, before `input`."""
    from iree.compiler import ir

    found = {}
    for name, op in _functions(module).items():
        kind = ir.FunctionType(ir.TypeAttr(op.attributes["function_type"]).value)
        arguments, results = (
            tuple(bool(_UNSIGNED.search(str(value))) for value in values) for values in (kind.inputs, kind.results)
        )
        if any(arguments + results):
            found[name] = UnsignedTypes(arguments, results)
    return found


def declare_unsigned(module: Any, unsigned: Mapping[str, UnsignedTypes]) -> None:
    """Write the unsigned types into the declarations and the results' buffer views, after `abi`."""
    with module.context:
        for name, op in _functions(module).items():
            if name in unsigned:
                _set_declaration(op, unsigned[name])
                _set_result_types(op, unsigned[name].results)


def _set_declaration(function: Any, unsigned: UnsignedTypes) -> None:
    from iree.compiler import ir

    if _REFLECTION not in function.attributes:
        return
    reflection = dict(_items(ir.DictAttr(function.attributes[_REFLECTION])))
    if _DECLARATION in reflection:
        text = ir.StringAttr(reflection[_DECLARATION]).value
        text = _declaration(text, unsigned.arguments + unsigned.results)
        reflection[_DECLARATION] = ir.StringAttr.get(text)
        function.attributes[_REFLECTION] = ir.DictAttr.get(reflection)


def _set_result_types(function: Any, results: Sequence[bool]) -> None:
    """A result's buffer view states its element type, which comes from the export's encoding."""
    from iree.compiler import ir

    last = function.regions[0].blocks[len(function.regions[0].blocks) - 1].operations
    terminator = last[len(last) - 1].operation
    if terminator.name != "util.return":
        return
    for value, is_unsigned in zip(terminator.operands, results, strict=False):
        export = ir.OpResult(value).owner.operation if isinstance(value, ir.OpResult) else None
        if is_unsigned and export is not None and export.name == "hal.tensor.export":
            encoding = _to_unsigned(str(ir.TypeAttr(export.attributes[_ENCODING]).value))
            export.attributes[_ENCODING] = ir.TypeAttr.get(ir.Type.parse(encoding))


def _declaration(text: str, values: Sequence[bool]) -> str:
    """Replace the n-th value's type; each stands after its own `%name: `."""
    parts = re.split(r"(%(?:[^\s:]|:(?! ))+: )", text)
    for index, is_unsigned in enumerate(values):
        position = 2 * index + 2
        if is_unsigned and position < len(parts):
            parts[position] = _ELEMENT.sub(lambda match: _to_unsigned(match.group()), parts[position], count=1)
    return "".join(parts)


def _to_unsigned(tensor: str) -> str:
    return re.sub(r"(?<=[x<])i(\d+)>\Z", r"ui\1>", tensor)  # not what is unsigned already


def _items(attribute: Any) -> list[tuple[str, Any]]:
    return [(attribute[index].name, attribute[index].attr) for index in range(len(attribute))]


def _functions(module: Any) -> dict[str, Any]:
    from iree.compiler import ir

    return {
        str(ir.StringAttr(inner.operation.attributes["sym_name"]).value): inner.operation
        for inner in module.regions[0].blocks[0]
        if inner.operation.name in _FUNCTIONS
    }
