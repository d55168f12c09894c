"""What a module needs is read from its code; what nobody has is told with what the module holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import webree
from webree.errors import DeviceError, ModuleError, StatusCode, WebreeError
from webree.hal_local.host_device import host_device
from webree.module.reader import read_module
from webree.module.source import MemorySource
from webree.module.verifier import verify
from webree.needs import Needs, find_needs

SOURCE = """func.func @twice(%a: tensor<4xf32>) -> tensor<4xf32> {
  %0 = arith.addf %a, %a : tensor<4xf32>
  return %0 : tensor<4xf32>
}"""
X86 = ("--iree-llvmcpu-target-cpu=generic", "--iree-llvmcpu-target-triple=x86_64-linux-gnu")
FLAGS = {
    "vulkan": ("--iree-hal-target-device=vulkan",),
    "elf": ("--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu", *X86),
    "vmvx": ("--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=vmvx"),
    "inline": ("--iree-execution-model=inline-static", "--iree-hal-target-backends=vmvx-inline"),
    "loader": ("--iree-execution-model=inline-dynamic", "--iree-hal-target-backends=vmvx"),
    "loader-elf": ("--iree-execution-model=inline-dynamic", "--iree-hal-target-backends=llvm-cpu", *X86),
}


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("needs")
    source = folder / "m.mlir"
    source.write_text(SOURCE)
    compiler = Path(sys.executable).with_name("iree-compile")
    found = {}
    for name, flags in FLAGS.items():
        subprocess.run([compiler, source, "-o", folder / name, *flags], check=True, capture_output=True, timeout=120)
        found[name] = (folder / name).read_bytes()
    return found


def needs(data: bytes) -> Needs:
    return find_needs(verify(read_module(MemorySource(data))))


@pytest.mark.parametrize(
    ("name", "module", "ids", "formats"),
    [
        ("vulkan", "hal", ("vulkan*",), ("vulkan-spirv-fb",)),
        ("elf", "hal", ("local*",), ("embedded-elf-x86_64",)),
        ("vmvx", "hal", ("local*",), ("vmvx-bytecode-fb",)),
        ("inline", "hal_inline", (), ()),
        ("loader", "hal_loader", (), ("vmvx-bytecode-fb",)),
        ("loader-elf", "hal_loader", (), ("embedded-elf-x86_64",)),
    ],
)
def test_needs(
    name: str, module: str, ids: tuple[str, ...], formats: tuple[str, ...], modules: dict[str, bytes]
) -> None:
    found = needs(modules[name])
    assert module in found.modules
    assert found.is_inline == (module != "hal")
    assert tuple(pattern.rstrip("*") + "*" for pattern in found.device_ids) == ids
    assert found.formats == formats


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("vulkan", ("vulkan-spirv-fb", "--target")),
        ("elf", ("embedded-elf-x86_64", "--target")),
        ("loader-elf", ("embedded-elf-x86_64", "vmvx-bytecode-fb", "--execution-model inline-dynamic")),
    ],
)
def test_foreign_kernels(name: str, parts: tuple[str, ...], modules: dict[str, bytes]) -> None:
    """The message says what the module holds, and how to compile for what there is."""
    with pytest.raises(WebreeError) as caught:
        webree.load(modules[name])
    assert isinstance(caught.value, DeviceError | ModuleError)
    for part in parts:
        assert part in str(caught.value), caught.value


@pytest.mark.parametrize("device", ["auto", "cpu", "host", "vmvx", "wasm"])
def test_inline_programs_run_on_the_host(device: str, modules: dict[str, bytes]) -> None:
    for name in ("inline", "loader"):
        module = webree.load(modules[name], device=device)
        assert module.device is host_device()
        assert "inline" in module.device_reason
        assert list(module.twice([1, 2, 3, 4])) == [2, 4, 6, 8]


def test_inline_programs_run_nowhere_else(modules: dict[str, bytes]) -> None:
    with pytest.raises(DeviceError, match=r"compiled inline.*not on 'webgpu'.*--target webgpu") as caught:
        webree.load(modules["inline"], device="webgpu")
    assert caught.value.status == StatusCode.INCOMPATIBLE


def test_tensors_stay_with_inline_programs(modules: dict[str, bytes]) -> None:
    """One host device serves all of them."""
    one, other = webree.load(modules["inline"]), webree.load(modules["loader"])
    kept = other.twice.on_device(one.twice.on_device(one.to_device([1.0, 2.0, 3.0, 4.0])))
    assert list(kept.to_host()) == [4, 8, 12, 16]
    result = kept.to_host()
    result[0] = 9  # the caller owns it
    assert list(kept.to_host()) == [4, 8, 12, 16]
    kept.close()
    with pytest.raises(DeviceError, match="closed"):
        kept.to_host()


def test_memory_of_inline_programs_is_counted(modules: dict[str, bytes]) -> None:
    module = webree.load(modules["inline"])
    before = module.device.counters.in_use_bytes
    kept = module.twice.on_device([1, 2, 3, 4])
    assert module.device.counters.in_use_bytes == before + 16
    del kept
    assert module.device.counters.in_use_bytes == before


def test_unknown_modules(modules: dict[str, bytes]) -> None:
    data = modules["inline"].replace(b"hal_inline", b"hal_inlinX")
    with pytest.raises(ModuleError, match="hal_inlinX, which this runtime does not have") as caught:
        webree.load(data)
    assert caught.value.status == StatusCode.INCOMPATIBLE
