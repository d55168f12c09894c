"""Tensors that callers have on the host, in whatever form: NumPy, buffers, JavaScript arrays, numbers and lists.

Enters: one Python value. Leaves: a `HostTensor`: its bytes in row-major order, shape and element type. Memory is copied
only where it is not contiguous or not little-endian. Numbers and lists have no element type; they become the one asked
for.
"""

from __future__ import annotations

import operator
import struct
import sys
from math import prod
from typing import Any, NamedTuple

from webree.array import Array
from webree.dtypes import DTYPES, DType, by_name
from webree.errors import InvocationError
from webree.hal.registry import IN_BROWSER
from webree.module.source import ByteSource, MemorySource
from webree.signature import TensorType

__all__ = ["HostTensor", "give_shape", "host_array", "host_list", "numpy_module", "supported_types"]

_COMPLEX = 0x23
_FORMATS: dict[tuple[str, int], str] = {
    **{(dtype.format, dtype.byte_size): dtype.name for dtype in DTYPES if dtype.format and dtype.name != "bfloat16"},
    **{("l", size): f"int{size * 8}" for size in (4, 8)},
    **{("L", size): f"uint{size * 8}" for size in (4, 8)},
    ("n", 8): "int64",
    ("N", 8): "uint64",
    ("c", 1): "uint8",
}
"""Letter and size of a `struct` format -> NumPy's name."""
_SEQUENCES = (list, tuple, range)


class HostTensor(NamedTuple):
    """Bytes in row-major order with their shape and element type; `flat` where the caller's object has no shape."""

    source: ByteSource
    shape: tuple[int, ...]
    dtype: DType
    flat: bool = False


def numpy_module() -> Any | None:
    """NumPy if it can be imported (looked for once; in Pyodide it may be loaded later), else None."""
    global _numpy_missing
    module = sys.modules.get("numpy")
    if module is None and not _numpy_missing:
        try:
            import numpy as module
        except ImportError:
            _numpy_missing = True
    return module


_numpy_missing = False
_numpy_dtypes: dict[Any, DType] = {}
"""Of NumPy's types seen so far; making their names is slow."""

# --- Host arrays --------------------------------------------------------------------------------------------------


def host_array(value: Any) -> HostTensor | None:
    """The value as an array with an element type of its own, or None if it is a number or a list."""
    if isinstance(value, (bool, int, float, complex, *_SEQUENCES)):
        return None
    if isinstance(value, Array):
        return HostTensor(MemorySource(value.data), value.shape, by_name(value.dtype))
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
        return _numpy_array(numpy, value)
    if IN_BROWSER and (tensor := _js_array(value)) is not None:
        return tensor
    try:
        view = memoryview(value)
    except (TypeError, ValueError, BufferError):
        view = None
    if view is not None:
        return _buffer_array(view)
    if hasattr(value, "__array__") and (numpy := numpy_module()) is not None:
        return _numpy_array(numpy, numpy.asarray(value))
    return None


def _numpy_array(numpy: Any, value: Any) -> HostTensor:
    dtype = _numpy_dtypes.get(value.dtype)
    if dtype is None:
        name = value.dtype.name
        try:
            dtype = by_name(name)
        except KeyError:
            raise InvocationError(f"arrays of NumPy type {name!r} cannot be passed; {supported_types()}") from None
        _numpy_dtypes[value.dtype] = dtype
    shape = value.shape
    if not value.dtype.isnative:
        value = value.astype(value.dtype.newbyteorder("="))
    flat = numpy.ascontiguousarray(value).reshape(-1).view(numpy.uint8)
    return HostTensor(MemorySource(flat.data), shape, dtype)


def _buffer_array(view: memoryview) -> HostTensor:
    letter = view.format.lstrip("@=<")
    name = _FORMATS.get((letter, view.itemsize))
    if name is None:
        raise InvocationError(f"buffers of format {view.format!r} cannot be passed; {supported_types()}")
    shape = view.shape or ()
    source = MemorySource(view if view.c_contiguous and 0 not in shape else view.tobytes())
    return HostTensor(source, shape, by_name(name))


def _js_array(value: Any) -> HostTensor | None:
    """A typed array, or an ArrayBuffer as the bytes of a uint8 array; nothing is copied into Python."""
    from webree.browser.values import from_js, is_js_array

    if not is_js_array(value):
        return None
    source, name, count = from_js(value)
    return HostTensor(source, (count,), by_name(name or "uint8"), flat=True)


def give_shape(tensor: HostTensor, expected: TensorType) -> HostTensor:
    """A JavaScript typed array has no shape of its own: it takes the declared one if at most one extent is dynamic."""
    (count,) = tensor.shape
    static = prod(extent for extent in expected.shape if extent is not None)
    dynamic = expected.shape.count(None)
    if dynamic > 1 or static == 0 or count % static or (dynamic == 0 and count != static):
        return tensor
    shape = tuple(count // static if extent is None else extent for extent in expected.shape)
    return tensor._replace(shape=shape)


def supported_types() -> str:
    """For messages."""
    return f"supported are {', '.join(dict.fromkeys(dtype.name for dtype in DTYPES))}"


# --- Numbers and lists --------------------------------------------------------------------------------------------


def host_list(value: Any, dtype: DType, where: str) -> HostTensor:
    """Numbers and nested sequences as a tensor of `dtype`. Raises `InvocationError`, starting with `where`."""
    shape: list[int] = []
    elements: list[Any] = []
    _flatten(value, 0, shape, elements, where)
    return HostTensor(MemorySource(_pack(elements, dtype, where)), tuple(shape), dtype)


def _flatten(value: Any, axis: int, shape: list[int], elements: list[Any], where: str) -> None:
    """Append the numbers of nested sequences to `elements`; the first row of each axis fixes its extent."""
    if not isinstance(value, _SEQUENCES) and hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, _SEQUENCES):
        if axis != len(shape):
            raise InvocationError(f"{where}: a list with rows of different depth")
        elements.append(value)
        return
    if axis == len(shape):
        if elements:
            raise InvocationError(f"{where}: a list with rows of different depth")
        shape.append(len(value))
    elif shape[axis] != len(value):
        raise InvocationError(f"{where}: a list with rows of different lengths, {shape[axis]} and {len(value)}")
    for item in value:
        _flatten(item, axis + 1, shape, elements, where)


def _pack(elements: list[Any], dtype: DType, where: str) -> bytes:
    try:
        if dtype.numerical_type == _COMPLEX:
            parts = [part for element in elements for part in (complex(element).real, complex(element).imag)]
            return struct.pack(f"<{len(parts)}{'f' if dtype.byte_size == 8 else 'd'}", *parts)
        if dtype.name == "bfloat16":
            return struct.pack(f"<{len(elements)}H", *(_bfloat16(float(element)) for element in elements))
        convert = float if dtype.format in "efd" else bool if dtype.format == "?" else operator.index
        return struct.pack(f"<{len(elements)}{dtype.format}", *map(convert, elements))
    except (TypeError, ValueError, struct.error, OverflowError) as error:
        raise InvocationError(f"{where}: a value cannot be converted to {dtype.name}: {error}") from error


def _bfloat16(value: float) -> int:
    """The upper half of the float32, rounded to nearest even; NaN stays NaN."""
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    if value != value:
        return int(bits >> 16 | 0x40)
    return int((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
