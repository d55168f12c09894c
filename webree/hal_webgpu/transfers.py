"""Fills, copies and updates of any bytes, written into a command stream.

Enters: places (a buffer word of the stream and a byte offset) and lengths, already checked against their ranges.
Leaves: CLEAR and COPY commands where WebGPU's own commands can do it (multiples of 4 bytes; zeros; two different
buffers), and dispatches of the two builtin kernels (builtins/*.wgsl) where they cannot.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import get_data

from webree.hal_webgpu.command_stream import CLEAR, COPY, DISPATCH, OWN_CONSTANTS, StreamWriter
from webree.hal_webgpu.executable import PipelineCache
from webree.module.source import MemorySource

__all__ = ["Builtins", "Place", "TransferWriter"]

Place = tuple[int, int]
"""Buffer word of the stream (handle, or SLOT | slot), byte offset."""

WORKGROUP_SIZE = 64


@dataclass(frozen=True)
class Builtins:
    """The driver's own kernels and the limits that they are dispatched within.

    Attributes:
        fill, copy: pipeline handles.
        offset_alignment: of storage bindings, a power of two.
        window_bytes: most bytes one dispatch works on, so that its bindings stay below the binding limit.
        workgroup_limit: most workgroups in x.
    """

    fill: int
    copy: int
    offset_alignment: int
    window_bytes: int
    workgroup_limit: int

    @staticmethod
    def load(pipelines: PipelineCache, offset_alignment: int, maximum_binding: int, workgroup_limit: int) -> Builtins:
        return Builtins(
            fill=pipelines.compile("fill", _source("fill.wgsl"), (False,)),
            copy=pipelines.compile("copy", _source("copy.wgsl"), (True, False)),
            offset_alignment=offset_alignment,
            window_bytes=(maximum_binding - 2 * offset_alignment) & ~(offset_alignment - 1),
            workgroup_limit=workgroup_limit,
        )


class TransferWriter:
    """Writes transfers into a `StreamWriter`.

    `require(word, alignment)` is told which alignment (in bytes) a place needs beyond what its offset shows: the
    offset of a slot is only known at execution. `launched(name, workgroups)` is told of every builtin dispatch."""

    def __init__(
        self,
        writer: StreamWriter,
        builtins: Builtins,
        require: Callable[[int, int], None],
        launched: Callable[[str, int], None],
    ) -> None:
        self._writer = writer
        self._builtins = builtins
        self._require = require
        self._launched = launched

    def fill(self, target: Place, byte_length: int, pattern: bytes) -> None:
        """Repeat `pattern` (its length divides 8) over the range."""
        word, offset = target
        if not byte_length:
            return
        if not any(pattern) and not (offset | byte_length) & 3:
            self._require(word, 4)
            self._writer.words += (CLEAR | 4 << 8, word, offset, byte_length)
            return
        for begin, length in self._windows(offset, byte_length):
            base, inside = self._window(word, begin)
            low, high = _rotated(pattern, offset - base)
            self._dispatch(
                "fill", self._builtins.fill, (inside, inside + length, low, high), ((word, base, inside + length),)
            )

    def copy(self, source: Place, target: Place, byte_length: int) -> None:
        """Copy between two different buffers (WebGPU copies inside one buffer neither by command nor by binding)."""
        if not byte_length:
            return
        source_word, source_offset = source
        target_word, target_offset = target
        if not (source_offset | target_offset | byte_length) & 3:
            self._require(source_word, 4)
            self._require(target_word, 4)
            self._writer.words += (COPY | 6 << 8, source_word, source_offset, target_word, target_offset, byte_length)
            return
        shift = source_offset - target_offset
        for begin, length in self._windows(target_offset, byte_length):
            source_base, source_inside = self._window(source_word, begin + shift)
            target_base, target_inside = self._window(target_word, begin)
            self._dispatch(
                "copy",
                self._builtins.copy,
                (source_inside, target_inside, length, 0),
                (
                    (source_word, source_base, source_inside + length),
                    (target_word, target_base, target_inside + length),
                ),
            )

    def update(self, source: bytes, target: Place) -> None:
        """Write host bytes, which travel in the stream's constants region."""
        word, offset = target
        if not source:
            return
        if not (offset | len(source)) & 3:
            self._require(word, 4)
            words = self._writer.words
            words += (COPY | 6 << 8, OWN_CONSTANTS, 0, word, offset, len(source))
            self._writer.data(source, len(words) - 4)
            return
        window = self._builtins.window_bytes
        for start in range(0, len(source), window):
            part = source[start : start + window]
            base, inside = self._window(word, offset + start)
            self._dispatch(
                "copy",
                self._builtins.copy,
                (0, inside, len(part), 0),
                ((OWN_CONSTANTS, 0, len(part)), (word, base, inside + len(part))),
            )
            self._writer.data(part, len(self._writer.words) - 5, self._builtins.offset_alignment)

    def _windows(self, byte_offset: int, byte_length: int) -> list[tuple[int, int]]:
        step = self._builtins.window_bytes
        end = byte_offset + byte_length
        return [(begin, min(step, end - begin)) for begin in range(byte_offset, end, step)]

    def _window(self, word: int, byte_offset: int) -> tuple[int, int]:
        """The aligned start of a binding that has `byte_offset` inside, and how far inside."""
        alignment = self._builtins.offset_alignment
        self._require(word, alignment)
        inside = byte_offset & (alignment - 1)
        return byte_offset - inside, inside

    def _dispatch(
        self, name: str, pipeline: int, constants: tuple[int, int, int, int], bindings: tuple[tuple[int, int, int], ...]
    ) -> None:
        covered = bindings[-1][2]
        groups = min(-(-covered // (4 * WORKGROUP_SIZE)), self._builtins.workgroup_limit)
        block = self._writer.constants(constants)
        words = self._writer.words
        words += (DISPATCH | (7 + 3 * len(bindings)) << 8, pipeline, groups, 1, 1, *block)
        for word, offset, size in bindings:
            words += (word, offset, (size + 15) & ~15)
        self._launched(f"webree.{name}", groups)


def _rotated(pattern: bytes, phase: int) -> tuple[int, int]:
    """Two words that repeat from a binding's first byte such that `pattern` begins `phase` bytes behind it."""
    repeated = bytes(pattern[(position - phase) % len(pattern)] for position in range(8))
    low, high = array("I", repeated)
    return low, high


def _source(name: str) -> MemorySource:
    text = get_data(__package__, f"builtins/{name}")
    assert text is not None
    return MemorySource(text)
