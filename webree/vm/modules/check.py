"""The `check` module: assertions that test programs of the `check` dialect make about tensors.

Enters: buffer views. Leaves: nothing, or an `InvocationError` (ABORTED) that shows the first element that differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from webree.array import decode
from webree.dtypes import by_element_type
from webree.errors import InvocationError, StatusCode
from webree.hal.buffer_view import BufferView
from webree.hal.device import Device
from webree.vm.modules.hal_memory import tensor_type
from webree.vm.modules.rows import by_name, row
from webree.vm.native import NativeFunction
from webree.waiting import Suspendable

__all__ = ["CheckModule"]


class CheckModule:
    """The `check` module. A failed expectation ends the call."""

    name = "check"
    version = 0

    def __init__(self) -> None:
        make = partial(row, self.name)
        views = (Device, BufferView, BufferView)
        self.functions: Mapping[str, NativeFunction] = by_name(
            (
                make("expect_true", "0i_v", _expect_true),
                make("expect_false", "0i_v", _expect_false),
                make("expect_all_true", "0rr_v", _expect_all_true, Device, BufferView, suspends=True),
                make("expect_eq", "0rrr_v", _expect_eq, *views, suspends=True),
                make("expect_almost_eq", "0rrrff_v", _expect_almost_eq, *views, suspends=True),
            )
        )


def _failed(message: str) -> InvocationError:
    return InvocationError(f"expectation failed: {message}", status=StatusCode.ABORTED)


def _expect_true(value: int) -> None:
    if not value:
        raise _failed("expected true, found false")


def _expect_false(value: int) -> None:
    if value:
        raise _failed(f"expected false, found {value}")


def _expect_all_true(device: Device, view: BufferView) -> Suspendable[None]:
    (elements,) = yield from _elements(device, view)
    for position, element in enumerate(elements):
        if not element:
            raise _failed(f"expected all true, found {element} at {_index(position, view.shape)} of {_type(view)}")


def _expect_eq(device: Device, left: BufferView, right: BufferView) -> Suspendable[None]:
    yield from _compare(device, left, right, "equal", lambda a, b: bool(a == b or (a != a and b != b)))


def _expect_almost_eq(
    device: Device, left: BufferView, right: BufferView, absolute: float, relative: float
) -> Suspendable[None]:
    def close(a: Any, b: Any) -> bool:
        if a == b or (a != a and b != b):
            return True
        return math.isfinite(abs(a)) and math.isfinite(abs(b)) and abs(a - b) <= absolute + relative * abs(b)

    yield from _compare(device, left, right, f"equal within {absolute:g} + {relative:g}·|right|", close)


def _compare(
    device: Device, left: BufferView, right: BufferView, what: str, close: Callable[[Any, Any], bool]
) -> Suspendable[None]:
    if left.shape != right.shape or left.element_type != right.element_type:
        raise _failed(f"expected tensors of one type, found {_type(left)} and {_type(right)}")
    left_elements, right_elements = yield from _elements(device, left, right)
    pairs = enumerate(zip(left_elements, right_elements, strict=True))
    different = [(position, a, b) for position, (a, b) in pairs if not close(a, b)]
    if different:
        position, a, b = different[0]
        place = f"{_index(position, left.shape)} of {_type(left)}"
        count = f" ({len(different)} of {len(left_elements)} elements differ)" if len(left_elements) > 1 else ""
        raise _failed(f"expected {what}, found {a} and {b} at {place}{count}")


def _elements(device: Device, *views: BufferView) -> Suspendable[list[list[Any]]]:
    sources = yield device.read_back([(view.buffer, 0, view.buffer.byte_length) for view in views])
    return [_decode(source.read(0, source.size), view) for source, view in zip(sources, views, strict=True)]


def _decode(data: memoryview, view: BufferView) -> list[Any]:
    if view.element_type in _FLOAT8:
        return [_float8(code, *_FLOAT8[view.element_type]) for code in data]
    try:
        return decode(data, by_element_type(view.element_type))
    except KeyError:
        raise InvocationError(
            f"tensors of element type 0x{view.element_type:08x} cannot be compared: its elements are packed",
            status=StatusCode.UNIMPLEMENTED,
        ) from None


def _float8(code: int, exponent_bits: int, bias: int, infinity: int, first_nan: int) -> float:
    """The number that 8 bits stand for: https://arxiv.org/abs/2209.05433, and without a negative zero (FNUZ)
    https://arxiv.org/abs/2206.02915."""
    magnitude = code & 127
    if magnitude >= first_nan or (code == 128 and first_nan == 128):
        return math.nan
    sign = -1.0 if code & 128 else 1.0
    if magnitude == infinity:
        return sign * math.inf
    fraction_bits = 7 - exponent_bits
    exponent, fraction = magnitude >> fraction_bits, magnitude & (1 << fraction_bits) - 1
    if exponent:
        fraction |= 1 << fraction_bits
    return sign * math.ldexp(fraction, max(exponent, 1) - bias - fraction_bits)


_FLOAT8 = {
    0x24000008: (5, 15, 124, 125),  # E5M2
    0x25000008: (4, 7, 128, 127),  # E4M3FN
    0x26000008: (5, 16, 128, 128),  # E5M2FNUZ
    0x27000008: (4, 8, 128, 128),  # E4M3FNUZ
}
"""Element type -> bits of the exponent, its bias, the bits of infinity (128: none) and of the first NaN."""


def _type(view: BufferView) -> str:
    return tensor_type(view.shape, view.element_type)


def _index(position: int, shape: tuple[int, ...]) -> list[int]:
    index = []
    for extent in reversed(shape):
        position, rest = divmod(position, extent)
        index.append(rest)
    return index[::-1]
