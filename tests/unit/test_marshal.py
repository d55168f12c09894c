"""Values across the boundary: what is taken for a tensor, what is refused and how it says so, what comes back."""

from __future__ import annotations

import array
import struct
from typing import Any

import numpy
import pytest

from tests.fake_device import FakeDevice, memory
from webree.array import Array, DeviceArray
from webree.dtypes import by_mlir, by_name
from webree.errors import InvocationError
from webree.hal.buffer_view import BufferView
from webree.marshal import encode_arguments, read_back, to_device, wrap
from webree.module.source import MemorySource
from webree.signature import OpaqueType, Parameter, ScalarType, Signature, TensorType
from webree.waiting import run_sync


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


def tensor(mlir: str, *shape: int | None) -> TensorType:
    return TensorType(by_mlir(mlir), shape)


def encode(device: FakeDevice, value: Any, value_type: Any) -> Any:
    signature = Signature("main", (Parameter("image", value_type),), ())
    return encode_arguments(signature, (value,), {}, device)[0]


def content(view: BufferView) -> bytes:
    return bytes(memory(view.buffer, 0, view.buffer.byte_length))


@pytest.mark.parametrize("name", ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (2, 3), (2, 1, 4)])
def test_numpy_integers_arrive_as_they_are(device: FakeDevice, name: str, shape: tuple[int, ...]) -> None:
    value = numpy.random.default_rng().integers(0, 2, shape).astype(name)
    view = encode(device, value, TensorType(by_name(name), shape))
    assert (view.shape, view.element_type, content(view)) == (shape, by_name(name).element_type, value.tobytes())


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "complex64", "complex128"])
def test_numpy_floats_arrive_and_return(device: FakeDevice, name: str) -> None:
    value = numpy.random.default_rng().standard_normal((3, 5)).astype(name)
    view = encode(device, value, TensorType(by_name(name), (None, 5)))
    (result,) = run_sync(read_back([view]))
    assert result.dtype == value.dtype
    assert result.flags.writeable
    numpy.testing.assert_array_equal(result, value)


@pytest.mark.parametrize(
    "value",
    [
        numpy.arange(12, dtype="f4").reshape(4, 3).T,
        numpy.arange(24, dtype="f4").reshape(3, 8)[:, ::2],
        numpy.arange(12, dtype=">f4").reshape(3, 4),
        numpy.arange(12, dtype="f4").reshape(3, 4)[::-1],
    ],
    ids=["transposed", "strided", "big-endian", "reversed"],
)
def test_any_memory_layout(device: FakeDevice, value: Any) -> None:
    view = encode(device, value, tensor("f32", 3, 4))
    assert content(view) == value.astype("<f4").tobytes()


def test_buffers_without_numpy(device: FakeDevice) -> None:
    assert content(encode(device, array.array("f", [1, 2]), tensor("f32", 2))) == struct.pack("<2f", 1, 2)
    assert content(encode(device, b"ab", tensor("ui8", 2))) == b"ab"
    assert content(encode(device, array.array("l", [5, -6]), tensor("i64", 2))) == struct.pack("<2q", 5, -6)
    strided = memoryview(bytes(range(8)))[::2]
    assert content(encode(device, strided, tensor("ui8", 4))) == b"\0\2\4\6"
    shaped = memoryview(bytes(24)).cast("i", (2, 3))
    assert encode(device, shaped, tensor("i32", 2, 3)).shape == (2, 3)


@pytest.mark.parametrize(
    ("value", "mlir", "shape", "packed"),
    [
        (3, "f32", (), struct.pack("<f", 3)),
        (2.5, "f64", (), struct.pack("<d", 2.5)),
        ([[1, 2.5], [3, -4]], "f32", (2, 2), struct.pack("<4f", 1, 2.5, 3, -4)),
        ((1, 2, 3), "i64", (3,), struct.pack("<3q", 1, 2, 3)),
        (range(3), "i8", (3,), b"\0\1\2"),
        ([True, 0], "i1", (2,), b"\1\0"),
        ([1.0, -1.5], "f16", (2,), struct.pack("<2e", 1, -1.5)),
        ([1 + 2j], "complex<f32>", (1,), struct.pack("<2f", 1, 2)),
        ([1.0, 3.14159274], "bf16", (2,), struct.pack("<2H", 0x3F80, 0x4049)),
        ([numpy.float64(2), numpy.int8(3)], "f32", (2,), struct.pack("<2f", 2, 3)),
        ([numpy.arange(2), [4, 5]], "i32", (2, 2), struct.pack("<4i", 0, 1, 4, 5)),
        ([], "f32", (0,), b""),
        ([[], []], "f32", (2, 0), b""),
    ],
)
def test_numbers_and_lists_become_the_declared_type(
    device: FakeDevice, value: Any, mlir: str, shape: tuple[int, ...], packed: bytes
) -> None:
    view = encode(device, value, tensor(mlir, *shape))
    assert (view.shape, content(view)) == (shape, packed)


