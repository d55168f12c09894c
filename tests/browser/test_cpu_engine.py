"""The CPU device's engine in Chromium, driven through its protocol: memory, libraries, streams, failures, in a browser
with threads and in one without."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import numpy as np
import pytest

import webree
from tests.browser.conftest import CPU_THREADS
from tests.hal_cts import wasm_kernels
from webree.errors import DeviceError, ModuleError
from webree.hal_local.wasm_binary import WasmBinary
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser

SET_UP = """
import asyncio
import gc
import js
from array import array
from webree.browser.values import JsByteSource
from webree.errors import DeviceError
from webree.hal_local.browser import create_engine
from webree.hal_local.stream import StreamWriter
from webree.module.source import MemorySource
from webree.waiting import run_async

async def open_engine():
    return await run_async(create_engine())

async def loaded(engine, name):
    library = engine.load(MemorySource(libraries[name]))
    while (wait := engine.ready()) is not None:
        await wait.wait()
    return library

async def bytes_at(engine, address, length):
    (source,) = await engine.read([(address, length)]).wait()
    return source.js_bytes

def affine(writer, library, source, target, count, factor, summand):
    groups = -(-count // 64)
    writer.dispatch(library.identifier, 0, (groups, 1, 1), (factor, summand, count), (source, target), (4 * count,) * 2)

def text_of(action):
    try:
        action()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return ["nothing", ""]

async def late_text_of(wait):
    try:
        await wait.wait()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return ["nothing", ""]

if engine is not None:
    engine.close()
engine = await open_engine()
[engine.thread_count, engine.description]
"""


@pytest.fixture
def browser(cpu_session: BrowserSession) -> Iterator[BrowserSession]:
    """A browser with a fresh `engine`."""
    cpu_session.run("engine = None")
    count, description = cpu_session.run(SET_UP, libraries=wasm_kernels.executables())
    isolated = cpu_session.page.evaluate("crossOriginIsolated")
    assert count == (CPU_THREADS if isolated else 1)
    assert (f"{CPU_THREADS} worker threads" if isolated else "cannot be shared") in description
    yield cpu_session
    cpu_session.run("engine.close(); engine = None")


def new_words(count: int) -> np.ndarray:
    return np.frombuffer(secrets.token_bytes(4 * count), np.uint32)


def test_large_writes_stay_out_of_pythons_heap(browser: BrowserSession) -> None:
    """48 MB come from JavaScript, go through a kernel, and back to JavaScript."""
    data = new_words(12 << 20)
    found, read = browser.run(
        """
        size = data.byteLength
        start = engine.base_address + 64
        engine.grow(start + 2 * size)
        before = JsByteSource.read_bytes
        engine.write(start, JsByteSource(js.Uint8Array.new(data.buffer)))
        read_bytes = JsByteSource.read_bytes - before
        library = await loaded(engine, "affine")
        writer = StreamWriter()
        affine(writer, library, start, start + size, size // 4, 3, 5)
        engine.submit(writer.words)
        before = JsByteSource.read_bytes
        result = await bytes_at(engine, start + size, size)
        [result, read_bytes + JsByteSource.read_bytes - before]
        """,
        data=data,
    )
    assert read == 0
    np.testing.assert_array_equal(found.view(np.uint32), data * np.uint32(3) + np.uint32(5))


def test_memory_grows_keeps_its_bytes_and_has_an_end(browser: BrowserSession) -> None:
    data = secrets.token_bytes(1000)
    kept, zeros, length, (kind, message), after = browser.run(
        """
        engine.grow(engine.base_address + 4096)
        engine.write(engine.base_address + 3, MemorySource(data.to_bytes()))
        wanted = engine.base_address + (200 << 20)
        engine.grow(wanted)
        assert engine.memory_bytes >= wanted
        engine.grow(1)
        kept = await bytes_at(engine, engine.base_address + 3, 1000)
        zeros = await bytes_at(engine, wanted - (1 << 20), 1 << 20)
        refused = text_of(lambda: engine.grow((1 << 32) - 1))
        [kept, zeros, engine.memory_bytes, refused, await bytes_at(engine, engine.base_address + 3, 1000)]
        """,
        data=data,
    )
    assert kept.tobytes() == after.tobytes() == data
    assert not zeros.any()
    assert length % (64 << 10) == 0
    assert (kind, "no more memory" in message, str(length) in message) == ("DeviceError", True, True)


def test_everything_acts_in_the_order_of_the_calls(browser: BrowserSession) -> None:
    """Writes over inputs of streams that are under way, and reads of what they overwrite later."""
    rounds, count = 20, 1 << 16
    data = new_words(rounds * count).reshape(rounds, count)
    found = browser.run(
        """
        source = engine.base_address
        target = source + 4 * count
        engine.grow(target + 4 * count)
        library = await loaded(engine, "affine")
        waits = []
        scratch = bytearray(4 * count)
        for number in range(rounds):
            scratch[:] = data.subarray(number * count, (number + 1) * count).to_bytes()
            engine.write(source, MemorySource(scratch))
            writer = StreamWriter()
            affine(writer, library, source, target, count, 7, number)
            engine.submit(writer.words)
            writer.words[5] = 0
            waits.append(engine.read([(target, 4 * count)]))
        parts = [(await wait.wait())[0].js_bytes for wait in waits]
        assert engine.idle() is None
        parts
        """,
        data=data.reshape(-1),
        rounds=rounds,
        count=count,
    )
    for number, part in enumerate(found):
        np.testing.assert_array_equal(part.view(np.uint32), data[number] * np.uint32(7) + np.uint32(number))


def test_python_goes_on_while_threads_play(browser: BrowserSession) -> None:
    """Without threads the work is done when `submit` returns; with them it is not, and can be waited for."""
    count = 1 << 22
    isolated = browser.page.evaluate("crossOriginIsolated")
    went_on, sum_of_first = browser.run(
        """
        engine.grow(engine.base_address + 8 * count)
        library = await loaded(engine, "affine")
        writer = StreamWriter()
        for number in range(40):
            affine(writer, library, engine.base_address, engine.base_address + 4 * (number % 2) * count, count, 1, 1)
            writer.barrier()
        engine.submit(writer.words)
        wait = engine.idle()
        if wait is not None:
            await wait.wait()
        assert engine.idle() is None
        result = await bytes_at(engine, engine.base_address, 4)
        [wait is not None, int.from_bytes(result.to_bytes(), "little")]
        """,
        count=count,
    )
    assert went_on == isolated
    assert sum_of_first == 20


def test_streams_longer_than_the_engine_keeps_at_once(browser: BrowserSession) -> None:
    """20,000 dispatches, each reading what the one before it wrote."""
    seed = secrets.randbits(32)
    found = browser.run(
        """
        engine.grow(engine.base_address + 4096)
        engine.write(engine.base_address, MemorySource(array("I", [seed])))
        library = await loaded(engine, "affine")
        writer = StreamWriter()
        for number in range(20_000):
            affine(writer, library, engine.base_address, engine.base_address, 1, 3, number)
            writer.barrier()
        engine.submit(writer.words)
        int.from_bytes((await bytes_at(engine, engine.base_address, 4)).to_bytes(), "little")
        """,
        seed=seed,
    )
    expected = seed
    for number in range(20_000):
        expected = (expected * 3 + number) % 2**32
    assert found == expected, f"seed {seed}"


@pytest.mark.parametrize(("name", "reason"), [("trap", "trapped: unreachable"), ("status", "failed with status 13")])
def test_failed_kernels_are_named_and_end_the_engine(browser: BrowserSession, name: str, reason: str) -> None:
    late, later, new_one = browser.run(
        """
        library = await loaded(engine, name)
        good = await loaded(engine, "count")
        writer = StreamWriter()
        writer.dispatch(good.identifier, 0, (5, 1, 1), (), (engine.base_address,), (4,))
        writer.barrier()
        writer.dispatch(library.identifier, 0, (3, 2, 1), (), (), ())
        writer.barrier()
        engine.grow(engine.base_address + 64)
        engine.submit(writer.words)
        late = text_of(lambda: engine.idle()) if engine.failure else await late_text_of(engine.idle())
        later = [text_of(action) for action in (
            lambda: engine.write(engine.base_address, MemorySource(bytes(4))),
            lambda: engine.read([(engine.base_address, 4)]),
            lambda: engine.submit(writer.words),
            lambda: engine.load(MemorySource(b"")),
            lambda: engine.grow(engine.memory_bytes + 1),
        )]
        engine.close()
        engine = await open_engine()
        engine.grow(engine.base_address + 64)
        good = await loaded(engine, "count")
        writer = StreamWriter()
        writer.dispatch(good.identifier, 0, (5, 4, 3), (), (engine.base_address,), (4,))
        engine.submit(writer.words)
        [late, later, (await bytes_at(engine, engine.base_address, 4)).to_bytes()[0]]
        """,
        name=name,
    )
    for kind, message in [late, *later]:
        assert kind == "DeviceError"
        assert f"kernel {name}$dispatch {reason}" in message
        assert "load the module again" in message
    assert new_one == 60


def test_accesses_outside_of_the_memory_trap(browser: BrowserSession) -> None:
    kind, message = browser.run(
        """
        library = await loaded(engine, "affine")
        writer = StreamWriter()
        affine(writer, library, (1 << 32) - 4096, engine.base_address, 64, 1, 1)
        engine.submit(writer.words)
        text_of(lambda: engine.idle()) if engine.failure else await late_text_of(engine.idle())
        """
    )
    assert kind == "DeviceError"
    assert "kernel affine$dispatch trapped" in message
    assert "memory access out of bounds" in message


def test_damaged_libraries(browser: BrowserSession) -> None:
    """Of a wrong structure: at once, by Python. With wrong code: when the browser has compiled it."""
    good = wasm_kernels.executables()["affine"]
    with pytest.raises(ModuleError, match="WebAssembly"):
        browser.run("engine.load(JsByteSource(data)); None", data=good[:-40])
    body = WasmBinary.parse(good).bodies[-1].end - 1
    with pytest.raises(DeviceError, match="browser rejects a kernel"):
        browser.run(
            "engine.load(JsByteSource(data)); await engine.ready().wait()",
            data=good[:body] + b"\x00" + good[body + 1 :],
        )
    browser.run("await loaded(engine, 'affine'); assert engine.ready() is None; None")


def test_imports_that_nobody_has(browser: BrowserSession) -> None:
    text = wasm_kernels.library([("user", 0, 0, "")])
    wanted = '(import "env" "nobody_has_this" (func (param f32) (result f32)))'
    from wasmtime import wat2wasm

    data = bytes(wat2wasm(text.replace('(import "env" "memory"', f'{wanted}(import "env" "memory"', 1)))
    with pytest.raises(DeviceError, match=r"user\$dispatch.*nobody_has_this.*--target cpu"):
        browser.run("engine.load(JsByteSource(data)); None", data=data)


def test_libraries_come_and_go_in_level_memory(browser: BrowserSession) -> None:
    """Far more than fit at once; every one of them computes, and every thread forgets them."""
    browser.run(
        """
        engine.grow(engine.base_address + 4096)
        length = engine.memory_bytes
        engine.write(engine.base_address, MemorySource(array("I", [1])))
        for number in range(60):
            library = await loaded(engine, "affine")
            writer = StreamWriter()
            affine(writer, library, engine.base_address, engine.base_address, 1, 1, 1)
            engine.submit(writer.words)
            engine.unload(library)
        result = await bytes_at(engine, engine.base_address, 4)
        assert int.from_bytes(result.to_bytes(), "little") == 61
        assert engine.memory_bytes == length
        None
        """
    )


@pytest.mark.parametrize("value", ["0", "many", "-1"])
def test_a_wrong_number_of_threads_is_refused(browser: BrowserSession, value: str) -> None:
    with pytest.raises(DeviceError, match=f"WEBREE_CPU_THREADS is '{value}'"):
        browser.run(
            """
            import os
            before = os.environ.pop("WEBREE_CPU_THREADS", None)
            os.environ["WEBREE_CPU_THREADS"] = value
            try:
                await open_engine()
            finally:
                del os.environ["WEBREE_CPU_THREADS"]
                if before is not None:
                    os.environ["WEBREE_CPU_THREADS"] = before
            """,
            value=value,
        )


MATH = """
func.func @main(%x: tensor<?xf32>, %y: tensor<?xf32>) -> ({results}) {{
{body}
  return {names} : {results}
}}
"""

BINARY = {
    "arith.maxnumf": np.fmax,
    "arith.minnumf": np.fmin,
    "arith.maximumf": np.maximum,
    "arith.minimumf": np.minimum,
    "arith.remf": np.fmod,
}
UNARY = {
    "math.roundeven": np.rint,
    "math.round": lambda x: np.copysign(np.floor(np.abs(x.astype(np.float64)) + 0.5), x),
    "math.log10": np.log10,
}


def test_functions_of_libm(cpu_session: BrowserSession) -> None:
    """What kernels import from the engine, on random numbers and on those that are special."""
    rows = [f"  %r{i} = {name} %x, %y : tensor<?xf32>" for i, name in enumerate(BINARY)]
    rows += [f"  %r{len(BINARY) + i} = {name} %x : tensor<?xf32>" for i, name in enumerate(UNARY)]
    results = ", ".join(["tensor<?xf32>"] * len(rows))
    source = MATH.format(results=results, body="\n".join(rows), names=", ".join(f"%r{i}" for i in range(len(rows))))
    module = cpu_session.load(webree.compile(source.encode(), target="cpu"), device="cpu")
    seed = secrets.randbits(32)
    random = np.random.default_rng(seed)
    special = np.array([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, np.inf, -np.inf, np.nan, 1e30, -8388609.0], np.float32)
    x = np.concatenate([np.repeat(special, len(special)), random.normal(0, 50, 1000).astype(np.float32)])
    y = np.concatenate([np.tile(special, len(special)), random.normal(0, 5, 1000).astype(np.float32)])
    try:
        found = module.call("main", [x, y])
    finally:
        module.close()
    with np.errstate(all="ignore"):
        for name, mine, theirs in zip(
            [*BINARY, *UNARY],
            found,
            [*(row(x, y) for row in BINARY.values()), *(row(x) for row in UNARY.values())],
            strict=True,
        ):
            tolerance = 1e-6 if name == "math.log10" else 0
            np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance, err_msg=f"{name}, seed {seed}")
