// Selections: one that yields a value, one nested in an arm, one that stores, a return from within.
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
      %c10 = spirv.Constant 10 : i32
      %c100 = spirv.Constant 100 : i32
      %n_p = spirv.AccessChain %source[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      %n = spirv.Load "StorageBuffer" %n_p : i32
      %negative = spirv.SLessThan %n, %c0 : i32
      spirv.mlir.selection {
        spirv.BranchConditional %negative, ^then, ^merge
      ^then:
        %out1 = spirv.AccessChain %result[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
        spirv.Store "StorageBuffer" %out1, %c1 : i32
        spirv.Return
      ^merge:
        spirv.mlir.merge
      }
      %slot = spirv.Variable : !spirv.ptr<i32, Function>
      %large = spirv.SGreaterThan %n, %c10 : i32
      %value = spirv.mlir.selection -> i32 {
        spirv.BranchConditional %large, ^then, ^else
      ^then:
        %sum = spirv.IAdd %n, %c100 : i32
        %huge = spirv.SGreaterThan %n, %c100 : i32
        spirv.mlir.selection {
          spirv.BranchConditional %huge, ^then, ^else
        ^then:
          spirv.Store "Function" %slot, %c1 : i32
          spirv.Branch ^merge
        ^else:
          spirv.Store "Function" %slot, %sum : i32
          spirv.Branch ^merge
        ^merge:
          spirv.mlir.merge
        }
        %chosen = spirv.Load "Function" %slot : i32
        spirv.Branch ^merge(%chosen : i32)
      ^else:
        %product = spirv.IMul %n, %c10 : i32
        spirv.Branch ^merge(%product : i32)
      ^merge(%answer: i32):
        spirv.mlir.merge %answer : i32
      }
      %out2 = spirv.AccessChain %result[%c0, %GlobalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i32, StorageBuffer>
      spirv.Store "StorageBuffer" %out2, %value : i32
      spirv.Return
    }
    spirv.EntryPoint "GLCompute" @kernel, @GlobalInvocationId
    spirv.ExecutionMode @kernel "LocalSize", 1, 1, 1
  }
}