@pytest.mark.parametrize(
    ("value", "value_type", "message"),
    [
        (
            numpy.zeros((1, 2)),
            tensor("f32", 1, None),
            "main: input 0 ('image'): expected 1x?xf32 (float32), found an array of float64 and shape (1, 2); "
            "convert it first, for example with array.astype('float32')",
        ),
        (
            numpy.zeros((1, 2), "f4"),
            tensor("f32", 2),
            "main: input 0 ('image'): expected 2xf32, of rank 1; found rank 2, shape (1, 2)",
        ),
        (
            numpy.zeros((1, 2), "f4"),
            tensor("f32", None, 3),
            "main: input 0 ('image'): expected ?x3xf32, with 3 elements along dimension 1; found 2, shape (1, 2)",
        ),
        ([[1], [2, 3]], tensor("f32", 2, 1), "main: input 0 ('image'): a list with rows of different lengths, 1 and 2"),
        ([1, [2]], tensor("f32", 2), "main: input 0 ('image'): a list with rows of different depth"),
        ([[1], 2], tensor("f32", 2, 1), "main: input 0 ('image'): a list with rows of different depth"),
        (None, ScalarType("i32"), "expected a number of type i32, found a NoneType"),
        (1.5, ScalarType("i32"), "expected a number of type i32, found a float"),
        (1 << 32, ScalarType("i32"), "4294967296 does not fit i32"),
        (-1 << 63, ScalarType("index"), None),
        (2, ScalarType("i1"), "2 does not fit i1"),
        ([1.5], tensor("i32", 1), "a value cannot be converted to int32: 'float' object cannot be"),
        ([300], tensor("i8", 1), "a value cannot be converted to int8: "),
        ([1e39], tensor("f32", 1), "a value cannot be converted to float32: "),
        (["a"], tensor("f32", 1), "a value cannot be converted to float32: "),
        ("text", tensor("f32", 1), "a value cannot be converted to float32: "),
        (None, tensor("f32"), "a value cannot be converted to float32: "),
        (numpy.zeros(1, "M8[s]"), tensor("f32", 1), "arrays of NumPy type 'datetime64[s]' cannot be passed"),
        (numpy.zeros(2, bool), tensor("i8", 2), "expected 2xi8 (int8), found an array of bool"),
        (numpy.zeros(2, "u4"), tensor("si32", 2), "expected 2xsi32 (int32), found an array of uint32"),
        (7, OpaqueType("!hal.buffer"), "expected a reference of type !hal.buffer, found a int"),
    ],
)
def test_what_is_refused(device: FakeDevice, value: Any, value_type: Any, message: str | None) -> None:
    if message is None:
        encode(device, value, value_type)
        return
    with pytest.raises(InvocationError) as caught:
        encode(device, value, value_type)
    assert message in str(caught.value)


def test_signless_integers_take_either_sign(device: FakeDevice) -> None:
    view = encode(device, numpy.array([255], "u1"), tensor("i8", 1))
    assert (view.element_type, content(view)) == (by_mlir("i8").element_type, b"\xff")


def test_scalars(device: FakeDevice) -> None:
    assert encode(device, 0xFFFFFFFF, ScalarType("i32")) == -1
    assert encode(device, numpy.int64(-5), ScalarType("i64")) == -5
    assert encode(device, True, ScalarType("i1")) == 1
    assert encode(device, 0.1, ScalarType("f32")) == numpy.float32(0.1)
    assert encode(device, numpy.float32(2), ScalarType("f64")) == 2.0


