"""VMVX kernels: executables of format `vmvx-bytecode-fb`, which are modules of VM functions.

Enters: the executable, a complete module file, and specialisation constants. Leaves: a `VmvxLibrary` that calls one
function a workgroup, on host memory: a `HostLibrary` for the engine of the `vmvx` device, and kernels for the inline
programs that load them (host_kernels.py). Whatever runs Python runs these; they are slow, except where the `vmvx`
module (vm/modules/vmvx.py) does whole tiles in NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence

from webree.errors import ModuleError
from webree.hal_local.engine import LibraryExport
from webree.module.reader import read_module
from webree.module.source import ByteSource
from webree.vm.buffers import VmBuffer
from webree.vm.context import Context
from webree.vm.lists import VmList
from webree.vm.modules.vmvx import VmvxModule
from webree.waiting import run_sync

__all__ = ["VMVX_FORMAT", "VmvxLibrary", "load_vmvx"]

VMVX_FORMAT = "vmvx-bytecode-fb"
_KERNEL_CONVENTION = "0rrriiiiiiiii_v"
_SET_CONSTANTS = "__set_constants"


def load_vmvx(data: ByteSource, constants: bytes = b"") -> VmvxLibrary:
    """Read and verify an executable. Raises `ModuleError` for damaged data and for imports beyond `vmvx`."""
    context = run_sync(Context.create(read_module(data), [VmvxModule()]))
    if _SET_CONSTANTS in context.exports:
        run_sync(context.exports[_SET_CONSTANTS].invoke([VmBuffer(constants)]))
    return VmvxLibrary(context)


class VmvxLibrary:
    """Kernels of one executable. Attributes: `exports`, in the order of their ordinals."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.exports = tuple(_read_exports(context))
        ordinals = {export.name: export.ordinal for export in context.module.exports}
        self._ordinals = [ordinals[export.name] for export in self.exports]

    def run(
        self,
        export: int,
        workgroup_count: tuple[int, int, int],
        constants: memoryview,
        bindings: Sequence[memoryview],
    ) -> None:
        """All workgroups of one dispatch; `constants` are the bytes of 32-bit words."""
        buffers = [VmBuffer(view, mutable=not view.readonly) for view in bindings]
        self.dispatch(export, workgroup_count, constants, buffers)

    def dispatch(
        self,
        export: int,
        workgroup_count: tuple[int, int, int],
        constants: bytes | memoryview,
        bindings: Sequence[VmBuffer],
    ) -> None:
        """As `run`, on buffers. Raises `InvocationError` if a kernel fails."""
        info = self.exports[export]
        ordinal = self._ordinals[export]
        run = self._context.run
        local = VmBuffer.allocate(info.local_memory_bytes)
        words = VmBuffer(constants)
        x, y, z = workgroup_count
        for at_z in range(z):
            for at_y in range(y):
                for at_x in range(x):
                    arguments = VmList("!vm.buffer", bindings, VmBuffer)
                    numbers = (at_x, at_y, at_z, *info.workgroup_size, x, y, z)
                    _finish(run(ordinal, [local, words, arguments, *numbers]))


def _finish(steps: object) -> None:
    """A kernel runs to its end: it has nothing to wait for."""
    for _ in steps:  # type: ignore[attr-defined]
        pass


def _read_exports(context: Context) -> list[LibraryExport]:
    found = []
    for name, function in context.exports.items():
        if name == _SET_CONSTANTS:
            continue
        convention, attributes = function.signature.calling_convention.text, function.signature.attributes
        if convention != _KERNEL_CONVENTION:
            raise ModuleError(
                f"has calling convention {convention!r}; VMVX kernels have {_KERNEL_CONVENTION!r}",
                where=f"kernel {name!r}",
            )
        try:
            found.append(
                LibraryExport(
                    name=name,
                    # The compiler writes both as signed bytes: 130 is "-126".
                    constant_count=int(attributes.get("constant_count", "0")) & 0xFF,
                    binding_count=int(attributes.get("binding_count", "0")) & 0xFF,
                    local_memory_bytes=int(attributes.get("local_memory", "0")),
                )
            )
        except ValueError as error:
            raise ModuleError(f"damaged attributes {dict(attributes)}", where=f"kernel {name!r}") from error
    if not found:
        raise ModuleError("the executable has no kernels")
    return found
