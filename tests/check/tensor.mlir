// The tensor dialect, with indices and sizes of run time; expected values from NumPy.

func.func @slice_with_steps() {
  %x = util.unfoldable_constant dense<[[2.0, 0.0, -3.0, 3.0, -1.0, -1.0], [4.0, 3.0, -2.0, 1.0, -1.0, 1.0], [-3.0, 1.0, 4.0, 0.0, -2.0, 0.0], [-3.0, -4.0, -3.0, -4.0, 2.0, 1.0]]> : tensor<4x6xf32>
  %y = tensor.extract_slice %x[1, 0] [2, 3] [2, 2] : tensor<4x6xf32> to tensor<2x3xf32>
  check.expect_eq_const(%y, dense<[[4.0, -2.0, -1.0], [-3.0, -3.0, 2.0]]> : tensor<2x3xf32>) : tensor<2x3xf32>
  return
}

func.func @insert_slice_at_an_index_of_run_time() {
  %x = util.unfoldable_constant dense<[[2.0, 0.0, -3.0, 3.0, -1.0, -1.0], [4.0, 3.0, -2.0, 1.0, -1.0, 1.0], [-3.0, 1.0, 4.0, 0.0, -2.0, 0.0], [-3.0, -4.0, -3.0, -4.0, 2.0, 1.0]]> : tensor<4x6xf32>
  %u = util.unfoldable_constant dense<[[-4.0, -1.0, 4.0], [1.0, -1.0, 3.0]]> : tensor<2x3xf32>
  %i = util.unfoldable_constant dense<[1, 2]> : tensor<2xi32>
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %i0 = tensor.extract %i[%c0] : tensor<2xi32>
  %i1 = tensor.extract %i[%c1] : tensor<2xi32>
  %r = arith.index_cast %i0 : i32 to index
  %c = arith.index_cast %i1 : i32 to index
  %y = tensor.insert_slice %u into %x[%r, %c] [2, 3] [1, 1] : tensor<2x3xf32> into tensor<4x6xf32>
  check.expect_eq_const(%y, dense<[[2.0, 0.0, -3.0, 3.0, -1.0, -1.0], [4.0, 3.0, -4.0, -1.0, 4.0, 1.0], [-3.0, 1.0, 1.0, -1.0, 3.0, 0.0], [-3.0, -4.0, -3.0, -4.0, 2.0, 1.0]]> : tensor<4x6xf32>) : tensor<4x6xf32>
  return
}

func.func @pad() {
  %u = util.unfoldable_constant dense<[[-4.0, -1.0, 4.0], [1.0, -1.0, 3.0]]> : tensor<2x3xf32>
  %z = arith.constant 9.0 : f32
  %y = tensor.pad %u low[1, 0] high[0, 2] {
  ^bb0(%i: index, %j: index):
    tensor.yield %z : f32
  } : tensor<2x3xf32> to tensor<3x5xf32>
  check.expect_eq_const(%y, dense<[[9.0, 9.0, 9.0, 9.0, 9.0], [-4.0, -1.0, 4.0, 9.0, 9.0], [1.0, -1.0, 3.0, 9.0, 9.0]]> : tensor<3x5xf32>) : tensor<3x5xf32>
  return
}

func.func @concat_expand_collapse() {
  %u = util.unfoldable_constant dense<[[-4.0, -1.0, 4.0], [1.0, -1.0, 3.0]]> : tensor<2x3xf32>
  %c = tensor.concat dim(1) %u, %u : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x6xf32>
  %f = tensor.collapse_shape %c [[0, 1]] : tensor<2x6xf32> into tensor<12xf32>
  %y = tensor.expand_shape %f [[0, 1]] output_shape [4, 3] : tensor<12xf32> into tensor<4x3xf32>
  check.expect_eq_const(%y, dense<[[-4.0, -1.0, 4.0], [-4.0, -1.0, 4.0], [1.0, -1.0, 3.0], [1.0, -1.0, 3.0]]> : tensor<4x3xf32>) : tensor<4x3xf32>
  return
}

// A size that is known when the program runs.
func.func @rows_of_run_time() {
  %x = util.unfoldable_constant dense<[[2.0, 0.0, -3.0, 3.0, -1.0, -1.0], [4.0, 3.0, -2.0, 1.0, -1.0, 1.0], [-3.0, 1.0, 4.0, 0.0, -2.0, 0.0], [-3.0, -4.0, -3.0, -4.0, 2.0, 1.0]]> : tensor<4x6xf32>
  %n = util.unfoldable_constant dense<3> : tensor<i32>
  %k = tensor.extract %n[] : tensor<i32>
  %rows = arith.index_cast %k : i32 to index
  %part = tensor.extract_slice %x[0, 0] [%rows, 6] [1, 1] : tensor<4x6xf32> to tensor<?x6xf32>
  %two = arith.constant 2.0 : f32
  %e = tensor.empty(%rows) : tensor<?x6xf32>
  %d = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]} ins(%part : tensor<?x6xf32>) outs(%e : tensor<?x6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %m = arith.mulf %in, %two : f32
    linalg.yield %m : f32
  } -> tensor<?x6xf32>
  %y = tensor.cast %d : tensor<?x6xf32> to tensor<3x6xf32>
  check.expect_eq_const(%y, dense<[[4.0, 0.0, -6.0, 6.0, -2.0, -2.0], [8.0, 6.0, -4.0, 2.0, -2.0, 2.0], [-6.0, 2.0, 8.0, 0.0, -4.0, 0.0]]> : tensor<3x6xf32>) : tensor<3x6xf32>
  return
}

func.func @conditions_on_the_host() {
  %x = util.unfoldable_constant dense<[[2.0, 0.0, -3.0, 3.0, -1.0, -1.0], [4.0, 3.0, -2.0, 1.0, -1.0, 1.0], [-3.0, 1.0, 4.0, 0.0, -2.0, 0.0], [-3.0, -4.0, -3.0, -4.0, 2.0, 1.0]]> : tensor<4x6xf32>
  %c0 = arith.constant 0 : index
  %e = tensor.extract %x[%c0, %c0] : tensor<4x6xf32>
  %same = arith.cmpf oeq, %e, %e : f32
  check.expect_true(%same) : i1
  %other = arith.cmpf one, %e, %e : f32
  check.expect_false(%other) : i1
  check.expect_eq_const(%x, dense<[[2.0, 0.0, -3.0, 3.0, -1.0, -1.0], [4.0, 3.0, -2.0, 1.0, -1.0, 1.0], [-3.0, 1.0, 4.0, 0.0, -2.0, 0.0], [-3.0, -4.0, -3.0, -4.0, 2.0, 1.0]]> : tensor<4x6xf32>) : tensor<4x6xf32>
  return
}
