"""Rows of operations that are no loop nests of linalg, between operations that the compiler fuses with them.

Enters: nothing. Leaves: cases whose functions compute an operation's operand elementwise, run the operation, and go on
with its result elementwise or by a sum: what is handed over within one kernel. Sizes are multiples of nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tests.ops.cases import Case, function_name
from tests.ops.values import Array, numpy_type

__all__ = ["rows"]

Shape = tuple[int, ...]
_GROUP_OF = {
    **dict.fromkeys(("scan", "sort", "topk", "topk_v2"), "fused orders"),
    **dict.fromkeys(("scatter", "gather", "map_store", "map_load"), "fused indices"),
    "slice": "fused slices",
    **dict.fromkeys(("fft", "winograd", "attention"), "fused transforms"),
}


def rows() -> list[Case]:
    """All cases."""
    return [*_scans(), *_sorts(), *_scatters(), *_transforms(), *_attentions(), *_layouts(), *_pads(), *_slices()]


def tensor(shape: Sequence[int], kind: str = "f32") -> str:
    """A type's text."""
    return "tensor<" + "".join(f"{extent}x" for extent in shape) + f"{kind}>"


def _map(rank: int, dims: Sequence[int]) -> str:
    loops = ", ".join(f"d{dim}" for dim in range(rank))
    return f"affine_map<({loops}) -> ({', '.join(f'd{dim}' for dim in dims)})>"


