"""The `hal` module above a device in plain Python: every function that programs import, called as the VM calls it."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import Any

import pytest

from tests.fake_device import FakeDevice
from webree.errors import DeviceError, InvocationError, StatusCode, WebreeError
from webree.hal.buffer import Buffer
from webree.hal.buffer_view import BufferView
from webree.hal.fence import Fence
from webree.vm.buffers import VmBuffer
from webree.vm.modules.hal import HalModule
from webree.waiting import run_sync

ANY = -1
DEVICE_LOCAL, USAGE = 0x30, 0xC03
F32, I32 = 0x21000020, 0x10000020


class Hal:
    """Calls functions of a module by name."""

    def __init__(self, device: FakeDevice) -> None:
        self.device = device
        self.module = HalModule([device])

    def __call__(self, name: str, *arguments: Any) -> Any:
        function = self.module.functions[name]
        result = function.call(*arguments)
        return run_sync(result) if function.suspends else result

    def buffer(self, data: bytes) -> Buffer:
        buffer: Buffer = self(
            "allocator.allocate", self("device.allocator", self.device), ANY, DEVICE_LOCAL, USAGE, len(data)
        )
        self("device.queue.update", self.device, ANY, None, None, VmBuffer(data), 0, buffer, 0, len(data), 0)
        return buffer

    def bytes(self, buffer: Buffer) -> bytes:
        (source,) = self.device.read_back([(buffer, 0, buffer.byte_length)]).block()
        return bytes(source.read(0, source.size))


@pytest.fixture
def hal() -> Hal:
    return Hal(FakeDevice({"add": add}))


def add(workgroup_count: tuple[int, int, int], constants: Sequence[int], bindings: Sequence[memoryview]) -> None:
    a, b, c = (binding.cast("i") for binding in bindings)
    for index in range(workgroup_count[0]):
        c[index] = a[index] + b[index] + sum(constants)


def text(value: str) -> VmBuffer:
    return VmBuffer(value.encode())


def test_every_import_is_there(hal: Hal) -> None:
    functions = hal.module.functions
    assert len(functions) == 60
    assert all(function.name == name for name, function in functions.items())
    assert (hal.module.name, hal.module.version) == ("hal", 7)
    assert functions["command_buffer.dispatch"].calling_convention == "0rrIiiiICiDCiirIID_v"
    waiting = {name for name, function in functions.items() if function.suspends}
    assert waiting == {
        "buffer.load",
        "buffer_view.trace",
        "device.queue.write",
        "device.queue.execute",
        "device.queue.execute.indirect",
        "fence.await",
    }


def test_devices(hal: Hal) -> None:
    assert hal("devices.count") == 1
    assert hal("devices.get", 0) is hal.device
    assert hal("devices.get", 1) is None
    assert hal("devices.get", -1) is None


@pytest.mark.parametrize(
    ("category", "key", "answer"),
    [
        ("hal.device.id", "fake", (1, 1)),
        ("hal.device.id", "fa*", (1, 1)),
        ("hal.device.id", "vulkan", (1, 0)),
        ("hal.executable.format", "python", (1, 1)),
        ("hal.executable.format", "webgpu-wgsl-fb", (1, 0)),
        ("no.such.category", "x", (0, 0)),
    ],
)
def test_queries(hal: Hal, category: str, key: str, answer: tuple[int, int]) -> None:
    assert hal("device.query.i64", hal.device, text(category), text(key)) == answer
    assert (category, key) in hal.module.queries


def test_null_and_wrong_references_are_refused(hal: Hal) -> None:
    with pytest.raises(InvocationError, match=r"hal\.buffer\.length: argument 0 is null, expected a Buffer"):
        hal("buffer.length", None)
    with pytest.raises(InvocationError, match=r"argument 3 is a Buffer, expected a Fence or null"):
        hal("device.queue.barrier", hal.device, ANY, None, hal.buffer(b"1234"), 0)
    commands = hal("command_buffer.create", hal.device, 0, 3, ANY, 2)
    table = [(hal.buffer(b""), 0, 0), (None, 0, 0)]
    with pytest.raises(InvocationError, match="no buffer in slot 1"):
        hal("device.queue.execute.indirect", hal.device, ANY, None, None, commands, 0, table)


# --- Memory -------------------------------------------------------------------------------------------------------


def test_constants_come_from_files_not_imports(hal: Hal) -> None:
    data = random.randbytes(100)
    allocator = hal("device.allocator", hal.device)
    assert hal("allocator.import", allocator, 1, ANY, DEVICE_LOCAL, USAGE, VmBuffer(data), 0, -1) is None
    file = hal("ex.file.from_memory", hal.device, ANY, 1, VmBuffer(data), 4, 90, 0)
    buffer = hal("allocator.allocate", allocator, ANY, DEVICE_LOCAL, USAGE, 64)
    signal = Fence()
    hal("device.queue.read", hal.device, ANY, None, signal, file, 6, buffer, 2, 50, 0)
    assert hal("fence.await", -1, 0, [signal]) == 0
    assert hal.bytes(buffer)[2:52] == data[10:60]
    with pytest.raises(InvocationError, match="outside host memory of 90 bytes"):
        hal("device.queue.read", hal.device, ANY, None, None, file, 80, buffer, 0, 11, 0)


def test_import_that_must_succeed_copies(hal: Hal) -> None:
    buffer = hal(
        "allocator.import", hal("device.allocator", hal.device), 0, ANY, DEVICE_LOCAL, USAGE, text("abcdef"), 2, -1
    )
    assert hal.bytes(buffer) == b"cdef"


def test_select_takes_the_first(hal: Hal) -> None:
    assert hal("allocator.select", DEVICE_LOCAL, USAGE, 0, [(hal.device, 5), (hal.device, 7)]) == (hal.device, 5)


def test_buffer_load_and_store(hal: Hal) -> None:
    buffer = hal.buffer(bytes(8))
    hal("buffer.store", -2, buffer, 1, 2)
    assert hal.bytes(buffer) == b"\0\xfe\xff\0\0\0\0\0"
    assert hal("buffer.load", buffer, 1, 1) == 0xFE
    assert hal("buffer.load", buffer, 1, 2) == 0xFFFE
    hal("buffer.store", -2, buffer, 4, 4)
    assert hal("buffer.load", buffer, 4, 4) == -2
    with pytest.raises(DeviceError, match=r"bytes 6\.\.10 lie outside a buffer of 8 bytes"):
        hal("buffer.load", buffer, 6, 4)


def test_owners_are_counted_over_subspans(hal: Hal) -> None:
    buffer = hal.buffer(bytes(16))
    part = hal("buffer.subspan", buffer, 4, -1)
    assert hal("buffer.length", part) == 12
    hal("buffer.allocation.preserve", part)
    assert hal("buffer.allocation.is_terminal", buffer) == 0
    assert hal("buffer.allocation.discard", buffer) == 0
    assert hal("buffer.allocation.is_terminal", part) == 1
    assert hal("buffer.allocation.discard", part) == 1


def test_buffer_assert(hal: Hal) -> None:
    allocator = hal("device.allocator", hal.device)
    buffer = hal.buffer(bytes(16))
    hal("buffer.assert", buffer, text("input0"), allocator, 16, 0x10, USAGE)
    with pytest.raises(InvocationError, match="input0: expected a buffer of at least 17 bytes, found 16") as caught:
        hal("buffer.assert", buffer, text("input0"), allocator, 17, 0x10, USAGE)
    assert caught.value.status == StatusCode.INVALID_ARGUMENT
    with pytest.raises(InvocationError, match=r"usage 0x1000c03, found 0xc03") as caught:
        hal("buffer.assert", buffer, text("input0"), allocator, 16, 0x10, USAGE | 0x1000000)
    assert caught.value.status == StatusCode.PERMISSION_DENIED
    with pytest.raises(InvocationError, match="another device"):
        hal("buffer.assert", buffer, text("input0"), hal("device.allocator", FakeDevice()), 16, 0x10, USAGE)


def test_views(hal: Hal) -> None:
    buffer = hal.buffer(bytes(32))
    view = hal("buffer_view.create", buffer, 8, 24, F32, 1, [2, 3])
    assert isinstance(view, BufferView)
    assert hal("buffer_view.rank", view) == 2
    assert [hal("buffer_view.dim", view, axis) for axis in range(2)] == [2, 3]
    assert hal("buffer_view.element_type", view) == F32
    assert hal("buffer_view.encoding_type", view) == 1
    assert hal("buffer_view.buffer", view).byte_offset == 8
    with pytest.raises(InvocationError, match="dimension 2 of tensor<2x3xf32>"):
        hal("buffer_view.dim", view, 2)


@pytest.mark.parametrize(
    ("element_type", "encoding", "shape", "message"),
    [
        (F32, 1, [2, 3], None),
        (F32, 1, [3, 2], "input1: expected tensor<3x2xf32>, found tensor<2x3xf32>"),
        (F32, 1, [6], "input1: expected tensor<6xf32>, found tensor<2x3xf32>"),
        (I32, 1, [2, 3], "input1: expected tensor<2x3xi32>, found tensor<2x3xf32>"),
        (F32, 0, [2, 3], "input1: expected encoding 0, found 1"),
    ],
)
def test_view_assert(hal: Hal, element_type: int, encoding: int, shape: list[int], message: str | None) -> None:
    view = hal("buffer_view.create", hal.buffer(bytes(24)), 0, 24, F32, 1, [2, 3])
    if message is None:
        hal("buffer_view.assert", view, text("input1"), element_type, encoding, shape)
        return
    with pytest.raises(InvocationError) as caught:
        hal("buffer_view.assert", view, text("input1"), element_type, encoding, shape)
    assert str(caught.value) == message


def test_view_assert_takes_integers_of_any_sign(hal: Hal) -> None:
    view = hal("buffer_view.create", hal.buffer(bytes(4)), 0, 4, 0x11000020, 1, [1])
    hal("buffer_view.assert", view, text("x"), I32, 1, [1])


def test_trace(hal: Hal, capsys: pytest.CaptureFixture[str]) -> None:
    view = hal("buffer_view.create", hal.buffer(struct.pack("<2i", 7, -8)), 0, 8, I32, 1, [2])
    hal("buffer_view.trace", text("here"), [view, None])
    assert capsys.readouterr().err == "=== here ===\ntensor<2xi32> = [7, -8]\nnull\n"


# --- Queue --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_queue_fill_takes_the_low_bytes(hal: Hal, size: int) -> None:
    buffer = hal.buffer(bytes(24))
    hal("device.queue.fill", hal.device, ANY, None, None, buffer, 8, 16, -0x0102030405060708, size, 0)
    pattern = struct.pack("<q", -0x0102030405060708)[:size]
    assert hal.bytes(buffer) == bytes(8) + pattern * (16 // size)


def test_queue_copy(hal: Hal) -> None:
    source, target = hal.buffer(b"abcdefgh"), hal.buffer(bytes(8))
    hal("device.queue.copy", hal.device, ANY, None, None, source, 2, target, 1, 4, 0)
    assert hal.bytes(target) == b"\0cdef\0\0\0"


def test_work_waits_for_its_fence_and_captures_its_bytes(hal: Hal) -> None:
    wait, signal = Fence(), Fence()
    host = VmBuffer(bytearray(b"before"), mutable=True)
    buffer = hal.buffer(bytes(6))
    hal("device.queue.update", hal.device, ANY, wait, signal, host, 0, buffer, 0, 6, 0)
    host.write(0, b"after!")
    assert hal.bytes(buffer) == bytes(6)
    assert hal("fence.query", signal) == StatusCode.DEFERRED
    hal("fence.signal", wait)
    assert hal("fence.query", signal) == 0
    assert hal.bytes(buffer) == b"before"


def test_a_failed_fence_fails_what_waits(hal: Hal) -> None:
    wait, signal = Fence(), Fence()
    hal("device.queue.barrier", hal.device, ANY, wait, signal, 0)
    hal("fence.fail", wait, StatusCode.DATA_LOSS)
    assert hal("fence.query", signal) == StatusCode.DATA_LOSS
    with pytest.raises(WebreeError) as caught:
        hal("fence.await", -1, 0, [None, signal])
    assert caught.value.status == StatusCode.DATA_LOSS


def test_fence_join_and_timeout(hal: Hal) -> None:
    assert hal("fence.join", 0, [None, None]) is None
    one, two = hal("fence.create", hal.device, 0), hal("fence.create", hal.device, 0)
    joined = hal("fence.join", 0, [one, None, two])
    hal("fence.signal", one)
    assert hal("fence.await", 1, 0, [joined]) == StatusCode.DEADLINE_EXCEEDED
    hal("fence.signal", two)
    assert hal("fence.await", 1, 0, [joined, None]) == 0


def test_alloca_and_dealloca_follow_the_fences(hal: Hal) -> None:
    wait, allocated = Fence(), Fence()
    before = hal.device.counters.in_use_bytes
    buffer = hal("device.queue.alloca", hal.device, ANY, wait, allocated, 0, DEVICE_LOCAL, USAGE, 1000, 0)
    assert allocated.pending
    hal("device.queue.dealloca", hal.device, ANY, allocated, None, buffer, 0)
    assert hal.device.counters.in_use_bytes == before + 1000
    wait.signal()
    assert hal.device.counters.in_use_bytes == before


def test_queue_write_reaches_a_writable_file(hal: Hal) -> None:
    host = VmBuffer.allocate(8)
    file = hal("ex.file.from_memory", hal.device, ANY, 3, host, 2, 6, 0)
    signal = Fence()
    hal("device.queue.write", hal.device, ANY, None, signal, hal.buffer(b"abcd"), 1, file, 1, 3, 0)
    assert bytes(host.read(0, 8)) == b"\0\0\0bcd\0\0"
    assert not signal.pending
    constant = hal("ex.file.from_memory", hal.device, ANY, 1, host, 0, 8, 0)
    with pytest.raises(InvocationError, match="read-only"):
        hal("device.queue.write", hal.device, ANY, None, None, hal.buffer(b"abcd"), 0, constant, 0, 4, 0)


# --- Command buffers ----------------------------------------------------------------------------------------------


def test_indirect_command_buffer_with_changing_tables(hal: Hal) -> None:
    executable = hal("executable.create", hal.device, ANY, text("python"), text("add"), None)
    ordinal = hal("executable.lookup.function", executable, text("add"))
    constant = hal.buffer(struct.pack("<4i", 1, 2, 3, 4))
    commands = hal("command_buffer.create", hal.device, 0, 3, ANY, 2)
    bindings = [(0, 0, constant, 0, 16), (0, 0, None, 4, 16), (0, 1, None, 0, -1)]
    hal("command_buffer.dispatch", commands, executable, ordinal, 4, 1, 1, 0, [10, 20], bindings)
    hal("command_buffer.execution_barrier", commands, 0x1C, 0x0D, 0)
    hal("command_buffer.finalize", commands)
    for _ in range(3):
        values = [random.randrange(-1000, 1000) for _ in range(6)]
        source, target = hal.buffer(struct.pack("<6i", *values)), hal.buffer(bytes(20))
        signal = Fence()
        table = [(source, 4, 20), (target, 4, 16)]
        hal("device.queue.execute.indirect", hal.device, ANY, None, signal, commands, 0, table)
        assert hal("fence.await", -1, 0, [signal]) == 0
        expected = [a + b + 30 for a, b in zip([1, 2, 3, 4], values[2:], strict=True)]
        assert list(memoryview(hal.bytes(target)).cast("i")) == [0, *expected]


def test_one_shot_transfers(hal: Hal) -> None:
    target = hal.buffer(bytes(16))
    commands = hal("command_buffer.create", hal.device, 1, 3, ANY, 0)
    hal("command_buffer.begin_debug_group", commands, text("group"))
    hal("command_buffer.fill_buffer", commands, target, 0, 8, 0, 0x0201, 2, 0)
    hal("command_buffer.update_buffer", commands, text("xabcd"), 1, target, 9, 4, 0, 0)
    hal("command_buffer.copy_buffer", commands, 0, 0, target, 0, target, 13, 3, 0)
    hal("command_buffer.advise_buffer", commands, None, 0, 0, 0, 0)
    hal("command_buffer.flush_buffer", commands, 0, target, 0, 16)
    hal("command_buffer.invalidate_buffer", commands, 0, None, 0, 16)
    hal("command_buffer.end_debug_group", commands)
    hal("command_buffer.finalize", commands)
    hal("device.queue.execute", hal.device, ANY, None, None, commands, 0)
    assert hal.bytes(target) == b"\1\2" * 4 + b"\0abcd\1\2\1"


def test_indirect_dispatch_reads_its_count_on_the_device(hal: Hal) -> None:
    executable = hal("executable.create", hal.device, ANY, text("python"), text("add"), None)
    count = hal.buffer(struct.pack("<4I", 9, 2, 1, 1))
    data, target = hal.buffer(struct.pack("<3i", 1, 2, 3)), hal.buffer(bytes(12))
    commands = hal("command_buffer.create", hal.device, 1, 3, ANY, 0)
    bindings = [(0, 0, data, 0, -1), (0, 0, data, 0, -1), (0, 0, target, 0, -1)]
    hal("command_buffer.dispatch.indirect", commands, executable, 0, 0, count, 4, 0, [], bindings)
    hal("command_buffer.finalize", commands)
    hal("device.queue.execute", hal.device, ANY, None, None, commands, 0)
    assert list(memoryview(hal.bytes(target)).cast("i")) == [2, 4, 0]


def test_execution_waits_for_kernels(hal: Hal) -> None:
    commands = hal("command_buffer.create", hal.device, 1, 3, ANY, 0)
    hal("command_buffer.finalize", commands)
    hal.device.pause()
    steps = hal.module.functions["device.queue.execute"].call(hal.device, ANY, None, None, commands, 0)
    wait = next(steps)
    assert hal.device.counters.submissions == 0
    wait.block()
    with pytest.raises(StopIteration):
        steps.send(None)
    assert hal.device.counters.submissions == 1


def test_unknown_kernel_lists_those_there_are(hal: Hal) -> None:
    executable = hal("executable.create", hal.device, ANY, text("python"), text("add"), None)
    with pytest.raises(DeviceError, match="no kernel named 'sub' in this executable; it has add"):
        hal("executable.lookup.function", executable, text("sub"))


def test_collectives_are_refused(hal: Hal) -> None:
    with pytest.raises(DeviceError, match="collective") as caught:
        hal("channel.create", hal.device, ANY, 0, None, None, 0, 1)
    assert caught.value.status == StatusCode.UNIMPLEMENTED
