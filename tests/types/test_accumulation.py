"""What sums of f16 are accumulated in: f32 unless `accumulate="f16"` is asked for, natively and emulated.

Bounds: recursive summation of n terms in a format with unit roundoff u errs by at most `gamma(n) * sum(|terms|)` with
`gamma(n) = n u / (1 - n u)` in any order (Higham, Accuracy and Stability of Numerical Algorithms, 4.2 and 3.1, products
included). For f16 u is 2**-11. The emulation rounds to f32 first, which makes u larger by its 2**-13th part.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import webree
from tests.conftest import Machine
from tests.types.mixed_model import profiles
from webree.errors import UsageError

UNIT = 2.0**-11 * (1 + 2.0**-13)
DEPTH = 96

MODEL = f"""
func.func @sum(%x: tensor<6x{DEPTH}xf16>) -> tensor<6xf16> {{
  %zero = arith.constant 0.0 : f16
  %empty = tensor.empty() : tensor<6xf16>
  %start = linalg.fill ins(%zero : f16) outs(%empty : tensor<6xf16>) -> tensor<6xf16>
  %sum = linalg.generic {{
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
      iterator_types = ["parallel", "reduction"]}}
      ins(%x : tensor<6x{DEPTH}xf16>) outs(%start : tensor<6xf16>) {{
    ^bb0(%e: f16, %s: f16):
      %t = arith.addf %e, %s : f16
      linalg.yield %t : f16
  }} -> tensor<6xf16>
  return %sum : tensor<6xf16>
}}
func.func @product(%x: tensor<?x{DEPTH}xf16>, %y: tensor<{DEPTH}x8xf16>, %b: tensor<8xf16>) -> tensor<?x8xf16> {{
  %zero = arith.constant 0.0 : f16
  %c0 = arith.constant 0 : index
  %rows = tensor.dim %x, %c0 : tensor<?x{DEPTH}xf16>
  %empty = tensor.empty(%rows) : tensor<?x8xf16>
  %start = linalg.fill ins(%zero : f16) outs(%empty : tensor<?x8xf16>) -> tensor<?x8xf16>
  %sum = linalg.matmul ins(%x, %y : tensor<?x{DEPTH}xf16>, tensor<{DEPTH}x8xf16>)
                       outs(%start : tensor<?x8xf16>) -> tensor<?x8xf16>
  %out = linalg.generic {{
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}}
      ins(%sum, %b : tensor<?x8xf16>, tensor<8xf16>) outs(%empty : tensor<?x8xf16>) {{
    ^bb0(%s: f16, %c: f16, %o: f16):
      %t = arith.addf %s, %c : f16
      %u = arith.mulf %t, %c : f16
      linalg.yield %u : f16
  }} -> tensor<?x8xf16>
  return %out : tensor<?x8xf16>
}}
func.func @single(%x: tensor<4x{DEPTH}xf16>, %y: tensor<{DEPTH}x8xf16>) -> tensor<4x8xf32> {{
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<4x8xf32>
  %start = linalg.fill ins(%zero : f32) outs(%empty : tensor<4x8xf32>) -> tensor<4x8xf32>
  %sum = linalg.matmul ins(%x, %y : tensor<4x{DEPTH}xf16>, tensor<{DEPTH}x8xf16>)
                       outs(%start : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %sum : tensor<4x8xf32>
}}
func.func @elements(%x: tensor<64xf16>, %y: tensor<64xf16>) -> tensor<64xf16> {{
  %s = arith.addf %x, %y : tensor<64xf16>
  %p = arith.mulf %s, %y : tensor<64xf16>
  %d = arith.subf %p, %x : tensor<64xf16>
  return %d : tensor<64xf16>
}}
"""

# The sum as JAX writes it.
WIDENED = f"""
func.func @widened(%x: tensor<6x{DEPTH}xf16>) -> tensor<6xf16> {{
  %zero = arith.constant 0.0 : f32
  %like = tensor.empty() : tensor<6x{DEPTH}xf32>
  %wide = linalg.generic {{
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}}
      ins(%x : tensor<6x{DEPTH}xf16>) outs(%like : tensor<6x{DEPTH}xf32>) {{
    ^bb0(%e: f16, %o: f32):
      %t = arith.extf %e : f16 to f32
      linalg.yield %t : f32
  }} -> tensor<6x{DEPTH}xf32>
  %empty = tensor.empty() : tensor<6xf32>
  %start = linalg.fill ins(%zero : f32) outs(%empty : tensor<6xf32>) -> tensor<6xf32>
  %sum = linalg.generic {{
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
      iterator_types = ["parallel", "reduction"]}}
      ins(%wide : tensor<6x{DEPTH}xf32>) outs(%start : tensor<6xf32>) {{
    ^bb0(%e: f32, %s: f32):
      %t = arith.addf %e, %s : f32
      linalg.yield %t : f32
  }} -> tensor<6xf32>
  %half = arith.truncf %sum : tensor<6xf32> to tensor<6xf16>
  return %half : tensor<6xf16>
}}
"""


@functools.cache
def compiled(target: str, profile: str | None, accumulate: str | None) -> bytes:
    chosen = {} if accumulate is None else {"accumulate": accumulate}
    return webree.compile(MODEL + WIDENED, target=target, profile=profile, **chosen)


def bound(terms: Any, count: int) -> Any:
    """What a sum may be off by: rounded at every step, and at numbers below the normal ones."""
    return count * UNIT / (1 - count * UNIT) * np.abs(terms).sum(-1) + count * 2.0**-25


def in_order(terms: Any) -> Any:
    """NumPy's float16 additions, one after the other."""
    with np.errstate(over="ignore"):
        return np.add.accumulate(terms, axis=-1, dtype=np.float16)[..., -1]


def test_sums(machine: Machine, seed: int) -> None:
    """By choice, the same bits as NumPy's additions in order; by default, one rounding."""
    x = (np.random.default_rng(seed).standard_normal((6, DEPTH)) + 0.5).astype("f2")
    exact, ordered = x.astype("f8").sum(-1), in_order(x)
    for profile in profiles(machine):
        found = {}
        for accumulate in ("f16", None):
            with webree.load(compiled(machine.target, profile, accumulate), device=machine.device) as module:
                found[accumulate] = module.sum(x).astype("f8")
                np.testing.assert_array_equal(module.widened(x), found[accumulate])
        where = f"{profile} (WEBREE_SEED={seed})"
        assert (np.abs(found["f16"] - exact) <= bound(x.astype("f8"), DEPTH)).all(), where
        if machine.target == "webgpu":  # a thread for each sum
            np.testing.assert_array_equal(found["f16"], ordered, err_msg=where)
        assert (np.abs(found[None] - exact) <= 2.0**-11 * np.abs(exact) * (1 + 1e-4)).all(), where
        assert (found["f16"] != found[None]).any(), where


def test_products(machine: Machine, seed: int) -> None:
    """A matrix product of any number of rows, with what is fused to it; what the model wants in f32 stays f32."""
    random = np.random.default_rng(seed)
    x, y = (random.standard_normal(shape).astype("f2") for shape in ((4, DEPTH), (DEPTH, 8)))
    bias = np.full(8, 2, "f2")
    terms = x.astype("f8")[:, None, :] * y.astype("f8").T
    exact = terms.sum(-1)
    for profile in profiles(machine):
        where = f"{profile} (WEBREE_SEED={seed})"
        errors = {}
        for accumulate in ("f16", None):
            with webree.load(compiled(machine.target, profile, accumulate), device=machine.device) as module:
                found = module.product(x, y, bias).astype("f8") / 2 - 2
                errors[accumulate] = np.abs(found - exact)
                single = module.single(x, y)
                assert (np.abs(single - exact) <= DEPTH * 2.0**-23 * np.abs(terms).sum(-1)).all(), where
        last = 2.0**-11 * (np.abs(exact) + 2) * 1.01  # of the sum and bias
        assert (errors["f16"] <= bound(terms, DEPTH + 1) + last).all(), where
        assert (errors[None] <= 2 * last).all(), where
        assert errors["f16"].mean() > 2 * errors[None].mean(), where


@pytest.mark.parametrize("profile", ["webgpu", "webgpu-f16"])
def test_nothing_else_changes(profile: str, tmp_path: Path) -> None:
    """The kernels of all else are the same text, and by default all are."""
    for accumulate in ("f16", "f32"):
        webree.compile(MODEL, profile=profile, accumulate=accumulate, dump_wgsl=tmp_path / accumulate)
    webree.compile(MODEL, profile=profile, dump_wgsl=tmp_path / "default")
    texts = {
        folder: {re.sub(r"_dispatch.*", "", path.name): path.read_text() for path in (tmp_path / folder).iterdir()}
        for folder in ("f16", "f32", "default")
    }
    assert texts["default"] == texts["f32"]
    changed = {name for name, text in texts["f16"].items() if text != texts["f32"][name]}
    assert changed == {"sum", "product"}


def onnx_model(seed: int) -> tuple[onnx.ModelProto, Any, Any]:
    """A product and a convolution, for which the front end writes f32 accumulators."""
    random = np.random.default_rng(seed)
    weights = random.standard_normal((64, 16)).astype("f2")
    kernels = random.standard_normal((8, 16, 3, 3)).astype("f2")
    half = functools.partial(helper.make_tensor_value_info, elem_type=TensorProto.FLOAT16)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["y"]),
            helper.make_node("Conv", ["i", "k", "b"], ["z"], pads=[1, 1, 1, 1]),
            helper.make_node("ReduceSum", ["x", "axis"], ["s"], keepdims=0),
        ],
        "sums",
        [half("x", shape=[8, 64]), half("i", shape=[1, 16, 8, 8])],
        [half("y", shape=[8, 16]), half("z", shape=[1, 8, 8, 8]), half("s", shape=[8])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(kernels, "k"),
            numpy_helper.from_array(np.ones(8, "f2"), "b"),
            numpy_helper.from_array(np.array([1]), "axis"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), weights, kernels


def windows(image: Any) -> Any:
    """Every 3x3 window of a padded image, flattened: [positions, channels * 9]."""
    padded = np.pad(image[0].astype("f8"), ((0, 0), (1, 1), (1, 1)))
    found = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    return found.transpose(1, 2, 0, 3, 4).reshape(image.shape[2] * image.shape[3], -1)


def test_onnx(machine: Machine, seed: int) -> None:
    source, weights, kernels = onnx_model(seed)
    random = np.random.default_rng(seed + 1)
    x, image = random.standard_normal((8, 64)).astype("f2"), random.standard_normal((1, 16, 8, 8)).astype("f2")
    terms = [
        x.astype("f8")[:, None] * weights.astype("f8").T,
        np.concatenate(
            [
                (windows(image)[:, None] * kernels.reshape(8, -1).astype("f8")).transpose(1, 0, 2),
                np.ones((8, 64, 1)),
            ],
            -1,
        ).reshape(1, 8, 8, 8, -1),
        x.astype("f8"),
    ]
    for profile in profiles(machine):
        data = webree.compile(source, target=machine.target, profile=profile, accumulate="f16")
        with webree.load(data, device=machine.device) as module:
            for name, found, parts in zip("yzs", module.main(x, image), terms, strict=True):
                where = f"{name}, {profile} (WEBREE_SEED={seed})"
                error = np.abs(found.astype("f8") - parts.sum(-1))
                assert (error <= bound(parts, parts.shape[-1])).all(), where
                assert (error > 2.0**-10 * np.abs(parts.sum(-1))).any(), where  # more than one rounding


def test_halves_by_choice(machine: Machine) -> None:
    """Of a model in f32 that is made one in f16: 2048 + 1 is 2048."""
    text = MODEL.replace("f16", "f32").replace(f"x{DEPTH}x", "x4096x").replace(f"<{DEPTH}x", "<4096x")
    data = webree.compile(text, target=machine.target, demote=["f32-to-f16"], accumulate="f16")
    with webree.load(data, device=machine.device) as module:
        found = module.product(np.ones((1, 4096), "f4"), np.ones((4096, 8), "f4"), np.ones(8, "f4"))
    assert found.max() <= 2049 if machine.target == "webgpu" else found.max() < 4097


def test_wrong_use(tmp_path: Path) -> None:
    text = MODEL[MODEL.index("func.func @single") :]
    with pytest.raises(UsageError, match="accumulating in f16 has no meaning for this model, which has no sum or"):
        webree.compile(text, accumulate="f16")
    with pytest.raises(UsageError, match="sums of f16 cannot be accumulated in 'bf16'; there are f32, f16"):
        webree.compile(text, accumulate="bf16")
    with pytest.raises(UsageError, match="accumulating in f16 has no meaning for the target vmvx, which has no f16"):
        webree.compile(MODEL, accumulate="f16", target="vmvx")


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds of modules are kept side by side, and say which they are."""
    from webree.tools.main import main

    monkeypatch.setenv("WEBREE_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "sums.mlir"
    source.write_text(MODEL)
    for accumulate in ("f16", "f32"):
        assert main(["dump", str(source), "--accumulate", accumulate, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["accumulate"] == accumulate
    assert len(list((tmp_path / "cache").glob("*.vmfb"))) == 2
    assert main(["compile", str(source), "--accumulate", "f16", "-o", str(tmp_path / "out.vmfb")]) == 0
    assert main(["dump", str(tmp_path / "out.vmfb")]) == 0
    assert "sums of f16 are accumulated in f16" in capsys.readouterr().out
