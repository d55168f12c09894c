"""What goes wrong when modules are loaded and called, each with its message."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import webree
from tests.api_model import module_bytes
from tests.fake_device import FakeDevice, FakeDriver
from webree import DeviceError, InvocationError, ModuleError, StatusCode, UsageError, WebreeError
from webree.hal import registry

ADD = """
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = arith.addf %x, %x : tensor<4xf32>
  return %y : tensor<4xf32>
}
"""


class HostDevice(FakeDevice):
    """Calls itself a WebGPU device and runs no kernels: enough for programs that launch none."""

    def __init__(self) -> None:
        super().__init__(id="webgpu")
        self.executable_formats = ("webgpu-wgsl-fb",)

    def create_executable(self, format: str, data: Any, constants: bytes = b"") -> Any:
        from tests.fake_device import FakeExecutable

        class AnyKernel(FakeExecutable):
            def lookup(self, name: str) -> int:
                return 0

        return AnyKernel([], [lambda *_: None])


@pytest.fixture(scope="module")
def module() -> webree.Module:
    return webree.load(module_bytes(), device=HostDevice())


def stock_module(*options: str) -> bytes:
    """A module for other devices, as IREE's own compiler writes it."""
    tool = Path(sys.executable).with_name("iree-compile")
    done = subprocess.run([tool, "-", *options], input=ADD.encode(), capture_output=True, timeout=120, check=True)
    return done.stdout


# --- Loading ------------------------------------------------------------------------------------------------------


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModuleError, match=r"nowhere\.vmfb: cannot read the file: No such file or directory") as caught:
        webree.load(tmp_path / "nowhere.vmfb", device=FakeDevice())
    assert caught.value.status == StatusCode.NOT_FOUND
    with pytest.raises(ModuleError, match="cannot read the file: Is a directory"):
        webree.load(tmp_path, device=FakeDevice())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"IREE", "the file has 4 bytes, a module needs at least 16"),
        (bytes(64), "small.vmfb: "),
        (b"\x7fELF" + random.randbytes(200), "the file is cut off or not a module"),
        (module_bytes()[: len(module_bytes()) // 2], "the file is cut off"),
        (module_bytes()[:-4000], "small.vmfb: "),
    ],
    ids=["empty", "short", "zeros", "other", "half", "tail"],
)
def test_damaged_files_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "small.vmfb"
    path.write_bytes(content)
    with pytest.raises(ModuleError) as caught:
        webree.load(path, device=HostDevice())
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("seed", range(50))
def test_random_bytes_are_not_a_module(seed: int) -> None:
    with pytest.raises(ModuleError):
        webree.load(random.Random(seed).randbytes(500), device=HostDevice())


def test_what_is_not_a_source() -> None:
    with pytest.raises(UsageError, match="from a path, a URL, bytes or a JavaScript buffer, found a int"):
        webree.load(3, device=FakeDevice())


def test_a_url_that_does_not_answer() -> None:
    with pytest.raises(ModuleError, match=r"http://localhost:1/x\.vmfb: cannot download: .*refused"):
        webree.load("http://localhost:1/x.vmfb", device=FakeDevice())


def test_a_module_for_another_gpu_api() -> None:
    data = stock_module("--iree-hal-target-backends=vulkan-spirv")
    with pytest.raises(DeviceError) as caught:
        webree.load(data, device=HostDevice())
    assert str(caught.value) == (
        "the module was compiled for device 'vulkan'; this device is 'webgpu' and takes webgpu-wgsl-fb. "
        "Compile the model for it with: webree compile MODEL --target webgpu"
    )
    assert caught.value.status == StatusCode.INCOMPATIBLE


def test_a_module_without_gpu_code() -> None:
    data = stock_module("--iree-hal-target-backends=vmvx", "--iree-execution-model=inline-dynamic")
    with pytest.raises(DeviceError, match=r"compiled inline: .* on device 'cpu', not on 'webgpu'\. .* --target webgpu"):
        webree.load(data, device=HostDevice())


def test_parameters_for_a_module_that_takes_none() -> None:
    with pytest.raises(UsageError, match="all weights of this module are inside it"):
        webree.load(module_bytes(), device=HostDevice(), parameters={"model": "w.safetensors"})


def test_parameters_that_were_not_passed() -> None:
    source = """
    util.global private @w = #flow.parameter.named<"model"::"w"> : tensor<4xf32>
    func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
      %w = util.global.load @w : tensor<4xf32>
      %y = arith.addf %x, %w : tensor<4xf32>
      return %y : tensor<4xf32>
    }
    """
    data = webree.compile(source.encode())
    with pytest.raises(InvocationError, match=r"needs parameters of scope 'model', passed are none; pass parameters="):
        webree.load(data, device=HostDevice())


