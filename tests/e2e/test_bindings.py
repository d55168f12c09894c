"""Programs whose fused operations would bind more buffers than a device promises: they are split into several kernels.

Enters: StableHLO text with many arguments, which are all in buffers of their own. Leaves: results equal to NumPy's, and
no kernel with more than 8 buffers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import webree
from tests.conftest import Machine

_SHAPE = (37, 5)
_TYPE = "tensor<37x5xf32>"
_COUNT = 12


def _program(lines: list[str], results: list[str], arguments: int) -> str:
    declared = ", ".join(f"%a{index}: {_TYPE}" for index in range(arguments))
    kinds = ", ".join([_TYPE] * len(results))
    body = "\n".join(f"  {line}" for line in lines)
    return f"func.func @main({declared}) -> ({kinds}) {{\n{body}\n  return {', '.join(results)} : {kinds}\n}}"


def _sum() -> str:
    """A chain of additions."""
    lines = [
        f"%s{index} = stablehlo.add %{'a0' if index == 1 else f's{index - 1}'}, %a{index} : {_TYPE}"
        for index in range(1, _COUNT)
    ]
    return _program(lines, [f"%s{_COUNT - 1}"], _COUNT)


def _siblings() -> str:
    """Many results that share an argument."""
    lines = [f"%s{index} = stablehlo.multiply %a0, %a{index} : {_TYPE}" for index in range(_COUNT)]
    return _program(lines, [f"%s{index}" for index in range(_COUNT)], _COUNT)


def _tree() -> str:
    """Pairs, and pairs of pairs, then the sum of the first half behind a product with the second."""
    names = [f"%a{index}" for index in range(_COUNT)]
    lines = []
    while len(names) > 1:
        joined = []
        for left, right in zip(names[::2], names[1::2], strict=False):
            name = f"%t{len(lines)}"
            op = "add" if len(lines) % 2 else "multiply"
            lines.append(f"{name} = stablehlo.{op} {left}, {right} : {_TYPE}")
            joined.append(name)
        names = joined + names[2 * len(joined) :]
    return _program(lines, names, _COUNT)


def _tree_of(arrays: list[Any]) -> Any:
    values, count = list(arrays), 0
    while len(values) > 1:
        joined = []
        for left, right in zip(values[::2], values[1::2], strict=False):
            joined.append(left + right if count % 2 else left * right)
            count += 1
        values = joined + values[2 * len(joined) :]
    return values


def _operation() -> str:
    """One operation that reads all arguments: operands are copied to where values between kernels are."""
    names = [f"%a{index}" for index in range(_COUNT)]
    maps = ", ".join(["affine_map<(i, j) -> (i, j)>"] * (_COUNT + 1))
    elements = ", ".join(f"%e{index}: f32" for index in range(_COUNT + 1))
    lines: list[str] = [
        f"%empty = tensor.empty() : {_TYPE}",
        f'%r = linalg.generic {{indexing_maps = [{maps}], iterator_types = ["parallel", "parallel"]}}',
        f"    ins({', '.join(names)} : {', '.join([_TYPE] * _COUNT)}) outs(%empty : {_TYPE}) {{",
        f"^bb0({elements}):",
        "%s0 = arith.mulf %e0, %e0 : f32",
        *(f"%s{index} = arith.addf %s{index - 1}, %e{index} : f32" for index in range(1, _COUNT)),
        f"linalg.yield %s{_COUNT - 1} : f32",
        f"}} -> {_TYPE}",
    ]
    return _program(lines, ["%r"], _COUNT)


PROGRAMS = {
    "operation": (_operation, lambda arrays: [sum(arrays[1:], arrays[0] * arrays[0])]),
    "sum": (_sum, lambda arrays: [sum(arrays)]),
    "siblings": (_siblings, lambda arrays: [arrays[0] * array for array in arrays]),
    "tree": (_tree, _tree_of),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_many_arguments(name: str, machine: Machine, seed: int) -> None:
    text, reference = PROGRAMS[name]
    random = np.random.default_rng(seed)
    arrays = [random.uniform(-2, 2, _SHAPE).astype(np.float32) for _ in range(_COUNT)]
    data = webree.compile(text(), target=machine.target, profile=machine.profile)
    with webree.load(data, device=machine.device) as module:
        found = module.main(*arrays)
    found = found if isinstance(found, tuple) else (found,)
    for mine, theirs in zip(found, reference(arrays), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4, err_msg=f"WEBREE_SEED={seed}")
