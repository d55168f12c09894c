"""A module in which every 16-bit type meets every other, for the tests of modules with f16, i16 and bf16 at once.

Enters: a seed. Leaves: MLIR text with one function per row, inputs for each, and what NumPy and ml_dtypes make of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from tests.conftest import Machine

__all__ = ["COUNT", "ROWS", "Row", "inputs", "profiles", "text"]

BF16 = ml_dtypes.bfloat16
COUNT = 19  # odd: the last value shares its word with none


@dataclass(frozen=True)
class Row:
    """A function `name` over vectors: types of its inputs and result, the body's lines, and its reference.

    Attributes:
        body: MLIR that makes `%y` of `%a`, `%b`, ….
    """

    name: str
    kinds: tuple[str, ...]
    result: str
    body: str
    reference: Callable[..., Any]


def _wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """On 32 bits, and what 16 of them keep."""
    return lambda *values: function(*(value.astype("i4") for value in values)).astype("i4").astype("i2")


def _unsigned(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same of numbers without a sign."""
    return lambda *values: function(*(value.view("u2").astype("i8") for value in values)).astype("i8").astype("i2")


def _binary(op: str, reference: Callable[..., Any]) -> Row:
    return Row(op, ("i16", "i16"), "i16", f"%y = arith.{op} %a, %b : i16", reference)


def _compare(predicate: str, reference: Callable[..., Any]) -> Row:
    """Compares a sum, whose upper bits are more than 16."""
    body = (
        f"%s = arith.addi %a, %a : i16\n%c = arith.cmpi {predicate}, %s, %b : i16\n%y = arith.select %c, %s, %b : i16"
    )

    def wanted(a: Any, b: Any) -> Any:
        total = a + a
        pair = (total, b) if predicate[0] in "se" else (total.view("u2"), b.view("u2"))
        return np.where(reference(*pair), total, b)

    return Row(f"cmpi_{predicate}", ("i16", "i16"), "i16", body, wanted)


def _convert(op: str, source: str, target: str, reference: Callable[..., Any]) -> Row:
    return Row(f"{op}_{source}_{target}", (source,), target, f"%y = arith.{op} %a : {source} to {target}", reference)


def _bf16_sum(a: Any, b: Any) -> Any:
    return (a.astype("f4") + b.astype("f4")).astype(BF16)


