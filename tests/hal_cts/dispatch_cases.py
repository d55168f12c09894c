"""Conformance: dispatches with bindings and constants, indirect command buffers, indirect dispatches, aliases.

Reference: the same arithmetic in Python, modulo 2**32.
"""

from __future__ import annotations

import gc

from tests.hal_cts import kernels
from tests.hal_cts.suite import Conformance, case, direct, pack, raises, slot
from webree.errors import DeviceError, StatusCode
from webree.hal.device import BindingTableEntry
from webree.module.source import MemorySource
from webree.waiting import Suspendable

MASK = 0xFFFFFFFF


def affine(values: list[int], scale: int, shift: int) -> list[int]:
    return [(value * scale + shift) & MASK for value in values]


@case
def bindings_from_none_to_eight(cts: Conformance) -> Suspendable[None]:
    count = 50
    for n in kernels.BINDING_COUNTS:
        executable = yield from cts.kernel(f"sum{n}")
        values = [cts.words(count) for _ in range(n)]
        buffers = [cts.upload_words(item) for item in values]
        commands = cts.fresh(reusable=False)
        commands.dispatch(executable, 0, (count, 1, 1), (), [direct(buffer) for buffer in buffers])
        commands.finalize()
        cts.device.execute(commands)
        if n:
            sums = [sum(column) & MASK for column in zip(*values, strict=True)]
            yield from cts.expect(buffers[-1], pack(sums), f"{n} bindings")


@case
def constants_from_none_to_many(cts: Conformance) -> Suspendable[None]:
    for n in kernels.ECHO_COUNTS:
        executable = yield from cts.kernel(f"echo{n}")
        values = [value - (1 << 31) if k % 2 else value for k, value in enumerate(cts.words(n))]
        for reusable in (False, True):
            buffer = cts.upload_words([0] * max(n, 1))
            commands = cts.fresh(reusable=reusable)
            commands.dispatch(executable, 0, (1, 1, 1), values, [direct(buffer)])
            commands.finalize()
            cts.device.execute(commands)
            yield from cts.expect(buffer, pack(values) if n else pack([77]), f"{n} constants, reusable: {reusable}")


@case
def constants_of_every_dispatch(cts: Conformance) -> Suspendable[None]:
    """Many dispatches in one command buffer, each with constants of its own, some of them equal."""
    executable = yield from cts.kernel("affine")
    values = cts.words(64)
    scales = [cts.random.choice((1, 3, 5, cts.random.getrandbits(31))) for _ in range(40)]
    for reusable in (False, True):
        source = cts.upload_words(values)
        targets = [cts.upload_words([0] * 64) for _ in scales]
        commands = cts.fresh(reusable=reusable)
        for number, (scale, target) in enumerate(zip(scales, targets, strict=True)):
            commands.dispatch(executable, 0, (1, 1, 1), (scale, number % 3, 64), [direct(source), direct(target)])
        commands.finalize()
        assert commands.dispatch_count == len(scales)
        cts.device.execute(commands)
        for number, (scale, target) in enumerate(zip(scales, targets, strict=True)):
            yield from cts.expect(target, pack(affine(values, scale, number % 3)), f"dispatch {number}")


@case
def dispatches_see_earlier_commands(cts: Conformance) -> Suspendable[None]:
    """A chain of dispatches, copies, fills and updates over two buffers."""
    executable = yield from cts.kernel("affine")
    values = cts.words(100)
    a, b = cts.upload_words(values), cts.upload_words([0] * 100)
    commands = cts.fresh(reusable=False)
    for number in range(12):
        scale, shift = cts.random.getrandbits(32), cts.random.getrandbits(32)
        commands.dispatch(executable, 0, (2, 1, 1), (scale, shift, 100), [direct(a), direct(b)])
        values = affine(values, scale, shift)
        commands.barrier()
        commands.copy(direct(b), direct(a))
        commands.barrier()
        if number % 3 == 0:
            commands.fill(direct(a, 8, 4), b"\0\1\2\3")
            values[2] = 0x03020100
        if number % 4 == 0:
            commands.update(pack([number]), direct(a, 40))
            values[10] = number
        commands.barrier()
    commands.finalize()
    cts.device.execute(commands)
    yield from cts.expect(a, pack(values))


