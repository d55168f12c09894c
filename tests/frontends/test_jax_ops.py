"""The table of JAX functions on WebGPU, against JAX on the CPU. Each group is one module of many functions."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from tests.conftest import Machine
from tests.frontends.jax_table import GROUPS, rows
from tests.frontends.running import compare, load_for

RELATIVE, ABSOLUTE = 1e-4, 1e-5


@pytest.mark.native
@pytest.mark.parametrize("machine", ["lavapipe"], indirect=True)
@pytest.mark.parametrize("group", GROUPS)
def test_jax_ops(machine: Machine, seed: int, group: str) -> None:
    print(f"seed {seed}")
    table = rows(group, seed)
    functions = {name: (jax.jit(function), inputs) for name, (function, inputs) in table.items()}
    module = load_for(machine, functions)
    wrong = []
    for name, (function, inputs) in functions.items():
        expected = [np.asarray(leaf) for leaf in jax.tree.leaves(function(*inputs))]
        try:
            compare(name, module[name](*map(np.asarray, jax.tree.leaves(inputs))), expected, RELATIVE, ABSOLUTE)
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n".join(wrong)
