// A constant table read at a computed index, and an array that is written.
module {
  spirv.module Logical GLSL450 requires #spirv.vce<v1.3, [Shader], []> {
    spirv.GlobalVariable @GlobalInvocationId built_in("GlobalInvocationId") : !spirv.ptr<vector<3xi32>, Input>
    spirv.GlobalVariable @result bind(0, 0) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
    spirv.func @kernel() "None" {
      %GlobalInvocationId_a = spirv.mlir.addressof @GlobalInvocationId : !spirv.ptr<vector<3xi32>, Input>
      %GlobalInvocationId = spirv.Load "Input" %GlobalInvocationId_a : vector<3xi32>
      %GlobalInvocationId_x = spirv.CompositeExtract %GlobalInvocationId[0 : i32] : vector<3xi32>
      %result = spirv.mlir.addressof @result : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
      %c0 = spirv.Constant 0 : i32
      %c1 = spirv.Constant 1 : i32
      %c2 = spirv.Constant 2 : i32
      %c3 = spirv.Constant 3 : i32
      %table = spirv.Constant dense<[1.5, -2.0, 0x7F800000, 4.0]> : tensor<4xf32> : !spirv.array<4 x f32>
      %slots = spirv.Variable : !spirv.ptr<!spirv.array<4 x f32>, Function>
      spirv.Store "Function" %slots, %table : !spirv.array<4 x f32>
      %p = spirv.AccessChain %slots[%GlobalInvocationId_x] : !spirv.ptr<!spirv.array<4 x f32>, Function>, i32 -> !spirv.ptr<f32, Function>
      %x = spirv.Load "Function" %p : f32
      %written = spirv.Variable : !spirv.ptr<!spirv.struct<(!spirv.array<4 x f32>)>, Function>
      %q = spirv.AccessChain %written[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.array<4 x f32>)>, Function>, i32, i32 -> !spirv.ptr<f32, Function>
      spirv.Store "Function" %q, %x : f32
      %last = spirv.AccessChain %written[%c0, %c3] : !spirv.ptr<!spirv.struct<(!spirv.array<4 x f32>)>, Function>, i32, i32 -> !spirv.ptr<f32, Function>
      %y = spirv.Load "Function" %q : f32
      %z = spirv.Load "Function" %last : f32
      %changed = spirv.CompositeInsert %y, %table[2 : i32] : f32 into !spirv.array<4 x f32>
      %w = spirv.CompositeExtract %changed[2 : i32] : !spirv.array<4 x f32>
      %s = spirv.FAdd %w, %z : f32
      %out1 = spirv.AccessChain %result[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<f32, StorageBuffer>
      spirv.Store "StorageBuffer" %out1, %s : f32
      spirv.Return
    }
    spirv.EntryPoint "GLCompute" @kernel, @GlobalInvocationId
    spirv.ExecutionMode @kernel "LocalSize", 1, 1, 1
  }
}
