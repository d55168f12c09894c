// linalg on tensors; expected values from NumPy and PyTorch.

func.func @matmul() {
  %a = util.unfoldable_constant dense<[[-1.0, -3.0, 0.0, 4.0, 3.0, -2.0, -1.0], [3.0, 0.0, 1.0, 2.0, -1.0, -1.0, -3.0], [-2.0, -1.0, 2.0, 4.0, 2.0, -1.0, 0.0], [0.0, 2.0, 2.0, 2.0, -2.0, 1.0, 2.0], [3.0, 1.0, 2.0, 0.0, 2.0, 4.0, 4.0]]> : tensor<5x7xf32>
  %b = util.unfoldable_constant dense<[[-1.0, -4.0, 1.0, 3.0, 1.0, -3.0], [3.0, -4.0, -3.0, -3.0, -3.0, -4.0], [1.0, -4.0, -2.0, 3.0, -4.0, 1.0], [3.0, 2.0, 0.0, -1.0, -2.0, 1.0], [2.0, 2.0, -1.0, -3.0, 2.0, -4.0], [4.0, -4.0, -1.0, -1.0, 2.0, -2.0], [-2.0, 3.0, 1.0, 3.0, 0.0, -3.0]]> : tensor<7x6xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<5x6xf32>
  %init = linalg.fill ins(%zero : f32) outs(%e : tensor<5x6xf32>) -> tensor<5x6xf32>
  %y = linalg.matmul ins(%a, %b : tensor<5x7xf32>, tensor<7x6xf32>) outs(%init : tensor<5x6xf32>) -> tensor<5x6xf32>
  check.expect_eq_const(%y, dense<[[4.0, 35.0, 6.0, -8.0, 2.0, 14.0], [4.0, -19.0, 0.0, 5.0, -9.0, 9.0], [13.0, 20.0, -4.0, -6.0, -13.0, 10.0], [10.0, -14.0, -7.0, 9.0, -20.0, -4.0], [14.0, -24.0, -6.0, 14.0, 4.0, -39.0]]> : tensor<5x6xf32>) : tensor<5x6xf32>
  return
}

// `linalg.mul` and `linalg.add` are the text of earlier versions.
func.func @named_elementwise() {
  %a = util.unfoldable_constant dense<[[-1.0, -3.0, 0.0, 4.0, 3.0, -2.0, -1.0], [3.0, 0.0, 1.0, 2.0, -1.0, -1.0, -3.0], [-2.0, -1.0, 2.0, 4.0, 2.0, -1.0, 0.0], [0.0, 2.0, 2.0, 2.0, -2.0, 1.0, 2.0], [3.0, 1.0, 2.0, 0.0, 2.0, 4.0, 4.0]]> : tensor<5x7xf32>
  %e = tensor.empty() : tensor<5x7xf32>
  %m = linalg.mul ins(%a, %a : tensor<5x7xf32>, tensor<5x7xf32>) outs(%e : tensor<5x7xf32>) -> tensor<5x7xf32>
  %y = linalg.elementwise <add> ins(%m, %a : tensor<5x7xf32>, tensor<5x7xf32>) outs(%e : tensor<5x7xf32>) -> tensor<5x7xf32>
  check.expect_eq_const(%y, dense<[[0.0, 6.0, 0.0, 20.0, 12.0, 2.0, 0.0], [12.0, 0.0, 2.0, 6.0, 0.0, 0.0, 6.0], [2.0, 0.0, 6.0, 20.0, 6.0, 0.0, 0.0], [0.0, 6.0, 6.0, 6.0, 2.0, 2.0, 6.0], [12.0, 2.0, 6.0, 0.0, 6.0, 20.0, 20.0]]> : tensor<5x7xf32>) : tensor<5x7xf32>
  return
}

