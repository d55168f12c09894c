// Programs that went wrong once.

// Rows longer than a workgroup's memory hold, twice over: the second pass needs what the first found.
func.func @mean_and_variance() {
  %x = util.unfoldable_constant dense<[[1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 2.0, 6.0]]> : tensor<2x4xf32>
  %zero = arith.constant 0.0 : f32
  %four = arith.constant 4.0 : f32
  %e = tensor.empty() : tensor<2xf32>
  %init = linalg.fill ins(%zero : f32) outs(%e : tensor<2xf32>) -> tensor<2xf32>
  %sum = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
    iterator_types = ["parallel", "reduction"]
  } ins(%x : tensor<2x4xf32>) outs(%init : tensor<2xf32>) {
  ^bb0(%in: f32, %out: f32):
    %s = arith.addf %in, %out : f32
    linalg.yield %s : f32
  } -> tensor<2xf32>
  %squares = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>],
    iterator_types = ["parallel", "reduction"]
  } ins(%x, %sum : tensor<2x4xf32>, tensor<2xf32>) outs(%init : tensor<2xf32>) {
  ^bb0(%in: f32, %total: f32, %out: f32):
    %m = arith.divf %total, %four : f32
    %d = arith.subf %in, %m : f32
    %q = arith.mulf %d, %d : f32
    %s = arith.addf %q, %out : f32
    linalg.yield %s : f32
  } -> tensor<2xf32>
  check.expect_eq_const(%sum, dense<[10.0, 12.0]> : tensor<2xf32>) : tensor<2xf32>
  check.expect_eq_const(%squares, dense<[5.0, 12.0]> : tensor<2xf32>) : tensor<2xf32>
  return
}

// Two functions with equal constants, each of which works in place: neither may change the other's.
func.func @sorts_in_place() {
  %x = util.unfoldable_constant dense<[5, 3, 1, 4, 2, 0]> : tensor<6xi32>
  %y = iree_linalg_ext.sort dimension(0) outs(%x : tensor<6xi32>) {
  ^bb0(%a: i32, %b: i32):
    %p = arith.cmpi slt, %a, %b : i32
    iree_linalg_ext.yield %p : i1
  } -> tensor<6xi32>
  check.expect_eq_const(%y, dense<[0, 1, 2, 3, 4, 5]> : tensor<6xi32>) : tensor<6xi32>
  return
}

func.func @is_not_sorted() {
  %x = util.unfoldable_constant dense<[5, 3, 1, 4, 2, 0]> : tensor<6xi32>
  %y = arith.addi %x, %x : tensor<6xi32>
  check.expect_eq_const(%y, dense<[10, 6, 2, 8, 4, 0]> : tensor<6xi32>) : tensor<6xi32>
  return
}

// Constants of complex numbers, more than a kernel keeps.
func.func @complex_constant() {
  %z = util.unfoldable_constant dense<[(1.0, 2.0), (3.0, 4.0), (5.0, 6.0), (7.0, 8.0), (9.0, -1.0), (0.0, 2.0)]> : tensor<6xcomplex<f32>>
  %w = stablehlo.multiply %z, %z : tensor<6xcomplex<f32>>
  %re = stablehlo.real %w : (tensor<6xcomplex<f32>>) -> tensor<6xf32>
  %im = stablehlo.imag %w : (tensor<6xcomplex<f32>>) -> tensor<6xf32>
  check.expect_eq_const(%re, dense<[-3.0, -7.0, -11.0, -15.0, 80.0, -4.0]> : tensor<6xf32>) : tensor<6xf32>
  check.expect_eq_const(%im, dense<[4.0, 24.0, 60.0, 112.0, -18.0, 0.0]> : tensor<6xf32>) : tensor<6xf32>
  return
}

// Numbers of 8 bits: exponent 5 and fraction 2, computed as f32, rounded to even.
func.func @float8() {
  %x = util.unfoldable_constant dense<[1.0, 1.25, 3.0, -0.5]> : tensor<4xf8E5M2>
  %y = util.unfoldable_constant dense<[0.25, 1.0, 5.0, 0.5]> : tensor<4xf8E5M2>
  %e = tensor.empty() : tensor<4xf8E5M2>
  %z = linalg.elementwise <add> ins(%x, %y : tensor<4xf8E5M2>, tensor<4xf8E5M2>) outs(%e : tensor<4xf8E5M2>) -> tensor<4xf8E5M2>
  check.expect_eq_const(%z, dense<[1.25, 2.0, 8.0, 0.0]> : tensor<4xf8E5M2>) : tensor<4xf8E5M2>
  return
}

