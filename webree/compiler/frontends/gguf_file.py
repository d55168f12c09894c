"""GGUF files: metadata and the places of tensors.

Enters: the bytes of a `.gguf` file (mapped, so that tensors are read where they are used). Leaves: a `GgufFile`: the
metadata as Python values and a `GgufTensor` for each tensor, whose bytes were checked to lie inside the file. Nothing
that the file says is trusted: counts, lengths, offsets and types are checked before they are used, and whatever is
wrong becomes one `CompileError` that says where. The format is specified in the document `docs/gguf.md` of the project
ggml; versions 2 and 3 in little-endian order are read.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from webree.errors import CompileError

__all__ = ["BLOCKS", "BlockFormat", "GgufFile", "GgufTensor", "open_gguf", "read_gguf"]


@dataclass(frozen=True, slots=True)
class BlockFormat:
    """How a tensor type lies in memory: blocks of `elements` values in `byte_size` bytes, along the last axis."""

    name: str
    elements: int
    byte_size: int


BLOCKS: Mapping[int, BlockFormat] = {
    0: BlockFormat("F32", 1, 4),
    1: BlockFormat("F16", 1, 2),
    2: BlockFormat("Q4_0", 32, 18),
    3: BlockFormat("Q4_1", 32, 20),
    6: BlockFormat("Q5_0", 32, 22),
    7: BlockFormat("Q5_1", 32, 24),
    8: BlockFormat("Q8_0", 32, 34),
    9: BlockFormat("Q8_1", 32, 36),
    10: BlockFormat("Q2_K", 256, 84),
    11: BlockFormat("Q3_K", 256, 110),
    12: BlockFormat("Q4_K", 256, 144),
    13: BlockFormat("Q5_K", 256, 176),
    14: BlockFormat("Q6_K", 256, 210),
    15: BlockFormat("Q8_K", 256, 292),
    16: BlockFormat("IQ2_XXS", 256, 66),
    17: BlockFormat("IQ2_XS", 256, 74),
    18: BlockFormat("IQ3_XXS", 256, 98),
    19: BlockFormat("IQ1_S", 256, 50),
    20: BlockFormat("IQ4_NL", 32, 18),
    21: BlockFormat("IQ3_S", 256, 110),
    22: BlockFormat("IQ2_S", 256, 82),
    23: BlockFormat("IQ4_XS", 256, 136),
    24: BlockFormat("I8", 1, 1),
    25: BlockFormat("I16", 1, 2),
    26: BlockFormat("I32", 1, 4),
    27: BlockFormat("I64", 1, 8),
    28: BlockFormat("F64", 1, 8),
    29: BlockFormat("IQ1_M", 256, 56),
    30: BlockFormat("BF16", 1, 2),
    34: BlockFormat("TQ1_0", 256, 54),
    35: BlockFormat("TQ2_0", 256, 66),
    39: BlockFormat("MXFP4", 32, 17),
}
"""Tensor types by their number in the file."""

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MAX_RANK = 4
_MAX_DEPTH = 4
_SCALARS: Mapping[int, struct.Struct] = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_STRING, _ARRAY = 8, 9
_MIN_STRING_BYTES = 8
_MIN_ARRAY_BYTES = 12
_MIN_TENSOR_BYTES = 24


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """A tensor in a file.

    Attributes:
        name: as the file calls it, e.g. `blk.0.attn_q.weight`.
        shape: row-major, the contiguous axis last (the file states it the other way round).
        format: its type.
        data: its bytes, inside the file.
    """

    name: str
    shape: tuple[int, ...]
    format: BlockFormat
    data: memoryview

    @property
    def row_count(self) -> int:
        """Number of vectors along the last axis."""
        return prod(self.shape[:-1])


@dataclass(frozen=True, slots=True)
class GgufFile:
    """What a file holds.

    Attributes:
        label: what errors call it.
        metadata: values by key; arrays are lists.
        tensors: by name, in the file's order.
    """

    label: str
    metadata: Mapping[str, Any]
    tensors: Mapping[str, GgufTensor]

    def value(self, key: str, kind: type, default: Any = None) -> Any:
        """The metadata value of a key, which must be a `kind` (an integer passes for a float).

        Raises `CompileError` if it is of another type, or missing where there is no default."""
        found = self.metadata.get(key, default)
        if found is None:
            raise CompileError(f"{self.label}: the metadata key {key!r} is missing", location=self.label)
        if kind is float and type(found) is int:
            return float(found)
        if type(found) is not kind:
            raise CompileError(
                f"{self.label}: the metadata key {key!r} is of type {type(found).__name__}, expected {kind.__name__}",
                location=self.label,
            )
        return found


def open_gguf(path: Path) -> GgufFile:
    """Map a file and read its header. Raises `CompileError`: missing, unreadable, damaged, or of another version."""
    try:
        with open(path, "rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
    except FileNotFoundError as error:
        raise CompileError(f"there is no model file at {path}", location=str(path)) from error
    except OSError as error:
        raise CompileError(f"cannot read {path}: {error.strerror or error}", location=str(path)) from error
    return read_gguf(memoryview(data), path.name)


def read_gguf(data: bytes | memoryview, label: str) -> GgufFile:
    """The header of a file whose bytes are `data`. Raises `CompileError` for damage, with its place."""
    reader = _Reader(memoryview(data), label)
    if bytes(reader.take(4, "magic")) != _MAGIC:
        raise reader.error("it does not start with GGUF", "magic")
    version = reader.number(4, "version")
    if version not in _VERSIONS:
        swapped = " (a big-endian file?)" if version >= 1 << 16 else ""
        raise reader.error(f"version {version}{swapped}; versions 2 and 3 are supported", "version", unsupported=True)
    tensor_count = reader.count(_MIN_TENSOR_BYTES, "number of tensors")
    metadata: dict[str, Any] = {}
    for index in range(reader.count(_MIN_ARRAY_BYTES + 1, "number of metadata values")):
        key = reader.string(f"metadata key {index}")
        where = f"metadata {key!r}"
        if key in metadata:
            raise reader.error("the key occurs twice", where)
        metadata[key] = reader.value(reader.number(4, where), where)
    infos = [_tensor_info(reader, index) for index in range(tensor_count)]
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 8 or alignment & (alignment - 1) or alignment > 1 << 20:
        raise reader.error(f"{alignment!r} is no power of two from 8", "metadata 'general.alignment'")
    start = -(-reader.position // alignment) * alignment
    return GgufFile(label, metadata, _tensors(reader, infos, start, alignment))


_Info = tuple[str, tuple[int, ...], BlockFormat, int]


def _tensor_info(reader: _Reader, index: int) -> _Info:
    name = reader.string(f"name of tensor {index}")
    where = f"tensor {name!r}"
    rank = reader.number(4, where)
    if rank > _MAX_RANK:
        raise reader.error(f"{rank} axes; at most {_MAX_RANK} are allowed", where)
    shape = tuple(reader.number(8, where) for _ in range(rank))[::-1]
    number = reader.number(4, where)
    form = BLOCKS.get(number)
    if form is None:
        known = ", ".join(item.name for item in BLOCKS.values())
        raise reader.error(f"unknown type number {number}; known: {known}", where, unsupported=True)
    if shape and shape[-1] % form.elements:
        raise reader.error(f"{form.name} of shape {list(shape)}: rows are whole blocks of {form.elements}", where)
    return name, shape, form, reader.number(8, where)


def _tensors(reader: _Reader, infos: list[_Info], start: int, alignment: int) -> dict[str, GgufTensor]:
    tensors: dict[str, GgufTensor] = {}
    for name, shape, form, offset in infos:
        where = f"tensor {name!r}"
        if name in tensors:
            raise reader.error("the name occurs twice", where)
        if offset % alignment:
            raise reader.error(f"its offset {offset} is no multiple of {alignment}", where)
        byte_length = prod(shape) // form.elements * form.byte_size
        end = start + offset + byte_length
        if end > len(reader.data):
            raise reader.error(
                f"{form.name} of shape {list(shape)} ends at byte {end} of a file of {len(reader.data)}; is the file "
                "truncated?",
                where,
            )
        tensors[name] = GgufTensor(name, shape, form, reader.data[start + offset : end])
    return tensors


class _Reader:
    """Takes values from the front of the file's bytes."""

    def __init__(self, data: memoryview, label: str) -> None:
        self.data = data
        self.position = 0
        self._label = label

    def error(self, message: str, where: str, *, unsupported: bool = False) -> CompileError:
        text = f"{self._label}: {where}: {message}"
        return CompileError(text, location=self._label, unsupported=unsupported)

    def take(self, byte_count: int, where: str) -> memoryview:
        end = self.position + byte_count
        if end > len(self.data):
            raise self.error(f"the file ends at byte {len(self.data)}; is it truncated?", where)
        part = self.data[self.position : end]
        self.position = end
        return part

    def number(self, byte_count: int, where: str) -> int:
        return int.from_bytes(self.take(byte_count, where), "little")

    def count(self, item_bytes: int, where: str) -> int:
        """A number of items of at least `item_bytes` each, which the rest of the file must have room for."""
        found = self.number(8, where)
        if found * item_bytes > len(self.data) - self.position:
            raise self.error(f"{found} of them do not fit into a file of {len(self.data)} bytes", where)
        return found

    def string(self, where: str) -> str:
        data = bytes(self.take(self.count(1, where), where))
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self.error(f"not UTF-8: {data[:40]!r}", where) from error

    def value(self, kind: int, where: str, depth: int = 0) -> Any:
        if kind in _SCALARS:
            scalar = _SCALARS[kind]
            return scalar.unpack(self.take(scalar.size, where))[0]
        if kind == _STRING:
            return self.string(where)
        if kind != _ARRAY or depth == _MAX_DEPTH:
            raise self.error(f"unknown value type {kind}" if kind != _ARRAY else "arrays nested too deep", where)
        item = self.number(4, where)
        if item in _SCALARS:
            scalar = _SCALARS[item]
            data = self.take(self.count(scalar.size, where) * scalar.size, where)
            return [value for (value,) in scalar.iter_unpack(data)]
        smallest = _MIN_STRING_BYTES if item == _STRING else _MIN_ARRAY_BYTES
        return [self.value(item, where, depth + 1) for _ in range(self.count(smallest, where))]
