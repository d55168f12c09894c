"""The native engine when things go wrong: kernels that trap or overflow, and processes that fork, end or run out."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_kernels import library
from tests.local_streams import (
    COORDINATES_,
    DIVIDE_,
    KERNELS,
    LINEAR,
    OUTSIDE_,
    RECURSE_,
    STACK_,
    STATUS_,
    TRAP_,
    mirror_chain,
    words_at,
)
from webree.errors import DeviceError, StatusCode
from webree.hal_local import native
from webree.hal_local.engine import Library
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


def test_closing_twice_and_using_after(engine: NativeEngine, kernels: Library) -> None:
    mirror_chain(engine, kernels, 4, 4)
    engine.close()
    engine.close()
    with pytest.raises(DeviceError, match="closed"):
        engine.submit(StreamWriter().words)


def test_an_engine_that_is_dropped_ends_its_threads() -> None:
    before = set(threading.enumerate())  # other tests' devices may still be open
    engine = create_engine(3)
    entry = engine.load(MemorySource(library(KERNELS, functions=LINEAR)))
    mirror_chain(engine, entry, 100, 3)
    own = set(threading.enumerate()) - before
    assert sum(thread.name.startswith("webree-cpu-") for thread in own) == 2
    del engine
    gc.collect()
    assert not own & set(threading.enumerate())


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
import tests.local_streams as here
from tests.local_kernels import library
from webree.hal_local.native import create_engine
engines = [create_engine(threads) for threads in (1, 2)]
if sys.argv[1] == "faulthandler":
    faulthandler.enable()
else:
    import webree
    webree.compile("func.func @f(%a: tensor<4xf32>) -> tensor<4xf32> { return %a : tensor<4xf32> }", target="cpu")
for engine in engines:
    kernels = engine.load(here.MemorySource(library(here.KERNELS, functions=here.LINEAR)))
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
import tests.local_streams as here
from tests.local_kernels import library
from webree.hal_local.native import create_engine
engine = create_engine(3)
kernels = engine.load(here.MemorySource(library(here.KERNELS, functions=here.LINEAR)))
first = here.mirror_chain(engine, kernels, 500, 20)
if "fork" in sys.argv:
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
assert here.mirror_chain(engine, kernels, 500, 20) == first
more = engine.load(here.MemorySource(library(here.KERNELS, functions=here.LINEAR)))
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
