"""The command stream: what a command buffer becomes, and what an engine plays in one call.

Enters: commands, already validated. Leaves: 32-bit little-endian words, one command after the other, nothing before or
after. Each command begins with a header word `opcode | word_count << 8`; `word_count` counts the command's words, the
header included.

    opcode                  words after the header
    1  DISPATCH             library, export, constant_count, binding_count, x, y, z,
                            constants, then for every binding its address, then for every binding its byte length
    2  DISPATCH_INDIRECT    the same, with (address of three u32, 0, 0) for x, y, z: read when the command is played
    3  COPY                 source address, target address, byte length (the ranges do not overlap)
    4  FILL                 address, byte length, pattern length (1, 2, 4 or 8), pattern low word, pattern high word
    5  BARRIER              nothing; all before it is done before anything after it begins

Commands between two barriers may run at the same time, on different threads. Addresses are absolute. Workgroup counts
of DISPATCH are not 0. `library` is a `Library.identifier`, `export` the position in its `exports`; they are turned into
the engine's own numbers by the engine.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

__all__ = [
    "BARRIER",
    "COPY",
    "DISPATCH",
    "DISPATCH_HEADER_WORDS",
    "DISPATCH_INDIRECT",
    "FILL",
    "StreamWriter",
]

DISPATCH, DISPATCH_INDIRECT, COPY, FILL, BARRIER = range(1, 6)
DISPATCH_HEADER_WORDS = 8
"""Words of a dispatch before its constants, the header included."""

_WORD_MASK = 0xFFFF_FFFF


class StreamWriter:
    """Attributes:
    words: the stream so far; positions in it stay valid, so that addresses can be written in later.
    """

    __slots__ = ("words",)

    def __init__(self) -> None:
        self.words: array[int] = array("I")

    def dispatch(
        self,
        library: int,
        export: int,
        workgroup_count: tuple[int, int, int],
        constants: Sequence[int],
        addresses: Sequence[int],
        lengths: Sequence[int],
        *,
        indirect: bool = False,
    ) -> int:
        """Returns the position of the first binding's address; the lengths follow the addresses."""
        word_count = DISPATCH_HEADER_WORDS + len(constants) + 2 * len(addresses)
        words = self.words
        words.extend(
            (
                (DISPATCH_INDIRECT if indirect else DISPATCH) | word_count << 8,
                library,
                export,
                len(constants),
                len(addresses),
                *workgroup_count,
            )
        )
        words.extend([constant & _WORD_MASK for constant in constants])
        position = len(words)
        words.extend(addresses)
        words.extend(lengths)
        return position

    def copy(self, source: int, target: int, byte_length: int) -> int:
        """Returns the position of the source's address; the target's follows."""
        self.words.extend((COPY | 4 << 8, source, target, byte_length))
        return len(self.words) - 3

    def fill(self, address: int, byte_length: int, pattern: bytes) -> int:
        """Returns the position of the address; the length follows."""
        low, high = int.from_bytes(pattern[:4], "little"), int.from_bytes(pattern[4:], "little")
        self.words.extend((FILL | 6 << 8, address, byte_length, len(pattern), low, high))
        return len(self.words) - 5

    def barrier(self) -> None:
        self.words.append(BARRIER | 1 << 8)
