"""Conformance: allocation, upload and read-back, fills, copies, updates. Reference: Python's bytearray."""

from __future__ import annotations

import gc

from tests.hal_cts.suite import Conformance, case, contents, direct, raises, slot
from webree.errors import DeviceError, StatusCode
from webree.module.source import MemorySource
from webree.waiting import Suspendable

SIZES = (0, 1, 3, 4, 15, 16, 17, 255, 256, 257, 4099, (1 << 20) + 5)
PATTERN_LENGTHS = (1, 2, 4, 8)


@case
def allocation_sizes(cts: Conformance) -> Suspendable[None]:
    data = [cts.bytes(size) for size in SIZES]
    buffers = [cts.upload(item) for item in data]
    for item, buffer in zip(data, buffers, strict=True):
        assert buffer.byte_length == len(item)
        yield from cts.expect(buffer, item, f"{len(item)} bytes")


@case
def allocation_limits(cts: Conformance) -> Suspendable[None]:
    limit = cts.device.info.limits["max_buffer_size"]
    error = raises(DeviceError, lambda: cts.device.allocate(limit + 1), str(limit + 1), "maxBufferSize")
    assert error.status == StatusCode.RESOURCE_EXHAUSTED
    raises(DeviceError, lambda: cts.device.allocate(-1), "-1")
    yield from cts.expect(cts.upload(b"still works"), b"still works")


@case
def memory_is_reused(cts: Conformance) -> Suspendable[None]:
    """Collected and closed buffers come back: a thousand calls hold no more memory than ten."""
    device = cts.device
    data = cts.bytes(5000)

    def call(number: int) -> Suspendable[None]:
        buffer = cts.upload(data)
        scratch = device.allocate(100_000 + number % 3)
        device.copy(buffer, 0, scratch, number % 7, len(data))
        if number % 2:
            scratch.close()
        if number % 50 == 0:
            assert (yield from cts.read(buffer)) == data

    for number in range(10):
        yield from call(number)
    gc.collect()
    before = device.counters.allocated_bytes, device.counters.in_use_bytes
    for number in range(1000):
        yield from call(number)
    gc.collect()
    after = device.counters.allocated_bytes, device.counters.in_use_bytes
    assert after == before, f"memory held and in use grew from {before} to {after} bytes"


@case
def closed_buffers_are_refused(cts: Conformance) -> Suspendable[None]:
    buffer, other = cts.upload(b"12345678"), cts.upload(b"abcdefgh")
    view = buffer.subspan(4, 4)
    buffer.close()
    buffer.close()
    for use in (
        lambda: cts.device.fill(view, 0, 4, b"\0"),
        lambda: cts.device.copy(other, 0, buffer, 0, 4),
        lambda: cts.device.update(MemorySource(b"1234"), view),
        lambda: cts.device.read_back([(buffer, 0, 4)]),
    ):
        raises(DeviceError, use, "closed")
    yield from cts.expect(other, b"abcdefgh")


@case
def ranges_are_checked(cts: Conformance) -> Suspendable[None]:
    device = cts.device
    buffer = cts.upload(bytes(100))
    part = buffer.subspan(50, 20)
    for use in (
        lambda: device.fill(part, 0, 21, b"\1"),
        lambda: device.fill(part, -1, 4, b"\1"),
        lambda: device.copy(buffer, 90, part, 0, 11),
        lambda: device.copy(buffer, 0, part, 15, 6),
        lambda: device.update(MemorySource(bytes(21)), part),
        lambda: device.update(MemorySource(bytes(4)), part, 17),
        lambda: device.read_back([(part, 18, 3)]),
        lambda: buffer.subspan(90, 11),
    ):
        error = raises(DeviceError, use, "outside a buffer")
        assert error.status == StatusCode.OUT_OF_RANGE
    yield from cts.expect(buffer, bytes(100))


@case
def read_back_many_ranges(cts: Conformance) -> Suspendable[None]:
    data = cts.bytes(10_000)
    buffer = cts.upload(data)
    view = buffer.subspan(101, 5000)
    ranges = [(0, 0), (5000, 0), (0, 1), (4999, 1), (3, 997)]
    for _ in range(40):
        offset = cts.random.randrange(5000)
        ranges.append((offset, cts.random.randrange(5000 - offset)))
    sources = yield cts.device.read_back([(view, offset, length) for offset, length in ranges])
    for (offset, length), source in zip(ranges, sources, strict=True):
        assert contents(source) == data[101 + offset : 101 + offset + length], (offset, length)
    nothing = yield cts.device.read_back([])
    assert nothing == []


@case
def several_read_backs_in_flight(cts: Conformance) -> Suspendable[None]:
    buffer = cts.upload(bytes(64))
    waits = []
    for value in range(10):
        cts.device.fill(buffer, 0, 64, bytes([value]))
        waits.append(cts.device.read_back([(buffer, 0, 64)]))
    for value, wait in reversed(list(enumerate(waits))):
        sources = yield wait
        assert contents(sources[0]) == bytes([value]) * 64, f"read-back {value} sees later or earlier work"


