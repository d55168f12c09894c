"""Weights that `compile(..., parameters=FILE)` writes beside the module: there and back, and what goes wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import webree
from tests.conftest import Machine
from tests.types.weights_model import NAMES, inputs, model, reference
from webree.compiler.demotion import CompileWarning
from webree.compiler.plan import EXECUTION_MODELS
from webree.errors import CompileError, InvocationError, ModuleError, UsageError
from webree.parameters.archive import open_archive

SCOPE = "model"
TOLERANCE = 1e-5


def check(found: object, expected: list[np.ndarray], seed: int) -> None:
    assert isinstance(found, tuple)
    for mine, theirs in zip(found, expected, strict=True):
        error = np.abs(np.asarray(mine) - theirs).max() / np.abs(theirs).max()
        assert error < TOLERANCE, f"relative error {error:.1e} (WEBREE_SEED={seed})"


@pytest.mark.parametrize("ending", ["safetensors", "irpa"])
def test_there_and_back(machine: Machine, tmp_path: Path, ending: str, seed: int) -> None:
    source, path = model(seed), tmp_path / f"weights.{ending}"
    profile = "webgpu" if machine.target == "webgpu" else None
    whole = webree.compile(source, target=machine.target, profile=profile)
    data = webree.compile(source, target=machine.target, profile=profile, parameters=path)
    assert len(whole) - len(data) > 50_000  # the weights are 53,000 bytes
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
    with webree.load(data, device=machine.device, parameters={SCOPE: path}) as module:
        for call in range(2):
            feeds = inputs(seed + call)
            check(module.main(*feeds.values()), reference(source, feeds), seed)


@pytest.mark.native
def test_one_file_for_two_targets(tmp_path: Path, seed: int) -> None:
    source, path = model(seed), tmp_path / "weights.safetensors"
    data = webree.compile(source, target="webgpu,cpu", parameters=path)
    feeds = inputs(seed)
    for device in ("webgpu", "cpu"):
        with webree.load(data, device=device, parameters=path) as module:
            check(module.main(*feeds.values()), reference(source, feeds), seed)


def test_other_programs_read_the_file(tmp_path: Path, seed: int) -> None:
    """The safetensors package, which refuses gaps and overlaps; names and types are the model's."""
    from safetensors.numpy import load_file

    source, path = model(seed), tmp_path / "weights.safetensors"
    webree.compile(source, parameters=path)
    found = load_file(path)
    assert set(found) == NAMES
    given = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in source.graph.initializer}
    for name in NAMES:
        assert found[name].dtype == given[name].dtype
        np.testing.assert_array_equal(np.sort(found[name].ravel()), np.sort(given[name].ravel()))
    np.testing.assert_array_equal(found["words"], given["words"])


def test_the_stock_runtime_runs_it(tmp_path: Path, seed: int) -> None:
    runtime = pytest.importorskip("iree.runtime")
    source, path = model(seed), tmp_path / "weights.irpa"
    data = webree.compile(source, target="vmvx", parameters=path)
    config = runtime.Config("local-sync")
    index = runtime.ParameterIndex()
    index.load(str(path))
    modules = runtime.load_vm_modules(
        runtime.create_io_parameters_module(config.vm_instance, index.create_provider(scope=SCOPE)),
        runtime.create_hal_module(config.vm_instance, config.device),
        runtime.VmModule.copy_buffer(config.vm_instance, data),
        config=config,
    )
    feeds = inputs(seed)
    found = tuple(item.to_host() for item in modules[-1].main(*feeds.values()))
    check(found, reference(source, feeds), seed)


def test_same_bytes_each_time(tmp_path: Path, seed: int) -> None:
    made = []
    for name in ("one.safetensors", "two.safetensors"):
        data = webree.compile(model(seed), target="vmvx", parameters=tmp_path / name)
        made.append((data, (tmp_path / name).read_bytes()))
    assert made[0] == made[1]


