"""A program that all end-to-end tests share: a matmul whose dimensions are all dynamic, and shapes to try it on."""

from __future__ import annotations

MATMUL = """
func.func @matmul(%a: tensor<?x?xf32>, %b: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f32
  %m = tensor.dim %a, %c0 : tensor<?x?xf32>
  %n = tensor.dim %b, %c1 : tensor<?x?xf32>
  %empty = tensor.empty(%m, %n) : tensor<?x?xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x?xf32>) -> tensor<?x?xf32>
  %c = linalg.matmul ins(%a, %b : tensor<?x?xf32>, tensor<?x?xf32>) outs(%init : tensor<?x?xf32>) -> tensor<?x?xf32>
  return %c : tensor<?x?xf32>
}
"""

# m, k, n
SHAPES = (
    (1, 1, 1),
    (2, 3, 5),
    (7, 11, 13),
    (1, 127, 1),
    (17, 1, 19),
    (64, 64, 64),
    (31, 37, 41),
    (128, 256, 64),
    (1, 300, 257),
    (211, 113, 97),
)
