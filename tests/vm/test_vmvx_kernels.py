"""The `vmvx` module's functions in NumPy and in plain Python: equal to each other on random strided operands, and to
NumPy's float64 and exact integers.

Reference: arrays indexed element by element, computed in float64 or with Python's integers.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from webree.errors import InvocationError, StatusCode
from webree.vm.buffers import VmBuffer
from webree.vm.modules.vmvx import Kernels, VmvxModule
from webree.vm.modules.vmvx_numpy import NumpyKernels
from webree.vm.modules.vmvx_plain import PlainKernels

BACKENDS: dict[str, Callable[[], Kernels]] = {"numpy": NumpyKernels, "plain": PlainKernels}
_CASES = 25


@pytest.fixture
def rng() -> random.Random:
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    return random.Random(seed)


class Layout:
    """A 2-D operand somewhere in a buffer: bytes of `dtype`, offset, strides."""

    def __init__(
        self, rng: random.Random, dtype: str, sizes: tuple[int, int], written: bool, values: Callable[[], Any]
    ) -> None:
        rows, columns = sizes
        inner = rng.choice((1, 1, 2, 3)) if written else rng.choice((1, 1, 2, 0))
        outer = columns * max(inner, 1) + rng.randrange(4)
        if rng.random() < 0.2:
            inner, outer = max(inner, 1) * (rows + 1), 1  # transposed
        if rng.random() < 0.15:
            outer = -outer
        least = min(0, outer * (rows - 1))
        self.offset = rng.randrange(5) - least
        self.strides = (outer, inner)
        count = self.offset + max(0, outer * (rows - 1)) + inner * (columns - 1) + 1 + rng.randrange(4)
        self.array = np.array([values() for _ in range(count)], dtype)
        self.sizes = sizes

    def buffer(self, *, mutable: bool = False) -> VmBuffer:
        return VmBuffer(bytearray(self.array.tobytes()), mutable=mutable)

    def index(self, i: int, j: int) -> int:
        return self.offset + i * self.strides[0] + j * self.strides[1]

    def arguments(self, buffer: VmBuffer) -> list[Any]:
        return [buffer, self.offset, *self.strides]


def call(backend: str, name: str, *arguments: Any) -> Any:
    return VmvxModule(BACKENDS[backend]()).functions[name].call(*arguments)


def signed(value: int) -> int:
    return (value + (1 << 31) & 0xFFFF_FFFF) - (1 << 31)


def _truncated(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


_U = 0xFFFF_FFFF
INTEGERS: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "divs": _truncated,
    "divu": lambda a, b: (a & _U) // (b & _U),
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << b,
    "shrs": lambda a, b: a >> b,
    "shru": lambda a, b: (a & _U) >> b,
}
FLOATS = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
UNARY: dict[str, Any] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "floor": np.floor,
    "neg": np.negative,
    "exp": np.exp,
    "log": np.log,
    "rsqrt": lambda x: 1 / np.sqrt(x),
}
_SPECIAL = (0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e-40, 3e38, -3e38, 0.5, 2.5)


def any_float(rng: random.Random) -> float:
    return rng.choice(_SPECIAL) if rng.random() < 0.2 else rng.uniform(-10, 10)


def any_integer(rng: random.Random) -> int:
    edges = (0, 1, -1, 2**31 - 1, -(2**31))
    return rng.choice(edges) if rng.random() < 0.2 else signed(rng.getrandbits(32))


def sizes_of(rng: random.Random) -> tuple[int, int]:
    return rng.randrange(1, 6), rng.randrange(1, 9)


def run_both(name: str, operands: list[Layout], target: Layout) -> np.ndarray[Any, Any]:
    """The target's elements after the call, which both backends must agree on to the bit."""
    found = []
    for backend in BACKENDS:
        buffer = target.buffer(mutable=True)
        arguments = [x for operand in operands for x in operand.arguments(operand.buffer())]
        call(backend, name, *arguments, *target.arguments(buffer), *target.sizes)
        found.append(np.frombuffer(bytes(buffer.view()), target.array.dtype))
    nan = np.isnan(found[0]) if found[0].dtype.kind == "f" else np.zeros(found[0].shape, bool)
    bits = [array.view(f"u{array.itemsize}") for array in found]
    if found[0].dtype.kind == "f":
        assert np.array_equal(nan, np.isnan(found[1])), name
    assert np.array_equal(bits[0][~nan], bits[1][~nan]), f"{name}: NumPy and plain Python differ"
    return found[0]


