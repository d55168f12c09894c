"""What conformance cases are written with: a case is a generator over a `Conformance`, so that it runs blocking under
pytest and awaited inside Pyodide.

Enters: an opened device, a way to open more, and a way to lose one. Leaves: helpers, and `CASES`, the registry that
the decorator `case` fills. No pytest import: the browser has none.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.hal_cts import kernels
from webree.errors import WebreeError
from webree.hal.buffer import Buffer, BufferRef
from webree.hal.command_buffer import CommandBuffer
from webree.hal.device import Device
from webree.hal.enums import WHOLE_BUFFER, CommandBufferMode
from webree.hal.executable import Executable
from webree.module.source import ByteSource, MemorySource
from webree.waiting import Suspendable, Wait


@dataclass(frozen=True)
class KernelSet:
    """The cases' kernels for one kind of device.

    Attributes:
        format: of the executables.
        executables: their bytes by the kernels' names.
        device_id: what programs call such a device.
        costs: FLOPs and bytes that an executable tells of each kernel; -1 where it does not.
    """

    format: str
    executables: Callable[[], dict[str, bytes]]
    device_id: str
    costs: tuple[int, int] = (-1, -1)


WGSL = KernelSet("webgpu-wgsl-fb", kernels.executables, "webgpu", (10, 20))

E = TypeVar("E", bound=WebreeError)


class Conformance:
    """One driver under test.

    Attributes:
        device: an open device that cases share; they leave it usable.
        kernels: what it runs.
        random: fresh numbers; `seed` reproduces them.
    """

    def __init__(
        self,
        device: Device,
        open_device: Callable[[], Suspendable[Device]],
        lose: Callable[[Device], None],
        seed: int,
        kernels: KernelSet = WGSL,
    ) -> None:
        self.device = device
        self.open_device = open_device
        self.lose = lose
        self.seed = seed
        self.kernels = kernels
        self.random = random.Random(seed)

    def kernel(self, name: str, device: Device | None = None) -> Suspendable[Executable]:
        """A kernel's executable, compiled."""
        device = device or self.device
        executable = self.load(name, device)
        while (wait := device.ready()) is not None:
            yield wait
        return executable

    def load(self, name: str, device: Device | None = None) -> Executable:
        """A kernel's executable, perhaps not yet compiled."""
        data = MemorySource(self.kernels.executables()[name])
        return (device or self.device).create_executable(self.kernels.format, data)

    def bytes(self, byte_length: int) -> bytes:
        return self.random.randbytes(byte_length)

    def words(self, count: int) -> list[int]:
        return [self.random.getrandbits(32) for _ in range(count)]

    def upload(self, data: bytes) -> Buffer:
        """A new buffer with these bytes."""
        buffer = self.device.allocate(len(data))
        self.device.update(MemorySource(data), buffer)
        return buffer

    def upload_words(self, values: Sequence[int]) -> Buffer:
        return self.upload(pack(values))

    def read(self, buffer: Buffer, byte_offset: int = 0, byte_length: int = WHOLE_BUFFER) -> Suspendable[bytes]:
        sources = yield buffer.device.read_back([(buffer, byte_offset, byte_length)])
        return contents(sources[0])

    def expect(self, buffer: Buffer, expected: bytes, what: str = "") -> Suspendable[None]:
        """Fail unless the buffer holds exactly these bytes; says where the first difference is."""
        found = yield from self.read(buffer)
        assert len(found) == len(expected), f"{what}: {len(found)} bytes instead of {len(expected)}"
        if found != expected:
            at = next(i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
            raise AssertionError(
                f"{what}: first difference at byte {at}: {found[at : at + 8].hex()} instead of "
                f"{expected[at : at + 8].hex()}"
            )

    def fresh(self, capacity: int = 0, reusable: bool = True) -> CommandBuffer:
        mode = CommandBufferMode.REUSABLE if reusable else CommandBufferMode.ONE_SHOT
        return self.device.create_command_buffer(mode, binding_capacity=capacity)


Case = Callable[[Conformance], Suspendable[None]]

CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    """Register a conformance case under its function's name."""
    CASES[function.__name__] = function
    return function


def pack(values: Sequence[int]) -> bytes:
    """32-bit words in the machine's order."""
    return array("I", [value & 0xFFFFFFFF for value in values]).tobytes()


def contents(source: ByteSource) -> bytes:
    return bytes(source.read(0, source.size))


def direct(buffer: Buffer, byte_offset: int = 0, byte_length: int = WHOLE_BUFFER) -> BufferRef:
    return BufferRef(buffer, 0, byte_offset, byte_length)


def slot(index: int, byte_offset: int = 0, byte_length: int = WHOLE_BUFFER) -> BufferRef:
    return BufferRef(None, index, byte_offset, byte_length)


def raises(kind: type[E], action: Callable[[], object], *parts: str) -> E:
    """The error that `action` must raise, whose text must have all `parts`."""
    try:
        action()
    except kind as error:
        check_text(error, *parts)
        return error
    raise AssertionError(f"nothing was raised instead of {kind.__name__} with {parts}")


def raises_later(kind: type[E], steps: Suspendable[object], *parts: str) -> Suspendable[E]:
    """As `raises`, for something that may wait."""
    try:
        yield from steps
    except kind as error:
        check_text(error, *parts)
        return error
    raise AssertionError(f"nothing was raised instead of {kind.__name__} with {parts}")


def waited(wait: Wait | None) -> Suspendable[Any]:
    """One wait as a computation."""
    assert wait is not None
    return (yield wait)


def check_text(error: BaseException, *parts: str) -> None:
    for part in parts:
        assert part in str(error), f"{part!r} is not in the message: {error}"
