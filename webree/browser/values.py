"""JavaScript's arrays as byte sources and back.

Enters: ArrayBuffers, typed arrays, DataViews; byte sources of either side. Leaves: `JsByteSource`, whose bytes stay in
JavaScript's memory until Python itself must look at them, and typed arrays for JavaScript.

Pyodide: https://pyodide.org/en/stable/usage/type-conversions.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import js
from pyodide.ffi import JsProxy, to_js

from webree.module.source import ByteSource

__all__ = ["BlobSource", "JsByteSource", "from_js", "is_js_array", "js_bytes", "plain", "typed_array"]

_TYPED_ARRAYS: Mapping[str, str] = {
    "Int8Array": "int8",
    "Uint8Array": "uint8",
    "Uint8ClampedArray": "uint8",
    "Int16Array": "int16",
    "Uint16Array": "uint16",
    "Int32Array": "int32",
    "Uint32Array": "uint32",
    "Float32Array": "float32",
    "Float64Array": "float64",
    "BigInt64Array": "int64",
    "BigUint64Array": "uint64",
    "DataView": "",
    "ArrayBuffer": "",
    "SharedArrayBuffer": "",
}
"""JavaScript's names -> NumPy's; "" for bytes of no type."""

_ARRAY_NAMES: Mapping[str, str] = {
    "int8": "Int8Array",
    "uint8": "Uint8Array",
    "bool": "Uint8Array",
    "int16": "Int16Array",
    "uint16": "Uint16Array",
    "int32": "Int32Array",
    "uint32": "Uint32Array",
    "int64": "BigInt64Array",
    "uint64": "BigUint64Array",
    "float16": "Uint16Array",  # of bits: Pyodide cannot look at a Float16Array; web/worker.js makes it one
    "float32": "Float32Array",
    "float64": "Float64Array",
}
"""NumPy's names -> JavaScript's."""


class JsByteSource:
    """A `ByteSource` over a JavaScript Uint8Array: slices are views, and nothing enters Python's heap but by `read`.

    Attributes:
        js_bytes: the Uint8Array.
        read_bytes: class-wide count of bytes that `read` copied into Python's heap; tests watch it.
    """

    __slots__ = ("_size", "js_bytes")

    read_bytes = 0

    def __init__(self, js_bytes: Any) -> None:
        self.js_bytes = js_bytes
        self._size = int(js_bytes.byteLength)

    @property
    def size(self) -> int:
        return self._size

    def read(self, byte_offset: int, byte_length: int) -> memoryview:
        _check_range(self._size, byte_offset, byte_length)
        JsByteSource.read_bytes += byte_length
        return memoryview(self.js_bytes.subarray(byte_offset, byte_offset + byte_length).to_bytes())

    def slice(self, byte_offset: int, byte_length: int) -> JsByteSource:
        _check_range(self._size, byte_offset, byte_length)
        return JsByteSource(self.js_bytes.subarray(byte_offset, byte_offset + byte_length))


def _check_range(size: int, byte_offset: int, byte_length: int) -> None:
    if byte_offset < 0 or byte_length < 0 or byte_offset + byte_length > size:
        raise IndexError(f"bytes {byte_offset}..{byte_offset + byte_length} lie outside a source of {size} bytes")


class BlobSource:
    """A `ByteSource` over a Blob or File in a worker: a range is read from it when it is asked for, and no more."""

    __slots__ = ("_blob", "_start", "size")

    def __init__(self, blob: Any, byte_offset: int = 0, byte_length: int | None = None) -> None:
        self._blob = blob
        self._start = byte_offset
        self.size = int(blob.size) if byte_length is None else byte_length

    def read(self, byte_offset: int, byte_length: int) -> memoryview:
        _check_range(self.size, byte_offset, byte_length)
        start = self._start + byte_offset
        part = js.FileReaderSync.new().readAsArrayBuffer(self._blob.slice(start, start + byte_length))
        return memoryview(part.to_bytes())

    def slice(self, byte_offset: int, byte_length: int) -> BlobSource:
        _check_range(self.size, byte_offset, byte_length)
        return BlobSource(self._blob, self._start + byte_offset, byte_length)


def is_js_array(value: object) -> bool:
    """Whether `value` is a JavaScript typed array, DataView or ArrayBuffer."""
    return isinstance(value, JsProxy) and _constructor_name(value) in _TYPED_ARRAYS


def from_js(value: Any) -> tuple[JsByteSource, str, int]:
    """Bytes (not copied), NumPy name of the element type ("" for an ArrayBuffer or DataView) and element count of a
    JavaScript array for which `is_js_array` holds."""
    name = _constructor_name(value)
    dtype = getattr(value, "dtype", None) or _TYPED_ARRAYS[name]
    if name.endswith("ArrayBuffer"):
        source = js.Uint8Array.new(value)
    else:
        source = js.Uint8Array.new(value.buffer, value.byteOffset, value.byteLength)
    return JsByteSource(source), dtype, int(value.length) if dtype else int(source.byteLength)


def typed_array(source: ByteSource, dtype: str) -> Any:
    """A JavaScript typed array with the elements of a NumPy type's name; it owns its memory.

    bool gives a Uint8Array, and types that JavaScript lacks (bfloat16, complex) a Uint8Array of their bytes."""
    return getattr(js, _ARRAY_NAMES.get(dtype, "Uint8Array")).new(js_bytes(source).slice().buffer)


def js_bytes(source: ByteSource) -> Any:
    """A Uint8Array with the bytes of a source: its own if it has one, else a copy."""
    if isinstance(source, JsByteSource):
        return source.js_bytes
    return to_js(source.read(0, source.size))


def plain(value: Any) -> Any:
    """Python's lists and dicts as JavaScript's arrays and objects."""
    return to_js(value, dict_converter=js.Object.fromEntries)


def _constructor_name(value: Any) -> str:
    return str(getattr(getattr(value, "constructor", None), "name", ""))
