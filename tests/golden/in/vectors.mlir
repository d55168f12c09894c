// Vectors: shuffles, inserts, dynamic components, selects by lane, dot products, 64-bit halves.
module {
  spirv.module Logical GLSL450 requires #spirv.vce<v1.3, [Shader], []> {
    spirv.GlobalVariable @GlobalInvocationId built_in("GlobalInvocationId") : !spirv.ptr<vector<3xi32>, Input>
    spirv.GlobalVariable @source bind(0, 0) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<vector<4xf32>, stride=16> [0])>, StorageBuffer>
    spirv.GlobalVariable @result bind(0, 1) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<vector<4xf32>, stride=16> [0])>, StorageBuffer>
    spirv.func @kernel() "None" {
      %GlobalInvocationId_a = spirv.mlir.addressof @GlobalInvocationId : !spirv.ptr<vector<3xi32>, Input>
      %GlobalInvocationId = spirv.Load "Input" %GlobalInvocationId_a : vector<3xi32>
      %GlobalInvocationId_x = spirv.CompositeExtract %GlobalInvocationId[0 : i32] : vector<3xi32>
      %source = spirv.mlir.addressof @source : !spirv.ptr<!spirv.struct<(!spirv.rtarray<vector<4xf32>, stride=16> [0])>, StorageBuffer>
      %result = spirv.mlir.addressof @result : !spirv.ptr<!spirv.struct<(!spirv.rtarray<vector<4xf32>, stride=16> [0])>, StorageBuffer>
      %c0 = spirv.Constant 0 : i32
      %c1 = spirv.Constant 1 : i32
      %c3 = spirv.Constant 3 : i32
      %zero = spirv.Constant dense<0.0> : vector<4xf32>
      %mixed = spirv.Constant dense<[1.0, 2.0, -0.0, 4.0]> : vector<4xf32>
      %v_p = spirv.AccessChain %source[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<vector<4xf32>, stride=16> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<vector<4xf32>, StorageBuffer>
      %v = spirv.Load "StorageBuffer" %v_p : vector<4xf32>
      %r = spirv.VectorShuffle [3 : i32, 2 : i32, 1 : i32, 0 : i32] %v, %v : vector<4xf32>, vector<4xf32> -> vector<4xf32>
      %m = spirv.VectorShuffle [0 : i32, 5 : i32, 2 : i32, 7 : i32] %r, %mixed : vector<4xf32>, vector<4xf32> -> vector<4xf32>
      %lanes = spirv.FOrdGreaterThan %m, %zero : vector<4xf32>
      %p = spirv.Select %lanes, %m, %v : vector<4xi1>, vector<4xf32>
      %lane = spirv.BitwiseAnd %GlobalInvocationId_x, %c3 : i32
      %x = spirv.VectorExtractDynamic %p[%lane] : vector<4xf32>, i32
      %y = spirv.CompositeExtract %p[1 : i32] : vector<4xf32>
      %d = spirv.Dot %p, %v : vector<4xf32> -> f32
      %s = spirv.FAdd %x, %d : f32
      %i = spirv.CompositeInsert %s, %p[2 : i32] : f32 into vector<4xf32>
      %j = spirv.VectorInsertDynamic %y, %i[%lane] : vector<4xf32>, i32
      %u = spirv.VectorTimesScalar %j, %y : (vector<4xf32>, f32) -> vector<4xf32>
      %xs = spirv.CompositeConstruct %x, %x, %x, %x : (f32, f32, f32, f32) -> vector<4xf32>
      %t = spirv.FAdd %u, %xs : vector<4xf32>
      %out1 = spirv.AccessChain %result[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<vector<4xf32>, stride=16> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<vector<4xf32>, StorageBuffer>
      spirv.Store "StorageBuffer" %out1, %t : vector<4xf32>
      spirv.Return
    }
    spirv.EntryPoint "GLCompute" @kernel, @GlobalInvocationId
    spirv.ExecutionMode @kernel "LocalSize", 1, 1, 1
  }
}
