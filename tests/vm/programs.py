"""Single operations in MLIR's vm dialect, one function each.

Enters: nothing. Leaves: `OPERATIONS`, a list of `Program`. Floats cross a function's boundary as their bits, so that
results compare exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_BITS = {"f32": "i32", "f64": "i64"}


@dataclass(frozen=True)
class Program:
    """A function under test.

    Attributes:
        name: also the function's name in the module.
        arguments, results: MLIR types; `f32:bits` is passed as its bits in an i32.
        text: MLIR of the function and what it needs.
        ulps: how far float results may be from IREE's, in units in the last place.
        accepts: which integer arguments the operation is defined for.
    """

    name: str
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    text: str
    ulps: int = 0
    accepts: Callable[..., bool] = lambda *_arguments: True


def _carrier(kind: str) -> str:
    """The type that a value travels as."""
    return _BITS.get(kind, kind)


def operation(
    op: str,
    arguments: tuple[str, ...],
    result: str,
    types: str,
    ulps: int = 0,
    accepts: Callable[..., bool] = lambda *_arguments: True,
) -> Program:
    """A function around one operation: `vm.<op> %0, %1 : types`."""
    name = "op_" + op.replace(".", "_")
    parameters = ", ".join(f"%a{i}: {_carrier(kind)}" for i, kind in enumerate(arguments))
    lines = []
    operands = []
    for i, kind in enumerate(arguments):
        operands.append(f"%a{i}")
        if kind in _BITS:
            lines.append(f"%f{i} = vm.bitcast.{_BITS[kind]}.{kind} %a{i} : {_BITS[kind]} -> {kind}")
            operands[-1] = f"%f{i}"
    lines.append(f"%r = vm.{op} {', '.join(operands)} : {types}")
    returned = "%r"
    if result in _BITS:
        lines.append(f"%b = vm.bitcast.{result}.{_BITS[result]} %r : {result} -> {_BITS[result]}")
        returned = "%b"
    body = "\n    ".join([*lines, f"vm.return {returned} : {_carrier(result)}"])
    text = f"vm.func @{name}({parameters}) -> {_carrier(result)} {{\n    {body}\n  }}"
    return Program(name, arguments, (result,), text, ulps, accepts)


def _division_is_defined(a: int, b: int) -> bool:
    return b != 0 and not (b == -1 and a in (-(1 << 31), -(1 << 63)))


def _integer_operations(kind: str) -> list[Program]:
    two, one = (kind, kind), (kind,)
    rows = [operation(f"{op}.{kind}", two, kind, kind) for op in ("add", "sub", "mul", "and", "or", "xor")]
    rows += [
        operation(f"{op}.{kind}.{sign}", two, kind, kind, accepts=_division_is_defined)
        for op in ("div", "rem")
        for sign in "su"
    ]
    rows += [operation(f"{op}.{kind}.{sign}", two, kind, kind) for op in ("min", "max") for sign in "su"]
    rows += [operation(f"{op}.{kind}", one, kind, kind) for op in ("not", "ctlz", "abs")]
    rows += [operation(f"{op}.{kind}", (kind, "i32"), kind, kind) for op in ("shl",)]
    rows += [operation(f"shr.{kind}.{sign}", (kind, "i32"), kind, kind) for sign in "su"]
    rows += [operation(f"fma.{kind}", (kind,) * 3, kind, kind)]
    rows += [operation(f"cmp.{op}.{kind}", two, "i32", kind) for op in ("eq", "ne")]
    rows += [
        operation(f"cmp.{op}.{kind}.{sign}", two, "i32", kind) for op in ("lt", "lte", "gt", "gte") for sign in "su"
    ]
    rows += [operation(f"cmp.nz.{kind}", one, "i32", kind)]
    return rows


def _float_operations(kind: str) -> list[Program]:
    two, one = (kind, kind), (kind,)
    rows = [operation(f"{op}.{kind}", two, kind, kind) for op in ("add", "sub", "mul", "div", "rem", "min", "max")]
    rows += [operation(f"fma.{kind}", (kind,) * 3, kind, kind)]
    rows += [operation(f"{op}.{kind}", one, kind, kind) for op in ("abs", "neg", "ceil", "floor", "round", "sqrt")]
    rows += [operation(f"round.{kind}.even", one, kind, kind)]
    functions = "atan cos sin exp exp2 expm1 log log10 log1p log2 rsqrt tanh erf".split()
    rows += [operation(f"{op}.{kind}", one, kind, kind, ulps=4) for op in functions]
    rows += [operation(f"{op}.{kind}", two, kind, kind, ulps=4) for op in ("atan2", "pow")]
    rows += [
        operation(f"cmp.{op}.{kind}.{order}", two, "i32", kind)
        for op in ("eq", "ne", "lt", "lte", "gt", "gte")
        for order in "ou"
    ]
    rows += [operation(f"cmp.nan.{kind}", one, "i32", kind)]
    return rows


_CASTS: tuple[tuple[str, str, str], ...] = (
    ("trunc.i32.i8", "i32", "i32"),
    ("trunc.i32.i16", "i32", "i32"),
    ("trunc.i64.i32", "i64", "i32"),
    ("trunc.f64.f32", "f64", "f32"),
    ("ext.i8.i32.s", "i32", "i32"),
    ("ext.i8.i32.u", "i32", "i32"),
    ("ext.i16.i32.s", "i32", "i32"),
    ("ext.i16.i32.u", "i32", "i32"),
    ("ext.i32.i64.s", "i32", "i64"),
    ("ext.i32.i64.u", "i32", "i64"),
    ("ext.f32.f64", "f32", "f64"),
    # The compiler knows no casts between f64 and i32; these opcodes are assembled by hand in test_isa.py.
    *((f"cast.{s}i{n}.f{m}", f"i{n}", f"f{m}") for s in "su" for n, m in ((32, 32), (64, 32), (64, 64))),
    *((f"cast.f{m}.{s}i{n}", f"f{m}", f"i{n}") for s in "su" for n, m in ((32, 32), (64, 32), (64, 64))),
)


def _operations() -> list[Program]:
    rows: list[Program] = []
    for kind in ("i32", "i64"):
        rows += _integer_operations(kind)
    for kind in ("f32", "f64"):
        rows += _float_operations(kind)
    rows += [operation(op, (source,), target, f"{source} -> {target}") for op, source, target in _CASTS]
    rows += [operation(f"select.{kind}", ("i32", kind, kind), kind, kind) for kind in ("i32", "i64", "f32", "f64")]
    return rows


OPERATIONS = _operations()
