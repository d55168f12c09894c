"""The native engine: streams, threads, memory, libraries, and everything that goes wrong in kernels."""

from __future__ import annotations

import gc
import os
import random
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_kernels import Kernel, library
from webree.errors import DeviceError, ModuleError, StatusCode
from webree.hal_local import native
from webree.hal_local.engine import MAXIMUM_MEMORY_BYTES, PAGE_BYTES, Engine, Library
from webree.hal_local.layout import STREAM_WORDS
from webree.hal_local.native import NativeEngine, create_engine
from webree.hal_local.stream import StreamWriter
from webree.module.source import MemorySource

LINEAR = """
  (func $linear (param $state i32) (param $workgroup i32) (result i32)
    (i32.add (i32.load (local.get $workgroup))
      (i32.mul (i32.load offset=12 (local.get $state))
        (i32.add (i32.load offset=4 (local.get $workgroup))
          (i32.mul (i32.load offset=16 (local.get $state)) (i32.load16_u offset=8 (local.get $workgroup)))))))
  (func $element (param $state i32) (param $workgroup i32) (param $n i32) (result i32)
    (i32.add (call $binding (local.get $state) (local.get $n))
      (i32.shl (call $linear (local.get $state) (local.get $workgroup)) (i32.const 2))))
"""
OUT = "(call $element (local.get $state) (local.get $workgroup) (i32.const 0))"
# out[i] = x | y << 8 | z << 16 | constant << 24
COORDINATES = f"""(i32.store {OUT} (i32.or
  (i32.or (i32.load (local.get $workgroup)) (i32.shl (i32.load offset=4 (local.get $workgroup)) (i32.const 8)))
  (i32.or (i32.shl (i32.load16_u offset=8 (local.get $workgroup)) (i32.const 16))
          (i32.shl (call $constant (local.get $state) (i32.const 1)) (i32.const 24)))))
  (i32.const 0)"""
# out[i] = in[n - 1 - i] * 3 + 1: every element comes from another workgroup
MIRROR = f"""(local $n i32)
  (local.set $n (i32.shr_u (call $length (local.get $state) (i32.const 1)) (i32.const 2)))
  (i32.store {OUT} (i32.add (i32.const 1) (i32.mul (i32.const 3) (i32.load (i32.add
    (call $binding (local.get $state) (i32.const 1))
    (i32.shl (i32.sub (i32.sub (local.get $n) (i32.const 1))
                      (call $linear (local.get $state) (local.get $workgroup))) (i32.const 2)))))))
  (i32.const 0)"""
# the whole of its arguments, as one workgroup sees them
ARGUMENTS = """(memory.copy (call $binding (local.get $state) (i32.const 0)) (local.get $state) (i32.const 24))
  (memory.copy (i32.add (call $binding (local.get $state) (i32.const 0)) (i32.const 24))
               (local.get $workgroup) (i32.const 24))
  (i32.const 0)"""
# writes all of its local memory, reads it back
LOCAL = f"""(local $at i32) (local $end i32) (local $sum i32)
  (local.set $at (i32.load offset=16 (local.get $workgroup)))
  (memory.fill (local.get $at) (call $linear (local.get $state) (local.get $workgroup))
               (i32.load offset=20 (local.get $workgroup)))
  (local.set $end (i32.add (local.get $at) (i32.load offset=20 (local.get $workgroup))))
  (loop $next
    (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $at))))
    (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $end))))
  (i32.store {OUT} (local.get $sum))
  (i32.const 0)"""
# pushes a frame of constant 0 bytes and writes its lowest word
STACK = """(local $old i32)
  (local.set $old (global.get $stack))
  (global.set $stack (i32.sub (local.get $old) (call $constant (local.get $state) (i32.const 0))))
  (memory.fill (global.get $stack) (i32.const 7) (call $constant (local.get $state) (i32.const 0)))
  (global.set $stack (local.get $old))
  (i32.const 0)"""
TRAP_AT = """(if (i32.eq (call $linear (local.get $state) (local.get $workgroup))
                       (call $constant (local.get $state) (i32.const 0))) (then (unreachable)))
  (i32.const 0)"""
STATUS_AT = """(select (i32.const 9) (i32.const 0) (i32.eq (call $linear (local.get $state) (local.get $workgroup))
                                                        (call $constant (local.get $state) (i32.const 0))))"""
