"""Rows between operations that the compiler fuses with them: Fourier and Winograd transforms, attention.

Enters: nothing. Leaves: cases whose functions compute an operation's operand elementwise, run the operation, and go on
with its result elementwise or by a sum: what is handed over within one kernel. Sizes are multiples of nothing.
"""

from __future__ import annotations

import numpy as np

from tests.ops.cases import Case
from tests.ops.fused import affine_map, case, linear, row_sums, tensor
from tests.ops.values import Array

__all__ = ["rows"]


def rows() -> list[Case]:
    """All cases."""
    return [*_transforms(), *_attentions()]


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
        case("fft.stage", [(shape, "f32")] * 2, fft, [("y", shape, "f32"), ("t", (9,), "f32")], _butterflies),
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
        case("winograd.input", [(image, "f32")], text, [("y", tiles, "f32")], forward),
        case("winograd.output", [(tiles, "f32")], back, [("y", whole, "f32")], backward),
    ]


# -- attention --------------------------------------------------------------------------------------------------------


def _attentions() -> list[Case]:
    query, key, value, out, mask = (3, 17, 10), (3, 23, 10), (3, 23, 14), (3, 17, 14), (3, 17, 23)

    def text(masked: bool) -> str:
        maps = [affine_map(5, dims) for dims in ((0, 1, 2), (0, 3, 2), (0, 3, 4), ())]
        maps += [affine_map(5, (0, 1, 3))] * masked + [affine_map(5, (0, 1, 4))]
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
        case("attention.plain", operands, text(False), results, reference),
        case("attention.masked", [*operands, (mask, "f32")], text(True), results, reference),
    ]
