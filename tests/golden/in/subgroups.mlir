// Subgroup operations: need the feature subgroups.
module {
  spirv.module Logical GLSL450 requires #spirv.vce<v1.3, [Shader], []> {
    spirv.GlobalVariable @LocalInvocationId built_in("LocalInvocationId") : !spirv.ptr<vector<3xi32>, Input>
    spirv.GlobalVariable @source bind(0, 0) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
    spirv.GlobalVariable @result bind(0, 1) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
    spirv.func @kernel() "None" {
      %LocalInvocationId_a = spirv.mlir.addressof @LocalInvocationId : !spirv.ptr<vector<3xi32>, Input>
      %LocalInvocationId = spirv.Load "Input" %LocalInvocationId_a : vector<3xi32>
      %LocalInvocationId_x = spirv.CompositeExtract %LocalInvocationId[0 : i32] : vector<3xi32>
      %source = spirv.mlir.addressof @source : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
      %result = spirv.mlir.addressof @result : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
      %c0 = spirv.Constant 0 : i32
      %c1 = spirv.Constant 1 : i32
      %x_p = spirv.AccessChain %source[%c0, %LocalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<f32, StorageBuffer>
      %x = spirv.Load "StorageBuffer" %x_p : f32
      %sum = spirv.GroupNonUniformFAdd <Subgroup> <Reduce> %x : f32 -> f32
      %swapped = spirv.GroupNonUniformShuffleXor <Subgroup> %x, %c1 : f32, i32
      %y = spirv.FSub %sum, %swapped : f32
      %out1 = spirv.AccessChain %result[%c0, %LocalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<f32, StorageBuffer>
      spirv.Store "StorageBuffer" %out1, %y : f32
      spirv.Return
    }
    spirv.EntryPoint "GLCompute" @kernel, @LocalInvocationId
    spirv.ExecutionMode @kernel "LocalSize", 16, 1, 1
  }
}
