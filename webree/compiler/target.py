"""WebGPU's profiles: what a compiled module may ask of a WebGPU device, as frozen data.

Enters: a profile. Leaves: the attributes that make MLIR's passes plan within its limits: an executable target (what
kernels may do) and a resource configuration (how buffers may be laid out). The stock compiler knows no WebGPU code
generator, so the executable target is spelled as a Vulkan one with our format.
Limits: https://www.w3.org/TR/webgpu/#limits
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["DEVICE_ID", "EXECUTABLE_FORMAT", "PROFILES", "Limits", "Profile"]

EXECUTABLE_FORMAT = "webgpu-wgsl-fb"
DEVICE_ID = "webgpu"


@dataclass(frozen=True, slots=True)
class Limits:
    """Device limits by their WebGPU names; the defaults are the standard's, which every WebGPU device offers."""

    max_storage_buffers_per_shader_stage: int = 8
    max_storage_buffer_binding_size: int = 128 << 20
    max_buffer_size: int = 256 << 20
    min_storage_buffer_offset_alignment: int = 256
    max_uniform_buffer_binding_size: int = 64 << 10
    max_compute_workgroup_storage_size: int = 16 << 10
    max_compute_invocations_per_workgroup: int = 256
    max_compute_workgroup_size_x: int = 256
    max_compute_workgroup_size_y: int = 256
    max_compute_workgroup_size_z: int = 64
    max_compute_workgroups_per_dimension: int = 65535

    @property
    def max_compute_workgroup_size(self) -> tuple[int, int, int]:
        """Invocations of one workgroup in x, y and z."""
        return (self.max_compute_workgroup_size_x, self.max_compute_workgroup_size_y, self.max_compute_workgroup_size_z)


@dataclass(frozen=True, slots=True)
class Profile:
    """A class of devices to compile for.

    Attributes:
        name: as `--profile` takes it and the executables record it.
        summary: one line for people.
        limits: what a module may need; a device with less is refused at load.
        features: WebGPU feature names that kernels may use (`shader-f16`).
        software: schedules should suit an adapter on a CPU (no workgroup memory, wide vectors, few barriers).
        subgroup_size: assumed width of a hardware subgroup, for tile choices only (no subgroup operations are used).
    """

    name: str
    summary: str
    limits: Limits = field(default_factory=Limits)
    features: frozenset[str] = frozenset()
    software: bool = False
    subgroup_size: int = 32

    def executable_target(self, *, half: bool = False) -> str:
        """MLIR text of the executable target.

        `half` keeps f16 in kernels for modules that have it: without, the passes lay f16 buffers out as f32. Where
        the profile has no f16, the translator computes it as f32. All types of 16 bits are laid out in one way, so
        that i16 comes along (bf16 is stored as i16); the translator computes it as i32.
        """
        limits = self.limits
        sizes = ", ".join(str(size) for size in limits.max_compute_workgroup_size)
        counts = ", ".join([str(limits.max_compute_workgroups_per_dimension)] * 3)
        compute, storage = "fp32|int32", "b32"
        if half:
            compute, storage = "fp32|fp16|int16|int32", "b32|b16"
        gpu = (
            f'#iree_gpu.target<arch = "{DEVICE_ID}", features = "spirv:v1.3,cap:Shader", wgp = <compute = {compute}, '
            f"storage = {storage}, subgroup = none, subgroup_size_choices = [{self.subgroup_size}], "
            f"max_workgroup_sizes = [{sizes}], "
            f"max_thread_count_per_workgroup = {limits.max_compute_invocations_per_workgroup}, "
            f"max_workgroup_memory_bytes = {limits.max_compute_workgroup_storage_size}, "
            f"max_workgroup_counts = [{counts}]>>"
        )
        return f'#hal.executable.target<"vulkan-spirv", "{EXECUTABLE_FORMAT}", {{iree_codegen.target_info = {gpu}}}>'

    def resource_config(self) -> str:
        """MLIR text of the resource configuration for `stream.resources`.

        Mutable bindings alias: one buffer appears once in a dispatch, because WebGPU forbids it to be bound both for
        reading and for writing. A kernel sees the whole of an allocation, so the smaller of the two size limits
        holds for allocations."""
        limits = self.limits
        allocation = min(limits.max_buffer_size, limits.max_storage_buffer_binding_size)
        return (
            f"#stream.resource_config<{{max_allocation_size = {allocation}, "
            f"min_buffer_offset_alignment = {limits.min_storage_buffer_offset_alignment}, "
            f"max_buffer_range = {limits.max_storage_buffer_binding_size}, "
            f"min_buffer_range_alignment = {limits.min_storage_buffer_offset_alignment}, "
            "index_bits = 32, alias_mutable_bindings = true}>"
        )


PROFILES: tuple[Profile, ...] = (
    Profile("webgpu", "any WebGPU device: the standard's default limits, no optional features"),
    Profile("webgpu-software", "the same limits, kernels shaped for SwiftShader and lavapipe", software=True),
    Profile("webgpu-f16", "devices with shader-f16: halves computed as halves", features=frozenset({"shader-f16"})),
    Profile(
        "webgpu-large",
        "devices with bindings of 1 GiB: single tensors above 128 MiB",
        limits=Limits(max_storage_buffer_binding_size=1 << 30, max_buffer_size=1 << 30),
    ),
)