# --- Devices ------------------------------------------------------------------------------------------------------


@pytest.fixture
def only_fake_driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    driver = FakeDriver(HostDevice())
    monkeypatch.setattr(registry, "_factories", {"fake": lambda: driver})
    monkeypatch.setattr(registry, "_entry_points", lambda: ())
    return driver


@pytest.mark.usefixtures("only_fake_driver")
def test_unknown_device() -> None:
    with pytest.raises(DeviceError, match="no device named 'cuda'; drivers: fake; adapters: Python"):
        webree.load(module_bytes(), device="cuda")
    with pytest.raises(UsageError, match=r"device must be a name, an adapter .* found a int"):
        webree.load(module_bytes(), device=3)  # type: ignore[arg-type]


def test_no_adapter_at_all(only_fake_driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Any:
        return []
        yield

    def refuse(adapter: object = None) -> Any:
        raise DeviceError("install the package that brings one")
        yield

    monkeypatch.setattr(only_fake_driver, "adapters", none)
    monkeypatch.setattr(only_fake_driver, "open", refuse)
    for device in ("auto", "fake"):
        with pytest.raises(DeviceError, match="fake: install the package that brings one"):
            webree.load(module_bytes(), device=device)


# --- Calling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ad", "ad_async", "summation"])
def test_unknown_function(module: webree.Module, name: str) -> None:
    hint = "" if name == "summation" else ", did you mean 'add'?"
    message = f"has no function {name!r}{hint}; it has: add, both, scalars, identity, nothing, count, halve_until_small"
    with pytest.raises(InvocationError) as caught:
        getattr(module, name)
    assert message in str(caught.value)
    with pytest.raises(InvocationError) as caught:
        module[name]
    assert message in str(caught.value)
    assert caught.value.status == StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("function", "inputs", "named", "message"),
    [
        (
            "add",
            ([1.0],),
            {},
            "add: expected 2 inputs, found 1; the function is add(left: ?xf32, right: ?xf32) -> sum: ?xf32",
        ),
        ("add", ([1.0],) * 3, {}, "add: expected 2 inputs, found 3"),
        ("add", ([1.0],), {"rigth": [1.0]}, "add: no input named 'rigth'"),
        ("add", (), {"right": [1.0]}, "add: missing inputs left"),
        (
            "add",
            (np.zeros(3), [1.0]),
            {},
            "add: input 0 ('left'): expected ?xf32 (float32), found an array of float64 and shape (3,); convert it "
            "first, for example with array.astype('float32')",
        ),
        (
            "both",
            (np.zeros((2, 4), "i4"),),
            {},
            "both: input 0 ('input0'): expected 2x3xi32, with 3 elements along dimension 1; found 4, shape (2, 4)",
        ),
        ("both", ([1, 2],), {}, "both: input 0 ('input0'): expected 2x3xi32, of rank 2; found rank 1, shape (2,)"),
        ("scalars", ("a", 1, 1.0, 1, 1), {}, "scalars: input 0 ('input0'): expected a number of type i32, found a str"),
        ("scalars", (1 << 40, 1, 1.0, 1, 1), {}, "1099511627776 does not fit i32"),
    ],
)
def test_wrong_inputs(
    module: webree.Module, function: str, inputs: tuple[Any, ...], named: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvocationError) as caught:
        module[function](*inputs, **named)
    assert message in str(caught.value)


def test_wrong_inputs_change_nothing(module: webree.Module) -> None:
    before = module.device.counters.in_use_bytes
    for _ in range(10):
        with pytest.raises(InvocationError):
            module.add(np.zeros(1000, "f4"), np.zeros(3))
    assert module.device.counters.in_use_bytes == before


def test_closed_modules() -> None:
    with webree.load(module_bytes(), device=HostDevice()) as module:
        assert module.scalars(1, 2, 3.0, 4, 5 > 4) == (2, 2, 3.0, 4, True)
    module.close()
    with pytest.raises(InvocationError, match="module 'module' is closed") as caught:
        module.nothing()
    assert caught.value.status == StatusCode.FAILED_PRECONDITION
    assert "closed" in repr(module)


def test_the_program_refuses_by_itself() -> None:
    """What the compiled code checks reaches the caller with its own status."""
    source = """
    func.func @main(%n: i32) -> i32 {
      %zero = arith.constant 0 : i32
      %positive = arith.cmpi sgt, %n, %zero : i32
      cf.assert %positive, "n must be positive"
      return %n : i32
    }
    """
    module = webree.load(webree.compile(source.encode()), device=HostDevice())
    assert module.main(5) == 5
    with pytest.raises(WebreeError, match="n must be positive") as caught:
        module.main(-5)
    assert caught.value.status == StatusCode.FAILED_PRECONDITION
