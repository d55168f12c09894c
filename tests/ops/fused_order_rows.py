"""Rows between operations that the compiler fuses with them: scans, sorts, scatters, gathers.

Enters: nothing. Leaves: cases whose functions compute an operation's operand elementwise, run the operation, and go on
with its result elementwise or by a sum: what is handed over within one kernel. Sizes are multiples of nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.ops.cases import Case
from tests.ops.fused import Shape, case, draw, linear, row_sums, tensor
from tests.ops.values import Array

__all__ = ["rows"]


def rows() -> list[Case]:
    """All cases."""
    return [*_scans(), *_sorts(), *_scatters()]


# -- along one dimension ----------------------------------------------------------------------------------------------


def _scan(source: str, shape: Shape, kind: str, dimension: int, inclusive: bool) -> str:
    rest = shape[:dimension] + shape[dimension + 1 :]
    add, zero = ("arith.addf", "0.0") if kind[0] == "f" else ("arith.addi", "0")
    whole, part = tensor(shape, kind), tensor(rest, kind)
    return f"""
  %scan_zero = arith.constant {zero} : {kind}
  %scan_empty = tensor.empty() : {whole}
  %scan_sum = tensor.empty() : {part}
  %scan_fill = linalg.fill ins(%scan_zero : {kind}) outs(%scan_sum : {part}) -> {part}
  %s:2 = iree_linalg_ext.scan dimension({dimension}) inclusive({str(inclusive).lower()})
      ins(%{source} : {whole}) outs(%scan_empty, %scan_fill : {whole}, {part}) {{
  ^bb0(%left: {kind}, %right: {kind}):
    %added = {add} %left, %right : {kind}
    iree_linalg_ext.yield %added : {kind}
  }} -> {whole}, {part}"""


def _scans() -> list[Case]:
    found = []
    for kind, dimension, inclusive in (("f32", 0, True), ("f32", 1, True), ("f32", 1, False), ("i32", 0, False)):
        shape = (37, 53)
        body = linear("x", "a", shape, kind, 2, 1) + _scan("x", shape, kind, dimension, inclusive)
        body += linear("y", "s#0", shape, kind, 3, -1)

        def reference(a: Array, dimension: int = dimension, inclusive: bool = inclusive) -> list[Array]:
            x = a * 2 + 1
            total = np.cumsum(x, axis=dimension, dtype=x.dtype)
            return [(total if inclusive else total - x) * 3 - 1]

        name = f"scan.{kind}.{dimension}.{'inclusive' if inclusive else 'exclusive'}"
        found.append(case(name, [(shape, kind)], body, [("y", shape, kind)], reference))
    shape = (37, 53)
    body = linear("x", "a", shape, "f32", 2, 1) + _scan("x", shape, "f32", 1, True) + row_sums("y", "s#0", shape, "f32")
    found.append(
        case(
            "scan.sums",
            [(shape, "f32")],
            body,
            [("y", (37,), "f32"), ("s#1", (37,), "f32")],
            lambda a: [np.cumsum(a * 2 + 1, axis=1).sum(1), (a * 2 + 1).sum(1)],
        )
    )
    return found


def _sorts() -> list[Case]:
    found = []
    for dimension in (0, 1):
        shape = (23, 41)
        whole = tensor(shape)
        body = (
            linear("x", "a", shape, "f32", -2, 1)
            + f"""
  %s = iree_linalg_ext.sort dimension({dimension}) outs(%x : {whole}) {{
  ^bb0(%left: f32, %right: f32):
    %less = arith.cmpf olt, %left, %right : f32
    iree_linalg_ext.yield %less : i1
  }} -> {whole}"""
            + linear("y", "s", shape, "f32", 3, 1)
        )
        found.append(
            case(
                f"sort.{dimension}",
                [(shape, "f32")],
                body,
                [("y", shape, "f32")],
                lambda a, dimension=dimension: [np.sort(a * -2 + 1, axis=dimension) * 3 + 1],
            )
        )
    shape = (19, 45)
    whole, keys = tensor(shape), tensor(shape, "i32")
    body = (
        linear("k", "a", shape, "i32", -1, 2)
        + linear("v", "b", shape, "f32", 2, 1)
        + f"""
  %s:2 = iree_linalg_ext.sort dimension(1) outs(%k, %v : {keys}, {whole}) {{
  ^bb0(%left: i32, %right: i32, %left_value: f32, %right_value: f32):
    %less = arith.cmpi slt, %left, %right : i32
    iree_linalg_ext.yield %less : i1
  }} -> {keys}, {whole}"""
        + row_sums("y", "s#1", shape, "f32")
    )

    def pairs(random: np.random.Generator) -> list[Array]:
        order = np.stack([random.permutation(45) for _ in range(19)]).astype(np.int32)
        return [order, draw(random, shape, "f32")]

    found.append(
        case(
            "sort.pairs",
            [(shape, "i32"), (shape, "f32")],
            body,
            [("s#0", shape, "i32"), ("s#1", shape, "f32"), ("y", (19,), "f32")],
            lambda a, b: [
                np.sort(2 - a, axis=1),
                np.take_along_axis(b * 2 + 1, np.argsort(2 - a, axis=1), 1),
                (b * 2 + 1).sum(1),
            ],
            pairs,
        )
    )
    return [*found, *_long_sorts(), *_topks()]


def _long_sorts() -> list[Case]:
    """Long enough for a network of passes, which must keep equal keys in their order."""
    shape = (300, 5)
    whole, keys = tensor(shape), tensor(shape, "i32")
    body = f"""
  %y:2 = iree_linalg_ext.sort dimension(0) outs(%a, %b : {keys}, {whole}) {{
  ^bb0(%left: i32, %right: i32, %left_value: f32, %right_value: f32):
    %less = arith.cmpi slt, %left, %right : i32
    iree_linalg_ext.yield %less : i1
  }} -> {keys}, {whole}"""

    def reference(a: Array, b: Array) -> list[Array]:
        return [np.sort(a, axis=0), np.take_along_axis(b, np.argsort(a, axis=0, kind="stable"), 0)]

    results = [("y#0", shape, "i32"), ("y#1", shape, "f32")]
    return [case("sort.long", [(shape, "i32"), (shape, "f32")], body, results, reference)]


def _topks() -> list[Case]:
    found = []
    for name, shape, count in (("topk", (21, 67), 5), ("topk_v2", (21, 67), 5), ("topk", (2, 700), 30)):
        top = (shape[0], count)
        values, indices = tensor(top), tensor(top, "i32")
        sorted_text = " is_sorted" if name == "topk_v2" else ""
        body = (
            linear("x", "a", shape, "f32", -2, 1)
            + f"""
  %low = arith.constant 0xFF800000 : f32
  %none = arith.constant 0 : i32
  %values_empty = tensor.empty() : {values}
  %values = linalg.fill ins(%low : f32) outs(%values_empty : {values}) -> {values}
  %indices_empty = tensor.empty() : {indices}
  %indices = linalg.fill ins(%none : i32) outs(%indices_empty : {indices}) -> {indices}
  %s:2 = iree_linalg_ext.{name} dimension(1){sorted_text} ins(%x : {tensor(shape)})
      outs(%values, %indices : {values}, {indices}) {{
  ^bb0(%left: f32, %right: f32):
    %more = arith.cmpf ogt, %left, %right : f32
    iree_linalg_ext.yield %more : i1
  }} -> {values}, {indices}"""
            + linear("y", "s#0", top, "f32", 2, 1)
        )
        found.append(
            case(
                f"{name}.{count}",
                [(shape, "f32")],
                body,
                [("y", top, "f32"), ("s#1", top, "i32")],
                lambda a, count=count: [
                    -np.sort(-(a * -2 + 1), axis=1)[:, :count] * 2 + 1,
                    np.argsort(-(a * -2 + 1), axis=1, kind="stable")[:, :count].astype(np.int32),
                ],
            )
        )
    return found


# -- by index ---------------------------------------------------------------------------------------------------------


def _scatters() -> list[Case]:
    shape, updates = (29, 13), (17, 13)

    def body(unique: bool, combine: str) -> str:
        return (
            linear("u", "b", updates, "f32", 2, 1)
            + linear("o", "a", shape, "f32", 3, 0)
            + f"""
  %s = iree_linalg_ext.scatter dimension_map = [0] unique_indices({str(unique).lower()})
      ins(%u, %c : {tensor(updates)}, tensor<17x1xi32>) outs(%o : {tensor(shape)}) {{
  ^bb0(%update: f32, %original: f32):
    {combine}
    iree_linalg_ext.yield %new : f32
  }} -> {tensor(shape)}"""
            + linear("y", "s", shape, "f32", 2, -1)
        )

    def inputs(unique: bool) -> Callable[[np.random.Generator], list[Array]]:
        def make(random: np.random.Generator) -> list[Array]:
            rows = random.permutation(29)[:17] if unique else random.integers(0, 29, 17)
            return [draw(random, shape, "f32"), draw(random, updates, "f32"), rows.astype(np.int32)[:, None]]

        return make

    def replaced(a: Array, b: Array, c: Array) -> list[Array]:
        out = a * 3
        out[c[:, 0]] = b * 2 + 1
        return [out * 2 - 1]

    def added(a: Array, b: Array, c: Array) -> list[Array]:
        out = a * 3
        np.add.at(out, c[:, 0], b * 2 + 1)
        return [out * 2 - 1]

    arguments = [(shape, "f32"), (updates, "f32"), ((17, 1), "i32")]
    replace, add = "%new = arith.addf %update, %none : f32", "%new = arith.addf %update, %original : f32"
    zero = "\n  %none = arith.constant 0.0 : f32"
    results = [("y", shape, "f32")]
    gather = (
        linear("x", "a", shape, "f32", 2, 1)
        + f"""
  %gathered = tensor.empty() : {tensor(updates)}
  %s = iree_linalg_ext.gather dimension_map = [0] ins(%x, %b : {tensor(shape)}, tensor<17xi32>)
      outs(%gathered : {tensor(updates)}) -> {tensor(updates)}"""
        + linear("y", "s", updates, "f32", 3, -1)
    )
    return [
        case("scatter.unique", arguments, zero + body(True, replace), results, replaced, inputs(True)),
        case("scatter.add", arguments, body(False, add), results, added, inputs(False)),
        case("scatter.last", arguments, zero + body(False, replace), results, replaced, inputs(False)),
        case(
            "gather.rows",
            [(shape, "f32"), ((17,), "i32")],
            gather,
            [("y", updates, "f32")],
            lambda a, b: [(a * 2 + 1)[b] * 3 - 1],
            lambda random: [draw(random, shape, "f32"), random.integers(0, 29, 17).astype(np.int32)],
        ),
        *_maps(),
    ]


def _maps() -> list[Case]:
    shape, flat = (11, 13), (143,)
    store = (
        linear("x", "a", shape, "f32", 2, 1)
        + f"""
  %empty = tensor.empty() : {tensor(flat)}
  %s = iree_linalg_ext.map_store %x into %empty {{
  ^bb0(%row: index, %column: index):
    %true = arith.constant true
    %place = affine.linearize_index disjoint [%column, %row] by (13, 11) : index
    iree_linalg_ext.yield %place, %true : index, i1
  }} : {tensor(shape)} into {tensor(flat)} -> {tensor(flat)}"""
        + linear("y", "s", flat, "f32", 3, 1)
    )
    load = (
        linear("x", "a", shape, "f32", 2, 1)
        + f"""
  %empty = tensor.empty() : {tensor(flat)}
  %s = iree_linalg_ext.map_load %x into %empty {{
  ^bb0(%place: index):
    %nothing = arith.constant 0.0 : f32
    %from:2 = affine.delinearize_index %place into (13, 11) : index, index
    iree_linalg_ext.yield %from#1, %from#0, %nothing : index, index, f32
  }} : {tensor(shape)} into {tensor(flat)} -> {tensor(flat)}"""
        + linear("y", "s", flat, "f32", 3, 1)
    )

    def reference(a: Array) -> list[Array]:
        return [(a * 2 + 1).T.ravel() * 3 + 1]

    results = [("y", flat, "f32")]
    return [
        case("map_store.transposed", [(shape, "f32")], store, results, reference),
        case("map_load.transposed", [(shape, "f32")], load, results, reference),
    ]
