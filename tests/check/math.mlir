// Functions of the math dialect on tensors; expected values from NumPy and SciPy in 64 bits.

func.func @sin() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.sin %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[0.350783228, -0.948984619, -0.479425539, -0.00999983311, 0.0, 0.00999983311, 0.479425539, 0.948984619, -0.350783228]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @cos() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.cos %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[-0.936456687, 0.315322362, 0.877582562, 0.99995, 1.0, 0.99995, 0.877582562, 0.315322362, -0.936456687]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @tan() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.tan %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[-0.37458564, -3.00956967, -0.54630249, -0.0100003331, 0.0, 0.0100003331, 0.54630249, 3.00956967, 0.37458564]> : tensor<9xf32>, atol 2.0e-05) : tensor<9xf32>
  return
}

func.func @tanh() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.tanh %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[-0.998177898, -0.84828364, -0.462117157, -0.00999966646, 0.0, 0.00999966646, 0.462117157, 0.84828364, 0.998177898]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @sinh() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.sinh %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[-16.5426273, -1.60191908, -0.521095305, -0.0100001664, 0.0, 0.0100001664, 0.521095305, 1.60191908, 16.5426273]> : tensor<9xf32>, atol 2.0e-05) : tensor<9xf32>
  return
}

func.func @cosh() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.cosh %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[16.5728247, 1.88842388, 1.12762597, 1.00005, 1.0, 1.00005, 1.12762597, 1.88842388, 16.5728247]> : tensor<9xf32>, atol 2.0e-05) : tensor<9xf32>
  return
}

func.func @asinh() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.asinh %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[-1.96572047, -1.04759301, -0.481211825, -0.00999983312, 0.0, 0.00999983312, 0.481211825, 1.04759301, 1.96572047]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @atan() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.atan %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[-1.29249667, -0.896055385, -0.463647609, -0.00999966646, 0.0, 0.00999966646, 0.463647609, 0.896055385, 1.29249667]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @exp() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.exp %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[0.0301973834, 0.286504797, 0.60653066, 0.990049834, 1.0, 1.01005017, 1.64872127, 3.49034296, 33.115452]> : tensor<9xf32>, atol 2.0e-05) : tensor<9xf32>
  return
}

func.func @exp2() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.exp2 %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[0.0883883476, 0.420448208, 0.707106781, 0.993092496, 1.0, 1.00695555, 1.41421356, 2.37841423, 11.3137085]> : tensor<9xf32>, atol 2.0e-05) : tensor<9xf32>
  return
}

func.func @expm1() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.expm1 %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[-0.969802617, -0.713495203, -0.39346934, -0.00995016603, 0.0, 0.0100501669, 0.648721271, 2.49034296, 32.115452]> : tensor<9xf32>, atol 2.0e-05) : tensor<9xf32>
  return
}

