"""Programs of the `check` dialect: what their constants need.

Enters: the module after the phase `input`. Leaves: the same module, in which constants that a program hides from the
optimiser cannot be changed, expected values are constants like all others, and elements of less than 8 bits that must
be equal are compared as the bytes that they fill. Other programs are left as they are.
"""

from __future__ import annotations

from typing import Any

from webree.compiler.subbytes import as_bytes, is_packed
from webree.compiler.walking import replace, walk

__all__ = ["prepare_checks"]

_EXPECTED = {"check.expect_eq_const": "check.expect_eq", "check.expect_almost_eq_const": "check.expect_almost_eq"}
_HIDING = ("util.optimization_barrier",)


def prepare_checks(module: Any) -> int:
    """Change the module in place; returns how many operations were changed."""
    replace(module.operation, {"util.unfoldable_constant": _hidden_constant})
    found = list(walk(module.operation))
    for op in [op for op in found if op.name in _HIDING and _hides_constant(op)]:
        _protect(op)
    expectations = [op for op in found if op.name in _EXPECTED]
    for op in expectations:
        _name_expected(op)
    for op in [op for op in walk(module.operation) if op.name == "check.expect_eq"]:
        _compare_bytes(op)
    return len(expectations)


def _hidden_constant(op: Any) -> Any:
    """As a constant of which passes know that it is one, behind a barrier."""
    from iree.compiler import ir

    kind = op.results[0].type
    constant = ir.Operation.create("arith.constant", [kind], attributes={"value": op.attributes["value"]})
    return ir.Operation.create("util.optimization_barrier", [kind], [constant.results[0]]).results[0]


def _protect(op: Any) -> None:
    """The scheduler takes what comes from a barrier for a value that it may work on in place, although the memory is
    the constant's, and other functions may have the same one. A second use at the end makes it copy."""
    from iree.compiler import ir

    *_, last = op.block
    with op.context, op.location, ir.InsertionPoint(last):
        ir.Operation.create("util.optimization_barrier", [op.results[0].type], [op.results[0]])


def _hides_constant(op: Any) -> bool:
    from iree.compiler import ir

    if len(op.results) != 1 or not isinstance(op.results[0].type, ir.RankedTensorType):
        return False
    owners = [operand.owner for operand in op.operands]
    return all(not isinstance(owner, ir.Block) and owner.name == "arith.constant" for owner in owners)


def _name_expected(op: Any) -> None:
    """The expected value as an operand, so that whatever changes the types of a program changes this one too."""
    from iree.compiler import ir

    kind = ir.RankedTensorType(op.operands[0].type)
    if str(kind.element_type) != "f64" and not is_packed(kind):  # only these change
        return
    with op.context, op.location, ir.InsertionPoint(op):
        expected = ir.Operation.create("arith.constant", [kind], attributes={"value": op.attributes["value"]})
        kept = {name: op.attributes[name] for name in ("atol", "rtol") if name in op.attributes}
        ir.Operation.create(_EXPECTED[op.name], [], [op.operands[0], expected.results[0]], attributes=kept)
    op.erase()


def _compare_bytes(op: Any) -> None:
    from iree.compiler import ir

    with op.context, op.location, ir.InsertionPoint(op):
        for number, operand in enumerate(op.operands):
            if is_packed(operand.type):
                op.operands[number] = as_bytes(operand)