@case
def updates_at_any_offset(cts: Conformance) -> Suspendable[None]:
    expected = bytearray(cts.bytes(3000))
    buffer = cts.upload(bytes(expected))
    for _ in range(60):
        offset = cts.random.randrange(3000)
        data = cts.bytes(cts.random.choice((0, 1, 2, 3, 4, 5, 64, 1000)))[: 3000 - offset]
        cts.device.update(MemorySource(data), buffer, offset)
        expected[offset : offset + len(data)] = data
    yield from cts.expect(buffer, bytes(expected))


@case
def updates_may_reuse_their_source(cts: Conformance) -> Suspendable[None]:
    source = bytearray(b"first write, ...")
    buffer = cts.device.allocate(16)
    commands_target = cts.device.allocate(16)
    commands = cts.fresh()
    commands.update(source, direct(commands_target))
    cts.device.update(MemorySource(source), buffer)
    source[:5] = b"wrong"
    commands.finalize()
    cts.device.execute(commands)
    yield from cts.expect(buffer, b"first write, ...", "device.update")
    yield from cts.expect(commands_target, b"first write, ...", "command_buffer.update")


@case
def fills_of_all_patterns(cts: Conformance) -> Suspendable[None]:
    size = 2048
    for length in PATTERN_LENGTHS:
        expected = bytearray(cts.bytes(size))
        buffer = cts.upload(bytes(expected))
        for _ in range(25):
            offset = length * cts.random.randrange(size // length)
            count = cts.random.choice((0, 1, 2, 3, 9, 1000)) % (size // length - offset // length + 1)
            pattern = cts.random.choice((bytes(length), cts.bytes(length)))
            cts.device.fill(buffer, offset, length * count, pattern)
            expected[offset : offset + length * count] = pattern * count
        yield from cts.expect(buffer, bytes(expected), f"patterns of {length} bytes")


@case
def fills_of_unaligned_views(cts: Conformance) -> Suspendable[None]:
    expected = bytearray(cts.bytes(512))
    buffer = cts.upload(bytes(expected))
    for length in PATTERN_LENGTHS:
        begin = cts.random.randrange(1, 400)
        view = buffer.subspan(begin, 64)
        pattern = cts.bytes(length)
        cts.device.fill(view, length, 24, pattern)
        expected[begin + length : begin + length + 24] = pattern * (24 // length)
    yield from cts.expect(buffer, bytes(expected))


@case
def fill_patterns_are_checked(cts: Conformance) -> Suspendable[None]:
    buffer = cts.upload(bytes(64))
    raises(DeviceError, lambda: cts.device.fill(buffer, 0, 6, b"abc"), "1, 2, 4 or 8", "3")
    raises(DeviceError, lambda: cts.device.fill(buffer, 0, 0, b""), "1, 2, 4 or 8", "0")
    raises(DeviceError, lambda: cts.device.fill(buffer, 2, 8, b"abcd"), "multiples", "4 bytes")
    raises(DeviceError, lambda: cts.device.fill(buffer, 0, 7, b"ab"), "multiples", "2 bytes")
    yield from cts.expect(buffer, bytes(64))


@case
def large_fill_and_copy(cts: Conformance) -> Suspendable[None]:
    """More words than one row of workgroups has invocations."""
    size = (17 << 20) + 6
    source, target = cts.device.allocate(size), cts.device.allocate(size + 3)
    cts.device.fill(source, 0, size, b"\x5a\xc3")
    cts.device.copy(source, 0, target, 3, size)
    sources = yield cts.device.read_back([(target, 0, 11), (target, size - 5, 8), (target, size // 2, 4)])
    head, tail, middle = (contents(item) for item in sources)
    assert head[3:] == b"\x5a\xc3" * 4
    assert tail == b"\x5a\xc3" * 4
    assert middle in (b"\x5a\xc3" * 2, b"\xc3\x5a" * 2)
    source.close()
    target.close()


@case
def copies_at_any_offset(cts: Conformance) -> Suspendable[None]:
    data = cts.bytes(4000)
    source, expected = cts.upload(data), bytearray(cts.bytes(4000))
    target = cts.upload(bytes(expected))
    for _ in range(60):
        length = cts.random.choice((0, 1, 2, 3, 4, 7, 8, 63, 64, 1000, 1001))
        begin, end = cts.random.randrange(4000 - length), cts.random.randrange(4000 - length)
        if cts.random.random() < 0.3:
            begin, end, length = begin & ~3, end & ~3, length & ~3
        cts.device.copy(source, begin, target, end, length)
        expected[end : end + length] = data[begin : begin + length]
    yield from cts.expect(target, bytes(expected))


@case
def copies_inside_one_buffer(cts: Conformance) -> Suspendable[None]:
    expected = bytearray(cts.bytes(4096))
    buffer = cts.upload(bytes(expected))
    for begin, end, length in ((0, 2048, 1024), (3, 3000, 501), (2999, 1, 77), (16, 0, 16), (40, 41, 1)):
        cts.device.copy(buffer, begin, buffer, end, length)
        expected[end : end + length] = expected[begin : begin + length]
    yield from cts.expect(buffer, bytes(expected))
    raises(DeviceError, lambda: cts.device.copy(buffer, 0, buffer, 8, 12), "overlap")


@case
def transfers_in_a_command_buffer(cts: Conformance) -> Suspendable[None]:
    """Fills, updates and copies over slots, executed with several tables (offsets of entries at 256)."""
    size = 1024
    commands = cts.fresh(capacity=2)
    note = cts.bytes(13)
    commands.fill(slot(0, 0, size), b"\x11")
    commands.barrier()
    commands.fill(slot(0, 100, 22), b"\x22\x33")
    commands.barrier()
    commands.update(note, slot(0, 203))
    commands.update(note[:12], slot(0, 400))
    commands.barrier()
    commands.copy(slot(0, 201, 17), slot(1, 3, 17))
    commands.copy(slot(0, 400, 12), slot(1, 64, 12))
    commands.fill(slot(1, 128, 64), bytes(8))
    commands.finalize()
    for _ in range(3):
        first, second = bytearray(cts.bytes(2 * size)), bytearray(cts.bytes(2 * size))
        buffers = cts.upload(bytes(first)), cts.upload(bytes(second))
        offsets = cts.random.choice((0, 256, 512)), cts.random.choice((0, 256, 512))
        entries = [(buffer, offset, size) for buffer, offset in zip(buffers, offsets, strict=True)]
        cts.device.execute(commands, entries)
        zero, one = offsets
        first[zero : zero + size] = b"\x11" * size
        first[zero + 100 : zero + 122] = b"\x22\x33" * 11
        first[zero + 203 : zero + 216] = note
        first[zero + 400 : zero + 412] = note[:12]
        second[one + 3 : one + 20] = first[zero + 201 : zero + 218]
        second[one + 64 : one + 76] = note[:12]
        second[one + 128 : one + 192] = bytes(64)
        yield from cts.expect(buffers[0], bytes(first), f"first buffer, entries at {offsets}")
        yield from cts.expect(buffers[1], bytes(second), f"second buffer, entries at {offsets}")


@case
def transfers_with_irregular_tables(cts: Conformance) -> Suspendable[None]:
    """Entries at odd offsets, the same buffer in both slots, lengths that the table decides."""
    commands = cts.fresh(capacity=2)
    commands.fill(slot(0), b"\x7e")
    commands.barrier()
    commands.copy(slot(0, 1, 30), slot(1, 2, 30))
    commands.update(b"odd", slot(1, 40))
    commands.barrier()
    commands.copy(slot(1, 0, 32), slot(0, 4, 32))
    commands.finalize()
    for _ in range(4):
        expected = bytearray(cts.bytes(1000))
        buffer = cts.upload(bytes(expected))
        zero, one = cts.random.randrange(300), cts.random.randrange(500, 900)
        length = cts.random.randrange(40, 190)
        cts.device.execute(commands, [(buffer, zero, length), (buffer, one, 60)])
        expected[zero : zero + length] = b"\x7e" * length
        expected[one + 2 : one + 32] = expected[zero + 1 : zero + 31]
        expected[one + 40 : one + 43] = b"odd"
        expected[zero + 4 : zero + 36] = expected[one : one + 32]
        yield from cts.expect(buffer, bytes(expected), f"entries at {zero} and {one}")


@case
def transfers_whose_length_the_table_decides(cts: Conformance) -> Suspendable[None]:
    """Nothing else is unusual: two buffers, aligned entries."""
    commands = cts.fresh(capacity=2)
    commands.fill(slot(0, 4), b"\x7e\x01")
    commands.barrier()
    commands.copy(slot(0), slot(1, 8))
    commands.finalize()
    for _ in range(3):
        first, second = bytearray(cts.bytes(600)), bytearray(cts.bytes(600))
        buffers = cts.upload(bytes(first)), cts.upload(bytes(second))
        length = 2 * cts.random.randrange(20, 150)
        cts.device.execute(commands, [(buffers[0], 256, length), (buffers[1], 0, length)])
        first[260 : 256 + length] = b"\x7e\x01" * (length // 2 - 2)
        second[8:length] = first[256 : 248 + length]
        yield from cts.expect(buffers[0], bytes(first), f"filled, {length} bytes")
        yield from cts.expect(buffers[1], bytes(second), f"copied, {length} bytes")
