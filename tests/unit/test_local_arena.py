"""The free list of the CPU device's memory against a plain model of it."""

from __future__ import annotations

import gc
import os
import random
from itertools import pairwise

import pytest

from webree.errors import DeviceError, StatusCode
from webree.hal.device import Counters
from webree.hal_local.arena import ALIGNMENT, SMALLEST_STEP, Arena, Block
from webree.hal_local.engine import MAXIMUM_MEMORY_BYTES

MIB = 1 << 20
BASE = 3 * ALIGNMENT


class Memory:
    """Stands for an engine whose memory can have `capacity` bytes."""

    base_address = BASE

    def __init__(self, capacity: int = MAXIMUM_MEMORY_BYTES) -> None:
        self.capacity = capacity
        self.memory_bytes = BASE
        self.grown: list[int] = []

    def grow(self, byte_length: int) -> None:
        if byte_length > self.capacity:
            raise DeviceError("no more memory", status=StatusCode.RESOURCE_EXHAUSTED)
        self.memory_bytes = byte_length
        self.grown.append(byte_length)


def make(capacity: int = MAXIMUM_MEMORY_BYTES) -> tuple[Arena, Memory, Counters]:
    memory, counters = Memory(capacity), Counters()
    return Arena(memory, counters), memory, counters  # type: ignore[arg-type]


def test_random_requests() -> None:
    """Blocks are aligned, inside the memory and apart; when all are back, the memory is one hole again."""
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    rng = random.Random(seed)
    arena, memory, counters = make()
    live: list[Block] = []
    for _ in range(4000):
        if live and rng.random() < 0.49:
            live.pop(rng.randrange(len(live))).release()
            continue
        wanted = rng.choice((0, 1, ALIGNMENT, rng.randrange(300), rng.randrange(1 << rng.randrange(1, 18))))
        block = arena.allocate(wanted)
        assert block.byte_size >= max(wanted, 1)
        assert block.address % ALIGNMENT == block.byte_size % ALIGNMENT == 0
        live.append(block)
        if rng.random() < 0.05:
            spans = sorted((block.address, block.address + block.byte_size) for block in live)
            assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
            assert spans[0][0] >= BASE
            assert spans[-1][1] <= memory.memory_bytes
        arena.drain()
        assert counters.in_use_bytes == sum(block.byte_size for block in live)
    for block in live:
        block.release()
    arena.drain()
    assert counters.in_use_bytes == 0
    assert counters.allocated_bytes == memory.memory_bytes - BASE
    whole = arena.allocate(counters.allocated_bytes)
    assert (whole.address, whole.byte_size) == (BASE, memory.memory_bytes - BASE)


def test_the_best_fit_is_taken_and_at_once() -> None:
    arena, memory, _ = make()
    blocks = [arena.allocate(size) for size in (1000, 64, 300, 64, 500, 64)]
    wanted = blocks[2].address
    for index in (0, 2, 4):
        blocks[index].release()
        blocks[index].release()
    assert arena.allocate(300).address == wanted
    assert len(memory.grown) == 1


def test_collected_blocks_come_back() -> None:
    arena, memory, counters = make()
    for _ in range(50):
        arena.allocate(MIB)
    gc.collect()
    arena.drain()
    assert counters.in_use_bytes == 0
    assert memory.memory_bytes <= BASE + 3 * MIB


def test_memory_grows_in_steps() -> None:
    arena, memory, counters = make()
    live = [arena.allocate(100_000) for _ in range(2000)]
    assert len(live) * 100_000 <= counters.allocated_bytes <= len(live) * 100_000 * 1.3
    assert len(memory.grown) < 60
    assert memory.grown[0] == BASE + SMALLEST_STEP


def test_the_hole_at_the_end_grows() -> None:
    arena, memory, _ = make()
    first = arena.allocate(SMALLEST_STEP // 2)
    second = arena.allocate(SMALLEST_STEP)
    assert second.address == first.address + first.byte_size
    assert memory.memory_bytes == BASE + 2 * SMALLEST_STEP


def test_running_out() -> None:
    """A step that does not fit is tried again without its surplus; the message has the numbers; nothing is lost."""
    arena, memory, counters = make(capacity=BASE + 10 * MIB + 100 * ALIGNMENT)
    held = [arena.allocate(2 * MIB) for _ in range(5)]
    with pytest.raises(DeviceError, match=rf"out of memory: {MIB} bytes.* {10 * MIB} of {10 * MIB} bytes") as caught:
        arena.allocate(MIB)
    assert caught.value.status == StatusCode.RESOURCE_EXHAUSTED
    assert arena.allocate(100 * ALIGNMENT).address == BASE + 10 * MIB
    assert memory.memory_bytes == memory.capacity
    address = held[1].address
    held[1].release()
    held[2].release()
    assert arena.allocate(4 * MIB).address == address
    assert counters.allocated_bytes == memory.capacity - BASE


def test_sizes_above_the_limit_name_both_numbers() -> None:
    arena, memory, _ = make()
    assert arena.limit % ALIGNMENT == 0
    assert BASE + arena.limit <= MAXIMUM_MEMORY_BYTES
    with pytest.raises(DeviceError, match=rf"{arena.limit + 1} bytes.* {arena.limit} bytes"):
        arena.allocate(arena.limit + 1)
    assert arena.allocate(arena.limit).address == BASE
    assert memory.memory_bytes <= MAXIMUM_MEMORY_BYTES


def test_other_failures_of_the_engine_are_passed_on() -> None:
    arena, memory, _ = make()

    def fail(byte_length: int) -> None:
        raise DeviceError("a worker died")

    memory.grow = fail  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="a worker died"):
        arena.allocate(5)


def test_a_closed_arena_takes_nothing_back() -> None:
    arena, _, counters = make()
    block = arena.allocate(100)
    arena.close()
    block.release()
    assert counters.allocated_bytes == counters.in_use_bytes == 0