def untouched(found: np.ndarray[Any, Any], target: Layout) -> None:
    """Elements outside the target are as they were."""
    inside = {target.index(i, j) for i in range(target.sizes[0]) for j in range(target.sizes[1])}
    for position in set(range(len(found))) - inside:
        assert found[position].tobytes() == target.array[position].tobytes()


@pytest.mark.parametrize("operation", INTEGERS)
def test_integers(operation: str, rng: random.Random) -> None:
    amounts = operation.startswith("sh")
    for _ in range(_CASES):
        sizes = sizes_of(rng)
        left = Layout(rng, "int32", sizes, False, lambda: any_integer(rng))
        right = Layout(rng, "int32", sizes, False, lambda: rng.randrange(32) if amounts else any_integer(rng) or 7)
        target = Layout(rng, "int32", sizes, True, lambda: any_integer(rng))
        found = run_both(f"{operation}.2d.i32", [left, right], target)
        for i in range(sizes[0]):
            for j in range(sizes[1]):
                a, b = int(left.array[left.index(i, j)]), int(right.array[right.index(i, j)])
                assert found[target.index(i, j)] == signed(INTEGERS[operation](a, b)), (operation, a, b)
        untouched(found, target)


@pytest.mark.parametrize("operation", FLOATS)
def test_floats(operation: str, rng: random.Random) -> None:
    for _ in range(_CASES):
        sizes = sizes_of(rng)
        left, right, target = (Layout(rng, "float32", sizes, k == 2, lambda: any_float(rng)) for k in range(3))
        found = run_both(f"{operation}.2d.f32", [left, right], target)
        with np.errstate(all="ignore"):
            for i in range(sizes[0]):
                for j in range(sizes[1]):
                    a, b = (np.float64(x.array[x.index(i, j)]) for x in (left, right))
                    expected = np.float32(FLOATS[operation](a, b))
                    assert np.array_equal(found[target.index(i, j)], expected, equal_nan=True), (operation, a, b)
        untouched(found, target)


@pytest.mark.parametrize("operation", UNARY)
def test_functions(operation: str, rng: random.Random) -> None:
    for _ in range(_CASES):
        sizes = sizes_of(rng)
        source, target = (Layout(rng, "float32", sizes, k == 1, lambda: any_float(rng)) for k in range(2))
        found = run_both(f"{operation}.2d.f32", [source], target)
        with np.errstate(all="ignore"):
            for i in range(sizes[0]):
                for j in range(sizes[1]):
                    a = np.float64(source.array[source.index(i, j)])
                    expected = np.float32(UNARY[operation](a))
                    np.testing.assert_allclose(found[target.index(i, j)], expected, rtol=1e-7, err_msg=f"{a}")
        untouched(found, target)


def test_leading_zeros(rng: random.Random) -> None:
    values = [0, 1, -1, 2**31 - 1, -(2**31), *(signed(rng.getrandbits(32) >> rng.randrange(32)) for _ in range(200))]
    for backend in BACKENDS:
        source = VmBuffer(np.array(values, "int32").tobytes())
        target = VmBuffer.allocate(4 * len(values))
        call(backend, "ctlz.2d.i32", source, 0, 0, 1, target, 0, 0, 1, 1, len(values))
        found = np.frombuffer(target.view(), "int32").tolist()
        assert found == [32 - (value & _U).bit_length() for value in values]


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_copies(bits: int, rng: random.Random) -> None:
    for _ in range(_CASES):
        sizes = sizes_of(rng)
        source, target = (Layout(rng, f"uint{bits}", sizes, k == 1, lambda: rng.getrandbits(bits)) for k in range(2))
        found = run_both(f"copy.2d.x{bits}", [source], target)
        for i in range(sizes[0]):
            for j in range(sizes[1]):
                assert found[target.index(i, j)] == source.array[source.index(i, j)]
        untouched(found, target)


