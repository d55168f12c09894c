"""The flatbuffer reader: what a writer wrote comes back, and damage is an error in bounded time."""

from __future__ import annotations

import random
import struct
import time
from typing import Any

import flatbuffers
import pytest

from webree.errors import ModuleError
from webree.module.flatbuffer import Table, root


def _sample() -> bytes:
    b = flatbuffers.Builder(64)
    texts = [b.CreateString(text) for text in ("one", "zwölf", "")]
    b.StartVector(4, len(texts), 4)
    for text in reversed(texts):
        b.PrependUOffsetTRelative(text)
    strings = b.EndVector()
    data = b.CreateByteVector(b"\x00\x01\xfe")
    numbers = b.StartVector(8, 2, 8)
    for number in (-5, 1 << 40):
        b.PrependInt64(number)
    numbers = b.EndVector()
    b.StartObject(1)
    b.PrependFloat64Slot(0, 2.5, 0.0)
    child = b.EndObject()
    b.StartVector(4, 2, 4)
    b.PrependUOffsetTRelative(child)
    b.PrependUOffsetTRelative(child)
    children = b.EndVector()
    b.StartObject(8)
    b.PrependInt32Slot(0, -7, 0)
    b.PrependUOffsetTRelativeSlot(1, texts[1], 0)
    b.PrependUOffsetTRelativeSlot(2, strings, 0)
    b.PrependUOffsetTRelativeSlot(3, data, 0)
    b.PrependUOffsetTRelativeSlot(4, numbers, 0)
    b.PrependUOffsetTRelativeSlot(5, child, 0)
    b.PrependUOffsetTRelativeSlot(6, children, 0)
    b.Finish(b.EndObject(), file_identifier=b"TEST")
    return bytes(b.Output())


def _read_all(table: Table) -> tuple[Any, ...]:
    child = table.table(5)
    return (
        table.scalar(0, "i", 1),
        table.string(1),
        table.strings(2),
        bytes(table.bytes(3) or b""),
        table.scalars(4, "q"),
        None if child is None else child.scalar(0, "d", 0.0),
        [t.scalar(0, "d", 0.0) for t in table.tables(6)],
        table.structs(4, "ii"),
        table.vector_length(2),
    )


def test_values_come_back() -> None:
    found = _read_all(root(_sample(), "TEST"))
    pairs = [(0, 256), (-5, -1)]
    assert found == (-7, "zwölf", ["one", "zwölf", ""], b"\0\1\xfe", (1 << 40, -5), 2.5, [2.5, 2.5], pairs, 3)


def test_absent_fields_give_defaults() -> None:
    table = root(_sample(), None)
    for slot in (7, 8, 5000):
        assert not table.has(slot)
        assert table.scalar(slot, "I", 12) == 12
        assert table.string(slot) is None
        assert table.table(slot) is None
        assert table.bytes(slot) is None
        assert table.tables(slot) == []
        assert table.structs(slot, "ii") == []
        assert table.scalars(slot, "i") == ()
        assert table.vector_length(slot) == 0


def test_wrong_identifier() -> None:
    with pytest.raises(ModuleError, match="flatbuffer root: file identifier is b'TEST', expected b'IREE'"):
        root(_sample(), "IREE")


def test_damage_is_an_error() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    sample = _sample()
    refused = 0
    for _ in range(3000):
        data = bytearray(sample)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        try:
            _read_all(root(data[: rng.randint(0, len(data))] if rng.random() < 0.2 else data, "TEST"))
        except ModuleError:
            refused += 1
    assert refused > 500


def test_aliased_vectors_do_not_multiply() -> None:
    """5,000 times the same table with a vector of 5,000 times the same table: 25 million in a file of 40 KB."""
    count = 5000
    data = bytearray(struct.pack("<I", 16) + b"TEST" + struct.pack("<HHHxx", 6, 8, 4))  # the vtable is at byte 8
    for _level in range(3):
        data += struct.pack("<iI", len(data) - 8, 4)  # a table, whose field is the vector after it
        after = 4 + 4 * count
        data += struct.pack("<I", count) + b"".join(struct.pack("<I", after - 4 - 4 * i) for i in range(count))
    data += struct.pack("<iI", len(data) - 8, 0)
    tables = root(data, "TEST").tables(0)
    assert len(tables) == count
    began = time.process_time()
    with pytest.raises(ModuleError, match="far more often than any writer does"):
        list(map(Table.tables, tables, [0] * count))
    assert time.process_time() - began < 20
