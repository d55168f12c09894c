"""Programs that compute each element alone, and the groups in which all programs are compiled together.

Enters: nothing. Leaves: `GROUPS`, group name -> programs. A program's inputs are drawn fresh within ranges where the
operation is defined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tests.execution_models.program import Input, Program
from tests.execution_models.tensor_programs import TENSORS
from tests.execution_models.whole_programs import WHOLE

__all__ = ["GROUPS"]

_FLOAT = (-4.0, 4.0)
_ALL = {"i8": (-128, 127), "i16": (-(1 << 15), (1 << 15) - 1), "i32": (-(1 << 31), (1 << 31) - 1)}
_ALL["i64"] = (-(1 << 63), (1 << 63) - 1)
_ALL["i1"] = (0, 1)


def _tensor(shape: Sequence[int], element: str) -> str:
    return f"tensor<{''.join(f'{extent}x' for extent in shape)}{element}>"


def _elementwise(
    name: str,
    elements: Sequence[str],
    result: str,
    body: str,
    ranges: Sequence[tuple[float, float]] | None = None,
    shape: tuple[int, ...] = (5, 13),
) -> Program:
    """`body` computes %r of type `result` from %a, %b, %c of the types `elements`."""
    letters = "abc"[: len(elements)]
    maps = ", ".join(["affine_map<(i, j) -> (i, j)>"] * (len(elements) + 1))
    arguments = ", ".join(f"%{x}0: {_tensor(shape, e)}" for x, e in zip(letters, elements, strict=True))
    tensors = ", ".join(_tensor(shape, e) for e in elements)
    scalars = ", ".join(f"%{x}: {e}" for x, e in zip(letters, elements, strict=True))
    out = _tensor(shape, result)
    code = f"""func.func @{name}({arguments}) -> {out} {{
  %e = tensor.empty() : {out}
  %g = linalg.generic {{indexing_maps = [{maps}], iterator_types = ["parallel", "parallel"]}}
      ins({", ".join(f"%{x}0" for x in letters)} : {tensors}) outs(%e : {out}) {{
  ^bb0({scalars}, %o: {result}):
    {body}
    linalg.yield %r : {result}
  }} -> {out}
  return %g : {out}
}}"""
    chosen = ranges or [_FLOAT if e[0] == "f" else _ALL[e] for e in elements]
    inputs = tuple(Input(shape, e, *limits) for e, limits in zip(elements, chosen, strict=True))
    return Program(name, inputs, code, 1e-5 if result[0] == "f" else 0.0)


def _unary(op: str, low: float = -4.0, high: float = 4.0) -> Program:
    return _elementwise(op.replace("math.", "f_"), ["f32"], "f32", f"%r = {op} %a : f32", [(low, high)])


def _binary(op: str, element: str, right: tuple[float, float] | None = None) -> Program:
    limits = _FLOAT if element[0] == "f" else _ALL[element]
    name = f"{op.split('.')[1]}_{element}"
    return _elementwise(name, [element] * 2, element, f"%r = {op} %a, %b : {element}", [limits, right or limits])


def _cast(op: str, source: str, target: str, limits: tuple[float, float] | None = None) -> Program:
    body = f"%r = {op} %a : {source} to {target}"
    return _elementwise(f"{op.split('.')[1]}_{source}_{target}", [source], target, body, limits and [limits])


_FLOATS = (
    *(_unary(f"math.{op}") for op in "exp tanh erf sin cos floor ceil absf roundeven atan".split()),
    *(_unary(f"math.{op}", 0.01, 50.0) for op in "log sqrt rsqrt log1p".split()),
    _elementwise("negf", ["f32"], "f32", "%r = arith.negf %a : f32"),
    *(_binary(f"arith.{op}", "f32") for op in "addf subf mulf maximumf minimumf".split()),
    _binary("arith.divf", "f32", (0.5, 4.0)),
    # VMVX takes IEEE's remainder, whose quotient is rounded to nearest.
    replace(_binary("arith.remf", "f32", (0.5, 4.0)), differs_on_vmvx=np.fmod),
    _elementwise("powf", ["f32", "f32"], "f32", "%r = math.powf %a, %b : f32", [(0.1, 4.0), (-3.0, 3.0)]),
    _elementwise("fma", ["f32"] * 3, "f32", "%r = math.fma %a, %b, %c : f32"),
    _elementwise(
        "select_f32",
        ["f32", "f32"],
        "f32",
        "%p = arith.cmpf olt, %a, %b : f32\n    %r = arith.select %p, %a, %b : f32",
    ),
    _elementwise("cmpf", ["f32", "f32"], "i1", "%r = arith.cmpf ule, %a, %b : f32"),
)

_INTEGERS = (
    *(_binary(f"arith.{op}", "i32") for op in "addi subi muli andi ori xori maxsi minsi maxui minui".split()),
    *(_binary(f"arith.{op}", "i32", (0, 31)) for op in "shli shrsi shrui".split()),
    *(_binary(f"arith.{op}", "i32", (1, 1000)) for op in "divsi divui remsi remui".split()),
    *(_binary(f"arith.{op}", "i64") for op in "addi muli xori maxsi".split()),
    *(_binary(f"arith.{op}", "i64", (1, 1 << 40)) for op in "divsi remui".split()),
    _binary("arith.shrui", "i64", (0, 63)),
    *(_binary(f"arith.{op}", "i8") for op in "addi muli".split()),
    _binary("arith.subi", "i16"),
    _elementwise("ctlz", ["i32"], "i32", "%r = math.ctlz %a : i32"),
    _elementwise("absi", ["i32"], "i32", "%r = math.absi %a : i32"),
    _elementwise("cmpi", ["i32", "i32"], "i1", "%r = arith.cmpi ult, %a, %b : i32"),
    _elementwise("and_i1", ["i1", "i1"], "i1", "%r = arith.andi %a, %b : i1"),
    _cast("arith.extsi", "i8", "i32"),
    _cast("arith.extui", "i16", "i64"),
    _cast("arith.trunci", "i64", "i8"),
    _cast("arith.sitofp", "i32", "f32"),
    _cast("arith.uitofp", "i8", "f32"),
    # VMVX rounds to nearest.
    replace(_cast("arith.fptosi", "f32", "i32", (-1e6, 1e6)), differs_on_vmvx=lambda x: np.trunc(x).astype(np.int32)),
    _cast("arith.bitcast", "f32", "i32", (-1e6, 1e6)),
)

GROUPS = {"floats": _FLOATS, "integers": _INTEGERS, "tensors": TENSORS, "programs": WHOLE}
