"""Schedules: tile sizes for random loop nests, layouts, windows, and kernels that must not race."""

from __future__ import annotations

import random
import re
from math import prod
from typing import Any

import pytest
from iree.compiler import ir

from webree.codegen_wgsl import schedules
from webree.codegen_wgsl.schedules import layout
from webree.codegen_wgsl.schedules.nest import Access, Nest
from webree.codegen_wgsl.schedules.tables import BUDGETS
from webree.codegen_wgsl.schedules.tiles import MAX_WORKGROUPS, Tiling, choose, divisor, serial
from webree.compiler.target import PROFILES

SOFTWARE = next(profile for profile in PROFILES if profile.software)

# --- tile sizes ---------------------------------------------------------------------------------------------------


def access(*loops: int, bits: int = 32) -> Access:
    return Access(tuple(((loop, 1),) for loop in loops), bits)


def matmul(m: int | None, n: int | None, k: int | None) -> Nest:
    return Nest((m, n, k), (False, False, True), (access(0, 2), access(2, 1)), (access(0, 1),), True)


def check(nest: Nest, tiling: Tiling) -> None:
    count = len(nest.parallel)
    assert len(tiling.workgroup) == len(tiling.thread) == count
    assert prod(tiling.workgroup_size) <= 256
    workgroups = 1
    for number, workgroup, thread in zip(nest.ranges, tiling.workgroup, tiling.thread, strict=False):
        assert workgroup % thread == 0
        assert thread == 1 or (number is not None and number % workgroup == 0)
        workgroups *= 1 if number is None else -(-number // workgroup)
    assert workgroups <= MAX_WORKGROUPS
    for loop, step in enumerate(tiling.reduction):
        number = nest.ranges[loop]
        assert step in (0, 1) or (nest.reductions[loop] and number is not None and number % step == 0)


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=list(BUDGETS))
def test_tiles_divide_loops_and_respect_limits(budget: Any) -> None:
    generator = random.SystemRandom()
    for _ in range(500):
        sizes = [generator.choice([None, 1, generator.randint(1, 97), 2 ** generator.randint(0, 14)]) for _ in range(4)]
        nests = [
            matmul(*sizes[:3]),
            Nest(tuple(sizes), (False,) * 4, (access(0, 1, 2, 3),), (access(0, 1, 2, 3),), True),
            Nest(tuple(sizes), (False, False, True, True), (access(0, 2, 1, 3),), (access(0, 1),), True),
            Nest(
                tuple(sizes), (False, False, False, True), (access(0, 1, 3), access(0, 3, 2)), (access(0, 1, 2),), True
            ),
        ]
        for nest in nests:
            for vectors in (True, False):
                tiling = choose(nest, budget, vectors=vectors)
                assert tiling is not None
                check(nest, tiling)


@pytest.mark.parametrize(("m", "n", "k"), [(3136, 64, 64), (169, 1000, 512), (49, 160, 960), (12544, 32, 16)])
def test_contraction_has_a_register_tile_of_vectors(m: int, n: int, k: int) -> None:
    tiling = choose(matmul(m, n, k), BUDGETS["software"])
    assert tiling is not None
    rows, columns = tiling.thread
    assert columns % 4 == 0
    assert 24 <= rows * columns <= BUDGETS["software"].accumulators
    assert tiling.reduction == (0, 0, 4)


def test_huge_elementwise_stays_below_the_workgroup_limit() -> None:
    nest = Nest((3, 1_000_003, 7), (False,) * 3, (access(0, 1, 2),), (access(0, 1, 2),), True)
    tiling = choose(nest, BUDGETS["gpu"])
    assert tiling is not None
    check(nest, tiling)


def test_bytes_get_no_vectors() -> None:
    tiling = choose(matmul(64, 64, 64), BUDGETS["software"], vectors=False)
    assert tiling is not None
    assert set(tiling.thread) == {1}
    assert set(tiling.reduction) == {0, 1}


