// Loops inside loops whose results come through variables, as the scf lowering leaves them.
module {
  spirv.module Logical GLSL450 requires #spirv.vce<v1.3, [Shader], []> {
    spirv.GlobalVariable @GlobalInvocationId built_in("GlobalInvocationId") : !spirv.ptr<vector<3xi32>, Input>
    spirv.GlobalVariable @source bind(0, 0) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
    spirv.GlobalVariable @result bind(0, 1) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
    spirv.func @kernel() "None" {
      %GlobalInvocationId_a = spirv.mlir.addressof @GlobalInvocationId : !spirv.ptr<vector<3xi32>, Input>
      %GlobalInvocationId = spirv.Load "Input" %GlobalInvocationId_a : vector<3xi32>
      %GlobalInvocationId_x = spirv.CompositeExtract %GlobalInvocationId[0 : i32] : vector<3xi32>
      %source = spirv.mlir.addressof @source : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
      %result = spirv.mlir.addressof @result : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
      %c0 = spirv.Constant 0 : i32
      %c1 = spirv.Constant 1 : i32
      %c4 = spirv.Constant 4 : i32
      %zero = spirv.Constant 0.000000e+00 : f32
      %one = spirv.Constant 1.000000e+00 : f32
      %base = spirv.IMul %GlobalInvocationId_x, %c4 : i32
      %outer = spirv.Variable : !spirv.ptr<f32, Function>
      spirv.mlir.loop {
        spirv.Branch ^header(%c0, %zero : i32, f32)
      ^header(%i: i32, %sum: f32):
        %go = spirv.SLessThan %i, %c4 : i32
        spirv.BranchConditional %go, ^body, ^merge
      ^body:
        %inner = spirv.Variable : !spirv.ptr<f32, Function>
        spirv.mlir.loop {
          spirv.Branch ^header(%c0, %one : i32, f32)
        ^header(%j: i32, %product: f32):
          %more = spirv.SLessThan %j, %i : i32
          spirv.BranchConditional %more, ^body, ^merge
        ^body:
          %k = spirv.IAdd %base, %j : i32
          %x_p = spirv.AccessChain %source[%c0, %k] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<f32, StorageBuffer>
          %x = spirv.Load "StorageBuffer" %x_p : f32
          %times = spirv.FMul %product, %x : f32
          spirv.Store "Function" %inner, %times : f32
          %j1 = spirv.IAdd %j, %c1 : i32
          spirv.Branch ^header(%j1, %times : i32, f32)
        ^merge:
          spirv.mlir.merge
        }
        %power = spirv.Load "Function" %inner : f32
        %total = spirv.FAdd %sum, %power : f32
        spirv.Store "Function" %outer, %total : f32
        %i1 = spirv.IAdd %i, %c1 : i32
        spirv.Branch ^header(%i1, %total : i32, f32)
      ^merge:
        spirv.mlir.merge
      }
      %answer = spirv.Load "Function" %outer : f32
      %out1 = spirv.AccessChain %result[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<f32, StorageBuffer>
      spirv.Store "StorageBuffer" %out1, %answer : f32
      spirv.Return
    }
    spirv.EntryPoint "GLCompute" @kernel, @GlobalInvocationId
    spirv.ExecutionMode @kernel "LocalSize", 1, 1, 1
  }
}
