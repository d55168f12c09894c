"""What cannot be compiled: every message says what, where, and what to do; nothing but webree's errors escapes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.compiler_programs import MATMUL_DYNAMIC, onnx_model
from webree.compiler.api import compile
from webree.errors import CompileError, UsageError

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
RELU = onnx_model([helper.make_node("Relu", ["x"], ["y"])], [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])])


def refused(source: Any, **options: Any) -> CompileError:
    with pytest.raises(CompileError) as caught:
        compile(source, **options)
    return caught.value


# --- files -----------------------------------------------------------------------------------------------------------


def test_missing_file(tmp_path: Path) -> None:
    error = refused(tmp_path / "absent.onnx")
    assert str(error) == f"there is no model file at {tmp_path / 'absent.onnx'}"


def test_folder(tmp_path: Path) -> None:
    assert str(refused(tmp_path)) == f"cannot read {tmp_path}: Is a directory"


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.onnx"
    path.write_bytes(b"")
    assert str(refused(path)) == "empty.onnx is empty"


@pytest.mark.parametrize("size", [1, 100, 1000])
def test_random_bytes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "noise.onnx"
    path.write_bytes(b"\xff" + os.urandom(size))
    error = refused(path)
    assert str(error).startswith("noise.onnx is not an ONNX model, or is damaged: ")
    assert error.location == "noise.onnx"
    assert not error.unsupported


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("m.pth", b"PK\x03\x04rest", "m.pth is a PyTorch pickle file, which webree cannot compile; load it"),
        ("m.keras", b"PK\x03\x04rest", "m.keras is a Keras file"),
        ("m.h5", b"\x89HDF\r\n\x1a\nrest", "m.h5 is a Keras (HDF5) file"),
        ("m.safetensors", b"\x08\0\0\0\0\0\0\0{}", "m.safetensors is a safetensors file"),
        ("m.vmfb", b"\0\0\0\0\0\0\0\0IREE", "m.vmfb is a compiled module file"),
        ("m.bin", b"\xfe\xfd\xfc", r"m.bin is no model file that webree knows (it starts with b'\xfe\xfd\xfc')"),
    ],
)
def test_other_formats(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    error = refused(path)
    assert str(error).startswith(message)
    assert "Supported: ONNX (.onnx), " in str(error)
    assert error.unsupported


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "tpu"}, "unknown target 'tpu'; there are webgpu, cpu, vmvx"),
        (
            {"profile": "fast"},
            "unknown profile 'fast'; there are webgpu, webgpu-software, webgpu-f16, webgpu-large, cpu, vmvx, "
            "vmvx-microkernels",
        ),
        ({"compile_to": "spirv"}, "unknown phase 'spirv'; there are import, input, "),
        ({"input_format": "caffe"}, "unknown input format 'caffe'; there are auto, mlir, onnx"),
        (
            {"flags": ["--no-such-flag"]},
            "compiler flag '--no-such-flag' is not accepted: option not found: no-such-flag",
        ),
        ({"dims": {"batch": 1}}, "model.onnx has no symbolic dimension 'batch'; it has n"),
        ({"dims": {"n": 1 << 32}}, "dimension 'n' cannot be 4294967296; give a number of at most 2147483647"),
        ({"dims": {"n": 0}}, "dimension 'n' cannot be 0; give a number of at least 1"),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        compile(RELU, **options)
    assert str(caught.value).startswith(message)


def test_dims_of_mlir() -> None:
    with pytest.raises(UsageError, match="dimensions can be bound by name in ONNX models only"):
        compile(MATMUL_DYNAMIC, dims={"n": 1})


def test_source_of_a_wrong_type() -> None:
    with pytest.raises(UsageError, match="cannot compile an object of type int; give a path, bytes, MLIR text"):
        compile(5)


def test_dump_into_a_file(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UsageError, match=r"cannot write .*00-import.mlir"):
        compile(RELU, dump_phases=blocked, compile_to="import")


# --- ONNX ------------------------------------------------------------------------------------------------------------


def test_operators_that_do_not_exist() -> None:
    error = refused(
        onnx_model(
            [
                helper.make_node("Frobnicate", ["x"], ["y"], name="first"),
                helper.make_node("Frobnicate", ["y"], ["z"]),
                helper.make_node("FusedConv", ["z"], ["w"], domain="com.microsoft"),
            ],
            [("x", FLOAT, [4])],
            [("w", FLOAT, [4])],
        )
    )
    assert str(error) == (
        "model.onnx: operators that ONNX opset 17 does not define and the model brings no function for: "
        "Frobnicate (node 'first', that makes 'z'); com.microsoft.FusedConv (node that makes 'w'). "
        "Replace them by standard operators when exporting the model"
    )
    assert (error.op, error.location, error.unsupported) == ("onnx.Frobnicate", "first", True)


def test_operators_that_cannot_be_converted_are_all_named() -> None:
    mel = [("size", INT64, []), ("rate", INT64, []), ("low", FLOAT, []), ("high", FLOAT, [])]
    operands = ["size", "size", "rate", "low", "high"]
    error = refused(
        onnx_model(
            [
                helper.make_node("Relu", ["x"], ["r"], name="fine"),
                helper.make_node("MelWeightMatrix", operands, ["d"], name="bank"),
                helper.make_node("MelWeightMatrix", operands, ["e"], name="another"),
                helper.make_node("DFT", ["r"], ["t"], name="transform"),
            ],
            [("x", FLOAT, [1, "k", 1]), *mel],
            [("d", FLOAT, ["m", "n"]), ("e", FLOAT, ["m", "n"]), ("t", FLOAT, [1, "k", 2])],
        )
    )
    text = str(error)
    assert text.startswith("model.onnx: operators that webree cannot compile (ONNX opset 17), or not with these ")
    assert "onnx.MelWeightMatrix (nodes 'bank', 'another')" in text
    assert "onnx.DFT (node 'transform')" in text
    assert "Relu" not in text.partition("\nfirst: ")[0]
    assert error.op in ("onnx.MelWeightMatrix", "onnx.DFT")
    assert error.location in ("bank", "transform")
    assert error.unsupported


def test_operator_that_fails_late() -> None:
    """The conversion's own error is about an inner operation without a place; the operator is found all the same."""
    error = refused(
        onnx_model(
            [helper.make_node("RoiAlign", ["x", "r", "b"], ["y"], name="regions", output_height=2, output_width=2)],
            [("x", FLOAT, [1, 1, 4, 4]), ("r", FLOAT, [1, 4]), ("b", INT64, [1])],
            [("y", FLOAT, [1, 1, 2, 2])],
        )
    )
    assert "onnx.RoiAlign (node 'regions')" in str(error)
    assert (error.op, error.location) == ("onnx.RoiAlign", "regions")


