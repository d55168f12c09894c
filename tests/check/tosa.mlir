// TOSA operations that move, convolve and quantise; expected values from PyTorch and NumPy.

func.func @conv2d_dilated_strided() {
  %x = util.unfoldable_constant dense<[[[[4.0, -2.0], [-2.0, 0.0], [4.0, -3.0], [-2.0, 0.0], [-2.0, -1.0]], [[-1.0, -4.0], [-4.0, -4.0], [1.0, 4.0], [4.0, 2.0], [4.0, 0.0]], [[0.0, 1.0], [-1.0, -2.0], [2.0, -2.0], [0.0, -4.0], [-3.0, -4.0]], [[1.0, 3.0], [3.0, 3.0], [4.0, -4.0], [2.0, -2.0], [1.0, -4.0]]]]> : tensor<1x4x5x2xf32>
  %w = util.unfoldable_constant dense<[[[[-3.0, 0.0], [-2.0, 1.0], [4.0, 0.0]], [[4.0, -3.0], [-1.0, 2.0], [-3.0, 1.0]]], [[[-1.0, 0.0], [0.0, -2.0], [2.0, 4.0]], [[-3.0, -4.0], [-2.0, -3.0], [-1.0, -1.0]]], [[[-2.0, -2.0], [-2.0, 1.0], [3.0, 2.0]], [[-4.0, 2.0], [1.0, 2.0], [-3.0, -3.0]]]]> : tensor<3x2x3x2xf32>
  %b = util.unfoldable_constant dense<[-4.0, 2.0, -1.0]> : tensor<3xf32>
  %zero = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %y = "tosa.conv2d"(%x, %w, %b, %zero, %zero) <{acc_type = f32, pad = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 2>, dilation = array<i64: 2, 1>}> : (tensor<1x4x5x2xf32>, tensor<3x2x3x2xf32>, tensor<3xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x2x2x3xf32>
  check.expect_eq_const(%y, dense<[[[[-10.0, -2.0, 2.0], [-9.0, 11.0, -6.0]], [[-11.0, -1.0, 35.0], [18.0, 14.0, -22.0]]]]> : tensor<1x2x2x3xf32>) : tensor<1x2x2x3xf32>
  return
}

func.func @depthwise_conv2d() {
  %x = util.unfoldable_constant dense<[[[[-2.0, 1.0], [0.0, 0.0], [-3.0, -3.0], [3.0, -1.0]], [[-4.0, 4.0], [-1.0, 0.0], [1.0, 0.0], [2.0, 4.0]], [[-4.0, -1.0], [4.0, 4.0], [-2.0, -2.0], [0.0, 2.0]], [[-2.0, -4.0], [-4.0, -3.0], [-2.0, 4.0], [-2.0, 4.0]]]]> : tensor<1x4x4x2xf32>
  %w = util.unfoldable_constant dense<[[[[1.0, -4.0], [-4.0, 3.0]], [[4.0, -2.0], [-3.0, 1.0]], [[0.0, -1.0], [-1.0, -3.0]]], [[[-1.0, 0.0], [4.0, 1.0]], [[4.0, 4.0], [1.0, 0.0]], [[-2.0, 2.0], [-3.0, -1.0]]], [[[0.0, 0.0], [-3.0, 0.0]], [[0.0, 0.0], [-4.0, -1.0]], [[-4.0, -2.0], [0.0, 1.0]]]]> : tensor<3x3x2x2xf32>
  %b = util.unfoldable_constant dense<[-1.0, -1.0, 4.0, 2.0]> : tensor<4xf32>
  %zero = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %y = "tosa.depthwise_conv2d"(%x, %w, %b, %zero, %zero) <{acc_type = f32, pad = array<i64: 1, 1, 1, 1>, stride = array<i64: 1, 1>, dilation = array<i64: 1, 1>}> : (tensor<1x4x4x2xf32>, tensor<3x3x2x2xf32>, tensor<4xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x4x4x4xf32>
  check.expect_eq_const(%y, dense<[[[[-5.0, -7.0, -11.0, -2.0], [3.0, -9.0, 5.0, 6.0], [-27.0, -11.0, 4.0, 7.0], [14.0, 11.0, -25.0, -5.0]], [[-39.0, -23.0, 9.0, 8.0], [3.0, 12.0, 6.0, 12.0], [-12.0, 10.0, -2.0, 2.0], [15.0, 13.0, 21.0, -10.0]], [[-25.0, 8.0, -5.0, 3.0], [23.0, 32.0, 18.0, 22.0], [-2.0, -5.0, 1.0, -8.0], [10.0, -9.0, -42.0, 0.0]], [[-17.0, -13.0, 8.0, -8.0], [1.0, -11.0, -33.0, 1.0], [-5.0, -25.0, -28.0, -1.0], [-9.0, -1.0, 26.0, 2.0]]]]> : tensor<1x4x4x4xf32>) : tensor<1x4x4x4xf32>
  return
}

func.func @transpose_conv2d() {
  %x = util.unfoldable_constant dense<[[[[-1.0, 4.0], [0.0, 4.0], [-1.0, 2.0]], [[2.0, 0.0], [-1.0, -4.0], [-2.0, 3.0]], [[0.0, 4.0], [3.0, -3.0], [0.0, -1.0]]]]> : tensor<1x3x3x2xf32>
  %w = util.unfoldable_constant dense<[[[[2.0, -2.0], [1.0, -2.0], [-2.0, -4.0]], [[0.0, 1.0], [-1.0, 3.0], [3.0, 1.0]], [[-2.0, -1.0], [3.0, -4.0], [-1.0, 0.0]]], [[[-2.0, -3.0], [4.0, 3.0], [3.0, -3.0]], [[0.0, -2.0], [3.0, 4.0], [3.0, 0.0]], [[2.0, -3.0], [1.0, -3.0], [2.0, -4.0]]]]> : tensor<2x3x3x2xf32>
  %b = util.unfoldable_constant dense<[-4.0, 3.0]> : tensor<2xf32>
  %zero = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %y = "tosa.transpose_conv2d"(%x, %w, %b, %zero, %zero) <{acc_type = f32, out_pad = array<i64: 0, 0, 0, 0>, stride = array<i64: 2, 2>}> : (tensor<1x3x3x2xf32>, tensor<2x3x3x2xf32>, tensor<2xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x7x7x2xf32>
  check.expect_eq_const(%y, dense<[[[[-14.0, -7.0], [-13.0, 11.0], [-26.0, -24.0], [-12.0, 15.0], [-26.0, -13.0], [-9.0, 5.0], [-10.0, -6.0]], [[0.0, -5.0], [9.0, 16.0], [1.0, -8.0], [8.0, 19.0], [2.0, -1.0], [3.0, 8.0], [-5.0, 0.0]], [[-2.0, -15.0], [-21.0, -2.0], [-5.0, -7.0], [-13.0, -25.0], [4.0, -17.0], [-23.0, -3.0], [-11.0, -22.0]], [[-4.0, 3.0], [-6.0, 9.0], [-2.0, 17.0], [-15.0, -16.0], [-8.0, -6.0], [7.0, 9.0], [-7.0, -3.0]], [[-16.0, -5.0], [-6.0, 17.0], [-4.0, 8.0], [18.0, 17.0], [6.0, 25.0], [-20.0, -11.0], [2.0, -10.0]], [[0.0, -5.0], [8.0, 19.0], [-3.0, 9.0], [-16.0, 0.0], [1.0, 14.0], [-7.0, -1.0], [-5.0, 3.0]], [[-8.0, -9.0], [-20.0, -9.0], [-7.0, 2.0], [17.0, 15.0], [-6.0, 24.0], [0.0, 6.0], [-4.0, 7.0]]]]> : tensor<1x7x7x2xf32>) : tensor<1x7x7x2xf32>
  return
}

// Zero point 3 of the input; sums in 32 bits.
func.func @conv2d_int8() {
  %x = util.unfoldable_constant dense<[[[[-45, 40], [5, -114], [-97, 21]], [[-75, 10], [-82, 32], [-67, 27]], [[-33, 81], [-54, -50], [108, -117]]]]> : tensor<1x3x3x2xi8>
  %w = util.unfoldable_constant dense<[[[[-8, 4], [1, -2]], [[2, -2], [3, -1]]], [[[-3, -3], [7, 6]], [[1, -3], [3, 3]]]]> : tensor<2x2x2x2xi8>
  %b = util.unfoldable_constant dense<[-8, 4]> : tensor<2xi32>
  %xz = "tosa.const"() <{values = dense<3> : tensor<1xi8>}> : () -> tensor<1xi8>
  %wz = "tosa.const"() <{values = dense<0> : tensor<1xi8>}> : () -> tensor<1xi8>
  %y = "tosa.conv2d"(%x, %w, %b, %xz, %wz) <{acc_type = i32, pad = array<i64: 0, 0, 0, 0>, stride = array<i64: 1, 1>, dilation = array<i64: 1, 1>}> : (tensor<1x3x3x2xi8>, tensor<2x2x2x2xi8>, tensor<2xi32>, tensor<1xi8>, tensor<1xi8>) -> tensor<1x2x2x2xi32>
  check.expect_eq_const(%y, dense<[[[[306, -918], [-1090, -553]], [[155, -804], [1097, -117]]]]> : tensor<1x2x2x2xi32>) : tensor<1x2x2x2xi32>
  return
}

func.func @avg_pool2d() {
  %x = util.unfoldable_constant dense<[[[[-4.0], [16.0], [-8.0], [4.0]], [[12.0], [16.0], [-4.0], [-16.0]], [[-8.0], [16.0], [12.0], [12.0]], [[-12.0], [-12.0], [-4.0], [-12.0]]]]> : tensor<1x4x4x1xf32>
  %zero = "tosa.const"() <{values = dense<0.0> : tensor<1xf32>}> : () -> tensor<1xf32>
  %y = "tosa.avg_pool2d"(%x, %zero, %zero) <{acc_type = f32, kernel = array<i64: 2, 2>, pad = array<i64: 0, 0, 0, 0>, stride = array<i64: 2, 2>}> : (tensor<1x4x4x1xf32>, tensor<1xf32>, tensor<1xf32>) -> tensor<1x2x2x1xf32>
  check.expect_almost_eq_const(%y, dense<[[[[10.0], [-6.0]], [[-4.0], [2.0]]]]> : tensor<1x2x2x1xf32>) : tensor<1x2x2x1xf32>
  return
}

// (x - 5) / 2 + 1, to the nearest.
func.func @rescale() {
  %x = util.unfoldable_constant dense<[105, -61, -122, -89, -89, -30]> : tensor<6xi8>
  %m = "tosa.const"() <{values = dense<1073741824> : tensor<1xi32>}> : () -> tensor<1xi32>
  %s = "tosa.const"() <{values = dense<31> : tensor<1xi8>}> : () -> tensor<1xi8>
  %xz = "tosa.const"() <{values = dense<5> : tensor<1xi8>}> : () -> tensor<1xi8>
  %yz = "tosa.const"() <{values = dense<1> : tensor<1xi8>}> : () -> tensor<1xi8>
  %y = "tosa.rescale"(%x, %m, %s, %xz, %yz) <{scale32 = true, rounding_mode = #tosa.rounding_mode<SINGLE_ROUND>, per_channel = false, input_unsigned = false, output_unsigned = false}> : (tensor<6xi8>, tensor<1xi32>, tensor<1xi8>, tensor<1xi8>, tensor<1xi8>) -> tensor<6xi8>
  check.expect_eq_const(%y, dense<[51, -32, -62, -46, -46, -16]> : tensor<6xi8>) : tensor<6xi8>
  return
}

func.func @argmax() {
  %x = util.unfoldable_constant dense<[[0.0, -1.0, 0.0, 1.0, 4.0], [-3.0, 4.0, 0.0, 1.0, 2.0]]> : tensor<2x5xf32>
  %y = "tosa.argmax"(%x) <{axis = 1 : i32}> : (tensor<2x5xf32>) -> tensor<2xi32>
  check.expect_eq_const(%y, dense<[4, 1]> : tensor<2xi32>) : tensor<2xi32>
  return
}

func.func @concat_reverse_tile() {
  %x = util.unfoldable_constant dense<[[-4.0, -3.0, -3.0], [-4.0, 1.0, 0.0]]> : tensor<2x3xf32>
  %c = "tosa.concat"(%x, %x) <{axis = 0 : i32}> : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<4x3xf32>
  %r = "tosa.reverse"(%c) <{axis = 1 : i32}> : (tensor<4x3xf32>) -> tensor<4x3xf32>
  %n = "tosa.const_shape"() <{values = dense<[1, 2]> : tensor<2xindex>}> : () -> !tosa.shape<2>
  %y = "tosa.tile"(%r, %n) : (tensor<4x3xf32>, !tosa.shape<2>) -> tensor<4x6xf32>
  check.expect_eq_const(%y, dense<[[-3.0, -3.0, -4.0, -3.0, -3.0, -4.0], [0.0, 1.0, -4.0, 0.0, 1.0, -4.0], [-3.0, -3.0, -4.0, -3.0, -3.0, -4.0], [0.0, 1.0, -4.0, 0.0, 1.0, -4.0]]> : tensor<4x6xf32>) : tensor<4x6xf32>
  return
}

func.func @scatter() {
  %v = util.unfoldable_constant dense<[[[-1.0, -1.0], [4.0, -1.0], [0.0, -1.0], [4.0, -2.0]]]> : tensor<1x4x2xf32>
  %i = util.unfoldable_constant dense<[[2, 0]]> : tensor<1x2xi32>
  %u = util.unfoldable_constant dense<[[[-3.0, 3.0], [3.0, -4.0]]]> : tensor<1x2x2xf32>
  %y = "tosa.scatter"(%v, %i, %u) : (tensor<1x4x2xf32>, tensor<1x2xi32>, tensor<1x2x2xf32>) -> tensor<1x4x2xf32>
  check.expect_eq_const(%y, dense<[[[3.0, -4.0], [4.0, -1.0], [-3.0, 3.0], [4.0, -2.0]]]> : tensor<1x4x2xf32>) : tensor<1x4x2xf32>
  return
}

func.func @resize_nearest() {
  %x = util.unfoldable_constant dense<[[[[1.0], [4.0]], [[3.0], [3.0]]]]> : tensor<1x2x2x1xf32>
  %scale = "tosa.const_shape"() <{values = dense<[4, 2, 4, 2]> : tensor<4xindex>}> : () -> !tosa.shape<4>
  %offset = "tosa.const_shape"() <{values = dense<[-1, -1]> : tensor<2xindex>}> : () -> !tosa.shape<2>
  %border = "tosa.const_shape"() <{values = dense<[1, 1]> : tensor<2xindex>}> : () -> !tosa.shape<2>
  %y = "tosa.resize"(%x, %scale, %offset, %border) <{mode = #tosa.resize_mode<NEAREST_NEIGHBOR>}> : (tensor<1x2x2x1xf32>, !tosa.shape<4>, !tosa.shape<2>, !tosa.shape<2>) -> tensor<1x4x4x1xf32>
  check.expect_eq_const(%y, dense<[[[[1.0], [1.0], [4.0], [4.0]], [[1.0], [1.0], [4.0], [4.0]], [[3.0], [3.0], [3.0], [3.0]], [[3.0], [3.0], [3.0], [3.0]]]]> : tensor<1x4x4x1xf32>) : tensor<1x4x4x1xf32>
  return
}

func.func @intdiv_and_cast() {
  %a = util.unfoldable_constant dense<[7, -7, 9, -9]> : tensor<4xi32>
  %b = util.unfoldable_constant dense<[2, 2, -4, -4]> : tensor<4xi32>
  %q = "tosa.intdiv"(%a, %b) : (tensor<4xi32>, tensor<4xi32>) -> tensor<4xi32>
  %f = "tosa.cast"(%q) : (tensor<4xi32>) -> tensor<4xf32>
  check.expect_eq_const(%q, dense<[3, -3, -2, 2]> : tensor<4xi32>) : tensor<4xi32>
  check.expect_eq_const(%f, dense<[3.0, -3.0, -2.0, 2.0]> : tensor<4xf32>) : tensor<4xf32>
  return
}

func.func @functions() {
  %x = util.unfoldable_constant dense<[-2.0, -0.5, 0.0, 0.5, 2.0]> : tensor<5xf32>
  %e = "tosa.erf"(%x) : (tensor<5xf32>) -> tensor<5xf32>
  %s = "tosa.sin"(%x) : (tensor<5xf32>) -> tensor<5xf32>
  %c = "tosa.cos"(%x) : (tensor<5xf32>) -> tensor<5xf32>
  check.expect_almost_eq_const(%e, dense<[-0.995322265, -0.520499878, 0.0, 0.520499878, 0.995322265]> : tensor<5xf32>, atol 1.0e-06) : tensor<5xf32>
  check.expect_almost_eq_const(%s, dense<[-0.909297427, -0.479425539, 0.0, 0.479425539, 0.909297427]> : tensor<5xf32>, atol 1.0e-06) : tensor<5xf32>
  check.expect_almost_eq_const(%c, dense<[-0.416146837, 0.877582562, 1.0, 0.877582562, -0.416146837]> : tensor<5xf32>, atol 1.0e-06) : tensor<5xf32>
  return
}

// The text of earlier versions of TOSA.
func.func @attributes_in_braces() {
  %x = util.unfoldable_constant dense<[-2.0, -0.5, 0.0, 0.5, 2.0]> : tensor<5xf32>
  %y = tosa.clamp %x {max_val = 1.0 : f32, min_val = -1.0 : f32} : (tensor<5xf32>) -> tensor<5xf32>
  check.expect_eq_const(%y, dense<[-1.0, -0.5, 0.0, 0.5, 1.0]> : tensor<5xf32>) : tensor<5xf32>
  return
}
