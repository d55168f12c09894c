"""Small programs in MLIR, each one function, in groups that are compiled together.

Enters: nothing. Leaves: `GROUPS`, group name -> programs. A program's inputs are drawn fresh within ranges where the
operation is defined. `text(group)` is a group's MLIR.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

__all__ = ["GROUPS", "Input", "Program", "text"]

_FLOAT = (-4.0, 4.0)
_SMALL = (-100, 100)
_ALL = {"i8": (-128, 127), "i16": (-(1 << 15), (1 << 15) - 1), "i32": (-(1 << 31), (1 << 31) - 1)}
_ALL["i64"] = (-(1 << 63), (1 << 63) - 1)
_ALL["i1"] = (0, 1)


@dataclass(frozen=True)
class Input:
    """A random tensor: extents, MLIR element type, least and greatest element."""

    shape: tuple[int, ...]
    element: str
    low: float
    high: float


@dataclass(frozen=True)
class Program:
    """One exported function.

    Attributes:
        tolerance: relative, with the same absolute floor; 0 for equal bits.
        differs_on_vmvx: the operation in NumPy, where VMVX's instruction is another one than MLIR means.
        differs_inline: whether the stock compiler makes another program of it for inline models (see docs).
    """

    name: str
    inputs: tuple[Input, ...]
    text: str
    tolerance: float = 1e-5
    differs_on_vmvx: Callable[..., Any] | None = None
    differs_inline: bool = False


def text(programs: Sequence[Program]) -> str:
    return "\n".join(program.text for program in programs)


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


def _floats(*shapes: tuple[int, ...]) -> tuple[Input, ...]:
    return tuple(Input(shape, "f32", -1.0, 1.0) for shape in shapes)


def _integers(element: str, *shapes: tuple[int, ...]) -> tuple[Input, ...]:
    return tuple(Input(shape, element, *_SMALL) for shape in shapes)


def _reduction(name: str, body: str, initial: str) -> Program:
    code = f"""func.func @{name}(%a0: tensor<6x11xf32>) -> tensor<6xf32> {{
  %z = arith.constant {initial} : f32
  %e = tensor.empty() : tensor<6xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<6xf32>) -> tensor<6xf32>
  %g = linalg.generic {{indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
      iterator_types = ["parallel", "reduction"]}} ins(%a0 : tensor<6x11xf32>) outs(%f : tensor<6xf32>) {{
  ^bb0(%a: f32, %o: f32):
    %r = {body} %a, %o : f32
    linalg.yield %r : f32
  }} -> tensor<6xf32>
  return %g : tensor<6xf32>
}}"""
    return Program(name, _floats((6, 11)), code)


_TENSORS = (
    _reduction("sum_rows", "arith.addf", "0.0"),
    _reduction("max_rows", "arith.maximumf", "0xFF800000"),
    _reduction("product_rows", "arith.mulf", "1.0"),
    Program(
        "matmul",
        _floats((9, 17), (17, 6)),
        """func.func @matmul(%a: tensor<9x17xf32>, %b: tensor<17x6xf32>) -> tensor<9x6xf32> {
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<9x6xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<9x6xf32>) -> tensor<9x6xf32>
  %r = linalg.matmul ins(%a, %b : tensor<9x17xf32>, tensor<17x6xf32>) outs(%f : tensor<9x6xf32>) -> tensor<9x6xf32>
  return %r : tensor<9x6xf32>
}""",
    ),
    Program(
        "matmul_i8",
        _integers("i8", (7, 12), (12, 5)),
        """func.func @matmul_i8(%a: tensor<7x12xi8>, %b: tensor<12x5xi8>) -> tensor<7x5xi32> {
  %z = arith.constant 3 : i32
  %e = tensor.empty() : tensor<7x5xi32>
  %f = linalg.fill ins(%z : i32) outs(%e : tensor<7x5xi32>) -> tensor<7x5xi32>
  %r = linalg.matmul ins(%a, %b : tensor<7x12xi8>, tensor<12x5xi8>) outs(%f : tensor<7x5xi32>) -> tensor<7x5xi32>
  return %r : tensor<7x5xi32>
}""",
        0.0,
    ),
    Program(
        "matmul_accumulate",
        _floats((8, 8), (8, 8), (8, 8)),
        """func.func @matmul_accumulate(%a: tensor<8x8xf32>, %b: tensor<8x8xf32>, %c: tensor<8x8xf32>)
    -> tensor<8x8xf32> {
  %r = linalg.matmul ins(%a, %b : tensor<8x8xf32>, tensor<8x8xf32>) outs(%c : tensor<8x8xf32>) -> tensor<8x8xf32>
  return %r : tensor<8x8xf32>
}""",
    ),
    Program(
        "batch_matmul",
        _floats((3, 4, 5), (3, 5, 2)),
        """func.func @batch_matmul(%a: tensor<3x4x5xf32>, %b: tensor<3x5x2xf32>) -> tensor<3x4x2xf32> {
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x4x2xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<3x4x2xf32>) -> tensor<3x4x2xf32>
  %r = linalg.batch_matmul ins(%a, %b : tensor<3x4x5xf32>, tensor<3x5x2xf32>) outs(%f : tensor<3x4x2xf32>)
      -> tensor<3x4x2xf32>
  return %r : tensor<3x4x2xf32>
}""",
    ),
    Program(
        "convolution",
        _floats((1, 8, 8, 3), (3, 3, 3, 4)),
        """func.func @convolution(%a: tensor<1x8x8x3xf32>, %b: tensor<3x3x3x4xf32>) -> tensor<1x3x3x4xf32> {
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x3x3x4xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<1x3x3x4xf32>) -> tensor<1x3x3x4xf32>
  %r = linalg.conv_2d_nhwc_hwcf {dilations = dense<1> : tensor<2xi64>, strides = dense<2> : tensor<2xi64>}
      ins(%a, %b : tensor<1x8x8x3xf32>, tensor<3x3x3x4xf32>) outs(%f : tensor<1x3x3x4xf32>) -> tensor<1x3x3x4xf32>
  return %r : tensor<1x3x3x4xf32>
}""",
    ),
    Program(
        "max_pool",
        _floats((1, 9, 9, 2)),
        """func.func @max_pool(%a: tensor<1x9x9x2xf32>) -> tensor<1x4x4x2xf32> {
  %z = arith.constant 0xFF800000 : f32
  %w = tensor.empty() : tensor<3x3xf32>
  %e = tensor.empty() : tensor<1x4x4x2xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<1x4x4x2xf32>) -> tensor<1x4x4x2xf32>
  %r = linalg.pooling_nhwc_max {dilations = dense<1> : tensor<2xi64>, strides = dense<2> : tensor<2xi64>}
      ins(%a, %w : tensor<1x9x9x2xf32>, tensor<3x3xf32>) outs(%f : tensor<1x4x4x2xf32>) -> tensor<1x4x4x2xf32>
  return %r : tensor<1x4x4x2xf32>
}""",
    ),
    Program(
        "softmax",
        _floats((4, 10)),
        """func.func @softmax(%a: tensor<4x10xf32>) -> tensor<4x10xf32> {
  %e = tensor.empty() : tensor<4x10xf32>
  %r = linalg.softmax dimension(1) ins(%a : tensor<4x10xf32>) outs(%e : tensor<4x10xf32>) -> tensor<4x10xf32>
  return %r : tensor<4x10xf32>
}""",
    ),
    Program(
        "transpose",
        _floats((5, 3, 4)),
        """func.func @transpose(%a: tensor<5x3x4xf32>) -> tensor<4x5x3xf32> {
  %e = tensor.empty() : tensor<4x5x3xf32>
  %r = linalg.transpose ins(%a : tensor<5x3x4xf32>) outs(%e : tensor<4x5x3xf32>) permutation = [2, 0, 1]
  return %r : tensor<4x5x3xf32>
}""",
    ),
    Program(
        "transpose_i16",
        _integers("i16", (6, 7)),
        """func.func @transpose_i16(%a: tensor<6x7xi16>) -> tensor<7x6xi16> {
  %e = tensor.empty() : tensor<7x6xi16>
  %r = linalg.transpose ins(%a : tensor<6x7xi16>) outs(%e : tensor<7x6xi16>) permutation = [1, 0]
  return %r : tensor<7x6xi16>
}""",
        0.0,
    ),
    Program(
        "broadcast",
        _floats((7,)),
        """func.func @broadcast(%a: tensor<7xf32>) -> tensor<3x7xf32> {
  %e = tensor.empty() : tensor<3x7xf32>
  %r = linalg.broadcast ins(%a : tensor<7xf32>) outs(%e : tensor<3x7xf32>) dimensions = [0]
  return %r : tensor<3x7xf32>
}""",
    ),
    Program(
        "pad",
        _integers("i32", (3, 4)),
        """func.func @pad(%a: tensor<3x4xi32>) -> tensor<6x7xi32> {
  %z = arith.constant -7 : i32
  %r = tensor.pad %a low[1, 2] high[2, 1] {
  ^bb0(%i: index, %j: index):
    tensor.yield %z : i32
  } : tensor<3x4xi32> to tensor<6x7xi32>
  return %r : tensor<6x7xi32>
}""",
        0.0,
    ),
    Program(
        "slice",
        _integers("i32", (9, 8)),
        """func.func @slice(%a: tensor<9x8xi32>) -> tensor<3x4xi32> {
  %r = tensor.extract_slice %a[2, 1] [3, 4] [1, 1] : tensor<9x8xi32> to tensor<3x4xi32>
  return %r : tensor<3x4xi32>
}""",
        0.0,
    ),
    Program(
        "insert",
        _integers("i32", (9, 8), (2, 3)),
        """func.func @insert(%a: tensor<9x8xi32>, %b: tensor<2x3xi32>) -> tensor<9x8xi32> {
  %r = tensor.insert_slice %b into %a[4, 5] [2, 3] [1, 1] : tensor<2x3xi32> into tensor<9x8xi32>
  return %r : tensor<9x8xi32>
}""",
        0.0,
    ),
    Program(
        "concat",
        _integers("i64", (2, 3), (4, 3)),
        """func.func @concat(%a: tensor<2x3xi64>, %b: tensor<4x3xi64>) -> tensor<6x3xi64> {
  %r = tensor.concat dim(0) %a, %b : (tensor<2x3xi64>, tensor<4x3xi64>) -> tensor<6x3xi64>
  return %r : tensor<6x3xi64>
}""",
        0.0,
    ),
    Program(
        "reshape",
        _floats((4, 6)),
        """func.func @reshape(%a: tensor<4x6xf32>) -> tensor<3x8xf32> {
  %c = tensor.collapse_shape %a [[0, 1]] : tensor<4x6xf32> into tensor<24xf32>
  %r = tensor.expand_shape %c [[0, 1]] output_shape [3, 8] : tensor<24xf32> into tensor<3x8xf32>
  return %r : tensor<3x8xf32>
}""",
    ),
    Program(
        "gather",
        (Input((10, 4), "f32", -1.0, 1.0), Input((6,), "i32", 0, 9)),
        """func.func @gather(%a: tensor<10x4xf32>, %i: tensor<6xi32>) -> tensor<6x4xf32> {
  %e = tensor.empty() : tensor<6x4xf32>
  %g = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]} ins(%i : tensor<6xi32>) outs(%e : tensor<6x4xf32>) {
  ^bb0(%x: i32, %o: f32):
    %row = arith.index_cast %x : i32 to index
    %column = linalg.index 1 : index
    %r = tensor.extract %a[%row, %column] : tensor<10x4xf32>
    linalg.yield %r : f32
  } -> tensor<6x4xf32>
  return %g : tensor<6x4xf32>
}""",
    ),
    Program(
        "iota",
        (),
        """func.func @iota() -> tensor<4x6xi32> {
  %e = tensor.empty() : tensor<4x6xi32>
  %g = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      outs(%e : tensor<4x6xi32>) {
  ^bb0(%o: i32):
    %i = linalg.index 0 : index
    %j = linalg.index 1 : index
    %k = arith.muli %i, %j : index
    %r = arith.index_cast %k : index to i32
    linalg.yield %r : i32
  } -> tensor<4x6xi32>
  return %g : tensor<4x6xi32>
}""",
        0.0,
    ),
    Program(
        "two_layers",
        _floats((2, 16), (16, 16), (16, 3)),
        """func.func @two_layers(%x: tensor<2x16xf32>, %v: tensor<16x16xf32>, %w: tensor<16x3xf32>) -> tensor<2x3xf32> {
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x16xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<2x16xf32>) -> tensor<2x16xf32>
  %h = linalg.matmul ins(%x, %v : tensor<2x16xf32>, tensor<16x16xf32>) outs(%f : tensor<2x16xf32>)
      -> tensor<2x16xf32>
  %s = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]} ins(%h : tensor<2x16xf32>) outs(%e : tensor<2x16xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = math.tanh %a : f32
    linalg.yield %r : f32
  } -> tensor<2x16xf32>
  %e3 = tensor.empty() : tensor<2x3xf32>
  %f3 = linalg.fill ins(%z : f32) outs(%e3 : tensor<2x3xf32>) -> tensor<2x3xf32>
  %y = linalg.matmul ins(%s, %w : tensor<2x16xf32>, tensor<16x3xf32>) outs(%f3 : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %y : tensor<2x3xf32>
}""",
    ),
)

_PROGRAMS = (
    Program(
        "dynamic_add",
        _floats((5, 3), (5, 3)),
        """func.func @dynamic_add(%a: tensor<?x3xf32>, %b: tensor<?x3xf32>) -> tensor<?x3xf32> {
  %r = arith.addf %a, %b : tensor<?x3xf32>
  return %r : tensor<?x3xf32>
}""",
    ),
    Program(
        "dynamic_matmul",
        _floats((3, 7), (7, 9)),
        """func.func @dynamic_matmul(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = tensor.dim %a, %c0 : tensor<?x?xf32>
  %n = tensor.dim %b, %c1 : tensor<?x?xf32>
  %z = arith.constant 0.0 : f32
  %e = tensor.empty(%m, %n) : tensor<?x?xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<?x?xf32>) -> tensor<?x?xf32>
  %r = linalg.matmul ins(%a, %b : tensor<?x?xf32>, tensor<?x?xf32>) outs(%f : tensor<?x?xf32>) -> tensor<?x?xf32>
  return %r : tensor<?x?xf32>
}""",
    ),
    Program(
        "state",
        _floats((4,)),
        """util.global private mutable @kept = dense<1.5> : tensor<4xf32>