def test_fills(rng: random.Random) -> None:
    for _ in range(_CASES):
        rows, columns = sizes_of(rng)
        stride, offset, value = columns + rng.randrange(3), rng.randrange(4), any_integer(rng)
        for backend in BACKENDS:
            expected = np.array([any_integer(rng) for _ in range(offset + stride * rows)], "int32")
            buffer = VmBuffer(bytearray(expected.tobytes()), mutable=True)
            call(backend, "fill.2d.x32", value, buffer, offset, stride, rows, columns)
            for i in range(rows):
                expected[offset + i * stride : offset + i * stride + columns] = value
            assert bytes(buffer.view()) == expected.tobytes()


@pytest.mark.parametrize("kind", ["f32", "i8"])
@pytest.mark.parametrize("accumulate", [False, True])
def test_tiled_products(kind: str, accumulate: bool, rng: random.Random) -> None:
    for _ in range(_CASES):
        m, n, k, m0, n0, k0 = (rng.randrange(1, 4) for _ in range(6))
        numbers = np.random.default_rng(rng.getrandbits(32))
        element, result = ("float32", "float32") if kind == "f32" else ("int8", "int32")

        def values(*shape: int, element: str = element, numbers: Any = numbers) -> np.ndarray[Any, Any]:
            if element == "float32":
                return numbers.uniform(-1, 1, shape).astype(element)
            return numbers.integers(-128, 127, shape, element, endpoint=True)

        gap = rng.randrange(3)
        left, right = values(m, k * m0 * k0 + gap), values(n, k * n0 * k0 + gap)
        before = values(m, n * m0 * n0 + gap).astype(result)
        a = left[:, : k * m0 * k0].reshape(m, k, m0, k0).astype("float64")
        b = right[:, : k * n0 * k0].reshape(n, k, n0, k0).astype("float64")
        expected = np.einsum("mkac,nkbc->mnab", a, b)
        expected = expected + before[:, : n * m0 * n0].reshape(m, n, m0, n0) if accumulate else expected
        flags = (1 if kind == "f32" else 2) | (0x100 if accumulate else 0) | 0x600
        for backend in BACKENDS:
            target = VmBuffer(bytearray(before.tobytes()), mutable=True)
            operands = [VmBuffer(left.tobytes()), 0, left.shape[1], VmBuffer(right.tobytes()), 0, right.shape[1]]
            call(backend, "mmt4d", *operands, target, 0, before.shape[1], m, n, k, m0, n0, k0, flags)
            found = np.frombuffer(target.view(), result).reshape(before.shape)
            tiles = found[:, : n * m0 * n0].reshape(m, n, m0, n0)
            np.testing.assert_allclose(tiles, expected, rtol=1e-5 if kind == "f32" else 0, atol=1e-5)
            assert np.array_equal(found[:, n * m0 * n0 :], before[:, n * m0 * n0 :])


