"""Narrower types by choice: what they compute, that functions keep their types, that nothing is narrowed unasked."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest

import webree
from tests.conftest import Machine
from tests.types.weights_model import inputs, model, reference
from webree.compiler.demotion import CompileWarning
from webree.errors import UsageError

HALF, SINGLE = 5e-3, 1e-5


def compiled(machine: Machine, source: object, *demote: str) -> webree.Module:
    profile = "webgpu" if machine.target == "webgpu" else None
    return webree.load(
        webree.compile(source, target=machine.target, profile=profile, demote=demote), device=machine.device
    )


@pytest.mark.parametrize(
    ("demote", "tolerance"),
    [(["f32-to-f16"], HALF), (["i64-to-i32"], SINGLE), (["i64-to-i32", "f32-to-f16"], HALF)],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_a_model(machine: Machine, demote: list[str], tolerance: float, seed: int) -> None:
    source, feeds = model(seed), inputs(seed)
    with compiled(machine, source) as before, compiled(machine, source, *demote) as module:
        assert str(module.functions["main"].signature) == str(before.functions["main"].signature)
        for mine, theirs in zip(module.main(*feeds.values()), reference(source, feeds), strict=True):
            assert mine.dtype == theirs.dtype == np.float32
            error = np.abs(mine - theirs).max() / np.abs(theirs).max()
            assert error < tolerance, f"relative error {error:.1e} (WEBREE_SEED={seed})"
            assert (error > 1e-6) == ("f32-to-f16" in demote)


def test_weights_are_halves(tmp_path: Path, seed: int) -> None:
    from safetensors.numpy import load_file

    path = tmp_path / "weights.safetensors"
    webree.compile(model(seed), parameters=path, demote=["f32-to-f16"])
    assert {array.dtype for array in load_file(path).values()} == {np.dtype(np.float16)}
    webree.compile(model(seed), parameters=path)
    assert {array.dtype for array in load_file(path).values()} == {np.dtype(np.float32)}


RESOURCE = """
func.func @scaled(%x: tensor<2x2xf32>) -> tensor<2x2xf32> {
  %w = arith.constant dense_resource<weights> : tensor<2x2xf32>
  %y = arith.mulf %x, %w : tensor<2x2xf32>
  return %y : tensor<2x2xf32>
}
{-# dialect_resources: { builtin: { weights: "0x040000000000803F000000400000404000008040" } } #-}
"""


def test_weights_that_are_resources(machine: Machine) -> None:
    with compiled(machine, RESOURCE, "f32-to-f16") as module:
        x = np.array([[1, 2], [3, 0.1]], "f4")
        wanted = (x.astype("f2") * np.array([[1, 2], [3, 4]], "f2")).astype("f4")
        np.testing.assert_allclose(module.scaled(x), wanted, rtol=1e-3)


SUMS = """
func.func @sum(%x: tensor<8x8192xf32>) -> tensor<8xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<8xf32>
  %start = linalg.fill ins(%zero : f32) outs(%empty : tensor<8xf32>) -> tensor<8xf32>
  %sum = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
      iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<8x8192xf32>) outs(%start : tensor<8xf32>) {
    ^bb0(%e: f32, %s: f32):
      %t = arith.addf %e, %s : f32
      linalg.yield %t : f32
  } -> tensor<8xf32>
  return %sum : tensor<8xf32>
}
func.func @product(%x: tensor<?x4096xf32>, %y: tensor<4096x8xf32>) -> tensor<?x8xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %rows = tensor.dim %x, %c0 : tensor<?x4096xf32>
  %empty = tensor.empty(%rows) : tensor<?x8xf32>
  %start = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x8xf32>) -> tensor<?x8xf32>
  %sum = linalg.matmul ins(%x, %y : tensor<?x4096xf32>, tensor<4096x8xf32>)
                       outs(%start : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %sum : tensor<?x8xf32>
}
"""


def test_sums_of_halves_are_accumulated_in_single(machine: Machine) -> None:
    """In 16 bits, 2048 + 1 is 2048. The tensors' layouts have room for a tree of partial sums; rows are added up."""
    with compiled(machine, SUMS, "f32-to-f16") as module:
        np.testing.assert_array_equal(module.sum(np.ones((8, 8192), "f4")), np.full(8, 8192))
        ones = np.ones((3, 4096), "f4"), np.ones((4096, 8), "f4")
        np.testing.assert_array_equal(module.product(*ones), np.full((3, 8), 4096))


