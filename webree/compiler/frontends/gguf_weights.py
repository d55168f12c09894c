"""Weights of a GGUF file -> the planes of words that kernels read.

Enters: tensors as `gguf_file` found them, in blocks of codes with their scales in between. Leaves: `Weight`: the same
codes, still quantised, packed into 32-bit words with the output features innermost, and the scales in planes of their
own. Kernels then load whole vectors of words, and neighbouring threads read neighbouring memory; a block of 18 or 34
bytes could be read only byte by byte. Nothing is rounded: codes stay as they are, scales are widened to f32.

The block formats are those of the project ggml (`ggml-common.h`): a value is `code * scale + minimum`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from webree.compiler.frontends.gguf_file import GgufTensor
from webree.errors import CompileError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["SUPPORTED", "Weight", "dequantise", "pack"]

_WORD_BITS = 32


@dataclass(frozen=True)
class Weight:
    """A matrix as kernels read it; K input features, N output features.

    Attributes:
        kind: `f32`, `f16` and `bf16` (halves in words), `int` (signed codes) or `uint` (unsigned codes).
        bits: of a code.
        group: input features that share a scale; for unscaled kinds those of one word.
        codes: `[K / group, words, N]` int32, the codes of a group in order, the first in the lowest bits; for `f32`
            `[K, N]` float32.
        scale: `[K / group, N]` float32, or None.
        minimum: `[K / group, N]` float32, added after scaling, or None.
    """

    kind: str
    bits: int
    group: int
    codes: np.ndarray[Any, Any]
    scale: np.ndarray[Any, Any] | None = None
    minimum: np.ndarray[Any, Any] | None = None

    @property
    def columns(self) -> int:
        """N."""
        return int(self.codes.shape[-1])

    @property
    def layout(self) -> tuple[Any, ...]:
        """What two weights must share to be one matrix side by side."""
        return (self.kind, self.bits, self.group, self.minimum is None, self.codes.shape[0])


@dataclass(frozen=True)
class _Codes:
    """Unpacked blocks: codes `[N, K]` (uint8 or int8), scales and minima `[N, K / group]` float32."""

    group: int
    bits: int
    codes: np.ndarray[Any, Any]
    scale: np.ndarray[Any, Any]
    minimum: np.ndarray[Any, Any] | None = None


def pack(tensors: Sequence[GgufTensor], label: str) -> Weight:
    """One matrix of several with the same input features, side by side along the output features.

    Raises `CompileError` for a type that is not supported, a scale that is not finite, or matrices that differ."""
    import numpy as np

    weights = [_pack(tensor, label) for tensor in tensors]
    first = weights[0]
    if len(weights) == 1:
        return first
    if any(item.layout != first.layout for item in weights):
        raise CompileError(
            f"{label}: {', '.join(item.name for item in tensors)} differ in type or size", location=label
        )

    def beside(parts: list[Any]) -> Any:
        return None if parts[0] is None else np.concatenate(parts, axis=-1)

    return Weight(
        first.kind,
        first.bits,
        first.group,
        beside([item.codes for item in weights]),
        beside([item.scale for item in weights]),
        beside([item.minimum for item in weights]),
    )


def dequantise(tensor: GgufTensor, label: str) -> np.ndarray[Any, Any]:
    """All values as float32, in the tensor's shape. Raises `CompileError` for a type that is not supported."""
    import numpy as np

    if tensor.format.name in _PLAIN:
        plain: np.ndarray[Any, Any] = _finite(_plain(tensor), tensor, label)
        return plain
    found = _unpack(tensor, label)
    values: np.ndarray[Any, Any]
    values = found.codes.reshape(*found.scale.shape, found.group).astype(np.float32) * found.scale[..., None]
    if found.minimum is not None:
        values += found.minimum[..., None]
    return values.reshape(tensor.shape)


def _pack(tensor: GgufTensor, label: str) -> Weight:
    import numpy as np

    name = tensor.format.name
    if name in ("F16", "BF16") and tensor.shape[-1] % 2 == 0:
        _finite(_plain(tensor), tensor, label)
        words = np.frombuffer(tensor.data, np.int32).reshape(tensor.row_count, -1)
        return Weight(name.lower(), 16, 2, np.ascontiguousarray(words.T)[:, None])
    if name in _PLAIN:
        values = _finite(_plain(tensor), tensor, label)
        return Weight("f32", 32, 1, np.ascontiguousarray(values.reshape(tensor.row_count, -1).T))
    found = _unpack(tensor, label)
    groups = found.scale.shape[1]
    per_word = _WORD_BITS // found.bits
    codes = found.codes.view(np.uint8).reshape(tensor.row_count, groups, -1, per_word)
    words = np.zeros(codes.shape[:-1], np.uint32)
    for index in range(per_word):
        words |= codes[..., index].astype(np.uint32) << np.uint32(index * found.bits)
    return Weight(
        "int" if found.codes.dtype == np.int8 else "uint",
        found.bits,
        found.group,
        np.ascontiguousarray(words.transpose(1, 2, 0)).view(np.int32),
        np.ascontiguousarray(found.scale.T),
        None if found.minimum is None else np.ascontiguousarray(found.minimum.T),
    )


def _plain(tensor: GgufTensor) -> np.ndarray[Any, Any]:
    import numpy as np

    if tensor.format.name == "BF16":
        words = np.frombuffer(tensor.data, np.uint16).astype(np.uint32) << np.uint32(16)
        return words.view(np.float32).reshape(tensor.shape)
    return np.frombuffer(tensor.data, _PLAIN[tensor.format.name]).astype(np.float32).reshape(tensor.shape)