@case
def binding_tables_change(cts: Conformance) -> Suspendable[None]:
    """One recorded command buffer, executed with many tables: ping-pong over slots, offsets at 256."""
    executable = yield from cts.kernel("affine")
    commands = cts.fresh(capacity=3)
    commands.dispatch(executable, 0, (1, 1, 1), (5, 1, 64), [slot(0, 0, 256), slot(1, 256, 256)])
    commands.barrier()
    commands.dispatch(executable, 0, (1, 1, 1), (7, 2, 64), [slot(1, 256, 256), slot(2)])
    commands.finalize()
    for _ in range(20):
        values = cts.words(192)
        source = cts.upload_words(values)
        middle, target = cts.device.allocate(1024), cts.upload_words([9] * 192)
        begin = cts.random.choice((0, 256, 512))
        end = cts.random.choice((0, 256, 512))
        table = [(source, begin, 256), (middle, 0, 512), (target, end, 256)]
        cts.device.execute(commands, table)
        expected = [9] * 192
        expected[end // 4 : end // 4 + 64] = affine(affine(values[begin // 4 : begin // 4 + 64], 5, 1), 7, 2)
        yield from cts.expect(target, pack(expected), f"source at {begin}, target at {end}")


@case
def binding_tables_with_misaligned_entries(cts: Conformance) -> Suspendable[None]:
    executable = yield from cts.kernel("affine")
    commands = cts.fresh(capacity=2)
    commands.dispatch(executable, 0, (1, 1, 1), (3, 4, 50), [slot(0), slot(1)])
    commands.finalize()
    for shift in (4, 20, 100, 252, 3, 1):
        values, expected = cts.words(50), bytearray(cts.bytes(800))
        source = cts.upload(bytes(shift) + pack(values))
        target = cts.upload(bytes(expected))
        table: list[BindingTableEntry] = [(source, shift, 200), (target, 2 * shift, 200)]
        cts.device.execute(commands, table)
        expected[2 * shift : 2 * shift + 200] = pack(affine(values, 3, 4))
        yield from cts.expect(target, bytes(expected), f"entries at byte {shift}")


@case
def direct_bindings_may_be_misaligned(cts: Conformance) -> Suspendable[None]:
    executable = yield from cts.kernel("affine")
    for shift in (4, 60, 2):
        values, expected = cts.words(33), bytearray(cts.bytes(400))
        source, target = cts.upload(bytes(shift) + pack(values)), cts.upload(bytes(expected))
        commands = cts.fresh()
        where = direct(target.subspan(shift, 132))
        commands.dispatch(executable, 0, (1, 1, 1), (2, 1, 33), [direct(source, shift), where])
        commands.finalize()
        for _ in range(2):
            cts.device.execute(commands)
        expected[shift : shift + 132] = pack(affine(values, 2, 1))
        yield from cts.expect(target, bytes(expected), f"bindings at byte {shift}")


@case
def one_buffer_read_and_written(cts: Conformance) -> Suspendable[None]:
    """A constant binding and a written one in the same buffer: in place, and side by side."""
    executable = yield from cts.kernel("affine")
    commands = cts.fresh(capacity=2)
    commands.dispatch(executable, 0, (1, 1, 1), (11, 3, 64), [slot(0, 0, 256), slot(1, 0, 256)])
    commands.finalize()
    for begin, end in ((0, 0), (0, 256), (256, 0), (0, 512)):
        values = cts.words(192)
        by_table, by_reference = cts.upload_words(values), cts.upload_words(values)
        cts.device.execute(commands, [(by_table, begin, 256), (by_table, end, 256)])
        one_shot = cts.fresh(reusable=False)
        bindings = [direct(by_reference, begin, 256), direct(by_reference, end, 256)]
        one_shot.dispatch(executable, 0, (1, 1, 1), (11, 3, 64), bindings)
        one_shot.finalize()
        cts.device.execute(one_shot)
        expected = list(values)
        expected[end // 4 : end // 4 + 64] = affine(values[begin // 4 : begin // 4 + 64], 11, 3)
        yield from cts.expect(by_table, pack(expected), f"table, {begin} to {end}")
        yield from cts.expect(by_reference, pack(expected), f"direct, {begin} to {end}")


@case
def one_buffer_written_and_read(cts: Conformance) -> Suspendable[None]:
    """As before, with the written binding first."""
    executable = yield from cts.kernel("negate")
    values = cts.words(128)
    buffer = cts.upload_words(values)
    commands = cts.fresh()
    commands.dispatch(executable, 0, (1, 1, 1), (), [direct(buffer, 0, 256), direct(buffer, 256, 256)])
    commands.finalize()
    cts.device.execute(commands)
    yield from cts.expect(buffer, pack([~value for value in values[64:]] + values[64:]))


@case
def writable_bindings_share_a_buffer(cts: Conformance) -> Suspendable[None]:
    """Two bindings declared writable: disjoint ranges are fine, of overlapping ones one must only read."""
    executable = yield from cts.kernel("mix_into")
    for begin, end in ((0, 256), (512, 0), (256, 256), (0, 0)):
        values = cts.words(192)
        buffer = cts.upload_words(values)
        commands = cts.fresh(capacity=2)
        commands.dispatch(executable, 0, (1, 1, 1), (), [slot(0), slot(1)])
        commands.finalize()
        cts.device.execute(commands, [(buffer, begin, 256), (buffer, end, 256)])
        expected = list(values)
        for i in range(64):
            expected[end // 4 + i] = (values[begin // 4 + i] * 3 + values[end // 4 + i]) & MASK
        yield from cts.expect(buffer, pack(expected), f"{begin} and {end}")


@case
def overlapping_writes_are_refused(cts: Conformance) -> Suspendable[None]:
    written = yield from cts.kernel("mix_written")
    buffer = cts.upload_words([0] * 192)
    commands = cts.fresh()
    both = [direct(buffer, 0, 512), direct(buffer, 256, 512)]
    raises(
        DeviceError,
        lambda: commands.dispatch(written, 0, (1, 1, 1), (), both),
        "mix_into$dispatch",
        "0 and 1",
        "overlap",
    )


@case
def vector_views_of_a_tail(cts: Conformance) -> Suspendable[None]:
    """A tensor whose bytes are no multiple of 16 is whole through a vec4 view."""
    executable = yield from cts.kernel("tail")
    for count in (1, 3, 5, 64, 67):
        values = cts.words(count)
        source, target = cts.upload_words(values), cts.upload_words([0] * count)
        by_table, padded = cts.upload_words([0] * count), cts.upload_words([0] * 64 + values)
        commands = cts.fresh(capacity=2)
        commands.dispatch(executable, 0, (1, 1, 1), (count,), [direct(source), direct(target)])
        commands.dispatch(executable, 0, (1, 1, 1), (count,), [slot(0), slot(1, 0, 4 * count)])
        commands.finalize()
        cts.device.execute(commands, [(padded.subspan(256, 4 * count), 0, 4 * count), (by_table, 0, 4 * count)])
        yield from cts.expect(target, pack(values), f"{count} words, direct")
        yield from cts.expect(by_table, pack(values), f"{count} words, table")


@case
def empty_bindings(cts: Conformance) -> Suspendable[None]:
    """Bindings of no bytes: of an empty buffer, of an empty range, of what is left at the end of a table's entry."""
    executable = yield from cts.kernel("affine")
    empty, some = cts.device.allocate(0), cts.upload_words([1, 2, 3])
    for bindings in (
        [direct(empty), direct(empty)],
        [slot(0), direct(some)],
        [direct(some), slot(0)],
        [slot(0, 0, 0), direct(empty)],
        [direct(some, 12), slot(0)],
    ):
        commands = cts.fresh(capacity=1)
        commands.dispatch(executable, 0, (1, 1, 1), (1, 0, 0), bindings)
        commands.finalize()
        for entry in ((empty, 0, 0), (cts.device.allocate(256), 256, 0)):
            cts.device.execute(commands, [entry])
    yield from cts.expect(some, pack([1, 2, 3]))


@case
def no_workgroups_run_nothing(cts: Conformance) -> Suspendable[None]:
    executable = yield from cts.kernel("count")
    counter = cts.upload_words([5])
    commands = cts.fresh(reusable=False)
    for grid in ((0, 1, 1), (1, 0, 1), (7, 3, 0), (0, 0, 0)):
        commands.dispatch(executable, 0, grid, (), [direct(counter)])
    commands.finalize()
    cts.device.execute(commands)
    yield from cts.expect(counter, pack([5]))


@case
def workgroups_in_three_dimensions(cts: Conformance) -> Suspendable[None]:
    executable = yield from cts.kernel("count")
    counter = cts.upload_words([0])
    grid = (cts.random.randrange(1, 40), cts.random.randrange(1, 9), cts.random.randrange(1, 9))
    commands = cts.fresh(reusable=False)
    commands.dispatch(executable, 0, grid, (), [direct(counter)])
    commands.finalize()
    cts.device.execute(commands)
    yield from cts.expect(counter, pack([grid[0] * grid[1] * grid[2]]), f"{grid}")


@case
def indirect_dispatches(cts: Conformance) -> Suspendable[None]:
    """The workgroup count is read when the commands run: from a direct buffer, from a slot, written by the commands
    themselves, and zero."""
    executable = yield from cts.kernel("count")
    counts = cts.upload_words([99, 2, 3, 4, 0, 1, 1])
    counters = [cts.upload_words([0]) for _ in range(4)]
    commands = cts.fresh(capacity=1)
    commands.dispatch_indirect(executable, 0, direct(counts, 4), (), [direct(counters[0])])
    commands.dispatch_indirect(executable, 0, direct(counts, 16, 12), (), [direct(counters[1])])
    commands.dispatch_indirect(executable, 0, slot(0, 8, 12), (), [direct(counters[2])])
    commands.barrier()
    commands.update(pack([6, 1, 1]), direct(counts, 4))
    commands.barrier()
    commands.dispatch_indirect(executable, 0, direct(counts, 4), (), [direct(counters[3])])
    commands.finalize()
    total = [0, 0, 0, 0]
    for grid in ((1, 2, 2), (5, 1, 1)):
        table = cts.upload_words([0, 0, *grid])
        cts.device.update(MemorySource(pack([2, 3, 4])), counts, 4)
        cts.device.execute(commands, [(table, 0, 20)])
        for index, groups in enumerate((24, 0, grid[0] * grid[1] * grid[2], 6)):
            total[index] += groups
    for index, counter in enumerate(counters):
        yield from cts.expect(counter, pack([total[index]]), f"dispatch {index}")
    raises(
        DeviceError,
        lambda: cts.fresh().dispatch_indirect(executable, 0, direct(counts, 2), (), [direct(counters[0])]),
        "multiple of 4",
    )
    raises(
        DeviceError,
        lambda: cts.fresh().dispatch_indirect(executable, 0, direct(counts, 20), (), [direct(counters[0])]),
        "outside",
    )


@case
def indirect_counts_in_a_bound_buffer(cts: Conformance) -> Suspendable[None]:
    """The buffer that holds the workgroup count is also written by the dispatch."""
    executable = yield from cts.kernel("count")
    buffer = cts.upload_words([0] * 64 + [3, 1, 1])
    commands = cts.fresh(capacity=1)
    commands.dispatch_indirect(executable, 0, slot(0, 256, 12), (), [slot(0, 0, 4)])
    commands.finalize()
    cts.device.execute(commands, [(buffer, 0, 268)])
    yield from cts.expect(buffer, pack([3] + [0] * 63 + [3, 1, 1]))


@case
def equal_shaders_are_compiled_once(cts: Conformance) -> Suspendable[None]:
    first = yield from cts.kernel("affine")
    before = cts.device.counters.pipelines
    second = yield from cts.kernel("affine")
    assert cts.device.counters.pipelines == before
    assert "fn affine" in (second.wgsl(0) or "")
    assert first.lookup("affine$dispatch") == 0
    info = second.exports[0]
    assert (info.workgroup_size, info.constant_count, info.binding_read_only) == ((64, 1, 1), 3, (True, False))
    assert (info.flops, info.byte_count) == (10, 20)
    raises(DeviceError, lambda: first.lookup("nothing"), "nothing", "affine$dispatch")


@case
def one_crossing_a_submission(cts: Conformance) -> Suspendable[None]:
    """However many dispatches: one call over the language border, also with a new binding table."""
    executable = yield from cts.kernel("affine")
    a, b = cts.upload_words([1] * 64), cts.upload_words([2] * 64)
    commands = cts.fresh(capacity=2)
    for number in range(60):
        commands.dispatch(executable, 0, (1, 1, 1), (1, number, 64), [slot(number % 2), slot(1 - number % 2)])
        commands.barrier()
    commands.finalize()
    counters = cts.device.counters
    before = counters.crossings, counters.submissions, counters.dispatches
    cts.device.execute(commands, [(a, 0, 256), (b, 0, 256)])
    cts.device.execute(commands, [(b, 0, 256), (a, 0, 256)])
    counters = cts.device.counters
    after = counters.crossings, counters.submissions, counters.dispatches
    assert after == (before[0] + 2, before[1] + 2, before[2] + 120), f"{before} -> {after}"
    yield from cts.read(a)


@case
def command_buffers_do_not_leak(cts: Conformance) -> Suspendable[None]:
    """A thousand executions, and a hundred command buffers dropped: no more memory than at the start."""
    executable = yield from cts.kernel("affine")

    def call(repetitions: int) -> Suspendable[None]:
        values = cts.words(64)
        source, target = cts.upload_words(values), cts.device.allocate(256)
        commands = cts.fresh(capacity=2)
        commands.dispatch(executable, 0, (1, 1, 1), (3, 0, 64), [slot(0), slot(1)])
        commands.barrier()
        commands.update(b"abc", slot(1, 1))
        commands.finalize()
        for _ in range(repetitions):
            cts.device.execute(commands, [(source, 0, 256), (target, 0, 256)])
        expected = bytearray(pack(affine(values, 3, 0)))
        expected[1:4] = b"abc"
        yield from cts.expect(target, bytes(expected))

    yield from call(2)
    gc.collect()
    before = cts.device.counters.allocated_bytes, cts.device.counters.in_use_bytes
    for _ in range(100):
        yield from call(10)
    gc.collect()
    after = cts.device.counters.allocated_bytes, cts.device.counters.in_use_bytes
    assert after == before, f"memory held and in use grew from {before} to {after} bytes"


@case
def dispatches_are_timed(cts: Conformance) -> Suspendable[None]:
    executable = yield from cts.kernel("affine")
    a, b = cts.upload_words([1] * 64), cts.upload_words([2] * 64)
    commands = cts.fresh(capacity=2)
    commands.dispatch(executable, 0, (1, 1, 1), (1, 1, 64), [slot(0), slot(1)])
    commands.barrier()
    commands.copy(slot(1, 0, 256), slot(0, 0, 256))
    commands.barrier()
    commands.dispatch(executable, 0, (1, 1, 1), (2, 2, 64), [slot(0), slot(1)])
    commands.finalize()
    cts.device.start_profile()
    for _ in range(2):
        cts.device.execute(commands, [(a, 0, 256), (b, 0, 256)])
    times = yield cts.device.stop_profile()
    assert [time.name for time in times] == ["affine$dispatch"] * 4
    assert all(0 <= time.time_us < 10e6 for time in times), times
    assert (times[0].workgroup_count, times[0].flops, times[0].byte_count) == ((1, 1, 1), *cts.kernels.costs)
    nothing = yield cts.device.stop_profile()
    assert nothing == []
    value = 1
    for _ in range(2):
        value = (value + 1) * 2 + 2
        source = value
        value = (source - 2) // 2
    yield from cts.expect(b, pack([source] * 64))


@case
def wrong_dispatches_are_refused(cts: Conformance) -> Suspendable[None]:
    executable = yield from cts.kernel("affine")
    a, b = cts.upload_words([1] * 64), cts.upload_words([2] * 64)
    limit, format = cts.device.info.limits["max_compute_workgroups_per_dimension"], cts.kernels.format
    commands = cts.fresh(capacity=1)
    good = [direct(a), direct(b)]
    for grid, bindings, constants, parts in (
        ((limit + 1, 1, 1), good, (1, 2, 3), (f"{limit + 1}×1×1", str(limit))),
        ((1, 1, -1), good, (1, 2, 3), ("-1",)),
        ((1, 1, 1), good[:1], (1, 2, 3), ("2 bindings", "found 3 and 1")),
        ((1, 1, 1), good, (1, 2), ("3 constants", "found 2 and 2")),
        ((1, 1, 1), [direct(a), slot(1)], (1, 2, 3), ("slot 1", "1 slots")),
        ((1, 1, 1), [direct(a, 0, 257), direct(b)], (1, 2, 3), ("0..257", "256 bytes")),
    ):
        raises(DeviceError, lambda: commands.dispatch(executable, 0, grid, constants, bindings), *parts)  # noqa: B023
    raises(DeviceError, lambda: commands.dispatch(executable, 1, (1, 1, 1), (), ()), "kernel 1")
    commands = cts.fresh(capacity=1)
    commands.dispatch(executable, 0, (1, 1, 1), (1, 2, 64), [slot(0, 0, 256), direct(b)])
    raises(DeviceError, lambda: cts.device.execute(commands, [(a, 0, 256)]), "finalized")
    commands.finalize()
    commands.finalize()
    raises(DeviceError, lambda: commands.barrier(), "finalized")
    raises(DeviceError, lambda: cts.device.execute(commands, []), "1 slots", "0 entries")
    error = raises(DeviceError, lambda: cts.device.execute(commands, [(a, 4, 252)]), "slot 0", "256", "252")
    assert error.status == StatusCode.OUT_OF_RANGE
    one_shot = cts.fresh(reusable=False)
    one_shot.fill(direct(a), b"\0")
    one_shot.finalize()
    cts.device.execute(one_shot)
    raises(DeviceError, lambda: cts.device.execute(one_shot), "second time")
    raises(DeviceError, lambda: cts.device.create_executable("vulkan-spirv-fb", MemorySource(b"")), "vulkan", format)
    yield from cts.expect(a, bytes(256))
