"""Constants of programs without a device.

Enters: the module after `input` and at `stream`. Leaves: an error for weights that are not in the module, which such
programs cannot load; and the same module, in which the bytes of constants reach their globals through an
optimisation barrier. Without a device, a global's initialiser becomes a plain store of constant bytes. The compiler
then tries to make the bytes the global's initial value, which it cannot for bytes that are packed out of several
tensors: it drops the initialiser and keeps the global empty, and kernels read from no buffer at all.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

from webree.compiler.session import location_names
from webree.errors import CompileError

__all__ = ["check_parameters", "keep_constants"]

_PARAMETER = re.compile(r"#\w+\.parameter\.named<(.*?)>")


def check_parameters(module: Any, execution_model: str) -> None:
    """That all weights are in the module. Raises `CompileError` with the first that is not."""
    from iree.compiler import ir

    for op in _operations(module.regions[0].blocks[0]):
        value = op.attributes["initial_value"] if "initial_value" in op.attributes else None
        found = (
            None
            if value is None or isinstance(value, ir.DenseElementsAttr | ir.DenseResourceElementsAttr)
            else _PARAMETER.match(str(value))
        )
        if found:
            location = next(iter(location_names(str(op.location))), None)
            raise CompileError(
                f"{f'{location}: ' if location else ''}the parameter {found[1]} is not in the module, and programs of "
                f"the execution model {execution_model} cannot load parameters; put it into the model, or compile with "
                "async-internal",
                op=op.name,
                location=location,
                unsupported=True,
            )


def keep_constants(module: Any) -> int:
    """Insert the barriers in place; returns how many there are."""
    from iree.compiler import ir

    initialisers = [op for op in _operations(module.regions[0].blocks[0]) if op.name == "util.initializer"]
    constants = [
        (op, following)
        for initialiser in initialisers
        for block in initialiser.regions[0]
        for op, following in itertools.pairwise(_operations(block))
        if op.name == "util.buffer.constant"
    ]
    for op, following in constants:
        value = op.results[0]
        uses = [(use.owner, use.operand_number) for use in value.uses]
        with op.context, op.location, ir.InsertionPoint(following):
            barrier = ir.Operation.create("util.optimization_barrier", [value.type], [value])
        for user, number in uses:
            user.operation.operands[number] = barrier.results[0]
    return len(constants)


def _operations(block: Any) -> list[Any]:
    return [inner.operation for inner in block]
