"""Values across a function's boundary: host arrays to device tensors and back.

Enters: what a caller passes (NumPy arrays, anything with the buffer protocol, JavaScript typed arrays, numbers and
nested lists, arrays left on the device) and what a program returns. Leaves: VM values (buffer views, ints, floats) and
arrays.

Rules: an array must have the declared element type, rank and static dimensions, nothing is cast silently; numbers and
lists have no element type of their own and are converted to the declared one. Integers of one width are the same type
where the model declares no sign. Inputs are copied to new device memory; all outputs of a call come back in one
read-back.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from webree.array import Array, DeviceArray
from webree.dtypes import DType, by_element_type, by_name
from webree.errors import InvocationError
from webree.hal.buffer import Buffer
from webree.hal.buffer_view import BufferView
from webree.hal.device import Device
from webree.hal.fence import Fence
from webree.host_tensors import (
    HostTensor,
    give_shape,
    host_array,
    host_list,
    numpy_module,
    supported_types,
)
from webree.module.source import ByteSource, MemorySource
from webree.signature import OpaqueType, Parameter, ScalarType, Signature, TensorType
from webree.waiting import Suspendable

__all__ = ["encode_arguments", "read_back", "to_device", "wrap"]

_SIGNLESS, _SIGNED, _UNSIGNED = 0x10, 0x11, 0x12
_OPAQUE_VIEWS = ("?", "!hal.buffer_view")


# --- Arguments ----------------------------------------------------------------------------------------------------


def encode_arguments(
    signature: Signature, positional: Sequence[Any], named: Mapping[str, Any], device: Device
) -> list[Any]:
    """VM values for a call, tensors uploaded. Raises `InvocationError` that names the function and the input."""
    values = _match(signature, positional, named)
    return [
        _encode(value, parameter, f"{signature.name}: input {position} ({parameter.name!r})", device)
        for position, (value, parameter) in enumerate(zip(values, signature.inputs, strict=True))
    ]


def _match(signature: Signature, positional: Sequence[Any], named: Mapping[str, Any]) -> Sequence[Any]:
    """Values in the inputs' order."""
    expected = signature.inputs
    if len(positional) > len(expected) or (not named and len(positional) < len(expected)):
        raise InvocationError(
            f"{signature.name}: expected {len(expected)} inputs, found {len(positional) + len(named)}; "
            f"the function is {signature}"
        )
    if not named:
        return positional
    names = [parameter.name for parameter in expected]
    for name in named:
        if name not in names:
            raise InvocationError(f"{signature.name}: no input named {name!r}; the function is {signature}")
        if name in names[: len(positional)]:
            raise InvocationError(f"{signature.name}: input {name!r} is given twice, by position and by name")
    missing = [name for name in names[len(positional) :] if name not in named]
    if missing:
        raise InvocationError(f"{signature.name}: missing inputs {', '.join(missing)}; the function is {signature}")
    return [*positional, *(named[name] for name in names[len(positional) :])]


def _encode(value: Any, parameter: Parameter, where: str, device: Device) -> Any:
    expected = parameter.type
    if isinstance(expected, TensorType):
        return _encode_tensor(value, expected, where, device)
    if isinstance(expected, ScalarType):
        return _encode_scalar(value, expected, where)
    return _encode_opaque(value, expected, where, device)


def to_device(value: Any, device: Device, dtype: DType | None = None) -> BufferView:
    """Upload a value as a tensor of its own shape. Numbers and lists become `dtype` (default float32)."""
    tensor = host_array(value) or host_list(value, dtype or by_name("float32"), "to_device")
    if dtype is not None and not _same_type(dtype, tensor.dtype):
        raise InvocationError(f"to_device: expected {dtype.name}, found an array of {tensor.dtype.name}")
    return _upload(tensor, tensor.shape, dtype or tensor.dtype, device)


def _encode_tensor(value: Any, expected: TensorType, where: str, device: Device) -> BufferView:
    if isinstance(value, DeviceArray):
        view = _device_view(value, where, device)
        _check_type(value.shape, by_element_type(view.element_type), expected, where)
        return view
    tensor = host_array(value)
    if tensor is None:
        tensor = host_list(value, expected.dtype, where)
    elif tensor.flat:
        tensor = give_shape(tensor, expected)
    _check_type(tensor.shape, tensor.dtype, expected, where)
    return _upload(tensor, tensor.shape, expected.dtype, device)


def _device_view(value: DeviceArray, where: str, device: Device) -> BufferView:
    if value.device is not device:
        raise InvocationError(
            f"{where}: the array is on another device ({value.device.info.name}) than the module "
            f"({device.info.name}); pass array.to_host()"
        )
    return value.view


