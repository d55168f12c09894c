"""Functions of operations that the compiler fuses: a value computed elementwise, an operation, and what follows.

Enters: MLIR text of an operation. Leaves: text of operations before and after it, and the `Case` of the whole function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tests.ops.cases import Case, function_name
from tests.ops.values import Array, numpy_type

__all__ = ["Shape", "affine_map", "case", "draw", "linear", "row_sums", "tensor"]

Shape = tuple[int, ...]
_GROUP_OF = {
    **dict.fromkeys(("scan", "sort", "topk", "topk_v2"), "fused orders"),
    **dict.fromkeys(("scatter", "gather", "map_store", "map_load"), "fused indices"),
    "slice": "fused slices",
    **dict.fromkeys(
        (f"{op}_outside" for op in ("gather", "scatter", "dynamic_slice", "dynamic_update_slice")), "outside"
    ),
    **dict.fromkeys(("fft", "winograd", "attention"), "fused transforms"),
}


def tensor(shape: Sequence[int], kind: str = "f32") -> str:
    """A type's text."""
    return "tensor<" + "".join(f"{extent}x" for extent in shape) + f"{kind}>"


def affine_map(rank: int, dims: Sequence[int]) -> str:
    loops = ", ".join(f"d{dim}" for dim in range(rank))
    return f"affine_map<({loops}) -> ({', '.join(f'd{dim}' for dim in dims)})>"


def linear(result: str, source: str, shape: Shape, kind: str, scale: int, offset: int) -> str:
    """`result = source * scale + offset` as a generic operation."""
    add, mul = ("arith.addf", "arith.mulf") if kind[0] == "f" else ("arith.addi", "arith.muli")
    suffix = ".0" if kind[0] == "f" else ""
    same, whole = affine_map(len(shape), range(len(shape))), tensor(shape, kind)
    kinds = ", ".join(['"parallel"'] * len(shape))
    return f"""
  %{result}_scale = arith.constant {scale}{suffix} : {kind}
  %{result}_offset = arith.constant {offset}{suffix} : {kind}
  %{result}_empty = tensor.empty() : {whole}
  %{result} = linalg.generic {{indexing_maps = [{same}, {same}], iterator_types = [{kinds}]}}
      ins(%{source} : {whole}) outs(%{result}_empty : {whole}) {{
  ^bb0(%in: {kind}, %out: {kind}):
    %{result}_0 = {mul} %in, %{result}_scale : {kind}
    %{result}_1 = {add} %{result}_0, %{result}_offset : {kind}
    linalg.yield %{result}_1 : {kind}
  }} -> {whole}"""


def row_sums(result: str, source: str, shape: Shape, kind: str) -> str:
    """`result` = sums of `source` over its last dimension."""
    add, zero = ("arith.addf", "0.0") if kind[0] == "f" else ("arith.addi", "0")
    rank = len(shape)
    whole, part = tensor(shape, kind), tensor(shape[:-1], kind)
    kinds = ", ".join(['"parallel"'] * (rank - 1) + ['"reduction"'])
    return f"""
  %{result}_zero = arith.constant {zero} : {kind}
  %{result}_empty = tensor.empty() : {part}
  %{result}_fill = linalg.fill ins(%{result}_zero : {kind}) outs(%{result}_empty : {part}) -> {part}
  %{result} = linalg.generic {{indexing_maps = [{affine_map(rank, range(rank))}, {affine_map(rank, range(rank - 1))}],
      iterator_types = [{kinds}]}} ins(%{source} : {whole}) outs(%{result}_fill : {part}) {{
  ^bb0(%in: {kind}, %out: {kind}):
    %{result}_0 = {add} %in, %out : {kind}
    linalg.yield %{result}_0 : {kind}
  }} -> {part}"""


def case(
    name: str,
    arguments: Sequence[tuple[Shape, str]],
    body: str,
    results: Sequence[tuple[str, Shape, str]],
    reference: Callable[..., Sequence[Array]],
    make: Callable[[np.random.Generator], list[Array]] | None = None,
    relative: float = 1e-5,
    declared: str = "",
) -> Case:
    """A case whose arguments are `%a`, `%b`, ... and whose results are given as name, shape and element type."""
    declared = declared or ", ".join(
        f"%{letter}: {tensor(*kind)}" for letter, kind in zip("abcdefgh", arguments, strict=False)
    )
    kinds = ", ".join(tensor(shape, kind) for _, shape, kind in results)
    values = ", ".join(f"%{value}" for value, _, _ in results)
    text = f"func.func @{function_name(name)}({declared}) -> ({kinds}) {{{body}\n  return {values} : {kinds}\n}}"

    def inputs(random: np.random.Generator) -> list[Array]:
        return [draw(random, shape, kind) for shape, kind in arguments]

    return Case(
        name,
        _GROUP_OF.get(name.partition(".")[0], "fused layouts"),
        text,
        make or inputs,
        lambda *arrays: [np.asarray(array) for array in reference(*arrays)],
        tuple(kind for _, _, kind in results),
        relative=relative,
    )


def draw(random: np.random.Generator, shape: Shape, kind: str) -> Array:
    dtype = numpy_type(kind)
    return random.integers(-9, 9, shape).astype(dtype) if kind[0] == "i" else random.uniform(-2, 2, shape).astype(dtype)
