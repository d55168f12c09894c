"""A machine without a GPU driver, and one without wgpu-py: everything but WebGPU works, and what does not says why.

Each test is a process of its own whose Vulkan loader finds no driver, or in which `wgpu` cannot be imported (as after
a plain `pip install webree`).
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import webree

MODEL = b"""
func.func @scale(%x: tensor<?xf32>, %factor: f32) -> tensor<?xf32> {
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?xf32>
  %empty = tensor.empty(%n) : tensor<?xf32>
  %factors = linalg.fill ins(%factor : f32) outs(%empty : tensor<?xf32>) -> tensor<?xf32>
  %y = arith.mulf %x, %factors : tensor<?xf32>
  return %y : tensor<?xf32>
}
"""
CALL = ["--input", "3xf32=1,2,-3", "--input", "2", "--expected-output", "3xf32=2,4,-6"]

ROOT = Path(__file__).resolve().parents[2]
DEMO = ["-m", "demos.magika.demo"]
MACHINES = ("no driver", "no wgpu")


def run(machine: str, words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """`python WORDS` on such a machine."""
    nothing = folder / "none.json"
    environment = {**os.environ, "WEBREE_CACHE": str(folder / "cache")}
    for name in ("VK_ICD_FILENAMES", "VK_DRIVER_FILES"):
        environment[name] = str(nothing)
    environment["VK_ADD_DRIVER_FILES"] = ""
    if machine == "no wgpu":  # found before the installed one
        (folder / "blocked").mkdir(exist_ok=True)
        error = "raise ModuleNotFoundError(\"No module named 'wgpu'\", name='wgpu')\n"
        (folder / "blocked" / "wgpu.py").write_text(error)
        environment["PYTHONPATH"] = str(folder / "blocked")
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
        env=environment,
    )


def command(machine: str, words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    done = run(machine, ["-m", "webree", *words], folder)
    assert "Traceback" not in done.stderr
    return done


@functools.cache
def compiled(target: str) -> bytes:
    return webree.compile(MODEL, target=target)


def module_file(folder: Path, target: str) -> Path:
    path = folder / "scale.vmfb"
    path.write_bytes(compiled(target))
    return path


@pytest.mark.parametrize("machine", MACHINES)
def test_devices_lists_the_cpu_and_says_what_is_missing(machine: str, tmp_path: Path) -> None:
    done = command(machine, ["devices", "--json"], tmp_path)
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert [(item["driver"], item["name"]) for item in found["adapters"]] == [("cpu", "wasm"), ("cpu", "vmvx")]
    assert list(found["without"]) == ["webgpu"]
    advice = "mesa-vulkan-drivers" if machine == "no driver" else "pip install 'webree[native]'"
    assert advice in found["without"]["webgpu"]
    assert done.stderr.startswith("webree: note: webgpu: ")
    only = command(machine, ["devices", "webgpu"], tmp_path)
    assert (only.returncode, only.stdout) == (1, "")
    assert only.stderr.startswith("webree: error: ")
    assert advice in only.stderr


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("target", "device", "adapter"),
    [
        ("webgpu,cpu", "auto", "wasm"),
        ("cpu", "cpu", "wasm"),
        ("cpu", "wasm", "wasm"),
        ("vmvx", "auto", "vmvx"),
        ("vmvx", "vmvx", "vmvx"),
    ],
)
def test_run(machine: str, target: str, device: str, adapter: str, tmp_path: Path) -> None:
    done = command(machine, ["run", str(module_file(tmp_path, target)), "--device", device, *CALL], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("3xf32=[2 4 -6]\n")
    assert done.stderr.startswith(f"scale on {adapter} (")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("device", ["auto", "cpu", "vmvx"])
def test_a_model_is_compiled_for_the_device_that_is_taken(machine: str, device: str, tmp_path: Path) -> None:
    model = tmp_path / "scale.mlir"
    model.write_bytes(MODEL)
    done = command(machine, ["run", str(model), "--device", device, *CALL], tmp_path)
    assert done.returncode == 0, done.stderr
    adapter = "vmvx" if device == "vmvx" else "wasm"
    assert done.stderr.startswith(f"scale on {adapter} (")


@pytest.mark.parametrize("machine", MACHINES)
def test_webgpu_is_refused_with_the_reason(machine: str, tmp_path: Path) -> None:
    path = module_file(tmp_path, "webgpu")
    advice = "mesa-vulkan-drivers" if machine == "no driver" else "pip install 'webree[native]'"
    for device in ("webgpu", "auto"):
        done = command(machine, ["run", str(path), "--device", device, *CALL], tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("webree: error: ")
        assert advice in done.stderr
    assert "webgpu" in done.stderr
    assert "--target" in done.stderr  # how to get a module that runs here


EXTRAS = ("wgpu", "iree", "onnx", "flatbuffers", "ml_dtypes", "playwright")


@pytest.mark.parametrize(
    ("target", "model", "adapter"),
    [
        ("cpu", "async-internal", "wasm"),
        ("vmvx", "async-internal", "vmvx"),
        ("vmvx", "inline-static", "host"),
        ("cpu", "inline-dynamic", "host"),
    ],
)
def test_a_plain_install_runs_modules(target: str, model: str, adapter: str, tmp_path: Path) -> None:
    """`pip install webree` brings wasmtime and NumPy, and that is enough."""
    path = tmp_path / "scale.vmfb"
    path.write_bytes(webree.compile(MODEL, target=target, execution_model=model))
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in EXTRAS:
        error = f'raise ModuleNotFoundError("No module named {name!r}", name={name!r})\n'
        (blocked / f"{name}.py").write_text(error)
    done = command("no wgpu", ["run", str(path), *CALL], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"scale on {adapter} (")


@pytest.mark.parametrize("machine", MACHINES)
def test_the_api(machine: str, tmp_path: Path) -> None:
    x = np.random.default_rng().standard_normal(1000).astype("f4")
    np.save(tmp_path / "x.npy", x)
    code = f"""
import sys, numpy, webree
x = numpy.load({str(tmp_path / "x.npy")!r})
with webree.load({str(module_file(tmp_path, "webgpu,cpu"))!r}) as module:
    assert numpy.array_equal(module.scale(x, 3.0), x * numpy.float32(3.0))
    print(module.device.info.driver, module.device.info.name)
"""
    done = run(machine, ["-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "cpu wasm\n"


def test_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Natively on the CPU device; what this machine lacks (a GPU driver and, here, Chromium) is said and left out."""
    monkeypatch.setenv("WEBREE_CHROMIUM", str(tmp_path / "chromium"))
    monkeypatch.delenv("CI", raising=False)
    done = run("no driver", DEMO, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Natively, device auto:" in done.stdout
    assert done.stdout.count(" wasm\n") >= 15
    assert "device webgpu: left out, there is no such adapter" in done.stdout
    assert "In headless Chromium, WebGPU switched off: left out. no browser named" in done.stdout
    assert "20 files, in one place only" in done.stdout
    monkeypatch.setenv("CI", "true")
    assert run("no driver", DEMO, tmp_path).returncode == 1
