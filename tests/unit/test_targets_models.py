"""Execution models: what the compiler makes of each, above all that inline programs keep their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wasmtime

import webree
from tests.unit.test_compiler import declaration, load
from webree.compiler.api import compile
from webree.errors import CompileError, UsageError

Tensor = np.ndarray[Any, Any]

SCALAR_AND_TENSOR = """
func.func @f(%a: tensor<4xf32>, %n: i32) -> (tensor<4xf32>, i32) {
  %b = arith.addf %a, %a : tensor<4xf32>
  %m = arith.addi %n, %n : i32
  return %b, %m : tensor<4xf32>, i32
}
"""
INLINE = [("vmvx", "inline-static"), ("vmvx", "inline-dynamic"), ("cpu", "inline-dynamic")]
ALL = [*INLINE, ("vmvx", "async-internal"), ("cpu", "async-internal"), ("cpu", "async-external")]


def dense(values: Tensor) -> str:
    shape = "x".join(map(str, values.shape))
    return f'dense<"0x{values.tobytes().hex()}"> : tensor<{shape}xf32>'


def layers(first: Tensor, bias: Tensor, second: Tensor) -> str:
    """tanh(x·first + bias)·second: two matrices and a bias, packed into one constant by the compiler."""
    return f"""
func.func @f(%x: tensor<3x32xf32>) -> tensor<3x24xf32> {{
  %w = arith.constant {dense(first)}
  %b = arith.constant {dense(bias)}
  %v = arith.constant {dense(second)}
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<3x80xf32>
  %f = linalg.broadcast ins(%b : tensor<80xf32>) outs(%e : tensor<3x80xf32>) dimensions = [0]
  %h = linalg.matmul ins(%x, %w : tensor<3x32xf32>, tensor<32x80xf32>) outs(%f : tensor<3x80xf32>) -> tensor<3x80xf32>
  %t = math.tanh %h : tensor<3x80xf32>
  %e2 = tensor.empty() : tensor<3x24xf32>
  %g = linalg.fill ins(%zero : f32) outs(%e2 : tensor<3x24xf32>) -> tensor<3x24xf32>
  %r = linalg.matmul ins(%t, %v : tensor<3x80xf32>, tensor<80x24xf32>) outs(%g : tensor<3x24xf32>) -> tensor<3x24xf32>
  return %r : tensor<3x24xf32>
}}"""


@pytest.mark.parametrize(("target", "model"), ALL)
def test_weights(target: str, model: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    first, bias, second, x = (
        generator.uniform(-0.2, 0.2, shape).astype(np.float32) for shape in ((32, 80), (80,), (80, 24), (3, 32))
    )
    data = compile(layers(first, bias, second), target=target, execution_model=model)
    assert len(data) > first.nbytes + second.nbytes
    module = webree.load(data) if model.startswith("inline") else webree.load(data, device=target)
    found = np.asarray(module.f(x))
    np.testing.assert_allclose(found, np.tanh(x @ first + bias) @ second, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("target", "model"), INLINE)
def test_inline_programs_need_no_device(target: str, model: str) -> None:
    modules = {item.module for item in load(compile(SCALAR_AND_TENSOR, target=target, execution_model=model)).imports}
    assert modules == ({"hal_inline"} if model == "inline-static" else {"hal_inline", "hal_loader"})


def test_library_of_an_inline_program_is_finished(tmp_path: Path) -> None:
    source = SCALAR_AND_TENSOR.replace("f32", "f16").replace("arith.addf %a, %a", "math.exp %a")
    data = compile(source, target="cpu", execution_model="inline-dynamic", dump_wasm=tmp_path)
    (path,) = tmp_path.glob("*.wasm")
    wasmtime.Module(wasmtime.Engine(), path.read_bytes())
    assert path.read_bytes() in data


def test_functions_with_fences() -> None:
    source = SCALAR_AND_TENSOR.replace("-> (tensor<4xf32>, i32)", "-> tensor<4xf32>")
    source = source.replace("return %b, %m : tensor<4xf32>, i32", "return %b : tensor<4xf32>")
    data = compile(source, target="cpu", execution_model="async-external")
    assert declaration(data, "f") == "async func @f(%input0: tensor<4xf32>, %input1: i32) -> (%output0: tensor<4xf32>)"


def test_functions_with_fences_return_no_scalars_beside_tensors() -> None:
    assert compile(SCALAR_AND_TENSOR, target="cpu")
    with pytest.raises(CompileError) as caught:
        compile(SCALAR_AND_TENSOR, target="cpu", execution_model="async-external")
    assert str(caught.value) == (
        "model.mlir:2:1: function f returns tensors and scalars (tensor<4xf32>, i32), which the execution model "
        "async-external cannot; return the scalars as tensors (tensor<i32>), or compile with async-internal"
    )
    assert caught.value.location == "model.mlir:2:1"
    assert caught.value.unsupported


@pytest.mark.parametrize(("target", "model"), INLINE)
def test_inline_programs_load_no_parameters(target: str, model: str) -> None:
    source = """
util.global private @w = #flow.parameter.named<"model"::"w"> : tensor<4xf32>
func.func @f(%a: tensor<4xf32>) -> tensor<4xf32> {
  %w = util.global.load @w : tensor<4xf32>
  %b = arith.addf %a, %w : tensor<4xf32>
  return %b : tensor<4xf32>
}
"""
    assert compile(source, target=target)
    with pytest.raises(CompileError) as caught:
        compile(source, target=target, execution_model=model)
    assert str(caught.value) == (
        f'model.mlir:2:1: the parameter "model"::"w" is not in the module, and programs of the execution model {model} '
        "cannot load parameters; put it into the model, or compile with async-internal"
    )
    assert caught.value.unsupported


def test_phases_of_inline_programs() -> None:
    options = {"target": "vmvx", "execution_model": "inline-static"}
    assert b"util.func public @f" in compile(SCALAR_AND_TENSOR, compile_to="hal", **options)
    with pytest.raises(
        UsageError, match="unknown phase 'executable-targets' in the execution model inline-static; there are import, "
    ):
        compile(SCALAR_AND_TENSOR, compile_to="executable-targets", **options)