def test_operator_without_any_lowering() -> None:
    error = refused(
        onnx_model(
            [helper.make_node("ImageDecoder", ["x"], ["y"], name="photo")],
            [("x", TensorProto.UINT8, [64])],
            [("y", TensorProto.UINT8, ["h", "w", 3])],
            opset=20,
        )
    )
    assert (error.op, error.location, error.unsupported) == ("onnx.ImageDecoder", "photo", True)


def test_element_types_are_all_named() -> None:
    error = refused(
        onnx_model(
            [
                helper.make_node("Transpose", ["x"], ["y"], name="turn"),
                helper.make_node("StringNormalizer", ["s"], ["t"], name="strings"),
            ],
            [("x", TensorProto.COMPLEX64, [4, 2]), ("s", TensorProto.STRING, [3])],
            [("y", TensorProto.COMPLEX64, [2, 4]), ("t", TensorProto.STRING, [3])],
            opset=21,
        )
    )
    assert str(error).startswith(
        "model.onnx: element types that webree cannot compile: COMPLEX64 (value 'x'); STRING (value 's'). "
        "Supported: float, float16, "
    )
    assert "; 8-bit and 4-bit floats and 4-bit and 2-bit integers in casts and (de)quantisation" in str(error)
    assert (error.location, error.unsupported) == ("x", True)


def test_graph_that_is_not_sorted() -> None:
    error = refused(onnx_model([helper.make_node("Relu", ["nope"], ["y"])], [("x", FLOAT, [4])], [("y", FLOAT, [4])]))
    assert str(error).startswith("model.onnx is not a valid ONNX model: ")
    assert "'nope'" in str(error)
    assert not error.unsupported


def test_shapes_that_do_not_fit() -> None:
    error = refused(
        onnx_model(
            [helper.make_node("MatMul", ["x", "x"], ["y"], name="product")],
            [("x", FLOAT, [4, 5])],
            [("y", FLOAT, [4, 5])],
        )
    )
    assert str(error).startswith("model.onnx: types or shapes do not fit together: ")
    assert "product" in str(error)
    assert not error.unsupported


def test_external_data(tmp_path: Path) -> None:
    weights = numpy_helper.from_array(numpy.random.default_rng().random((64, 64), numpy.float32), "w")
    model = onnx_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], [("x", FLOAT, [4, 64])], [("y", FLOAT, [4, 64])], [weights]
    )
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert len(compile(path)) > 64 * 64 * 4

    error = refused(path.read_bytes())
    assert str(error) == "model keeps weights in other files (tensor 'w'); give its path, not its bytes"

    (tmp_path / "weights.bin").unlink()
    error = refused(path)
    assert str(error).startswith("model.onnx: the weights of 'w' cannot be read from 'weights.bin' beside it: ")


