"""Parameter files as the compiler leaves them: `.safetensors` out of an `.irpa` archive, and archives of nothing.

Enters: the archive that the compiler's pass wrote, and the types of its tensors. Leaves: a file that any reader of
safetensors takes: tensors without gaps between them, those with larger elements first, so that each is aligned.
Sub-byte integers, for which the format has no type, are bytes (`U8`) as the compiler packs them.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from webree.parameters.archive import open_archive

__all__ = ["StoredTensor", "write_empty", "write_safetensors"]

_TYPES: dict[str, tuple[str, int]] = {
    "i1": ("BOOL", 1),
    "i8": ("I8", 1),
    "i16": ("I16", 2),
    "i32": ("I32", 4),
    "i64": ("I64", 8),
    "f16": ("F16", 2),
    "bf16": ("BF16", 2),
    "f32": ("F32", 4),
    "f64": ("F64", 8),
    "f8E4M3FN": ("F8_E4M3", 1),
    "f8E5M2": ("F8_E5M2", 1),
    "complex<f32>": ("C64", 8),
}
_BYTES = ("U8", 1)
_CHUNK = 16 << 20
_ALIGNMENT = 64  # of the first tensor's bytes: what vector loads from a mapped file like
_IRPA_HEADER = struct.Struct("<4sHHQQQQQQQQQQ")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of an archive: its key, MLIR's name of its elements' type, and its shape."""

    name: str
    element: str
    shape: tuple[int, ...]


def write_safetensors(path: Path, archive: Path, tensors: Sequence[StoredTensor]) -> None:
    """Copy the tensors, a piece at a time. Raises `OSError`; `ModuleError` if the archive is damaged."""
    entries = open_archive(archive).entries if tensors else {}
    rows = []
    for tensor in tensors:
        entry = entries[tensor.name]
        dtype, size = _TYPES.get(tensor.element, _BYTES)
        shape: Sequence[int] = tensor.shape
        if prod(shape) * size != entry.byte_length:
            (dtype, size), shape = _BYTES, (entry.byte_length,)
        rows.append((size, tensor.name, dtype, shape, entry))
    rows.sort(key=lambda row: (-row[0], row[1]))
    header: dict[str, object] = {}
    end = 0
    for _, name, dtype, shape, entry in rows:
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + entry.byte_length]}
        end += entry.byte_length
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(len(text) + 8) % _ALIGNMENT)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for *_, entry in rows:
            assert entry.source is not None, "splats stay in the module"
            for start in range(0, entry.byte_length, _CHUNK):
                file.write(entry.source.read(start, min(_CHUNK, entry.byte_length - start)))


def write_empty(path: Path) -> None:
    """An `.irpa` archive without entries. Raises `OSError`."""
    size = _IRPA_HEADER.size
    path.write_bytes(_IRPA_HEADER.pack(b"IRPA", 0, 0, size, 0, 0, 0, size, 0, size, 0, size, 0))
