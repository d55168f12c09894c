"""Signatures of exports from IREE's declaration text, and what stands in where there is none."""

from __future__ import annotations

import pytest

from webree.errors import ModuleError
from webree.signature import OpaqueType, ScalarType, TensorType, parse_signature


def declared(text: str) -> dict[str, str]:
    return {"iree.abi.declaration": text}


def test_names_types_and_dynamic_dimensions() -> None:
    signature = parse_signature(
        "f",
        "0rrI_rr",
        declared(
            "sync func @f(%bytes: tensor<1x?xi64>, %image: tensor<2x3xcomplex<f32>>, "
            '%input3: index {iree.abi.output = 0 : index, note = "a, (b"}) -> '
            "(%output0: tensor<f32>, %y: tensor<?xbf16>)"
        ),
    )
    assert str(signature) == ("f(bytes: 1x?xi64, image: 2x3xcomplex<f32>, input3: index) -> (output0: f32, y: ?xbf16)")
    first = signature.inputs[0].type
    assert isinstance(first, TensorType)
    assert first.shape == (1, None)
    assert first.dtype.name == "int64"
    assert signature.inputs[2].type == ScalarType("index")


@pytest.mark.parametrize(
    ("convention", "text", "shown"),
    [
        ("0v_v", "sync func @f() -> ()", "f()"),
        ("0i_F", "sync func @f(%n: i1) -> (%output0: f64)", "f(n: i1) -> output0: f64"),
        ("0r_r", "sync func @f(%l: !util.list<?>) -> (%b: !hal.buffer)", "f(l: !util.list<?>) -> b: !hal.buffer"),
        ("0r_v", "sync func @f(%x: tensor<4xf32, #enc<a, b>>) -> ()", "f(x: 4xf32)"),
        ("0r_v", "sync func @f(%x: tensor<4x!quant.i8>) -> ()", "f(x: tensor<4x!quant.i8>)"),
        ("0_v", "", "f()"),
    ],
)
def test_other_types(convention: str, text: str, shown: str) -> None:
    assert str(parse_signature("f", convention, declared(text))) == shown


def test_coarse_fences_are_not_inputs() -> None:
    attributes = declared("async func @f(%x: tensor<4xf32>) -> (%y: tensor<4xf32>)") | {
        "iree.abi.model": "coarse-fences"
    }
    signature = parse_signature("f", "0rrr_r", attributes)
    assert signature.has_fences
    assert [parameter.name for parameter in signature.inputs] == ["x"]
    with pytest.raises(ModuleError, match="fences has calling convention '0r_r'"):
        parse_signature("f", "0r_r", attributes)


def test_json_of_other_front_ends() -> None:
    text = (
        '{"v": 1, "a": [["named", "image", ["ndarray", "f32", 2, 1, null]], "i32", ["slist", "f64", ["sdict", ["k", '
        '["ndarray", "bf16", 0]]]]], "r": [["ndarray", "i64", 1, 4], ["py_homogeneous_list", "i32"]]}'
    )
    signature = parse_signature("f", "0riFr_rr", {"iree.abi": text})
    assert str(signature) == (
        "f(image: 1x?xf32, input1: i32, input2_0: f64, input2_1_k: bf16) -> "
        "(output0: 4xi64, output1: !py_homogeneous_list)"
    )


@pytest.mark.parametrize("text", ["[", "3", "{}", '{"a": 1, "r": 2}', '{"a": [["ndarray", "f32", 2]], "r": []}'])
def test_json_that_does_not_fit(text: str) -> None:
    assert str(parse_signature("f", "0r_v", {"iree.abi": text})) == "f(input0: ?)"


@pytest.mark.parametrize(
    "text", ["", "nonsense", "func @f(%x: i32", "func @f(x: tensor<f32>) -> ()", "sync func @f(%x: i64, %y: i64) -> ()"]
)
def test_calling_convention_stands_in(text: str) -> None:
    signature = parse_signature("f", "0rIf_r", declared(text))
    assert str(signature) == "f(input0: ?, input1: i64, input2: f32) -> output0: ?"
    assert signature.inputs[0].type == OpaqueType("?")


def test_conventions_for_imports_only_are_refused() -> None:
    with pytest.raises(ModuleError, match="cannot be called from the host"):
        parse_signature("f", "0rCrD_v", {})
