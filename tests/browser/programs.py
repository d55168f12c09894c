"""Small programs in MLIR, and how the browser tests compile these and whole models: once a run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tests.compiling import compiled

MIXED = """
func.func @main(%x: tensor<2x3xf32>, %n: tensor<2x3xi32>) -> (tensor<2x3xf32>, tensor<2x3xi32>) {
  %y = arith.addf %x, %x : tensor<2x3xf32>
  %m = arith.muli %n, %n : tensor<2x3xi32>
  return %y, %m : tensor<2x3xf32>, tensor<2x3xi32>
}
"""
"""(x + x, n * n)"""

DYNAMIC = """
func.func @main(%x: tensor<?x64xf32>, %w: tensor<64x32xf32>) -> tensor<?x32xf32> {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %rows = tensor.dim %x, %c0 : tensor<?x64xf32>
  %empty = tensor.empty(%rows) : tensor<?x32xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x32xf32>) -> tensor<?x32xf32>
  %y = linalg.matmul ins(%x, %w : tensor<?x64xf32>, tensor<64x32xf32>)
                     outs(%init : tensor<?x32xf32>) -> tensor<?x32xf32>
  return %y : tensor<?x32xf32>
}
"""
"""x @ w"""

WEIGHTS_SIZE = 1024


def with_weights(weights: np.ndarray) -> str:
    """x @ weights, the weights being a constant of the module."""
    size = WEIGHTS_SIZE
    return f"""
func.func @main(%x: tensor<1x{size}xf32>) -> tensor<1x{size}xf32> {{
  %w = arith.constant dense<"0x{weights.astype("<f4").tobytes().hex()}"> : tensor<{size}x{size}xf32>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<1x{size}xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<1x{size}xf32>) -> tensor<1x{size}xf32>
  %y = linalg.matmul ins(%x, %w : tensor<1x{size}xf32>, tensor<{size}x{size}xf32>)
                     outs(%init : tensor<1x{size}xf32>) -> tensor<1x{size}xf32>
  return %y : tensor<1x{size}xf32>
}}
"""


def on_webgpu(model: bytes | str, dims: Mapping[str, int] | None = None) -> bytes:
    """The module for the browser's WebGPU, which SwiftShader computes here."""
    return compiled(model, profile="webgpu-software", dims=dims)


def on_cpu(model: bytes | str, dims: Mapping[str, int] | None = None) -> bytes:
    """The module for the browser's CPU device."""
    return compiled(model, target="cpu", dims=dims)
