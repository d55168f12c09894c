"""Conformance: fences, order of submissions, several threads."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable

from tests.hal_cts.suite import Conformance, case, contents, direct, pack, raises, raises_later, slot, waited
from webree.errors import DeviceError, StatusCode
from webree.hal.buffer import BufferRef
from webree.hal.command_buffer import CommandBuffer
from webree.hal.executable import Executable
from webree.hal.fence import Fence, FenceWait
from webree.module.source import MemorySource
from webree.waiting import Suspendable


@case
def fences_settle_once(cts: Conformance) -> Suspendable[None]:
    fence = Fence()
    assert fence.pending
    seen: list[StatusCode] = []
    fence.on_settled(lambda settled: seen.append(settled.status))
    fence.signal()
    fence.fail(StatusCode.ABORTED)
    fence.on_settled(lambda settled: seen.append(settled.status))
    assert seen == [StatusCode.OK, StatusCode.OK]
    assert (yield FenceWait(fence)) == StatusCode.OK


@case
def fences_join(cts: Conformance) -> Suspendable[None]:
    fences = [Fence() for _ in range(4)]
    joined = Fence.join([None, *fences])
    assert joined is not None
    for fence in fences[:-1]:
        fence.signal()
    assert joined.pending
    assert Fence.join([None, fences[0]]) is None
    fences[-1].signal()
    assert joined.status == StatusCode.OK
    failing = [Fence(), Fence()]
    joined = Fence.join(failing)
    assert joined is not None
    failing[1].fail(StatusCode.DATA_LOSS)
    assert joined.status == StatusCode.DATA_LOSS
    yield from raises_later(DeviceError, waited(FenceWait(joined)), "DATA_LOSS")


@case
def fence_waits_time_out(cts: Conformance) -> Suspendable[None]:
    fence = Fence()
    assert (yield FenceWait(fence, timeout_ms=5)) == StatusCode.DEADLINE_EXCEEDED
    assert fence.pending


@case
def work_waits_for_its_fence(cts: Conformance) -> Suspendable[None]:
    """Enqueued actions run in the order in which their fences are reached, not in which they were enqueued."""
    device = cts.device
    buffer = cts.upload(bytes(16))
    gate, first, second = Fence(), Fence(), Fence()
    device.enqueue(first, second, lambda: device.fill(buffer, 0, 8, b"\2"))
    device.enqueue(gate, first, lambda: device.fill(buffer, 0, 16, b"\1"))
    yield from cts.expect(buffer, bytes(16), "before the gate")
    assert second.pending
    gate.signal()
    assert (yield FenceWait(second)) == StatusCode.OK
    yield from cts.expect(buffer, b"\2" * 8 + b"\1" * 8, "after the gate")


@case
def failures_travel_along_fences(cts: Conformance) -> Suspendable[None]:
    device = cts.device
    buffer = cts.upload(bytes(16))
    gate, first, second = Fence(), Fence(), Fence()
    device.enqueue(gate, first, lambda: device.fill(buffer, 0, 17, b"\1"))
    device.enqueue(first, second, lambda: device.fill(buffer, 0, 16, b"\2"))
    gate.signal()
    assert first.status == second.status == StatusCode.OUT_OF_RANGE
    yield from raises_later(DeviceError, waited(FenceWait(second)), "outside a buffer")
    yield from cts.expect(buffer, bytes(16), "work behind a failed fence must not run")
    raises(DeviceError, lambda: device.enqueue(None, None, lambda: device.fill(buffer, 0, 17, b"\1")), "outside")


@case
def many_submissions_in_flight(cts: Conformance) -> Suspendable[None]:
    """Hundreds of submissions without a wait, each depending on the one before, with table and one-shot mixed."""
    executable = yield from cts.kernel("affine")
    values = cts.words(64)
    buffers = [cts.upload_words(values), cts.upload_words([0] * 64)]
    commands = cts.fresh(capacity=2)
    commands.dispatch(executable, 0, (1, 1, 1), (3, 1, 64), [slot(0), slot(1)])
    commands.finalize()
    for number in range(300):
        source, target = buffers[number % 2], buffers[1 - number % 2]
        if number % 3:
            cts.device.execute(commands, [(source, 0, 256), (target, 0, 256)])
            values = [(value * 3 + 1) & 0xFFFFFFFF for value in values]
        else:
            one_shot = cts.fresh(reusable=False)
            one_shot.dispatch(executable, 0, (1, 1, 1), (number, 7, 64), [direct(source), direct(target)])
            one_shot.finalize()
            cts.device.execute(one_shot)
            values = [(value * number + 7) & 0xFFFFFFFF for value in values]
        if number % 100 == 50:
            values = cts.words(64)
            cts.device.update(MemorySource(pack(values)), target)
    yield from cts.expect(buffers[0], pack(values))


class _Wave:
    """Commands between two barriers: none may touch what another one writes."""

    def __init__(self) -> None:
        self.touched: list[tuple[int, int, int, bool]] = []

    def admits(self, *spans: tuple[int, int, int, bool]) -> bool:
        """Whether these (buffer, begin, end, written) are free of conflicts; they belong to the wave if so."""
        for buffer, begin, end, written in spans:
            for other, other_begin, other_end, other_written in self.touched:
                if buffer == other and begin < other_end and other_begin < end and (written or other_written):
                    return False
        self.touched += spans
        return True


@case
def random_programs(cts: Conformance) -> Suspendable[None]:
    """Random transfers and dispatches over three buffers, two of them slots, in waves between barriers; each program
    runs with two tables. Reference: the same in order over bytearrays."""
    affine = yield from cts.kernel("affine")
    random, size = cts.random, 2048
    for number in range(12):
        fixed = cts.upload(cts.bytes(size))
        commands = cts.fresh(capacity=2)
        refs = [slot(0), slot(1), direct(fixed)]
        steps: list[Callable[[list[bytearray]], None]] = []
        for _ in range(8):
            wave = _Wave()
            for _ in range(random.randrange(1, 12)):
                _random_command(cts, affine, commands, refs, wave, steps, size)
            commands.barrier()
        commands.finalize()
        for offset in (0, 256):
            contents = [bytearray(cts.bytes(size)) for _ in range(3)]
            cts.device.update(MemorySource(bytes(contents[2])), fixed)
            padding = cts.bytes(offset)
            buffers = [cts.upload(padding + bytes(item) + padding) for item in contents[:2]]
            cts.device.execute(commands, [(buffer, offset, size) for buffer in buffers])
            for step in steps:
                step(contents)
            for buffer, expected in zip(buffers, contents, strict=False):
                yield from cts.expect(buffer, padding + bytes(expected) + padding, f"program {number}")
            yield from cts.expect(fixed, bytes(contents[2]), f"program {number}, the direct buffer")


def _random_command(
    cts: Conformance,
    affine: Executable,
    commands: CommandBuffer,
    refs: list[BufferRef],
    wave: _Wave,
    steps: list[Callable[[list[bytearray]], None]],
    size: int,
) -> None:
    """Record a command that fits the wave, and what it does to the buffers' contents; none if it does not fit."""
    random = cts.random
    source, target = random.randrange(3), random.randrange(3)
    length = random.choice((4, 8, 60, 64, 256))
    begin, end = (random.randrange(0, size - length, random.choice((4, 64, 256))) for _ in range(2))
    whence = refs[source]._replace(byte_offset=begin, byte_length=length)
    to = refs[target]._replace(byte_offset=end, byte_length=length)
    reads, writes = (source, begin, begin + length, False), (target, end, end + length, True)
    kind = random.choice(("fill", "update", "copy", "dispatch", "dispatch"))
    if source == target and begin < end + length and end < begin + length:
        return
    if not wave.admits(*(((writes,)) if kind in ("fill", "update") else (reads, writes))):
        return
    data = cts.bytes(length)
    if kind == "fill":
        commands.fill(to, data[:4])
        steps.append(lambda contents: _put(contents[target], end, data[:4] * (length // 4)))
    elif kind == "update":
        commands.update(data, to)
        steps.append(lambda contents: _put(contents[target], end, data))
    elif kind == "copy":
        commands.copy(whence, to)
        steps.append(lambda contents: _put(contents[target], end, contents[source][begin : begin + length]))
    else:
        scale, shift = random.getrandbits(32), random.getrandbits(8)
        commands.dispatch(affine, 0, (1, 1, 1), (scale, shift, length // 4), [whence, to])

        def run(contents: list[bytearray]) -> None:
            words = array("I", bytes(contents[source][begin : begin + length]))
            _put(contents[target], end, pack([word * scale + shift for word in words]))

        steps.append(run)


def _put(target: bytearray, begin: int, data: bytes | bytearray) -> None:
    target[begin : begin + len(data)] = data


@case
def released_memory_keeps_earlier_work(cts: Conformance) -> Suspendable[None]:
    """A buffer may be closed while submitted work still reads it; reuse of its memory comes later in the queue."""
    results, expected = [], []
    for _ in range(20):
        data = cts.bytes(2000)
        source, target = cts.upload(data), cts.device.allocate(2000)
        cts.device.copy(source, 0, target, 0, 2000)
        source.close()
        results.append(target)
        expected.append(data)
    for target, data in zip(results, expected, strict=True):
        yield from cts.expect(target, data)


@case
def several_threads(cts: Conformance) -> Suspendable[None]:
    """Threads that allocate, record, execute and read back at once; each sees its own results."""
    executable = yield from cts.kernel("affine")
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        own = Conformance(cts.device, cts.open_device, cts.lose, seed, cts.kernels)
        try:
            for _ in range(15):
                values = own.words(64)
                source, target = own.upload_words(values), own.device.allocate(256)
                scale = own.random.getrandbits(32)
                commands = own.fresh(reusable=own.random.random() < 0.5)
                commands.dispatch(executable, 0, (1, 1, 1), (scale, 1, 64), [direct(source), direct(target)])
                commands.finalize()
                own.device.execute(commands)
                sources = own.device.read_back([(target, 0, 256)]).block()
                assert contents(sources[0]) == pack([value * scale + 1 for value in values])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(cts.random.getrandbits(32),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
