"""The targets cpu and vmvx, and modules for several targets: what is in them, and that they compute what NumPy does."""

from __future__ import annotations

import shlex
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wasmtime

import webree
from tests.compiler_programs import FLOAT64, PROGRAMS
from tests.unit.test_compiler import declaration
from webree.codegen_cpu import link
from webree.codegen_cpu.binaries import finish_library
from webree.codegen_cpu.imports import provided_functions
from webree.codegen_cpu.sections import CUSTOM, split
from webree.compiler.api import CompileWarning, compile
from webree.compiler.plan import make_plan
from webree.errors import CompileError, UsageError
from webree.hal.device import Device
from webree.module.reader import read_module
from webree.module.source import MemorySource

Tensor = np.ndarray[Any, Any]

# Two kernels that differ, each with constants of its own under one name.
TWO_KERNELS = """
func.func @f(%a: tensor<6x8xf32>, %b: tensor<8x16xf32>) -> tensor<6xf32> {
  %zero = arith.constant 0.0 : f32
  %k = arith.constant dense<[3, 1, 2, 0, 5, 4]> : tensor<6xi32>
  %e = tensor.empty() : tensor<6x16xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<6x16xf32>) -> tensor<6x16xf32>
  %r = linalg.matmul ins(%a, %b : tensor<6x8xf32>, tensor<8x16xf32>) outs(%f : tensor<6x16xf32>) -> tensor<6x16xf32>
  %e2 = tensor.empty() : tensor<6xf32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<6xf32>) -> tensor<6xf32>
  %s = linalg.reduce ins(%r: tensor<6x16xf32>) outs(%f2: tensor<6xf32>) dimensions = [1]
    (%x: f32, %y: f32) { %z = arith.addf %x, %y : f32 linalg.yield %z : f32 }
  %g = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
    ins(%k : tensor<6xi32>) outs(%e2 : tensor<6xf32>) {
  ^bb0(%i: i32, %o: f32):
    %at = arith.index_cast %i : i32 to index
    %v = tensor.extract %s[%at] : tensor<6xf32>
    %w = math.exp2 %v : f32
    linalg.yield %w : f32 } -> tensor<6xf32>
  return %g : tensor<6xf32>
}
"""


def two_kernels(a: Tensor, b: Tensor) -> Tensor:
    return np.exp2((a @ b).sum(1))[[3, 1, 2, 0, 5, 4]]


def elementwise(operation: str, source: str, result: str, size: int = 64) -> str:
    """One operation on each element, `{x}` its operand."""
    return f"""
func.func @f(%a: tensor<{size}x{source}>) -> tensor<{size}x{result}> {{
  %e = tensor.empty() : tensor<{size}x{result}>
  %r = linalg.generic {{indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
      iterator_types = ["parallel"]}} ins(%a : tensor<{size}x{source}>) outs(%e : tensor<{size}x{result}>) {{
  ^bb0(%x: {source}, %o: {result}):
    {operation}
    linalg.yield %z : {result} }} -> tensor<{size}x{result}>
  return %r : tensor<{size}x{result}>
}}"""


def libraries(source: str, tmp_path: Path, **options: Any) -> list[bytes]:
    compile(source, target="cpu", dump_wasm=tmp_path, **options)
    return [path.read_bytes() for path in sorted(tmp_path.glob("*.wasm"))]


def run(data: bytes, device: str | Device, *inputs: Tensor) -> Tensor:
    module = webree.load(data, device=device)
    (name,) = module.functions
    return np.asarray(getattr(module, name)(*inputs))


