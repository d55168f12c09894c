"""`compile`: a model in, the bytes of a module in.

Enters: a model (path, bytes, MLIR text, ONNX ModelProto) and options. Leaves: a `.vmfb` as bytes, or the MLIR text of
one phase. Everything runs in this process, on the compiler in the wheel iree-base-compiler; nothing is printed.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from webree.compiler.accumulators import check_accumulator
from webree.compiler.demotion import CompileWarning, check_demotions
from webree.compiler.frontends import import_model, open_source
from webree.compiler.frontends.traced import Examples
from webree.compiler.parameters import ParameterFile
from webree.compiler.pipeline import Pipeline, check_phase, module_text
from webree.compiler.plan import make_plan
from webree.compiler.session import Session
from webree.errors import UsageError

__all__ = ["CompileWarning", "compile"]


def compile(
    source: str | os.PathLike[str] | bytes | Any,
    example_inputs: Any = None,
    *,
    example_keywords: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    input_format: str = "auto",
    target: str = "webgpu",
    execution_model: str = "async-internal",
    profile: str | None = None,
    dims: Mapping[str, int] | None = None,
    demote: Sequence[str] = (),
    accumulate: str = "f32",
    parameters: str | os.PathLike[str] | None = None,
    entry_name: str = "main",
    compile_to: str | None = None,
    dump_phases: str | os.PathLike[str] | None = None,
    dump_wgsl: str | os.PathLike[str] | None = None,
    dump_wasm: str | os.PathLike[str] | None = None,
    progress: Callable[[str, float], None] | None = None,
    flags: Sequence[str] = (),
) -> bytes:
    """Compile a model to a module file.

    Args:
        source: path of a model file; or its bytes; or MLIR text; or an `onnx.ModelProto`; or a PyTorch module, method
            or `ExportedProgram`; or a JAX function or `Exported`; or a mapping from names of functions to
            `(source, example_inputs)`, of one framework, for a module of several that share weights and state.
        example_inputs: for PyTorch modules and JAX functions, inputs of the right shapes and types to trace by: a tuple
            of positional inputs, a mapping of keyword inputs, or the only input. Values do not matter.
        example_keywords: keyword inputs beside positional ones.
        dynamic_shapes: for PyTorch, the dimensions whose size is left open, as `torch.export.export` takes them.
        input_format: `onnx`, `mlir`, `torch`, `jax`, …, or `auto` to look at the object, the content and the name.
        target: `webgpu`, `cpu` (WebAssembly), `vmvx` (bytecode), or several with commas: a module with all their
            kernels and one set of weights, which runs on whichever device is there.
        execution_model: `async-internal`, `async-external` (functions take fences), `inline-static` or
            `inline-dynamic` (no device; for cpu and vmvx).
        profile: the class of devices, at most one per target, with commas. For `webgpu`: `webgpu` (the standard's
            default limits, works everywhere) or `webgpu-software` (same limits, kernels shaped for adapters that
            compute on the CPU); for `vmvx`: `vmvx` or `vmvx-microkernels`. None: the first of each target.
        dims: sizes for symbolic dimensions of an ONNX model, by name; the others stay dynamic.
        demote: number types to compute in narrower ones, weights included: any of `f32-to-f16`, `i64-to-i32`,
            `f64-to-f32`. Functions keep their types but for f64, and convert: larger numbers become infinite, or lose
            their upper bits.
        accumulate: `f32`, or `f16` for products, convolutions and sums of f16 whose result is f16: each step is
            rounded to f16, natively with `webgpu-f16` and emulated otherwise. Faster on some devices; a sum of n terms
            is then off by up to about `n * 2**-11` times the sum of their sizes.
        parameters: a file ending in `.safetensors` or `.irpa` that gets the weights of 256 bytes and more, instead of
            the module; load with `parameters={"model": FILE}`. It is written whole, once all else has succeeded.
        entry_name: name of the model's function, where the source gives it none. MLIR functions keep their names.
        compile_to: stop after this phase (see `webree.compiler.plan.PHASES`) and return its MLIR text, encoded.
        dump_phases: folder that gets every phase as `NN-phase.mlir`, large constants left out.
        dump_wgsl: folder that gets every executable's WGSL (target webgpu).
        dump_wasm: folder that gets the library of kernels as WebAssembly (target cpu).
        progress: called with the name of the step that begins and the fraction (0 to 1) of the work behind it.
        flags: further session flags of `iree-compile`.

    Returns:
        The module's bytes; the same for the same input.

    Warns:
        CompileWarning: the module differs from the model in a way that matters (f64 computed as f32).

    Raises:
        CompileError: the model is missing, damaged, invalid, or uses what cannot be compiled; with the operation and
            its place.
        UsageError: an unknown target, execution model, profile, format, phase, dimension or flag, or some that do not
            go together; f16 accumulation of a model without sums of f16.
    """
    plan = make_plan(target, profile, execution_model)
    if compile_to is not None:
        check_phase(compile_to, plan)
    for option, folder, name in (("dump_wgsl", dump_wgsl, "webgpu"), ("dump_wasm", dump_wasm, "cpu")):
        if folder is not None and name not in plan.targets:
            raise UsageError(f"{option} is for the target {name}, and the target is {', '.join(plan.targets)}")
    if accumulate == "f16" and plan.targets == ("vmvx",):
        raise UsageError("accumulating in f16 has no meaning for the target vmvx, which has no f16")
    if parameters is not None and plan.is_inline:
        raise UsageError(
            f"programs of the execution model {execution_model!r} cannot load parameters; leave the weights in the "
            "module, or compile with async-internal"
        )
    examples = Examples(example_inputs, example_keywords, dynamic_shapes)
    model = open_source(Path(source) if isinstance(source, os.PathLike) else source, examples)
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(Session(plan.session_flags(flags)))
        weights = None if parameters is None else stack.enter_context(ParameterFile(Path(parameters)))
        pipeline = Pipeline(
            session,
            plan,
            progress=progress,
            dump_phases=None if dump_phases is None else Path(dump_phases),
            dump_wgsl=None if dump_wgsl is None else Path(dump_wgsl),
            dump_wasm=None if dump_wasm is None else Path(dump_wasm),
            parameters=weights,
            demotions=check_demotions(demote),
            accumulate=check_accumulator(accumulate),
        )
        pipeline.step("import")
        imported = import_model(session, model, input_format, dims=dims or {}, entry_name=entry_name)
        if compile_to is not None:
            data = module_text(pipeline.lower_to(imported, compile_to)).encode()
        else:
            data = pipeline.compile(imported)
            if weights is not None and (message := weights.commit()) is not None:
                pipeline.warnings.append(message)
    for message in pipeline.warnings:
        warnings.warn(f"{model.label}: {message}", CompileWarning, stacklevel=2)
    return data
