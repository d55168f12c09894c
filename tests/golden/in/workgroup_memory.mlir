// Workgroup memory with barriers: a reversal and a tree sum.
module {
  spirv.module Logical GLSL450 requires #spirv.vce<v1.3, [Shader], []> {
    spirv.GlobalVariable @scratch : !spirv.ptr<!spirv.struct<(!spirv.array<8 x f32>)>, Workgroup>
    spirv.GlobalVariable @LocalInvocationId built_in("LocalInvocationId") : !spirv.ptr<vector<3xi32>, Input>
    spirv.GlobalVariable @WorkgroupId built_in("WorkgroupId") : !spirv.ptr<vector<3xi32>, Input>
    spirv.GlobalVariable @source bind(0, 0) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
    spirv.GlobalVariable @result bind(0, 1) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
    spirv.func @kernel() "None" {
      %LocalInvocationId_a = spirv.mlir.addressof @LocalInvocationId : !spirv.ptr<vector<3xi32>, Input>
      %LocalInvocationId = spirv.Load "Input" %LocalInvocationId_a : vector<3xi32>
      %LocalInvocationId_x = spirv.CompositeExtract %LocalInvocationId[0 : i32] : vector<3xi32>
      %WorkgroupId_a = spirv.mlir.addressof @WorkgroupId : !spirv.ptr<vector<3xi32>, Input>
      %WorkgroupId = spirv.Load "Input" %WorkgroupId_a : vector<3xi32>
      %WorkgroupId_x = spirv.CompositeExtract %WorkgroupId[0 : i32] : vector<3xi32>
      %source = spirv.mlir.addressof @source : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
      %result = spirv.mlir.addressof @result : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>
      %c0 = spirv.Constant 0 : i32
      %c1 = spirv.Constant 1 : i32
      %c2 = spirv.Constant 2 : i32
      %c4 = spirv.Constant 4 : i32
      %c7 = spirv.Constant 7 : i32
      %c8 = spirv.Constant 8 : i32
      %scratch = spirv.mlir.addressof @scratch : !spirv.ptr<!spirv.struct<(!spirv.array<8 x f32>)>, Workgroup>
      %base = spirv.IMul %WorkgroupId_x, %c8 : i32
      %at = spirv.IAdd %base, %LocalInvocationId_x : i32
      %x_p = spirv.AccessChain %source[%c0, %at] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<f32, StorageBuffer>
      %x = spirv.Load "StorageBuffer" %x_p : f32
      %mine = spirv.AccessChain %scratch[%c0, %LocalInvocationId_x] : !spirv.ptr<!spirv.struct<(!spirv.array<8 x f32>)>, Workgroup>, i32, i32 -> !spirv.ptr<f32, Workgroup>
      spirv.Store "Workgroup" %mine, %x : f32
      spirv.ControlBarrier <Workgroup>, <Workgroup>, <AcquireRelease|WorkgroupMemory>
      %mirror = spirv.ISub %c7, %LocalInvocationId_x : i32
      %other = spirv.AccessChain %scratch[%c0, %mirror] : !spirv.ptr<!spirv.struct<(!spirv.array<8 x f32>)>, Workgroup>, i32, i32 -> !spirv.ptr<f32, Workgroup>
      %reversed = spirv.Load "Workgroup" %other : f32
      %out1 = spirv.AccessChain %result[%c0, %at] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<f32, StorageBuffer>
      spirv.Store "StorageBuffer" %out1, %reversed : f32
      spirv.ControlBarrier <Workgroup>, <Workgroup>, <AcquireRelease|WorkgroupMemory>
      spirv.mlir.loop {
        spirv.Branch ^header(%c4 : i32)
      ^header(%span: i32):
        %go = spirv.SGreaterThan %span, %c0 : i32
        spirv.BranchConditional %go, ^body, ^merge
      ^body:
        %busy = spirv.SLessThan %LocalInvocationId_x, %span : i32
        spirv.mlir.selection {
          spirv.BranchConditional %busy, ^then, ^merge
        ^then:
          %partner = spirv.IAdd %LocalInvocationId_x, %span : i32
          %theirs = spirv.AccessChain %scratch[%c0, %partner] : !spirv.ptr<!spirv.struct<(!spirv.array<8 x f32>)>, Workgroup>, i32, i32 -> !spirv.ptr<f32, Workgroup>
          %l = spirv.Load "Workgroup" %mine : f32
          %r = spirv.Load "Workgroup" %theirs : f32
          %s = spirv.FAdd %l, %r : f32
          spirv.Store "Workgroup" %mine, %s : f32
          spirv.Branch ^merge
        ^merge:
          spirv.mlir.merge
        }
        spirv.ControlBarrier <Workgroup>, <Workgroup>, <AcquireRelease|WorkgroupMemory>
        %smaller = spirv.SDiv %span, %c2 : i32
        spirv.Branch ^header(%smaller : i32)
      ^merge:
        spirv.mlir.merge
      }
      %is_first = spirv.IEqual %LocalInvocationId_x, %c0 : i32
      spirv.mlir.selection {
        spirv.BranchConditional %is_first, ^then, ^merge
      ^then:
        %total = spirv.Load "Workgroup" %mine : f32
        %out2 = spirv.AccessChain %result[%c0, %base] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<f32, StorageBuffer>
        spirv.Store "StorageBuffer" %out2, %total : f32
        spirv.Branch ^merge
      ^merge:
        spirv.mlir.merge
      }
      spirv.Return
    }
    spirv.EntryPoint "GLCompute" @kernel, @LocalInvocationId, @WorkgroupId
    spirv.ExecutionMode @kernel "LocalSize", 8, 1, 1
  }
}
