"""Host byte buffers (`!vm.buffer`): constants of the module file and memory that programs allocate.

Enters: a `ByteSource` (read-only; in the browser it may lie in JavaScript, and is read only if the program itself looks
inside) or a Python buffer. Leaves: `VmBuffer` objects, and the functions behind the `buffer.*` instructions: offsets
and lengths of loads, stores and fills are in elements, all others in bytes.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from typing import Any

from webree.errors import InvocationError, StatusCode
from webree.module.source import ByteSource, MemorySource

__all__ = ["VmBuffer"]

MAX_BYTES = 1 << 31
_ACCESS_ERRORS = (AttributeError, TypeError, ValueError, IndexError, OverflowError, struct.error)


class VmBuffer:
    """A range of host bytes.

    Attributes:
        byte_length: size in bytes.
        mutable: whether programs may write to it.
        vm_bytes: the bytes as Python sees them; None until something looks at a source.
        parent, parent_offset: the whole buffer that this is a range of, and where it begins there; None and 0 if whole.
    """

    __slots__ = ("__weakref__", "_source", "byte_length", "mutable", "parent", "parent_offset", "vm_bytes")

    vm_type = "vm.buffer"

    def __init__(self, data: bytes | bytearray | memoryview | ByteSource, *, mutable: bool = False) -> None:
        """A buffer over `data`, not copied; `mutable` needs writable data."""
        self.vm_bytes: memoryview | None = None
        self._source: ByteSource | None = None
        if isinstance(data, bytes | bytearray | memoryview):
            self.vm_bytes = memoryview(data).cast("B")
            if not mutable:
                self.vm_bytes = self.vm_bytes.toreadonly()
            self.byte_length = len(self.vm_bytes)
        else:
            self._source = data
            self.byte_length = data.size
        self.mutable = mutable
        self.parent: VmBuffer | None = None
        self.parent_offset = 0

    @classmethod
    def allocate(cls, byte_length: int) -> VmBuffer:
        """A new mutable buffer of zeros. Raises `InvocationError` (RESOURCE_EXHAUSTED)."""
        if not 0 <= byte_length <= MAX_BYTES:
            raise _exhausted(byte_length)
        try:
            return cls(bytearray(byte_length), mutable=True)
        except MemoryError as error:
            raise _exhausted(byte_length) from error

    def view(self) -> memoryview:
        """All bytes, read from the source the first time."""
        if self.vm_bytes is None:
            assert self._source is not None
            self.vm_bytes = self._source.read(0, self.byte_length).toreadonly()
        return self.vm_bytes

    def typed(self, letter: str) -> memoryview[Any]:
        """All whole elements of a `struct` format."""
        view = self.view()
        size = struct.calcsize("<" + letter)
        native: Any = letter
        if len(view) < size:
            return memoryview(array(letter))  # nothing has no shape to be cast to
        return (view if len(view) % size == 0 else view[: len(view) // size * size]).cast(native)

    def subspan(self, byte_offset: int, byte_length: int) -> VmBuffer:
        """A range as a buffer of its own, over the same bytes. Raises `InvocationError` (OUT_OF_RANGE)."""
        _check_range(self, byte_offset, byte_length)
        if byte_length == self.byte_length:
            return self
        if self.vm_bytes is None and self._source is not None:
            part = VmBuffer(self._source.slice(byte_offset, byte_length))
        else:
            part = VmBuffer(self.view()[byte_offset : byte_offset + byte_length], mutable=self.mutable)
        part.parent, part.parent_offset = self.parent or self, self.parent_offset + byte_offset
        return part

    def read(self, byte_offset: int, byte_length: int) -> memoryview:
        """The bytes of a range, not copied where they are in Python. Raises `InvocationError` (OUT_OF_RANGE)."""
        _check_range(self, byte_offset, byte_length)
        if self.vm_bytes is None and self._source is not None and byte_length != self.byte_length:
            return self._source.read(byte_offset, byte_length)
        return self.view()[byte_offset : byte_offset + byte_length]

    def write(self, byte_offset: int, data: bytes | bytearray | memoryview) -> None:
        """Overwrite a range. Raises `InvocationError` (OUT_OF_RANGE, PERMISSION_DENIED)."""
        data = memoryview(data).cast("B")
        _check_range(self, byte_offset, len(data))
        _writable(self)[byte_offset : byte_offset + len(data)] = data

    def source(self) -> ByteSource:
        """The bytes as a source, never a copy."""
        return self._source if self._source is not None else MemorySource(self.view())

    def __repr__(self) -> str:
        return f"<vm.buffer of {self.byte_length} bytes{'' if self.mutable else ', read-only'}>"


def _exhausted(byte_length: int) -> InvocationError:
    return InvocationError(
        f"cannot allocate a host buffer of {byte_length} bytes; the largest has {MAX_BYTES}",
        status=StatusCode.RESOURCE_EXHAUSTED,
    )


def _out_of_range(buffer: VmBuffer, byte_offset: int, byte_length: int) -> InvocationError:
    return InvocationError(
        f"bytes {byte_offset}..{byte_offset + byte_length} lie outside a buffer of {buffer.byte_length} bytes",
        status=StatusCode.OUT_OF_RANGE,
    )


def _check_buffer(buffer: Any) -> VmBuffer:
    if not isinstance(buffer, VmBuffer):
        found = "null" if buffer is None else f"a {type(buffer).__name__}"
        raise InvocationError(f"expected a buffer, found {found}", status=StatusCode.INVALID_ARGUMENT)
    return buffer


def _check_range(buffer: VmBuffer, byte_offset: int, byte_length: int) -> None:
    if byte_offset < 0 or byte_length < 0 or byte_offset + byte_length > buffer.byte_length:
        raise _out_of_range(buffer, byte_offset, byte_length)


def _writable(buffer: VmBuffer) -> memoryview:
    if not buffer.mutable:
        raise InvocationError("the buffer is read-only", status=StatusCode.PERMISSION_DENIED)
    return buffer.view()


def _loader(letter: str) -> Callable[[Any, int], Any]:
    layout = struct.Struct("<" + letter)
    unpack_from, size = layout.unpack_from, layout.size

    def load(buffer: Any, index: int) -> Any:
        try:
            if index >= 0:
                return unpack_from(buffer.vm_bytes, index * size)[0]
        except _ACCESS_ERRORS:
            pass
        # Something is wrong, or the bytes have not been fetched yet.
        buffer = _check_buffer(buffer)
        _check_range(buffer, index * size, size)
        return unpack_from(buffer.view(), index * size)[0]

    return load


def _storer(letter: str, mask: int | None = None) -> Callable[[Any, int, Any], None]:
    layout = struct.Struct("<" + letter)
    pack_into, size = layout.pack_into, layout.size

    def store(buffer: Any, index: int, value: Any) -> None:
        if mask is not None:
            value &= mask
        try:
            if index >= 0:
                return pack_into(buffer.vm_bytes, index * size, value)
        except _ACCESS_ERRORS:
            pass
        buffer = _check_buffer(buffer)
        view = _writable(buffer)
        _check_range(buffer, index * size, size)
        return pack_into(view, index * size, value)

    return store


def _filler(letter: str, mask: int | None = None) -> Callable[[Any, int, int, Any], None]:
    layout = struct.Struct("<" + letter)

    def fill(buffer: Any, index: int, count: int, value: Any) -> None:
        buffer = _check_buffer(buffer)
        view = _writable(buffer)
        begin, length = index * layout.size, count * layout.size
        _check_range(buffer, begin, length)
        view[begin : begin + length] = layout.pack(value if mask is None else value & mask) * count

    return fill


class _NoView:
    """Stands for the typed view of something that has none: every access fails as one without a view does."""

    __slots__ = ("_buffer", "_load", "_store")

    def __init__(self, buffer: Any, load: Callable[..., Any], store: Callable[..., Any]) -> None:
        self._buffer, self._load, self._store = buffer, load, store

    def __getitem__(self, index: int) -> Any:
        return self._load(self._buffer, index)

    def __setitem__(self, index: int, value: Any) -> None:
        self._store(self._buffer, index, value)


def _viewer(
    letter: str, load: Callable[..., Any], store: Callable[..., Any], *, writes: bool
) -> Callable[[Any], memoryview[Any] | _NoView]:
    size = struct.calcsize("<" + letter)

    def view(buffer: Any) -> memoryview[Any] | _NoView:
        if isinstance(buffer, VmBuffer) and buffer.byte_length >= size and (buffer.mutable or not writes):
            return buffer.typed(letter)
        return _NoView(buffer, load, store)

    return view


load_i8_u, load_i8_s = _loader("B"), _loader("b")
load_i16_u, load_i16_s = _loader("H"), _loader("h")
load_i32, load_i64, load_f32, load_f64 = _loader("i"), _loader("q"), _loader("f"), _loader("d")
store_i8, store_i16 = _storer("B", 0xFF), _storer("H", 0xFFFF)
store_i32, store_i64, store_f32, store_f64 = _storer("i"), _storer("q"), _storer("f"), _storer("d")
NO_VIEW = _NoView(None, load_i32, store_i32)
"""Of a null reference."""

_LOADS = {"B": load_i8_u, "b": load_i8_s, "H": load_i16_u, "h": load_i16_s}
_LOADS |= {"i": load_i32, "q": load_i64, "f": load_f32, "d": load_f64}
_STORES = {"B": store_i8, "H": store_i16, "i": store_i32, "q": store_i64, "f": store_f32, "d": store_f64}
VIEWERS: dict[str, Callable[[Any], Any]] = {
    **{f"view_{letter}": _viewer(letter, load, store_i8, writes=False) for letter, load in _LOADS.items()},
    **{f"edit_{letter}": _viewer(letter, load_i8_u, store, writes=True) for letter, store in _STORES.items()},
}
"""What makes the typed views that loops index: to load from (`view_f`) and to store to (`edit_f`)."""


def f32_cell() -> array[float]:
    """One f32: what is stored in it comes out rounded."""
    return array("f", (0.0,))


fill_i8, fill_i16 = _filler("B", 0xFF), _filler("H", 0xFFFF)
fill_i32, fill_i64, fill_f32, fill_f64 = _filler("i"), _filler("q"), _filler("f"), _filler("d")


def buffer_alloc(byte_length: int, alignment: int) -> VmBuffer:
    return VmBuffer.allocate(byte_length)


def buffer_clone(buffer: Any, byte_offset: int, byte_length: int, alignment: int) -> VmBuffer:
    source = _check_buffer(buffer).read(byte_offset, byte_length)
    clone = VmBuffer.allocate(byte_length)
    clone.write(0, source)
    return clone


def buffer_length(buffer: Any) -> int:
    return _check_buffer(buffer).byte_length


def buffer_copy(source: Any, source_offset: int, target: Any, target_offset: int, byte_length: int) -> None:
    target = _check_buffer(target)
    _writable(target)
    target.write(target_offset, _check_buffer(source).read(source_offset, byte_length))


def buffer_compare(a: Any, a_offset: int, b: Any, b_offset: int, byte_length: int) -> int:
    left = _check_buffer(a).read(a_offset, byte_length)
    return 1 if left == _check_buffer(b).read(b_offset, byte_length) else 0


def buffer_hash(buffer: Any, byte_offset: int, byte_length: int) -> int:
    """SipHash-2-4 of the bytes with the key 00 01 … 0F, as a signed i64 (https://www.aumasson.jp/siphash/)."""
    data = _check_buffer(buffer).read(byte_offset, byte_length)
    mask = 0xFFFFFFFFFFFFFFFF
    k0, k1 = 0x0706050403020100, 0x0F0E0D0C0B0A0908
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    whole = byte_length & ~7
    words = [*struct.unpack(f"<{whole // 8}Q", data[:whole])]
    words.append(int.from_bytes(data[whole:], "little") | (byte_length & 0xFF) << 56)
    for word, rounds in [(word, 2) for word in words] + [(None, 4)]:
        if word is None:
            v2 ^= 0xFF
        else:
            v3 ^= word
        for _ in range(rounds):
            v0 = v0 + v1 & mask
            v1 = (v1 << 13 | v1 >> 51) & mask ^ v0
            v0 = (v0 << 32 | v0 >> 32) & mask
            v2 = v2 + v3 & mask
            v3 = (v3 << 16 | v3 >> 48) & mask ^ v2
            v0 = v0 + v3 & mask
            v3 = (v3 << 21 | v3 >> 43) & mask ^ v0
            v2 = v2 + v1 & mask
            v1 = (v1 << 17 | v1 >> 47) & mask ^ v2
            v2 = (v2 << 32 | v2 >> 32) & mask
        if word is not None:
            v0 ^= word
    result = v0 ^ v1 ^ v2 ^ v3
    return result - (1 << 64) if result >> 63 else result
