"""`webree run` and `webree benchmark` on a device: what they say to wrong inputs, devices and expectations."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

import webree
from tests.conftest import ADAPTERS, find_adapter
from webree.module.executable import read_executable, write_executable
from webree.module.reader import read_module
from webree.module.source import MemorySource
from webree.tools.main import main

pytestmark = pytest.mark.native

MODEL = b"""
func.func @scale(%values: tensor<2x3xf32>, %factor: tensor<f32>) -> tensor<2x3xf32> {
  %empty = tensor.empty() : tensor<2x3xf32>
  %result = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> ()>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%values, %factor : tensor<2x3xf32>, tensor<f32>) outs(%empty : tensor<2x3xf32>) {
    ^bb0(%v: f32, %f: f32, %o: f32):
      %p = arith.mulf %v, %f : f32
      linalg.yield %p : f32
  } -> tensor<2x3xf32>
  return %result : tensor<2x3xf32>
}
func.func @negate(%values: tensor<?xi32>) -> tensor<?xi32> {
  %minus = arith.constant -1 : i32
  %c0 = arith.constant 0 : index
  %n = tensor.dim %values, %c0 : tensor<?xi32>
  %empty = tensor.empty(%n) : tensor<?xi32>
  %factors = linalg.fill ins(%minus : i32) outs(%empty : tensor<?xi32>) -> tensor<?xi32>
  %result = arith.muli %factors, %values : tensor<?xi32>
  return %result : tensor<?xi32>
}
"""


@pytest.fixture(scope="module")
def module_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "two.vmfb"
    path.write_bytes(webree.compile(MODEL))
    return path


@pytest.fixture(scope="module")
def device_word(adapter_name: str) -> str:
    """How the command line names the adapter."""
    find_adapter(adapter_name)
    return ADAPTERS[adapter_name][0]


def test_run_prints_checks_and_writes(
    module_path: Path, device_word: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["run", str(module_path), "--device", device_word, "--function", "scale", "--input", "2x3xf32=1,2,3,4,5,6"]
    assert main([*words, "--input", "f32=2", "--expected-output", "2x3xf32=2,4,6,8,10,12"]) == 0
    captured = capsys.readouterr()
    assert captured.out.endswith("2x3xf32=[2 4 6][8 10 12]\n")
    assert "as expected: 1 of 1 outputs checked" in captured.err
    assert main([*words, "--input", "0.5", "--output", f"@{tmp_path}/y.npy"]) == 0
    assert capsys.readouterr().out == ""
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), np.float32([[0.5, 1, 1.5], [2, 2.5, 3]]))


def test_dynamic_dimension(module_path: Path, device_word: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", str(module_path), "--device", device_word, "--function", "negate", "--input", "5xi32=1,2,3,-4,0"]
    assert main(words) == 0
    assert capsys.readouterr().out.endswith("5xi32=[-1 -2 -3 4 0]\n")


def test_output_that_is_not_as_expected(
    module_path: Path, device_word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", str(module_path), "--device", device_word, "--function", "negate", "--input", "3xi32=1,2,3"]
    assert main([*words, "--expected-output", "3xi32=-1,-2,3"]) == 1
    message = capsys.readouterr().err
    assert "is not as expected: 1 of 3 elements differ, the first at [2]: expected 3, found -3" in message


# words after `run MODULE`, exit code, a part of the message
REFUSED = [
    (["--function", "divide"], 2, "the module has no function 'divide'; it has:"),
    ([], 2, "the module has several functions, choose one with --function:"),
    (["--function", "negate"], 1, r"negate: expected 1 inputs, found 0; the function is negate\("),
    (["--function", "negate", "--input", "3xi32", "--input", "1"], 1, "negate: expected 1 inputs, found 2"),
    (
        ["--function", "negate", "--input", "3xf32"],
        1,
        r"expected \?xi32 \(int32\), found an array of float32 and shape",
    ),
    (["--function", "negate", "--input", "3x1xi32"], 1, r"expected \?xi32, of rank 1; found rank 2, shape \(3, 1\)"),
    (
        ["--function", "scale", "--input", "2x4xf32", "--input", "1"],
        1,
        r"expected 2x3xf32, with 3 elements along dimension 1; found 4, shape \(2, 4\)",
    ),
    (
        ["--function", "negate", "--input", "weights:3xi32"],
        1,
        "negate: no input named 'weights'; the function is negate",
    ),
    (["--function", "negate", "--input", "3xi32=1,2"], 2, "3 elements .* are needed, and 2 are given"),
    (
        ["--function", "negate", "--input", "1xi32", "--expected-output", "1xi32", "--expected-output", "1xi32"],
        2,
        "--expected-output is given 2 times",
    ),
]


@pytest.mark.parametrize(("words", "code", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_run_refuses(
    words: list[str], code: int, message: str, module_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(module_path), *words]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.search(message, captured.err), captured.err
    assert "Traceback" not in captured.err


def test_unknown_device_names_those_there_are(module_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(module_path), "--device", "abacus", "--function", "negate", "--input", "1xi32"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("webree: error: no device named 'abacus'; drivers: ")


def test_limits_that_the_adapter_lacks(module_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same module, but its kernels say that they need 1,000 storage buffers."""
    data = bytearray(module_path.read_bytes())
    for segment in read_module(MemorySource(bytes(data))).rodata:
        old = bytes(segment.read(0, segment.size))
        if old.startswith(b"WGS1"):
            file = read_executable(segment)
            limits = {**dict(file.required_limits), "max_storage_buffers_per_shader_stage": 1000}
            new = write_executable(dataclasses.replace(file, required_limits=tuple(sorted(limits.items()))))
            start = data.index(old[: len(new)])
            data[start : start + len(new)] = new
    path = tmp_path / "greedy.vmfb"
    path.write_bytes(data)
    assert main(["run", str(path), "--function", "negate", "--input", "1xi32"]) == 1
    message = capsys.readouterr().err
    assert "max_storage_buffers_per_shader_stage" in message
    assert re.search(r"\b1,?000\b", message)
    assert re.search(r"\b(8|10|16|32)\b", message.replace("1,000", "").replace("1000", "")), message