def test_numbers_too_large_for_halves_are_infinite(machine: Machine) -> None:
    text = """
func.func @twice(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = arith.addf %x, %x : tensor<4xf32>
  return %y : tensor<4xf32>
}"""
    x = np.array([70000, -70000, 1e-8, 2049], "f4")
    with compiled(machine, text, "f32-to-f16") as module:
        np.testing.assert_array_equal(module.twice(x), np.array([np.inf, -np.inf, 0, 4096], "f4"))
    with compiled(machine, text) as module:
        np.testing.assert_array_equal(module.twice(x), x + x)


INTEGERS = """
func.func @signed(%x: tensor<4xi64>, %n: i64) -> (tensor<4xi64>, i64) {
  %y = arith.muli %x, %x : tensor<4xi64>
  return %y, %n : tensor<4xi64>, i64
}
func.func @inner(%x: tensor<4xi64>) -> tensor<4xi64> {
  %y, %n = call @signed(%x, %c) : (tensor<4xi64>, i64) -> (tensor<4xi64>, i64)
  return %y : tensor<4xi64>
}""".replace("  %y, %n", "  %c = arith.constant 1 : i64\n  %y, %n")


def test_long_integers(machine: Machine, seed: int) -> None:
    x = np.array([-3, 46340, 0, np.random.default_rng(seed).integers(-9, 9)])
    with compiled(machine, INTEGERS, "i64-to-i32") as module:
        found, number = module.signed(x, -7)
        assert (found.dtype, number) == (np.int64, -7)
        np.testing.assert_array_equal(found, x * x)
        np.testing.assert_array_equal(module.inner(x), x * x)
        wrapped, _ = module.signed(x + (1 << 32), 0)  # what 32 bits leave of it
        np.testing.assert_array_equal(wrapped, x * x)


def test_unsigned_long_integers_stay_unsigned(machine: Machine) -> None:
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["a", "b"], ["c"])],
        "unsigned",
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT64, [2]) for name in "ab"],
        [onnx.helper.make_tensor_value_info("c", onnx.TensorProto.UINT64, [2])],
    )
    source = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    with compiled(machine, source, "i64-to-i32") as module:
        found = module.main(np.array([1 << 31, 5], "u8"), np.array([3, 4], "u8"))
        assert found.dtype == np.uint64
        np.testing.assert_array_equal(found, [(1 << 31) + 3, 9])


DOUBLES = """
func.func @third(%x: tensor<3xf64>) -> tensor<3xf64> {
  %three = arith.constant dense<3.0> : tensor<3xf64>
  %y = arith.divf %x, %three : tensor<3xf64>
  return %y : tensor<3xf64>
}"""


def test_doubles() -> None:
    """Kept on the CPU unless asked for; never kept on WebGPU, which is said, with both types."""
    x = np.array([1, 2, 4], "f8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with webree.load(webree.compile(DOUBLES, target="cpu")) as module:
            np.testing.assert_array_equal(module.third(x), x / 3)
    told = r"function third: .* are 32-bit floats in the module; its type was .*tensor<3xf64>.* and is .*tensor<3xf32>"
    with pytest.warns(CompileWarning, match=told):
        webree.compile(DOUBLES, target="webgpu")
    with pytest.warns(CompileWarning, match=told):
        data = webree.compile(DOUBLES, target="cpu", demote=["f64-to-f32"])
    with webree.load(data) as module:
        found = module.third(x.astype("f4"))
        np.testing.assert_array_equal(found, x.astype("f4") / np.float32(3))


def test_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown demotion 'f32-to-i8'; there are f64-to-f32, f32-to-f16, i64-to-i32"):
        webree.compile(DOUBLES, demote=["f32-to-i8"])
    source = tmp_path / "d.mlir"
    source.write_text(DOUBLES)
    words = ["compile", str(source), "--target", "cpu", "-o", str(tmp_path / "d.vmfb"), "--demote"]
    for demotion, status, text in (
        ("f16", 2, "unknown demotion 'f16'"),
        ("f64-to-f32", 0, "32-bit floats in the modu"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "webree", *words, demotion], capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, text in done.stderr) == (status, True), done.stderr
