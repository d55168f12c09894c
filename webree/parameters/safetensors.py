"""The `.safetensors` format: a length, a JSON header, and the tensors' bytes.

Enters: a file's bytes. Leaves: an entry for every tensor. The header is checked in full before anything is handed out:
known element types, sizes that follow from shapes, ranges inside the file that do not overlap.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import Any

from webree.errors import ModuleError
from webree.module.source import ByteSource
from webree.parameters.archive import Entry

__all__ = ["read_safetensors"]

_MAX_HEADER_BYTES = 100_000_000  # the format's own limit
_LENGTH_BYTES = 8
_BIT_SIZES = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "U16": 16,
    "I16": 16,
    "F16": 16,
    "BF16": 16,
    "U32": 32,
    "I32": 32,
    "F32": 32,
    "U64": 64,
    "I64": 64,
    "F64": 64,
    "C64": 64,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
}


def read_safetensors(source: ByteSource) -> Mapping[str, Entry]:
    """Entries by tensor name. Raises `ModuleError` for damage, with the tensor's name."""
    if source.size < _LENGTH_BYTES:
        raise ModuleError(f"not a safetensors file: {source.size} bytes", where="header")
    header_length = int.from_bytes(source.read(0, _LENGTH_BYTES), "little")
    data_length = source.size - _LENGTH_BYTES - header_length
    if header_length > _MAX_HEADER_BYTES or data_length < 0:
        raise ModuleError(
            f"not a safetensors file, or truncated: header of {header_length} bytes in a file of {source.size}",
            where="header",
        )
    header = _parse(bytes(source.read(_LENGTH_BYTES, header_length)))
    data = source.slice(_LENGTH_BYTES + header_length, data_length)
    ranges = {name: _range(name, fields, data_length) for name, fields in header.items() if name != "__metadata__"}
    _refuse_overlaps(ranges)
    return {name: Entry(end - start, data.slice(start, end - start)) for name, (start, end) in ranges.items()}


def _parse(header: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(header, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ModuleError(f"the JSON cannot be read: {error}", where="header") from error
    if not isinstance(fields, dict):
        raise ModuleError(f"expected a JSON object, found a {type(fields).__name__}", where="header")
    return fields


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name occurs twice")
    return fields


def _range(name: str, fields: Any, data_length: int) -> tuple[int, int]:
    where = f"tensor {name!r}"
    if not isinstance(fields, dict):
        raise ModuleError("expected a JSON object", where=where)
    offsets: Any = fields.get("data_offsets")
    shape: Any = fields.get("shape")
    dtype = fields.get("dtype")
    if not _is_sizes(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= data_length:
        raise ModuleError(f"data_offsets {offsets} in a file with {data_length} bytes of data", where=where)
    if not _is_sizes(shape):
        raise ModuleError(f"shape {shape} is not a list of sizes", where=where)
    bits = _BIT_SIZES.get(dtype) if isinstance(dtype, str) else None
    if bits is None:
        raise ModuleError(f"unknown dtype {dtype!r}; known: {', '.join(_BIT_SIZES)}", where=where)
    expected = -(-prod(shape) * bits // 8)
    if offsets[1] - offsets[0] != expected:
        raise ModuleError(
            f"{dtype} of shape {shape} needs {expected} bytes, found {offsets[1] - offsets[0]}", where=where
        )
    return offsets[0], offsets[1]


def _is_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 63 for value in values)


def _refuse_overlaps(ranges: Mapping[str, tuple[int, int]]) -> None:
    last_name, last_end = "", 0
    for name, (start, end) in sorted(ranges.items(), key=lambda item: item[1]):
        if start < last_end:
            raise ModuleError(f"overlaps tensor {last_name!r}", where=f"tensor {name!r}")
        last_name, last_end = name, end
