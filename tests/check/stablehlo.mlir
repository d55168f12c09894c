// StableHLO: control flow, and what its specification says beyond arithmetic; expected values from NumPy and PyTorch.

// Collatz: the number of steps depends on the value.
func.func @while_counts_by_data() {
  %n = util.unfoldable_constant dense<27> : tensor<i32>
  %c0 = stablehlo.constant dense<0> : tensor<i32>
  %r:2 = stablehlo.while(%v = %n, %k = %c0) : tensor<i32>, tensor<i32>
    cond {
      %one = stablehlo.constant dense<1> : tensor<i32>
      %p = stablehlo.compare NE, %v, %one : (tensor<i32>, tensor<i32>) -> tensor<i1>
      stablehlo.return %p : tensor<i1>
    } do {
      %one = stablehlo.constant dense<1> : tensor<i32>
      %two = stablehlo.constant dense<2> : tensor<i32>
      %three = stablehlo.constant dense<3> : tensor<i32>
      %m = stablehlo.remainder %v, %two : tensor<i32>
      %odd = stablehlo.compare EQ, %m, %one : (tensor<i32>, tensor<i32>) -> tensor<i1>
      %w = "stablehlo.if"(%odd) ({
        %a = stablehlo.multiply %v, %three : tensor<i32>
        %b = stablehlo.add %a, %one : tensor<i32>
        stablehlo.return %b : tensor<i32>
      }, {
        %h = stablehlo.divide %v, %two : tensor<i32>
        stablehlo.return %h : tensor<i32>
      }) : (tensor<i1>) -> tensor<i32>
      %j = stablehlo.add %k, %one : tensor<i32>
      stablehlo.return %w, %j : tensor<i32>, tensor<i32>
    }
  check.expect_eq_const(%r#1, dense<111> : tensor<i32>) : tensor<i32>
  return
}

func.func @case_out_of_range_takes_the_last() {
  %x = util.unfoldable_constant dense<[1.0, 2.0]> : tensor<2xf32>
  %i = util.unfoldable_constant dense<7> : tensor<i32>
  %y = "stablehlo.case"(%i) ({
    stablehlo.return %x : tensor<2xf32>
  }, {
    %n = stablehlo.negate %x : tensor<2xf32>
    stablehlo.return %n : tensor<2xf32>
  }) : (tensor<i32>) -> tensor<2xf32>
  check.expect_eq_const(%y, dense<[-1.0, -2.0]> : tensor<2xf32>) : tensor<2xf32>
  return
}

// Start indices are clamped: the specification's rule.
func.func @gather_moves_windows_inside() {
  %x = util.unfoldable_constant dense<[2.0, -4.0, 1.0, -3.0, -3.0, -4.0, -4.0, 3.0]> : tensor<8xf32>
  %i = util.unfoldable_constant dense<[[-3], [0], [5], [99]]> : tensor<4x1xi32>
  %y = "stablehlo.gather"(%x, %i) <{dimension_numbers = #stablehlo.gather<offset_dims = [1], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 3>}> : (tensor<8xf32>, tensor<4x1xi32>) -> tensor<4x3xf32>
  check.expect_eq_const(%y, dense<[[2.0, -4.0, 1.0], [2.0, -4.0, 1.0], [-4.0, -4.0, 3.0], [-4.0, -4.0, 3.0]]> : tensor<4x3xf32>) : tensor<4x3xf32>
  return
}

// Updates outside the operand are dropped, equal indices add up.
func.func @scatter_adds_and_leaves_out() {
  %x = util.unfoldable_constant dense<[-4.0, -4.0, -3.0, 2.0]> : tensor<4xf32>
  %i = util.unfoldable_constant dense<[[3], [1], [4], [3]]> : tensor<4x1xi32>
  %u = util.unfoldable_constant dense<[-2.0, -1.0, -2.0, -3.0]> : tensor<4xf32>
  %y = "stablehlo.scatter"(%x, %i, %u) <{scatter_dimension_numbers = #stablehlo.scatter<inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %s = stablehlo.add %a, %b : tensor<f32>
    stablehlo.return %s : tensor<f32>
  }) : (tensor<4xf32>, tensor<4x1xi32>, tensor<4xf32>) -> tensor<4xf32>
  check.expect_eq_const(%y, dense<[-4.0, -5.0, -3.0, -3.0]> : tensor<4xf32>) : tensor<4xf32>
  return
}

func.func @sort_is_stable() {
  %k = util.unfoldable_constant dense<[0, 2, 1, 1, 1, 1, 2, 2, 2, 2, 0, 2]> : tensor<12xi32>
  %p = stablehlo.iota dim = 0 : tensor<12xi32>
  %r:2 = "stablehlo.sort"(%k, %p) <{dimension = 0 : i64, is_stable = true}> ({
  ^bb0(%a: tensor<i32>, %b: tensor<i32>, %c: tensor<i32>, %d: tensor<i32>):
    %lt = stablehlo.compare LT, %a, %b : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %lt : tensor<i1>
  }) : (tensor<12xi32>, tensor<12xi32>) -> (tensor<12xi32>, tensor<12xi32>)
  check.expect_eq_const(%r#0, dense<[0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]> : tensor<12xi32>) : tensor<12xi32>
  check.expect_eq_const(%r#1, dense<[0, 10, 2, 3, 4, 5, 1, 6, 7, 8, 9, 11]> : tensor<12xi32>) : tensor<12xi32>
  return
}

func.func @only_the_permutation_of_a_sort() {
  %k = util.unfoldable_constant dense<[0, 2, 1, 1, 1, 1, 2, 2, 2, 2, 0, 2]> : tensor<12xi32>
  %p = stablehlo.iota dim = 0 : tensor<12xi32>
  %r:2 = "stablehlo.sort"(%k, %p) <{dimension = 0 : i64, is_stable = true}> ({
  ^bb0(%a: tensor<i32>, %b: tensor<i32>, %c: tensor<i32>, %d: tensor<i32>):
    %gt = stablehlo.compare GT, %a, %b : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %gt : tensor<i1>
  }) : (tensor<12xi32>, tensor<12xi32>) -> (tensor<12xi32>, tensor<12xi32>)
  check.expect_eq_const(%r#1, dense<[1, 6, 7, 8, 9, 11, 2, 3, 4, 5, 0, 10]> : tensor<12xi32>) : tensor<12xi32>
  return
}

// Windows overlap: 3x3, two apart.
func.func @gradient_of_max_pooling() {
  %x = util.unfoldable_constant dense<[[[[12.0], [0.0], [-10.0], [7.0], [-12.0]], [[10.0], [4.0], [-5.0], [-1.0], [-7.0]], [[11.0], [5.0], [1.0], [6.0], [-2.0]], [[-9.0], [-4.0], [-3.0], [-6.0], [2.0]], [[-11.0], [3.0], [-8.0], [9.0], [8.0]]]]> : tensor<1x5x5x1xf32>
  %s = util.unfoldable_constant dense<[[[[2.0], [0.0]], [[3.0], [-2.0]]]]> : tensor<1x2x2x1xf32>
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %y = "stablehlo.select_and_scatter"(%x, %s, %zero) <{window_dimensions = array<i64: 1, 3, 3, 1>, window_strides = array<i64: 1, 2, 2, 1>}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %ge = stablehlo.compare GE, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1>
    stablehlo.return %ge : tensor<i1>
  }, {
  ^bb0(%a: tensor<f32>, %b: tensor<f32>):
    %sum = stablehlo.add %a, %b : tensor<f32>
    stablehlo.return %sum : tensor<f32>
  }) : (tensor<1x5x5x1xf32>, tensor<1x2x2x1xf32>, tensor<f32>) -> tensor<1x5x5x1xf32>
  check.expect_eq_const(%y, dense<[[[[2.0], [0.0], [0.0], [0.0], [0.0]], [[0.0], [0.0], [0.0], [0.0], [0.0]], [[3.0], [0.0], [0.0], [0.0], [0.0]], [[0.0], [0.0], [0.0], [0.0], [0.0]], [[0.0], [0.0], [0.0], [-2.0], [0.0]]]]> : tensor<1x5x5x1xf32>) : tensor<1x5x5x1xf32>
  return
}

func.func @dot_general_batch_in_the_middle() {
  %a = util.unfoldable_constant dense<[[[-2.0, -3.0, 0.0, 4.0], [0.0, 1.0, 1.0, 3.0], [-2.0, 0.0, 1.0, -2.0]], [[-4.0, 2.0, -4.0, 2.0], [1.0, -1.0, -3.0, 0.0], [1.0, 0.0, 0.0, 4.0]]]> : tensor<2x3x4xf32>
  %b = util.unfoldable_constant dense<[[[-3.0, -4.0, -3.0, 1.0, -1.0], [0.0, -2.0, 3.0, -1.0, -3.0]], [[1.0, 4.0, -4.0, 3.0, 0.0], [2.0, -4.0, 3.0, -2.0, -3.0]], [[-1.0, -2.0, 3.0, -4.0, 0.0], [1.0, 3.0, 4.0, 1.0, -3.0]], [[4.0, -3.0, -3.0, 0.0, -3.0], [4.0, -3.0, 1.0, -1.0, 2.0]]]> : tensor<4x2x5xf32>
  %y = stablehlo.dot_general %a, %b, batching_dims = [0] x [1], contracting_dims = [2] x [0] : (tensor<2x3x4xf32>, tensor<4x2x5xf32>) -> tensor<2x3x5xf32>
  check.expect_eq_const(%y, dense<[[[19.0, -16.0, 6.0, -11.0, -10.0], [12.0, -7.0, -10.0, -1.0, -9.0], [-3.0, 12.0, 15.0, -6.0, 8.0]], [[8.0, -18.0, -20.0, -6.0, 22.0], [-5.0, -7.0, -12.0, -2.0, 9.0], [16.0, -14.0, 7.0, -5.0, 5.0]]]> : tensor<2x3x5xf32>) : tensor<2x3x5xf32>
  return
}

func.func @rfft_and_back() {
  %x = util.unfoldable_constant dense<[-0.289963812, -0.0427864939, -1.68591249, 0.310674667, -0.316798717, -0.000126509694, -2.26790357, -1.18730164]> : tensor<8xf32>
  %z = stablehlo.fft %x, type = RFFT, length = [8] : (tensor<8xf32>) -> tensor<5xcomplex<f32>>
  %re = stablehlo.real %z : (tensor<5xcomplex<f32>>) -> tensor<5xf32>
  %im = stablehlo.imag %z : (tensor<5xcomplex<f32>>) -> tensor<5xf32>
  %y = stablehlo.fft %z, type = IRFFT, length = [8] : (tensor<5xcomplex<f32>>) -> tensor<8xf32>
  check.expect_almost_eq_const(%re, dense<[-5.48011875, -1.06255949, 3.34705353, 1.1162293, -3.64103866]> : tensor<5xf32>, atol 1.0e-05) : tensor<5xf32>
  check.expect_almost_eq_const(%im, dense<[0.0, -1.61105514, -0.833713949, -0.447072953, 0.0]> : tensor<5xf32>, atol 1.0e-05) : tensor<5xf32>
  check.expect_almost_eq_const(%y, dense<[-0.289963812, -0.0427864939, -1.68591249, 0.310674667, -0.316798717, -0.000126509694, -2.26790357, -1.18730164]> : tensor<8xf32>, atol 1.0e-05) : tensor<8xf32>
  return
}

// Functions may call private ones.
func.func @counted_by_a_helper() {
  %x = util.unfoldable_constant dense<[4.0, -2.0, 3.0, 3.0, 1.0]> : tensor<5xf32>
  %y = call @twice(%x) : (tensor<5xf32>) -> tensor<5xf32>
  check.expect_eq_const(%y, dense<[8.0, -4.0, 6.0, 6.0, 2.0]> : tensor<5xf32>) : tensor<5xf32>
  return
}

func.func private @twice(%x: tensor<5xf32>) -> tensor<5xf32> {
  %y = stablehlo.add %x, %x : tensor<5xf32>
  return %y : tensor<5xf32>
}
