"""The small parts of the code generator: names, types, literals, expressions, and what it refuses."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest

from tests.golden.regenerate import FOLDER, inputs, translate
from tests.spirv_kernels import kernel_text, module_text, translate_text
from webree.codegen_wgsl import polyfills
from webree.codegen_wgsl.expressions import Expr, Rank, binary, call, constant, prefix
from webree.codegen_wgsl.literals import f16_literal, f32_literal, i32_literal, needs_bits, u32_literal
from webree.codegen_wgsl.names import Namer
from webree.codegen_wgsl.types import F32, I32, Array, Pointer, Scalar, Struct, Vector, byte_size, parse_type, wgsl_type
from webree.errors import CompileError


def test_names_are_legal_and_unique() -> None:
    namer = Namer(["workgroup_id"])
    assert namer.unique("main$async_dispatch_0") == "main_async_dispatch_0"
    assert namer.unique("main$async_dispatch_0") == "main_async_dispatch_0_1"
    assert namer.unique("loop") == "loop_1"
    assert namer.unique("7up") == "n7up"
    assert namer.unique("___") == "unnamed"
    assert namer.unique("workgroup_id") == "workgroup_id_1"
    assert [namer.fresh("v"), namer.fresh("x"), namer.fresh("v")] == ["v0", "x0", "v1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i32", I32),
        ("vector<4xf32>", Vector(F32, 4)),
        ("!spirv.array<2 x vector<2xf32>, stride=8>", Array(Vector(F32, 2), 2)),
        ("!spirv.struct<(i32, i32)>", Struct((I32, I32))),
        (
            "!spirv.ptr<!spirv.struct<(!spirv.rtarray<f32, stride=4> [0])>, StorageBuffer>",
            Pointer(Struct((Array(F32, None),)), "StorageBuffer"),
        ),
        (
            "!spirv.ptr<!spirv.struct<(!spirv.array<5 x i32, stride=4> [0]), Block>, PushConstant>",
            Pointer(Struct((Array(I32, 5),)), "PushConstant"),
        ),
    ],
)
def test_types(text: str, expected: object) -> None:
    assert parse_type(text) == expected


@pytest.mark.parametrize(
    "text", ["vector<8xf32>", "!spirv.image<f32, Dim2D>", "!spirv.array<", "vector<2xvector<2xf32>>"]
)
def test_types_that_wgsl_lacks(text: str) -> None:
    with pytest.raises(CompileError) as caught:
        parse_type(text)
    assert caught.value.unsupported


@pytest.mark.parametrize("name", ["i8", "i16", "i64", "f64", "bf16"])
def test_scalars_that_wgsl_lacks(name: str) -> None:
    with pytest.raises(CompileError, match=f"no type `{name}`.*supported: i1, i32"):
        wgsl_type(Scalar(name))


def test_sizes_follow_wgsl_layout() -> None:
    assert byte_size(Array(Vector(F32, 3), 4)) == 64
    assert byte_size(Array(F32, 5)) == 20


def test_f32_literals_read_back_to_the_same_bits() -> None:
    rng = np.random.default_rng()
    values = rng.integers(0, 2**32, 20000, dtype=np.uint32).view(np.float32)
    for value in values[np.isfinite(values)].tolist():
        if not needs_bits(value):
            text = f32_literal(value)
            assert struct.pack("<f", float(text)) == struct.pack("<f", value), text
            assert "." in text or "e" in text
            assert abs(float(text)) <= 3.4028234663852886e38, "WGSL calls the rest an overflow"


def test_f16_literals_read_back_to_the_same_bits() -> None:
    values = np.arange(0x0400, 0x7C00, dtype=np.uint16).view(np.float16)
    for value in values.astype(float).tolist():
        assert struct.pack("<e", float(f16_literal(-value)[:-1])) == struct.pack("<e", -value)


def test_literals() -> None:
    assert [f32_literal(x) for x in (1.0, -0.5, 1e-7, 3e20)] == ["1.0", "-0.5", "1e-7", "3e20"]
    assert [i32_literal(x) for x in (7, -7, 0xFFFFFFFF, 0x80000000)] == ["7", "-7", "-1", "i32(-2147483648)"]
    assert u32_literal(-1) == "4294967295u"
    assert [needs_bits(x) for x in (math.nan, -math.inf, -0.0, 1e-40, 0.0, 1e-30)] == [
        True,
        True,
        True,
        True,
        False,
        False,
    ]
    assert constant(Vector(F32, 2), [1.0, 1.0]).text == "vec2<f32>(1.0)"
    assert constant(Vector(I32, 2), [1, -2]).text == "vec2<i32>(1, -2)"
    assert constant(Array(Vector(F32, 2), 2), [1.0, 2.0, 3.0, 4.0]).text == (
        "array<vec2<f32>, 2>(vec2<f32>(1.0, 2.0), vec2<f32>(3.0, 4.0))"
    )


def test_expressions_keep_their_meaning() -> None:
    a, b, c = Expr("a"), Expr("b"), Expr("c")
    total = binary(a, "+", b)
    assert binary(total, "*", c).text == "(a + b) * c"
    assert binary(c, "-", total).text == "c - (a + b)"
    assert binary(total, "-", c).text == "a + b - c"
    assert binary(binary(a, "&", b), "|", c).text == "(a & b) | c"
    assert binary(total, "<<", c).text == "(a + b) << c"
    assert prefix("-", prefix("-", a)).text == "-(-a)"
    assert binary(a, "+", Expr("-5", Rank.UNARY, value=-5, is_const=True)).text == "a - 5"
    # `f(a < b, c > d)` would be a template.
    assert call("f", binary(a, "<", b), binary(a, ">", c)).text == "f((a < b), (a > c))"


def test_polyfills_for_all_shapes() -> None:
    name, text, needed = polyfills.instantiate("nmax", 4)
    assert name == "nmax_vec4"
    assert needed == ["is_nan", "is_nan"]
    assert "fn nmax_vec4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32>" in text
    assert "is_nan_vec4(b)" in text


def test_the_same_input_gives_the_same_bytes() -> None:
    for path in inputs():
        assert translate(path) == translate(path)


def test_exports_say_what_the_host_must_know() -> None:
    exports = {path.stem: translate(path).exports for path in inputs()}
    (workgroup,) = exports["workgroup_memory"]
    assert (workgroup.name, workgroup.workgroup_size, workgroup.workgroup_memory_bytes) == ("kernel", (8, 1, 1), 32)
    assert (workgroup.binding_count, workgroup.constant_count, workgroup.requires) == (2, 0, frozenset())
    assert exports["push_constants"][0].constant_count == 6
    assert exports["half"][0].requires == {"shader-f16"}
    assert exports["subgroups"][0].requires == {"subgroups"}


def test_names_that_are_no_identifiers() -> None:
    shader = translate_text(module_text("").replace("@kernel", "@a$dispatch_0"))
    assert [(export.name, export.entry_point) for export in shader.exports] == [("a$dispatch_0", "a_dispatch_0")]


def test_dimensions_that_do_nothing_are_dropped() -> None:
    text = module_text("", workgroup_size=(32, 4, 2)).replace("GlobalInvocationId", "LocalInvocationId")
    assert translate_text(text).exports[0].workgroup_size == (1, 1, 1)
    body = """%used = spirv.Variable : !spirv.ptr<i32, Function>
        spirv.Store "Function" %used, %index : i32"""
    text = module_text(body, workgroup_size=(32, 4, 2)).replace("GlobalInvocationId", "LocalInvocationId")
    assert translate_text(text).exports[0].workgroup_size == (32, 1, 1)


def test_an_unknown_op_is_named_with_its_place() -> None:
    text = kernel_text("%t = spirv.Constant true\nspirv.KHR.AssumeTrue %t\n%r = spirv.Undef : i32", ["i32"], "i32")
    with pytest.raises(CompileError, match=r"`spirv.KHR.AssumeTrue` at .*does not know this operation") as caught:
        translate_text(text)
    assert caught.value.op == "spirv.KHR.AssumeTrue"
    assert caught.value.unsupported
    assert caught.value.location


def test_a_type_that_wgsl_lacks_is_named_with_its_place() -> None:
    text = kernel_text("%w = spirv.SConvert %a : i32 to i64\n%r = spirv.SConvert %w : i64 to i32", ["i32"], "i32")
    with pytest.raises(CompileError, match=r"`spirv.SConvert` at .*WGSL has no type `i64`") as caught:
        translate_text(text)
    assert caught.value.unsupported


def test_more_intermediate_values_than_a_thread_may_keep() -> None:
    body = """%kept = spirv.Variable : !spirv.ptr<!spirv.array<262145 x i32>, Function>
        %place = spirv.AccessChain %kept[%index]
            : !spirv.ptr<!spirv.array<262145 x i32>, Function>, i32 -> !spirv.ptr<i32, Function>
        spirv.Store "Function" %place, %a : i32
        %r = spirv.Load "Function" %place : i32"""
    told = "a thread would keep 1,048,580 bytes of intermediate values, and 1,048,576 is what kernels may"
    with pytest.raises(CompileError, match=told) as caught:
        translate_text(kernel_text(body, ["i32"], "i32"))
    assert caught.value.unsupported


def test_f16_needs_its_feature_or_is_packed_into_words() -> None:
    text = kernel_text("%r = spirv.FAdd %a, %a : f16", ["f16"], "f16")
    native = translate_text(text, features={"shader-f16"})
    assert native.exports[0].requires == {"shader-f16"}
    assert "binding0: array<f16>" in native.source
    packed = translate_text(text, features=())
    assert packed.exports[0].requires == frozenset()
    assert "f16;" not in packed.source
    assert "binding1: array<atomic<i32>>" in packed.source


def test_a_feature_that_the_profile_lacks() -> None:
    text = (FOLDER / "in" / "subgroups.mlir").read_text(encoding="utf-8")
    with pytest.raises(CompileError, match="needs the WebGPU feature `subgroups`"):
        translate_text(text, features=())


def test_a_write_to_a_read_only_binding() -> None:
    text = kernel_text("%r = spirv.IAdd %a, %a : i32", ["i32"], "i32")
    with pytest.raises(CompileError, match="binding 1 is declared read-only by the host and written"):
        translate_text(text, read_only_bindings={"kernel": [True, True]})


def test_an_executable_without_kernels() -> None:
    with pytest.raises(CompileError, match=r"no spirv\.EntryPoint"):
        translate_text("module {}")