def _with_external(tmp_path: Path, changes: dict[str, str]) -> CompileError:
    """The error for a model with these entries in place of where its weights are."""
    weights = numpy_helper.from_array(numpy.ones((4, 4), numpy.float32), "w")
    model = onnx_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], [("x", FLOAT, [2, 4])], [("y", FLOAT, [2, 4])], [weights]
    )
    (tmp_path / "folder").mkdir()
    (tmp_path / "outside.bin").write_bytes(bytes(64))
    (tmp_path / "folder" / "inside.bin").write_bytes(bytes(64))
    (tmp_path / "folder" / "link.bin").symlink_to(tmp_path / "outside.bin")
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "inside.bin", "offset": "0", "length": "64"} | changes).items():
        tensor.external_data.add(key=key, value=value)
    path = tmp_path / "folder" / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return refused(path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"location": "../outside.bin"}, "it lies outside the model's folder"),
        ({"location": "/etc/passwd"}, "it lies outside the model's folder"),
        ({"location": "link.bin"}, "it lies outside the model's folder"),
        ({"location": "absent.bin"}, "there is no such file"),
        ({"location": ""}, "there is no such file"),
        ({"offset": "4"}, "the bytes 4 to 68 are not in a file of 64; is it truncated?"),
        ({"offset": "-4"}, "the bytes -4 to 60 are not in a file of 64; is it truncated?"),
        ({"offset": "x"}, "invalid literal for int() with base 10: 'x'"),
        ({"length": "32"}, "it takes 64 bytes, and the model says 32"),
    ],
)
def test_external_data_that_is_not_there(changes: dict[str, str], reason: str, tmp_path: Path) -> None:
    location = changes.get("location", "inside.bin")
    assert str(_with_external(tmp_path, changes)) == (
        f"model.onnx: the weights of 'w' cannot be read from {location!r} beside it: {reason}"
    )


def test_external_data_behind_links_of_a_download_cache(tmp_path: Path) -> None:
    """The model and its weights are links into one folder, under other names."""
    weights = numpy_helper.from_array(numpy.ones((64, 64), numpy.float32), "w")
    model = onnx_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], [("x", FLOAT, [4, 64])], [("y", FLOAT, [4, 64])], [weights]
    )
    store, seen = tmp_path / "blobs", tmp_path / "snapshot"
    store.mkdir()
    seen.mkdir()
    onnx.save(model, seen / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    for number, name in enumerate(("model.onnx", "weights.bin")):
        (seen / name).rename(store / str(number))
        (seen / name).symlink_to(Path("..") / "blobs" / str(number))
    assert len(compile(seen / "model.onnx", compile_to="input")) > 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data_type": 99}, "has the unknown element type 99"),
        ({"data_type": 0}, "has no element type"),
        ({"dims": [-4, -4]}, "is FLOAT [-4, -4]; sizes are not negative"),
        ({"dims": [1 << 62, 1 << 62]}, f"is FLOAT [{1 << 62}, {1 << 62}], which no memory holds"),
        ({"dims": [4, 5]}, "is FLOAT [4, 5], which takes 80 bytes, and has 64"),
        ({"raw_data": None}, "is FLOAT [4, 4], which takes 16 values in float_data, and has 0"),
    ],
)
def test_tensors_that_contradict_themselves(changes: dict[str, Any], reason: str) -> None:
    weights = numpy_helper.from_array(numpy.ones((4, 4), numpy.float32), "w")
    model = onnx_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], [("x", FLOAT, [2, 4])], [("y", FLOAT, [2, 4])], [weights]
    )
    tensor = model.graph.initializer[0]
    for name, value in changes.items():
        tensor.ClearField(name)
        if isinstance(value, list):
            getattr(tensor, name).extend(value)
        elif value is not None:
            setattr(tensor, name, value)
    error = refused(model)
    assert str(error) == f"model.onnx is damaged: tensor 'w' {reason}"
    assert error.location == "model.onnx: tensor 'w'"


def test_a_result_of_another_type_than_the_graph_says() -> None:
    error = refused(
        onnx_model(
            [helper.make_node("Relu", ["x"], ["y"], name="rectify")],
            [("x", FLOAT, [4])],
            [("y", TensorProto.INT8, [4])],
        )
    )
    assert str(error) == "model.onnx contradicts itself: node 'rectify' (Relu) makes FLOAT, and the graph says INT8"
    assert (error.op, error.location) == ("onnx.Relu", "rectify")


def test_no_opset() -> None:
    model = onnx.ModelProto()
    model.CopyFrom(RELU)
    del model.opset_import[:]
    assert str(refused(model)) == ("model.onnx does not say which version of the ONNX operators it uses (opset_import)")


# --- MLIR ------------------------------------------------------------------------------------------------------------

