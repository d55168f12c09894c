"""Arrays of the runtime itself: `Array` on the host where NumPy is not loaded, `DeviceArray` for tensors on a device.

Enters: bytes read back from a device, or a buffer view. Leaves: shape, dtype, elements, and the buffer protocol, so
that NumPy, `memoryview` and JavaScript can take them over without this package's help. The bytes of an `Array` are
fetched into Python only when Python looks at them: `to_js()` in the browser does not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from webree.dtypes import DTYPES, DType
from webree.errors import DeviceError, UsageError
from webree.hal.registry import IN_BROWSER
from webree.module.source import ByteSource, MemorySource
from webree.waiting import Suspendable, run_async, run_sync

if TYPE_CHECKING:
    from webree.hal.buffer_view import BufferView
    from webree.hal.device import Device
    from webree.hal.fence import Fence

__all__ = ["Array", "DeviceArray", "decode"]

_REPR_ELEMENTS = 32
_NATIVE_FORMATS = frozenset(
    dtype.name for dtype in DTYPES if dtype.format and dtype.name not in ("float16", "bfloat16")
)
_ARRAY_INTERFACE_KINDS = {0x13: "b", 0x10: "i", 0x11: "i", 0x12: "u", 0x21: "f", 0x22: "u", 0x23: "c"}


class Array:
    """A dense row-major array in host memory.

    Attributes:
        shape: elements along each axis; () for a scalar tensor.
        dtype: the element type's NumPy name (`float32`, `int64`, `bool`, `bfloat16`).

    Has the buffer protocol (Python 3.12+), `__array_interface__`, `len()`, iteration, and indexing by integers: a full
    index gives a Python number, a shorter one an `Array` over the same bytes. `float16`, `bfloat16` and complex arrays
    have no buffer format; `.data` has their bytes.
    """

    __slots__ = ("_bytes", "_dtype", "_source", "dtype", "shape")

    def __init__(self, source: ByteSource, shape: Sequence[int], dtype: DType) -> None:
        self._source = source
        self._bytes: memoryview | None = None
        self._dtype = dtype
        self.dtype = dtype.name
        self.shape = tuple(shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Length in bytes."""
        return self._source.size

    @property
    def data(self) -> memoryview:
        """The bytes, flat; no copy (the first use fetches them from JavaScript in the browser)."""
        if self._bytes is None:
            self._bytes = self._source.read(0, self._source.size)
        return self._bytes

    def tobytes(self) -> bytes:
        """A copy of the bytes, little-endian, row-major."""
        return bytes(self.data)

    def __bytes__(self) -> bytes:
        return self.tobytes()  # without it bytes(array) would take __index__ first, as a length

    def tolist(self) -> Any:
        """Nested lists of Python numbers; one number for shape ()."""
        return _nest(decode(self.data, self._dtype), self.shape)

    def item(self) -> Any:
        """The only element. Raises `UsageError` if there is not exactly one."""
        if self.size != 1:
            raise UsageError(f"item() needs exactly one element; this array has shape {self.shape}")
        return decode(self.data, self._dtype)[0]

    def to_js(self) -> Any:
        """The elements as a flat JavaScript typed array (browser only)."""
        if not IN_BROWSER:
            raise UsageError("to_js() works only in the browser, under Pyodide")
        from webree.browser.values import typed_array

        return typed_array(self._source, self.dtype)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        kind = _ARRAY_INTERFACE_KINDS[self._dtype.numerical_type]
        order = "|" if self._dtype.byte_size == 1 else "<"
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": f"{order}{kind}{self._dtype.byte_size}",
            "data": self.data,
        }

    def __buffer__(self, flags: int) -> memoryview:
        if self.dtype not in _NATIVE_FORMATS:  # NumPy then takes __array_interface__
            raise BufferError(f"memoryview has no format for {self.dtype}; take .data for the bytes")
        native: Any = self._dtype.format
        typed: memoryview = self.data.cast(native, self.shape) if self.size else self.data.cast(native)
        return typed

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("an array of shape () has no length")
        return self.shape[0]

    def __getitem__(self, index: int | tuple[int, ...]) -> Any:
        indices = index if isinstance(index, tuple) else (index,)
        if len(indices) > len(self.shape):
            raise IndexError(f"{len(indices)} indices for an array of shape {self.shape}")
        byte_offset, byte_length = 0, self._source.size
        for axis, (position, extent) in enumerate(zip(indices, self.shape, strict=False)):
            if not -extent <= position < extent:
                raise IndexError(f"index {position} is out of range for axis {axis} of shape {self.shape}")
            byte_length //= extent
            byte_offset += (position % extent) * byte_length
        part = self.data[byte_offset : byte_offset + byte_length]
        rest = self.shape[len(indices) :]
        return Array(MemorySource(part), rest, self._dtype) if rest else decode(part, self._dtype)[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[position] for position in range(len(self)))

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        value: int = self.item().__index__()
        return value

    def __bool__(self) -> bool:
        return bool(self.item())

    def __repr__(self) -> str:
        if self.size <= _REPR_ELEMENTS:
            return f"webree.Array({self.tolist()}, shape={self.shape}, dtype={self.dtype})"
        return f"webree.Array(shape={self.shape}, dtype={self.dtype})"


