// sums of products of bytes, found again as packed dot products: signed, unsigned, and one that stays
spirv.module Logical GLSL450 requires #spirv.vce<v1.3, [Shader], [SPV_KHR_storage_buffer_storage_class]> {
  spirv.GlobalVariable @a bind(0, 0) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<vector<4xi32>, stride=16> [0])>, StorageBuffer>
  spirv.func @kernel() "None" {
    %address = spirv.mlir.addressof @a : !spirv.ptr<!spirv.struct<(!spirv.rtarray<vector<4xi32>, stride=16> [0])>, StorageBuffer>
    %c0 = spirv.Constant 0 : i32
    %c1 = spirv.Constant 1 : i32
    %c8 = spirv.Constant 8 : i32
    %c16 = spirv.Constant 16 : i32
    %c24 = spirv.Constant 24 : i32
    %c255 = spirv.Constant 255 : i32
    %lanes = spirv.Constant dense<[24, 16, 8, 0]> : vector<4xi32>
    %top = spirv.Constant dense<24> : vector<4xi32>
    %p0 = spirv.AccessChain %address[%c0, %c0] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<vector<4xi32>, stride=16> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<vector<4xi32>, StorageBuffer>
    %p1 = spirv.AccessChain %address[%c0, %c1] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<vector<4xi32>, stride=16> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<vector<4xi32>, StorageBuffer>
    %x = spirv.Load "StorageBuffer" %p0 : vector<4xi32>
    %y = spirv.Load "StorageBuffer" %p1 : vector<4xi32>
    // Signed: the bytes of the first words.
    %x0 = spirv.CompositeExtract %x[0 : i32] : vector<4xi32>
    %xs = spirv.CompositeConstruct %x0, %x0, %x0, %x0 : (i32, i32, i32, i32) -> vector<4xi32>
    %xl = spirv.ShiftLeftLogical %xs, %lanes : vector<4xi32>, vector<4xi32>
    %xb = spirv.ShiftRightArithmetic %xl, %top : vector<4xi32>, vector<4xi32>
    %y0 = spirv.CompositeExtract %y[0 : i32] : vector<4xi32>
    %ys = spirv.CompositeConstruct %y0, %y0, %y0, %y0 : (i32, i32, i32, i32) -> vector<4xi32>
    %yl = spirv.ShiftLeftLogical %ys, %lanes : vector<4xi32>, vector<4xi32>
    %yb = spirv.ShiftRightArithmetic %yl, %top : vector<4xi32>, vector<4xi32>
    %xb0 = spirv.CompositeExtract %xb[0 : i32] : vector<4xi32>
    %xb1 = spirv.CompositeExtract %xb[1 : i32] : vector<4xi32>
    %xb2 = spirv.CompositeExtract %xb[2 : i32] : vector<4xi32>
    %xb3 = spirv.CompositeExtract %xb[3 : i32] : vector<4xi32>
    %yb0 = spirv.CompositeExtract %yb[0 : i32] : vector<4xi32>
    %yb1 = spirv.CompositeExtract %yb[1 : i32] : vector<4xi32>
    %yb2 = spirv.CompositeExtract %yb[2 : i32] : vector<4xi32>
    %yb3 = spirv.CompositeExtract %yb[3 : i32] : vector<4xi32>
    %m0 = spirv.IMul %xb0, %yb0 : i32
    %m1 = spirv.IMul %xb1, %yb1 : i32
    %m2 = spirv.IMul %xb2, %yb2 : i32
    %m3 = spirv.IMul %xb3, %yb3 : i32
    %s0 = spirv.IAdd %c8, %m0 : i32
    %s1 = spirv.IAdd %m1, %s0 : i32
    %s2 = spirv.IAdd %m2, %s1 : i32
    %signed = spirv.IAdd %m3, %s2 : i32
    // Unsigned: the lowest byte is a mask, the highest one shift.
    %x1 = spirv.CompositeExtract %x[1 : i32] : vector<4xi32>
    %y1 = spirv.CompositeExtract %y[1 : i32] : vector<4xi32>
    %u0 = spirv.BitwiseAnd %x1, %c255 : i32
    %v0 = spirv.BitwiseAnd %y1, %c255 : i32
    %ul1 = spirv.ShiftLeftLogical %x1, %c16 : i32, i32
    %u1 = spirv.ShiftRightLogical %ul1, %c24 : i32, i32
    %vl1 = spirv.ShiftLeftLogical %y1, %c16 : i32, i32
    %v1 = spirv.ShiftRightLogical %vl1, %c24 : i32, i32
    %ul2 = spirv.ShiftLeftLogical %x1, %c8 : i32, i32
    %u2 = spirv.ShiftRightLogical %ul2, %c24 : i32, i32
    %vl2 = spirv.ShiftLeftLogical %y1, %c8 : i32, i32
    %v2 = spirv.ShiftRightLogical %vl2, %c24 : i32, i32
    %u3 = spirv.ShiftRightLogical %x1, %c24 : i32, i32
    %v3 = spirv.ShiftRightLogical %y1, %c24 : i32, i32
    %n0 = spirv.IMul %u0, %v0 : i32
    %n1 = spirv.IMul %u1, %v1 : i32
    %n2 = spirv.IMul %u2, %v2 : i32
    %n3 = spirv.IMul %u3, %v3 : i32
    %t0 = spirv.IAdd %n0, %n1 : i32
    %t1 = spirv.IAdd %n2, %n3 : i32
    %unsigned = spirv.IAdd %t0, %t1 : i32
    // Three bytes of four stay as they are.
    %three = spirv.IAdd %n0, %n2 : i32
    %few = spirv.IAdd %three, %n3 : i32
    %result = spirv.CompositeConstruct %signed, %unsigned, %few, %c0 : (i32, i32, i32, i32) -> vector<4xi32>
    spirv.Store "StorageBuffer" %p0, %result : vector<4xi32>
    spirv.Return
  }
  spirv.EntryPoint "GLCompute" @kernel, @a
  spirv.ExecutionMode @kernel "LocalSize", 1, 1, 1
}
