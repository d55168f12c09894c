"""The pool's policy against a backend that only counts: size classes, reuse, trimming, running out of memory."""

from __future__ import annotations

import random
from itertools import count

import pytest

from webree.errors import DeviceError, StatusCode
from webree.hal.device import Counters
from webree.hal_webgpu.pool import KEPT_FREE_BYTES, BufferPool, size_class

MIB = 1 << 20


class Memory:
    """Stands for a backend whose GPU has `capacity` bytes."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.buffers: dict[int, int] = {}
        self.handles = count(1)

    def create_buffer(self, byte_size: int) -> int:
        if sum(self.buffers.values()) + byte_size > self.capacity:
            raise DeviceError("out of memory", status=StatusCode.RESOURCE_EXHAUSTED)
        handle = next(self.handles)
        self.buffers[handle] = byte_size
        return handle

    def destroy_buffer(self, buffer: int) -> None:
        del self.buffers[buffer]


def make(capacity: int = 1 << 40, largest: int = 1 << 30) -> tuple[BufferPool, Memory, Counters]:
    memory, counters = Memory(capacity), Counters()
    return BufferPool(memory, counters, largest), memory, counters  # type: ignore[arg-type]


def test_size_classes_fit_and_waste_little() -> None:
    rng = random.Random()
    for _ in range(3000):
        wanted = rng.randrange(1 << rng.randrange(1, 31))
        size = size_class(wanted)
        assert size >= max(wanted, 16)
        assert size % 16 == 0
        assert size_class(size) == size
        assert size <= max(256, wanted * (1.25 if wanted < MIB else 1.0625) + 16), wanted


def test_returned_buffers_are_reused_last_first() -> None:
    pool, memory, counters = make()
    first, second = pool.allocate(1000), pool.allocate(1010)
    handles = first.handle, second.handle
    first.release()
    second.release()
    second.release()
    again = pool.allocate(1005), pool.allocate(1005)
    assert (again[0].handle, again[1].handle) == (handles[1], handles[0])
    assert len(memory.buffers) == 2
    del again
    pool.drain()
    assert counters.in_use_bytes == 0
    assert counters.allocated_bytes == sum(memory.buffers.values())


def test_many_sizes_do_not_pile_up() -> None:
    """Sizes that never come back are given up once more is free than is kept."""
    pool, memory, counters = make()
    for number in range(200):
        pool.allocate(number * MIB // 8 + 1).release()
        assert sum(memory.buffers.values()) <= KEPT_FREE_BYTES + 26 * MIB
    assert counters.allocated_bytes == sum(memory.buffers.values())


def test_a_large_working_set_is_kept_between_calls() -> None:
    pool, memory, _ = make()

    def call() -> set[int]:
        held = [pool.allocate(30 * MIB) for _ in range(10)]
        return {allocation.handle for allocation in held}

    first = call()
    for _ in range(5):
        assert call() == first
    assert len(memory.buffers) == 10


def test_free_buffers_are_given_up_before_memory_is_out() -> None:
    pool, memory, _ = make(capacity=60 * MIB)
    for size in (20, 25):
        pool.allocate(size * MIB).release()
    kept = pool.allocate(40 * MIB)
    assert list(memory.buffers.values()) == [40 * MIB]
    with pytest.raises(DeviceError, match="out of memory") as caught:
        pool.allocate(30 * MIB)
    assert caught.value.status == StatusCode.RESOURCE_EXHAUSTED
    kept.release()
    assert pool.allocate(30 * MIB).byte_size >= 30 * MIB


def test_sizes_above_the_limit_name_both_numbers() -> None:
    pool, _, _ = make(largest=10 * MIB)
    with pytest.raises(DeviceError, match=rf"{10 * MIB + 1} bytes.* {10 * MIB} bytes"):
        pool.allocate(10 * MIB + 1)
    assert pool.allocate(10 * MIB).byte_size == 10 * MIB


def test_a_closed_pool_takes_nothing_back() -> None:
    pool, _, counters = make()
    allocation = pool.allocate(100)
    pool.close()
    allocation.release()
    pool.drain()
    assert counters.allocated_bytes == counters.in_use_bytes == 0
