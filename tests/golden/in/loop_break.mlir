// A loop left from its middle, with a value computed there.
module {
  spirv.module Logical GLSL450 requires #spirv.vce<v1.3, [Shader], []> {
    spirv.GlobalVariable @GlobalInvocationId built_in("GlobalInvocationId") : !spirv.ptr<vector<3xi32>, Input>
    spirv.GlobalVariable @source bind(0, 0) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>
    spirv.GlobalVariable @result bind(0, 1) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>
    spirv.func @kernel() "None" {
      %GlobalInvocationId_a = spirv.mlir.addressof @GlobalInvocationId : !spirv.ptr<vector<3xi32>, Input>
      %GlobalInvocationId = spirv.Load "Input" %GlobalInvocationId_a : vector<3xi32>
      %GlobalInvocationId_x = spirv.CompositeExtract %GlobalInvocationId[0 : i32] : vector<3xi32>
      %source = spirv.mlir.addressof @source : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>
      %result = spirv.mlir.addressof @result : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>
      %c0 = spirv.Constant 0 : i32
      %c1 = spirv.Constant 1 : i32
      %c8 = spirv.Constant 8 : i32
      %cm = spirv.Constant -1 : i32
      %base = spirv.IMul %GlobalInvocationId_x, %c8 : i32
      %found = spirv.mlir.loop -> i32 {
        spirv.Branch ^header(%c0 : i32)
      ^header(%i: i32):
        %go = spirv.SLessThan %i, %c8 : i32
        spirv.BranchConditional %go, ^body, ^merge(%cm : i32)
      ^body:
        %at = spirv.IAdd %base, %i : i32
        %x_p = spirv.AccessChain %source[%c0, %at] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
        %x = spirv.Load "StorageBuffer" %x_p : i32
        %hit = spirv.IEqual %x, %c0 : i32
        spirv.BranchConditional %hit, ^merge(%i : i32), ^next
      ^next:
        %i1 = spirv.IAdd %i, %c1 : i32
        spirv.Branch ^header(%i1 : i32)
      ^merge(%where: i32):
        spirv.mlir.merge %where : i32
      }
      %out1 = spirv.AccessChain %result[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      spirv.Store "StorageBuffer" %out1, %found : i32
      spirv.Return
    }
    spirv.EntryPoint "GLCompute" @kernel, @GlobalInvocationId
    spirv.ExecutionMode @kernel "LocalSize", 1, 1, 1
  }
}
