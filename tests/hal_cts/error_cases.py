"""Conformance: errors of shaders, limits, closed and lost devices, several devices."""

from __future__ import annotations

from tests.hal_cts import kernels
from tests.hal_cts.suite import (
    Conformance,
    case,
    check_text,
    contents,
    direct,
    pack,
    raises,
    raises_later,
    waited,
)
from webree.errors import DeviceError, ModuleError, StatusCode
from webree.hal.device import Device
from webree.module.source import MemorySource
from webree.waiting import Suspendable


@case
def rejected_shaders_name_kernel_and_line(cts: Conformance) -> Suspendable[None]:
    device = yield from cts.open_device()
    line = f"> {kernels.BAD_LINE} |   b0[0] = 1.5 + undefined_name;"
    yield from raises_later(
        DeviceError,
        cts.kernel("broken", device),
        "'broken$dispatch'",
        f"line {kernels.BAD_LINE}",
        "undefined_name",
        line,
    )
    device.close()


@case
def rejected_shaders_stay_rejected(cts: Conformance) -> Suspendable[None]:
    """Loading a bad shader again, or running it all the same, is an error again; other kernels are not harmed."""
    device = yield from cts.open_device()
    yield from raises_later(DeviceError, cts.kernel("broken", device), "undefined_name")
    yield from raises_later(DeviceError, cts.kernel("broken", device), "'broken$dispatch'", "undefined_name")
    executable = yield from cts.kernel("count", device)
    buffer = device.allocate(4)
    device.update(MemorySource(bytes(4)), buffer)
    commands = device.create_command_buffer()
    commands.dispatch(executable, 0, (3, 1, 1), (), [direct(buffer)])
    commands.finalize()
    device.execute(commands)
    yield from cts.expect(buffer, pack([3]))

    def run_anyway() -> Suspendable[object]:
        bad = cts.load("broken", device)
        yield from raises_later(DeviceError, waited(device.ready()), "undefined_name")
        commands = device.create_command_buffer()
        commands.dispatch(bad, 0, (1, 1, 1), (), [direct(buffer)])
        commands.finalize()
        device.execute(commands)
        return (yield device.read_back([(buffer, 0, 4)]))

    yield from raises_later(DeviceError, run_anyway(), "broken$dispatch")
    device.close()


@case
def missing_limits_are_told_with_both_numbers(cts: Conformance) -> Suspendable[None]:
    name = "max_compute_invocations_per_workgroup"
    available = cts.device.info.limits[name]

    def load(kernel: str) -> object:
        return cts.load(kernel)

    error = raises(DeviceError, lambda: load("hungry"), f"{name}={1 << 20}", f"has {available}", "'giant'", "--profile")
    assert error.status == StatusCode.INCOMPATIBLE
    raises(DeviceError, lambda: load("featured"), "time-travel")
    raises(DeviceError, lambda: load("wide"), "count$dispatch", str(1 << 20), "max_compute_workgroup_size_x")
    yield from cts.kernel("count")


@case
def half_precision_where_the_adapter_has_it(cts: Conformance) -> Suspendable[None]:
    if "shader-f16" not in cts.device.info.features:
        yield from raises_later(DeviceError, cts.kernel("double_f16"), "shader-f16")
        return
    executable = yield from cts.kernel("double_f16")
    buffer = cts.upload_words([0x3C00_3800, 0xC000_0000])
    commands = cts.fresh(reusable=False)
    commands.dispatch(executable, 0, (2, 1, 1), (), [direct(buffer)])
    commands.finalize()
    cts.device.execute(commands)
    yield from cts.expect(buffer, pack([0x4000_3C00, 0xC400_0000]))


