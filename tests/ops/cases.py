"""A row of the op table, and how a row of one op becomes a function.

Enters: an op's MLIR text with `%a`, `%b`, `%c` as operands and `%r`, `%s` as results, element types, a reference.
Leaves: a `Case`: a whole function on tensors, the inputs to call it with, the exact results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.ops.values import Array, inputs, numpy_type

__all__ = ["ALL", "Case", "elementwise", "integers", "packed", "sizes", "wide"]

ALL = ("webgpu", "cpu")
Inputs = Callable[[np.random.Generator], list[Array]]
Reference = Callable[..., Sequence[Array]]


@dataclass(frozen=True)
class Case:
    """One function.

    Attributes:
        name: `op.type`, unique in the table.
        group: cases of a group are compiled into one module.
        text: the function as MLIR; its name is `function`.
        inputs: makes the arguments.
        reference: the exact results of the arguments, in a wider type where rounding matters.
        results: element types of the results.
        ulp: tolerance of each element, see tests/ops/compare.py.
        absolute: an error that is no error.
        relative: instead of `ulp`, the tolerance of the largest difference against the largest number.
        targets: where the row applies: `webgpu` has no 64-bit floats.
    """

    name: str
    group: str
    text: str
    inputs: Inputs
    reference: Reference
    results: tuple[str, ...]
    ulp: float = 0
    absolute: float = 0
    relative: float | None = None
    targets: tuple[str, ...] = field(default=ALL)

    @property
    def function(self) -> str:
        return function_name(self.name)


def function_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def sizes(name: str) -> int:
    """Differs from case to case: a multiple of four, which kernels vectorise, and one that leaves a rest. Three
    quarters of it hold all pairs of edges."""
    return 492 if sum(name.encode()) % 2 else 487


def elementwise(
    name: str,
    body: str,
    operands: Sequence[str],
    results: Sequence[str],
    reference: Reference,
    *,
    group: str,
    ulp: float = 0,
    absolute: float = 0,
    relative: float | None = None,
    make: Inputs | None = None,
    count: int = 0,
    only_edges: bool = False,
) -> Case:
    """A case on tensors of one dimension. `$0`, `$1` in the body are the operands' types, `$r` the first result's."""
    size = count or sizes(name)
    types = [f"tensor<{size}x{kind}>" for kind in operands]
    returned = ", ".join(f"tensor<{size}x{kind}>" for kind in results)
    text = body.replace("$r", f"tensor<{size}x{results[0]}>").replace("#n", str(size))
    for index, kind in enumerate(types):
        text = text.replace(f"${index}", kind)
    arguments = ", ".join(f"%{letter}: {kind}" for letter, kind in zip("abc", types, strict=False))
    values = ", ".join(f"%{letter}" for letter in "rs"[: len(results)])
    whole = (
        f"func.func @{function_name(name)}({arguments}) -> ({returned}) {{\n{text}\n  return {values} : {returned}\n}}"
    )
    uses_f64 = "f64" in (*operands, *results)
    return Case(
        name,
        group,
        whole,
        make or inputs(*operands, count=size, only_edges=only_edges),
        reference,
        tuple(results),
        ulp=ulp,
        absolute=absolute,
        relative=relative,
        targets=("cpu",) if uses_f64 else ALL,
    )


def packed(name: str, predicates: Sequence[str], kind: str, operands: int, reference: Reference, *, group: str) -> Case:
    """Many predicates of the same operands as the bits of one result: kernels take time to compile.

    A predicate is the op's text up to its operands; the reference has a result for each."""
    names = ", ".join(["%a", "%b"][:operands])
    lines = ["  %m0 = arith.constant dense<0> : $r"]
    for bit, predicate in enumerate(predicates):
        lines += [
            f"  %p{bit} = {predicate} {names} : $0",
            f"  %k{bit} = arith.constant dense<{1 << bit}> : $r",
            f"  %s{bit} = arith.select %p{bit}, %k{bit}, %zero : tensor<#nxi1>, $r",
            f"  %m{bit + 1} = arith.ori %m{bit}, %s{bit} : $r",
        ]
    lines[0] += "\n  %zero = arith.constant dense<0> : $r"
    lines.append(f"  %r = arith.ori %m{len(predicates)}, %zero : $r")

    def bits(*arrays: Array) -> list[Array]:
        results = reference(*arrays)
        total = sum(np.asarray(result).astype(np.int32) << bit for bit, result in enumerate(results))
        return [np.asarray(total, np.int32)]

    return elementwise(name, "\n".join(lines), [kind] * operands, ["i32"], bits, group=group)


def integers(function: Callable[..., Any], *results: str) -> Reference:
    """A function of Python's integers, one element at a time; results wrap around as the types do."""

    def reference(*arrays: Array) -> list[Array]:
        rows = [function(*numbers) for numbers in zip(*(array.tolist() for array in arrays), strict=True)]
        columns = zip(*rows, strict=True) if len(results) > 1 else [rows]
        return [_wrapped(column, kind) for column, kind in zip(columns, results, strict=True)]

    return reference


def _wrapped(numbers: Any, kind: str) -> Array:
    if kind == "i1":
        return np.array([bool(number & 1) for number in numbers])
    dtype = numpy_type(kind)
    bits = 8 * dtype.itemsize
    return np.array([number & ((1 << bits) - 1) for number in numbers], f"u{dtype.itemsize}").view(dtype)


def wide(function: Callable[..., Array], dtype: Any = np.longdouble) -> Reference:
    """A function of floats in a wider type."""

    def reference(*arrays: Array) -> list[Array]:
        with np.errstate(all="ignore"):
            return [np.asarray(function(*(array.astype(dtype) for array in arrays)))]

    return reference
