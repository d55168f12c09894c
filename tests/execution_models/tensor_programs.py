"""Programs on tensors: reductions, products, a convolution, and what moves elements: transposes, slices, gathers.

Enters: nothing. Leaves: `TENSORS`. All shapes are known.
"""

from __future__ import annotations

from tests.execution_models.program import Input, Program, floats, integers

__all__ = ["TENSORS"]


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
    return Program(name, floats((6, 11)), code)


TENSORS = (
    _reduction("sum_rows", "arith.addf", "0.0"),
    _reduction("max_rows", "arith.maximumf", "0xFF800000"),
    _reduction("product_rows", "arith.mulf", "1.0"),
    Program(
        "matmul",
        floats((9, 17), (17, 6)),
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
        integers("i8", (7, 12), (12, 5)),
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
        floats((8, 8), (8, 8), (8, 8)),
        """func.func @matmul_accumulate(%a: tensor<8x8xf32>, %b: tensor<8x8xf32>, %c: tensor<8x8xf32>)
    -> tensor<8x8xf32> {
  %r = linalg.matmul ins(%a, %b : tensor<8x8xf32>, tensor<8x8xf32>) outs(%c : tensor<8x8xf32>) -> tensor<8x8xf32>
  return %r : tensor<8x8xf32>
}""",
    ),
    Program(
        "batch_matmul",
        floats((3, 4, 5), (3, 5, 2)),
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
        floats((1, 8, 8, 3), (3, 3, 3, 4)),
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
        floats((1, 9, 9, 2)),
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
        floats((4, 10)),
        """func.func @softmax(%a: tensor<4x10xf32>) -> tensor<4x10xf32> {
  %e = tensor.empty() : tensor<4x10xf32>
  %r = linalg.softmax dimension(1) ins(%a : tensor<4x10xf32>) outs(%e : tensor<4x10xf32>) -> tensor<4x10xf32>
  return %r : tensor<4x10xf32>
}""",
    ),
    Program(
        "transpose",
        floats((5, 3, 4)),
        """func.func @transpose(%a: tensor<5x3x4xf32>) -> tensor<4x5x3xf32> {
  %e = tensor.empty() : tensor<4x5x3xf32>
  %r = linalg.transpose ins(%a : tensor<5x3x4xf32>) outs(%e : tensor<4x5x3xf32>) permutation = [2, 0, 1]
  return %r : tensor<4x5x3xf32>
}""",
    ),
    Program(
        "transpose_i16",
        integers("i16", (6, 7)),
        """func.func @transpose_i16(%a: tensor<6x7xi16>) -> tensor<7x6xi16> {
  %e = tensor.empty() : tensor<7x6xi16>
  %r = linalg.transpose ins(%a : tensor<6x7xi16>) outs(%e : tensor<7x6xi16>) permutation = [1, 0]
  return %r : tensor<7x6xi16>
}""",
        0.0,
    ),
    Program(
        "broadcast",
        floats((7,)),
        """func.func @broadcast(%a: tensor<7xf32>) -> tensor<3x7xf32> {
  %e = tensor.empty() : tensor<3x7xf32>
  %r = linalg.broadcast ins(%a : tensor<7xf32>) outs(%e : tensor<3x7xf32>) dimensions = [0]
  return %r : tensor<3x7xf32>
}""",
    ),
    Program(
        "pad",
        integers("i32", (3, 4)),
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
        integers("i32", (9, 8)),
        """func.func @slice(%a: tensor<9x8xi32>) -> tensor<3x4xi32> {
  %r = tensor.extract_slice %a[2, 1] [3, 4] [1, 1] : tensor<9x8xi32> to tensor<3x4xi32>
  return %r : tensor<3x4xi32>
}""",
        0.0,
    ),
    Program(
        "insert",
        integers("i32", (9, 8), (2, 3)),
        """func.func @insert(%a: tensor<9x8xi32>, %b: tensor<2x3xi32>) -> tensor<9x8xi32> {
  %r = tensor.insert_slice %b into %a[4, 5] [2, 3] [1, 1] : tensor<2x3xi32> into tensor<9x8xi32>
  return %r : tensor<9x8xi32>
}""",
        0.0,
    ),
    Program(
        "concat",
        integers("i64", (2, 3), (4, 3)),
        """func.func @concat(%a: tensor<2x3xi64>, %b: tensor<4x3xi64>) -> tensor<6x3xi64> {
  %r = tensor.concat dim(0) %a, %b : (tensor<2x3xi64>, tensor<4x3xi64>) -> tensor<6x3xi64>
  return %r : tensor<6x3xi64>
}""",
        0.0,
    ),
    Program(
        "reshape",
        floats((4, 6)),
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
        floats((2, 16), (16, 16), (16, 3)),
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
