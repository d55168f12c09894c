"""The plan of a compile: targets, their profiles and the execution model, as frozen data.

Enters: the names that a caller gives. Leaves: a `Plan`, and from it the session flags, the attributes of the module
that tell MLIR's passes about the device, and the phases there are. A module for several targets has one host program
and one set of weights, and each kernel once per target; the device chosen at load decides which of them run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from webree.codegen_cpu import schedules as cpu_schedules
from webree.codegen_cpu.link import linker_flag
from webree.codegen_wgsl import schedules
from webree.compiler.cpu_target import CPU_PROFILES, LOCAL_DEVICE_ID, VMVX_PROFILES, CpuProfile
from webree.compiler.target import PROFILES as WEBGPU_PROFILES
from webree.compiler.target import Profile
from webree.errors import UsageError

__all__ = ["EXECUTION_MODELS", "PHASES", "PROFILES", "TARGETS", "Plan", "make_plan"]

TARGETS: dict[str, str] = {
    "webgpu": "WGSL kernels for WebGPU, natively and in the browser",
    "cpu": "WebAssembly kernels for the CPU, natively and in the browser",
    "vmvx": "bytecode kernels that the virtual machine itself runs, on any CPU",
}
"""In the order in which a module for several of them prefers them."""

EXECUTION_MODELS: dict[str, str] = {
    "async-internal": "functions return when their results are there (the default)",
    "async-external": "functions take a fence to wait for and one to signal",
    "inline-static": "no device: kernels are part of the host program (target vmvx)",
    "inline-dynamic": "no device: the host program calls kernels one after the other (targets cpu and vmvx)",
}

PROFILES: dict[str, tuple[Profile, ...] | tuple[CpuProfile, ...]] = {
    "webgpu": WEBGPU_PROFILES,
    "cpu": CPU_PROFILES,
    "vmvx": VMVX_PROFILES,
}
"""By target; the first is the default."""

PHASES: tuple[str, ...] = (
    "import",
    "input",
    "abi",
    "preprocessing",
    "global-optimization",
    "dispatch-creation",
    "flow",
    "stream",
    "executable-sources",
    "executable-configurations",
    "executable-targets",
    "hal",
    "vm",
)
"""Phases, as `--compile-to` takes them. `import` is the front end's result, the others are the compiler's."""

_FLAGS: tuple[str, ...] = (
    # One plain entry point instead of an asynchronous one and a wrapper: the VM suspends wherever it must.
    "--iree-torch-emit-async-entry-points=false",
    "--iree-opt-level=O1",
    # Done by a step of its own, which says so to the caller instead of printing it.
    "--iree-input-demote-f64-to-f32=false",
    # A violated assumption on shapes must be an error of the call, not a wrong answer.
    "--iree-opt-strip-assertions=false",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to compile for.

    Attributes:
        webgpu: profile of the target `webgpu`, or None if the module is not for it.
        cpu: profile of the target `cpu`, or None.
        vmvx: profile of the target `vmvx`, or None.
        execution_model: one of `EXECUTION_MODELS`.
    """

    webgpu: Profile | None = None
    cpu: CpuProfile | None = None
    vmvx: CpuProfile | None = None
    execution_model: str = "async-internal"

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets, in the order of `TARGETS`."""
        profiles = zip(TARGETS, (self.webgpu, self.cpu, self.vmvx), strict=True)
        return tuple(name for name, profile in profiles if profile is not None)

    @property
    def is_inline(self) -> bool:
        """True if the program has no device."""
        return self.execution_model.startswith("inline")

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases of this plan. Kernels of inline-static programs have none: they end in the program itself."""
        without = "executable-" if self.execution_model == "inline-static" else "-"
        return tuple(name for name in PHASES if not name.startswith(without))

    def session_flags(self, flags: Sequence[str] = ()) -> list[str]:
        """All session flags, the caller's last. Raises `CompileError` if something that they name is missing."""
        chosen = [*_FLAGS, f"--iree-execution-model={self.execution_model}"]
        if self.webgpu is not None:
            chosen += schedules.preprocessing_flags(self.webgpu)
        if self.cpu is not None:
            chosen += [linker_flag(), *cpu_schedules.preprocessing_flags(self.cpu)]
        if self.vmvx is not None and self.vmvx.microkernels:
            chosen += ["--iree-vmvx-enable-microkernels", "--iree-opt-data-tiling"]
        return [*chosen, *flags]

    def device_targets(self, *, half: bool) -> str:
        """MLIR text of the attribute `hal.device.targets`: one device that runs what each target makes.

        The stock compiler knows no WebGPU device, so that one is spelled as a Vulkan device; host.py gives the device
        its own name once the compiler no longer checks it. `half`: the module has f16.
        """
        executables = []
        if self.webgpu is not None:
            executables.append(self.webgpu.executable_target(half=half))
        for profile in (self.cpu, self.vmvx):
            if profile is not None:
                executables.append(profile.executable_target(inline_static=self.execution_model == "inline-static"))
        device = "vulkan" if self.webgpu is not None else LOCAL_DEVICE_ID
        return f'[#hal.device.target<"{device}", [{", ".join(executables)}]>]'

    def resource_config(self) -> str | None:
        """MLIR text of the attribute `stream.resources`; None leaves the compiler its own for CPUs."""
        return None if self.webgpu is None else self.webgpu.resource_config()