ROWS: tuple[Row, ...] = (
    _binary("addi", lambda a, b: a + b),
    _binary("subi", lambda a, b: a - b),
    _binary("muli", lambda a, b: a * b),
    _binary("andi", lambda a, b: a & b),
    _binary("xori", lambda a, b: a ^ b),
    _binary("divsi", _wrapped(lambda a, b: np.trunc(a / b))),
    _binary("remsi", _wrapped(np.fmod)),
    _binary("divui", _unsigned(lambda a, b: a // b)),
    _binary("remui", _unsigned(lambda a, b: a % b)),
    _binary("maxsi", np.maximum),
    _binary("minui", _unsigned(np.minimum)),
    Row("shrsi", ("i16",), "i16", "%n = arith.constant 3 : i16\n%y = arith.shrsi %a, %n : i16", lambda a: a >> 3),
    Row(
        "shrui",
        ("i16",),
        "i16",
        "%n = arith.constant 3 : i16\n%s = arith.addi %a, %a : i16\n%y = arith.shrui %s, %n : i16",
        lambda a: ((a + a).view("u2") >> 3).view("i2"),
    ),
    Row("shli", ("i16",), "i16", "%n = arith.constant 5 : i16\n%y = arith.shli %a, %n : i16", lambda a: a << 5),
    _compare("slt", np.less),
    _compare("ult", np.less),
    _compare("uge", np.greater_equal),
    _compare("eq", np.equal),
    _convert("extsi", "i16", "i32", lambda a: a.astype("i4")),
    _convert("extui", "i16", "i32", lambda a: a.view("u2").astype("i4")),
    _convert("extsi", "i16", "i64", lambda a: a.astype("i8")),
    _convert("trunci", "i32", "i16", lambda a: a.astype("i2")),
    _convert("trunci", "i16", "i8", lambda a: a.astype("i1")),
    Row(
        "extsi_i8",
        ("i8",),
        "i16",
        "%s = arith.addi %a, %a : i8\n%y = arith.extsi %s : i8 to i16",
        lambda a: (a + a).astype("i2"),
    ),
    Row(
        "extui_i8",
        ("i8",),
        "i16",
        "%s = arith.addi %a, %a : i8\n%y = arith.extui %s : i8 to i16",
        lambda a: (a + a).view("u1").astype("i2"),
    ),
    _convert("sitofp", "i16", "f16", lambda a: a.astype("f2")),
    _convert("uitofp", "i16", "f32", lambda a: a.view("u2").astype("f4")),
    _convert("sitofp", "i16", "bf16", lambda a: a.astype("f4").astype(BF16)),
    Row(
        "fptosi",
        ("f16",),
        "i16",
        "%k = arith.constant 16.0 : f16\n%s = arith.mulf %a, %k : f16\n%y = arith.fptosi %s : f16 to i16",
        lambda a: np.trunc(a * np.float16(16)).astype("i2"),
    ),
    _convert("bitcast", "f16", "i16", lambda a: a.view("i2")),
    _convert("bitcast", "i16", "f16", lambda a: a.view("f2")),
    _convert("bitcast", "bf16", "i16", lambda a: a.view("i2")),
    _convert("extf", "bf16", "f32", lambda a: a.astype("f4")),
    _convert("truncf", "f32", "bf16", lambda a: a.astype(BF16)),
    Row("addf_bf16", ("bf16", "bf16"), "bf16", "%y = arith.addf %a, %b : bf16", _bf16_sum),
    Row(
        "bf16_times_f16",
        ("bf16", "f16"),
        "f32",
        "%w = arith.extf %a : bf16 to f32\n%v = arith.extf %b : f16 to f32\n%y = arith.mulf %w, %v : f32",
        lambda a, b: a.astype("f4") * b.astype("f4"),
    ),
    Row(
        "all_three",
        ("f16", "i16", "bf16"),
        "f32",
        "%u = arith.extf %a : f16 to f32\n%v = arith.sitofp %b : i16 to f32\n%w = arith.extf %c : bf16 to f32\n"
        "%p = arith.addf %u, %v : f32\n%y = arith.addf %p, %w : f32",
        lambda a, b, c: (a.astype("f4") + b.astype("f4")) + c.astype("f4"),
    ),
)


def profiles(machine: Machine) -> list[str | None]:
    """Both forms of f16 that the machine runs."""
    if machine.target != "webgpu":
        return [None]
    return ["webgpu-software", *(["webgpu-f16"] if "shader-f16" in machine.device.info.features else [])]


def inputs(row: Row, seed: int) -> list[Any]:
    """No zeros among the integers, for divisions; exponents of floats are small."""
    random = np.random.default_rng([seed, *row.name.encode()])
    made = []
    for kind in row.kinds:
        if kind[0] == "i":
            width = min(int(kind[1:]), 32)
            values = random.integers(-(1 << (width - 1)), 1 << (width - 1), COUNT)
            values[values == 0] = 7
            values[:4] = (1, -1, (1 << (width - 1)) - 1, -(1 << (width - 1)))
            made.append(values.astype(f"i{width // 8}"))
        else:
            values = random.standard_normal(COUNT) * 2.0 ** random.integers(-6, 7, COUNT)
            made.append(values.astype({"f16": "f2", "f32": "f4", "bf16": BF16}[kind]))
    return made


def text(rows: Sequence[Row] = ROWS, count: str = str(COUNT)) -> str:
    """The rows' functions; `count` is `?` for vectors of any length."""
    return "\n".join(_function(row, count) for row in rows)


def _function(row: Row, count: str) -> str:
    names = "abc"[: len(row.kinds)]
    types = [f"tensor<{count}x{kind}>" for kind in row.kinds]
    result = f"tensor<{count}x{row.result}>"
    parameters = ", ".join(f"%{name}_: {kind}" for name, kind in zip(names, types, strict=True))
    maps = ", ".join(["affine_map<(i) -> (i)>"] * (len(names) + 1))
    scalars = ", ".join(f"%{name}: {kind}" for name, kind in zip(names, row.kinds, strict=True))
    size = f"  %c0 = arith.constant 0 : index\n  %size = tensor.dim %a_, %c0 : {types[0]}\n" if count == "?" else ""
    return f"""func.func @{row.name}({parameters}) -> {result} {{
{size}  %empty = tensor.empty({"%size" if count == "?" else ""}) : {result}
  %out = linalg.generic {{indexing_maps = [{maps}], iterator_types = ["parallel"]}}
      ins({", ".join(f"%{name}_" for name in names)} : {", ".join(types)}) outs(%empty : {result}) {{
    ^bb0({scalars}, %o: {row.result}):
      {row.body.replace(chr(10), chr(10) + "      ")}
      linalg.yield %y : {row.result}
  }} -> {result}
  return %out : {result}
}}"""