MLIR: dict[str, tuple[str, str, str | None, str | None, bool]] = {
    "syntax": (
        "func.func @f( {\n}",
        "model.mlir:1:14: not valid MLIR: expected non-function type",
        None,
        "model.mlir:1:14",
        False,
    ),
    "types": (
        "func.func @f(%a: tensor<4xf32>) -> tensor<4xf32> {\n"
        "  %0 = arith.addi %a, %a : tensor<4xf32>\n"
        "  return %0 : tensor<4xf32>\n}",
        "model.mlir:2:8: not valid MLIR: 'arith.addi' op operand #0 must be signless",
        "arith.addi",
        "model.mlir:2:8",
        False,
    ),
    "unknown dialect": (
        "func.func @f(%a: tensor<4xf32>) -> tensor<4xf32> {\n"
        "  %0 = foo.bar %a : tensor<4xf32>\n"
        "  return %0 : tensor<4xf32>\n}",
        "model.mlir:2:8: not valid MLIR: Dialect `foo' not found for custom op 'foo.bar'",
        "foo.bar",
        "model.mlir:2:8",
        True,
    ),
    "unknown dialect in the generic form": (  # which MLIR would take, and its passes end the process at
        "func.func @f(%a: tensor<4xf32>) -> tensor<4xf32> {\n"
        '  %0 = "foo.bar"(%a) : (tensor<4xf32>) -> tensor<4xf32>\n'
        "  return %0 : tensor<4xf32>\n}",
        "model.mlir:2:17: not valid MLIR: the compiler does not know the dialect of 'foo.bar'; programs in linalg, ",
        "foo.bar",
        "model.mlir:2:17",
        True,
    ),
    "axis that is not there": (
        "func.func @f(%a: tensor<?x4xf32>) -> index {\n  %axis = arith.constant -1 : index\n"
        "  %n = tensor.dim %a, %axis : tensor<?x4xf32>\n  return %n : index\n}",
        "model.mlir:3:8: 'tensor.dim' asks for axis -1 of tensor<?x4xf32>, whose axes are 0 to 1",
        "tensor.dim",
        "model.mlir:3:8",
        False,
    ),
    "op without a lowering": (
        "func.func @f(%a: tensor<4xf32>) -> tensor<4xf32> {\n"
        '  %0 = "tosa.custom"(%a) {operator_name = "q", domain_name = "d", implementation_attrs = "x"}'
        " : (tensor<4xf32>) -> tensor<4xf32>\n"
        "  return %0 : tensor<4xf32>\n}",
        "model.mlir:2:8: conversion of the model to linalg fails: failed to legalize operation 'tosa.custom'",
        "tosa.custom",
        "model.mlir:2:8",
        True,
    ),
    "no function": (
        "module {\n}",
        "model.mlir has no public function, so there is nothing to compile",
        None,
        "model.mlir",
        False,
    ),
    "tensor above the binding limit": (
        "func.func @f(%a: tensor<64000000xf32>) -> tensor<64000000xf32> {\n"
        "  %0 = arith.addf %a, %a : tensor<64000000xf32>\n"
        "  return %0 : tensor<64000000xf32>\n}",
        "model.mlir:2:8: kernel f_dispatch_0_elementwise_64000000_f32 needs 256000000 bytes in one tensor; "
        "the profile 'webgpu' has 134217728.",
        "f_dispatch_0_elementwise_64000000_f32",
        "model.mlir:2:8",
        True,
    ),
}


@pytest.mark.parametrize("case", MLIR)
def test_mlir(case: str, capfd: pytest.CaptureFixture[str]) -> None:
    text, message, op, location, unsupported = MLIR[case]
    error = refused(text)
    assert str(error).startswith(message)
    assert (error.op, error.location, error.unsupported) == (op, location, unsupported)
    assert capfd.readouterr() == ("", "")


def test_bytecode_that_mlir_does_not_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage that MLIR's reader sees has its words; what ends the process that tries it has ours."""
    path = tmp_path / "model.mlirbc"
    path.write_bytes(b"ML\xefR\x0d")
    assert str(refused(path)).startswith("model.mlirbc:0:0: not valid MLIR: ")
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\nkill -SEGV $$\n")
    tool.chmod(0o755)
    monkeypatch.setattr("iree.compiler.tools.binaries.find_tool", lambda name: str(tool))
    error = refused(path)
    assert str(error) == (
        "model.mlirbc is damaged: MLIR's reader of bytecode does not survive it (SIGSEGV); write the file again, or "
        "save the program as text"
    )
    assert error.location == "model.mlirbc"


def test_failure_inside_the_progress_callback_is_the_callers_own() -> None:
    class Stop(Exception):
        pass

    def progress(_step: str, _fraction: float) -> None:
        raise Stop

    call: Callable[[], bytes] = lambda: compile(RELU, progress=progress)  # noqa: E731
    with pytest.raises(Stop):
        call()