class DeviceArray:
    """A tensor that stays in device memory, to be passed to further calls without a trip through the host.

    Attributes:
        shape: elements along each axis.
        dtype: the element type's NumPy name.
        device: the device whose memory it is in; only modules loaded on this device take it.
        ready: the fence behind which its elements are there, for a call that has not begun yet (`Function.after`); None
            where the device's own order sees to that. Calls that get the array, and `to_host`, wait for it.

    The memory is given back when the last reference is gone, or at `close()`.
    """

    __slots__ = ("_dtype", "_view", "dtype", "ready", "shape")

    def __init__(self, view: BufferView, dtype: DType, ready: Fence | None = None) -> None:
        self.ready = ready
        self._view: BufferView | None = view
        self._dtype = dtype
        self.dtype = dtype.name
        self.shape = view.shape

    @property
    def view(self) -> BufferView:
        """The buffer view. Raises `DeviceError` after `close()`."""
        if self._view is None:
            raise DeviceError(f"this {self.dtype} array of shape {self.shape} was closed")
        return self._view

    @property
    def device(self) -> Device:
        return self.view.buffer.device

    @property
    def nbytes(self) -> int:
        """Length in bytes."""
        return prod(self.shape) * self._dtype.byte_size

    def to_host(self) -> Any:
        """Wait for the work queued so far and copy to the host: a NumPy array where NumPy is, else an `Array`.

        Raises `DeviceError` if the device was lost or that work failed."""
        return run_sync(self._read())

    async def to_host_async(self) -> Any:
        """As `to_host`, as a coroutine."""
        return await run_async(self._read())

    def _read(self) -> Suspendable[Any]:
        from webree.hal.fence import until
        from webree.marshal import read_back

        view = self.view
        if self.ready is not None:
            yield from until(self.ready)
        return (yield from read_back([view]))[0]

    def close(self) -> None:
        """Drop this reference to the memory. Safe to call twice."""
        self._view = None

    def __repr__(self) -> str:
        where = "closed" if self._view is None else self._view.buffer.device.info.name
        return f"webree.DeviceArray(shape={self.shape}, dtype={self.dtype}, device={where!r})"


def decode(data: memoryview, dtype: DType) -> list[Any]:
    """All elements as Python numbers."""
    count = len(data) // dtype.byte_size
    if dtype.name == "bfloat16":
        words = struct.unpack(f"<{count}H", data)
        return list(struct.unpack(f"<{count}f", struct.pack(f"<{count}I", *(word << 16 for word in words))))
    if dtype.format:
        return list(struct.unpack(f"<{count}{dtype.format}", data))
    part = "f" if dtype.byte_size == 8 else "d"
    parts = struct.unpack(f"<{2 * count}{part}", data)
    return [complex(real, imaginary) for real, imaginary in zip(parts[::2], parts[1::2], strict=True)]


def _nest(elements: Sequence[Any], shape: tuple[int, ...]) -> Any:
    if not shape:
        return elements[0]
    if len(shape) == 1:
        return list(elements)
    step = prod(shape[1:])
    return [_nest(elements[row * step : (row + 1) * step], shape[1:]) for row in range(shape[0])]
