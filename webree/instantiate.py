"""From a verified module to a running program: the device, the modules it imports from, its initialiser.

Enters: what a module needs (needs.py), and the device that the caller asks for. Leaves: the `Chosen` device and a
`Context`. There are three kinds of programs: those that drive a HAL device (`hal`), those that compute by themselves in
the host's memory (`hal_inline`), and those that call kernels on that memory (`hal_inline` with `hal_loader`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from webree.device_choice import Chosen, DeviceName, choose_device
from webree.errors import DeviceError, ModuleError, StatusCode, UsageError, WebreeError
from webree.hal.device import AdapterInfo, Device
from webree.waiting import Suspendable

if TYPE_CHECKING:
    from webree.module.verifier import VerifiedModule
    from webree.needs import Needs
    from webree.parameters.archive import Parameters
    from webree.vm.context import Context
    from webree.vm.modules.hal import HalModule
    from webree.vm.native import NativeModule

__all__ = ["choose_for", "instantiate"]

_KNOWN_MODULES = frozenset(("hal", "hal_inline", "hal_loader", "io_parameters", "check"))
_HOST_NAMES = ("auto", "cpu", "host", "vmvx", "wasm")
"""Names of devices that an inline program may be asked to run on: all mean this machine's processor."""


def choose_for(needs: Needs, wanted: DeviceName) -> Suspendable[Chosen]:
    """The device for a module: the one asked for, or the best that it has kernels for.

    Raises `ModuleError` if the module calls something that nobody has, `DeviceError` if there is no such device."""
    if unknown := sorted(needs.modules - _KNOWN_MODULES):
        raise ModuleError(
            f"the module calls {', '.join(unknown)}, which this runtime does not have; it has "
            f"{', '.join(sorted(_KNOWN_MODULES))}. Compile the model with: webree compile MODEL",
            status=StatusCode.INCOMPATIBLE,
        )
    if needs.is_inline:
        return _choose_host(needs, wanted)
    return (yield from choose_device(wanted, needs.formats or None))


def _choose_host(needs: Needs, wanted: DeviceName) -> Chosen:
    from webree.hal_local.host_device import HostDevice, host_device

    if isinstance(wanted, HostDevice):
        return Chosen(wanted, "given by the caller")
    name = wanted.info.driver if isinstance(wanted, Device) else wanted
    if isinstance(name, AdapterInfo):
        name = name.driver
    if name not in _HOST_NAMES:
        raise DeviceError(
            f"the module was compiled inline: it runs in Python's own memory, on device 'cpu', not on {name!r}. "
            "Compile the model for that device with: webree compile MODEL --target webgpu",
            status=StatusCode.INCOMPATIBLE,
        )
    how = "its kernels are called on it" if "hal_loader" in needs.modules else "its kernels are part of it"
    return Chosen(host_device(), f"the program is inline: it runs in Python's own memory, {how}")


def instantiate(
    module: VerifiedModule, needs: Needs, device: Device, parameters: Parameters | None
) -> Suspendable[Context]:
    """A context of the module on the device, initialised, its kernels compiled."""
    from webree.vm.context import Context
    from webree.vm.modules.hal import HalModule

    hal = HalModule([device])
    natives = [*_device_modules(needs, device, hal), *_other_modules(needs, parameters)]
    try:
        context = yield from Context.create(module, natives)
    except DeviceError:  # of the device itself: a limit that it lacks, a shader that it rejects
        raise
    except WebreeError as error:
        if error.status in (StatusCode.INCOMPATIBLE, StatusCode.UNAVAILABLE):
            if needs.is_inline and needs.formats:
                raise ModuleError(_explain_loader(needs), status=StatusCode.INCOMPATIBLE) from error
            if hal.queries:
                raise DeviceError(_explain(hal, device), status=StatusCode.INCOMPATIBLE) from error
        raise
    kernels = device.ready()
    if kernels is not None:
        try:
            yield kernels
        except BaseException:
            yield from context.close()
            raise
    return context


def _device_modules(needs: Needs, device: Device, hal: HalModule) -> Sequence[NativeModule]:
    if not needs.is_inline:
        return [hal]
    from webree.hal_local.host_device import HostDevice
    from webree.vm.modules.hal_inline import HalInlineModule

    assert isinstance(device, HostDevice)
    modules: list[NativeModule] = [HalInlineModule(device)]
    if "hal_loader" in needs.modules:
        from webree.vm.modules.hal_loader import HalLoaderModule

        modules.append(HalLoaderModule(device.counters))
    return modules


def _other_modules(needs: Needs, parameters: Parameters | None) -> Sequence[NativeModule]:
    if parameters is not None and "io_parameters" not in needs.modules:
        raise UsageError("parameters were passed, but all weights of this module are inside it")
    modules: list[NativeModule] = []
    wanted = needs.modules | needs.optional_modules
    if "io_parameters" in wanted:
        from webree.parameters.archive import open_parameters
        from webree.vm.modules.io_parameters import IoParametersModule

        modules.append(IoParametersModule(open_parameters(parameters)))
    if "check" in wanted:
        from webree.vm.modules.check import CheckModule

        modules.append(CheckModule())
    return modules


def _explain(hal: HalModule, device: Device) -> str:
    """What the program asked for in vain while it looked for a device."""
    ids = [key for category, key in hal.queries if category == "hal.device.id"]
    formats = [key for category, key in hal.queries if category == "hal.executable.format"]
    asked = " or ".join(repr(name) for name in dict.fromkeys(ids)) or "any device"
    kernels = f" with kernels in format {' or '.join(dict.fromkeys(formats))}" if formats else ""
    return (
        f"the module was compiled for device {asked}{kernels}; this device is {device.id!r} and takes "
        f"{', '.join(device.executable_formats)}. Compile the model for it with: webree compile MODEL --target "
        f"{'cpu' if device.id == 'local' else device.id}"
    )


def _explain_loader(needs: Needs) -> str:
    from webree.hal_local.host_kernels import LOADERS

    return (
        f"the module was compiled inline with kernels in format {' or '.join(needs.formats)}; this runtime calls "
        f"kernels in {', '.join(LOADERS)}. Compile the model with: webree compile MODEL --target cpu --execution-model "
        "inline-dynamic"
    )