@case
def damaged_executables_are_module_errors(cts: Conformance) -> Suspendable[None]:
    good = cts.kernels.executables()["affine"]
    for data in (b"", b"nonsense", good[:40], good[: len(good) // 2]):
        raises(ModuleError, lambda: cts.device.create_executable(cts.kernels.format, MemorySource(data)))  # noqa: B023
    yield from cts.kernel("affine")


@case
def bindings_larger_than_the_limit(cts: Conformance) -> Suspendable[None]:
    limits = cts.device.info.limits
    binding, largest = limits["max_storage_buffer_binding_size"], limits["max_buffer_size"]
    if largest <= binding or binding > 1 << 28:
        return  # No buffer is larger than a binding may be, or it takes more memory than a test should.
    executable = yield from cts.kernel("count")
    buffer = cts.device.allocate(binding + 16)
    for reference in (direct(buffer), direct(buffer, 0, binding + 4)):
        raises(
            DeviceError,
            lambda: cts.fresh().dispatch(executable, 0, (1, 1, 1), (), [reference]),  # noqa: B023
            "count$dispatch",
            str(binding),
            "max_storage_buffer_binding_size",
        )
    cts.device.fill(buffer, 0, binding + 16, b"\xa5")
    assert (yield from cts.read(buffer, binding - 8, 24)) == b"\xa5" * 24
    buffer.close()


@case
def closed_devices_refuse_everything(cts: Conformance) -> Suspendable[None]:
    device = yield from cts.open_device()
    buffer = device.allocate(64)
    commands = device.create_command_buffer()
    commands.fill(direct(buffer), b"\1")
    commands.finalize()
    device.execute(commands)
    device.close()
    device.close()
    check_refusal(cts, device, buffer_of=direct(buffer).buffer, commands=commands, text="closed")
    del buffer, commands
    yield from cts.expect(cts.upload(b"abcd"), b"abcd", "the other device")


@case
def lost_devices_stay_lost(cts: Conformance) -> Suspendable[None]:
    """After a loss every call raises the same kind of error; a new device works."""
    device = yield from cts.open_device()
    buffer = device.allocate(64)
    commands = device.create_command_buffer()
    commands.fill(direct(buffer), b"\1")
    commands.finalize()

    def use() -> Suspendable[object]:
        device.execute(commands)
        return (yield device.read_back([(buffer, 0, 64)]))

    yield from use()
    cts.lose(device)
    error = yield from raises_later(DeviceError, use(), "lost", "load the module again")
    assert error.status == StatusCode.UNAVAILABLE
    check_refusal(cts, device, buffer_of=buffer, commands=commands, text="lost")
    device.close()
    fresh = yield from cts.open_device()
    assert fresh.allocate(16).byte_length == 16
    fresh.close()


@case
def devices_lost_while_waiting(cts: Conformance) -> Suspendable[None]:
    """A read-back under way when the device is lost ends, with its bytes or with the loss; the next call is refused."""
    device = yield from cts.open_device()
    buffer = device.allocate(64)
    device.fill(buffer, 0, 64, b"\7")
    wait = device.read_back([(buffer, 0, 64)])
    cts.lose(device)
    try:
        sources = yield wait
        assert contents(sources[0]) == b"\7" * 64
    except DeviceError as error:
        check_text(error, "lost")

    def again() -> Suspendable[object]:
        return (yield device.read_back([(buffer, 0, 64)]))

    yield from raises_later(DeviceError, again(), "lost")
    device.close()


@case
def devices_closed_while_waiting(cts: Conformance) -> Suspendable[None]:
    """A read-back under way when the device is closed ends, with its bytes or with a `DeviceError`."""
    device = yield from cts.open_device()
    buffer = device.allocate(64)
    device.fill(buffer, 0, 64, b"\7")
    wait = device.read_back([(buffer, 0, 64)])
    device.close()
    try:
        sources = yield wait
        assert contents(sources[0]) == b"\7" * 64
    except DeviceError:
        pass


@case
def devices_do_not_mix(cts: Conformance) -> Suspendable[None]:
    other = yield from cts.open_device()
    foreign, own = other.allocate(16), cts.upload(bytes(16))
    raises(DeviceError, lambda: cts.device.copy(foreign, 0, own, 0, 4), "another device")
    raises(DeviceError, lambda: cts.device.read_back([(foreign, 0, 4)]), "another device")
    commands = other.create_command_buffer()
    commands.finalize()
    raises(DeviceError, lambda: cts.device.execute(commands), "another device")
    table_user = cts.fresh(capacity=1)
    table_user.finalize()
    raises(DeviceError, lambda: cts.device.execute(table_user, [(foreign, 0, 16)]), "another device")
    kernel = yield from cts.kernel("count", other)
    commands = cts.device.create_command_buffer()
    raises(DeviceError, lambda: commands.dispatch(kernel, 0, (1, 1, 1), (), [direct(own)]), "another device")
    other.close()
    yield from cts.expect(own, bytes(16))


@case
def devices_answer_queries(cts: Conformance) -> Suspendable[None]:
    yield from ()
    device = cts.device
    assert device.query_i64("hal.device.id", f"{cts.kernels.device_id}*") == 1
    assert device.query_i64("hal.device.id", cts.kernels.device_id) == 1
    assert device.query_i64("hal.device.id", "vulkan") == 0
    assert device.query_i64("hal.executable.format", cts.kernels.format) == 1
    assert device.query_i64("hal.executable.format", "vulkan-spirv-fb") == 0
    assert device.query_i64("some.other", "key") is None
    assert device.info.limits["max_storage_buffer_binding_size"] >= 128 << 20


def check_refusal(cts: Conformance, device: Device, buffer_of: object, commands: object, text: str) -> None:
    """Every call of a dead device raises `DeviceError` with `text`."""
    calls = {
        "allocate": lambda: device.allocate(16),
        "fill": lambda: device.fill(buffer_of, 0, 4, b"\0"),  # type: ignore[arg-type]
        "update": lambda: device.update(MemorySource(b"1234"), buffer_of),  # type: ignore[arg-type]
        "execute": lambda: device.execute(commands),  # type: ignore[arg-type]
        "read_back": lambda: device.read_back([(buffer_of, 0, 4)]),  # type: ignore[list-item]
        "create_command_buffer": device.create_command_buffer,
        "create_executable": lambda: cts.load("count", device),
        "ready": device.ready,
    }
    for name, call in calls.items():
        try:
            call()
        except DeviceError as error:
            check_text(error, text)
        else:
            raise AssertionError(f"{name} did not raise")
