// Constants alone: nothing may be left to the compiler that WGSL would call an error.
module {
  spirv.module Logical GLSL450 requires #spirv.vce<v1.3, [Shader], []> {
    spirv.GlobalVariable @GlobalInvocationId built_in("GlobalInvocationId") : !spirv.ptr<vector<3xi32>, Input>
    spirv.GlobalVariable @result bind(0, 0) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>
    spirv.func @kernel() "None" {
      %GlobalInvocationId_a = spirv.mlir.addressof @GlobalInvocationId : !spirv.ptr<vector<3xi32>, Input>
      %GlobalInvocationId = spirv.Load "Input" %GlobalInvocationId_a : vector<3xi32>
      %GlobalInvocationId_x = spirv.CompositeExtract %GlobalInvocationId[0 : i32] : vector<3xi32>
      %result = spirv.mlir.addressof @result : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>
      %c0 = spirv.Constant 0 : i32
      %c1 = spirv.Constant 1 : i32
      %c40 = spirv.Constant 40 : i32
      %top = spirv.Constant 2147483647 : i32
      %low = spirv.Constant -2147483648 : i32
      %nan = spirv.Constant 0x7FC00000 : f32
      %inf = spirv.Constant 0x7F800000 : f32
      %big = spirv.Constant 3.40282347E+38 : f32
      %over = spirv.IAdd %top, %c1 : i32
      %wrapped = spirv.SDiv %low, %c1 : i32
      %zeroed = spirv.UMod %GlobalInvocationId_x, %c0 : i32
      %negated = spirv.SNegate %low : i32
      %shifted = spirv.ShiftLeftLogical %GlobalInvocationId_x, %c40 : i32, i32
      %more = spirv.FMul %big, %big : f32
      %is_inf = spirv.IsInf %more : f32
      %is_nan = spirv.IsNan %nan : f32
      %gone = spirv.FSub %inf, %inf : f32
      %is_gone = spirv.IsNan %gone : f32
      %both = spirv.LogicalAnd %is_inf, %is_nan : i1
      %all = spirv.LogicalAnd %both, %is_gone : i1
      %yes = spirv.Select %all, %c1, %c0 : i1, i32
      %a = spirv.BitwiseXor %over, %negated : i32
      %b = spirv.IAdd %a, %yes : i32
      %c = spirv.BitwiseOr %zeroed, %b : i32
      %d = spirv.BitwiseAnd %shifted, %c0 : i32
      %e = spirv.IAdd %c, %d : i32
      %f = spirv.ISub %e, %wrapped : i32
      %out1 = spirv.AccessChain %result[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      spirv.Store "StorageBuffer" %out1, %f : i32
      spirv.Return
    }
    spirv.EntryPoint "GLCompute" @kernel, @GlobalInvocationId
    spirv.ExecutionMode @kernel "LocalSize", 1, 1, 1
  }
}