func.func @state(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %old = util.global.load @kept : tensor<4xf32>
  %new = arith.addf %old, %x : tensor<4xf32>
  util.global.store %new, @kept : tensor<4xf32>
  %again = util.global.load @kept : tensor<4xf32>
  return %old, %again : tensor<4xf32>, tensor<4xf32>
}""",
        differs_inline=True,  # %old shares its memory with the global, which is overwritten
    ),
    Program(
        "constants",
        _floats((2, 3)),
        """func.func @constants(%a: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %w = arith.constant dense<[[1.0, 2.0, 3.0], [-4.0, 0.5, 0.25]]> : tensor<2x3xf32>
  %r = arith.mulf %a, %w : tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}""",
    ),
    Program(
        "several_results",
        (*_floats((3,)), *_integers("i32", (3,))),
        """func.func @several_results(%a: tensor<3xf32>, %b: tensor<3xi32>)
    -> (tensor<3xi32>, tensor<3xf32>, tensor<3xf32>) {
  %two = arith.constant dense<2.0> : tensor<3xf32>
  %r = arith.mulf %a, %two : tensor<3xf32>
  return %b, %r, %a : tensor<3xi32>, tensor<3xf32>, tensor<3xf32>
}""",
    ),
    Program(
        "branch",
        (Input((), "i32", 0, 1), *_floats((5,), (5,))),
        """func.func @branch(%c: tensor<i32>, %a: tensor<5xf32>, %b: tensor<5xf32>) -> tensor<5xf32> {
  %one = arith.constant 1 : i32
  %x = tensor.extract %c[] : tensor<i32>
  %p = arith.cmpi eq, %x, %one : i32
  %r = scf.if %p -> tensor<5xf32> {
    %s = arith.addf %a, %b : tensor<5xf32>
    scf.yield %s : tensor<5xf32>
  } else {
    %d = arith.subf %a, %b : tensor<5xf32>
    scf.yield %d : tensor<5xf32>
  }
  return %r : tensor<5xf32>
}""",
    ),
    Program(
        "counted_loop",
        _floats((4, 4)),
        """func.func @counted_loop(%a: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c5 = arith.constant 5 : index
  %h = arith.constant dense<0.5> : tensor<4x4xf32>
  %r = scf.for %i = %c0 to %c5 step %c1 iter_args(%x = %a) -> tensor<4x4xf32> {
    %y = arith.mulf %x, %h : tensor<4x4xf32>
    %w = arith.addf %y, %a : tensor<4x4xf32>
    scf.yield %w : tensor<4x4xf32>
  }
  return %r : tensor<4x4xf32>
}""",
    ),
    Program(
        "scalar_loop",
        (Input((), "i32", 1, 40),),
        """func.func @scalar_loop(%n0: tensor<i32>) -> tensor<i32> {
  %n = tensor.extract %n0[] : tensor<i32>
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %r:2 = scf.while (%i = %zero, %s = %one) : (i32, i32) -> (i32, i32) {
    %p = arith.cmpi slt, %i, %n : i32
    scf.condition(%p) %i, %s : i32, i32
  } do {
  ^bb0(%i: i32, %s: i32):
    %j = arith.addi %i, %one : i32
    %t = arith.muli %s, %j : i32
    %u = arith.xori %t, %i : i32
    scf.yield %j, %u : i32, i32
  }
  %t = tensor.from_elements %r#1 : tensor<i32>
  return %t : tensor<i32>
}""",
        0.0,
    ),
    Program(
        "argmax",
        _floats((5, 9)),
        """func.func @argmax(%a0: tensor<5x9xf32>) -> tensor<5xi32> {
  %low = arith.constant 0xFF800000 : f32
  %zero = arith.constant 0 : i32
  %e = tensor.empty() : tensor<5xf32>
  %f = linalg.fill ins(%low : f32) outs(%e : tensor<5xf32>) -> tensor<5xf32>
  %ei = tensor.empty() : tensor<5xi32>
  %fi = linalg.fill ins(%zero : i32) outs(%ei : tensor<5xi32>) -> tensor<5xi32>
  %g:2 = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>,
      affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
      ins(%a0 : tensor<5x9xf32>) outs(%f, %fi : tensor<5xf32>, tensor<5xi32>) {
  ^bb0(%a: f32, %m: f32, %k: i32):
    %j = linalg.index 1 : index
    %ji = arith.index_cast %j : index to i32
    %p = arith.cmpf ogt, %a, %m : f32
    %m2 = arith.select %p, %a, %m : f32
    %k2 = arith.select %p, %ji, %k : i32
    linalg.yield %m2, %k2 : f32, i32
  } -> (tensor<5xf32>, tensor<5xi32>)
  return %g#1 : tensor<5xi32>
}""",
        0.0,
    ),
    Program(
        "layer_norm",
        _floats((3, 16)),
        """func.func @layer_norm(%a0: tensor<3x16xf32>) -> tensor<3x16xf32> {
  %z = arith.constant 0.0 : f32
  %n = arith.constant 16.0 : f32
  %eps = arith.constant 1.0e-5 : f32
  %e = tensor.empty() : tensor<3xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<3xf32>) -> tensor<3xf32>
  %s = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
      iterator_types = ["parallel", "reduction"]} ins(%a0 : tensor<3x16xf32>) outs(%f : tensor<3xf32>) {
  ^bb0(%a: f32, %o: f32):
    %r = arith.addf %a, %o : f32
    linalg.yield %r : f32
  } -> tensor<3xf32>
  %v = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>,
      affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
      ins(%a0, %s : tensor<3x16xf32>, tensor<3xf32>) outs(%f : tensor<3xf32>) {
  ^bb0(%a: f32, %m: f32, %o: f32):
    %mean = arith.divf %m, %n : f32
    %d = arith.subf %a, %mean : f32
    %q = arith.mulf %d, %d : f32
    %r = arith.addf %q, %o : f32
    linalg.yield %r : f32
  } -> tensor<3xf32>
  %e2 = tensor.empty() : tensor<3x16xf32>
  %g = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>,
      affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
      ins(%a0, %s, %v : tensor<3x16xf32>, tensor<3xf32>, tensor<3xf32>) outs(%e2 : tensor<3x16xf32>) {
  ^bb0(%a: f32, %m: f32, %q: f32, %o: f32):
    %mean = arith.divf %m, %n : f32
    %d = arith.subf %a, %mean : f32
    %w = arith.divf %q, %n : f32
    %w2 = arith.addf %w, %eps : f32
    %i = math.rsqrt %w2 : f32
    %r = arith.mulf %d, %i : f32
    linalg.yield %r : f32
  } -> tensor<3x16xf32>
  return %g : tensor<3x16xf32>
}""",
    ),
)

GROUPS = {"floats": _FLOATS, "integers": _INTEGERS, "tensors": _TENSORS, "programs": _PROGRAMS}