def _unpack(tensor: GgufTensor, label: str) -> _Codes:
    import numpy as np

    form = tensor.format
    reader = _READERS.get(form.name)
    if reader is None:
        raise CompileError(
            f"{label}: tensor {tensor.name!r} is of the type {form.name}, which webree cannot read; supported: "
            f"{', '.join(SUPPORTED)}",
            location=tensor.name,
            unsupported=True,
        )
    blocks = np.frombuffer(tensor.data, np.uint8).reshape(tensor.row_count, -1, form.byte_size)
    found = reader(blocks)
    for plane in (found.scale, found.minimum):
        if plane is not None:
            _finite(plane, tensor, label)
    return found


def _finite(values: Any, tensor: GgufTensor, label: str) -> Any:
    import numpy as np

    if not np.isfinite(values).all():
        raise CompileError(
            f"{label}: tensor {tensor.name!r} holds values that are not finite; is the file damaged?", location=label
        )
    return values


# --- Block formats: uint8 [N, blocks, bytes] -> codes -------------------------------------------------------------


def _half(blocks: Any, byte_offset: int) -> Any:
    """The f16 at a byte offset of every block, as f32 `[N, blocks]`."""
    import numpy as np

    return np.ascontiguousarray(blocks[..., byte_offset : byte_offset + 2]).view(np.float16)[..., 0].astype(np.float32)


def _nibbles(data: Any) -> Any:
    """Low halves of all bytes, then the high ones."""
    import numpy as np

    return np.concatenate([data & 15, data >> 4], axis=-1)


def _flat(codes: Any) -> Any:
    import numpy as np

    return np.ascontiguousarray(codes.reshape(codes.shape[0], -1))


def _q4_0(blocks: Any) -> _Codes:
    scale = _half(blocks, 0)
    return _Codes(32, 4, _flat(_nibbles(blocks[..., 2:])), scale, scale * -8)


def _q4_1(blocks: Any) -> _Codes:
    return _Codes(32, 4, _flat(_nibbles(blocks[..., 4:])), _half(blocks, 0), _half(blocks, 2))


def _fifth_bits(blocks: Any, byte_offset: int) -> Any:
    """Bit i of the 32-bit field of every block, as 0 or 16, for i = 0 … 31."""
    import numpy as np

    return np.unpackbits(blocks[..., byte_offset : byte_offset + 4], axis=-1, bitorder="little") << 4


def _q5_0(blocks: Any) -> _Codes:
    import numpy as np

    codes = (_nibbles(blocks[..., 6:]) | _fifth_bits(blocks, 2)).view(np.int8) - np.int8(16)
    return _Codes(32, 8, _flat(codes), _half(blocks, 0))


def _q5_1(blocks: Any) -> _Codes:
    codes = _nibbles(blocks[..., 8:]) | _fifth_bits(blocks, 4)
    return _Codes(32, 8, _flat(codes), _half(blocks, 0), _half(blocks, 2))


def _q8_0(blocks: Any) -> _Codes:
    import numpy as np

    return _Codes(32, 8, _flat(blocks[..., 2:].view(np.int8)), _half(blocks, 0))


def _k_scales(blocks: Any) -> tuple[Any, Any]:
    """The 8 six-bit scales and 8 six-bit minima of a Q4_K or Q5_K block, times the block's own, `[N, 8 * blocks]`."""
    import numpy as np

    packed = blocks[..., 4:16]
    first, second, rest = packed[..., :4], packed[..., 4:8], packed[..., 8:]
    scales = np.concatenate([first & 63, (rest & 15) | (first >> 6 << 4)], axis=-1).astype(np.float32)
    minima = np.concatenate([second & 63, (rest >> 4) | (second >> 6 << 4)], axis=-1).astype(np.float32)
    return _flat(scales * _half(blocks, 0)[..., None]), _flat(minima * -_half(blocks, 2)[..., None])


def _k_nibbles(data: Any) -> Any:
    """Four runs of 32 bytes: each holds 32 codes in its low halves, then 32 in its high ones."""
    return _nibbles(data.reshape(*data.shape[:-1], 4, 32))


def _q4_k(blocks: Any) -> _Codes:
    return _Codes(32, 4, _flat(_k_nibbles(blocks[..., 16:])), *_k_scales(blocks))


def _q5_k(blocks: Any) -> _Codes:
    import numpy as np

    bits = np.unpackbits(blocks[..., 16:48, None], axis=-1, bitorder="little")  # byte i: bit r belongs to run r
    codes = _k_nibbles(blocks[..., 48:]).reshape(*blocks.shape[:-1], 8, 32) | (np.swapaxes(bits, -1, -2) << 4)
    return _Codes(32, 8, _flat(codes), *_k_scales(blocks))


def _q6_k(blocks: Any) -> _Codes:
    import numpy as np

    low = blocks[..., :128].reshape(*blocks.shape[:-1], 2, 64)
    high = blocks[..., 128:192].reshape(*blocks.shape[:-1], 2, 1, 32)
    shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
    codes = _nibbles(low).reshape(*blocks.shape[:-1], 2, 4, 32) | ((high >> shifts & 3) << 4)
    scale = blocks[..., 192:208].view(np.int8).astype(np.float32) * _half(blocks, 208)[..., None]
    return _Codes(16, 8, _flat(codes.view(np.int8) - np.int8(32)), _flat(scale))


_PLAIN: Mapping[str, str] = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8"}
_READERS: Mapping[str, Callable[[Any], _Codes]] = {
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q8_0": _q8_0,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
}
SUPPORTED = (*_PLAIN, *_READERS)
"""Names of the tensor types that can be read."""
