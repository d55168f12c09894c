"""The table of PyTorch functions and modules, against PyTorch on the CPU. A group is one module of many functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils import _pytree

from tests.conftest import Machine
from tests.frontends.running import compare, load_for
from tests.frontends.torch_table import GROUPS, rows

RELATIVE, ABSOLUTE = 1e-4, 1e-5


def to_numpy(value: Any) -> Any:
    return value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


@pytest.mark.native
@pytest.mark.parametrize("machine", ["lavapipe"], indirect=True)
@pytest.mark.parametrize("group", GROUPS)
def test_torch_ops(machine: Machine, seed: int, group: str) -> None:
    print(f"seed {seed}")
    torch.manual_seed(seed)
    table = rows(group)
    module = load_for(machine, {name: (function, inputs) for name, (function, inputs) in table.items()})
    wrong = []
    for name, (function, inputs) in table.items():
        with torch.no_grad():
            expected = [to_numpy(leaf) for leaf in _pytree.tree_leaves(function(*inputs))]
        try:
            compare(name, module[name](*map(to_numpy, _pytree.tree_leaves(inputs))), expected, RELATIVE, ABSOLUTE)
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n".join(wrong)
