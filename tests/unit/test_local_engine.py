"""The native engine: streams, threads, memory, libraries, and everything that goes wrong in kernels."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator

import pytest

from tests.local_kernels import Kernel, library
from tests.local_streams import (
    ARGUMENTS_,
    COORDINATES_,
    KERNELS,
    LINEAR,
    LOCAL_,
    MIRROR_,
    OUT,
    mirror_chain,
    words_at,
)
from webree.errors import DeviceError, ModuleError, StatusCode
from webree.hal_local.engine import MAXIMUM_MEMORY_BYTES, PAGE_BYTES, Engine, Library
from webree.hal_local.layout import STREAM_WORDS
from webree.hal_local.native import NativeEngine, create_engine
from webree.hal_local.stream import StreamWriter
from webree.module.source import MemorySource


@pytest.fixture(params=[1, 2, 3], ids=lambda count: f"{count}-threads")
def engine(request: pytest.FixtureRequest) -> Iterator[NativeEngine]:
    engine = create_engine(request.param)
    yield engine
    engine.close()


@pytest.fixture
def kernels(engine: NativeEngine) -> Library:
    return engine.load(MemorySource(library(KERNELS, functions=LINEAR)))


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
