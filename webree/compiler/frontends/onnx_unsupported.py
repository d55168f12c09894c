"""Which operators of an ONNX model the compiler cannot convert: all of them in one error, each with its nodes.

Enters: the error of the failed conversion, and the module as imported (operations `torch.operator "onnx.X"`). Leaves:
a better `CompileError`. The conversion stops at the first operator it does not know, so on failure every distinct
operation is tried alone (onnx_trial.py), in a module of its own with its operands as arguments; constant operands
come along, since many conversions look into them.
"""

from __future__ import annotations

from typing import Any

from webree.compiler.frontends.onnx_trial import CONVERTED, try_alone
from webree.compiler.session import location_names
from webree.errors import CompileError

__all__ = ["explain_unsupported"]

_CONSTANT = "onnx.Constant"
_OPSET_ATTRIBUTES = "torch.onnx_meta."
_SHOWN = 12


def explain_unsupported(module: Any, opset: int, label: str, error: CompileError) -> CompileError:
    """The error to raise in place of `error`. `module` is the model freshly imported."""
    operators = [op for op in _operations(module) if op.name == "torch.operator" and _operator(op) != _CONSTANT]
    by_node = {_node(op): op for op in reversed(operators)}
    failing = by_node.get(error.location or "")
    unsupported: dict[str, list[str]] = {}
    if failing is not None:
        unsupported[_operator(failing)] = []
    keys = [f"{_operator(op)} {op.attributes} {[str(value.type) for value in op.operands]}" for op in operators]
    distinct = dict(zip(reversed(keys), reversed(operators), strict=True))
    errors = dict(zip(distinct, try_alone([_alone(op) for op in distinct.values()]), strict=True))
    for op, key in zip(operators, keys, strict=True):
        if op is failing or _is_failure(errors[key], strict=failing is None):
            unsupported.setdefault(_operator(op), []).append(_node(op))
    if not unsupported:
        return error
    shown = "; ".join(_listed(name, nodes) for name, nodes in list(unsupported.items())[:_SHOWN])
    first, nodes = next(iter(unsupported.items()))
    return CompileError(
        f"{label}: operators that webree cannot compile (ONNX opset {opset}), or not with these attributes and types: "
        f"{shown}\nfirst: {error}",
        op=first,
        location=error.location if failing is not None else nodes[0],
        unsupported=True,
    )


def _is_failure(found: str, *, strict: bool) -> bool:
    """Whether a result of `try_alone` means that the operator cannot be converted.

    Not strict: only an operator without any conversion counts as failure, because others may need to see how their
    operands are computed."""
    return found != CONVERTED and (strict or found.startswith("onnx."))


def _alone(op: Any) -> Any:
    """A module with one function that does only `op`."""
    from iree.compiler import ir
    from iree.compiler.dialects import func

    with op.context, op.location:
        module = ir.Module.create().operation
        variables = [value for value in op.operands if _constant_of(value) is None]
        results = [result.type for result in op.results]
        with ir.InsertionPoint(module.regions[0].blocks[0]):
            function = func.FuncOp("main", ir.FunctionType.get([value.type for value in variables], results))
            inherited = op.parent.attributes
            for name in inherited:
                if name.startswith(_OPSET_ATTRIBUTES):  # conversions are chosen by opset
                    function.attributes[name] = inherited[name]
        block = function.add_entry_block()
        arguments = iter(block.arguments)
        with ir.InsertionPoint(block):
            operands = []
            for value in op.operands:
                constant = _constant_of(value)
                operands.append(next(arguments) if constant is None else constant.clone().results[0])
            copy = op.clone()
            for index, value in enumerate(operands):
                copy.operation.operands[index] = value
            func.ReturnOp(list(copy.operation.results))
    return module


def _constant_of(value: Any) -> Any:
    """The operation that makes a constant operand, or None."""
    from iree.compiler import ir

    if not isinstance(value, ir.OpResult):
        return None
    owner = ir.OpResult(value).owner.operation
    if owner.name == "torch.constant.none" or (owner.name == "torch.operator" and _operator(owner) == _CONSTANT):
        return owner
    return None


def _operations(module: Any) -> list[Any]:
    return [
        inner.operation
        for function in module.regions[0].blocks[0]
        for block in function.operation.regions[0]
        for inner in block
    ]


def _operator(op: Any) -> str:
    from iree.compiler import ir

    return str(ir.StringAttr(op.attributes["name"]).value)


def _node(op: Any) -> str:
    """The ONNX node's name, which the importer put into the location."""
    names = location_names(str(op.location))
    return names[0] if names else ""


def _listed(name: str, nodes: list[str]) -> str:
    more = f" and {len(nodes) - 3} more" if len(nodes) > 3 else ""
    word = "node" if len(nodes) == 1 else "nodes"
    return f"{name} ({word} {', '.join(repr(node) for node in nodes[:3])}{more})"
