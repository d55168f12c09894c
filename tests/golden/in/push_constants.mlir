// Push constants, at fixed and at computed positions.
module {
  spirv.module Logical GLSL450 requires #spirv.vce<v1.3, [Shader], []> {
    spirv.GlobalVariable @GlobalInvocationId built_in("GlobalInvocationId") : !spirv.ptr<vector<3xi32>, Input>
    spirv.GlobalVariable @result bind(0, 0) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>
    spirv.GlobalVariable @arguments : !spirv.ptr<!spirv.struct<(!spirv.array<6 x i32, stride=4> [0]), Block>, PushConstant>
    spirv.func @kernel() "None" {
      %GlobalInvocationId_a = spirv.mlir.addressof @GlobalInvocationId : !spirv.ptr<vector<3xi32>, Input>
      %GlobalInvocationId = spirv.Load "Input" %GlobalInvocationId_a : vector<3xi32>
      %GlobalInvocationId_x = spirv.CompositeExtract %GlobalInvocationId[0 : i32] : vector<3xi32>
      %result = spirv.mlir.addressof @result : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>
      %c0 = spirv.Constant 0 : i32
      %c1 = spirv.Constant 1 : i32
      %c5 = spirv.Constant 5 : i32
      %arguments = spirv.mlir.addressof @arguments : !spirv.ptr<!spirv.struct<(!spirv.array<6 x i32, stride=4> [0]), Block>, PushConstant>
      %p5 = spirv.AccessChain %arguments[%c0, %c5] : !spirv.ptr<!spirv.struct<(!spirv.array<6 x i32, stride=4> [0]), Block>, PushConstant>, i32, i32 -> !spirv.ptr<i32, PushConstant>
      %k5 = spirv.Load "PushConstant" %p5 : i32
      %pi = spirv.AccessChain %arguments[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.array<6 x i32, stride=4> [0]), Block>, PushConstant>, i32, i32 -> !spirv.ptr<i32, PushConstant>
      %ki = spirv.Load "PushConstant" %pi : i32
      %sum = spirv.IAdd %k5, %ki : i32
      %out1 = spirv.AccessChain %result[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      spirv.Store "StorageBuffer" %out1, %sum : i32
      spirv.Return
    }
    spirv.EntryPoint "GLCompute" @kernel, @GlobalInvocationId
    spirv.ExecutionMode @kernel "LocalSize", 1, 1, 1
  }
}
