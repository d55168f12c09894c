// f16 and i16 beside each other, in one binding as well: i16 lies two to a word, and so does f16 there.
module {
  spirv.module Logical GLSL450 requires #spirv.vce<v1.3, [Shader], []> {
    spirv.GlobalVariable @LocalInvocationId built_in("LocalInvocationId") : !spirv.ptr<vector<3xi32>, Input>
    spirv.GlobalVariable @halves bind(0, 0) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f16, stride=2> [0])>, StorageBuffer>
    spirv.GlobalVariable @shorts bind(0, 1) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i16, stride=2> [0])>, StorageBuffer>
    spirv.GlobalVariable @short_results bind(0, 2) {aliased} : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i16, stride=2> [0])>, StorageBuffer>
    spirv.GlobalVariable @half_results bind(0, 2) {aliased} : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f16, stride=2> [0])>, StorageBuffer>
    spirv.GlobalVariable @vectors bind(0, 3) : !spirv.ptr<!spirv.struct<(!spirv.rtarray<vector<4xi16>, stride=8> [0])>, StorageBuffer>
    spirv.func @kernel() "None" {
      %c128 = spirv.Constant 128 : i32
      %c0 = spirv.Constant 0 : i32
      %halves_a = spirv.mlir.addressof @halves : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f16, stride=2> [0])>, StorageBuffer>
      %shorts_a = spirv.mlir.addressof @shorts : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i16, stride=2> [0])>, StorageBuffer>
      %short_results_a = spirv.mlir.addressof @short_results : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i16, stride=2> [0])>, StorageBuffer>
      %half_results_a = spirv.mlir.addressof @half_results : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f16, stride=2> [0])>, StorageBuffer>
      %vectors_a = spirv.mlir.addressof @vectors : !spirv.ptr<!spirv.struct<(!spirv.rtarray<vector<4xi16>, stride=8> [0])>, StorageBuffer>
      %id_a = spirv.mlir.addressof @LocalInvocationId : !spirv.ptr<vector<3xi32>, Input>
      %id = spirv.Load "Input" %id_a : vector<3xi32>
      %i = spirv.CompositeExtract %id[0 : i32] : vector<3xi32>
      %half_p = spirv.AccessChain %halves_a[%c0, %i] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f16, stride=2> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<f16, StorageBuffer>
      %half = spirv.Load "StorageBuffer" %half_p : f16
      %short_p = spirv.AccessChain %shorts_a[%c0, %i] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i16, stride=2> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i16, StorageBuffer>
      %short = spirv.Load "StorageBuffer" %short_p : i16
      %twice = spirv.IAdd %short, %short : i16
      %wide = spirv.UConvert %twice : i16 to i32
      %less = spirv.ULessThan %wide, %c128 : i32
      %smaller = spirv.SLessThan %twice, %short : i16
      %both = spirv.LogicalAnd %less, %smaller : i1
      %bits = spirv.Bitcast %half : f16 to i16
      %chosen = spirv.Select %both, %bits, %twice : i1, i16
      %number = spirv.ConvertSToF %twice : i16 to f16
      %sum = spirv.FAdd %number, %half : f16
      %out1 = spirv.AccessChain %short_results_a[%c0, %i] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<i16, stride=2> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<i16, StorageBuffer>
      spirv.Store "StorageBuffer" %out1, %chosen : i16
      %at = spirv.IAdd %i, %c128 : i32
      %out2 = spirv.AccessChain %half_results_a[%c0, %at] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<f16, stride=2> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<f16, StorageBuffer>
      spirv.Store "StorageBuffer" %out2, %sum : f16
      %four_p = spirv.AccessChain %vectors_a[%c0, %i] : !spirv.ptr<!spirv.struct<(!spirv.rtarray<vector<4xi16>, stride=8> [0])>, StorageBuffer>, i32, i32 -> !spirv.ptr<vector<4xi16>, StorageBuffer>
      %four = spirv.Load "StorageBuffer" %four_p : vector<4xi16>
      %as_halves = spirv.Bitcast %four : vector<4xi16> to vector<4xf16>
      %more = spirv.FAdd %as_halves, %as_halves : vector<4xf16>
      %words = spirv.Bitcast %more : vector<4xf16> to vector<2xi32>
      %back = spirv.Bitcast %words : vector<2xi32> to vector<4xi16>
      %signed = spirv.SConvert %back : vector<4xi16> to vector<4xi32>
      %unsigned = spirv.UConvert %back : vector<4xi16> to vector<4xi32>
      %added = spirv.IAdd %signed, %unsigned : vector<4xi32>
      %narrow = spirv.SConvert %added : vector<4xi32> to vector<4xi16>
      spirv.Store "StorageBuffer" %four_p, %narrow : vector<4xi16>
      spirv.Return
    }
    spirv.EntryPoint "GLCompute" @kernel, @LocalInvocationId
    spirv.ExecutionMode @kernel "LocalSize", 19, 1, 1
  }
}