def _check_type(shape: tuple[int, ...], dtype: DType, expected: TensorType, where: str) -> None:
    if not _same_type(expected.dtype, dtype):
        raise InvocationError(
            f"{where}: expected {expected} ({expected.dtype.name}), found an array of {dtype.name} and shape {shape}; "
            f"convert it first, for example with array.astype({expected.dtype.name!r})"
        )
    if len(shape) != len(expected.shape):
        raise InvocationError(
            f"{where}: expected {expected}, of rank {len(expected.shape)}; found rank {len(shape)}, shape {shape}"
        )
    for axis, (found, extent) in enumerate(zip(shape, expected.shape, strict=True)):
        if extent is not None and found != extent:
            raise InvocationError(
                f"{where}: expected {expected}, with {extent} elements along dimension {axis}; "
                f"found {found}, shape {shape}"
            )


def _same_type(expected: DType, found: DType) -> bool:
    """Equal types; integers of one width where no sign is declared; 16-bit words as the bits of bfloat16."""
    if expected.name == found.name:
        return True
    if expected.name == "bfloat16":
        return found.name == "uint16"
    return (
        expected.numerical_type == _SIGNLESS
        and found.numerical_type in (_SIGNLESS, _SIGNED, _UNSIGNED)
        and expected.bit_count == found.bit_count
    )


def _upload(tensor: HostTensor, shape: tuple[int, ...], dtype: DType, device: Device) -> BufferView:
    buffer = device.allocate(tensor.source.size)
    if tensor.source.size:
        device.update(tensor.source, buffer)
    return BufferView(buffer, shape, dtype.element_type)


def _encode_scalar(value: Any, expected: ScalarType, where: str) -> Any:
    try:
        if expected.letter == "F":
            return float(value)
        if expected.letter == "f":
            return struct.unpack("<f", struct.pack("<f", float(value)))[0]
        number = operator.index(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvocationError(
            f"{where}: expected a number of type {expected.mlir}, found a {type(value).__name__}: {error}"
        ) from error
    bits = {"I": 64}.get(expected.letter) or int(expected.mlir[1:])
    if not -(1 << (bits - 1)) <= number < 1 << bits:
        raise InvocationError(f"{where}: {number} does not fit {expected.mlir}")
    width = 64 if expected.letter == "I" else 32
    return number - (1 << width) if number >= 1 << (width - 1) else number


def _encode_opaque(value: Any, expected: OpaqueType, where: str, device: Device) -> Any:
    """Views pass as they are; a function without a declared tensor type takes an array as it is."""
    if expected.mlir in _OPAQUE_VIEWS:
        if isinstance(value, DeviceArray):
            return _device_view(value, where, device)
        tensor = None if isinstance(value, (BufferView, Buffer)) else host_array(value)
        if tensor is not None:
            return _upload(tensor, tensor.shape, tensor.dtype, device)
    if value is None or isinstance(value, (bool, int, float, complex, list, tuple, str)):
        raise InvocationError(f"{where}: expected a reference of type {expected.mlir}, found a {type(value).__name__}")
    return value


# --- Results ------------------------------------------------------------------------------------------------------


def wrap(value: Any, ready: Fence | None = None) -> Any:
    """A result that stays where it is: buffer views become `DeviceArray`s, good once `ready` is reached."""
    if not isinstance(value, BufferView):
        return value
    return DeviceArray(value, _view_type(value), ready)


def read_back(values: Sequence[Any]) -> Suspendable[list[Any]]:
    """Results on the host: buffer views become arrays, all with one read-back; other values stay as they are."""
    views = [value for value in values if isinstance(value, BufferView)]
    filled = [view for view in views if view.buffer.byte_length]
    sources: list[ByteSource] = []
    if filled:
        device = filled[0].buffer.device
        sources = yield device.read_back([(view.buffer, 0, view.buffer.byte_length) for view in filled])
    by_view = {id(view): source for view, source in zip(filled, sources, strict=True)}
    empty = MemorySource(b"")
    return [
        _host_value(by_view.get(id(value), empty), value) if isinstance(value, BufferView) else value
        for value in values
    ]


def _host_value(source: ByteSource, view: BufferView) -> Any:
    dtype = _view_type(view)
    byte_length = prod(view.shape) * dtype.byte_size
    if byte_length > source.size:
        raise InvocationError(
            f"the program returned {source.size} bytes for a tensor of {byte_length} bytes "
            f"({dtype.name}, shape {view.shape}); the module is faulty"
        )
    source = source if byte_length == source.size else source.slice(0, byte_length)
    numpy = numpy_module()
    if numpy is None:
        return Array(source, view.shape, dtype)
    element = _numpy_type(numpy, dtype)
    if element is None:
        return Array(source, view.shape, dtype)
    array = numpy.frombuffer(source.read(0, byte_length), element).reshape(view.shape)
    return array if array.flags.writeable else array.copy()


def _numpy_type(numpy: Any, dtype: DType) -> Any | None:
    if dtype.name != "bfloat16":
        return numpy.dtype(dtype.name)
    try:
        import ml_dtypes
    except ImportError:
        return None
    return numpy.dtype(ml_dtypes.bfloat16)


def _view_type(view: BufferView) -> DType:
    try:
        return by_element_type(view.element_type)
    except KeyError:
        raise InvocationError(
            f"the program returned a tensor of element type {view.element_type:#010x}; {supported_types()}"
        ) from None
