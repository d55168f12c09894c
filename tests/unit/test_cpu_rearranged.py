"""Rearrangements of constants at compile time for the CPU: bit for bit what their operations say, one copy of each."""

from __future__ import annotations

import os
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import webree

SEED = int.from_bytes(os.urandom(4), "little")
OPERATIONS = ("linalg.pack", "linalg.transpose", "tensor.collapse_shape", "tensor.expand_shape")
Array = np.ndarray[Any, Any]

TYPES: dict[str, Any] = {
    "f32": np.float32,
    "f64": np.float64,
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
}


@pytest.fixture
def random() -> np.random.Generator:
    print("seed", SEED)
    return np.random.default_rng(SEED)


def bits(random: np.random.Generator, kind: str, *shape: int) -> Array:
    """Any bits, NaN and -0 included."""
    dtype = np.dtype(TYPES[kind])
    count = int(np.prod(shape)) * dtype.itemsize
    values: Array = random.integers(0, 256, count, dtype=np.uint8).view(f"<u{dtype.itemsize}").reshape(shape)
    return values


def constant(values: Array, kind: str) -> str:
    shape = "x".join(map(str, values.shape))
    return f'arith.constant dense<"0x{values.tobytes().hex().upper()}"> : tensor<{shape}x{kind}>'


def evaluated(source: str) -> webree.Module:
    """The program, in which no operation that moves elements is left before the compiler evaluates constants."""
    text = webree.compile(source, target="cpu", compile_to="preprocessing").decode()
    assert not [name for name in OPERATIONS if name in text], text
    return webree.load(webree.compile(source, target="cpu"), device="cpu")


@pytest.mark.parametrize("kind", TYPES)
def test_transposed_and_reshaped(kind: str, random: np.random.Generator) -> None:
    values = bits(random, kind, 6, 5, 4)
    source = f"""
    func.func @main() -> tensor<20x6x{kind}> {{
      %c = {constant(values, kind)}
      %e = tensor.empty() : tensor<5x4x6x{kind}>
      %t = linalg.transpose ins(%c : tensor<6x5x4x{kind}>) outs(%e : tensor<5x4x6x{kind}>) permutation = [1, 2, 0]
      %r = tensor.collapse_shape %t [[0, 1], [2]] : tensor<5x4x6x{kind}> into tensor<20x6x{kind}>
      return %r : tensor<20x6x{kind}>
    }}"""
    with evaluated(source) as module:
        found = np.asarray(module.main()).view(values.dtype)
    np.testing.assert_array_equal(found, np.moveaxis(values, 0, 2).reshape(20, 6))


@pytest.mark.parametrize("columns", [16, 13])
def test_panels(columns: int, random: np.random.Generator) -> None:
    values = bits(random, "f32", 6, columns)
    panels = -(-columns // 8)
    padding = "padding_value(%zero : f32)" if columns % 8 else ""
    result = f"tensor<{panels}x6x8xf32>"
    source = f"""
    func.func @main() -> {result} {{
      %zero = arith.constant 0.0 : f32
      %c = {constant(values, "f32")}
      %e = tensor.empty() : {result}
      %p = linalg.pack %c {padding} outer_dims_perm = [1, 0] inner_dims_pos = [1] inner_tiles = [8] into %e
        : tensor<6x{columns}xf32> -> {result}
      return %p : {result}
    }}"""
    with evaluated(source) as module:
        found = np.asarray(module.main()).view(np.uint32)
    for panel, row, lane in np.ndindex(*found.shape):
        column = 8 * panel + lane
        assert found[panel, row, lane] == (values[row, column] if column < columns else 0)


def test_functions_share_their_panels(random: np.random.Generator) -> None:
    """Two functions that multiply by one constant: the module holds its panels once."""
    weights = random.standard_normal((64, 512)).astype(np.float32)

    def function(name: str, rows: int) -> str:
        return f"""
    util.func public @{name}(%x: tensor<{rows}x64xf32>) -> tensor<{rows}x512xf32> {{
      %w = util.global.load immutable @weights : tensor<64x512xf32>
      %zero = arith.constant 0.0 : f32
      %e = tensor.empty() : tensor<{rows}x512xf32>
      %f = linalg.fill ins(%zero : f32) outs(%e : tensor<{rows}x512xf32>) -> tensor<{rows}x512xf32>
      %r = linalg.matmul ins(%x, %w : tensor<{rows}x64xf32>, tensor<64x512xf32>) outs(%f : tensor<{rows}x512xf32>)
        -> tensor<{rows}x512xf32>
      util.return %r : tensor<{rows}x512xf32>
    }}"""

    value = constant(weights, "f32").removeprefix("arith.constant ").partition(" : ")[0]
    source = f"util.global private @weights = {value} : tensor<64x512xf32>{function('one', 1)}{function('six', 6)}"
    data = webree.compile(source, target="cpu")
    assert weights.nbytes < len(data) < 1.5 * weights.nbytes
    x = random.standard_normal((6, 64)).astype(np.float32)
    with webree.load(data, device="cpu") as module:
        for name, rows in (("one", 1), ("six", 6)):
            np.testing.assert_allclose(np.asarray(module[name](x[:rows])), x[:rows] @ weights, rtol=0, atol=1e-4)