func.func @conv_2d_nhwc_hwcf() {
  %x = util.unfoldable_constant dense<[[[[4.0, 4.0], [-3.0, 4.0], [-4.0, 4.0], [4.0, -1.0], [1.0, -1.0], [1.0, -1.0]], [[-1.0, 4.0], [-2.0, -4.0], [-3.0, -1.0], [-2.0, 4.0], [-3.0, 2.0], [2.0, 3.0]], [[-2.0, 3.0], [4.0, -2.0], [-4.0, 1.0], [-3.0, -2.0], [-3.0, 0.0], [-4.0, -1.0]], [[-1.0, -4.0], [4.0, 4.0], [-2.0, -4.0], [1.0, -2.0], [-3.0, 4.0], [4.0, 4.0]], [[1.0, 2.0], [-3.0, -1.0], [2.0, -1.0], [1.0, -1.0], [3.0, 0.0], [-4.0, 2.0]], [[-2.0, -3.0], [0.0, 0.0], [0.0, 0.0], [-2.0, -3.0], [2.0, -3.0], [3.0, 0.0]]]]> : tensor<1x6x6x2xf32>
  %w = util.unfoldable_constant dense<[[[[-1.0, -4.0, 3.0], [-1.0, -4.0, 3.0]], [[-1.0, -2.0, 4.0], [-1.0, 0.0, 2.0]], [[-1.0, 4.0, 2.0], [4.0, -3.0, -2.0]]], [[[1.0, -3.0, 0.0], [0.0, 2.0, 0.0]], [[0.0, -4.0, 4.0], [1.0, -1.0, 3.0]], [[-3.0, -4.0, 3.0], [-2.0, -1.0, 2.0]]], [[[4.0, 2.0, 0.0], [3.0, 0.0, 3.0]], [[-2.0, 1.0, -2.0], [-2.0, 3.0, -3.0]], [[3.0, -2.0, -1.0], [1.0, -4.0, -3.0]]]]> : tensor<3x3x2x3xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<1x4x4x3xf32>
  %init = linalg.fill ins(%zero : f32) outs(%e : tensor<1x4x4x3xf32>) -> tensor<1x4x4x3xf32>
  %y = linalg.conv_2d_nhwc_hwcf ins(%x, %w : tensor<1x6x6x2xf32>, tensor<3x3x2x3xf32>) outs(%init : tensor<1x4x4x3xf32>) -> tensor<1x4x4x3xf32>
  check.expect_eq_const(%y, dense<[[[[3.0, -20.0, -19.0], [-9.0, 59.0, 0.0], [-14.0, 9.0, 35.0], [-45.0, 9.0, 28.0]], [[-34.0, 30.0, -29.0], [87.0, 23.0, -37.0], [-7.0, 23.0, -66.0], [32.0, 18.0, -58.0]], [[45.0, -48.0, 35.0], [-18.0, -5.0, -33.0], [22.0, 6.0, -39.0], [-22.0, -1.0, -24.0]], [[-38.0, 19.0, -7.0], [-25.0, -5.0, 31.0], [31.0, -28.0, -2.0], [15.0, -6.0, -10.0]]]]> : tensor<1x4x4x3xf32>) : tensor<1x4x4x3xf32>
  return
}