STATE = """
util.global private mutable @total = dense<0.0> : tensor<256xf32>
func.func @add(%x: tensor<256xf32>) -> tensor<256xf32> {
  %old = util.global.load @total : tensor<256xf32>
  %new = arith.addf %old, %x : tensor<256xf32>
  util.global.store %new, @total : tensor<256xf32>
  return %new : tensor<256xf32>
}
"""


@pytest.mark.parametrize("ending", ["safetensors", "irpa"])
def test_a_program_without_weights(tmp_path: Path, ending: str) -> None:
    """Variables stay in the module, the file is there and empty."""
    path = tmp_path / f"none.{ending}"
    with pytest.warns(CompileWarning, match=r"no weights of 256 bytes or more, so .*none.* is empty"):
        data = webree.compile(STATE, target="cpu", parameters=path)
    assert open_archive(path).entries == {}
    with webree.load(data) as module:
        x = np.random.default_rng().random(256, "f4")
        module.add(x)
        np.testing.assert_allclose(module.add(x), x + x, rtol=1e-6)


def test_a_program_that_needs_them(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "weights.safetensors"
    data = webree.compile(model(seed), target="cpu", parameters=path)
    with pytest.raises(InvocationError, match=r"needs parameters of scope 'model', passed are none; pass parameters="):
        webree.load(data)
    with pytest.raises(ModuleError, match=r"nowhere\.safetensors.*cannot read the file: No such file"):
        webree.load(data, parameters={SCOPE: tmp_path / "nowhere.safetensors"})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModuleError, match=r"weights\.safetensors: .*data_offsets .* in a file with \d+ bytes of data"):
        webree.load(data, parameters={SCOPE: path})
    with pytest.warns(CompileWarning):
        webree.compile(STATE, target="cpu", parameters=path)
    with pytest.raises(InvocationError, match=r"has no parameter '.*' \(scope 'model'\) among its 0"):
        webree.load(data, parameters={SCOPE: path})


def test_what_is_there_stays_if_the_compile_fails(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"before")
    with pytest.raises(CompileError):
        webree.compile("func.func @main() { return 1 }", parameters=path)
    assert path.read_bytes() == b"before"
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"parameters go to a file ending in \.safetensors or \.irpa, found .*w\.bin"):
        webree.compile(STATE, parameters=tmp_path / "w.bin")
    with pytest.raises(UsageError, match=r"there is no folder .*missing"):
        webree.compile(STATE, parameters=tmp_path / "missing" / "w.irpa")
    for name in [name for name in EXECUTION_MODELS if name.startswith("inline")]:
        with pytest.raises(UsageError, match=rf"'{name}' cannot load parameters; leave the weights in the module"):
            webree.compile(STATE, target="vmvx", execution_model=name, parameters=tmp_path / "w.irpa")


def test_command_line(tmp_path: Path, seed: int) -> None:
    source = tmp_path / "model.onnx"
    onnx.save(model(seed), source)
    feeds = inputs(seed)
    for name, array in feeds.items():
        np.save(tmp_path / f"{name}.npy", array)
    for number, array in enumerate(reference(source, feeds)):
        np.save(tmp_path / f"expected{number}.npy", array)
    weights, module = tmp_path / "w w.safetensors", tmp_path / "model.vmfb"  # a space in the name
    compiling = ["compile", str(source), "--target", "cpu", "-o", str(module), "--parameters", str(weights)]
    running = ["run", str(module), "--device", "cpu", "--parameters", f"model={weights}"]
    for name in feeds:
        running += ["--input", f"@{tmp_path / name}.npy"]
    for number in range(2):
        running += ["--expected-output", f"@{tmp_path}/expected{number}.npy"]
    for words in (compiling, running):
        done = subprocess.run([sys.executable, "-m", "webree", *words], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    assert "as expected: 2 of 2 outputs checked" in done.stderr