func.func @erf() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.erf %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[-0.999999257, -0.922900128, -0.520499878, -0.0112834153, 0.0, 0.0112834153, 0.520499878, 0.922900128, 0.999999257]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @cbrt() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.cbrt %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[-1.51829449, -1.07721735, -0.793700526, -0.215443467, 0.0, 0.215443467, 0.793700526, 1.07721735, 1.51829449]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @floor() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.floor %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[-4.0, -2.0, -1.0, -1.0, 0.0, 0.0, 0.0, 1.0, 3.0]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @ceil() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.ceil %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[-3.0, -1.0, -0.0, -0.0, 0.0, 1.0, 1.0, 2.0, 4.0]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @trunc() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.trunc %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[-3.0, -1.0, -0.0, -0.0, 0.0, 0.0, 0.0, 1.0, 3.0]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @roundeven() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.roundeven %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[-4.0, -1.0, -0.0, -0.0, 0.0, 0.0, 0.0, 1.0, 4.0]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @absf() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.absf %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[3.5, 1.25, 0.5, 0.00999999978, 0.0, 0.00999999978, 0.5, 1.25, 3.5]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @log() {
  %x = util.unfoldable_constant dense<[3.53, 1.28, 0.53, 0.04, 0.03, 0.04, 0.53, 1.28, 3.53]> : tensor<9xf32>
  %y = math.log %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[1.26129786, 0.246860056, -0.634878326, -3.21887585, -3.50655792, -3.21887585, -0.634878326, 0.246860056, 1.26129786]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @log2() {
  %x = util.unfoldable_constant dense<[3.53, 1.28, 0.53, 0.04, 0.03, 0.04, 0.53, 1.28, 3.53]> : tensor<9xf32>
  %y = math.log2 %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[1.81966817, 0.356143778, -0.915935813, -4.64385622, -5.05889372, -4.64385622, -0.915935813, 0.356143778, 1.81966817]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @log10() {
  %x = util.unfoldable_constant dense<[3.53, 1.28, 0.53, 0.04, 0.03, 0.04, 0.53, 1.28, 3.53]> : tensor<9xf32>
  %y = math.log10 %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[0.547774702, 0.10720996, -0.275724154, -1.39794002, -1.52287875, -1.39794002, -0.275724154, 0.10720996, 0.547774702]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @log1p() {
  %x = util.unfoldable_constant dense<[3.53, 1.28, 0.53, 0.04, 0.03, 0.04, 0.53, 1.28, 3.53]> : tensor<9xf32>
  %y = math.log1p %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[1.51072193, 0.82417543, 0.425267717, 0.0392207123, 0.0295588016, 0.0392207123, 0.425267717, 0.82417543, 1.51072193]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @sqrt() {
  %x = util.unfoldable_constant dense<[3.53, 1.28, 0.53, 0.04, 0.03, 0.04, 0.53, 1.28, 3.53]> : tensor<9xf32>
  %y = math.sqrt %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[1.87882942, 1.13137084, 0.728010969, 0.199999998, 0.173205079, 0.199999998, 0.728010969, 1.13137084, 1.87882942]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @rsqrt() {
  %x = util.unfoldable_constant dense<[3.53, 1.28, 0.53, 0.04, 0.03, 0.04, 0.53, 1.28, 3.53]> : tensor<9xf32>
  %y = math.rsqrt %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[0.532246298, 0.883883486, 1.37360568, 5.00000006, 5.77350276, 5.00000006, 1.37360568, 0.883883486, 0.532246298]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @acosh() {
  %x = util.unfoldable_constant dense<[4.53, 2.28, 1.53, 1.04, 1.03, 1.04, 1.53, 2.28, 4.53]> : tensor<9xf32>
  %y = math.acosh %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[2.19145761, 1.4653365, 0.988787117, 0.281908156, 0.244340583, 0.281908156, 0.988787117, 1.4653365, 2.19145761]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @asin() {
  %x = util.unfoldable_constant dense<[-0.875, -0.3125, -0.125, -0.0025, 0.0, 0.0025, 0.125, 0.3125, 0.875]> : tensor<9xf32>
  %y = math.asin %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[-1.06543582, -0.317823704, -0.125327831, -0.00250000255, 0.0, 0.00250000255, 0.125327831, 0.317823704, 1.06543582]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @acos() {
  %x = util.unfoldable_constant dense<[-0.875, -0.3125, -0.125, -0.0025, 0.0, 0.0025, 0.125, 0.3125, 0.875]> : tensor<9xf32>
  %y = math.acos %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[2.63623214, 1.88862003, 1.69612416, 1.57329633, 1.57079633, 1.56829632, 1.4454685, 1.25297262, 0.50536051]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @atanh() {
  %x = util.unfoldable_constant dense<[-0.875, -0.3125, -0.125, -0.0025, 0.0, 0.0025, 0.125, 0.3125, 0.875]> : tensor<9xf32>
  %y = math.atanh %x : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[-1.3540251, -0.323313582, -0.125657214, -0.00250000515, 0.0, 0.00250000515, 0.125657214, 0.323313582, 1.3540251]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @powf() {
  %x = util.unfoldable_constant dense<[3.53, 1.28, 0.53, 0.04, 0.03, 0.04, 0.53, 1.28, 3.53]> : tensor<9xf32>
  %e = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %y = math.powf %x, %e : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[0.0121000881, 0.734492792, 1.37360564, 1.03271242, 1.0, 0.968323786, 0.728010989, 1.36148375, 82.6440266]> : tensor<9xf32>, atol 1.0e-05, rtol 1.0e-05) : tensor<9xf32>
  return
}

func.func @atan2() {
  %y0 = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5]> : tensor<9xf32>
  %x0 = util.unfoldable_constant dense<[3.8, 1.55, 0.8, 0.31, 0.3, 0.29, -0.2, -0.95, -3.2]> : tensor<9xf32>
  %y = math.atan2 %y0, %x0 : tensor<9xf32>
  check.expect_almost_eq_const(%y, dense<[-0.744325385, -0.678662491, -0.558599315, -0.0322468824, 0.0, 0.034469101, 1.9513027, 2.22066678, 2.31144826]> : tensor<9xf32>, atol 2.0e-06) : tensor<9xf32>
  return
}

func.func @erfc() {
  %x = util.unfoldable_constant dense<[-3.5, -1.25, -0.5, -0.01, 0.0, 0.01, 0.5, 1.25, 3.5, 9.0, 11.0]> : tensor<11xf32>
  %y = math.erfc %x : tensor<11xf32>
  check.expect_almost_eq_const(%y, dense<[1.99999926, 1.92290013, 1.52049988, 1.01128342, 1.0, 0.988716584, 0.479500122, 0.0770998717, 7.43098372e-07, 4.13703175e-37, 1.44086614e-54]> : tensor<11xf32>, atol 2.5e-07) : tensor<11xf32>
  return
}

func.func @bits_of_integers() {
  %x = util.unfoldable_constant dense<[0, 1, 2, 255, -1, 1073741824, -2147483648, 12345]> : tensor<8xi32>
  %c = math.ctpop %x : tensor<8xi32>
  %l = math.ctlz %x : tensor<8xi32>
  %t = math.cttz %x : tensor<8xi32>
  check.expect_eq_const(%c, dense<[0, 1, 1, 8, 32, 1, 1, 6]> : tensor<8xi32>) : tensor<8xi32>
  check.expect_eq_const(%l, dense<[32, 31, 30, 24, 0, 1, 0, 18]> : tensor<8xi32>) : tensor<8xi32>
  check.expect_eq_const(%t, dense<[32, 0, 1, 0, 0, 30, 31, 0]> : tensor<8xi32>) : tensor<8xi32>
  return
}

func.func @fma_and_copysign() {
  %a = util.unfoldable_constant dense<[1.5, -2.25, 3.0]> : tensor<3xf32>
  %b = util.unfoldable_constant dense<[2.0, 4.0, -1.0]> : tensor<3xf32>
  %f = math.fma %a, %b, %a : tensor<3xf32>
  %s = math.copysign %a, %b : tensor<3xf32>
  check.expect_eq_const(%f, dense<[4.5, -11.25, 0.0]> : tensor<3xf32>) : tensor<3xf32>
  check.expect_eq_const(%s, dense<[1.5, 2.25, -3.0]> : tensor<3xf32>) : tensor<3xf32>
  return
}
