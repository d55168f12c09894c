"""Programs whose host part matters: unknown extents, several results, control flow, state; and ends of models.

Enters: nothing. Leaves: `WHOLE`.
"""

from __future__ import annotations

from tests.execution_models.program import Input, Program, floats, integers

__all__ = ["WHOLE"]


WHOLE = (
    Program(
        "dynamic_add",
        floats((5, 3), (5, 3)),
        """func.func @dynamic_add(%a: tensor<?x3xf32>, %b: tensor<?x3xf32>) -> tensor<?x3xf32> {
  %r = arith.addf %a, %b : tensor<?x3xf32>
  return %r : tensor<?x3xf32>
}""",
    ),
    Program(
        "dynamic_matmul",
        floats((3, 7), (7, 9)),
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
        floats((4,)),
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
        floats((2, 3)),
        """func.func @constants(%a: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %w = arith.constant dense<[[1.0, 2.0, 3.0], [-4.0, 0.5, 0.25]]> : tensor<2x3xf32>
  %r = arith.mulf %a, %w : tensor<2x3xf32>
  return %r : tensor<2x3xf32>
}""",
    ),
    Program(
        "several_results",
        (*floats((3,)), *integers("i32", (3,))),
        """func.func @several_results(%a: tensor<3xf32>, %b: tensor<3xi32>)
    -> (tensor<3xi32>, tensor<3xf32>, tensor<3xf32>) {
  %two = arith.constant dense<2.0> : tensor<3xf32>
  %r = arith.mulf %a, %two : tensor<3xf32>
  return %b, %r, %a : tensor<3xi32>, tensor<3xf32>, tensor<3xf32>
}""",
    ),
    Program(
        "branch",
        (Input((), "i32", 0, 1), *floats((5,), (5,))),
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
        floats((4, 4)),
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
        floats((5, 9)),
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
        floats((3, 16)),
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