def linear(result: str, source: str, shape: Shape, kind: str, scale: int, offset: int) -> str:
    """`result = source * scale + offset` as a generic operation."""
    add, mul = ("arith.addf", "arith.mulf") if kind[0] == "f" else ("arith.addi", "arith.muli")
    suffix = ".0" if kind[0] == "f" else ""
    same, whole = _map(len(shape), range(len(shape))), tensor(shape, kind)
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
  %{result} = linalg.generic {{indexing_maps = [{_map(rank, range(rank))}, {_map(rank, range(rank - 1))}],
      iterator_types = [{kinds}]}} ins(%{source} : {whole}) outs(%{result}_fill : {part}) {{
  ^bb0(%in: {kind}, %out: {kind}):
    %{result}_0 = {add} %in, %out : {kind}
    linalg.yield %{result}_0 : {kind}
  }} -> {part}"""


def _case(
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
        return [_random(random, shape, kind) for shape, kind in arguments]

    return Case(
        name,
        _GROUP_OF.get(name.partition(".")[0], "fused layouts"),
        text,
        make or inputs,
        lambda *arrays: [np.asarray(array) for array in reference(*arrays)],
        tuple(kind for _, _, kind in results),
        relative=relative,
    )


def _random(random: np.random.Generator, shape: Shape, kind: str) -> Array:
    dtype = numpy_type(kind)
    return random.integers(-9, 9, shape).astype(dtype) if kind[0] == "i" else random.uniform(-2, 2, shape).astype(dtype)


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
        found.append(_case(name, [(shape, kind)], body, [("y", shape, kind)], reference))
    shape = (37, 53)
    body = linear("x", "a", shape, "f32", 2, 1) + _scan("x", shape, "f32", 1, True) + row_sums("y", "s#0", shape, "f32")
    found.append(
        _case(
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
            _case(
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
        return [order, _random(random, shape, "f32")]

    found.append(
        _case(
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
    return [*found, *_topks()]


def _topks() -> list[Case]:
    found = []
    shape, top = (21, 67), (21, 5)
    values, indices = tensor(top), tensor(top, "i32")
    for name in ("topk", "topk_v2"):
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
            _case(
                f"{name}.last",
                [(shape, "f32")],
                body,
                [("y", top, "f32"), ("s#1", top, "i32")],
                lambda a: [
                    -np.sort(-(a * -2 + 1), axis=1)[:, :5] * 2 + 1,
                    np.argsort(-(a * -2 + 1), axis=1, kind="stable")[:, :5].astype(np.int32),
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
            return [_random(random, shape, "f32"), _random(random, updates, "f32"), rows.astype(np.int32)[:, None]]

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
        _case("scatter.unique", arguments, zero + body(True, replace), results, replaced, inputs(True)),
        _case("scatter.add", arguments, body(False, add), results, added, inputs(False)),
        _case("scatter.last", arguments, zero + body(False, replace), results, replaced, inputs(False)),
        _case(
            "gather.rows",
            [(shape, "f32"), ((17,), "i32")],
            gather,
            [("y", updates, "f32")],
            lambda a, b: [(a * 2 + 1)[b] * 3 - 1],
            lambda random: [_random(random, shape, "f32"), random.integers(0, 29, 17).astype(np.int32)],
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
        _case("map_store.transposed", [(shape, "f32")], store, results, reference),
        _case("map_load.transposed", [(shape, "f32")], load, results, reference),
    ]


# -- transforms -------------------------------------------------------------------------------------------------------

_INPUT_6 = [
    [1, 0, -21 / 4, 0, 21 / 4, 0, -1, 0],
    [0, 1, 1, -17 / 4, -17 / 4, 1, 1, 0],
    [0, -1, 1, 17 / 4, -17 / 4, -1, 1, 0],
    [0, 1 / 2, 1 / 4, -5 / 2, -5 / 4, 2, 1, 0],
    [0, -1 / 2, 1 / 4, 5 / 2, -5 / 4, -2, 1, 0],
    [0, 2, 4, -5 / 2, -5, 1 / 2, 1, 0],
    [0, -2, 4, 5 / 2, -5, -1 / 2, 1, 0],
    [0, -1, 0, 21 / 4, 0, -21 / 4, 0, 1],
]
_OUTPUT_6 = [
    [1, 1, 1, 1, 1, 1, 1, 0],
    [0, 1, -1, 2, -2, 1 / 2, -1 / 2, 0],
    [0, 1, 1, 4, 4, 1 / 4, 1 / 4, 0],
    [0, 1, -1, 8, -8, 1 / 8, -1 / 8, 0],
    [0, 1, 1, 16, 16, 1 / 16, 1 / 16, 0],
    [0, 1, -1, 32, -32, 1 / 32, -1 / 32, 1],
]


def _transforms() -> list[Case]:
    shape = (9, 64)
    whole = tensor(shape)
    fft = (
        linear("x", "a", shape, "f32", 2, 1)
        + linear("z", "b", shape, "f32", -1, 1)
        + f"""
  %stage = arith.constant 3 : index
  %s:2 = iree_linalg_ext.fft ins(%stage: index) outs(%x, %z: {whole}, {whole}) : {whole}, {whole}"""
    )
    fft += linear("y", "s#0", shape, "f32", 2, 0) + row_sums("t", "s#1", shape, "f32")
    return [
        _case("fft.stage", [(shape, "f32")] * 2, fft, [("y", shape, "f32"), ("t", (9,), "f32")], _butterflies),
        *_winograds(),
    ]


def _butterflies(a: Array, b: Array) -> list[Array]:
    """One stage of the iterative transform (Cooley-Tukey, decimation in time) on blocks of 8."""
    values = (a * 2.0 + 1 + 1j * (1 - b)).reshape(9, 8, 2, 4)
    turned = values[:, :, 1] * np.exp(-2j * np.pi * np.arange(4) / 8)
    out = np.stack([values[:, :, 0] + turned, values[:, :, 0] - turned], 2).reshape(9, 64)
    return [out.real * 2, out.imag.sum(1)]


def _winograds() -> list[Case]:
    image, tiles = (2, 15, 13, 5), (8, 8, 2, 3, 2, 5)
    text = (
        linear("x", "a", image, "f32", 2, 1)
        + f"""
  %empty = tensor.empty() : {tensor(tiles)}
  %s = iree_linalg_ext.winograd.input_transform output_tile_size(6) kernel_size(3) image_dimensions([1, 2])
      ins(%x : {tensor(image)}) outs(%empty : {tensor(tiles)}) -> {tensor(tiles)}"""
    )
    text += linear("y", "s", tiles, "f32", 3, 1)

    def forward(a: Array) -> list[Array]:
        padded = np.pad(a * 2.0 + 1, ((0, 0), (0, 5), (0, 1), (0, 0)))
        matrix = np.array(_INPUT_6)
        out = np.zeros(tiles)
        for row in range(3):
            for column in range(2):
                part = padded[:, 6 * row : 6 * row + 8, 6 * column : 6 * column + 8]
                out[:, :, :, row, column] = np.einsum("ij,njkc,lk->ilnc", matrix, part, matrix)
        return [out * 3 + 1]

    whole = (2, 18, 12, 5)
    back = (
        linear("x", "a", tiles, "f32", 2, 1)
        + f"""
  %empty = tensor.empty() : {tensor(whole)}
  %s = iree_linalg_ext.winograd.output_transform output_tile_size(6) kernel_size(3) image_dimensions([1, 2])
      ins(%x : {tensor(tiles)}) outs(%empty : {tensor(whole)}) -> {tensor(whole)}"""
    )
    back += linear("y", "s", whole, "f32", 3, 1)

    def backward(a: Array) -> list[Array]:
        matrix = np.array(_OUTPUT_6)
        parts = np.einsum("ij,jknrsc,lk->nrislc", matrix, a * 2.0 + 1, matrix)
        return [parts.reshape(whole) * 3 + 1]

    return [
        _case("winograd.input", [(image, "f32")], text, [("y", tiles, "f32")], forward),
        _case("winograd.output", [(tiles, "f32")], back, [("y", whole, "f32")], backward),
    ]


# -- attention --------------------------------------------------------------------------------------------------------


def _attentions() -> list[Case]:
    query, key, value, out, mask = (3, 17, 10), (3, 23, 10), (3, 23, 14), (3, 17, 14), (3, 17, 23)

    def text(masked: bool) -> str:
        maps = [_map(5, dims) for dims in ((0, 1, 2), (0, 3, 2), (0, 3, 4), ())]
        maps += [_map(5, (0, 1, 3))] * masked + [_map(5, (0, 1, 4))]
        operands = f"{tensor(query)}, {tensor(key)}, {tensor(value)}, f32" + f", {tensor(mask)}" * masked
        names = "%q, %b, %v, %factor" + ", %d" * masked
        return (
            linear("q", "a", query, "f32", 2, 1)
            + linear("v", "c", value, "f32", -1, 1)
            + f"""
  %factor = arith.constant 0.25 : f32
  %empty = tensor.empty() : {tensor(out)}
  %s = iree_linalg_ext.attention <indexing_maps = [{", ".join(maps)}]>
      ins({names} : {operands}) outs(%empty : {tensor(out)}) {{
  ^bb0(%score: f32):
    iree_linalg_ext.yield %score : f32
  }} -> {tensor(out)}"""
            + linear("y", "s", out, "f32", 3, 1)
        )

    def reference(a: Array, b: Array, c: Array, d: Array | None = None) -> list[Array]:
        scores = (a * 2.0 + 1) @ b.transpose(0, 2, 1) * 0.25
        scores = np.exp(scores + (0 if d is None else d))
        return [scores / scores.sum(-1, keepdims=True) @ (1.0 - c) * 3 + 1]

    results = [("y", out, "f32")]
    operands = [(query, "f32"), (key, "f32"), (value, "f32")]
    return [
        _case("attention.plain", operands, text(False), results, reference),
        _case("attention.masked", [*operands, (mask, "f32")], text(True), results, reference),
    ]


# -- layouts ----------------------------------------------------------------------------------------------------------


def _layouts() -> list[Case]:
    shape, packed = (21, 34), (3, 5, 8, 8)
    pack = (
        linear("x", "a", shape, "f32", 2, 1)
        + f"""
  %nothing = arith.constant 7.0 : f32
  %empty = tensor.empty() : {tensor(packed)}
  %s = linalg.pack %x padding_value(%nothing : f32) inner_dims_pos = [0, 1] inner_tiles = [8, 8] into %empty
      : {tensor(shape)} -> {tensor(packed)}"""
        + linear("y", "s", packed, "f32", 3, 1)
    )

    def into_tiles(a: Array) -> list[Array]:
        padded = np.pad(a * 2 + 1, ((0, 3), (0, 6)), constant_values=7)
        return [padded.reshape(3, 8, 5, 8).transpose(0, 2, 1, 3) * 3 + 1]

    unpack = (
        linear("x", "a", packed, "f32", 2, 1)
        + f"""
  %empty = tensor.empty() : {tensor(shape)}
  %s = linalg.unpack %x inner_dims_pos = [0, 1] inner_tiles = [8, 8] into %empty
      : {tensor(packed)} -> {tensor(shape)}"""
        + linear("y", "s", shape, "f32", 3, 1)
    )

    def out_of_tiles(a: Array) -> list[Array]:
        return [(a * 2 + 1).transpose(0, 2, 1, 3).reshape(24, 40)[:21, :34] * 3 + 1]

    return [
        _case("pack.padded", [(shape, "f32")], pack, [("y", packed, "f32")], into_tiles),
        _case("unpack.cut", [(packed, "f32")], unpack, [("y", shape, "f32")], out_of_tiles),
    ]


def _pads() -> list[Case]:
    shape, padded = (13, 19), (18, 24)
    pad = f"""
  %nothing = arith.constant 5.0 : f32
  %p = tensor.pad %x low[2, 1] high[3, 4] {{
  ^bb0(%row: index, %column: index):
    tensor.yield %nothing : f32
  }} : {tensor(shape)} to {tensor(padded)}"""

    def edge(a: Array) -> Array:
        return np.pad(a * 2 + 1, ((2, 3), (1, 4)), constant_values=5)

    return [
        _case(
            "pad.linear",
            [(shape, "f32")],
            linear("x", "a", shape, "f32", 2, 1) + pad + linear("y", "p", padded, "f32", 3, 1),
            [("y", padded, "f32")],
            lambda a: [edge(a) * 3 + 1],
        ),
        _case(
            "pad.sums",
            [(shape, "f32")],
            linear("x", "a", shape, "f32", 2, 1) + pad + row_sums("y", "p", padded, "f32"),
            [("y", (18,), "f32"), ("p", padded, "f32")],
            lambda a: [edge(a).sum(1), edge(a)],
        ),
    ]


def _slices() -> list[Case]:
    """Parts that begin in the middle of what a kernel could load as a vector."""
    whole, part, wide = (8, 32), (8, 8), (8, 12)
    found = []
    for start, stride in ((1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (0, 3)):
        cut = f"""
  %s = tensor.extract_slice %a[0, {start}] [8, 8] [1, {stride}] : {tensor(whole)} to {tensor(part)}"""
        product = f"""
  %zero = arith.constant 0.0 : f32
  %p_empty = tensor.empty() : {tensor(wide)}
  %p_start = linalg.fill ins(%zero : f32) outs(%p_empty : {tensor(wide)}) -> {tensor(wide)}
  %p = linalg.matmul ins(%s, %b : {tensor(part)}, {tensor(wide)}) outs(%p_start : {tensor(wide)}) -> {tensor(wide)}"""

        def columns(a: Array, start: int = start, stride: int = stride) -> Array:
            return a[:, start : start + 8 * stride : stride]

        found += [
            _case(
                f"slice.{start}.{stride}",
                [(whole, "f32"), (wide, "f32")],
                cut + linear("y", "s", part, "f32", 2, 1) + product,
                [("y", part, "f32"), ("p", wide, "f32")],
                lambda a, b, columns=columns: [columns(a) * 2 + 1, columns(a) @ b],
            ),
            _case(
                f"slice.unknown_rows.{start}.{stride}",
                [(whole, "f32")],
                cut.replace(tensor(whole), "tensor<8x?xf32>") + linear("y", "s", part, "f32", 2, 1),
                [("y", part, "f32")],
                lambda a, columns=columns: [columns(a) * 2 + 1],
                declared="%a: tensor<8x?xf32>",
            ),
        ]
    store = (
        linear("y", "a", part, "f32", 2, 1)
        + f"""
  %s = tensor.insert_slice %y into %b[0, 2] [8, 8] [1, 1] : {tensor(part)} into {tensor(wide)}"""
    )

    def stored(a: Array, b: Array) -> list[Array]:
        out = b.copy()
        out[:, 2:10] = a * 2 + 1
        return [out]

    return [
        *found,
        _case("slice.store", [(part, "f32"), (wide, "f32")], store, [("s", wide, "f32")], stored),
    ]
