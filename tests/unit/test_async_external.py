"""Programs of the `async-external` execution model: calls take and give fences, several are in flight, order holds."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Iterator

import numpy as np
import pytest

import webree
from tests.conftest import Machine
from webree.module_api import Module

MODEL = """
util.global private mutable @total = dense<0.0> : tensor<4xf32>

func.func @add(%left: tensor<?xf32>, %right: tensor<?xf32>) -> tensor<?xf32> {
  %sum = arith.addf %left, %right : tensor<?xf32>
  return %sum : tensor<?xf32>
}

// total = 2 * total + x: every order of calls gives another number.
func.func @accumulate(%x: tensor<4xf32>) -> tensor<4xf32> {
  %two = arith.constant dense<2.0> : tensor<4xf32>
  %total = util.global.load @total : tensor<4xf32>
  %doubled = arith.mulf %total, %two : tensor<4xf32>
  %next = arith.addf %doubled, %x : tensor<4xf32>
  util.global.store %next, @total : tensor<4xf32>
  return %next : tensor<4xf32>
}
"""


@functools.cache
def module_bytes(target: str, execution_model: str = "async-external") -> bytes:
    return webree.compile(MODEL.encode(), target=target, execution_model=execution_model)


@pytest.fixture
def module(machine: Machine) -> Iterator[Module]:
    with webree.load(module_bytes(machine.target), device=machine.device) as loaded:
        assert all(function.signature.has_fences for function in loaded.functions.values())
        yield loaded


def vector(length: int = 4) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    seed = np.random.default_rng().integers(1 << 31)
    print("seed", seed)
    return np.random.default_rng(seed).integers(-50, 50, length).astype("f4")


def totals(inputs: list[np.ndarray[tuple[int], np.dtype[np.float32]]]) -> list[list[float]]:
    """What `accumulate` gives for these calls in this order."""
    total, found = np.zeros(4, "f4"), []
    for x in inputs:
        total = 2 * total + x
        found.append(total.tolist())
    return found


def test_fences_are_no_inputs_of_the_caller(module: Module) -> None:
    x, y = vector(7), vector(7)
    assert str(module.add.signature) == "add(input0: ?xf32, input1: ?xf32) -> output0: ?xf32"
    np.testing.assert_array_equal(module.add(x, y), x + y)
    np.testing.assert_array_equal(asyncio.run(module.add_async(x, input1=y)), x + y)
    assert module.add.on_device(x, y).to_host().tolist() == (x + y).tolist()


def test_calls_in_flight_keep_their_order(module: Module) -> None:
    inputs = [vector() for _ in range(8)]

    async def calls() -> list[list[float]]:
        results = await asyncio.gather(*(module.accumulate_async(x) for x in inputs))
        return [result.tolist() for result in results]

    assert asyncio.run(calls()) == totals(inputs)


def test_calls_behind_a_fence_hold_back_those_behind_them(module: Module) -> None:
    """The first call's work begins when the gate opens; the later calls' work, on the same state, after that."""
    inputs, gate = [vector() for _ in range(4)], webree.Fence()

    async def calls() -> list[list[float]]:
        first = asyncio.create_task(module.accumulate.after(gate).call_async(inputs[0]))
        await asyncio.sleep(0)
        later = [asyncio.create_task(module.accumulate_async(x)) for x in inputs[1:]]
        free = await module.add_async(inputs[0], inputs[1])  # has nothing to do with the state, and need not wait
        assert free.tolist() == (inputs[0] + inputs[1]).tolist()
        done, _ = await asyncio.wait([first, *later], timeout=0.05)
        assert not done
        gate.signal()
        return [result.tolist() for result in await asyncio.gather(first, *later)]

    assert asyncio.run(calls()) == totals(inputs)


def test_results_may_be_passed_on_before_they_are_there(module: Module) -> None:
    x, y, gate = vector(), vector(), webree.Fence()
    early = module.add.after(gate).on_device(x, y)
    assert early.ready is not None
    assert early.ready.pending
    twice = module.add.on_device(early, early)
    assert twice.ready is not None
    gate.signal()
    assert twice.to_host().tolist() == (2 * (x + y)).tolist()
    assert module.add(early, twice).tolist() == (3 * (x + y)).tolist()
    assert module.add.on_device(x, y).ready is None  # the queue's order is enough


def test_a_fence_signalled_by_another_thread(module: Module) -> None:
    x, gate = vector(), webree.Fence()
    timer = threading.Timer(0.05, gate.signal)
    timer.start()
    assert module.add.after(gate)(x, x).tolist() == (x + x).tolist()
    timer.join()


def test_failures_arrive_through_the_fence(module: Module) -> None:
    x, gate = vector(), webree.Fence()
    kept = module.add.after(gate).on_device(x, x)
    gate.fail(webree.DeviceError("the sensor is gone"))
    with pytest.raises(webree.DeviceError, match="the sensor is gone"):
        kept.to_host()
    with pytest.raises(webree.DeviceError, match="the sensor is gone"):
        module.add(kept, x)
    with pytest.raises(webree.DeviceError, match="the sensor is gone"):
        asyncio.run(module.add.after(gate).call_async(x, x))
    assert module.add(x, x).tolist() == (x + x).tolist()  # calls that do not need it go on


def test_what_the_program_itself_refuses(module: Module) -> None:
    with pytest.raises(webree.InvocationError, match=r"accumulate: input 0 .*: expected 4xf32"):
        module.accumulate(vector(5))
    assert module.accumulate(np.ones(4, "f4")).tolist() == [1.0] * 4


def test_functions_without_fences_wait_before_they_are_called(machine: Machine) -> None:
    x, gate = vector(), webree.Fence()
    with webree.load(module_bytes(machine.target, "async-internal"), device=machine.device) as module:
        assert not module.add.signature.has_fences

        async def calls() -> list[float]:
            behind = asyncio.create_task(module.add.after(gate).call_async(x, x))
            done, _ = await asyncio.wait([behind], timeout=0.05)
            assert not done
            gate.signal()
            result: list[float] = (await behind).tolist()
            return result

        assert asyncio.run(calls()) == (x + x).tolist()


# --- What IREE's own compiler writes ----------------------------------------------------------------------------------

_WASM = (
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-triple=wasm32-unknown-unknown",
    "--iree-llvmcpu-target-cpu-features=+simd128,+bulk-memory",
)
STOCK = {"wasm": _WASM, "vmvx": ("--iree-hal-local-target-device-backends=vmvx",)}
"""Adapter of the CPU driver -> flags of `iree-compile`."""


@functools.cache
def stock_bytes(adapter: str) -> bytes:
    import iree.compiler

    flags = ["--iree-hal-target-device=local", *STOCK[adapter], "--iree-execution-model=async-external"]
    data: bytes = iree.compiler.compile_str(MODEL, extra_args=flags)
    return data


@pytest.mark.parametrize("adapter", STOCK)
def test_modules_of_the_stock_compiler(adapter: str) -> None:
    inputs, gate = [vector() for _ in range(5)], webree.Fence()
    with webree.load(stock_bytes(adapter), device=adapter) as module:
        assert module.accumulate.signature.has_fences
        assert module.device.info.name == adapter

        async def calls() -> list[list[float]]:
            first = asyncio.create_task(module.accumulate.after(gate).call_async(inputs[0]))
            await asyncio.sleep(0)
            later = [asyncio.create_task(module.accumulate_async(x)) for x in inputs[1:]]
            assert (await module.add_async(inputs[0], inputs[1])).tolist() == (inputs[0] + inputs[1]).tolist()
            gate.signal()
            return [result.tolist() for result in await asyncio.gather(first, *later)]

        assert asyncio.run(calls()) == totals(inputs)
