"""Replay of command streams on wgpu-py objects: the native counterpart of player/replay.js.

Enters: streams (see command_stream.py), binding tables, and the GPU objects behind handles. Leaves: encoded command
buffers. A stream is decoded once into steps; for each binding table the steps are resolved once into bind groups, and
the last few tables of a loaded stream are kept, so that running a program again is one tight loop. No wgpu import here:
native.py makes the objects.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from webree.hal_webgpu.command_stream import (
    CLEAR,
    COPY,
    DISPATCH,
    DISPATCH_HEADER_WORDS,
    DISPATCH_INDIRECT,
    OWN_CONSTANTS,
    SLOT,
    WHOLE,
)

__all__ = ["BindGroups", "Pipeline", "Stream", "decode", "encode", "resolve"]

KEPT_TABLES = 8
"""Resolved binding tables kept for a loaded stream."""

KEPT_BIND_GROUPS = 8192

Commands = list[tuple[int, ...]]
Resolved = list[tuple[Any, ...]]
"""Steps ready to encode; the first item of each is the opcode."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A compiled pipeline: the GPU object and the layout of its group 0."""

    gpu: Any
    layout: Any


class Stream:
    """A decoded stream with its constants buffer, and the binding tables that it ran with last, resolved."""

    __slots__ = ("_tables", "commands", "constants", "constants_groups")

    def __init__(self, words: array[int], constants: Any) -> None:
        self.commands = decode(words)
        self.constants = constants
        self.constants_groups: dict[int, Any] = {}
        self._tables: dict[bytes, Resolved] = {}

    def resolved(self, table: array[int], resolve_table: Callable[[Stream, array[int]], Resolved]) -> Resolved:
        """The steps for a binding table, kept for the next time."""
        key = table.tobytes()
        steps = self._tables.get(key)
        if steps is None:
            steps = resolve_table(self, table)
            if len(self._tables) >= KEPT_TABLES:
                del self._tables[next(iter(self._tables))]
            self._tables[key] = steps
        return steps

    def forget(self) -> None:
        """Drop what was resolved: a buffer was destroyed."""
        self._tables.clear()


class BindGroups:
    """Bind groups by layout and (buffer, offset, size) of every binding; those of a destroyed buffer are dropped."""

    def __init__(self, create: Callable[[Any, list[tuple[Any, int, int]]], Any]) -> None:
        self._create = create
        self._groups: dict[tuple[Any, ...], Any] = {}
        self._keys_of: dict[int, set[tuple[Any, ...]]] = {}

    def get(self, layout: Any, bindings: tuple[tuple[int, int, int], ...], buffer_of: Callable[[int], Any]) -> Any:
        """The bind group of group 0; `bindings` name buffers by handle. A stream's own constants are no handle of the
        device, so groups with them are made anew."""
        key = (id(layout), bindings)
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= KEPT_BIND_GROUPS:
                self.clear()
            group = self._create(layout, [(buffer_of(handle), offset, size) for handle, offset, size in bindings])
            handles = {handle for handle, _, _ in bindings}
            if OWN_CONSTANTS not in handles:
                self._groups[key] = group
                for handle in handles:
                    self._keys_of.setdefault(handle, set()).add(key)
        return group

    def forget(self, handle: int) -> None:
        """Drop the groups that hold a buffer."""
        for key in self._keys_of.pop(handle, ()):
            self._groups.pop(key, None)

    def clear(self) -> None:
        self._groups.clear()
        self._keys_of.clear()


def decode(words: array[int]) -> Commands:
    """The commands of a stream, one tuple of words each; the header word is replaced by the opcode."""
    commands: Commands = []
    position = 0
    while position < len(words):
        header = words[position]
        end = position + (header >> 8)
        commands.append((header & 0xFF, *words[position + 1 : end]))
        position = end
    return commands


def resolve(
    stream: Stream,
    table: array[int],
    buffers: dict[int, Any],
    pipelines: Callable[[int], Pipeline],
    groups: BindGroups,
    constants_group: Callable[[int], Any],
) -> Resolved:
    """Put buffers in place of handles and slots, and bind groups in place of bindings.

    Pipelines that are still compiled are waited for. `constants_group(size)` is the stream's group 1."""

    def buffer_of(handle: int) -> Any:
        return buffers[handle] if handle else stream.constants

    def place(word: int, offset: int) -> tuple[int, int]:
        if word & SLOT:
            slot = 3 * (word ^ SLOT)
            return table[slot], table[slot + 1] + offset
        return word, offset

    def bindings(command: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
        for index in range(DISPATCH_HEADER_WORDS, len(command), 3):
            word, offset, size = command[index : index + 3]
            if size == WHOLE:
                size = table[3 * (word ^ SLOT) + 2] - offset
            yield (*place(word, offset), size)

    steps: Resolved = []
    for command in stream.commands:
        opcode = command[0]
        if opcode in (DISPATCH, DISPATCH_INDIRECT):
            _, handle, x, y, z, constants_offset, constants_size = command[:DISPATCH_HEADER_WORDS]
            pipeline = pipelines(handle)
            group = groups.get(pipeline.layout, tuple(bindings(command)), buffer_of)
            constants = constants_group(constants_size) if constants_size else None
            where: tuple[Any, ...] = (x, y, z)
            if opcode == DISPATCH_INDIRECT:
                buffer, offset = place(x, y)
                where = (buffer_of(buffer), offset)
            steps.append((opcode, pipeline.gpu, group, constants, [constants_offset], where))
        elif opcode == COPY:
            source, source_offset = place(command[1], command[2])
            target, target_offset = place(command[3], command[4])
            steps.append((COPY, (buffer_of(source), source_offset, buffer_of(target), target_offset, command[5])))
        elif opcode == CLEAR:
            target, offset = place(command[1], command[2])
            steps.append((CLEAR, (buffer_of(target), offset, command[3])))
        else:
            raise AssertionError(f"opcode {opcode}")
    return steps


def encode(encoder: Any, steps: Resolved, timestamps: Callable[[], Any] | None = None) -> None:
    """Write the steps into a command encoder: one compute pass for each run of dispatches, or, with `timestamps`,
    one for each dispatch (the function gives the descriptor of the pass)."""
    compute: Any = None
    pipeline: Any = None
    group: Any = None
    for step in steps:
        opcode = step[0]
        if opcode == COPY or opcode == CLEAR:
            if compute is not None:
                compute.end()
                compute = None
            (encoder.copy_buffer_to_buffer if opcode == COPY else encoder.clear_buffer)(*step[1])
            continue
        if compute is None:
            compute = encoder.begin_compute_pass(timestamp_writes=timestamps() if timestamps else None)
            pipeline = group = None
        _, next_pipeline, next_group, constants, offsets, where = step
        if next_pipeline is not pipeline:
            pipeline = next_pipeline
            compute.set_pipeline(pipeline)
        if next_group is not group:
            group = next_group
            compute.set_bind_group(0, group)
        if constants is not None:
            compute.set_bind_group(1, constants, offsets)
        (compute.dispatch_workgroups if opcode == DISPATCH else compute.dispatch_workgroups_indirect)(*where)
        if timestamps is not None:
            compute.end()
            compute = None
    if compute is not None:
        compute.end()
