// A loop that swaps its two carried values, a while loop, and a loop with a break in the middle.
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
      %c2 = spirv.Constant 2 : i32
      %c3 = spirv.Constant 3 : i32
      %n_p = spirv.AccessChain %source[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      %n = spirv.Load "StorageBuffer" %n_p : i32
      %a, %b = spirv.mlir.loop -> i32, i32 {
        spirv.Branch ^header(%c0, %c0, %c1 : i32, i32, i32)
      ^header(%i: i32, %x: i32, %y: i32):
        %go = spirv.SLessThan %i, %n : i32
        spirv.BranchConditional %go, ^body, ^merge
      ^body:
        %next = spirv.IAdd %i, %c1 : i32
        spirv.Branch ^header(%next, %y, %x : i32, i32, i32)
      ^merge:
        spirv.mlir.merge %x, %y : i32, i32
      }
      %steps = spirv.mlir.loop -> i32 {
        spirv.Branch ^header(%n, %c0 : i32, i32)
      ^header(%v: i32, %count: i32):
        %go = spirv.SGreaterThan %v, %c1 : i32
        spirv.BranchConditional %go, ^body, ^merge
      ^body:
        %even = spirv.BitwiseAnd %v, %c1 : i32
        %half = spirv.SDiv %v, %c2 : i32
        %triple = spirv.IMul %v, %c3 : i32
        %triple1 = spirv.IAdd %triple, %c1 : i32
        %odd = spirv.INotEqual %even, %c0 : i32
        %following = spirv.Select %odd, %triple1, %half : i1, i32
        %count1 = spirv.IAdd %count, %c1 : i32
        spirv.Branch ^header(%following, %count1 : i32, i32)
      ^merge:
        spirv.mlir.merge %count : i32
      }
      %at = spirv.IMul %GlobalInvocationId_x, %c3 : i32
      %at1 = spirv.IAdd %at, %c1 : i32
      %at2 = spirv.IAdd %at, %c2 : i32
      %out1 = spirv.AccessChain %result[%c0, %at] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      spirv.Store "StorageBuffer" %out1, %a : i32
      %out2 = spirv.AccessChain %result[%c0, %at1] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      spirv.Store "StorageBuffer" %out2, %b : i32
      %out3 = spirv.AccessChain %result[%c0, %at2] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      spirv.Store "StorageBuffer" %out3, %steps : i32
      spirv.Return
    }
    spirv.EntryPoint "GLCompute" @kernel, @GlobalInvocationId
    spirv.ExecutionMode @kernel "LocalSize", 1, 1, 1
  }
}
