"""The compiler's phases in order: from a model's MLIR to a module file.

Enters: a module as a front end made it (an in-memory operation in the session's context). Leaves: the bytes of a
`.vmfb`, or the MLIR text of the phase that the caller wants to see. Up to `executable-sources` the phases are MLIR's
and IREE's own: input conversion, fusion, dispatch formation, scheduling, memory packing. There each kernel is still
linalg on tensors, and the schedules are chosen. `executable-targets` lowers the kernels: WebGPU's to the SPIR-V
dialect, which webree.codegen_wgsl translates, the CPU's to LLVM's, which `hal` makes a WebAssembly library of. `hal`
and `vm` lower the host program around them. What the phases leave to be done is done between them, in `_finish`.
Between phases the module stays in memory; nothing makes a round trip through text.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from webree.codegen_cpu import schedules as cpu_schedules
from webree.codegen_cpu.conversions import write_out_conversions
from webree.codegen_wgsl import schedules
from webree.compiler.accumulators import Accumulator, set_accumulators
from webree.compiler.bindings import limit_operands
from webree.compiler.check_dialect import prepare_checks
from webree.compiler.classes import write_out_classes
from webree.compiler.constants import outline_constants
from webree.compiler.cpu_target import VMVX_PROFILES, WASM_FORMAT
from webree.compiler.demotion import demote, demote_f64
from webree.compiler.erfc import write_out_erfc
from webree.compiler.executables import (
    Kernels,
    dispatch_statistics,
    insert_binaries,
    merge_kernels,
    translate_executables,
    variants,
)
from webree.compiler.extents import compare_extents
from webree.compiler.frontends import ImportedModel
from webree.compiler.half_functions import widen_half_functions
from webree.compiler.half_sums import separate_sums
from webree.compiler.host import insert_libraries, name_device
from webree.compiler.in_place import protect_read_values
from webree.compiler.inline import check_parameters, keep_constants
from webree.compiler.integers import write_out_integer_powers, write_out_integers
from webree.compiler.linalg_ext import prepare_linalg_ext
from webree.compiler.merge import merge_executables
from webree.compiler.microkernels import loops_where_needed, same_target
from webree.compiler.parameters import ParameterFile, WeightNames
from webree.compiler.plan import PHASES, Plan
from webree.compiler.powers import write_out_powers
from webree.compiler.ranges import narrow_ranges
from webree.compiler.session import Session
from webree.compiler.signatures import (
    UnsignedTypes,
    check_fenced_results,
    declare_unsigned,
    set_accumulator,
    set_names,
    unsigned_types,
)
from webree.compiler.slices import drop_idle_strides, pick_from_whole
from webree.compiler.stablehlo import explain_custom_call, repair_stablehlo
from webree.compiler.state import keep_order, separate_state
from webree.compiler.statistics import DispatchStatistics
from webree.compiler.subbytes import unpack_subbytes
from webree.compiler.target import EXECUTABLE_FORMAT
from webree.compiler.unread_rows import cut_unread_rows
from webree.compiler.weights_codes import widen_nibbles
from webree.compiler.weights_quantized import keep_quantized
from webree.compiler.written_ranges import bind_parts
from webree.errors import CompileError, UsageError

__all__ = ["Pipeline", "check_phase", "module_text", "write_file"]

_WHAT = {
    "input": "conversion of the model to linalg",
    "abi": "lowering of the model's functions to the calling convention",
    "preprocessing": "preprocessing",
    "global-optimization": "optimisation of the whole model",
    "dispatch-creation": "fusion of operations into kernels",
    "flow": "forming of kernels",
    "stream": "scheduling and memory planning",
    "executable-sources": "preparation of the kernels",
    "executable-configurations": "choice of the kernels' schedules",
    "executable-targets": "code generation of a kernel",
    "hal": "lowering of the host program",
    "vm": "lowering of the host program",
}

_ELIDED_ELEMENTS = 64
_ELIDED_BYTES = 256

# Steps in order with their usual share of the time, for the progress fraction.
_SHARES: dict[str, int] = {
    "import": 8,
    "input": 6,
    "abi": 1,
    "preprocessing": 2,
    "global-optimization": 12,
    "dispatch-creation": 6,
    "flow": 4,
    "stream": 10,
    "executable-sources": 4,
    "schedules": 2,
    "executable-configurations": 6,
    "executable-targets": 25,
    "wgsl": 10,
    "hal": 8,
    "vm": 4,
    "module": 2,
}


@dataclass
class Pipeline:
    """One compile.

    Attributes:
        session: owns the module's context and has the plan's flags set.
        plan: what to compile for.
        progress: called as each step begins, with its name and the fraction of the work behind it.
        dump_phases: folder for `NN-phase.mlir`, constants left out, or None.
        dump_wgsl: folder for one `.wgsl` per executable, or None.
        dump_wasm: folder for the `.wasm` libraries, or None.
        parameters: the file that gets the weights, or None to keep them in the module.
        demotions: number types to be narrowed, of `webree.compiler.demotion.DEMOTIONS`.
        accumulate: what sums of f16 are accumulated in.
        kernels: the executables for WebGPU, once they are translated.
        seconds: time of each finished step.
        warnings: what the caller should know about the result.
    """

    session: Session
    plan: Plan
    progress: Callable[[str, float], None] | None = None
    dump_phases: Path | None = None
    dump_wgsl: Path | None = None
    dump_wasm: Path | None = None
    parameters: ParameterFile | None = None
    demotions: tuple[str, ...] = ()
    accumulate: Accumulator = "f32"
    kernels: tuple[Kernels, ...] = field(default=(), init=False)
    seconds: dict[str, float] = field(default_factory=dict, init=False)
    warnings: list[str] = field(default_factory=list, init=False)
    _unsigned: dict[str, UnsignedTypes] = field(default_factory=dict, init=False)
    _statistics: dict[str, DispatchStatistics] = field(default_factory=dict, init=False)
    _half_sums: frozenset[str] = field(default=frozenset(), init=False)
    _step: str | None = field(default=None, init=False)
    _began: float = field(default=0.0, init=False)

    def compile(self, imported: ImportedModel) -> bytes:
        """All phases: the module file. Raises `CompileError`."""
        module = self.lower_to(imported, "vm")
        self.step("module")
        data = self.session.emit(module, start="vm")
        self.step(None)
        return data

    def lower_to(self, imported: ImportedModel, end: str) -> Any:
        """The phases up to and with `end`; returns the module as it is then. Raises `CompileError`."""
        module = imported.module
        self._dump(module, "import")
        if end == "import":
            return module
        self._unsigned = unsigned_types(module)
        if self.parameters is not None:
            self.parameters.names = WeightNames.of(module)
        module = self._input(imported)
        if end != "input":
            self._prepare(module)
        phase = "input"
        phases = self.plan.phases
        for following in phases[phases.index("input") + 1 : phases.index(end) + 1]:
            if following == "executable-configurations":
                self._schedule(module)
            module = self._phase(module, phase, following)
            phase = following
            self._finish(module, phase)
        return module

    def _input(self, imported: ImportedModel) -> Any:
        """The phase `input`, and what the plan makes of the model before any kernel is formed."""
        repair_stablehlo(imported.module)
        try:
            module = self._phase(imported.module, None, "input")
        except CompileError as error:
            explain = imported.explain or explain_custom_call
            raise explain(error) from error
        prepare_checks(module)
        prepare_linalg_ext(module, keep_results=self.plan.webgpu is not None)
        cut_unread_rows(module)
        for name in self.demotions:
            self.warnings += demote(self.session, module, name, self._unsigned)
        if self.plan.webgpu is not None:
            self.warnings += demote_f64(self.session, module)
        set_accumulators(module, self.accumulate)
        if self.plan.execution_model == "async-external":
            check_fenced_results(module)
        if self.plan.is_inline:
            check_parameters(module, self.plan.execution_model)
        keep_order(module)
        separate_state(module)
        self._set_target(module)
        set_names(module, imported.signatures)
        if self.accumulate != "f32":
            set_accumulator(module, self.accumulate)
        compare_extents(module)
        return module

    def _finish(self, module: Any, phase: str) -> None:
        """What a phase of the compiler leaves to be done."""
        match phase:
            case "abi":
                declare_unsigned(module, self._unsigned)
            case "global-optimization":
                outline_constants(module)
                if self.parameters is not None:
                    self.parameters.export(self.session, module)
                if self.plan.webgpu is not None:
                    limit_operands(module, self.plan.webgpu.limits.max_storage_buffers_per_shader_stage)
            case "flow":
                protect_read_values(module)
                if self.plan.cpu is not None:
                    write_out_conversions(module)
            case "stream" if self.plan.is_inline:
                keep_constants(module)
            case "stream" if self.plan.webgpu is not None:
                bind_parts(module)
            case "executable-configurations":  # amends what the compiler chose
                for _, kernels in variants(module, EXECUTABLE_FORMAT):
                    schedules.make_safe(kernels)
                if self.plan.cpu is not None:
                    for _, kernels in variants(module, WASM_FORMAT):
                        cpu_schedules.annotate(kernels, self.plan.cpu)
            case "executable-targets":
                self._translate(module)
            case "hal":
                insert_binaries(module, self.kernels)
                self._dump_wasm(insert_libraries(module))
                name_device(module, self.plan)

    def _translate(self, module: Any) -> None:
        """WebGPU's kernels to WGSL; all kernels of a module for several targets into one executable."""
        if self.plan.vmvx is not None:
            same_target(module, self.plan.vmvx)
        if self.plan.webgpu is not None:
            self.step("wgsl")
            self.kernels = translate_executables(module, self.plan.webgpu, self._statistics, self._half_sums)
            self._dump_wgsl()
        if len(self.plan.targets) > 1:
            merge_executables(module)
            self.kernels = merge_kernels(self.kernels)

    def step(self, name: str | None) -> None:
        """Say that a step begins (None: that the last one is done)."""
        now = time.perf_counter()
        if self._step is not None:
            self.seconds[self._step] = now - self._began
        self._step, self._began = name, now
        if self.progress is not None and name is not None:
            steps = list(_SHARES)
            behind = sum(_SHARES[step] for step in steps[: steps.index(name)])
            self.progress(name, behind / sum(_SHARES.values()))

    def _prepare(self, module: Any) -> None:
        """Layouts. Targets in one module share the weights, so that WebGPU's layouts hold for all of them."""
        if self.plan.webgpu is not None:
            schedules.prepare(module, self.plan.webgpu)
            keep_quantized(module)
            if self.plan.cpu is not None:
                cpu_schedules.prepare_shared(module, self.plan.cpu)
        elif self.plan.cpu is not None:
            cpu_schedules.prepare(module, self.plan.cpu)
        widen_nibbles(module)
        if self.plan.webgpu is not None:
            unpack_subbytes(module)

    def _schedule(self, module: Any) -> None:
        self.step("schedules")
        write_out_powers([module])
        write_out_integer_powers([module])
        widen_half_functions([module])
        write_out_erfc([module])
        if self.plan.webgpu is None:
            write_out_classes([module])
        else:
            write_out_classes([kernel for _, kernel in variants(module, WASM_FORMAT)])
        if self.plan.vmvx is not None and self.plan.vmvx.microkernels:
            loops_where_needed(module, VMVX_PROFILES[0])
        if self.plan.webgpu is not None:
            narrow_ranges(module)
            self._statistics = dispatch_statistics(module)
            kernels = [variant for _, variant in variants(module, EXECUTABLE_FORMAT)]
            pick_from_whole(kernels)
            drop_idle_strides(kernels)
            write_out_integers(kernels)
            if self.accumulate == "f16" and "shader-f16" not in self.plan.webgpu.features:
                self._half_sums = separate_sums(kernels)
            for kernel in kernels:
                schedules.annotate(kernel, self.plan.webgpu)

    def _phase(self, module: Any, start: str | None, end: str) -> Any:
        """One phase. The compiler has no phases for the kernels of inline programs; they take a device program's up to
        `executable-targets`, and the lowering of the host program begins at `stream` and finds them done."""
        self.step(end)
        if self.plan.execution_model == "inline-dynamic":
            model = "async-internal" if end.startswith("executable-") else "inline-dynamic"
            self.session.set_flags([f"--iree-execution-model={model}"])
            start = "stream" if end == "hal" else start
        module = self.session.run(module, start=start, end=end, what=_WHAT[end])
        self._dump(module, end)
        return module

    def _set_target(self, module: Any) -> None:
        from iree.compiler import ir

        with module.context:
            targets = self.plan.device_targets(half=_has_half(module))
            module.attributes["hal.device.targets"] = ir.Attribute.parse(targets)
            if (resources := self.plan.resource_config()) is not None:
                module.attributes["stream.resources"] = ir.Attribute.parse(resources)

    def _dump(self, module: Any, phase: str) -> None:
        if self.dump_phases is not None:
            text = module.get_asm(large_elements_limit=_ELIDED_ELEMENTS, large_resource_limit=_ELIDED_BYTES)
            write_file(self.dump_phases / f"{PHASES.index(phase):02}-{phase}.mlir", text.encode())

    def _dump_wgsl(self) -> None:
        if self.dump_wgsl is not None:
            for item in self.kernels:
                path = self.dump_wgsl / f"{_file_name(item.symbol)}.wgsl"
                write_file(path, item.file.shader_modules[0].text().encode())

    def _dump_wasm(self, libraries: Mapping[str, bytes]) -> None:
        if self.dump_wasm is not None:
            for symbol, data in libraries.items():
                write_file(self.dump_wasm / f"{_file_name(symbol)}.wasm", data)


def module_text(module: Any) -> str:
    """The whole module as MLIR text, constants included, without the attributes that name the target."""
    for name in ("hal.device.targets", "stream.resources"):
        if name in module.attributes:
            del module.attributes[name]
    return str(module.get_asm())


def check_phase(name: str, plan: Plan) -> None:
    """Raises `UsageError` with the phases there are."""
    if name not in plan.phases:
        where = f" in the execution model {plan.execution_model}" if name in PHASES else ""
        raise UsageError(f"unknown phase {name!r}{where}; there are {', '.join(plan.phases)}")


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises `UsageError` if the folder or the file cannot be written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def _file_name(symbol: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "_-." else "_" for letter in symbol)


def _has_half(module: Any) -> bool:
    """True if a type in the module is f16."""
    text = module.get_asm(large_elements_limit=_ELIDED_ELEMENTS, large_resource_limit=_ELIDED_BYTES)
    return re.search(r"(?<![a-zA-Z])(?:\d+x|\?x)*f16\b", text) is not None
