"""Products with weights in words on the CPU: kernels of vectors, and what they compute."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import webree
from webree.codegen_cpu.schedules.tiles import COLUMNS, WORD_COLUMNS

SEED = int.from_bytes(os.urandom(4), "little")
BLOCKS, WORDS, LANES = 3, 2, 8


def program(rows: int, columns: int) -> str:
    """x[t, g, w, l] times 4-bit numbers of the words q[g, w, n], with a scale and a minimum per block and column."""
    t, m = (f"{rows}x", "t, ") if rows > 1 else ("", "")
    x, q, s = (
        f"tensor<{t}{BLOCKS}x{WORDS}x8xf32>",
        f"tensor<{BLOCKS}x{WORDS}x{columns}xi32>",
        f"tensor<{BLOCKS}x{columns}xf32>",
    )
    y, loops = f"tensor<{t}{columns}xf32>", f"({m}n, g, w, l)"
    access = (f"({m}g, w, l)", "(g, w, n)", "(g, n)", "(g, n)", "(l)", f"({m}n)")
    maps = ", ".join(f"affine_map<{loops} -> {item}>" for item in access)
    kinds = ('"parallel", ' if rows > 1 else "") + '"parallel", "reduction", "reduction", "reduction"'
    return f"""
    func.func @main(%x: {x}, %q: {q}, %s: {s}, %m: {s}, %l: tensor<8xi32>) -> {y} {{
      %zero = arith.constant 0.0 : f32
      %mask = arith.constant 15 : i32
      %e = tensor.empty() : {y}
      %f = linalg.fill ins(%zero : f32) outs(%e : {y}) -> {y}
      %r = linalg.generic {{indexing_maps = [{maps}], iterator_types = [{kinds}]}}
        ins(%x, %q, %s, %m, %l : {x}, {q}, {s}, {s}, tensor<8xi32>) outs(%f : {y}) {{
      ^bb0(%a: f32, %word: i32, %scale: f32, %minimum: f32, %shift: i32, %total: f32):
        %low = arith.shrui %word, %shift : i32
        %code = arith.andi %low, %mask : i32
        %number = arith.sitofp %code : i32 to f32
        %scaled = arith.mulf %number, %scale : f32
        %value = arith.addf %scaled, %minimum : f32
        %product = arith.mulf %a, %value : f32
        %sum = arith.addf %total, %product : f32
        linalg.yield %sum : f32
      }} -> {y}
      return %r : {y}
    }}"""


@pytest.mark.parametrize(("rows", "columns"), [(1, 48), (1, 40), (1, 13), (4, 48), (6, 40), (3, 7)])
def test_products_with_words(rows: int, columns: int, tmp_path: Path) -> None:
    print("seed", SEED)
    random = np.random.default_rng(SEED)
    x = random.standard_normal((rows, BLOCKS, WORDS, LANES)).astype(np.float32)
    words = random.integers(0, 2**32, (BLOCKS, WORDS, columns), dtype=np.uint32)
    scale, minimum = random.standard_normal((2, BLOCKS, columns)).astype(np.float32)
    shifts = np.arange(0, 32, 4, dtype=np.int32)
    data = webree.compile(program(rows, columns), target="cpu", dump_phases=tmp_path)
    with webree.load(data, device="cpu") as module:
        arguments = (x if rows > 1 else x[0], words.view(np.int32), scale, minimum, shifts)
        found = np.asarray(module.main(*arguments)).reshape(rows, columns)
    codes = (words[:, :, None] >> shifts.view(np.uint32)[:, None]) & 15
    values = codes * scale[:, None, None].astype(np.float64) + minimum[:, None, None]
    expected = np.einsum("tgwl,gwln->tn", x, values)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()

    (configured,) = tmp_path.glob("*-executable-targets.mlir")
    width = WORD_COLUMNS if rows == 1 and columns % WORD_COLUMNS == 0 else COLUMNS
    if columns % COLUMNS == 0:  # all numbers of a tile at once, of which the rows share the conversion
        assert f"vector<{width}xi32> to vector<{width}xf32>" in configured.read_text()
