"""f16, i16, u16 and bf16 in one module, computed natively (`shader-f16`) and emulated."""

from __future__ import annotations

import functools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import webree
from tests.conftest import Machine
from tests.types.mixed_model import COUNT, ROWS, Row, inputs, profiles, text
from tests.types.mixed_network import check_network, network, network_inputs


def check(found: Any, wanted: Any, where: str) -> None:
    """Bit for bit: each row rounds once."""
    found = np.asarray(found)
    found = found.view(ml_dtypes.bfloat16) if wanted.dtype == ml_dtypes.bfloat16 else found
    assert found.dtype == wanted.dtype
    both = np.isnan(found.astype("f8")) & np.isnan(wanted.astype("f8"))
    np.testing.assert_array_equal(found[~both], wanted[~both], err_msg=where)


@functools.cache
def compiled(target: str, profile: str | None, rows: tuple[Row, ...], count: str) -> bytes:
    return webree.compile(text(rows, count), target=target, profile=profile)


OPEN = tuple(row for row in ROWS if row.name in ("muli", "cmpi_ult", "addf_bf16", "all_three", "extsi_i8"))


@pytest.mark.parametrize(("rows", "count"), [(ROWS, str(COUNT)), (OPEN, "?")], ids=["static", "dynamic"])
def test_every_operation(machine: Machine, rows: tuple[Row, ...], count: str, seed: int) -> None:
    for profile in profiles(machine):
        with webree.load(compiled(machine.target, profile, rows, count), device=machine.device) as module:
            for row in rows:
                arrays = inputs(row, seed)
                with np.errstate(all="ignore"):
                    wanted = row.reference(*arrays)
                check(getattr(module, row.name)(*arrays), wanted, f"{row.name}, {profile} (WEBREE_SEED={seed})")


def test_a_network(machine: Machine, seed: int) -> None:
    """f16 weights, int16 and uint16 data and bf16 tensors; of any batch."""
    for profile in profiles(machine):
        data = webree.compile(network(seed), target=machine.target, profile=profile)
        with webree.load(data, device=machine.device) as module:
            for batch in (5, 1):
                feeds = network_inputs(seed, batch)
                check_network(seed, feeds, list(module.main(*feeds)))
