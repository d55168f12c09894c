"""The host device, `hal_inline` and `hal_loader`: plain memory, its ranges and owners, kernels called on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.execution_models.modules import MODELS, compile_stock
from webree.errors import DeviceError, InvocationError, ModuleError
from webree.hal.device import Counters
from webree.hal_local import host_wasm
from webree.hal_local.host_device import HostDevice
from webree.hal_local.host_kernels import load_kernels
from webree.module.reader import read_module
from webree.module.source import MemorySource
from webree.vm.buffers import VmBuffer
from webree.vm.modules.hal_inline import HalInlineModule
from webree.vm.modules.hal_loader import HalLoaderModule

COUNT = 256
SOURCE = f"""func.func @scale(%a: tensor<{COUNT}xf32>) -> tensor<{COUNT}xf32> {{
  %c = arith.constant dense<3.0> : tensor<{COUNT}xf32>
  %0 = arith.mulf %a, %c : tensor<{COUNT}xf32>
  return %0 : tensor<{COUNT}xf32>
}}"""
FORMATS = {"inline-dynamic": "vmvx-bytecode-fb", "inline-dynamic-wasm": "system-wasm-wasm_32"}
WORKGROUPS = {"vmvx-bytecode-fb": 4, "system-wasm-wasm_32": 1}


@pytest.fixture
def device() -> Iterator[HostDevice]:
    opened = HostDevice()
    yield opened
    opened.close()


@pytest.fixture(scope="module", params=FORMATS)
def executable(request: pytest.FixtureRequest) -> tuple[str, bytes]:
    """Format and bytes of a kernel that multiplies by 3: bindings are the source and the target."""
    module = read_module(MemorySource(compile_stock(SOURCE, MODELS[request.param])))
    largest = max(module.rodata, key=lambda source: source.size)
    return FORMATS[request.param], bytes(largest.read(0, largest.size))


def upload(device: HostDevice, data: bytes) -> Any:
    buffer = device.allocate(len(data))
    device.update(MemorySource(data), buffer)
    return buffer


def contents(device: HostDevice, buffer: Any) -> bytes:
    (source,) = device.read_back([(buffer, 0, buffer.byte_length)]).block()
    return bytes(source.read(0, source.size))


# --- The device ---------------------------------------------------------------------------------------------------


def test_transfers(device: HostDevice) -> None:
    data = os.urandom(64)
    buffer = upload(device, data)
    part = buffer.subspan(10, 20)
    device.fill(part, 4, 8, b"ab")
    device.copy(buffer, 0, part, 12, 5)
    device.copy(buffer, 2, buffer, 0, 8)  # overlapping ranges too
    expected = bytearray(data)
    expected[14:22] = b"abababab"
    expected[22:27] = data[:5]
    expected[0:8] = expected[2:10]
    assert contents(device, buffer) == expected
    assert contents(device, part) == expected[10:30]
    assert contents(device, device.allocate(0)) == b""


@pytest.mark.parametrize(
    ("use", "parts"),
    [
        (lambda d, b: d.fill(b, 0, 17, b"a"), ("0..17", "16 bytes")),
        (lambda d, b: d.update(MemorySource(bytes(9)), b, 8), ("8..17",)),
        (lambda d, b: d.copy(b, 9, b, 0, 8), ("9..17",)),
        (lambda d, b: d.read_back([(b, -1, 4)]), ("-1..3",)),
        (lambda d, b: d.fill(b, 0, 6, b"abc"), ("1, 2, 4 or 8",)),
        (lambda d, b: d.fill(b, 2, 8, b"abcd"), ("multiples",)),
        (lambda d, b: d.allocate(1 << 40), (str(1 << 40),)),
        (lambda d, b: d.create_executable("vmvx-bytecode-fb", MemorySource(b"")), ("no queue", "'vmvx'")),
        (lambda d, b: d.create_command_buffer(), ("no queue",)),
        (lambda d, b: d.fill(d.wrap(VmBuffer(bytes(8)), 0, 8), 0, 8, b"a"), ("constant of the program",)),
        (lambda d, b: d.read_back([(HostDevice().allocate(4), 0, 4)]), ("another device",)),
    ],
)
def test_wrong_uses(use: Callable[[HostDevice, Any], object], parts: tuple[str, ...], device: HostDevice) -> None:
    with pytest.raises(DeviceError) as caught:
        use(device, upload(device, bytes(16)))
    for part in parts:
        assert part in str(caught.value), caught.value


def test_closed(device: HostDevice) -> None:
    buffer = device.allocate(16)
    buffer.close()
    with pytest.raises(DeviceError, match="was closed"):
        device.fill(buffer, 0, 4, b"a")
    assert device.counters.in_use_bytes == 0
    other = device.allocate(16)
    device.close()
    for use in (lambda: device.allocate(4), lambda: device.read_back([(other, 0, 4)]), device.ready):
        with pytest.raises(DeviceError, match="device was closed"):
            use()


# --- hal_inline ---------------------------------------------------------------------------------------------------


def test_buffers_share_their_storage(device: HostDevice) -> None:
    call = {name: function.call for name, function in HalInlineModule(device).functions.items()}
    buffer, storage = call["buffer.allocate"](64, 32)
    storage.write(0, bytes(range(32)))
    assert contents(device, buffer) == bytes(range(32))
    part = call["buffer.subspan"](buffer, 8, 16)
    assert call["buffer.length"](part) == 16
    call["buffer.storage"](part).write(0, b"\xff")
    assert contents(device, buffer)[8] == 0xFF
    copy, copied = call["buffer.allocate.initialized"](64, storage, 4, 8)
    storage.write(4, b"\0")
    assert bytes(copied.view()) == contents(device, copy) == bytes([4, 5, 6, 7, 255, 9, 10, 11])
    wrapped = call["buffer.wrap"](storage, 30, 2)
    call["buffer.storage"](wrapped).write(1, b"\x07")
    assert storage.view()[31] == 7


def test_queries(device: HostDevice) -> None:
    query = HalInlineModule(device).functions["device.query.i64"].call
    assert query(VmBuffer(b"hal.cpu"), VmBuffer(b"avx512f")) == (1, 0)
    with pytest.raises(InvocationError, match=r"unknown category 'hal.gpu'"):
        query(VmBuffer(b"hal.gpu"), VmBuffer(b"x"))


# --- hal_loader ---------------------------------------------------------------------------------------------------


def loaded(executable: tuple[str, bytes]) -> tuple[dict[str, Callable[..., Any]], Any]:
    call = {name: function.call for name, function in HalLoaderModule(Counters()).functions.items()}
    return call, call["executable.load"](VmBuffer(executable[0].encode()), VmBuffer(executable[1]), None)


def test_dispatch_in_every_layout(executable: tuple[str, bytes]) -> None:
    """Buffers of their own, parts of one, a constant source, and the source as target."""
    call, kernels = loaded(executable)
    values = np.random.default_rng().uniform(-9, 9, COUNT).astype(np.float32)
    size, expected = values.nbytes, (values * np.float32(3)).tobytes()
    separate = VmBuffer(bytearray(values.tobytes()), mutable=True), VmBuffer.allocate(size)
    shared = VmBuffer(bytearray(64 + 2 * size), mutable=True)
    shared.write(64, values.tobytes())
    same = VmBuffer(bytearray(values.tobytes()), mutable=True)
    constant, twice = VmBuffer(values.tobytes()), VmBuffer.allocate(size)
    for source, source_offset, target, target_offset in (
        (separate[0], 0, separate[1], 0),
        (shared, 64, shared, 64 + size),
        (same, 0, same, 0),
        (constant, 0, twice, 0),
        (constant, 0, twice, 0),
    ):
        before = bytes(target.read(0, target_offset))
        bindings = [(source, source_offset, size), (target, target_offset, size)]
        call["executable.dispatch"](kernels, 0, WORKGROUPS[executable[0]], 1, 1, [], bindings)
        assert bytes(target.read(target_offset, size)) == expected
        assert bytes(target.read(0, target_offset)) == before


def test_wrong_dispatches(executable: tuple[str, bytes]) -> None:
    call, kernels = loaded(executable)
    (name,) = kernels.ordinals
    assert call["executable.lookup.function"](kernels, VmBuffer(name.encode())) == 0
    with pytest.raises(DeviceError, match=f"no kernel named 'nothing'.*{name}"):
        call["executable.lookup.function"](kernels, VmBuffer(b"nothing"))
    good = VmBuffer.allocate(4 * COUNT)
    for ordinal, constants, bindings, part in (
        (1, [], [], "no kernel 1"),
        (0, [1], [(good, 0, 4)] * 2, "takes 0 constants and 2 bindings, found 1 and 2"),
        (0, [], [(good, 0, 4)], "found 0 and 1"),
        (0, [], [(good, 0, 4), (None, 0, 4)], "null is bound"),
        (0, [], [(good, 0, 4 * COUNT), (good, 4, 4 * COUNT)], "outside a buffer"),
    ):
        with pytest.raises(InvocationError, match=part):
            call["executable.dispatch"](kernels, ordinal, 1, 1, 1, constants, bindings)


def test_wrong_executables(executable: tuple[str, bytes]) -> None:
    call = {name: function.call for name, function in HalLoaderModule(Counters()).functions.items()}
    query = call["executable.query_support"]
    assert [query(VmBuffer(name)) for name in (executable[0].encode(), b"embedded-elf-x86_64")] == [1, 0]
    for data in (b"", b"nonsense", executable[1][:100], executable[1][: len(executable[1]) // 2]):
        with pytest.raises(ModuleError):
            load_kernels(executable[0], MemorySource(data), b"")
    with pytest.raises(DeviceError, match=r"'embedded-elf-x86_64' cannot be called; supported are system-wasm"):
        load_kernels("embedded-elf-x86_64", MemorySource(b""), b"")


def test_constants_go_into_wasm_memory_once() -> None:
    module = read_module(MemorySource(compile_stock(SOURCE, MODELS["inline-dynamic-wasm"])))
    largest = max(module.rodata, key=lambda source: source.size)
    kernels = host_wasm.load_wasm(largest)
    counters = kernels._memory.engine.counters
    constant, target = VmBuffer(bytes(4 * COUNT)), VmBuffer.allocate(4 * COUNT)
    uploads = []
    for _ in range(3):
        before = counters.uploaded_bytes
        kernels.dispatch(0, (1, 1, 1), b"", [constant, target])
        uploads.append(counters.uploaded_bytes - before)
    assert uploads == [8 * COUNT, 4 * COUNT, 4 * COUNT]
    in_use = counters.in_use_bytes
    del constant
    kernels.dispatch(0, (1, 1, 1), b"", [target, target])
    kernels._memory.arena.drain()
    assert counters.in_use_bytes < in_use


class Elsewhere:
    """Bytes that are not Python's, as those of a JavaScript buffer."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read(self, byte_offset: int, byte_length: int) -> memoryview:
        raise AssertionError("these bytes were fetched")

    def slice(self, byte_offset: int, byte_length: int) -> Elsewhere:
        return Elsewhere(byte_length)


def test_ranges_of_constants_fetch_nothing(device: HostDevice) -> None:
    call = {name: function.call for name, function in HalInlineModule(device).functions.items()}
    constant = VmBuffer(Elsewhere(100))
    part = call["buffer.storage"](call["buffer.subspan"](call["buffer.wrap"](constant, 10, 80), 5, 20))
    assert (part.byte_length, part.parent, part.parent_offset) == (20, constant, 15)
    assert not part.mutable
