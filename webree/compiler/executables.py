"""Executables: from the compiler's kernels to WGSL files, and back into the module.

Enters: the module at the phases `executable-sources` (what each dispatch is), `executable-targets` (its SPIR-V) and
`hal` (the host program with a placeholder for each executable). Leaves: one WGS1 file per executable in place of the
placeholder. Every kernel is checked against the profile, so that what compiles also loads on every such device.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from webree.compiler.merge import MERGED
from webree.compiler.statistics import DispatchStatistics, measure
from webree.compiler.target import EXECUTABLE_FORMAT, Profile
from webree.errors import CompileError
from webree.module.executable import (
    BINDING_INDIRECT,
    BINDING_READ_ONLY,
    ExecutableExport,
    ExecutableFile,
    ShaderModule,
    write_executable,
)

if TYPE_CHECKING:
    from webree.codegen_wgsl.translate import WgslExport, WgslShader

__all__ = ["Kernels", "dispatch_statistics", "insert_binaries", "merge_kernels", "translate_executables", "variants"]

_BINDING = re.compile(r'#hal\.pipeline\.binding<(?P<kind>\w+)(?:, (?:"(?P<flags>[^"]*)"|(?P<flag>\w+)))?>')
_CONSTANTS = re.compile(r"constants = (\d+)")
_NO_STATISTICS = DispatchStatistics(-1, -1, 0, (), "")


@dataclass(frozen=True, slots=True)
class Kernels:
    """One executable, translated.

    Attributes:
        symbol: the executable's symbol in the module.
        file: what goes into the module.
        data: the same as bytes.
    """

    symbol: str
    file: ExecutableFile
    data: bytes


@dataclass(frozen=True, slots=True)
class _Layout:
    constant_count: int
    binding_flags: tuple[int, ...]


def dispatch_statistics(module: Any) -> dict[str, DispatchStatistics]:
    """Statistics and description by export name, from a module at `executable-sources`."""
    statistics: dict[str, DispatchStatistics] = {}
    for _symbol, variant in variants(module, EXECUTABLE_FORMAT):
        exports = [_symbol_of(op) for op in _children(variant) if op.name == "hal.executable.export"]
        functions = {
            _symbol_of(op): op
            for inner in _children(variant)
            if inner.name == "builtin.module"
            for op in _children(inner)
            if op.name in ("func.func", "util.func")
        }
        statistics.update({name: measure(functions[name]) for name in exports if name in functions})
    return statistics


def translate_executables(
    module: Any, profile: Profile, statistics: Mapping[str, DispatchStatistics], half_sums: Collection[str] = ()
) -> tuple[Kernels, ...]:
    """All executables of a module at `executable-targets`, in its order. Raises `CompileError`.

    `half_sums`: exports whose sums are rounded to f16 at every step, where the profile has no f16."""
    return tuple(
        _translate(symbol, variant, profile, statistics, half_sums)
        for symbol, variant in variants(module, EXECUTABLE_FORMAT)
    )


def merge_kernels(kernels: tuple[Kernels, ...]) -> tuple[Kernels, ...]:
    """One file of all kernels, as `webree.compiler.merge` merges the executables."""
    if not kernels:
        return ()
    files = [item.file for item in kernels]
    limits: dict[str, int] = {}
    for file in files:
        for name, value in file.required_limits:
            limits[name] = max(value, limits.get(name, value))
    file = ExecutableFile(
        exports=tuple(
            replace(export, shader_module=number) for number, file in enumerate(files) for export in file.exports
        ),
        shader_modules=tuple(file.shader_modules[0] for file in files),
        profile=files[0].profile,
        required_limits=tuple(sorted(limits.items())),
        required_features=tuple(sorted({feature for file in files for feature in file.required_features})),
    )
    return (Kernels(MERGED, file, write_executable(file)),)


def insert_binaries(module: Any, kernels: tuple[Kernels, ...]) -> None:
    """Replace the data of WebGPU's executables in a module at `hal`."""
    from iree.compiler import ir

    by_symbol = {item.symbol: item.data for item in kernels}
    with module.context, ir.Location.unknown():
        for op in _children(module):
            if op.name != "hal.executable":
                continue
            for binary in _children(op):
                if binary.name == "hal.executable.binary" and _format_of(binary) == EXECUTABLE_FORMAT:
                    data = by_symbol[_symbol_of(op)]
                    kind = ir.VectorType.get([len(data)], ir.IntegerType.get_signless(8))
                    binary.attributes["data"] = ir.DenseElementsAttr.get(memoryview(data), type=kind)
                    binary.attributes["mime_type"] = ir.StringAttr.get("application/x-flatbuffers")


def _translate(
    symbol: str,
    variant: Any,
    profile: Profile,
    statistics: Mapping[str, DispatchStatistics],
    half_sums: Collection[str],
) -> Kernels:
    from webree.codegen_wgsl.translate import translate_executable

    layouts = {
        _symbol_of(op): _layout(str(op.attributes["layout"]))
        for op in _children(variant)
        if op.name == "hal.executable.export"
    }
    inner = next(op for op in _children(variant) if op.name == "builtin.module")
    described = {name: statistics.get(name, _NO_STATISTICS) for name in layouts}
    shader = translate_executable(
        inner,
        read_only_bindings={
            name: [_is_constant(flags) for flags in layout.binding_flags] for name, layout in layouts.items()
        },
        describe={name: item.description for name, item in described.items()},
        features=profile.features,
        round_sums=not layouts.keys().isdisjoint(half_sums),
    )
    by_name = {export.name: export for export in shader.exports}
    for name, layout in layouts.items():
        _check(by_name[name], layout, described[name], profile)
    file = _executable_file(shader, layouts, described, profile)
    return Kernels(symbol, file, write_executable(file))


