"""The `check` module: expectations hold or say which element does not."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest

from tests.fake_device import FakeDevice
from webree.dtypes import by_name
from webree.errors import InvocationError, StatusCode
from webree.hal.buffer_view import BufferView
from webree.marshal import to_device
from webree.vm.modules.check import CheckModule
from webree.waiting import run_sync

DEVICE = FakeDevice()


def view(value: Any, dtype: str = "float32") -> BufferView:
    return to_device(value, DEVICE, by_name(dtype))


def check(name: str, *arguments: Any) -> None:
    function = CheckModule().functions[name]
    result = function.call(*arguments)
    if function.suspends:
        run_sync(result)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("expect_true", (1,), None),
        ("expect_true", (0,), "expectation failed: expected true, found false"),
        ("expect_false", (0,), None),
        ("expect_false", (3,), "expectation failed: expected false, found 3"),
        ("expect_all_true", (DEVICE, view([[1, 2], [3, 4]], "int32")), None),
        (
            "expect_all_true",
            (DEVICE, view([[1, 2], [0, 4]], "int32")),
            "expectation failed: expected all true, found 0 at [1, 0] of tensor<2x2xi32>",
        ),
        ("expect_eq", (DEVICE, view([1.5, math.nan]), view([1.5, math.nan])), None),
        (
            "expect_eq",
            (DEVICE, view([[1, 2, 3]], "int8"), view([[1, 2, 4]], "int8")),
            "expectation failed: expected equal, found 3 and 4 at [0, 2] of tensor<1x3xi8> (1 of 3 elements differ)",
        ),
        (
            "expect_eq",
            (DEVICE, view([1]), view([[1]])),
            "expectation failed: expected tensors of one type, found tensor<1xf32> and tensor<1x1xf32>",
        ),
        (
            "expect_eq",
            (DEVICE, view([1]), view([1], "float64")),
            "expectation failed: expected tensors of one type, found tensor<1xf32> and tensor<1xf64>",
        ),
        ("expect_almost_eq", (DEVICE, view([100.0, math.inf]), view([100.5, math.inf]), 0.0, 0.01), None),
        ("expect_almost_eq", (DEVICE, view([0.0, math.nan]), view([0.01, math.nan]), 0.011, 0.0), None),
        (
            "expect_almost_eq",
            (DEVICE, view([1.0]), view([1.25]), 0.125, 0.0625),
            "expectation failed: expected equal within 0.125 + 0.0625·|right|, "
            "found 1.0 and 1.25 at [0] of tensor<1xf32>",
        ),
        (
            "expect_almost_eq",
            (DEVICE, view([math.inf]), view([1.0]), 1e9, 1e9),
            "expectation failed: expected equal within 1e+09 + 1e+09·|right|, "
            "found inf and 1.0 at [0] of tensor<1xf32>",
        ),
    ],
)
def test_expectations(name: str, arguments: tuple[Any, ...], message: str | None) -> None:
    if message is None:
        check(name, *arguments)
        return
    with pytest.raises(InvocationError) as caught:
        check(name, *arguments)
    assert str(caught.value) == message
    assert caught.value.status == StatusCode.ABORTED


def test_half_floats_are_compared_as_numbers() -> None:
    half = DEVICE.allocate(4)
    DEVICE.fill(half, 0, 4, struct.pack("<e", 0.5))
    found = BufferView(half, (2,), by_name("float16").element_type)
    check("expect_eq", DEVICE, found, view([0.5, 0.5], "float16"))
