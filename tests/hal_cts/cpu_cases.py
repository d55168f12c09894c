"""Conformance of the CPU device: the executable library ABI as kernels see it, failures of kernels, libraries.

They need kernels that only the CPU's sets have (wasm_kernels.py, python_kernels.py).
"""

from __future__ import annotations

from tests.hal_cts.suite import Conformance, case, direct, pack, raises, raises_later, slot
from webree.errors import DeviceError, ModuleError, StatusCode
from webree.hal.device import Device
from webree.waiting import Suspendable

__all__ = ["CPU_CASES"]


@case
def workgroups_see_their_ids(cts: Conformance) -> Suspendable[None]:
    """Every workgroup's id, the counts, the numbers of bindings and constants, the declared width."""
    executable = yield from cts.kernel("groups")
    for grid in ((1, 1, 1), (7, 3, 5), (1, 64, 2), (cts.random.randrange(1, 90), cts.random.randrange(1, 9), 4)):
        x, y, z = grid
        expected = [
            word
            for k in range(z)
            for j in range(y)
            for i in range(x)
            for word in (i, j, k, x, y, z, 1, 0, executable.exports[0].workgroup_size[0])
        ]
        direct_words, indirect_words = (cts.upload_words([0] * len(expected)) for _ in range(2))
        commands = cts.fresh()
        commands.dispatch(executable, 0, grid, (), [direct(direct_words)])
        commands.dispatch_indirect(executable, 0, direct(cts.upload_words(grid)), (), [direct(indirect_words)])
        commands.finalize()
        cts.device.execute(commands)
        yield from cts.expect(direct_words, pack(expected), f"{grid}")
        yield from cts.expect(indirect_words, pack(expected), f"{grid}, indirect")


@case
def local_memory_is_a_workgroups_own(cts: Conformance) -> Suspendable[None]:
    executable = yield from cts.kernel("local")
    count = 300
    buffer = cts.upload_words([0] * count)
    commands = cts.fresh()
    commands.dispatch(executable, 0, (count, 1, 1), (), [direct(buffer)])
    commands.finalize()
    cts.device.execute(commands)
    yield from cts.expect(buffer, pack([1024 * number for number in range(count)]))


@case
def libraries_hold_several_kernels(cts: Conformance) -> Suspendable[None]:
    executable = yield from cts.kernel("pair")
    assert [executable.lookup(f"{name}$dispatch") for name in ("affine", "count")] == [0, 1]
    info = executable.exports[0]
    assert (info.constant_count, len(info.binding_read_only), executable.wgsl(0)) == (3, 2, None)
    raises(DeviceError, lambda: executable.lookup("nothing"), "nothing", "affine$dispatch", "count$dispatch")
    values = cts.words(64)
    a, b = cts.upload_words(values), cts.upload_words([0] * 64)
    commands = cts.fresh()
    commands.dispatch(executable, 0, (1, 1, 1), (3, 5, 64), [direct(a), direct(b)])
    commands.barrier()
    commands.dispatch(executable, 1, (9, 2, 1), (), [direct(b, 4)])
    commands.finalize()
    cts.device.execute(commands)
    expected = [value * 3 + 5 for value in values]
    expected[1] += 18
    yield from cts.expect(b, pack(expected))


@case
def libraries_come_and_go(cts: Conformance) -> Suspendable[None]:
    """Loaded, run and dropped, many more times than all of them together would fit."""
    for number in range(120):
        executable = yield from cts.kernel("affine" if number % 2 else "pair")
        values = cts.words(8)
        a, b = cts.upload_words(values), cts.upload_words([0] * 8)
        commands = cts.fresh(reusable=bool(number % 3))
        commands.dispatch(executable, 0, (1, 1, 1), (number, 1, 8), [direct(a), direct(b)])
        del executable
        commands.finalize()
        cts.device.execute(commands)
        yield from cts.expect(b, pack([value * number + 1 for value in values]), f"library {number}")


@case
def other_versions_of_the_library_abi(cts: Conformance) -> Suspendable[None]:
    raises(ModuleError, lambda: cts.load("old"), "version 5", "6")
    raises(ModuleError, lambda: cts.load("newer"), "version 6")
    yield from cts.kernel("count")


@case
def traps_end_the_device(cts: Conformance) -> Suspendable[None]:
    """A trap and a non-zero status: the kernel's name, and from then on every call is refused."""
    for name, part in (("trap", "trap$dispatch"), ("status", "status$dispatch")):
        device = yield from cts.open_device()
        executable = yield from cts.kernel(name, device)
        buffer = device.allocate(16)
        yield from raises_later(DeviceError, _run(device, executable_of=executable), part, "load the module again")
        error = raises(DeviceError, lambda: device.allocate(4), part, "lost")  # noqa: B023
        assert error.status == StatusCode.UNAVAILABLE
        raises(DeviceError, lambda: device.read_back([(buffer, 0, 16)]), "lost")  # noqa: B023
        device.close()
    yield from cts.expect(cts.upload(b"unharmed"), b"unharmed")


def _run(device: Device, executable_of: object) -> Suspendable[object]:
    commands = device.create_command_buffer()
    commands.dispatch(executable_of, 0, (2, 1, 1), (), ())  # type: ignore[arg-type]
    commands.finalize()
    device.execute(commands)
    return (yield device.read_back([(device.allocate(4), 0, 4)]))


@case
def tables_decide_what_a_copy_may_read(cts: Conformance) -> Suspendable[None]:
    """A copy's or a fill's length that is open until execution is checked then, and the next execution works."""
    commands = cts.fresh(capacity=2)
    commands.copy(slot(0, 4), slot(1))
    commands.barrier()
    commands.fill(slot(1, 4), b"\1\2")
    commands.finalize()
    data = cts.bytes(64)
    source, target = cts.upload(data), cts.upload(bytes(64))
    for table, parts in (
        ([(source, 0, 16), (target, 0, 16)], ("16 bytes", "12 bytes")),
        ([(source, 0, 64), (target, 0, 7)], ("fill of 3 bytes",)),
        ([(source, 0, 40), (source, 8, 32)], ("overlap",)),
        ([(source, 0, 40), (target, 0, 3)], ("slot 1", "4 bytes", "gives 3")),
    ):
        raises(DeviceError, lambda: cts.device.execute(commands, table), *parts)  # noqa: B023
    yield from cts.expect(target, bytes(64), "nothing of a refused execution happens")
    cts.device.execute(commands, [(source, 8, 40), (target, 16, 8)])
    yield from cts.expect(target, bytes(16) + data[12:16] + b"\1\2" * 2 + bytes(40))


CPU_CASES = tuple(
    function.__name__
    for function in (
        workgroups_see_their_ids,
        local_memory_is_a_workgroups_own,
        libraries_hold_several_kernels,
        libraries_come_and_go,
        other_versions_of_the_library_abi,
        traps_end_the_device,
        tables_decide_what_a_copy_may_read,
    )
)
