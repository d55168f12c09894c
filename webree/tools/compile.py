"""`webree compile`: compile a model file to a module, which `webree run`, Python and a browser load.

Enters: a model file (ONNX, TensorFlow Lite, GGUF, an exported PyTorch or JAX program, MLIR text or bytecode). Leaves: a
`.vmfb` file with WGSL or WebAssembly inside, and, if asked, every phase's MLIR and every kernel's WGSL. The work is
`webree.compile`'s; this file only reads the command line.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from webree.compiler.plan import EXECUTION_MODELS, PROFILES, TARGETS
from webree.errors import UsageError, WebreeError
from webree.tools.files import write_whole
from webree.tools.progress import Progress
from webree.tools.supervised import note

__all__ = ["EXAMPLES", "add_arguments", "add_compile_arguments", "add_target_argument", "parse_dims", "run"]


def _rows(table: Mapping[str, str]) -> str:
    return "\n".join(f"  {name:17} {summary}" for name, summary in table.items())


def _profiles() -> str:
    """Of every target that has a choice; the first is the default."""
    chosen = {target: profiles for target, profiles in PROFILES.items() if len(profiles) > 1}
    return "\n".join(
        f"profiles of the target {target}:\n{_rows({profile.name: profile.summary for profile in profiles})}"
        for target, profiles in chosen.items()
    )


EXAMPLES = f"""\
targets:
{_rows(TARGETS)}

{_profiles()}

execution models:
{_rows(EXECUTION_MODELS)}

examples:
  webree compile model.onnx -o model.vmfb
  webree compile model.onnx -o model.vmfb --dim batch=1 --dim tokens=128
  webree compile model.onnx -o model.vmfb --target cpu
  webree compile model.onnx -o model.vmfb --target webgpu,cpu        one file for both
  webree compile model.mlir -o model.vmfb --target vmvx --execution-model inline-static
  webree compile model.onnx -o model.vmfb --profile webgpu-software --progress
  webree compile model.onnx -o model.vmfb --parameters model.safetensors
                                                  then: webree run model.vmfb --parameters model=model.safetensors …
  webree compile model.mlir -o model.vmfb --dump-wgsl shaders/ --dump-phases phases/
  webree compile model.mlir --compile-to flow -o model.flow.mlir
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `webree compile`."""
    parser.add_argument("model", metavar="MODEL", type=Path, help="the model: .onnx, .mlir or .mlirbc")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="the module to write, - for standard output (default: MODEL with the ending .vmfb)",
    )
    add_target_argument(parser)
    add_compile_arguments(parser)
    parser.add_argument(
        "--demote",
        action="append",
        default=[],
        metavar="FROM-to-TO",
        help="compute in a narrower type: f32-to-f16, i64-to-i32 or f64-to-f32 (repeatable)",
    )
    parser.add_argument(
        "--parameters",
        metavar="FILE",
        type=Path,
        help="write the weights to this .safetensors or .irpa file instead of the module",
    )
    parser.add_argument(
        "--execution-model",
        default="async-internal",
        metavar="NAME",
        help="how calls wait and where kernels run, see below (default: async-internal)",
    )
    parser.add_argument(
        "--input-format", default="auto", metavar="NAME", help="onnx or mlir (default: look at the file)"
    )
    parser.add_argument("--entry-name", default="main", metavar="NAME", help="name of an ONNX model's function (main)")
    parser.add_argument(
        "--compile-to",
        metavar="PHASE",
        help="write the MLIR of a phase: import, input, flow, stream, executable-sources, executable-targets, hal, …",
    )
    parser.add_argument("--dump-phases", metavar="DIR", type=Path, help="write every phase's MLIR into this folder")
    parser.add_argument("--dump-wgsl", metavar="DIR", type=Path, help="write every kernel's WGSL into this folder")
    parser.add_argument(
        "--dump-wasm", metavar="DIR", type=Path, help="write every WebAssembly library into this folder"
    )
    parser.add_argument(
        "--progress", action=argparse.BooleanOptionalAction, help="show what is being done (default: on a terminal)"
    )
    parser.add_argument(
        "--flag", action="append", default=[], metavar="FLAG", help="pass a flag to IREE's compiler (repeatable)"
    )


def add_target_argument(parser: argparse.ArgumentParser) -> None:
    """The option of the commands that compile for no device in particular."""
    parser.add_argument(
        "--target",
        default="webgpu",
        metavar="NAME[,NAME]",
        help="what to compile for: webgpu (default), cpu, vmvx, or several of them into one module",
    )


def add_compile_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that `run`, `benchmark` and `compile` share, as they compile model files too."""
    parser.add_argument(
        "--profile",
        metavar="NAME",
        help="the class of devices to compile for (`webree compile --help` lists them); one for each target",
    )
    parser.add_argument(
        "--accumulate",
        default="f32",
        metavar="TYPE",
        help="what products and sums of f16 are accumulated in: f32 (default) or f16",
    )
    parser.add_argument(
        "--dim",
        action="append",
        default=[],
        metavar="NAME=N",
        help="bind a symbolic dimension of the model to a number (repeatable)",
    )


def parse_dims(words: Sequence[str]) -> dict[str, int]:
    """`["batch=1"]` -> `{"batch": 1}`. Raises `UsageError` for anything else."""
    dims: dict[str, int] = {}
    for word in words:
        name, _, number = word.rpartition("=")
        if not name or not number.isdecimal():
            raise UsageError(f"--dim {word}: write NAME=N with a whole number N, as in --dim batch=1")
        if dims.setdefault(name, int(number)) != int(number):
            raise UsageError(f"--dim {word}: {name} is already bound to {dims[name]}")
    return dims


def run(arguments: argparse.Namespace) -> int:
    """Compile and write the file; says its size and the time on standard error."""
    model: Path = arguments.model
    if not model.is_file():
        raise UsageError(f"{model} is a folder, not a model file" if model.is_dir() else f"no model file at {model}")
    ending = f".{arguments.compile_to}.mlir" if arguments.compile_to else ".vmfb"
    output: Path = arguments.output or model.with_suffix(ending)
    if output.resolve() == model.resolve():
        raise UsageError(f"the output {output} would overwrite the model; choose another with -o")
    dims = parse_dims(arguments.dim)

    from webree.compiler.api import compile

    written = [path for path in (output, arguments.parameters) if path is not None]

    def tell(step: str, fraction: float) -> None:
        note(f"{model.name}: {step}", written)
        progress(step, fraction)

    show = sys.stderr.isatty() if arguments.progress is None else arguments.progress
    start = time.monotonic()
    with Progress(f"compiling {model.name}", on=show) as progress:
        data = compile(
            model,
            input_format=arguments.input_format,
            target=arguments.target,
            execution_model=arguments.execution_model,
            profile=arguments.profile,
            dims=dims,
            demote=arguments.demote,
            accumulate=arguments.accumulate,
            parameters=arguments.parameters,
            entry_name=arguments.entry_name,
            compile_to=arguments.compile_to,
            dump_phases=arguments.dump_phases,
            dump_wgsl=arguments.dump_wgsl,
            dump_wasm=arguments.dump_wasm,
            progress=tell,
            flags=arguments.flag,
        )
    if str(output) == "-":
        sys.stdout.buffer.write(data)
        return 0
    try:
        write_whole(output, data)
    except OSError as error:
        raise WebreeError(f"cannot write {output}: {error.strerror}") from error
    print(f"wrote {output}: {len(data):,} bytes in {time.monotonic() - start:.1f} s", file=sys.stderr)
    return 0