// State: what is stored is what is loaded later.
util.global private mutable @counter = dense<[1, 2]> : tensor<2xi32>
func.func @state_is_kept() {
  %old = util.global.load @counter : tensor<2xi32>
  %new = arith.addi %old, %old : tensor<2xi32>
  util.global.store %new, @counter : tensor<2xi32>
  %end = util.global.load @counter : tensor<2xi32>
  check.expect_eq_const(%end, dense<[2, 4]> : tensor<2xi32>) : tensor<2xi32>
  return
}

// What a loop stores is loaded behind it, and what is stored before it is loaded in it.
util.global private mutable @total = dense<0> : tensor<2xi32>
func.func @state_of_a_loop() {
  %n = util.unfoldable_constant dense<3> : tensor<i32>
  %x = util.unfoldable_constant dense<[1, 2]> : tensor<2xi32>
  %y = arith.addi %x, %x : tensor<2xi32>
  util.global.store %y, @total : tensor<2xi32>
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %one = stablehlo.constant dense<1> : tensor<i32>
  %count = stablehlo.while(%i = %zero) : tensor<i32>
   cond {
    %go = stablehlo.compare LT, %i, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %go : tensor<i1>
   } do {
    %old = util.global.load @total : tensor<2xi32>
    %new = stablehlo.add %old, %old : tensor<2xi32>
    util.global.store %new, @total : tensor<2xi32>
    %next = stablehlo.add %i, %one : tensor<i32>
    stablehlo.return %next : tensor<i32>
  }
  %end = util.global.load @total : tensor<2xi32>
  check.expect_eq_const(%end, dense<[16, 32]> : tensor<2xi32>) : tensor<2xi32>
  return
}

// Elements of 4 bits, two to a byte: what a kernel reads and what it writes; products wrap.
#each = affine_map<(d0) -> (d0)>
func.func @four_bits() {
  %x = util.unfoldable_constant dense<[-8, -7, -3, -1, 0, 1, 3, 7]> : tensor<8xi4>
  %y = util.unfoldable_constant dense<[7, 3, -3, 2, 5, -8, 2, 7]> : tensor<8xi4>
  %e = tensor.empty() : tensor<8xi4>
  %w = tensor.empty() : tensor<8xi32>
  %p, %less = linalg.generic {indexing_maps = [#each, #each, #each, #each], iterator_types = ["parallel"]} ins(%x, %y : tensor<8xi4>, tensor<8xi4>) outs(%e, %w : tensor<8xi4>, tensor<8xi32>) {
  ^bb0(%a: i4, %b: i4, %o: i4, %q: i32):
    %product = arith.muli %a, %b : i4
    %is_less = arith.cmpi slt, %a, %b : i4
    %as_number = arith.extui %is_less : i1 to i32
    linalg.yield %product, %as_number : i4, i32
  } -> (tensor<8xi4>, tensor<8xi32>)
  %f = tensor.empty() : tensor<8xf32>
  %floats = linalg.generic {indexing_maps = [#each, #each], iterator_types = ["parallel"]} ins(%p : tensor<8xi4>) outs(%f : tensor<8xf32>) {
  ^bb0(%a: i4, %o: f32):
    %number = arith.sitofp %a : i4 to f32
    linalg.yield %number : f32
  } -> tensor<8xf32>
  check.expect_eq_const(%p, dense<[-8, -5, -7, -2, 0, -8, 6, 1]> : tensor<8xi4>) : tensor<8xi4>
  check.expect_eq_const(%less, dense<[1, 1, 0, 1, 1, 0, 0, 0]> : tensor<8xi32>) : tensor<8xi32>
  check.expect_eq_const(%floats, dense<[-8.0, -5.0, -7.0, -2.0, 0.0, -8.0, 6.0, 1.0]> : tensor<8xf32>) : tensor<8xf32>
  return
}

// Booleans, eight to a byte.
func.func @packed_booleans() {
  %bytes = util.unfoldable_constant dense<[85, 15]> : tensor<2xi8>
  %x = flow.tensor.bitcast %bytes : tensor<2xi8> -> tensor<16xi1, #iree_encoding.packed_storage>
  %e = tensor.empty() : tensor<16xi1, #iree_encoding.packed_storage>
  %y = linalg.generic {indexing_maps = [#each, #each], iterator_types = ["parallel"]} ins(%x : tensor<16xi1, #iree_encoding.packed_storage>) outs(%e : tensor<16xi1, #iree_encoding.packed_storage>) {
  ^bb0(%a: i1, %o: i1):
    %true = arith.constant true
    %not = arith.xori %a, %true : i1
    linalg.yield %not : i1
  } -> tensor<16xi1, #iree_encoding.packed_storage>
  %out = flow.tensor.bitcast %y : tensor<16xi1, #iree_encoding.packed_storage> -> tensor<2xi8>
  check.expect_eq_const(%out, dense<[170, 240]> : tensor<2xi8>) : tensor<2xi8>
  return
}
