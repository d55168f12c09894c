"""The CPU device over an engine in plain Python: what reaches the engine, and when; the driver.

That results are right is the conformance suite's business (tests/hal_cts/test_cpu.py); here it is the streams.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from tests.hal_cts import python_kernels
from tests.hal_cts.suite import direct, pack, slot
from webree.errors import DeviceError, StatusCode
from webree.hal.buffer import Buffer
from webree.hal.command_buffer import CommandBuffer
from webree.hal.device import AdapterInfo
from webree.hal.enums import CommandBufferMode
from webree.hal.executable import Executable
from webree.hal.registry import create_driver
from webree.hal_local import driver as driver_module
from webree.hal_local.device import LocalDevice
from webree.hal_local.engine import Library
from webree.hal_local.host_engine import HostEngine
from webree.hal_local.stream import BARRIER, COPY, DISPATCH, DISPATCH_INDIRECT, FILL
from webree.module.source import MemorySource
from webree.waiting import Wait, run_async, run_sync


class Watched(HostEngine):
    """Keeps the streams that it was given, as lists of commands."""

    def __init__(self) -> None:
        super().__init__(python_kernels.load, "python", "Python functions")
        self.streams: list[list[list[int]]] = []
        self.unloaded: list[Library] = []

    def submit(self, words: array[int]) -> None:
        commands, position = [], 0
        while position < len(words):
            length = words[position] >> 8
            commands.append([words[position] & 0xFF, *words[position + 1 : position + length]])
            position += length
        self.streams.append(commands)
        super().submit(words)

    def unload(self, library: Library) -> None:
        self.unloaded.append(library)
        super().unload(library)


@pytest.fixture
def engine() -> Watched:
    return Watched()


@pytest.fixture
def device(engine: Watched) -> LocalDevice:
    return LocalDevice(engine, (python_kernels.FORMAT,))


def load(device: LocalDevice, name: str) -> Executable:
    return device.create_executable(python_kernels.FORMAT, MemorySource(python_kernels.executables()[name]))


def fresh(device: LocalDevice, capacity: int = 0, one_shot: bool = False) -> CommandBuffer:
    mode = CommandBufferMode.ONE_SHOT if one_shot else CommandBufferMode.REUSABLE
    return device.create_command_buffer(mode, binding_capacity=capacity)


def upload(device: LocalDevice, values: list[int]) -> Buffer:
    buffer = device.allocate(4 * len(values))
    device.update(MemorySource(pack(values)), buffer)
    return buffer


def operations(stream: list[list[int]]) -> list[int]:
    return [command[0] for command in stream]


def test_barriers_stand_only_between_commands(device: LocalDevice, engine: Watched) -> None:
    """Commands without one between them may run at once; the first, the last and the second in a row are nothing."""
    count, buffer = load(device, "count"), upload(device, [0] * 8)
    commands = fresh(device)
    commands.barrier()
    commands.fill(direct(buffer), b"\0")
    commands.barrier()
    commands.barrier()
    for index in range(2):
        commands.dispatch(count, 0, (1, 1, 1), (), [direct(buffer, 4 * index, 4)])
    commands.dispatch(count, 0, (0, 1, 1), (), [direct(buffer)])
    commands.barrier()
    commands.copy(direct(buffer, 0, 0), direct(buffer, 4, 0))
    commands.copy(direct(buffer, 0, 4), direct(buffer, 16, 4))
    commands.barrier()
    commands.finalize()
    device.execute(commands)
    assert [operations(stream) for stream in engine.streams] == [[FILL, BARRIER, DISPATCH, DISPATCH, BARRIER, COPY]]
    assert commands.dispatch_count == 2


def test_words_of_the_commands(device: LocalDevice, engine: Watched) -> None:
    """Addresses and lengths of direct bindings and slots, constants as 32-bit words, counts read from memory."""
    affine = load(device, "affine")
    a, b = upload(device, [1] * 100), upload(device, [0] * 100)
    base, other = (buffer.allocation.address for buffer in (a, b))  # type: ignore[attr-defined]
    assert base % 64 == other % 64 == 0
    commands = fresh(device, capacity=2)
    commands.dispatch(affine, 0, (3, 2, 1), (-1, 7, 0), [direct(a, 8, 16), slot(1, 4)])
    commands.barrier()
    commands.dispatch_indirect(affine, 0, slot(0, 12), (1, 2, 0), [slot(0, 0, 20), direct(b.subspan(40, 60), 4)])
    commands.finalize()
    device.execute(commands, [(a, 20, 80), (b, 100, 200)])
    identifier = affine.library.identifier  # type: ignore[attr-defined]
    assert engine.streams[-1] == [
        [DISPATCH, identifier, 0, 3, 2, 3, 2, 1, 0xFFFFFFFF, 7, 0, base + 8, other + 104, 16, 196],
        [BARRIER],
        [DISPATCH_INDIRECT, identifier, 0, 3, 2, base + 32, 0, 0, 1, 2, 0, base + 20, other + 44, 20, 56],
    ]


def test_an_execution_is_one_submission_and_writes_only_what_moved(device: LocalDevice, engine: Watched) -> None:
    affine = load(device, "affine")
    a, b, c = (upload(device, [number] * 64) for number in range(3))
    commands = fresh(device, capacity=2)
    for number in range(60):
        commands.dispatch(affine, 0, (1, 1, 1), (1, number, 0), [slot(number % 2), direct(c)])
        commands.barrier()
    commands.finalize()
    writes: list[object] = []
    write = commands._write  # type: ignore[attr-defined]
    commands._write = lambda placed: (writes.append(placed), write(placed))  # type: ignore[attr-defined]
    for table in ([(a, 0, 256), (b, 0, 256)],) * 3 + ([(b, 0, 256), (a, 0, 128)],):
        device.execute(commands, table)
    assert len(engine.streams) == 4
    assert len(writes) == 2, "a table like the last one's costs no writing"
    assert engine.streams[0] == engine.streams[2] != engine.streams[3]
    assert (device.counters.submissions, device.counters.crossings, device.counters.dispatches) == (4, 4, 240)


def test_a_refused_table_leaves_no_trace(device: LocalDevice) -> None:
    """After an execution that fails half-way the next with the earlier table writes everything again."""
    a, b = upload(device, [1, 2, 3, 4]), upload(device, [0] * 4)
    commands = fresh(device, capacity=2)
    commands.copy(slot(0), slot(1))
    commands.finalize()
    good = [(a, 0, 16), (b, 0, 16)]
    device.execute(commands, good)
    device.fill(b, 0, 16, b"\0")
    with pytest.raises(DeviceError, match="from a range of 4 bytes"):
        device.execute(commands, [(a, 0, 4), (b, 0, 16)])
    device.execute(commands, good)
    (source,) = device.read_back([(b, 0, 16)]).block()
    assert bytes(source.read(0, 16)) == pack([1, 2, 3, 4])


def test_updates_are_kept_in_one_block_of_device_memory(device: LocalDevice, engine: Watched) -> None:
    buffer = upload(device, [0] * 8)
    before = device.counters.in_use_bytes
    commands = fresh(device)
    commands.update(b"abc", direct(buffer, 1))
    commands.update(b"defg", direct(buffer, 9))
    commands.finalize()
    assert device.counters.in_use_bytes == before + 128
    for _ in range(2):
        device.fill(buffer, 0, 32, b"\0")
        device.execute(commands)
        (source,) = device.read_back([(buffer, 0, 32)]).block()
        assert bytes(source.read(0, 32)) == b"\0abc" + bytes(5) + b"defg" + bytes(19)
    assert operations(engine.streams[-1]) == [COPY, COPY]
    del commands
    gc.collect()
    assert device.counters.in_use_bytes == before


def test_libraries_are_given_back(device: LocalDevice, engine: Watched) -> None:
    """When nothing names them any more: not while a command buffer does; a one-shot one does until it has run."""
    count, buffer = load(device, "count"), upload(device, [0])
    reusable, once = fresh(device), fresh(device, one_shot=True)
    for commands in (reusable, once):
        commands.dispatch(count, 0, (1, 1, 1), (), [direct(buffer)])
        commands.finalize()
    del count, commands
    device.execute(reusable)
    device.execute(once)
    device.allocate(4)
    assert engine.unloaded == []
    del reusable
    gc.collect()
    device.allocate(4)
    assert [library.exports[0].name for library in engine.unloaded] == ["count$dispatch"]


def test_what_cannot_be_loaded(device: LocalDevice) -> None:
    with pytest.raises(DeviceError, match=r"'webgpu-wgsl-fb'; this device loads 'python-names'.*target cpu"):
        device.create_executable("webgpu-wgsl-fb", MemorySource(b""))
    data = MemorySource(python_kernels.executables()["count"])
    with pytest.raises(DeviceError, match="4 bytes of executable constants") as caught:
        device.create_executable(python_kernels.FORMAT, data, b"1234")
    assert caught.value.status == StatusCode.UNIMPLEMENTED
    other = LocalDevice(Watched(), (python_kernels.FORMAT,))
    with pytest.raises(DeviceError, match="an executable of another device"):
        fresh(device).dispatch(load(other, "sum0"), 0, (1, 1, 1), (), ())


def test_workgroups_are_limited(device: LocalDevice) -> None:
    executable = load(device, "sum0")
    fresh(device).dispatch(executable, 0, (65536, 32767, 1), (), ())
    for grid in ((65536, 32768, 1), (1 << 31, 1, 1), (1, 1, 1 << 16), (-1, 1, 0)):
        with pytest.raises(DeviceError, match=rf"'sum0\$dispatch': {'×'.join(map(str, grid))} workgroups.*2147483647"):
            fresh(device).dispatch(executable, 0, grid, (), ())


def test_failures_say_what_to_do_and_stay(device: LocalDevice, engine: Watched) -> None:
    """Also of calls that the engine itself refuses, and of waits."""
    trap = load(device, "trap")
    commands = fresh(device)
    commands.dispatch(trap, 0, (1, 1, 1), (), ())
    commands.finalize()
    wait = _Failing()
    engine.read = lambda ranges: wait  # type: ignore[method-assign]
    buffer = device.allocate(4)
    late = device.read_back([(buffer, 0, 4)])
    with pytest.raises(DeviceError, match=r"the CPU device was lost: kernel 'trap\$dispatch'.*load the module again"):
        device.execute(commands)
    for use in (late.block, lambda: asyncio.run(run_async(_awaited(late))), device.ready, lambda: device.allocate(0)):
        with pytest.raises(DeviceError, match=r"the CPU device was lost: kernel 'trap") as caught:
            use()
        assert caught.value.status == StatusCode.UNAVAILABLE
    device.close()
    with pytest.raises(DeviceError, match="closed"):
        device.allocate(0)


class _Failing:
    def block(self) -> None:
        raise DeviceError("a worker is gone")

    async def wait(self) -> None:
        raise DeviceError("a worker is gone")


def _awaited(wait: Wait):  # type: ignore[no-untyped-def]
    return (yield wait)


class Timed(Watched):
    """An engine with a clock of its own, whose times arrive later."""

    def submit_timed(self, words: array[int]) -> Wait:
        self.submit(words)
        return _Time(float(100 * len(self.streams)))


class _Time:
    def __init__(self, time_us: float) -> None:
        self.time_us = time_us

    def block(self) -> float:
        return self.time_us

    async def wait(self) -> float:
        return self.time_us


@pytest.mark.parametrize("kind", [Watched, Timed])
def test_profiles_play_every_dispatch_by_itself(kind: type[Watched]) -> None:
    engine = kind()
    device = LocalDevice(engine, (python_kernels.FORMAT,))
    pair, buffer = load(device, "pair"), upload(device, [0] * 4)
    commands = fresh(device)
    commands.fill(direct(buffer), b"\0")
    commands.barrier()
    commands.dispatch(pair, 1, (3, 1, 1), (), [direct(buffer)])
    commands.barrier()
    commands.dispatch_indirect(pair, 0, direct(buffer, 0, 12), (1, 1, 0), [direct(buffer), direct(buffer)])
    commands.barrier()
    commands.copy(direct(buffer, 0, 4), direct(buffer, 12, 4))
    commands.finalize()
    device.start_profile()
    device.execute(commands)
    found = [operations(stream) for stream in engine.streams]
    assert found == [[FILL, BARRIER], [DISPATCH], [BARRIER], [DISPATCH_INDIRECT], [BARRIER, COPY]]
    wait = device.stop_profile()
    for times in (wait.block(), asyncio.run(run_async(_awaited(wait)))):
        assert [(time.name, time.workgroup_count) for time in times] == [
            ("count$dispatch", (3, 1, 1)),
            ("affine$dispatch", (0, 0, 0)),
        ]
        assert all(time.time_us > 0 for time in times)
        assert kind is Watched or [time.time_us for time in times] == [200.0, 400.0]
    device.execute(commands)
    assert len(engine.streams) == 6


# --- The driver -----------------------------------------------------------------------------------------------------


def test_adapters_are_listed_without_an_engine() -> None:
    code = (
        "import sys\nfrom webree.hal.registry import create_driver; from webree.waiting import run_sync\n"
        "found = run_sync(create_driver('cpu').adapters())\n"
        "assert [(info.name, info.software, info.executable_formats) for info in found] == "
        "[('wasm', True, ('system-wasm-wasm_32',)), ('vmvx', True, ('vmvx-bytecode-fb',))], found\n"
        "assert not {'wasmtime', 'numpy', 'wgpu', 'webree.hal_local.native'} & set(sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_wasmtime_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "find_spec", lambda name: None)
    driver = create_driver("cpu")
    assert [info.name for info in run_sync(driver.adapters())] == ["vmvx"]
    for adapter in (None, AdapterInfo("cpu", "wasm")):
        with pytest.raises(
            DeviceError, match="the Python package wasmtime is not installed: pip install 'wasmtime>=50,<51'"
        ):
            run_sync(driver.open(adapter))
    assert "pip install 'wasmtime" in driver.missing()["wasm"]
    run_sync(driver.open(AdapterInfo("cpu", "vmvx"))).close()


def test_unknown_adapters_are_refused() -> None:
    with pytest.raises(DeviceError, match=r"no adapter named 'abacus'; it has wasm and vmvx") as caught:
        run_sync(create_driver("cpu").open(AdapterInfo("cpu", "abacus")))
    assert caught.value.status == StatusCode.NOT_FOUND


@pytest.mark.parametrize(("name", "format"), [("wasm", "system-wasm-wasm_32"), ("vmvx", "vmvx-bytecode-fb")])
def test_opened_devices_tell_what_they_are(name: str, format: str) -> None:
    device = run_sync(create_driver("cpu").open(AdapterInfo("cpu", name)))
    info = device.info
    assert (info.driver, info.name, info.software, info.executable_formats) == ("cpu", name, True, (format,))
    assert device.executable_formats == (format,)
    assert info.limits["max_buffer_size"] > 4000 << 20
    assert device.query_i64("hal.device.id", "local*") == 1
    assert "thread" in info.description
    device.close()