KERNELS = [
    Kernel("coordinates", COORDINATES, constant_count=2),
    Kernel("mirror", MIRROR, binding_count=2),
    Kernel("arguments", ARGUMENTS, constant_count=1, workgroup_size=(3, 4, 5), local_memory_pages=2),
    Kernel("local", LOCAL, local_memory_pages=3),
    Kernel("stack", STACK, constant_count=1, binding_count=0),
    Kernel("trap_at", TRAP_AT, constant_count=1, binding_count=0),
    Kernel("status_at", STATUS_AT, constant_count=1, binding_count=0),
    Kernel("recurse", "(call $kernel7 (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 1) (i32.add)"),
    Kernel("outside", "(i32.load (i32.const -4))"),
    Kernel("divide", "(i32.div_s (i32.const 1) (i32.const 0))"),
]
COORDINATES_, MIRROR_, ARGUMENTS_, LOCAL_, STACK_, TRAP_, STATUS_, RECURSE_, OUTSIDE_, DIVIDE_ = range(10)


@pytest.fixture(params=[1, 2, 3], ids=lambda count: f"{count}-threads")
def engine(request: pytest.FixtureRequest) -> Iterator[NativeEngine]:
    engine = create_engine(request.param)
    yield engine
    engine.close()


@pytest.fixture
def kernels(engine: NativeEngine) -> Library:
    return engine.load(MemorySource(library(KERNELS, functions=LINEAR)))


def words_at(engine: Engine, address: int, count: int) -> list[int]:
    [source] = engine.read([(address, 4 * count)]).block()
    return list(struct.unpack(f"<{count}I", source.read(0, 4 * count)))


def test_it_is_an_engine(engine: NativeEngine) -> None:
    face: Engine = engine
    assert face.name == "wasm"
    assert "wasmtime 50." in face.description
    assert f"{face.thread_count} thread" in face.description
    assert face.base_address % 64 == 0
    assert face.memory_bytes >= face.base_address
    assert face.failure is None
    assert face.ready() is None
    assert face.idle() is None


@pytest.mark.parametrize("counts", [(1, 1, 1), (7, 1, 1), (1, 5, 1), (1, 1, 6), (7, 5, 3), (64, 9, 2)])
def test_a_dispatch_has_every_workgroup_once(
    engine: NativeEngine, kernels: Library, counts: tuple[int, int, int]
) -> None:
    base, total = engine.base_address, counts[0] * counts[1] * counts[2]
    engine.grow(base + 4 * total + 4)
    stream = StreamWriter()
    stream.fill(base, 4 * total + 4, b"\xee")
    stream.barrier()
    stream.dispatch(kernels.identifier, COORDINATES_, counts, [99, 0x1A5], [base], [4 * total])
    engine.submit(stream.words)
    expected = [
        x | y << 8 | z << 16 | 0xA5 << 24 for z in range(counts[2]) for y in range(counts[1]) for x in range(counts[0])
    ]
    assert words_at(engine, base, total + 1) == [*expected, 0xEEEEEEEE]


def test_an_indirect_dispatch_reads_its_counts_when_it_is_played(engine: NativeEngine, kernels: Library) -> None:
    base = engine.base_address
    engine.grow(base + 4096)
    for counts in ((5, 3, 2), (1, 1, 1), (0, 3, 2), (17, 1, 1)):
        engine.write(base, MemorySource(struct.pack("<III", *counts)))
        total = counts[0] * counts[1] * counts[2]
        stream = StreamWriter()
        stream.fill(base + 32, 2048, b"\0")
        stream.copy(base, base + 16, 12)
        stream.barrier()
        stream.dispatch(
            kernels.identifier, COORDINATES_, (base + 16, 0, 0), [0, 1], [base + 32], [4 * total], indirect=True
        )
        stream.barrier()
        # The counts are overwritten at once: a thread that comes late must not read them any more.
        stream.fill(base + 16, 12, b"\xff\xff\xff\x7f")
        engine.submit(stream.words)
        found = words_at(engine, base + 32, 64)
        assert [word for word in found if word] == [
            x | y << 8 | z << 16 | 1 << 24 for z in range(counts[2]) for y in range(counts[1]) for x in range(counts[0])
        ]


