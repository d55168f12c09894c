"""The command stream: what a command buffer is recorded into, and what crosses to the GPU's side in one call.

Enters: commands of `webree.hal_webgpu.command_buffer`, already validated. Leaves: three blocks of 32-bit words in the
machine's byte order (little-endian on everything that runs WebGPU): the words, the constants region, and, for each
execution, the binding table. The players are `native_replay.py` and `player/replay.js`.

Words. A stream is a sequence of commands, nothing before and nothing after. Each begins with a header word
`opcode | word_count << 8`, where `word_count` counts the command's words, header included.

    opcode                  words after the header
    1  DISPATCH             pipeline, x, y, z, constants_offset, constants_size, then a binding for each of 0..n-1
    2  DISPATCH_INDIRECT    pipeline, buffer, offset, 0, constants_offset, constants_size, then the bindings
    3  COPY                 source buffer, source offset, target buffer, target offset, size
    4  CLEAR                buffer, offset, size                      (zeros)
    a binding is            buffer, offset, size

All offsets and sizes are bytes. `n = (word_count - 7) / 3`. Offsets and sizes of COPY and CLEAR and the offset of
DISPATCH_INDIRECT are multiples of 4, offsets of bindings are multiples of the device's storage offset alignment, sizes
of bindings are multiples of 16 and not 0, workgroup counts are not 0.

Buffer words. `0`: the stream's own constants region (only as the source of COPY or as a read-only binding).
`0x80000000 | slot`: slot of the binding table; the offset in the command is added to the slot's offset. Anything
else: a buffer handle. A size of `0xFFFFFFFF` (WHOLE, bindings only) is what is left of the slot:
`table[slot].size - offset`.

Constants region. Uniform blocks first, then data of updates (multiples of 4 bytes), then padding so that every block
can be bound. `constants_offset` and `constants_size` are multiples of 256 and name a block inside the region;
`constants_size` 0 means that the pipeline has no constants (`PipelineSpec.has_constants` is False, group 1 is not
set). Group 1, binding 0 is the region's buffer from offset 0 with size `constants_size` as a uniform with dynamic
offset `constants_offset`, so one bind group serves all dispatches of a stream that have equal `constants_size`.
The region's buffer has usage UNIFORM | STORAGE | COPY_SRC | COPY_DST.

Binding table. Three words a slot: buffer handle, byte offset, byte size (a multiple of 16, padding of the buffer
included). Offset and size are final: nothing to validate.

Replay. Commands run in order. A compute pass is opened at the first dispatch and ended at a COPY, a CLEAR or the end
of the stream, so a stream of dispatches alone is one pass. Bind groups of group 0 are cached by (pipeline's layout,
and for every binding buffer, offset, size); `destroy_buffer` drops those that hold the buffer. A loaded stream should
also keep the last few resolved binding tables (table words -> list of pipeline, bind group, offsets, counts): programs
run with the same few tables again and again, because the pool hands the same buffers out.
"""

from __future__ import annotations

from array import array
from typing import Final

__all__ = [
    "CLEAR",
    "CONSTANTS_ALIGNMENT",
    "COPY",
    "DISPATCH",
    "DISPATCH_HEADER_WORDS",
    "DISPATCH_INDIRECT",
    "OWN_CONSTANTS",
    "SLOT",
    "WHOLE",
    "StreamWriter",
]

DISPATCH: Final = 1
DISPATCH_INDIRECT: Final = 2
COPY: Final = 3
CLEAR: Final = 4

DISPATCH_HEADER_WORDS: Final = 7
SLOT: Final = 0x80000000
WHOLE: Final = 0xFFFFFFFF
OWN_CONSTANTS: Final = 0
CONSTANTS_ALIGNMENT: Final = 256


class StreamWriter:
    """Collects words and the constants region of one stream.

    Attributes:
        words: the words so far, as a list of ints (fast to extend); `finish` makes the arrays.
    """

    __slots__ = ("_blocks", "_data", "_data_copies", "_uniforms", "words")

    def __init__(self) -> None:
        self.words: list[int] = []
        self._uniforms = bytearray()
        self._blocks: dict[tuple[int, ...], tuple[int, int]] = {}
        self._data = bytearray()
        self._data_copies: list[int] = []

    def constants(self, values: tuple[int, ...]) -> tuple[int, int]:
        """Offset and size of a uniform block with these 32-bit values; equal values share a block."""
        block = self._blocks.get(values)
        if block is None:
            offset = len(self._uniforms)
            self._uniforms += array("I", [value & 0xFFFFFFFF for value in values]).tobytes()
            self._uniforms += bytes(-len(self._uniforms) % CONSTANTS_ALIGNMENT)
            block = self._blocks[values] = (offset, len(self._uniforms) - offset)
        return block

    def data(self, source: bytes | memoryview, offset_word: int, alignment: int = 4) -> None:
        """Keep bytes for an update; `words[offset_word]` becomes their offset in the region when it is finished."""
        self._data += bytes(-len(self._data) % alignment)
        self.words[offset_word] = len(self._data)
        self._data_copies.append(offset_word)
        self._data += source

    def finish(self) -> tuple[array[int], bytearray]:
        """The words and the constants region. Call once."""
        words = array("I", self.words)
        base = len(self._uniforms)
        for offset_word in self._data_copies:
            words[offset_word] += base
        region = self._uniforms + self._data
        region += bytes(-len(region) % 16)
        return words, region