def test_benchmark_json(module_path: Path, device_word: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "benchmark",
        str(module_path),
        "--device",
        device_word,
        "--function",
        "scale",
        "--repetitions",
        "3",
        "--json",
    ]
    assert main(words) == 0
    facts = json.loads(capsys.readouterr().out)
    assert device_word in facts["adapter"]
    assert facts["module_bytes"] == module_path.stat().st_size
    assert 0 < facts["host_ms"] < 1000
    assert 0 < facts["fastest_call_ms"] <= facts["median_call_ms"]
    assert facts["per_call"]["dispatches"] == 1
    assert facts["per_call"]["submissions"] == 1
    assert [item["name"] for item in facts["dispatches"]] != []


def test_benchmark_needs_inputs_where_shapes_are_open(module_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", str(module_path), "--function", "negate"]) == 2
    assert "has no fixed shape: give the inputs with --input" in capsys.readouterr().err


def test_a_model_is_compiled_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBREE_CACHE", str(tmp_path / "cache"))
    model = tmp_path / "two.mlir"
    model.write_bytes(MODEL)
    words = ["run", str(model), "--device", "webgpu", "--function", "negate", "--input", "2xi32=3,4"]
    for _ in range(2):
        assert main(words) == 0
        assert capsys.readouterr().out.endswith("2xi32=[-3 -4]\n")
    (cached,) = (tmp_path / "cache").iterdir()
    assert cached.suffix == ".vmfb"
    assert main([*words, "--profile", "webgpu"]) == 0
    assert len(list((tmp_path / "cache").iterdir())) == 2
