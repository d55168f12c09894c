// A function beside the entry point.
module {
  spirv.module Logical GLSL450 requires #spirv.vce<v1.3, [Shader], []> {
    spirv.GlobalVariable @GlobalInvocationId built_in("GlobalInvocationId") : !spirv.ptr<vector<3xi32>, Input>
    spirv.GlobalVariable @source bind(0, 0) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
    spirv.GlobalVariable @result bind(0, 1) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
    spirv.func @clamped_square(%value: f32) -> f32 "None" {
      %zero = spirv.Constant 0.000000e+00 : f32
      %low = spirv.FOrdLessThan %value, %zero : f32
      spirv.mlir.selection {
        spirv.BranchConditional %low, ^then, ^merge
      ^then:
        spirv.ReturnValue %zero : f32
      ^merge:
        spirv.mlir.merge
      }
      %square = spirv.FMul %value, %value : f32
      spirv.ReturnValue %square : f32
    }
    spirv.func @kernel() "None" {
      %GlobalInvocationId_a = spirv.mlir.addressof @GlobalInvocationId : !spirv.ptr<vector<3xi32>, Input>
      %GlobalInvocationId = spirv.Load "Input" %GlobalInvocationId_a : vector<3xi32>
      %GlobalInvocationId_x = spirv.CompositeExtract %GlobalInvocationId[0 : i32] : vector<3xi32>
      %source = spirv.mlir.addressof @source : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
      %result = spirv.mlir.addressof @result : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
      %c0 = spirv.Constant 0 : i32
      %x_p = spirv.AccessChain %source[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<f32, StorageBuffer>
      %x = spirv.Load "StorageBuffer" %x_p : f32
      %y = spirv.FunctionCall @clamped_square(%x) : (f32) -> f32
      %out1 = spirv.AccessChain %result[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<f32, StorageBuffer>
      spirv.Store "StorageBuffer" %out1, %y : f32
      spirv.Return
    }
    spirv.EntryPoint "GLCompute" @kernel, @GlobalInvocationId
    spirv.ExecutionMode @kernel "LocalSize", 1, 1, 1
  }
}
