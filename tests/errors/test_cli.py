"""What the command line says to bad input: the message, the stream, the exit code, and never a traceback.

These tests need no device; tests/errors/test_cli_native.py has those that do.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from webree.tools.main import COMMANDS, main

ADD = b"""
func.func @add(%x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
  %z = arith.addf %x, %y : tensor<4xf32>
  return %z : tensor<4xf32>
}
"""


def fails(capsys: pytest.CaptureFixture[str], code: int, words: list[str]) -> str:
    """Run the command, expect this exit code, and return what it said on standard error."""
    assert main(words) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert captured.err.startswith("webree: error: ")
    return captured.err.removeprefix("webree: error: ")


@pytest.mark.parametrize("command", ["run", "benchmark", "dump"])
def test_missing_file(command: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "nothing.vmfb"
    assert fails(capsys, 2, [command, str(path)]) == f"{path}: no such module or model file\n"


def test_missing_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "nothing.onnx"
    assert fails(capsys, 2, ["compile", str(path)]) == f"no model file at {path}\n"


def test_folder_instead_of_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert fails(capsys, 2, ["dump", str(tmp_path)]) == f"{tmp_path}: is a folder, not a module or model file\n"


@pytest.mark.parametrize("size", [0, 3, 40, 5000])
def test_random_bytes_are_no_module(size: int, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "random.vmfb"
    path.write_bytes(random.randbytes(size))
    message = fails(capsys, 1, ["dump", str(path)])
    assert "file" in message
    assert str(path) in message


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(capsys, 2, ["optimize"])
    assert "invalid choice: 'optimize'" in message
    assert "compile" in message


def test_unknown_option(capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(capsys, 2, ["devices", "--fast"])
    assert message == "unrecognized arguments: --fast\nTry `webree --help`.\n"


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: webree" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dim", "batch"], "--dim batch: write NAME=N with a whole number N, as in --dim batch=1"),
        (["--dim", "batch=x"], "--dim batch=x: write NAME=N"),
        (["--dim", "n=1", "--dim", "n=2"], "--dim n=2: n is already bound to 1"),
        (["--target", "metal"], "unknown target 'metal'; there "),
        (["--profile", "phone"], "unknown profile 'phone'; there are webgpu, webgpu-software, webgpu-f16"),
        (["--compile-to", "spirv"], "spirv"),
        (["--input-format", "word"], "word"),
        (["--output", "{model}"], "would overwrite the model"),
    ],
)
def test_wrong_compile_options(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    model = tmp_path / "add.mlir"
    model.write_bytes(ADD)
    words = [word.format(model=model) for word in words]
    assert message in fails(capsys, 2, ["compile", str(model), *words])


def test_parameters_that_are_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "some.vmfb"
    path.write_bytes(b"x")
    message = fails(capsys, 2, ["run", str(path), "--parameters", "model=weights.safetensors"])
    assert message == "--parameters model=weights.safetensors: no file at weights.safetensors\n"


def test_invalid_mlir_names_the_place(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = tmp_path / "broken.mlir"
    model.write_bytes(ADD.replace(b"arith.addf %x, %y", b"arith.addf %x, %w"))
    message = fails(capsys, 1, ["compile", str(model)])
    assert "broken.mlir:3:" in message
    assert "undeclared SSA value" in message


def test_a_fault_of_ours_shows_its_traceback_only_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import webree.tools.devices

    def broken() -> list[str]:
        raise RuntimeError("a bug")

    monkeypatch.setattr(webree.tools.devices, "driver_names", broken)
    message = fails(capsys, 1, ["devices"])
    assert message.startswith("RuntimeError: a bug (this is a fault of webree")
    assert main(["devices", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_missing_extra_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import webree.tools.devices

    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'wgpu'", name="wgpu")

    monkeypatch.setattr(webree.tools.devices, "create_driver", missing)
    message = fails(capsys, 1, ["devices"])
    assert message == (
        "the Python package wgpu is not installed; native WebGPU devices need it: pip install 'webree[native]'\n"
    )


@pytest.mark.parametrize("command", list(COMMANDS))
def test_help_of_every_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: webree {command}")
    assert len(text.splitlines()) > 8


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    name, version = capsys.readouterr().out.split()
    assert name == "webree"
    assert version[0].isdigit()


def test_python_dash_m_is_the_same_command() -> None:
    done = webree_process(["--version"])
    assert done.returncode == 0
    assert done.stdout.startswith("webree ")


def test_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m webree compile --help | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=300)
    assert done.stdout.startswith("usage:")
    assert done.stderr == ""


def webree_process(words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "webree", *words],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
