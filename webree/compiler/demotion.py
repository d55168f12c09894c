"""64-bit floats become 32-bit ones, in the open.

Enters: the module after `input`. Leaves: the same module without `f64`, and a warning for each public function whose
signature changed. WebGPU has no 64-bit floats, neither in registers nor in buffers. The compiler's own pass prints its
warning to standard error if it sees public functions; so they are private while it runs.
"""

from __future__ import annotations

from typing import Any

from webree.compiler.session import Session

__all__ = ["CompileWarning", "demote_f64"]

_PASS = "iree-input-conversion-demote-f64-to-f32"


class CompileWarning(UserWarning):
    """The compiled module differs from the model in a way that its caller should know."""


def demote_f64(session: Session, module: Any) -> list[str]:
    """Demote in place; returns the warnings."""
    from iree.compiler import ir

    if "f64" not in str(module.get_asm(large_elements_limit=1, large_resource_limit=1)):
        return []
    public = [op for op in _functions(module) if "sym_visibility" not in op.attributes or _is_public(op)]
    before = [_signature(op) for op in public]
    saved = [op.attributes["sym_visibility"] if "sym_visibility" in op.attributes else None for op in public]
    with module.context:
        for op in public:
            op.attributes["sym_visibility"] = ir.StringAttr.get("private")
    del public
    session.run_passes(module, _PASS, "conversion of f64 to f32")
    after = []
    functions = {_name(op): op for op in _functions(module)}
    for name, _ in before:
        visibility = saved.pop(0)
        op = functions[name]
        if visibility is None:
            del op.attributes["sym_visibility"]
        else:
            op.attributes["sym_visibility"] = visibility
        after.append(_signature(op))
    return [
        f"function {name}: WebGPU has no 64-bit floats, they are 32-bit floats in the module; its type was {old} and "
        f"is {new}"
        for (name, old), (_, new) in zip(before, after, strict=True)
        if old != new
    ]


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


def _signature(op: Any) -> tuple[str, str]:
    return _name(op), str(op.attributes["function_type"])
