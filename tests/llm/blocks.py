"""A second reading of GGUF's block formats: value by value, in plain Python.

Enters: a tensor's bytes. Leaves: its values as float64. Written from the formats' description with an index for every
value, where webree reshapes and concatenates, so that a mistake in one is not in the other.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

import numpy as np

from tests.llm.gguf_writer import FORMATS, Tensor

__all__ = ["values_of"]


def values_of(tensor: Tensor) -> np.ndarray:
    """All values, in the tensor's shape."""
    if tensor.format == "F32":
        return np.frombuffer(tensor.data, "<f4").astype(np.float64).reshape(tensor.shape)
    _, elements, byte_size, _ = FORMATS[tensor.format]
    value = _VALUES[tensor.format]
    count = len(tensor.data) // byte_size
    blocks = [tensor.data[index * byte_size :][:byte_size] for index in range(count)]
    return np.array([value(block, index) for block in blocks for index in range(elements)]).reshape(tensor.shape)


def _half(block: bytes, place: int) -> float:
    return float(struct.unpack_from("<e", block, place)[0])


def _signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


def _nibble(block: bytes, start: int, index: int) -> int:
    """32 codes in 16 bytes."""
    return block[start + index] & 15 if index < 16 else block[start + index - 16] >> 4


def _q4_0(block: bytes, index: int) -> float:
    return (_nibble(block, 2, index) - 8) * _half(block, 0)


def _q4_1(block: bytes, index: int) -> float:
    return _nibble(block, 4, index) * _half(block, 0) + _half(block, 2)


def _q5_0(block: bytes, index: int) -> float:
    high = struct.unpack_from("<I", block, 2)[0] >> index & 1
    return (_nibble(block, 6, index) + 16 * high - 16) * _half(block, 0)


def _q5_1(block: bytes, index: int) -> float:
    high = struct.unpack_from("<I", block, 4)[0] >> index & 1
    return (_nibble(block, 8, index) + 16 * high) * _half(block, 0) + _half(block, 2)


def _q8_0(block: bytes, index: int) -> float:
    return _signed(block[2 + index]) * _half(block, 0)


def _six_bits(block: bytes, part: int) -> tuple[int, int]:
    """Scale and minimum of one of 8 parts of a K block."""
    packed = block[4:16]
    if part < 4:
        return packed[part] & 63, packed[part + 4] & 63
    low, scale_top, minimum_top = packed[part + 4], packed[part - 4] >> 6, packed[part] >> 6
    return (low & 15) + 16 * scale_top, (low >> 4) + 16 * minimum_top


def _k_code(block: bytes, start: int, index: int) -> int:
    """256 codes in 128 bytes: 64 at a time, 32 in low halves before 32 in high ones."""
    run, place = divmod(index, 64)
    byte = block[start + 32 * run + place % 32]
    return byte & 15 if place < 32 else byte >> 4


def _q4_k(block: bytes, index: int) -> float:
    scale, minimum = _six_bits(block, index // 32)
    return _half(block, 0) * scale * _k_code(block, 16, index) - _half(block, 2) * minimum


def _q5_k(block: bytes, index: int) -> float:
    scale, minimum = _six_bits(block, index // 32)
    high = block[16 + index % 32] >> index // 32 & 1
    return _half(block, 0) * scale * (_k_code(block, 48, index) + 16 * high) - _half(block, 2) * minimum


def _q6_k(block: bytes, index: int) -> float:
    part, place = divmod(index, 128)
    row, column = divmod(place, 32)
    byte = block[64 * part + 32 * (row % 2) + column]
    low = byte & 15 if row < 2 else byte >> 4
    high = block[128 + 32 * part + column] >> 2 * row & 3
    return _half(block, 208) * _signed(block[192 + index // 16]) * (low + 16 * high - 32)


_VALUES: Mapping[str, Callable[[bytes, int], float]] = {
    "F16": lambda block, index: _half(block, 0),
    "BF16": lambda block, index: float(struct.unpack("<f", b"\0\0" + block)[0]),
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q8_0": _q8_0,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
}
