"""`webree dump`: what it says of a module agrees with the module and with the program that it was compiled from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import webree
from webree.tools.main import main

MODEL = b"""
func.func @affine(%x: tensor<4x8xf32>, %w: tensor<8x5xf32>, %b: tensor<?x5xf32>) -> (tensor<4x5xf32>, tensor<?x5xf32>) {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x5xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x5xf32>) -> tensor<4x5xf32>
  %y = linalg.matmul ins(%x, %w : tensor<4x8xf32>, tensor<8x5xf32>) outs(%init : tensor<4x5xf32>) -> tensor<4x5xf32>
  %e = math.exp %b : tensor<?x5xf32>
  return %y, %e : tensor<4x5xf32>, tensor<?x5xf32>
}
"""


@pytest.fixture(scope="module")
def module_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dump") / "affine.vmfb"
    path.write_bytes(webree.compile(MODEL))
    return path


def dump(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["dump", *words]) == 0
    return capsys.readouterr().out


def facts(path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads(dump([str(path), "--json", *words], capsys))


def test_functions_and_their_types(module_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (function,) = facts(module_path, capsys)["functions"]
    assert function["name"] == "affine"
    assert [item["type"] for item in function["inputs"]] == ["4x8xf32", "8x5xf32", "?x5xf32"]
    assert [item["type"] for item in function["outputs"]] == ["4x5xf32", "?x5xf32"]


def test_sizes_add_up(module_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = facts(module_path, capsys)
    assert found["byte_size"] == module_path.stat().st_size
    memory = found["memory"]
    assert 0 < memory["executables"] + memory["constants"] + memory["bytecode"] < found["byte_size"]


def test_kernels(module_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = facts(module_path, capsys)
    assert found["dispatch_count"] == len(found["kernels"]) == 2
    assert found["profiles"] == ["webgpu"]
    assert found["required_features"] == []
    matmul = next(kernel for kernel in found["kernels"] if "matmul" in kernel["name"])
    assert matmul["flops"] == 2 * 4 * 8 * 5
    sizes = [size for kernel in found["kernels"] for size in kernel["workgroup_size"]]
    assert all(1 <= size <= 256 for size in sizes)
    most = max(kernel["binding_count"] for kernel in found["kernels"])
    assert found["required_limits"]["max_storage_buffers_per_shader_stage"] == most


def test_wgsl_of_chosen_kernels(module_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    every = facts(module_path, capsys, "--wgsl")["wgsl"]
    chosen = facts(module_path, capsys, "--wgsl=matmul")["wgsl"]
    assert len(every) == 2
    assert list(chosen) == [name for name in every if "matmul" in name]
    assert all("@compute" in text for text in every.values())


def test_text(module_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = dump([str(module_path), "--wgsl"], capsys)
    assert "affine(" in text
    assert "\nkernels for webgpu: 2 for 2 dispatches, " in text
    assert " bytes in 2 executables (profile: webgpu)\n" in text
    assert "\nexecution model: async-internal\n" in text
    assert text.count("@compute") == 2
    assert "dynamic" in text  # the work of the kernel over ?x5 is not known before the call


def test_bytecode_lists_every_function(module_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listing = facts(module_path, capsys, "--bytecode")["bytecode"]
    assert "affine" in listing
    assert "hal.command_buffer.dispatch" in listing
    assert "return" in listing


def test_a_model_is_compiled_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBREE_CACHE", str(tmp_path / "cache"))
    model = tmp_path / "affine.mlir"
    model.write_bytes(MODEL)
    found = facts(model, capsys, "--profile", "webgpu-software")
    assert found["profiles"] == ["webgpu-software"]


def compiled(folder: Path, target: str, execution_model: str = "async-internal") -> Path:
    path = folder / "affine.vmfb"
    path.write_bytes(webree.compile(MODEL, target=target, execution_model=execution_model))
    return path


def test_executables_of_every_target(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = compiled(tmp_path, "webgpu,cpu,vmvx")
    found = facts(path, capsys)
    assert set(found["executables"]) == {"webgpu", "cpu", "vmvx"}
    assert sum(item["bytes"] for item in found["executables"].values()) == found["memory"]["executables"]
    by_target = {
        target: {kernel["name"] for kernel in found["kernels"] if kernel["target"] == target}
        for target in found["executables"]
    }
    assert [len(names) for names in by_target.values()] == [2, 2, 2]
    (cpu,) = (kernel for kernel in found["kernels"] if kernel["target"] == "cpu" and "matmul" in kernel["name"])
    assert cpu["binding_count"] == 3
    text = dump([str(path)], capsys)
    for target in by_target:
        assert f"\nkernels for {target}: 2 for " in text


@pytest.mark.parametrize(
    ("target", "model", "executables", "imported"),
    [
        ("cpu", "async-external", ["cpu"], "hal"),
        ("vmvx", "inline-dynamic", ["vmvx"], "hal_loader"),
        ("cpu", "inline-dynamic", ["cpu"], "hal_loader"),
        ("vmvx", "inline-static", [], "hal_inline"),
    ],
)
def test_execution_models(
    target: str,
    model: str,
    executables: list[str],
    imported: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    path = compiled(tmp_path, target, model)
    found = facts(path, capsys)
    assert found["execution_model"] == model
    assert list(found["executables"]) == executables
    assert imported in {item["module"] for item in found["imports"]}
    assert [item["asynchronous"] for item in found["functions"]] == [model == "async-external"]
    text = dump([str(path)], capsys)
    assert f"\nexecution model: {model}\n" in text
    assert ("kernels are part of the host program" in text) == (model == "inline-static")
