"""Executables on a WebGPU device: WGSL modules of a `WGS1` file made into pipelines, identical shaders once.

Enters: a parsed executable file (webree.module.executable) and the device's limits. Leaves: a `WebGpuExecutable` whose
kernels have pipeline handles; compilation goes on in the background. Entry points are looked up by the export's name.

A binding that the kernel only reads is declared `read` in WGSL only if it is a constant (never part of a slab that the
same dispatch may write): see `ExecutableExport.binding_read_only` and docs/module-format.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from webree.errors import DeviceError, ModuleError, StatusCode
from webree.hal.device import AdapterInfo
from webree.hal.executable import Executable, ExportInfo
from webree.hal_webgpu.backend import Backend, PipelineSpec, ShaderSpec
from webree.module.executable import BINDING_READ_ONLY
from webree.module.source import ByteSource

if TYPE_CHECKING:
    from webree.hal_webgpu.device import WebGpuDevice
    from webree.module.executable import ExecutableExport, ExecutableFile

__all__ = ["FORMAT", "Kernel", "PipelineCache", "WebGpuExecutable", "check_requirements"]

FORMAT = "webgpu-wgsl-fb"

_EXPORT_LIMITS = (
    ("max_compute_workgroup_size_x", "workgroup width", lambda export: export.workgroup_size[0]),
    ("max_compute_workgroup_size_y", "workgroup height", lambda export: export.workgroup_size[1]),
    ("max_compute_workgroup_size_z", "workgroup depth", lambda export: export.workgroup_size[2]),
    ("max_compute_invocations_per_workgroup", "invocations in a workgroup", lambda export: _invocations(export)),
    ("max_storage_buffers_per_shader_stage", "storage buffers", lambda export: len(export.binding_flags)),
)
"""Limit, what it counts, how much of it an export uses."""


PipelineKey = tuple[bytes, str, tuple[bool, ...], bool]
"""Digest of the shader's text, entry point, read-only bindings, whether it has constants."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One export, ready to be recorded.

    Attributes:
        info: what the host program sees.
        pipeline: the backend's handle.
        binding_writes: for every binding, whether the kernel may write it (a binding can be read-only in effect and
            still be declared writable, because of WebGPU's whole-buffer rule).
    """

    info: ExportInfo
    pipeline: int
    binding_writes: tuple[bool, ...]


class WebGpuExecutable(Executable):
    """Attributes: `kernels`, one an export, in the file's order; `exports`, what the host sees of them."""

    def __init__(self, device: WebGpuDevice, kernels: tuple[Kernel, ...], sources: tuple[ByteSource, ...]) -> None:
        self.device = device
        self.kernels = kernels
        self.exports = tuple(kernel.info for kernel in kernels)
        self._sources = sources

    def wgsl(self, ordinal: int) -> str | None:
        source = self._sources[ordinal]
        return bytes(source.read(0, source.size)).decode()


class PipelineCache:
    """Pipelines of a device by (shader text, entry point, layout), so that equal kernels are compiled once."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._handles: dict[PipelineKey, int] = {}
        self._compiling: set[PipelineKey] = set()

    def load(self, device: WebGpuDevice, file: ExecutableFile) -> WebGpuExecutable:
        """Start compiling what is new in `file`, for `device`, whose cache this is."""
        sources = tuple(module.wgsl for module in file.shader_modules)
        digests = [sha256(source.read(0, source.size)).digest() for source in sources]
        keys = [_pipeline_key(file, ordinal, export, digests) for ordinal, export in enumerate(file.exports)]
        self._create(file.exports, keys, sources)
        kernels = tuple(
            Kernel(
                _info(export), self._handles[key], tuple(not flag & BINDING_READ_ONLY for flag in export.binding_flags)
            )
            for export, key in zip(file.exports, keys, strict=True)
        )
        return WebGpuExecutable(device, kernels, tuple(sources[export.shader_module] for export in file.exports))

    def settle(self, succeeded: bool) -> None:
        """Compilation of everything so far is over. After a failure what it may concern is compiled anew when it is
        next loaded, so that loading a bad shader again is an error again."""
        if not succeeded:
            for key in self._compiling:
                del self._handles[key]
        self._compiling.clear()

    def compile(self, label: str, source: ByteSource, binding_read_only: tuple[bool, ...]) -> int:
        """A single pipeline with constants whose entry point is its label: the driver's own kernels."""
        spec = PipelineSpec(label, 0, label, binding_read_only, has_constants=True)
        return self._backend.create_pipelines([ShaderSpec(label, source)], [spec])[0]

    def _create(
        self,
        exports: tuple[ExecutableExport, ...],
        keys: list[PipelineKey],
        sources: tuple[ByteSource, ...],
    ) -> None:
        shaders: dict[bytes, tuple[int, ShaderSpec]] = {}
        specs: dict[PipelineKey, PipelineSpec] = {}
        for export, key in zip(exports, keys, strict=True):
            if key in self._handles or key in specs:
                continue
            digest, entry_point, binding_read_only, has_constants = key
            shader = ShaderSpec(export.name, sources[export.shader_module])
            index, _ = shaders.setdefault(digest, (len(shaders), shader))
            specs[key] = PipelineSpec(export.name, index, entry_point, binding_read_only, has_constants)
        if specs:
            handles = self._backend.create_pipelines([shader for _, shader in shaders.values()], list(specs.values()))
            self._handles.update(zip(specs, handles, strict=True))
            self._compiling.update(specs)


def check_requirements(file: ExecutableFile, info: AdapterInfo) -> None:
    """Raise `DeviceError` if the file needs a limit or a feature that the device does not have, with both numbers."""
    missing = [
        f"{name}={needed} (this adapter has {_available(info.limits, name)})"
        for name, needed in file.required_limits
        if not _suffices(info.limits, name, needed)
    ]
    missing += [f"the feature {name!r}" for name in file.required_features if name not in info.features]
    if missing:
        profile = f", compiled for profile {file.profile!r}," if file.profile else ""
        raise DeviceError(
            f"the module{profile} needs {', '.join(missing)}; adapter: {info.name}. "
            "Compile it with another --profile or use another adapter",
            status=StatusCode.INCOMPATIBLE,
        )
    for export in file.exports:
        for name, what, use in _EXPORT_LIMITS:
            limit = info.limits.get(name)
            if limit is not None and use(export) > limit:
                raise DeviceError(
                    f"kernel {export.name!r} has {use(export)} {what}; "
                    f"this adapter ({info.name}) allows {limit} ({name})",
                    status=StatusCode.INCOMPATIBLE,
                )


def _suffices(limits: Mapping[str, int], name: str, needed: int) -> bool:
    """Limits called `min…` (alignments) are better when smaller; an unknown limit counts as missing."""
    available = limits.get(name)
    if available is None:
        return False
    return available <= needed if name.startswith("min_") else available >= needed


def _available(limits: Mapping[str, int], name: str) -> str:
    return str(limits[name]) if name in limits else "no such limit"


def _invocations(export: ExecutableExport) -> int:
    x, y, z = export.workgroup_size
    return x * y * z


def _pipeline_key(file: ExecutableFile, ordinal: int, export: ExecutableExport, digests: list[bytes]) -> PipelineKey:
    if not 0 <= export.shader_module < len(digests):
        raise ModuleError(
            f"shader module {export.shader_module} of {len(digests)}", where=f"executable export {ordinal}"
        )
    digest = digests[export.shader_module]
    return digest, export.entry_point, export.binding_read_only, export.constant_count > 0


def _info(export: ExecutableExport) -> ExportInfo:
    return ExportInfo(
        name=export.name,
        workgroup_size=export.workgroup_size,
        constant_count=export.constant_count,
        binding_read_only=export.binding_read_only,
        flops=export.flops,
        byte_count=export.byte_count,
    )
