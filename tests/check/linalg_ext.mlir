// Operations that the compiler's passes create for what linalg lacks; expected values from NumPy.

func.func @sort_rows() {
  %x = util.unfoldable_constant dense<[[10, 20, 1, 16, 5, 13, 0], [14, 2, 6, 19, 17, 11, 4], [8, 18, 3, 7, 12, 9, 15]]> : tensor<3x7xi32>
  %y = iree_linalg_ext.sort dimension(1) outs(%x : tensor<3x7xi32>) {
  ^bb0(%a: i32, %b: i32):
    %p = arith.cmpi slt, %a, %b : i32
    iree_linalg_ext.yield %p : i1
  } -> tensor<3x7xi32>
  check.expect_eq_const(%y, dense<[[0, 1, 5, 10, 13, 16, 20], [2, 4, 6, 11, 14, 17, 19], [3, 7, 8, 9, 12, 15, 18]]> : tensor<3x7xi32>) : tensor<3x7xi32>
  return
}

func.func @scan_rows() {
  %x = util.unfoldable_constant dense<[[-3.0, 2.0, 0.0, 1.0, 1.0], [2.0, 0.0, 4.0, -2.0, 3.0], [1.0, 1.0, 3.0, 0.0, 1.0]]> : tensor<3x5xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x5xf32>
  %a = tensor.empty() : tensor<3xf32>
  %init = linalg.fill ins(%zero : f32) outs(%a : tensor<3xf32>) -> tensor<3xf32>
  %r:2 = iree_linalg_ext.scan dimension(1) inclusive(true) ins(%x : tensor<3x5xf32>) outs(%e, %init : tensor<3x5xf32>, tensor<3xf32>) {
  ^bb0(%v: f32, %sum: f32):
    %s = arith.addf %v, %sum : f32
    iree_linalg_ext.yield %s : f32
  } -> tensor<3x5xf32>, tensor<3xf32>
  check.expect_eq_const(%r#0, dense<[[-3.0, -1.0, -1.0, 0.0, 1.0], [2.0, 2.0, 6.0, 4.0, 7.0], [1.0, 2.0, 5.0, 5.0, 6.0]]> : tensor<3x5xf32>) : tensor<3x5xf32>
  check.expect_eq_const(%r#1, dense<[1.0, 7.0, 6.0]> : tensor<3xf32>) : tensor<3xf32>
  return
}

func.func @scatter_rows() {
  %x = util.unfoldable_constant dense<[[-3.0, -3.0, 4.0], [-1.0, 3.0, 1.0], [3.0, -4.0, 2.0], [-3.0, -1.0, -3.0]]> : tensor<4x3xf32>
  %i = util.unfoldable_constant dense<[[2], [0]]> : tensor<2x1xi32>
  %u = util.unfoldable_constant dense<[[0.0, -4.0, -4.0], [0.0, 0.0, -1.0]]> : tensor<2x3xf32>
  %y = iree_linalg_ext.scatter dimension_map = [0] unique_indices(true) ins(%u, %i : tensor<2x3xf32>, tensor<2x1xi32>) outs(%x : tensor<4x3xf32>) {
  ^bb0(%new: f32, %old: f32):
    %s = arith.addf %new, %old : f32
    iree_linalg_ext.yield %s : f32
  } -> tensor<4x3xf32>
  check.expect_eq_const(%y, dense<[[-3.0, -3.0, 3.0], [-1.0, 3.0, 1.0], [3.0, -8.0, -2.0], [-3.0, -1.0, -3.0]]> : tensor<4x3xf32>) : tensor<4x3xf32>
  return
}

func.func @attention() {
  %q = util.unfoldable_constant dense<[[[0.328924656, 1.13148379, 0.374934167, 0.718147397, 0.00601489516, 0.663630724, -0.00515378639, 0.996456742], [0.075001359, -0.325585604, 0.192699254, -0.287354201, 2.80700803, 0.768112421, 0.306926459, -0.11135266], [0.980476499, -0.350454718, -0.271426976, -0.446724981, -0.256388396, -0.21306318, -0.940272212, 0.39842993], [-1.03994703, 0.588582337, 1.21856308, -0.58809334, -0.476990223, 1.0824821, -0.541616976, 0.158223733]], [[-0.0156663135, -0.12774846, -0.732096791, 0.705198109, 0.14543888, -0.331429303, -0.241277426, -1.081424], [0.628487885, 0.537109375, 1.59984386, -0.696700573, 1.84024072, 0.163167119, 1.37411308, -1.61155331], [0.30044505, 0.643114746, -1.51912296, 0.494661719, 1.02570677, -0.838679016, 1.00170302, 0.455113947], [1.0339247, -0.324563444, -1.09894335, -0.500393569, 0.196461394, -2.14823294, 0.411830664, 0.0118296985]]]> : tensor<2x4x8xf32>
  %k = util.unfoldable_constant dense<[[[-0.1268152, -2.87978005, -1.08012474, -0.327954948, -0.528092921, 0.327140093, -0.932266295, -0.827666759], [0.810636759, 0.60581243, -0.315291077, -0.659864902, -1.84188259, 0.410188824, -0.541829348, 1.61312973], [-0.698119164, -0.00965342298, -0.689999163, 0.278134018, 2.68870378, -0.338718116, -0.919225335, 0.385937959], [0.279604584, -1.71261072, 0.962879062, -1.04593015, 0.943065047, 0.111642666, -0.523756981, 0.348667234]], [[-0.633456469, -1.36632907, -0.605092108, -0.112211339, -1.25256741, -0.0111405244, -1.14858949, 0.55806601], [-0.085843116, -0.395659059, -2.44472551, 0.227006063, -2.16328359, -0.728551447, -1.53439009, 1.41098785], [-0.188261107, 0.109718449, 0.502370119, -0.506229103, 0.585901856, -1.44750953, 0.819569468, 0.512922227], [-0.0161318704, -2.02653074, -1.90899408, -1.25204027, -0.575474024, 0.526200294, -0.336396635, -0.35830763]]]> : tensor<2x4x8xf32>
  %v = util.unfoldable_constant dense<[[[-0.17270878, -0.763876855, -0.843338847, -0.40155679, 0.751870632, 0.0129124662, 0.249587938, 1.30372715], [-1.66940355, -1.05280554, 0.439359903, 0.241869137, -0.593185604, -1.61490047, -0.0697449371, 0.029836487], [0.874963045, -0.761879683, 0.122658238, -1.46404731, -1.92185986, 1.80963683, -0.484223574, 0.854466081], [0.575669706, 0.0799194649, 1.20609272, 1.83722496, -0.401783377, 0.0919651315, -1.23932958, 0.236109197]], [[0.509538352, -0.486071825, -0.354146719, -0.64259547, -0.206657231, 1.08154905, -0.199412689, -0.160609484], [-0.931208193, 0.47922951, 0.300347447, -0.391784042, 1.57059872, -1.36118352, 1.17625022, 0.460666716], [-1.17365658, 0.552745879, 1.58697927, 1.11961508, 0.500201881, 1.31726766, -1.10336792, 0.203180537], [-1.20869052, -0.243428603, 0.0390386768, 0.0254684854, 0.12229652, -0.297818601, 0.146651223, 0.4825207]]]> : tensor<2x4x8xf32>
  %scale = arith.constant 0.5 : f32
  %e = tensor.empty() : tensor<2x4x8xf32>
  %y = iree_linalg_ext.attention <indexing_maps = [
      affine_map<(b, m, n, k, d) -> (b, m, k)>, affine_map<(b, m, n, k, d) -> (b, n, k)>,
      affine_map<(b, m, n, k, d) -> (b, n, d)>, affine_map<(b, m, n, k, d) -> ()>,
      affine_map<(b, m, n, k, d) -> (b, m, d)>]>
    ins(%q, %k, %v, %scale : tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>, f32) outs(%e : tensor<2x4x8xf32>) {
  ^bb0(%score: f32):
    iree_linalg_ext.yield %score : f32
  } -> tensor<2x4x8xf32>
  check.expect_almost_eq_const(%y, dense<[[[-0.900513172, -0.883326769, 0.412767828, 0.0137375146, -0.823281765, -0.707247376, -0.254490316, 0.250136554], [0.796644211, -0.618628681, 0.288396329, -0.874000788, -1.60350966, 1.47140193, -0.597145021, 0.756399095], [-0.474586725, -0.683260202, 0.210015535, 0.248721957, -0.290887684, -0.417229056, -0.283440381, 0.527567685], [-0.530768812, -0.643918633, 0.505425036, 0.459118664, -0.557503581, -0.521886647, -0.443122566, 0.319819212]], [[-0.749335349, 0.0333438888, 0.240376577, -0.102113187, 0.549528599, -0.116605602, 0.225193888, 0.300691307], [-1.15753627, 0.510800838, 1.50565517, 1.05779862, 0.478651106, 1.25020039, -1.04390955, 0.210500523], [-1.00459981, 0.355799884, 0.844528019, 0.38074708, 0.746256292, 0.220337778, -0.147089377, 0.304113984], [-0.972604752, 0.287277877, 0.653244436, 0.209410429, 0.768064201, -0.0251488946, 0.062894389, 0.33072108]]]> : tensor<2x4x8xf32>, atol 1.0e-05) : tensor<2x4x8xf32>
  return
}

// Where the mask is false, the output keeps what it had.
func.func @gather_with_a_mask() {
  %x = util.unfoldable_constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  %i = util.unfoldable_constant dense<[2, 0, 1]> : tensor<3xi32>
  %m = util.unfoldable_constant dense<[true, false, true]> : tensor<3xi1>
  %o = util.unfoldable_constant dense<[[7.0, 7.0], [8.0, 8.0], [9.0, 9.0]]> : tensor<3x2xf32>
  %y = iree_linalg_ext.gather dimension_map = [0] ins(%x, %i, %m : tensor<3x2xf32>, tensor<3xi32>, tensor<3xi1>) outs(%o : tensor<3x2xf32>) -> tensor<3x2xf32>
  check.expect_eq_const(%y, dense<[[5.0, 6.0], [8.0, 8.0], [3.0, 4.0]]> : tensor<3x2xf32>) : tensor<3x2xf32>
  return
}

func.func @topk_of_values_alone() {
  %x = util.unfoldable_constant dense<[3.0, -7.0, 11.0, 2.5, 0.0, 8.0, 11.5]> : tensor<7xf32>
  %least = arith.constant 0xFF800000 : f32
  %empty = tensor.empty() : tensor<3xf32>
  %start = linalg.fill ins(%least : f32) outs(%empty : tensor<3xf32>) -> tensor<3xf32>
  %largest = iree_linalg_ext.topk_v2 dimension(0) is_sorted ins(%x : tensor<7xf32>) outs(%start : tensor<3xf32>) {
  ^bb0(%one : f32, %other : f32):
    %before = arith.cmpf ogt, %one, %other : f32
    iree_linalg_ext.yield %before : i1
  } -> tensor<3xf32>
  check.expect_eq_const(%largest, dense<[11.5, 11.0, 8.0]> : tensor<3xf32>) : tensor<3xf32>
  return
}

// Extents that the compiler does not know.
func.func @attention_of_unknown_length() {
  %x = flow.tensor.dynamic_constant dense<[[[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8], [0.9, 1.0, 1.1, 1.2]]]> : tensor<1x3x4xf32> -> tensor<?x?x4xf32>
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %batch = tensor.dim %x, %zero : tensor<?x?x4xf32>
  %length = tensor.dim %x, %one : tensor<?x?x4xf32>
  %e = tensor.empty(%batch, %length) : tensor<?x?x4xf32>
  %scale = arith.constant 0.5 : f32
  %y = iree_linalg_ext.attention {
    indexing_maps = [
      affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2)>,
      affine_map<(d0, d1, d2, d3, d4) -> (d0, d3, d2)>,
      affine_map<(d0, d1, d2, d3, d4) -> (d0, d3, d4)>,
      affine_map<(d0, d1, d2, d3, d4) -> ()>,
      affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d4)>
    ]
  } ins(%x, %x, %x, %scale : tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x4xf32>, f32) outs(%e : tensor<?x?x4xf32>) {
  ^bb0(%score: f32):
    iree_linalg_ext.yield %score : f32
  } -> tensor<?x?x4xf32>
  %expected = flow.tensor.dynamic_constant dense<[[[0.55298083, 0.65298083, 0.75298083, 0.85298083], [0.63276253, 0.73276253, 0.83276253, 0.93276253], [0.70113314, 0.80113314, 0.90113314, 1.00113314]]]> : tensor<1x3x4xf32> -> tensor<?x?x4xf32>
  check.expect_almost_eq(%y, %expected, atol 1.0e-06) : tensor<?x?x4xf32>
  return
}