@pytest.mark.parametrize("flags", [1, 2, 3, 0x101, 0x203, 0x301, 0x302])
def test_packing_and_back(flags: int, rng: random.Random) -> None:
    dtype = {1: "float32", 2: "int8", 3: "int32"}[flags & 0xFF]
    inner, outer = bool(flags & 0x100), bool(flags & 0x200)
    for _ in range(_CASES):
        rows, columns, height, width = (rng.randrange(1, 4) for _ in range(4))
        size0, size1 = rows * height - rng.randrange(height), columns * width - rng.randrange(width)
        source = np.array([[rng.randrange(-100, 100) for _ in range(size1)] for _ in range(size0)], dtype)
        padding = np.array([rng.randrange(-100, 100)], dtype)
        expected = np.full((rows * height, columns * width), padding[0])
        expected[:size0, :size1] = source
        expected = expected.reshape(rows, height, columns, width).transpose(0, 2, 1, 3)
        expected = expected.transpose(*((1, 0) if outer else (0, 1)), *((3, 2) if inner else (2, 3)))
        extents = expected.shape
        bits = int.from_bytes(padding.tobytes(), "little")
        strides = (extents[1] * extents[2] * extents[3] + 1, extents[2] * extents[3])
        for backend in BACKENDS:
            tiles = VmBuffer.allocate(extents[0] * strides[0] * source.itemsize)
            layout = (VmBuffer(source.tobytes()), 0, size1, 1, tiles, 0, *strides, size0, size1, *extents)
            call(backend, "pack", *layout, bits, flags)
            found = np.frombuffer(tiles.view(), dtype).reshape(extents[0], -1)[:, :-1].reshape(extents)
            assert np.array_equal(found, expected), backend
            back = VmBuffer.allocate(source.nbytes)
            call(backend, "unpack", tiles, 0, *strides, back, 0, size1, 1, *extents, size0, size1, flags)
            assert bytes(back.view()) == source.tobytes(), backend


@pytest.mark.parametrize("backend", BACKENDS)
def test_ranges_are_checked(backend: str) -> None:
    buffer, small = VmBuffer.allocate(40), VmBuffer.allocate(36)
    good = [buffer, 0, 5, 1]
    call(backend, "neg.2d.f32", *good, *good, 2, 5)
    call(backend, "neg.2d.f32", small, 9, 1, 1, small, 99, 1, 1, 0, 5)  # nothing is read, nothing is written
    for arguments in (
        [small, 0, 5, 1, buffer, 0, 5, 1, 2, 5],
        [buffer, 0, 5, 1, small, 0, 5, 1, 2, 5],
        [buffer, -1, 5, 1, buffer, 0, 5, 1, 2, 5],
        [buffer, 4, -5, 1, buffer, 0, 5, 1, 2, 5],
        [buffer, 0, 5, 1, buffer, 0, 1 << 60, 1, 2, 5],
    ):
        with pytest.raises(InvocationError, match="outside a buffer") as caught:
            call(backend, "neg.2d.f32", *arguments)
        assert caught.value.status == StatusCode.OUT_OF_RANGE
    with pytest.raises(InvocationError, match="read-only"):
        call(backend, "neg.2d.f32", *good, VmBuffer(bytes(40)), 0, 5, 1, 2, 5)
    with pytest.raises(InvocationError, match="negative size"):
        call(backend, "neg.2d.f32", *good, *good, 2, -5)
    with pytest.raises(InvocationError, match="division by zero"):
        call(backend, "divs.2d.i32", *good, VmBuffer.allocate(40), 0, 5, 1, *good, 2, 5)
    with pytest.raises(InvocationError, match="flags 0x3 are not known"):
        call(backend, "mmt4d", buffer, 0, 1, buffer, 0, 1, buffer, 0, 1, 1, 1, 1, 1, 1, 1, 3)


def test_tile_sizes_agree() -> None:
    """What multiplies must have tiles that fit one another: m0, k0 of the left, n0, k0 of the right, m0, n0."""
    sizes = [call("plain", "query_tile_sizes.2d", 100, 100, role | 1 << 8) for role in (1, 2, 3)]
    (m0, k0), (n0, other_k0), result = sizes
    assert k0 == other_k0
    assert result == (m0, n0)


def test_numpy_is_taken_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(VmvxModule()._kernels, NumpyKernels)
    monkeypatch.setattr("webree.vm.modules.vmvx.numpy_module", lambda: None)
    assert isinstance(VmvxModule()._kernels, PlainKernels)
