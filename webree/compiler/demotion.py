"""Narrower number types, in the open: 64-bit floats to 32 bits, floats to halves, 64-bit integers to 32 bits.

Enters: the module after `input`, and the demotions that the caller chose. Leaves: the same module computing in the
narrower types, weights included. Floats to halves and integers to 32 bits happen inside: functions take and give what
the model says, and convert at the border. 64-bit floats go from the signature as well, for WebGPU has none, neither in
registers nor in buffers; a warning tells it for each function. The compiler's own passes print their warnings to
standard error if they see public functions; so these are private while a pass runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from webree.compiler.session import Session
from webree.compiler.signatures import UnsignedTypes
from webree.errors import UsageError

__all__ = ["DEMOTIONS", "CompileWarning", "check_demotions", "demote", "demote_f64"]

DEMOTIONS: dict[str, str] = {
    "f64-to-f32": "64-bit floats are 32-bit floats, in functions' signatures too",
    "f32-to-f16": "32-bit floats are computed and stored as 16-bit floats; functions take and give 32-bit ones",
    "i64-to-i32": "64-bit integers are 32-bit integers; functions take and give 64-bit ones",
}
"""In the order in which they are applied."""

_RESOURCE = re.compile(r'([^\s{,][^\s]*): "0x([0-9A-Fa-f]+)"')
_RESOURCE_HEADER = 4  # bytes that say how the rest is aligned
_FORMATS: dict[str, Literal["f", "d", "q"]] = {"f32": "f", "f64": "d", "i64": "q"}  # of memoryview
_PASS = "iree-input-conversion-demote-{}"
_INNER = "$demoted"
_NAMES = ("arg_attrs", "res_attrs", "iree.reflection")


class CompileWarning(UserWarning):
    """The compiled module differs from the model in a way that its caller should know."""


def check_demotions(names: Sequence[str]) -> tuple[str, ...]:
    """The demotions in the order to apply them. Raises `UsageError` for one that there is not."""
    for name in names:
        if name not in DEMOTIONS:
            raise UsageError(f"unknown demotion {name!r}; there are {', '.join(DEMOTIONS)}")
    return tuple(name for name in DEMOTIONS if name in names)


def demote_f64(session: Session, module: Any) -> list[str]:
    """What a device without 64-bit floats needs; returns a warning for each function whose type changes."""
    if "f64" not in str(module.get_asm(large_elements_limit=1, large_resource_limit=1)):
        return []
    return _changed(_run_hidden(session, module, "f64-to-f32"), "WebGPU has no 64-bit floats, they")


def demote(session: Session, module: Any, name: str, unsigned: Mapping[str, UnsignedTypes]) -> list[str]:
    """One demotion of `DEMOTIONS`, in place; returns warnings. `unsigned` says which integers count from zero."""
    _inline_resources(module, name.partition("-")[0])
    changed = _run_hidden(session, module, name)
    if name == "f64-to-f32":
        return _changed(changed, "64-bit floats")
    for function, (old, new) in changed.items():
        if old != new:
            _wrap(module, function, old, unsigned.get(function))
    return []


def _changed(signatures: Mapping[str, tuple[Any, Any]], what: str) -> list[str]:
    return [
        f"function {name}: {what} are 32-bit floats in the module; its type was {old} and is {new}"
        for name, (old, new) in signatures.items()
        if old != new
    ]


def _run_hidden(session: Session, module: Any, name: str) -> dict[str, tuple[Any, Any]]:
    """Run a pass while no function is public; the types of the public ones before and after, by name."""
    from iree.compiler import ir

    public = [op for op in _functions(module) if "sym_visibility" not in op.attributes or _is_public(op)]
    before = {_name(op): _type(op) for op in public}
    saved = [op.attributes["sym_visibility"] if "sym_visibility" in op.attributes else None for op in public]
    with module.context:
        for op in public:
            op.attributes["sym_visibility"] = ir.StringAttr.get("private")
    del public
    session.run_passes(module, _PASS.format(name), f"conversion of {name.replace('-', ' ')}")
    functions = {_name(op): op for op in _functions(module)}
    signatures = {}
    for function, visibility in zip(before, saved, strict=True):
        op = functions[function]
        if visibility is None:
            del op.attributes["sym_visibility"]
        else:
            op.attributes["sym_visibility"] = visibility
        signatures[function] = (before[function], _type(op))
    return signatures


def _inline_resources(module: Any, element: str) -> None:
    """Make constants of one element type whose bytes are resources plain ones: the passes change only their types."""
    from iree.compiler import ir

    wanted = re.compile(rf"dense_resource<(?P<key>.*)> : tensor<(?:\d+x)*{element}>", re.DOTALL)
    found: list[tuple[Any, str, str]] = []

    def visit(op: Any) -> Any:
        for name in ("value", "initial_value"):
            value = op.attributes[name] if name in op.attributes else None
            if value is not None and not isinstance(value, ir.DenseElementsAttr):
                match = wanted.fullmatch(str(value))
                if match is not None:
                    found.append((op, name, match["key"]))
        return ir.WalkResult.ADVANCE

    module.walk(visit)
    if not found:
        return
    # The bindings give no access to the bytes but by the text of the whole module.
    texts = dict(_RESOURCE.findall(module.get_asm()))
    with module.context, ir.Location.unknown():
        for op, name, key in found:
            data = memoryview(bytes.fromhex(texts[key])[_RESOURCE_HEADER:])
            kind = ir.ShapedType(ir.DenseResourceElementsAttr(op.attributes[name]).type)
            shape = tuple(kind.shape)
            form = _FORMATS[element]
            numbers = data.cast(form, shape) if shape else data.cast(form)
            op.attributes[name] = ir.DenseElementsAttr.get(numbers, type=kind)


# --- The border ---------------------------------------------------------------------------------------------------


def _wrap(module: Any, name: str, outer: Any, unsigned: UnsignedTypes | None) -> None:
    """A public function of the type `outer` that converts, and calls what was the public function."""
    from iree.compiler import ir

    inner = next(op for op in _functions(module) if _name(op) == name)
    kind = _type(inner)
    inner_name = name + _INNER
    while any(_name(op) == inner_name for op in _functions(module)):
        inner_name += _INNER
    attributes = {key: inner.attributes[key] for key in _NAMES if key in inner.attributes}
    for key in attributes:
        del inner.attributes[key]
    signs = unsigned.results if unsigned is not None else (False,) * len(outer.results)
    with module.context, inner.location:
        _rename(module, name, inner_name)
        inner.attributes["sym_name"] = ir.StringAttr.get(inner_name)
        inner.attributes["sym_visibility"] = ir.StringAttr.get("private")
        attributes |= {
            "sym_name": ir.StringAttr.get(name),
            "function_type": ir.TypeAttr.get(outer),
            "sym_visibility": ir.StringAttr.get("public"),
        }
        with ir.InsertionPoint(inner):
            wrapper = ir.Operation.create("util.func", attributes=attributes, regions=1)
        block = wrapper.regions[0].blocks.append(*outer.inputs)
        with ir.InsertionPoint(block):
            arguments = [
                _converted(value, wanted, False) for value, wanted in zip(block.arguments, kind.inputs, strict=True)
            ]
            call = ir.Operation.create(
                "util.call",
                results=list(kind.results),
                operands=arguments,
                attributes={
                    "callee": ir.FlatSymbolRefAttr.get(inner_name),
                    "operandSegmentSizes": ir.DenseI32ArrayAttr.get([len(arguments), 0, 0]),
                },
            )
            results = [
                _converted(value, wanted, sign)
                for value, wanted, sign in zip(call.results, outer.results, signs, strict=True)
            ]
            ir.Operation.create("util.return", operands=results)


def _converted(value: Any, wanted: Any, is_unsigned: bool) -> Any:
    """A number or tensor as another type of the same shape."""
    from iree.compiler import ir
    from iree.compiler.dialects import arith

    if value.type == wanted:
        return value
    old, new = (kind.element_type if isinstance(kind, ir.ShapedType) else kind for kind in (value.type, wanted))
    if isinstance(new, ir.FloatType):
        return (arith.truncf if new.width < old.width else arith.extf)(wanted, value)
    if new.width < old.width:
        return arith.trunci(wanted, value)
    return (arith.extui if is_unsigned else arith.extsi)(wanted, value)


def _rename(module: Any, old: str, new: str) -> None:
    """Let calls inside the module go to the function's new name."""
    from iree.compiler import ir

    def visit(op: Any) -> Any:
        if "callee" in op.attributes and ir.FlatSymbolRefAttr(op.attributes["callee"]).value == old:
            op.attributes["callee"] = ir.FlatSymbolRefAttr.get(new)
        return ir.WalkResult.ADVANCE

    module.walk(visit)


def _functions(module: Any) -> list[Any]:
    return [
        inner.operation
        for inner in module.regions[0].blocks[0]
        if inner.operation.name.endswith(".func") and "function_type" in inner.operation.attributes
    ]


def _is_public(op: Any) -> bool:
    return str(op.attributes["sym_visibility"]) == '"public"'


def _name(op: Any) -> str:
    from iree.compiler import ir

    return str(ir.StringAttr(op.attributes["sym_name"]).value)


def _type(op: Any) -> Any:
    from iree.compiler import ir

    return ir.FunctionType(ir.TypeAttr(op.attributes["function_type"]).value)