def test_inputs_by_name() -> None:
    signature = Signature("f", tuple(Parameter(name, ScalarType("i32")) for name in "abc"), ())
    device = FakeDevice()
    assert encode_arguments(signature, (1,), {"c": 3, "b": 2}, device) == [1, 2, 3]
    for positional, named, message in [
        ((1, 2), {}, "f: expected 3 inputs, found 2; the function is f(a: i32, b: i32, c: i32)"),
        ((1, 2, 3, 4), {}, "f: expected 3 inputs, found 4"),
        ((1, 2, 3), {"c": 3}, "f: input 'c' is given twice, by position and by name"),
        ((1,), {"c": 3}, "f: missing inputs b;"),
        ((1,), {"d": 3}, "f: no input named 'd';"),
    ]:
        with pytest.raises(InvocationError) as caught:
            encode_arguments(signature, positional, named, device)
        assert message in str(caught.value)


def test_device_arrays_go_back_in_without_a_copy(device: FakeDevice) -> None:
    array_on_device = wrap(to_device(numpy.arange(6, dtype="f4").reshape(2, 3), device))
    uploaded = device.counters.uploaded_bytes
    assert isinstance(array_on_device, DeviceArray)
    assert encode(device, array_on_device, tensor("f32", 2, None)) is array_on_device.view
    assert device.counters.uploaded_bytes == uploaded
    with pytest.raises(InvocationError, match="expected 2x2xf32, with 2 elements along dimension 1; found 3"):
        encode(device, array_on_device, tensor("f32", 2, 2))
    with pytest.raises(InvocationError, match=r"on another device .*; pass array\.to_host\(\)"):
        encode(FakeDevice(), array_on_device, tensor("f32", 2, 3))
    numpy.testing.assert_array_equal(array_on_device.to_host(), numpy.arange(6, dtype="f4").reshape(2, 3))
    array_on_device.close()
    with pytest.raises(Exception, match="closed"):
        encode(device, array_on_device, tensor("f32", 2, 3))


def test_all_results_come_back_in_one_go(device: FakeDevice) -> None:
    views = [to_device([float(n)] * n, device) for n in range(4)]
    results = run_sync(read_back([*views, 7]))
    assert device.read_backs == 1
    assert [result.tolist() for result in results[:4]] == [[], [1.0], [2.0, 2.0], [3.0, 3.0, 3.0]]
    assert results[4] == 7


def test_bfloat16_with_ml_dtypes(device: FakeDevice) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    value = numpy.array([1.5, -2, 3e38], ml_dtypes.bfloat16)
    view = encode(device, value, tensor("bf16", 3))
    assert content(view) == value.tobytes()
    (result,) = run_sync(read_back([view]))
    assert result.dtype == value.dtype


@pytest.fixture
def no_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webree.marshal.numpy_module", lambda: None)


@pytest.mark.usefixtures("no_numpy")
@pytest.mark.parametrize("name", ["bool", "int8", "uint64", "float16", "float32", "bfloat16", "complex64"])
def test_arrays_without_numpy(device: FakeDevice, name: str) -> None:
    values = [[1, 0, 1], [0, 1, 1]]
    (result,) = run_sync(read_back([to_device(values, device, by_name(name))]))
    assert isinstance(result, Array)
    assert (result.shape, result.dtype, result.ndim, result.size, len(result)) == ((2, 3), name, 2, 6, 2)
    assert result.tolist() == values
    assert result[1, 2] == result[1][-1] == list(result)[1][2] == 1
    assert content(encode(device, result, TensorType(by_name(name), (2, 3)))) == result.tobytes()
    if name != "bfloat16":
        taken = numpy.asarray(result)
        assert (taken.dtype.name, taken.tolist()) == (name, values)


def test_array_of_one_element() -> None:
    one = Array(MemorySource(struct.pack("<i", -3)), (), by_name("int32"))
    assert (int(one), float(one), bool(one), one.tolist(), range(5)[one.__index__()]) == (-3, -3.0, True, -3, 2)
    assert repr(one) == "webree.Array(-3, shape=(), dtype=int32)"
    with pytest.raises(TypeError, match="no length"):
        len(one)
    pair = Array(MemorySource(bytes(8)), (2,), by_name("int32"))
    with pytest.raises(Exception, match="exactly one element"):
        pair.item()
    with pytest.raises(IndexError, match="index 2 is out of range for axis 0"):
        pair[2]
    with pytest.raises(Exception, match="only in the browser"):
        pair.to_js()