def test_kernels_see_the_structures_of_the_abi(engine: NativeEngine, kernels: Library) -> None:
    base = engine.base_address
    engine.grow(base + 64)
    stream = StreamWriter()
    stream.dispatch(kernels.identifier, ARGUMENTS_, (1, 1, 1), [5], [base], [48])
    engine.submit(stream.words)
    [source] = engine.read([(base, 48)]).block()
    state = struct.unpack_from("<IIHHIIHBB", source.read(0, 48))
    assert state == (3, 4, 5, 1, 1, 1, 1, 1, 1)
    x, y, z, zero, processor, _, size = struct.unpack_from("<IIHHIII", source.read(24, 24))
    assert (x, y, z, zero, processor, size) == (0, 0, 0, 0, 0, 8192)


def test_each_thread_has_its_own_local_memory(engine: NativeEngine, kernels: Library) -> None:
    base = engine.base_address
    engine.grow(base + 4 * 200)
    stream = StreamWriter()
    stream.dispatch(kernels.identifier, LOCAL_, (200, 1, 1), [], [base], [800])
    engine.submit(stream.words)
    assert words_at(engine, base, 200) == [3 * 4096 * index for index in range(200)]


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 9, 4096, (256 << 10) - 1, (256 << 10) + 1, (1 << 20) + 13])
def test_copies(engine: NativeEngine, length: int) -> None:
    base, seed = engine.base_address, time.time_ns()
    content = random.Random(seed).randbytes(length)
    engine.grow(base + 3 * length + 3)
    engine.write(base, MemorySource(content))
    stream = StreamWriter()
    stream.fill(base + length, 2 * length + 3, b"\x55")
    stream.barrier()
    stream.copy(base, base + length + 1, length)
    engine.submit(stream.words)
    [source] = engine.read([(base + length, length + 2)]).block()
    assert bytes(source.read(0, length + 2)) == b"\x55" + content + b"\x55"


