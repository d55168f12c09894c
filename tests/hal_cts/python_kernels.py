"""The conformance kernels as Python functions, for `HostEngine`: the CPU device's shared half without any real engine.

Enters: nothing. Leaves: executables (a kernel's name, or several) and `load`, which makes libraries of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.hal_cts.kernels import BINDING_COUNTS, ECHO_COUNTS
from webree.errors import InvocationError, ModuleError
from webree.hal_local.engine import LibraryExport
from webree.module.source import ByteSource

__all__ = ["FORMAT", "executables", "load"]

FORMAT = "python-names"
MASK = 0xFFFFFFFF

Group = tuple[tuple[int, int, int], tuple[int, int, int]]
"""A workgroup's id, the workgroup count."""
Kernel = Callable[[Group, "Words", Sequence["Words"]], None]


class Words:
    """A byte view as 32-bit words at any alignment."""

    def __init__(self, view: memoryview) -> None:
        self.view = view

    def __len__(self) -> int:
        return len(self.view) // 4

    def __getitem__(self, index: int) -> int:
        return int.from_bytes(self.view[4 * index : 4 * index + 4], "little")

    def __setitem__(self, index: int, value: int) -> None:
        self.view[4 * index : 4 * index + 4] = (value & MASK).to_bytes(4, "little")


def affine(group: Group, constants: Words, bindings: Sequence[Words]) -> None:
    first = 64 * group[0][0]
    for i in range(first, min(first + 64, constants[2])):
        bindings[1][i] = bindings[0][i] * constants[0] + constants[1]


def negate(group: Group, constants: Words, bindings: Sequence[Words]) -> None:
    for i in range(min(64, *map(len, bindings))):
        bindings[0][i] = ~bindings[1][i]


def mix_into(group: Group, constants: Words, bindings: Sequence[Words]) -> None:
    for i in range(min(64, *map(len, bindings))):
        bindings[1][i] = bindings[0][i] * 3 + bindings[1][i]


def tail(group: Group, constants: Words, bindings: Sequence[Words]) -> None:
    for i in range(constants[0]):
        bindings[1][i] = bindings[0][i]


def count(group: Group, constants: Words, bindings: Sequence[Words]) -> None:
    bindings[0][0] += 1


def trap(group: Group, constants: Words, bindings: Sequence[Words]) -> None:
    raise InvocationError("trap$dispatch was told to fail")


def status(group: Group, constants: Words, bindings: Sequence[Words]) -> None:
    raise InvocationError("status$dispatch ended with status 13")


def groups(group: Group, constants: Words, bindings: Sequence[Words]) -> None:
    (i, j, k), (x, y, z) = group
    for place, word in enumerate((i, j, k, x, y, z, len(bindings), len(constants), 64)):
        bindings[0][9 * (i + x * (j + y * k)) + place] = word


def local(group: Group, constants: Words, bindings: Sequence[Words]) -> None:
    bindings[0][group[0][0]] = 1024 * group[0][0]


def add_up(group: Group, constants: Words, bindings: Sequence[Words]) -> None:
    if bindings:
        bindings[-1][group[0][0]] = sum(words[group[0][0]] for words in bindings)


def echo(group: Group, constants: Words, bindings: Sequence[Words]) -> None:
    for k in range(len(constants)):
        bindings[0][k] = constants[k]
    if not len(constants):
        bindings[0][0] = 77


KERNELS: dict[str, tuple[Kernel, int, int]] = {
    "affine": (affine, 3, 2),
    "negate": (negate, 0, 2),
    "mix_into": (mix_into, 0, 2),
    "tail": (tail, 1, 2),
    "count": (count, 0, 1),
    "trap": (trap, 0, 0),
    "status": (status, 0, 0),
    "groups": (groups, 0, 1),
    "local": (local, 0, 1),
    **{f"sum{n}": (add_up, 0, n) for n in BINDING_COUNTS},
    **{f"echo{n}": (echo, n, 1) for n in ECHO_COUNTS},
}


class PythonLibrary:
    """See `webree.hal_local.host_engine.HostLibrary`."""

    def __init__(self, names: Sequence[str]) -> None:
        self.kernels = [KERNELS[name][0] for name in names]
        self.exports = tuple(LibraryExport(f"{name}$dispatch", *KERNELS[name][1:], (64, 1, 1)) for name in names)

    def run(
        self,
        export: int,
        workgroup_count: tuple[int, int, int],
        constants: memoryview,
        bindings: Sequence[memoryview],
    ) -> None:
        x, y, z = workgroup_count
        words = [Words(binding) for binding in bindings]
        for k in range(z):
            for j in range(y):
                for i in range(x):
                    self.kernels[export](((i, j, k), workgroup_count), Words(constants), words)


def executables() -> dict[str, bytes]:
    """An executable is its kernels' names between commas, padded so that a cut file lacks its end."""
    names = {name: name for name in KERNELS} | {"pair": "affine,count"}
    return {name: f"python:{text:64}.".encode() for name, text in names.items()}


def load(data: ByteSource) -> PythonLibrary:
    """For `HostEngine`."""
    text = bytes(data.read(0, data.size)).decode()
    if not (text.startswith("python:") and text.endswith(".")):
        raise ModuleError(f"{text!r} names no kernels")
    return PythonLibrary(text[7:-1].strip().split(","))