# --- cpu -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stablehlo", "torch"])
def test_programs_compile_for_cpu_to_the_same_bytes_twice(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert compile(PROGRAMS[name], target="cpu") == compile(PROGRAMS[name], target="cpu")
    assert capfd.readouterr() == ("", "")


def test_kernels_are_one_library(tmp_path: Path) -> None:
    (library,) = libraries(TWO_KERNELS, tmp_path)
    module = wasmtime.Module(wasmtime.Engine(), library)
    functions = {item.name for item in module.imports if isinstance(item.type, wasmtime.FuncType)}
    assert functions <= set(provided_functions())
    assert {item.name for item in module.exports} == {
        "iree_hal_executable_library_query",
        "__wasm_apply_data_relocs",
    }
    assert [section.name for section in split(library) if section.kind == CUSTOM] == ["dylink.0"]


@pytest.mark.parametrize("targets", ["cpu", "vmvx", "cpu,vmvx", "webgpu,cpu", "webgpu,vmvx", "webgpu,cpu,vmvx"])
def test_every_device_of_a_module_computes_the_same(targets: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    a = generator.random((6, 8), dtype=np.float32)
    b = generator.random((8, 16), dtype=np.float32) / 8
    data = compile(TWO_KERNELS, target=targets)
    for target in targets.removeprefix("webgpu,").split(","):
        np.testing.assert_allclose(run(data, target, a, b), two_kernels(a, b), rtol=1e-5)


@pytest.mark.native
@pytest.mark.parametrize("targets", ["webgpu,cpu", "webgpu,cpu,vmvx"])
def test_webgpu_among_other_targets(targets: str, device: Device, seed: int) -> None:
    generator = np.random.default_rng(seed)
    a = generator.random((6, 8), dtype=np.float32)
    b = generator.random((8, 16), dtype=np.float32) / 8
    np.testing.assert_allclose(run(compile(TWO_KERNELS, target=targets), device, a, b), two_kernels(a, b), rtol=1e-5)


def test_several_targets_share_the_weights(seed: int) -> None:
    values = np.random.default_rng(seed).random((64, 512), dtype=np.float32)
    text = f'dense<"0x{values.tobytes().hex()}"> : tensor<64x512xf32>'
    source = f"""
func.func @f(%a: tensor<4x64xf32>) -> tensor<4x512xf32> {{
  %w = arith.constant {text}
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x512xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x512xf32>) -> tensor<4x512xf32>
  %r = linalg.matmul ins(%a, %w : tensor<4x64xf32>, tensor<64x512xf32>) outs(%f : tensor<4x512xf32>)
    -> tensor<4x512xf32>
  return %r : tensor<4x512xf32>
}}"""
    data = compile(source, target="webgpu,cpu,vmvx")
    assert values.nbytes < len(data) < 1.3 * values.nbytes
    segments = read_module(MemorySource(data)).rodata
    assert sum(1 for segment in segments if segment.size >= values.nbytes) == 1
    a = np.random.default_rng(seed).random((4, 64), dtype=np.float32)
    for device in ("cpu", "vmvx"):
        np.testing.assert_allclose(run(data, device, a), a @ values, rtol=1e-4)


def test_a_device_that_the_module_has_no_kernels_for() -> None:
    with pytest.raises(webree.WebreeError, match="webgpu-wgsl-fb"):
        webree.load(compile(TWO_KERNELS), device="cpu")


def test_f64_stays_on_the_cpu() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = compile(FLOAT64, target="cpu")
    assert "tensor<16xf64>" in declaration(data)
    with pytest.warns(CompileWarning, match="WebGPU has no 64-bit floats"):
        data = compile(FLOAT64, target="webgpu,cpu")
    assert "f64" not in declaration(data)


def test_f64_on_vmvx(seed: int) -> None:
    x = np.random.default_rng(seed).uniform(-9, 9, 64)
    source = elementwise("%y = arith.mulf %x, %x : f64\n    %z = arith.addf %y, %x : f64", "f64", "f64")
    np.testing.assert_array_equal(run(compile(source, target="vmvx"), "vmvx", x), x * x + x)


@pytest.mark.parametrize("name", ["exp", "log", "sin", "tanh", "atan", "log10", "sqrt", "roundeven", "asinh"])
def test_f64_functions(name: str, seed: int) -> None:
    x = np.random.default_rng(seed).uniform(0.1, 9, 64)
    function = {"atan": np.arctan, "roundeven": np.rint, "asinh": np.arcsinh}.get(name) or getattr(np, name)
    found = run(compile(elementwise(f"%z = math.{name} %x : f64", "f64", "f64"), target="cpu"), "cpu", x)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, function(x), rtol=1e-13)


def test_i64_is_computed_in_64_bits(seed: int) -> None:
    x = np.random.default_rng(seed).integers(-(2**63), 2**63, 64)
    source = elementwise("%c = arith.constant 12345678901 : i64\n    %z = arith.divsi %x, %c : i64", "i64", "i64")
    quotient = np.array([abs(int(item)) // 12345678901 * (1 if item > 0 else -1) for item in x])
    np.testing.assert_array_equal(run(compile(source, target="cpu"), "cpu", x), quotient)


def test_f64_to_f16(seed: int) -> None:
    x = np.random.default_rng(seed).uniform(-7e4, 7e4, 64)
    found = run(compile(elementwise("%z = arith.truncf %x : f64 to f16", "f64", "f16"), target="cpu"), "cpu", x)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found, x.astype(np.float16))


@pytest.mark.parametrize(("kind", "conversion"), [("i8", "sitofp"), ("i32", "sitofp"), ("i32", "uitofp")])
def test_integers_to_bf16(kind: str, conversion: str, seed: int) -> None:
    """LLVM ends the process where it meets this conversion; so another process compiles."""
    source = elementwise(f"%z = arith.{conversion} %x : {kind} to bf16\n    %q = arith.constant 0 : i32", kind, "bf16")
    source = source.replace("linalg.yield %z : bf16", "%y = arith.bitcast %z : bf16 to i16\n    linalg.yield %y : i16")
    source = source.replace("xbf16>", "xi16>").replace("%o: bf16", "%o: i16")
    code = (
        "import sys; from webree.compiler.api import compile; "
        "sys.stdout.buffer.write(compile(sys.stdin.read(), target='cpu'))"
    )
    done = subprocess.run([sys.executable, "-c", code], input=source.encode(), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    width = int(kind[1:])
    x = np.random.default_rng(seed).integers(-(2 ** (width - 1)), 2 ** (width - 1), 64).astype(f"i{width // 8}")
    value = (x if conversion == "sitofp" else x.view(f"u{width // 8}")).astype(np.float32)
    bits = value.view(np.uint32).astype(np.uint64)
    expected = ((bits + 0x7FFF + (bits >> np.uint64(16) & np.uint64(1))) >> np.uint64(16)).astype(np.uint16)
    np.testing.assert_array_equal(run(done.stdout, "cpu", x).view(np.uint16), expected)


def test_f16_library_is_valid(tmp_path: Path, seed: int) -> None:
    source = elementwise("%y = math.exp %x : f16\n    %z = arith.mulf %y, %x : f16", "f16", "f16")
    (library,) = libraries(source, tmp_path)
    wasmtime.Module(wasmtime.Engine(), library)
    x = np.random.default_rng(seed).uniform(-4, 4, 64).astype(np.float16)
    np.testing.assert_allclose(run(compile(source, target="cpu"), "cpu", x), np.exp(x) * x, rtol=4e-3, atol=1e-4)


def test_an_operation_that_cannot_be_compiled_is_named() -> None:
    with pytest.raises(CompileError, match=r"model.mlir:7:10: .*math.erf") as caught:
        compile(elementwise("%z = math.erf %x : f64", "f64", "f64"), target="cpu")
    assert caught.value.unsupported
    assert "hal.executable.target" not in str(caught.value)


def test_an_import_that_nobody_provides_is_named() -> None:
    library = wasmtime.wat2wasm('(module (import "env" "lgamma" (func (param f64) (result f64))))')
    with pytest.raises(
        CompileError, match=r"does not provide: lgamma \(f64\) -> \(f64\)\. It has those .*fmaxf"
    ) as caught:
        finish_library(bytes(library))
    assert caught.value.unsupported
    of_another_type = wasmtime.wat2wasm('(module (import "env" "exp" (func (param f32) (result f32))))')
    with pytest.raises(CompileError, match=r"exp \(f32\) -> \(f32\)"):
        finish_library(bytes(of_another_type))
    with pytest.raises(CompileError, match="the linker made no WebAssembly library"):
        finish_library(b"\x7fELF....")


def test_linker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    flag = link.linker_flag()
    shell, option, command, name = shlex.split(flag.partition("=")[2])
    assert (shell, option, name) == ("sh", "-c", "iree-lld")
    assert Path(shlex.split(command)[1]).is_file()
    monkeypatch.setattr(link.importlib, "import_module", lambda name: type("", (), {"__file__": str(tmp_path / "x")}))
    with pytest.raises(CompileError, match=r"needs the linker iree-lld .* is no file; install the package anew"):
        link.linker_flag()
    monkeypatch.setattr(link.sys, "platform", "win32")
    with pytest.raises(CompileError, match=r"needs a POSIX shell .* which Windows does not have; compile on Linux"):
        link.linker_flag()


# --- plans -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("cuda", None, "async-internal"), "unknown target 'cuda'; there are webgpu, cpu, vmvx"),
        (("cpu,cpu", None, "async-internal"), "target 'cpu' is given twice in 'cpu,cpu'"),
        (
            ("cpu", "webgpu", "async-internal"),
            "profile 'webgpu' is one of the target 'webgpu', and the target is 'cpu'",
        ),
        (
            ("vmvx", "vmvx-microkernels,vmvx", "async-internal"),
            "two profiles of the target 'vmvx' are given in 'vmvx-microkernels,vmvx'; give one",
        ),
        (("cpu", None, "sync"), "unknown execution model 'sync'; there are async-internal, async-external, inline-"),
        (("webgpu", None, "inline-static"), "the execution model 'inline-static' has no device, and WebGPU is one"),
        (("cpu,vmvx", None, "inline-dynamic"), "the execution model 'inline-dynamic' is for one target, not for cpu,"),
        (("cpu", None, "inline-static"), "the execution model 'inline-static' makes the kernels part of the host"),
        (
            ("vmvx", "vmvx-microkernels", "inline-static"),
            "the profile 'vmvx-microkernels' is not for the execution model 'inline-static'",
        ),
    ],
)
def test_what_does_not_go_together(options: tuple[str, str | None, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_plan(*options)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "cpu", "dump_wgsl": "x"}, "dump_wgsl is for the target webgpu, and the target is cpu"),
        (
            {"target": "webgpu,vmvx", "dump_wasm": "x"},
            "dump_wasm is for the target cpu, and the target is webgpu, vmvx",
        ),
    ],
)
def test_nothing_to_dump(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        compile(TWO_KERNELS, **options)
    assert str(caught.value) == message


def test_the_order_of_targets_does_not_matter() -> None:
    plan = make_plan("vmvx,webgpu,cpu", "webgpu-software,vmvx-microkernels", "async-external")
    assert plan.targets == ("webgpu", "cpu", "vmvx")
    assert plan == make_plan("cpu,vmvx,webgpu", "vmvx-microkernels,webgpu-software", "async-external")
    assert plan.webgpu is not None
    assert plan.webgpu.software
    assert plan.cpu is not None
    assert not plan.cpu.packed


# --- vmvx ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["vmvx", "vmvx-microkernels"])
@pytest.mark.parametrize("kind", [np.float32, np.int64, np.int8])
def test_transposed_on_vmvx(profile: str, kind: type, seed: int) -> None:
    """Of such copies the compiler makes calls of microkernels that read out of bounds."""
    name = {np.float32: "f32", np.int64: "i64", np.int8: "i8"}[kind]
    x = np.random.default_rng(seed).integers(-100, 100, (3, 5)).astype(kind)
    source = f"""
func.func @f(%a: tensor<3x5x{name}>) -> tensor<5x3x{name}> {{
  %e = tensor.empty() : tensor<5x3x{name}>
  %r = linalg.transpose ins(%a : tensor<3x5x{name}>) outs(%e : tensor<5x3x{name}>) permutation = [1, 0]
  return %r : tensor<5x3x{name}>
}}"""
    np.testing.assert_array_equal(run(compile(source, target="vmvx", profile=profile), "vmvx", x), x.T)


def test_matmul_with_microkernels(seed: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = (generator.random(shape, dtype=np.float32) for shape in ((24, 16), (16, 40)))
    source = """
func.func @f(%a: tensor<24x16xf32>, %b: tensor<16x40xf32>) -> tensor<24x40xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<24x40xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<24x40xf32>) -> tensor<24x40xf32>
  %r = linalg.matmul ins(%a, %b : tensor<24x16xf32>, tensor<16x40xf32>) outs(%f : tensor<24x40xf32>)
    -> tensor<24x40xf32>
  return %r : tensor<24x40xf32>
}"""
    data = compile(source, target="vmvx", profile="vmvx-microkernels")
    assert b"mmt4d" in data
    np.testing.assert_allclose(run(data, "vmvx", a, b), a @ b, rtol=1e-5)