def _executable_file(
    shader: WgslShader,
    layouts: Mapping[str, _Layout],
    described: Mapping[str, DispatchStatistics],
    profile: Profile,
) -> ExecutableFile:
    by_name = {export.name: export for export in shader.exports}
    exports = tuple(
        ExecutableExport(
            name=name,
            entry_point=by_name[name].entry_point,
            shader_module=0,
            workgroup_size=by_name[name].workgroup_size,
            constant_count=layout.constant_count,
            binding_flags=layout.binding_flags,
            flops=described[name].flops,
            byte_count=described[name].byte_count,
        )
        for name, layout in layouts.items()
    )
    features = sorted(frozenset().union(*(export.requires for export in shader.exports)))
    return ExecutableFile(
        exports=exports,
        shader_modules=(ShaderModule.from_text(shader.source),),
        profile=profile.name,
        required_limits=_required_limits(shader.exports, layouts, profile),
        required_features=tuple(features),
    )


def _required_limits(
    exports: tuple[WgslExport, ...], layouts: Mapping[str, _Layout], profile: Profile
) -> tuple[tuple[str, int], ...]:
    """What these kernels need, not what the profile has: a lesser device may still run them."""
    needs = {
        "max_storage_buffers_per_shader_stage": max(len(layout.binding_flags) for layout in layouts.values()),
        "max_compute_workgroup_storage_size": max(export.workgroup_memory_bytes for export in exports),
        "max_compute_invocations_per_workgroup": max(_invocations(export) for export in exports),
        "max_compute_workgroup_size_x": max(export.workgroup_size[0] for export in exports),
        "max_compute_workgroup_size_y": max(export.workgroup_size[1] for export in exports),
        "max_compute_workgroup_size_z": max(export.workgroup_size[2] for export in exports),
        "min_storage_buffer_offset_alignment": profile.limits.min_storage_buffer_offset_alignment,
    }
    return tuple(sorted(needs.items()))


def _check(export: WgslExport, layout: _Layout, described: DispatchStatistics, profile: Profile) -> None:
    """That a kernel stays within its profile. Raises `CompileError` with both numbers."""
    limits = profile.limits
    checks = [
        ("storage buffers", len(layout.binding_flags), limits.max_storage_buffers_per_shader_stage),
        ("bytes of constants", 16 * -(-layout.constant_count // 4), limits.max_uniform_buffer_binding_size),
        ("bytes in one tensor", described.largest_tensor_bytes, limits.max_storage_buffer_binding_size),
        ("bytes of workgroup memory", export.workgroup_memory_bytes, limits.max_compute_workgroup_storage_size),
        ("invocations in a workgroup", _invocations(export), limits.max_compute_invocations_per_workgroup),
    ]
    axes = zip("xyz", export.workgroup_size, limits.max_compute_workgroup_size, strict=True)
    checks += [(f"invocations in {axis}", size, limit) for axis, size, limit in axes]
    for what, found, limit in checks:
        if found > limit:
            raise _outside(
                f"needs {found} {what}; the profile {profile.name!r} has {limit}. "
                "Compile for a profile with more (webgpu-large), or split the operation",
                export,
                described,
            )
    missing = sorted(export.requires - profile.features)
    if missing:
        raise _outside(
            f"needs the WebGPU feature {', '.join(missing)}, which the profile {profile.name!r} does not have",
            export,
            described,
        )


def _outside(what: str, export: WgslExport, described: DispatchStatistics) -> CompileError:
    location = described.locations[0] if described.locations else None
    where = f"{location}: " if location else ""
    return CompileError(f"{where}kernel {export.name} {what}", op=export.name, location=location, unsupported=True)


def _invocations(export: WgslExport) -> int:
    x, y, z = export.workgroup_size
    return x * y * z


def _is_constant(flags: int) -> bool:
    return flags & (BINDING_READ_ONLY | BINDING_INDIRECT) == BINDING_READ_ONLY


def _layout(text: str) -> _Layout:
    """A `#hal.pipeline.layout` attribute, from its text (the bindings offer no accessors)."""
    constants = _CONSTANTS.search(text)
    flags = []
    for match in _BINDING.finditer(text):
        words = (match["flags"] or match["flag"] or "").split("|")
        flags.append(
            (BINDING_READ_ONLY if "ReadOnly" in words else 0) | (BINDING_INDIRECT if "Indirect" in words else 0)
        )
    return _Layout(int(constants.group(1)) if constants else 0, tuple(flags))


def variants(module: Any, executable_format: str) -> Iterator[tuple[str, Any]]:
    """Each executable's symbol and its variant for a format, in a module at one of the `executable-` phases."""
    name = executable_format.replace("-", "_")
    for op in _children(module):
        if op.name == "hal.executable":
            for variant in _children(op):
                if variant.name == "hal.executable.variant" and _symbol_of(variant) == name:
                    yield _symbol_of(op), variant


def _children(op: Any) -> list[Any]:
    return [inner.operation for region in op.regions for block in region for inner in block]


def _symbol_of(op: Any) -> str:
    from iree.compiler import ir

    return str(ir.StringAttr(op.attributes["sym_name"]).value)


def _format_of(binary: Any) -> str:
    from iree.compiler import ir

    return str(ir.StringAttr(binary.attributes["format"]).value)