// Argument of the maximum of every row, the first of equals.
func.func @generic_reduction_with_index() {
  %x = util.unfoldable_constant dense<[[-4.0, -2.0, -3.0, 0.0, -2.0, -3.0, 0.0, -4.0], [2.0, -3.0, -4.0, 1.0, 3.0, -3.0, -3.0, -1.0], [3.0, 0.0, 1.0, -2.0, -2.0, -3.0, 0.0, 1.0]]> : tensor<3x8xf32>
  %low = arith.constant 0xFF800000 : f32
  %none = arith.constant 0 : i32
  %e0 = tensor.empty() : tensor<3xf32>
  %e1 = tensor.empty() : tensor<3xi32>
  %i0 = linalg.fill ins(%low : f32) outs(%e0 : tensor<3xf32>) -> tensor<3xf32>
  %i1 = linalg.fill ins(%none : i32) outs(%e1 : tensor<3xi32>) -> tensor<3xi32>
  %r:2 = linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i)>],
    iterator_types = ["parallel", "reduction"]
  } ins(%x : tensor<3x8xf32>) outs(%i0, %i1 : tensor<3xf32>, tensor<3xi32>) {
  ^bb0(%in: f32, %best: f32, %at: i32):
    %j = linalg.index 1 : index
    %k = arith.index_cast %j : index to i32
    %more = arith.cmpf ogt, %in, %best : f32
    %v = arith.select %more, %in, %best : f32
    %p = arith.select %more, %k, %at : i32
    linalg.yield %v, %p : f32, i32
  } -> (tensor<3xf32>, tensor<3xi32>)
  check.expect_eq_const(%r#0, dense<[0.0, 3.0, 3.0]> : tensor<3xf32>) : tensor<3xf32>
  check.expect_eq_const(%r#1, dense<[3, 4, 0]> : tensor<3xi32>) : tensor<3xi32>
  return
}

func.func @softmax() {
  %x = util.unfoldable_constant dense<[[-0.0762583315, -0.0852689594, 0.775795639, 0.142304927, 0.122869983, -1.40213811, -1.41035843, -1.13224328, -0.643030226], [1.15626776, -0.564196825, -0.428291857, 2.04655862, 0.397714704, -0.353468865, 0.714193881, 0.156965271, 1.58571196], [0.799099684, -0.735509157, 1.33168352, -1.01507783, 2.16132975, 0.714678168, -1.82918572, 2.46895552, -0.492145807]]> : tensor<3x9xf32>
  %e = tensor.empty() : tensor<3x9xf32>
  %y = linalg.softmax dimension(1) ins(%x : tensor<3x9xf32>) outs(%e : tensor<3x9xf32>) -> tensor<3x9xf32>
  check.expect_almost_eq_const(%y, dense<[[0.12129619, 0.120208159, 0.28437376, 0.15092738, 0.148022413, 0.0322125405, 0.0319488198, 0.0421928428, 0.0688178837], [0.141715065, 0.0253645834, 0.0290569849, 0.345194936, 0.066371344, 0.0313145146, 0.0910805762, 0.0521704368, 0.217731506], [0.073722899, 0.0158902314, 0.125574261, 0.0120147597, 0.287879914, 0.0677545667, 0.00532295089, 0.391571939, 0.0202684999]]> : tensor<3x9xf32>, atol 1.0e-06) : tensor<3x9xf32>
  return
}

func.func @pack_and_unpack() {
  %x = util.unfoldable_constant dense<[[-2.0, -3.0, 2.0, -2.0, 0.0, -2.0], [-4.0, 0.0, -3.0, -2.0, -4.0, 3.0], [-3.0, 4.0, -3.0, 2.0, 1.0, 1.0], [0.0, 4.0, 1.0, 3.0, 1.0, -3.0]]> : tensor<4x6xf32>
  %e = tensor.empty() : tensor<2x2x2x3xf32>
  %p = linalg.pack %x inner_dims_pos = [0, 1] inner_tiles = [2, 3] into %e : tensor<4x6xf32> -> tensor<2x2x2x3xf32>
  %f = tensor.empty() : tensor<4x6xf32>
  %u = linalg.unpack %p inner_dims_pos = [0, 1] inner_tiles = [2, 3] into %f : tensor<2x2x2x3xf32> -> tensor<4x6xf32>
  check.expect_eq_const(%p, dense<[[[[-2.0, -3.0, 2.0], [-4.0, 0.0, -3.0]], [[-2.0, 0.0, -2.0], [-2.0, -4.0, 3.0]]], [[[-3.0, 4.0, -3.0], [0.0, 4.0, 1.0]], [[2.0, 1.0, 1.0], [3.0, 1.0, -3.0]]]]> : tensor<2x2x2x3xf32>) : tensor<2x2x2x3xf32>
  check.expect_eq_const(%u, dense<[[-2.0, -3.0, 2.0, -2.0, 0.0, -2.0], [-4.0, 0.0, -3.0, -2.0, -4.0, 3.0], [-3.0, 4.0, -3.0, 2.0, 1.0, 1.0], [0.0, 4.0, 1.0, 3.0, 1.0, -3.0]]> : tensor<4x6xf32>) : tensor<4x6xf32>
  return
}

func.func @matmul_int8() {
  %a = util.unfoldable_constant dense<[[-17, -49, 56, -71, 86, 50, 12, 125, 47], [-107, 5, 65, 99, -50, 82, -26, 38, -83], [0, -72, 30, 93, 48, 112, -110, -99, 94]]> : tensor<3x9xi8>
  %b = util.unfoldable_constant dense<[[47, 26, -84, -93], [125, -15, -61, 96], [-98, -8, -85, -112], [-37, -18, -74, 96], [19, -57, 118, -108], [79, 83, 52, -105], [-98, 127, -31, -119], [122, -114, -13, -19], [22, 10, -68, -101]]> : tensor<9x4xi8>
  %zero = arith.constant 0 : i32
  %e = tensor.empty() : tensor<3x4xi32>
  %init = linalg.fill ins(%zero : i32) outs(%e : tensor<3x4xi32>) -> tensor<3x4xi32>
  %y = linalg.matmul ins(%a, %b : tensor<3x9xi8>, tensor<9x4xi8>) outs(%init : tensor<3x4xi32>) -> tensor<3x4xi32>
  check.expect_eq_const(%y, dense<[[10907, -11885, 12466, -39299], [-3551, -3967, 152, 20200], [-4851, 3982, 4753, -12811]]> : tensor<3x4xi32>) : tensor<3x4xi32>
  return
}

// One row, whose length the compiler does not know.
func.func @softmax_of_one_row() {
  %x = flow.tensor.dynamic_constant dense<[[1.0, 2.0, -3.0, 0.5, 4.0]]> : tensor<1x5xf32> -> tensor<1x?xf32>
  %expected = flow.tensor.dynamic_constant dense<[[0.0409355156, 0.111274268, 0.000749760122, 0.0248286453, 0.822211811]]> : tensor<1x5xf32> -> tensor<1x?xf32>
  %one = arith.constant 1 : index
  %length = tensor.dim %x, %one : tensor<1x?xf32>
  %e = tensor.empty(%length) : tensor<1x?xf32>
  %y = linalg.softmax dimension(1) ins(%x : tensor<1x?xf32>) outs(%e : tensor<1x?xf32>) -> tensor<1x?xf32>
  check.expect_almost_eq(%y, %expected, atol 1.0e-06) : tensor<1x?xf32>
  return
}