@pytest.mark.parametrize("pattern", [b"\x81", b"\x81\x02", b"\x81\x02\x03\x84", b"\x81\x02\x03\x04\x05\x06\x07\x88"])
@pytest.mark.parametrize("count", [0, 1, 3, 5, 100, (256 << 10) // 8 + 3, 1 << 17])
def test_fills(engine: NativeEngine, pattern: bytes, count: int) -> None:
    base, length = engine.base_address, count * len(pattern)
    engine.grow(base + length + 64)
    engine.write(base, MemorySource(bytes(length + 16)))
    stream = StreamWriter()
    stream.fill(base + 8, length, pattern)
    engine.submit(stream.words)
    [source] = engine.read([(base, length + 16)]).block()
    assert bytes(source.read(0, length + 16)) == bytes(8) + pattern * count + bytes(8)


def mirror_chain(engine: NativeEngine, library: Library, count: int, depth: int) -> list[int]:
    """`depth` dispatches, each of which reads what all workgroups of the one before wrote."""
    base, size = engine.base_address, 4 * count
    engine.grow(base + 2 * size)
    engine.write(base, MemorySource(struct.pack(f"<{count}I", *range(count))))
    stream = StreamWriter()
    for step in range(depth):
        source, target = (base, base + size) if step % 2 == 0 else (base + size, base)
        stream.dispatch(library.identifier, MIRROR_, (count, 1, 1), [], [target, source], [size, size])
        stream.barrier()
    engine.submit(stream.words)
    return words_at(engine, base + size * (depth % 2), count)


@pytest.mark.parametrize(("count", "depth"), [(1, 400), (2, 300), (5, 200), (1000, 50), (20000, 9)])
def test_barriers_order_what_threads_do(engine: NativeEngine, kernels: Library, count: int, depth: int) -> None:
    expected = list(range(count))
    for _ in range(depth):
        expected = [(3 * value + 1) & 0xFFFF_FFFF for value in reversed(expected)]
    for _ in range(3):
        assert mirror_chain(engine, kernels, count, depth) == expected


def test_streams_longer_than_the_stream_area(engine: NativeEngine, kernels: Library) -> None:
    base = engine.base_address
    engine.grow(base + 64)
    engine.write(base, MemorySource(struct.pack("<II", 1, 0)))
    stream, steps = StreamWriter(), STREAM_WORDS // 12 * 2 + 7
    for step in range(steps):
        first, second = (base, base + 4) if step % 2 == 0 else (base + 4, base)
        stream.dispatch(kernels.identifier, MIRROR_, (1, 1, 1), [], [second, first], [4, 4])
        stream.barrier()
    assert len(stream.words) > 2 * STREAM_WORDS
    before = engine.counters.crossings
    engine.submit(stream.words)
    value = 1
    for _ in range(steps):
        value = (3 * value + 1) & 0xFFFF_FFFF
    assert words_at(engine, base, 2)[steps % 2] == value
    assert engine.counters.crossings - before == -(-len(stream.words) // STREAM_WORDS)


def test_a_stream_is_one_crossing(engine: NativeEngine, kernels: Library) -> None:
    before = engine.counters.crossings
    mirror_chain(engine, kernels, 10, 60)
    assert engine.counters.crossings == before + 1


def test_growing_keeps_what_is_there_and_adds_zeros(engine: NativeEngine) -> None:
    base = engine.base_address
    engine.grow(base + 100)
    engine.write(base, MemorySource(b"abcd"))
    length = engine.memory_bytes
    engine.grow(length + 50 * PAGE_BYTES + 1)
    assert engine.memory_bytes == length + 51 * PAGE_BYTES
    engine.grow(base)
    assert engine.memory_bytes == length + 51 * PAGE_BYTES
    first, last = engine.read([(base, 4), (engine.memory_bytes - 4, 4)]).block()
    assert (bytes(first.read(0, 4)), bytes(last.read(0, 4))) == (b"abcd", bytes(4))


def test_the_memory_ends_at_four_gigabytes(engine: NativeEngine, kernels: Library) -> None:
    with pytest.raises(DeviceError, match="cannot have 4294901761 bytes") as caught:
        engine.grow(MAXIMUM_MEMORY_BYTES + 1)
    assert caught.value.status is StatusCode.RESOURCE_EXHAUSTED
    # Only touched pages cost memory: the last one can be used.
    engine.grow(MAXIMUM_MEMORY_BYTES)
    assert engine.memory_bytes == MAXIMUM_MEMORY_BYTES
    last = MAXIMUM_MEMORY_BYTES - 8
    stream = StreamWriter()
    stream.fill(last, 8, b"\x12\x34")
    engine.submit(stream.words)
    assert words_at(engine, last, 2) == [0x34123412] * 2
    assert engine.failure is None


def test_ranges_outside_of_the_memory_are_refused(engine: NativeEngine) -> None:
    with pytest.raises(DeviceError, match="outside the memory"):
        engine.write(engine.memory_bytes - 2, MemorySource(b"abc"))
    with pytest.raises(DeviceError, match="outside the memory"):
        engine.read([(engine.memory_bytes, 1)])


def test_read_backs_are_copies(engine: NativeEngine) -> None:
    base = engine.base_address
    engine.grow(base + 16)
    engine.write(base, MemorySource(b"before"))
    [source] = engine.read([(base, 6)]).block()
    engine.write(base, MemorySource(b"after!"))
    assert bytes(source.read(0, 6)) == b"before"
    assert (engine.counters.uploaded_bytes, engine.counters.read_back_bytes) == (12, 6)


@pytest.mark.parametrize(
    ("export", "message"),
    [
        (TRAP_, "kernel trap_at trapped in wasmtime: wasm `unreachable` instruction executed"),
        (OUTSIDE_, "kernel outside trapped in wasmtime: out of bounds memory access"),
        (DIVIDE_, "kernel divide trapped in wasmtime: integer divide by zero"),
        (RECURSE_, "kernel recurse trapped in wasmtime: call stack exhausted"),
    ],
)
@pytest.mark.parametrize("workgroup", [0, 99])
def test_traps_are_told_and_kept(
    engine: NativeEngine, kernels: Library, export: int, message: str, workgroup: int
) -> None:
    stream = StreamWriter()
    stream.dispatch(kernels.identifier, COORDINATES_, (1, 1, 1), [0, 0], [engine.base_address - 8], [4])
    stream.barrier()
    stream.dispatch(kernels.identifier, export, (100, 1, 1), [workgroup], [], [])
    stream.barrier()
    stream.dispatch(kernels.identifier, COORDINATES_, (1, 1, 1), [0, 0], [engine.base_address - 8], [4])
    engine.submit(stream.words)
    assert engine.failure is not None
    assert message in str(engine.failure)
    assert engine.failure.status is StatusCode.INTERNAL
    for call in (
        lambda: engine.submit(stream.words),
        lambda: engine.read([]),
        lambda: engine.write(0, MemorySource(b"")),
        engine.ready,
        engine.idle,
        lambda: engine.grow(1),
    ):
        with pytest.raises(DeviceError, match="trapped in wasmtime"):
            call()
    engine.close()


def test_a_kernels_status_is_told(engine: NativeEngine, kernels: Library) -> None:
    stream = StreamWriter()
    stream.dispatch(kernels.identifier, STATUS_, (100, 1, 1), [40], [], [])
    engine.submit(stream.words)
    with pytest.raises(DeviceError, match="kernel status_at failed with status 9 \\(FAILED_PRECONDITION\\)") as caught:
        engine.idle()
    assert caught.value.status is StatusCode.FAILED_PRECONDITION


def test_a_failed_stream_is_not_played_further(engine: NativeEngine, kernels: Library) -> None:
    base = engine.base_address
    engine.grow(base + 64)
    stream = StreamWriter()
    stream.dispatch(kernels.identifier, STATUS_, (1, 1, 1), [0], [], [])
    stream.barrier()
    stream.fill(base, 4, b"\xff")
    engine.submit(stream.words)
    assert engine.failure is not None
    assert bytes(engine._view[base : base + 4]) == bytes(4)


@pytest.mark.parametrize(("size", "overflows"), [(500 << 10, False), (513 << 10, True), (700 << 10, True)])
def test_stacks_do_not_overflow_into_anything_silently(
    engine: NativeEngine, kernels: Library, size: int, overflows: bool
) -> None:
    stream = StreamWriter()
    stream.dispatch(kernels.identifier, STACK_, (50, 1, 1), [size], [], [])
    engine.submit(stream.words)
    if not overflows:
        assert engine.failure is None
    else:
        assert engine.failure is not None
        text = str(engine.failure)
        assert "stack" in text or "trapped" in text


def test_libraries_lie_side_by_side_and_their_room_is_used_again(engine: NativeEngine) -> None:
    constant = "(i32.store (call $binding (local.get $state) (i32.const 0)) (i32.const {})) (i32.const 0)"
    base = engine.base_address
    engine.grow(base + 64)
    free = list(engine._layout._data.free)
    first = [
        engine.load(MemorySource(library([Kernel(f"k{n}{m}", constant.format(10 * n + m)) for m in range(3)])))
        for n in range(4)
    ]
    mirror_stream = StreamWriter()
    for round_ in range(30):
        engine.unload(first[1])
        first[1] = engine.load(
            MemorySource(library([Kernel(f"r{m}", constant.format(1000 * round_ + m)) for m in range(1 + round_ % 4)]))
        )
        mirror_stream = StreamWriter()
        mirror_stream.dispatch(first[1].identifier, round_ % 4, (1, 1, 1), [], [base], [4])
        mirror_stream.dispatch(first[3].identifier, 2, (1, 1, 1), [], [base + 4], [4])
        mirror_stream.dispatch(first[0].identifier, 0, (1, 1, 1), [], [base + 8], [4])
        engine.submit(mirror_stream.words)
        assert words_at(engine, base, 3) == [1000 * round_ + round_ % 4, 32, 0]
    for entry in first:
        engine.unload(entry)
    engine.unload(first[0])
    engine._release_unloaded()
    assert engine._layout._data.free == free


def test_damaged_libraries_are_refused(engine: NativeEngine) -> None:
    good = library([Kernel("k", "(i32.const 0)")])
    with pytest.raises(ModuleError, match="not a WebAssembly module"):
        engine.load(MemorySource(b"\x7fELF" + bytes(60)))
    with pytest.raises(ModuleError, match="version 7 of the library ABI"):
        engine.load(MemorySource(library([Kernel("k", "(i32.const 0)")], version=7)))
    body = good.find(b"\x41\x00\x0b", good.find(b"\x10", 200))
    with pytest.raises(ModuleError, match="wasmtime rejects its WebAssembly code"):
        engine.load(MemorySource(good[:body] + b"\x42" + good[body + 1 :]))
    assert engine.load(MemorySource(good)).exports[0].name == "k"


def test_imports_that_nobody_has_are_named(engine: NativeEngine) -> None:
    odd = '(import "env" "frobnicate" (func (param f32) (result f32)))'
    with pytest.raises(DeviceError, match=r"executable k imports frobnicate; this device has .*fmaxf") as caught:
        engine.load(MemorySource(library([Kernel("k", "(i32.const 0)")], imports=odd)))
    assert caught.value.status is StatusCode.UNIMPLEMENTED
    wrong = '(import "env" "fmaxf" (func (param f64) (result f32)))'
    with pytest.raises(ModuleError, match="wasmtime cannot link it"):
        engine.load(MemorySource(library([Kernel("k", "(i32.const 0)")], imports=wrong)))


def test_libm_and_host_functions_are_linked_in_every_thread(engine: NativeEngine) -> None:
    imports = """(import "env" "fmaxf" (func $fmaxf (param f32 f32) (result f32)))
      (import "env" "exp" (func $exp (param f64) (result f64)))
      (import "env" "atan2" (func $atan2 (param f64 f64) (result f64)))"""
    body = f"""(f32.store {OUT} (f32.demote_f64 (f64.add (call $exp (f64.const 1))
      (f64.add (call $atan2 (f64.const 1) (f64.const -1))
               (f64.promote_f32 (call $fmaxf (f32.const nan) (f32.const 0.25)))))))
      (i32.const 0)"""
    base = engine.base_address
    engine.grow(base + 400)
    entry = engine.load(MemorySource(library([Kernel("k", body)], imports=imports, functions=LINEAR)))
    stream = StreamWriter()
    stream.dispatch(entry.identifier, 0, (100, 1, 1), [], [base], [400])
    engine.submit(stream.words)
    [source] = engine.read([(base, 400)]).block()
    found = set(struct.unpack("<100f", source.read(0, 400)))
    assert len(found) == 1
    assert abs(found.pop() - (2.718281828 + 2.35619449 + 0.25)) < 1e-5


def test_too_much_data_or_local_memory_is_refused_with_the_numbers(engine: NativeEngine) -> None:
    huge = Kernel("huge", "(i32.const 0)", local_memory_pages=65)
    with pytest.raises(DeviceError, match="kernel huge needs 266240 bytes of local memory, this device has 262144"):
        engine.load(MemorySource(library([huge])))
    for _ in range(3):
        engine._layout.place("filler", 1 << 20, 16, 0, ())
    with pytest.raises(
        DeviceError, match=r"no room for \d+ bytes of data and 400 functions; .* have 4194304"
    ) as caught:
        engine.load(MemorySource(library([Kernel("n" * 4000, "(i32.const 0)")] * 400)))
    assert caught.value.status is StatusCode.RESOURCE_EXHAUSTED


def test_closing_twice_and_using_after(engine: NativeEngine, kernels: Library) -> None:
    mirror_chain(engine, kernels, 4, 4)
    engine.close()
    engine.close()
    with pytest.raises(DeviceError, match="closed"):
        engine.submit(StreamWriter().words)


def test_an_engine_that_is_dropped_ends_its_threads() -> None:
    engine = create_engine(3)
    entry = engine.load(MemorySource(library(KERNELS, functions=LINEAR)))
    mirror_chain(engine, entry, 100, 3)
    assert sum(thread.name.startswith("webree-cpu-") for thread in threading.enumerate()) == 2
    del engine
    gc.collect()
    assert not any(thread.name.startswith("webree-cpu-") for thread in threading.enumerate())


def test_python_threads_take_turns(engine: NativeEngine, kernels: Library) -> None:
    base = engine.base_address
    engine.grow(base + 8 * 400)
    wrong: list[int] = []

    def work(slot: int) -> None:
        address = base + 400 * slot
        for step in range(60):
            stream = StreamWriter()
            stream.dispatch(kernels.identifier, COORDINATES_, (100, 1, 1), [0, slot * 16 + step % 16], [address], [400])
            engine.submit(stream.words)
            if slot == 0 and step % 20 == 0:
                engine.unload(engine.load(MemorySource(library(KERNELS, functions=LINEAR))))
            if words_at(engine, address, 100) != [x | (slot * 16 + step % 16) << 24 for x in range(100)]:
                wrong.append(step)

    threads = [threading.Thread(target=work, args=(slot,)) for slot in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert engine.failure is None


def test_an_interrupt_in_a_pause_comes_after_the_stream(
    engine: NativeEngine, kernels: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([KeyboardInterrupt, None])

    def interrupted(_: float) -> None:
        if (answer := next(answers)) is not None:
            raise answer

    monkeypatch.setattr(time, "sleep", interrupted)
    engine._pauses(1 << 20)
    monkeypatch.undo()
    stream = StreamWriter()
    engine.grow(engine.base_address + 4)
    stream.fill(engine.base_address, 4, b"\x11")
    with pytest.raises(KeyboardInterrupt):
        engine.submit(stream.words)
    assert words_at(engine, engine.base_address, 1) == [0x11111111]
    engine.submit(stream.words)


SIGNALS_PROGRAM = """
import faulthandler, sys, os
sys.path.insert(0, os.getcwd())
import tests.unit.test_local_engine as here
engines = [here.create_engine(threads) for threads in (1, 2)]
if sys.argv[1] == "faulthandler":
    faulthandler.enable()
else:
    import webree
    webree.compile("func.func @f(%a: tensor<4xf32>) -> tensor<4xf32> { return %a : tensor<4xf32> }", target="cpu")
for engine in engines:
    kernels = engine.load(here.MemorySource(here.library(here.KERNELS, functions=here.LINEAR)))
    assert len(here.mirror_chain(engine, kernels, 50, 3)) == 50
    stream = here.StreamWriter()
    stream.dispatch(kernels.identifier, here.OUTSIDE_, (9, 1, 1), [], [], [])
    engine.submit(stream.words)
    assert "out of bounds" in str(engine.failure)
    engine.close()
print("right", flush=True)
if sys.argv[1] == "faulthandler":
    faulthandler._sigsegv()
"""


@pytest.mark.parametrize("who", ["faulthandler", "compiler"])
def test_traps_stay_traps_where_others_handle_signals(who: str) -> None:
    command = [sys.executable, "-c", SIGNALS_PROGRAM, who]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2])
    assert result.stdout.split() == ["right"], result.stderr
    if who == "faulthandler":
        # Outside of kernels, faults are the others' again.
        assert "Fatal Python error: Segmentation fault" in result.stderr
    else:
        assert result.returncode == 0


PROGRAM = """
import os, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, os.getcwd())
import tests.unit.test_local_engine as here
engine = here.create_engine(3)
kernels = engine.load(here.MemorySource(here.library(here.KERNELS, functions=here.LINEAR)))
first = here.mirror_chain(engine, kernels, 500, 20)
if "fork" in sys.argv:
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
assert here.mirror_chain(engine, kernels, 500, 20) == first
more = engine.load(here.MemorySource(here.library(here.KERNELS, functions=here.LINEAR)))
assert here.mirror_chain(engine, more, 500, 20) == first
print("right", flush=True)
"""


@pytest.mark.parametrize("how", ["leave", "fork"])
def test_a_process_ends_without_closing_and_may_fork(how: str) -> None:
    if how == "fork" and not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    command = [sys.executable, "-c", PROGRAM, how]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2])
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["right"] * (2 if how == "fork" else 1)


def test_a_process_without_addresses_is_told() -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux limits addresses")
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31)); sys.path.insert(0, '.')\n"
        "from webree.errors import DeviceError\nfrom webree.hal_local.native import create_engine\n"
        "try:\n    create_engine(1)\nexcept DeviceError as error:\n    print(error.status.name, error)"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2])
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("RESOURCE_EXHAUSTED the CPU device cannot reserve the addresses of its memory")
    assert result.stdout.count("\n") == 1


def test_the_number_of_threads_is_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBREE_CPU_THREADS", "2")
    engine = create_engine()
    assert (engine.thread_count, engine.description.split(", ")[1]) == (2, "2 threads")
    engine.close()
    for wrong in ("0", "many", "1000", "-1"):
        monkeypatch.setenv("WEBREE_CPU_THREADS", wrong)
        with pytest.raises(DeviceError, match=f"WEBREE_CPU_THREADS is '{wrong}', expected a number of threads"):
            create_engine()


def test_a_missing_wasmtime_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wasmtime", None)
    with pytest.raises(DeviceError, match="pip install 'wasmtime>=50,<51'"):
        create_engine()
    assert native.create_engine is create_engine
