"""Modules that the stock compiler makes of the programs, and what IREE's own runtime computes with them.

Enters: a group of programs and an execution model. Leaves: module bytes (made once a run), random inputs, and
reference results: of IREE's runtime in this process for modules that drive a device, of `iree-run-module` for inline
ones. WebAssembly kernels, which IREE's runtime does not have, are compared with its results for VMVX.
"""

from __future__ import annotations

import functools
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import iree.runtime as iree_runtime
import numpy as np

from tests.compiling import made_once
from tests.execution_models.program import Input, Program, text
from tests.execution_models.programs import GROUPS

__all__ = [
    "FEWER_GROUPS",
    "MODELS",
    "compile_group",
    "draw",
    "programs_of",
    "reference",
    "run_in_iree",
    "run_inline_in_iree",
]

_BIN = Path(sys.executable).parent
_VMVX = ("--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=vmvx")
_WASM = (
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-hal-target-device=local",
    "--iree-llvmcpu-target-triple=wasm32-unknown-unknown",
    "--iree-llvmcpu-target-cpu-features=+simd128,+bulk-memory",
)
_TILES = ("--iree-vmvx-enable-microkernels", "--iree-opt-data-tiling")

MODELS: dict[str, tuple[str, ...]] = {
    "vmvx": _VMVX,
    "vmvx-tiles": (*_VMVX, *_TILES),
    "wasm": _WASM,
    "inline-static": ("--iree-execution-model=inline-static", "--iree-hal-target-backends=vmvx-inline"),
    "inline-dynamic": ("--iree-execution-model=inline-dynamic", "--iree-hal-target-backends=vmvx"),
    "inline-dynamic-tiles": ("--iree-execution-model=inline-dynamic", "--iree-hal-target-backends=vmvx", *_TILES),
    "inline-dynamic-wasm": ("--iree-execution-model=inline-dynamic", "--iree-hal-target-backends=llvm-cpu", *_WASM[2:]),
}
"""Name -> flags of the stock compiler."""

WITHOUT_TILES = {
    **dict.fromkeys(("select_f32", "cmpf", "cmpi", "and_i1"), "refused: vectors of i1 are not cut into tiles"),
    **dict.fromkeys(("transpose", "transpose_i16"), "miscompiled: IREE's runtime finds accesses out of bounds too"),
}
"""What the stock compiler does not compile for a model of tiles, and why."""
FEWER_GROUPS = {model: ("tensors", "programs") for model in ("wasm", "inline-dynamic-tiles")}
"""Models whose kernels and whose host programs are those of other models, in new combination."""


_IN_IREE_TOO = ("tensors", "programs")
"""Groups whose inline modules run in IREE's runtime too, a process a program; others have VMVX's kernels anyway."""


def programs_of(group: str, model: str) -> list[Program]:
    """The programs of a group that the stock compiler compiles for a model."""
    return [p for p in GROUPS[group] if not (model.endswith("tiles") and p.name in WITHOUT_TILES)]


def compile_stock(source: str, flags: Sequence[str]) -> bytes:
    """A module of MLIR text. The linker is told to leave functions of libm to the runtime."""
    with tempfile.TemporaryDirectory() as folder:
        path, target = Path(folder, "in.mlir"), Path(folder, "out.vmfb")
        path.write_text(source)
        command: list[str | Path] = [_BIN / "iree-compile", path, "-o", target, *flags]
        if any("wasm32" in flag for flag in flags):
            command.append(f"--iree-llvmcpu-wasm-linker-path={_linker(folder)}")
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"iree-compile failed:\n{done.stderr[:4000]}"
        return target.read_bytes()


def _linker(folder: str) -> Path:
    import iree.compiler

    real = Path(iree.compiler.__path__[0], "_mlir_libs", "iree-lld")
    wrapper = Path(folder, "linker")
    wrapper.write_text(f'#!/bin/sh\nexec "{real}" "$@" --allow-undefined\n')
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    return wrapper


@functools.cache
def compile_group(group: str, model: str) -> bytes:
    source = text(programs_of(group, model))
    return made_once(lambda: compile_stock(source, MODELS[model]), source, MODELS[model]).read_bytes()


def draw(inputs: Sequence[Input], rng: np.random.Generator) -> list[np.ndarray[Any, Any]]:
    """Random inputs within their ranges."""
    arrays = []
    for item in inputs:
        if item.element == "f32":
            array = rng.uniform(item.low, item.high, item.shape).astype(np.float32)
        elif item.element == "i1":
            array = rng.integers(0, 2, item.shape).astype(bool)
        else:
            kind = np.dtype(item.element.replace("i", "int"))
            array = rng.integers(item.low, item.high, item.shape, kind, endpoint=True)
        arrays.append(np.asarray(array))
    return arrays


@functools.cache
def _context(group: str, model: str) -> Any:
    config = iree_runtime.Config("local-sync")
    context = iree_runtime.SystemContext(config=config)
    context.add_vm_module(iree_runtime.VmModule.copy_buffer(config.vm_instance, compile_group(group, model)))
    return context


def run_in_iree(group: str, model: str, program: Program, arrays: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
    """Results of IREE's runtime on `local-sync`. State of the program starts anew."""
    if program.name == "state":
        _context.cache_clear()
    module = _context(group, model).modules.module
    results = module[program.name](*arrays)
    return [np.asarray(result) for result in (results if isinstance(results, tuple | list) else (results,))]


def run_inline_in_iree(
    data: bytes, program: Program, arrays: Sequence[Any], result_count: int
) -> list[np.ndarray[Any, Any]]:
    """Results of `iree-run-module`."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "m.vmfb").write_bytes(data)
        command: list[str | Path] = [_BIN / "iree-run-module", "--module=m.vmfb", f"--function={program.name}"]
        for position, array in enumerate(arrays):
            np.save(Path(folder, f"i{position}.npy"), array)
            command.append(f"--input=@i{position}.npy")
        command += [f"--output=@o{position}.npy" for position in range(result_count)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, cwd=folder, env={**os.environ}
        )
        assert done.returncode == 0, f"iree-run-module failed:\n{done.stderr[:2000]}"
        return [np.load(Path(folder, f"o{position}.npy")) for position in range(result_count)]


def reference(group: str, model: str, program: Program, arrays: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
    """What IREE's runtime computes with the same module, or with the VMVX module where it has no such kernels."""
    if "wasm" in model and program.differs_on_vmvx is not None:
        return [program.differs_on_vmvx(*arrays)]
    expected = run_in_iree(group, "vmvx" if "wasm" in model or "inline" in model else model, program, arrays)
    if "inline" in model and ((group in _IN_IREE_TOO and "wasm" not in model) or program.differs_inline):
        same = model.replace("-wasm", "")
        return run_inline_in_iree(compile_group(group, same), program, arrays, len(expected))
    return expected


def calls(group: str, model: str, rng: np.random.Generator) -> list[tuple[Program, list[Any], list[Any]]]:
    """Every program of a group with fresh inputs and the results of IREE's runtime, for runs in other processes: the
    module itself is `compile_group(group, model)`."""
    found = []
    for program in programs_of(group, model):
        arrays = draw(program.inputs, rng)
        found.append((program, arrays, reference(group, model, program, arrays)))
    return found