def test_serial_has_one_thread_and_few_workgroups() -> None:
    tiling = serial((1000, 7, 3000), skip=1)
    assert tiling is not None
    assert tiling.workgroup_size == (1, 1, 1)
    assert tiling.workgroup[1] == tiling.thread[1] == 0
    assert 1000 * -(-3000 // tiling.workgroup[2]) <= MAX_WORKGROUPS
    assert serial((5,), skip=0) is None


def test_divisor() -> None:
    assert [divisor(number, 8) for number in (None, 1, 7, 12, 13, 56)] == [1, 1, 7, 6, 1, 8]


# --- layouts ------------------------------------------------------------------------------------------------------

CONVOLUTIONS = """
func.func @main(%x: tensor<1x8x16x16xf32>, %w: tensor<8x8x3x3xf32>, %d: tensor<8x3x3xf32>) -> tensor<1x8x16x16xf32> {
  %zero = arith.constant 0.0 : f32
  %p = tensor.pad %x low[0, 0, 1, 1] high[0, 0, 1, 1] {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    tensor.yield %zero : f32
  } : tensor<1x8x16x16xf32> to tensor<1x8x18x18xf32>
  %e = tensor.empty() : tensor<1x8x16x16xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<1x8x16x16xf32>) -> tensor<1x8x16x16xf32>
  %c = linalg.conv_2d_nchw_fchw {dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>}
    ins(%p, %w : tensor<1x8x18x18xf32>, tensor<8x8x3x3xf32>) outs(%f : tensor<1x8x16x16xf32>) -> tensor<1x8x16x16xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(a, b, c, d) -> (a, b, c, d)>, affine_map<(a, b, c, d) -> (a, b, c, d)>],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
    ins(%c : tensor<1x8x16x16xf32>) outs(%e : tensor<1x8x16x16xf32>) {
  ^bb0(%in: f32, %out: f32):
    %m = arith.maximumf %in, %zero : f32
    linalg.yield %m : f32
  } -> tensor<1x8x16x16xf32>
  %q = tensor.pad %r low[0, 0, 1, 1] high[0, 0, 1, 1] {
  ^bb0(%i: index, %j: index, %k: index, %l: index):
    tensor.yield %zero : f32
  } : tensor<1x8x16x16xf32> to tensor<1x8x18x18xf32>
  %s = linalg.depthwise_conv_2d_nchw_chw {dilations = dense<1> : vector<2xi64>, strides = dense<1> : vector<2xi64>}
    ins(%q, %d : tensor<1x8x18x18xf32>, tensor<8x3x3xf32>) outs(%f : tensor<1x8x16x16xf32>) -> tensor<1x8x16x16xf32>
  return %s : tensor<1x8x16x16xf32>
}
"""


def parse(text: str) -> ir.Module:
    with ir.Context(), ir.Location.unknown():
        return ir.Module.parse(text)


def count(module: ir.Module, name: str) -> int:
    return len(re.findall(rf"{re.escape(name)}\b", str(module)))


def test_images_stay_channels_last_between_convolutions() -> None:
    module = parse(CONVOLUTIONS)
    with module.context, ir.Location.unknown():
        assert layout.to_channels_last(module) == 2
        from iree.compiler.passmanager import PassManager

        PassManager.parse("builtin.module(canonicalize,cse)").run(module.operation)
    assert module.operation.verify()
    assert count(module, "linalg.conv_2d_nhwc_hwcf") == count(module, "linalg.depthwise_conv_2d_nhwc_hwc") == 1
    # Two filters, the image on its way in, the result on its way out: none between the convolutions.
    assert count(module, "linalg.transpose") == 4


def test_layout_is_deterministic() -> None:
    texts = set()
    for _ in range(2):
        module = parse(CONVOLUTIONS)
        with module.context:
            layout.to_channels_last(module)
        texts.add(str(module))
    assert len(texts) == 1


# --- kernels ------------------------------------------------------------------------------------------------------


def kernel(body: str) -> str:
    return f"""
module {{
  hal.executable private @e {{
    hal.executable.variant public @v target(<"vulkan-spirv", "webgpu-wgsl-fb">) {{
      builtin.module {{
        func.func @kernel({body}
      }}
    }}
  }}
}}
"""


SOFTMAX_DOWN = kernel("""%x: tensor<3x20xf32>) -> tensor<3x20xf32> {
  %low = arith.constant 0xFF800000 : f32
  %e = tensor.empty() : tensor<20xf32>
  %o = tensor.empty() : tensor<3x20xf32>
  %f = linalg.fill ins(%low : f32) outs(%e : tensor<20xf32>) -> tensor<20xf32>
  %m = linalg.generic {indexing_maps = [affine_map<(a, b) -> (b, a)>, affine_map<(a, b) -> (a)>],
      iterator_types = ["parallel", "reduction"]} ins(%x : tensor<3x20xf32>) outs(%f : tensor<20xf32>) {
  ^bb0(%in: f32, %out: f32):
    %v = arith.maximumf %in, %out : f32
    linalg.yield %v : f32
  } -> tensor<20xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (b)>,
      affine_map<(a, b) -> (a, b)>], iterator_types = ["parallel", "parallel"]}
      ins(%x, %m : tensor<3x20xf32>, tensor<20xf32>) outs(%o : tensor<3x20xf32>) {
  ^bb0(%in: f32, %max: f32, %out: f32):
    %v = arith.subf %in, %max : f32
    linalg.yield %v : f32
  } -> tensor<3x20xf32>
  return %r : tensor<3x20xf32>
}""")

CONVOLUTION = kernel("""%x: tensor<18x18x8xf32>, %w: tensor<3x3x8x16xf32>) -> tensor<16x16x16xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<16x16x16xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<16x16x16xf32>) -> tensor<16x16x16xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(h, w, o, i, j, c) -> (h + i, w + j, c)>,
      affine_map<(h, w, o, i, j, c) -> (i, j, c, o)>, affine_map<(h, w, o, i, j, c) -> (h, w, o)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
      ins(%x, %w : tensor<18x18x8xf32>, tensor<3x3x8x16xf32>) outs(%f : tensor<16x16x16xf32>) {
  ^bb0(%in: f32, %weight: f32, %out: f32):
    %p = arith.mulf %in, %weight : f32
    %s = arith.addf %out, %p : f32
    linalg.yield %s : f32
  } -> tensor<16x16x16xf32>
  return %r : tensor<16x16x16xf32>
}""")

WIDE_SUM = kernel("""%x: tensor<8x16xi64>, %y: tensor<8xi64>) -> tensor<8xi64> {
  %zero = arith.constant 0 : i64
  %e = tensor.empty() : tensor<8xi64>
  %f = linalg.fill ins(%zero : i64) outs(%e : tensor<8xi64>) -> tensor<8xi64>
  %r = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> (a)>],
      iterator_types = ["parallel", "reduction"]} ins(%x : tensor<8x16xi64>) outs(%f : tensor<8xi64>) {
  ^bb0(%in: i64, %out: i64):
    %s = arith.addi %in, %out : i64
    linalg.yield %s : i64
  } -> tensor<8xi64>
  return %r : tensor<8xi64>
}""")


def annotated(text: str, profile: Any = SOFTWARE) -> str:
    module = parse(text)
    with module.context, ir.Location.unknown():
        assert schedules.annotate(module, profile) == 1
        assert module.operation.verify()
    return str(module)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
@pytest.mark.parametrize("text", [SOFTMAX_DOWN, CONVOLUTION])
def test_fused_kernels_keep_values_in_registers(text: str, profile: Any) -> None:
    assert "spirv_pipeline<BaseVectorize>" in annotated(text, profile)


def test_the_last_operation_has_the_loops_of_the_reduction_first() -> None:
    text = annotated(SOFTMAX_DOWN)
    # The reduction is over rows; columns come first in both operations, so that a thread owns whole columns.
    assert "affine_map<(d0, d1) -> (d1, d0)>" in text
    tiles = re.search(r"tile_sizes = \[\[(\d+)\], \[(\d+)\], \[0, (\d+)\]\]", text)
    assert tiles is not None
    assert 20 % int(tiles[1]) == 0 or tiles[2] == "1"


def test_a_convolution_becomes_one_dimensional_rows() -> None:
    text = annotated(CONVOLUTION)
    assert text.count("linalg.conv_1d_nwc_wcf") == 3
    assert text.count("compilation_info = ") == 1
    assert "linalg.generic" not in text


def test_wide_integers_run_with_one_thread() -> None:
    text = annotated(WIDE_SUM)
    assert "spirv_pipeline<BaseDistribute> workgroup_size = [1, 1, 1]" in text


def test_annotations_are_deterministic() -> None:
    assert len({annotated(text) for text in (CONVOLUTION, CONVOLUTION)}) == 1


def test_a_kernel_that_has_its_schedule_is_left_alone() -> None:
    text = annotated(CONVOLUTION)
    module = parse(text)
    with module.context, ir.Location.unknown():
        assert schedules.annotate(module, SOFTWARE) == 0
    assert str(module) == text
