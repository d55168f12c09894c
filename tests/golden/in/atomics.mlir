// Atomic operations, and plain accesses of the same binding.
module {
  spirv.module Logical GLSL450 requires #spirv.vce<v1.3, [Shader], []> {
    spirv.GlobalVariable @GlobalInvocationId built_in("GlobalInvocationId") : !spirv.ptr<vector<3xi32>, Input>
    spirv.GlobalVariable @source bind(0, 0) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>
    spirv.GlobalVariable @counts bind(0, 1) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>
    spirv.func @kernel() "None" {
      %GlobalInvocationId_a = spirv.mlir.addressof @GlobalInvocationId : !spirv.ptr<vector<3xi32>, Input>
      %GlobalInvocationId = spirv.Load "Input" %GlobalInvocationId_a : vector<3xi32>
      %GlobalInvocationId_x = spirv.CompositeExtract %GlobalInvocationId[0 : i32] : vector<3xi32>
      %source = spirv.mlir.addressof @source : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>
      %counts = spirv.mlir.addressof @counts : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>
      %c0 = spirv.Constant 0 : i32
      %c1 = spirv.Constant 1 : i32
      %c2 = spirv.Constant 2 : i32
      %c3 = spirv.Constant 3 : i32
      %c4 = spirv.Constant 4 : i32
      %c5 = spirv.Constant 5 : i32
      %c6 = spirv.Constant 6 : i32
      %c7 = spirv.Constant 7 : i32
      %x_p = spirv.AccessChain %source[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      %x = spirv.Load "StorageBuffer" %x_p : i32
      %p0 = spirv.AccessChain %counts[%c0, %c0] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      %p1 = spirv.AccessChain %counts[%c0, %c1] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      %p2 = spirv.AccessChain %counts[%c0, %c2] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      %p3 = spirv.AccessChain %counts[%c0, %c3] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      %p4 = spirv.AccessChain %counts[%c0, %c4] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      %p5 = spirv.AccessChain %counts[%c0, %c5] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      %p6 = spirv.AccessChain %counts[%c0, %c6] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      %o0 = spirv.AtomicIAdd <Device> <AcquireRelease> %p0, %x : !spirv.ptr<i32, StorageBuffer>
      %o1 = spirv.AtomicOr <Device> <AcquireRelease> %p1, %x : !spirv.ptr<i32, StorageBuffer>
      %o2 = spirv.AtomicAnd <Device> <AcquireRelease> %p2, %x : !spirv.ptr<i32, StorageBuffer>
      %o3 = spirv.AtomicSMax <Device> <AcquireRelease> %p3, %x : !spirv.ptr<i32, StorageBuffer>
      %o4 = spirv.AtomicUMax <Device> <AcquireRelease> %p4, %x : !spirv.ptr<i32, StorageBuffer>
      %o5 = spirv.AtomicUMin <Device> <AcquireRelease> %p5, %x : !spirv.ptr<i32, StorageBuffer>
      %o6 = spirv.AtomicCompareExchange <Device> <AcquireRelease> <Acquire> %p6, %c7, %c0 : !spirv.ptr<i32, StorageBuffer>
      %was = spirv.IEqual %o6, %c0 : i32
      %first = spirv.Select %was, %c1, %c0 : i1, i32
      %at = spirv.IAdd %GlobalInvocationId_x, %c7 : i32
      %out1 = spirv.AccessChain %counts[%c0, %at] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      spirv.Store "StorageBuffer" %out1, %first : i32
      spirv.Return
    }
    spirv.EntryPoint "GLCompute" @kernel, @GlobalInvocationId
    spirv.ExecutionMode @kernel "LocalSize", 1, 1, 1
  }
}
