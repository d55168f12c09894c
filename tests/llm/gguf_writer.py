"""GGUF files for tests, written from the format's description, and random tensors in its block formats.

Enters: metadata and tensors. Leaves: a file's bytes. A random block is random bytes with scales that are plausible, so
every code and every six-bit scale occurs.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["FORMATS", "Tensor", "plain", "random_blocks", "write_gguf"]

# Name -> (number in the file, elements of a block, bytes of a block, byte offsets of its f16 scales).
FORMATS: Mapping[str, tuple[int, int, int, tuple[int, ...]]] = {
    "F32": (0, 1, 4, ()),
    "F16": (1, 1, 2, ()),
    "Q4_0": (2, 32, 18, (0,)),
    "Q4_1": (3, 32, 20, (0, 2)),
    "Q5_0": (6, 32, 22, (0,)),
    "Q5_1": (7, 32, 24, (0, 2)),
    "Q8_0": (8, 32, 34, (0,)),
    "Q4_K": (12, 256, 144, (0, 2)),
    "Q5_K": (13, 256, 176, (0, 2)),
    "Q6_K": (14, 256, 210, (208,)),
    "BF16": (30, 1, 2, ()),
}

# Largest code times largest six-bit scale, as far as a block has one; the middle of the codes of formats with minima.
_LARGEST = {
    "Q4_0": 8,
    "Q4_1": 8,
    "Q5_0": 16,
    "Q5_1": 16,
    "Q8_0": 127,
    "Q4_K": 8 * 63,
    "Q5_K": 16 * 63,
    "Q6_K": 32 * 127,
}
_MIDDLE = {"Q4_1": -7.5, "Q5_1": -15.5, "Q4_K": 7.5, "Q5_K": 15.5}


@dataclass(frozen=True)
class Tensor:
    """A tensor to be written; `shape` row-major, `data` in the format's blocks."""

    name: str
    shape: tuple[int, ...]
    format: str
    data: bytes


def write_gguf(
    metadata: Mapping[str, Any], tensors: Sequence[Tensor], *, version: int = 3, alignment: int = 32
) -> bytes:
    """The file. Values may be bool, int (u32), float (f32), str and lists of these."""
    out = bytearray(b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata)))
    for key, value in metadata.items():
        kind, data = _value(value)
        out += _string(key) + struct.pack("<I", kind) + data
    offset = 0
    for tensor in tensors:
        out += _string(tensor.name) + struct.pack("<I", len(tensor.shape))
        out += b"".join(struct.pack("<Q", size) for size in reversed(tensor.shape))
        out += struct.pack("<IQ", FORMATS[tensor.format][0], offset)
        offset += -(-len(tensor.data) // alignment) * alignment
    for tensor in tensors:
        out += bytes(-len(out) % alignment) + tensor.data
    return bytes(out)


def plain(name: str, values: Any, form: str = "F32") -> Tensor:
    """A tensor of floats."""
    values = np.ascontiguousarray(values, np.float32)
    if form == "BF16":
        data = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    else:
        data = values.astype({"F32": np.float32, "F16": np.float16}[form]).tobytes()
    return Tensor(name, values.shape, form, data)


def random_blocks(name: str, shape: tuple[int, int], form: str, random: np.random.Generator, size: float) -> Tensor:
    """A matrix whose values are of the size `size`."""
    if form in ("F32", "F16", "BF16"):
        return plain(name, random.normal(0, size, shape), form)
    _, elements, byte_size, scales = FORMATS[form]
    blocks = random.integers(0, 256, (shape[0], shape[1] // elements, byte_size), np.uint8)
    scale = 2 * size / _LARGEST[form] * random.uniform(0.5, 1, blocks.shape[:2])
    for number, place in enumerate(scales):  # the second one makes the values' mean zero, or nearly
        values = scale if number == 0 else scale * _MIDDLE[form] * random.uniform(0.9, 1.1, scale.shape)
        blocks[..., place : place + 2] = values.astype(np.float16)[..., None].view(np.uint8)
    return Tensor(name, shape, form, blocks.tobytes())


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> tuple[int, bytes]:
    match value:
        case bool():
            return 7, struct.pack("<?", value)
        case int():
            return 4, struct.pack("<I", value)
        case float():
            return 6, struct.pack("<f", value)
        case str():
            return 8, _string(value)
        case _:
            items = [_value(item) for item in value]
            kind = items[0][0] if items else 4
            return 9, struct.pack("<IQ", kind, len(items)) + b"".join(data for _, data in items)