def make_plan(target: str, profile: str | None, execution_model: str) -> Plan:
    """The plan for names: `target` one or several with commas, `profile` none, or at most one per target.

    Raises `UsageError` with the names there are, or with what does not go together.
    """
    targets = _words("target", target, TARGETS)
    if execution_model not in EXECUTION_MODELS:
        raise UsageError(f"unknown execution model {execution_model!r}; there are {', '.join(EXECUTION_MODELS)}")
    _check_model(targets, execution_model)
    chosen = {name: PROFILES[name][0] for name in targets}
    for word in _words("profile", profile, _profile_names()) if profile is not None else ():
        owner = _profile_names()[word]
        if owner not in targets:
            of_targets = [known for known, name in _profile_names().items() if name in targets]
            raise UsageError(
                f"profile {word!r} is one of the target {owner!r}, and the target is {target!r}; "
                f"it has {', '.join(of_targets)}"
            )
        if chosen[owner] is not PROFILES[owner][0]:
            raise UsageError(f"two profiles of the target {owner!r} are given in {profile!r}; give one")
        chosen[owner] = next(candidate for candidate in PROFILES[owner] if candidate.name == word)
    webgpu, cpu, vmvx = (chosen.get(name) for name in TARGETS)
    assert webgpu is None or isinstance(webgpu, Profile)
    assert cpu is None or isinstance(cpu, CpuProfile)
    assert vmvx is None or isinstance(vmvx, CpuProfile)
    if cpu is not None and len(targets) > 1:
        cpu = replace(cpu, packed=False)
    if vmvx is not None and vmvx.microkernels and execution_model == "inline-static":
        raise UsageError(
            f"the profile {vmvx.name!r} is not for the execution model 'inline-static': the compiler cannot keep loops "
            f"there for the kernels that need them; take the profile {VMVX_PROFILES[0].name!r}, or inline-dynamic"
        )
    return Plan(webgpu, cpu, vmvx, execution_model)


def _words(what: str, text: str, known: dict[str, str]) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(","))
    for word in words:
        if word not in known:
            raise UsageError(f"unknown {what} {word!r}; there are {', '.join(known)}")
        if words.count(word) > 1:
            raise UsageError(f"{what} {word!r} is given twice in {text!r}")
    return words


def _profile_names() -> dict[str, str]:
    """Target by profile name."""
    return {profile.name: target for target, profiles in PROFILES.items() for profile in profiles}


def _check_model(targets: tuple[str, ...], execution_model: str) -> None:
    if not execution_model.startswith("inline"):
        return
    if "webgpu" in targets:
        raise UsageError(
            f"the execution model {execution_model!r} has no device, and WebGPU is one: its kernels run while the host "
            "program goes on. Compile for cpu or vmvx, or with async-internal or async-external"
        )
    if len(targets) > 1:
        raise UsageError(
            f"the execution model {execution_model!r} is for one target, not for {', '.join(targets)}: there is no "
            "device to choose the kernels by"
        )
    if execution_model == "inline-static" and targets != ("vmvx",):
        raise UsageError(
            "the execution model 'inline-static' makes the kernels part of the host program, which is bytecode: "
            "the target is vmvx. For WebAssembly kernels without a device take inline-dynamic"
        )
