// no features. f16 buffers on a device without f16: single values, and vectors of four.
module {
  spirv.module Logical GLSL450 requires #spirv.vce<v1.3, [Shader], []> {
    spirv.GlobalVariable @GlobalInvocationId built_in("GlobalInvocationId") : !spirv.ptr<vector<3xi32>, Input>
    spirv.GlobalVariable @source bind(0, 0) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f16, stride=2> [0])>, StorageBuffer>
    spirv.GlobalVariable @result bind(0, 1) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f16, stride=2> [0])>, StorageBuffer>
    spirv.GlobalVariable @wide bind(0, 2) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<vector<4xf16>, stride=8> [0])>, StorageBuffer>
    spirv.func @kernel() "None" {
      %GlobalInvocationId_a = spirv.mlir.addressof @GlobalInvocationId : !spirv.ptr<vector<3xi32>, Input>
      %GlobalInvocationId = spirv.Load "Input" %GlobalInvocationId_a : vector<3xi32>
      %GlobalInvocationId_x = spirv.CompositeExtract %GlobalInvocationId[0 : i32] : vector<3xi32>
      %source = spirv.mlir.addressof @source : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f16, stride=2> [0])>, StorageBuffer>
      %result = spirv.mlir.addressof @result : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f16, stride=2> [0])>, StorageBuffer>
      %c0 = spirv.Constant 0 : i32
      %half = spirv.Constant 5.000000e-01 : f16
      %inf = spirv.Constant 0x7C00 : f16
      %x_p = spirv.AccessChain %source[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f16, stride=2> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<f16, StorageBuffer>
      %x = spirv.Load "StorageBuffer" %x_p : f16
      %y = spirv.FMul %x, %half : f16
      %w = spirv.FConvert %y : f16 to f32
      %e = spirv.GL.Exp %w : f32
      %n = spirv.FConvert %e : f32 to f16
      %t = spirv.GL.Tanh %n : f16
      %big = spirv.FOrdEqual %n, %inf : f16
      %r = spirv.Select %big, %half, %t : i1, f16
      %out1 = spirv.AccessChain %result[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f16, stride=2> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<f16, StorageBuffer>
      spirv.Store "StorageBuffer" %out1, %r : f16
      %wide = spirv.mlir.addressof @wide : !spirv.ptr<!spirv.struct<(!spirv.rtarray<vector<4xf16>, stride=8> [0])>, StorageBuffer>
      %wide_p = spirv.AccessChain %wide[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<vector<4xf16>, stride=8> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<vector<4xf16>, StorageBuffer>
      %four = spirv.Load "StorageBuffer" %wide_p : vector<4xf16>
      %bits = spirv.Bitcast %four : vector<4xf16> to vector<2xi32>
      %back = spirv.Bitcast %bits : vector<2xi32> to vector<4xf16>
      %twice = spirv.FAdd %four, %back : vector<4xf16>
      spirv.Store "StorageBuffer" %wide_p, %twice : vector<4xf16>
      spirv.Return
    }
    spirv.EntryPoint "GLCompute" @kernel, @GlobalInvocationId
    spirv.ExecutionMode @kernel "LocalSize", 1, 1, 1
  }
}
