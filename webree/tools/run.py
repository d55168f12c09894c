"""`webree run`: call one function of a module on a device and print, write or check what it returns.

Enters: a module (or a model, which is compiled first and kept in a cache), a device, inputs. Leaves: the outputs as
text on standard output or in files; exit code 1 if they are not what `--expected-output` says. Which adapter was used
goes to standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from webree.errors import UsageError
from webree.signature import Signature
from webree.tools.compile import add_compile_arguments, parse_dims
from webree.tools.targets import choose_function, module_for, open_place, read_signatures
from webree.tools.values import compare, format_value, parse_input, parse_inputs, write_output

__all__ = ["EXAMPLES", "add_arguments", "add_call_arguments", "parse_parameters", "run"]

EXAMPLES = """\
devices:
  auto             the best that the module has code for: a GPU, else the CPU, else a software GPU (the default)
  webgpu           the first adapter of the WebGPU driver
  cpu              this machine's processor, by WebAssembly kernels (also: wasm)
  vmvx             the processor too, without compiled kernels: slow, needs nothing
  browser          headless Chromium, under Pyodide, on the best device there
  browser:DEVICE   the same on the browser's webgpu or cpu
  NAME             a driver, or the first adapter with NAME in its name (`webree devices` lists them)

A model file is compiled for the device that is taken; a module runs on the devices that it was compiled for.

inputs, in the function's order, or as NAME:VALUE by name:
  1x3xf32=0.5              one value for all elements
  2x2xi32=1,2,3,4          every element
  4xf32=random:7           random elements, the same for the same seed
  4xf32=@x.bin             raw little-endian bytes
  @x.npy                   a NumPy file
  42                       a number, for a parameter that is a number

examples:
  webree run model.vmfb --input 1x3x224x224xf32=0.5
  webree run model.vmfb --device browser --function main --input @x.npy --output @y.npy
  webree run model.onnx --dim batch=1 --input ids:1x8xi64=1 --expected-output @y.npy
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `webree run`."""
    add_call_arguments(parser)
    parser.add_argument(
        "--output",
        action="append",
        default=[],
        metavar="OUT",
        help="where each output goes, in order: @FILE.npy, @FILE.bin, or - for all of its text (repeatable)",
    )
    parser.add_argument(
        "--expected-output",
        action="append",
        default=[],
        metavar="VALUE",
        help="what each output must be, in the form of inputs (repeatable)",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-4,
        metavar="T",
        help="floats may differ by T * (1 + |expected|) from --expected-output (default 1e-4)",
    )


def add_call_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say what is called, where, and with what; `run` and `benchmark` have them."""
    parser.add_argument("module", metavar="MODULE", type=Path, help="a module (.vmfb), or a model to compile first")
    parser.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, webgpu, cpu, vmvx, browser, … (see below)"
    )
    parser.add_argument("--function", metavar="NAME", help="the function to call (default: the only one, or main)")
    parser.add_argument(
        "--input", action="append", default=[], metavar="VALUE", help="an input (repeatable, see below)"
    )
    parser.add_argument(
        "--parameters",
        action="append",
        default=[],
        metavar="[SCOPE=]FILE",
        help="a .safetensors or .irpa file with weights that are not in the module (repeatable)",
    )
    add_compile_arguments(parser)


def parse_parameters(words: Sequence[str]) -> dict[str, Path]:
    """`["scope=weights.safetensors"]` -> `{"scope": Path(…)}`; a file without a scope has the scope ""."""
    parameters: dict[str, Path] = {}
    for word in words:
        scope, _, name = word.rpartition("=")
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"--parameters {word}: no file at {path}")
        if scope in parameters:
            raise UsageError(f"--parameters {word}: there is already a file for scope {scope!r}")
        parameters[scope] = path
    return parameters


def run(arguments: argparse.Namespace) -> int:
    """Call, then print, write and check. Returns 1 if a check failed."""
    positional, named = parse_inputs(arguments.input)
    expected = [parse_input(word) for word in arguments.expected_output]
    parameters, dims = parse_parameters(arguments.parameters), parse_dims(arguments.dim)
    with open_place(arguments.device) as place:
        path = module_for(place, arguments.module, dims, arguments.profile, arguments.accumulate)
        function = choose_function(read_signatures(path), arguments.function)
        _check_count("--output", len(arguments.output), function)
        _check_count("--expected-output", len(expected), function)
        with closing(place.load(path, parameters)) as target:
            print(f"{function.name} on {target.adapter} ({target.reason})", file=sys.stderr)
            results = target.call(function.name, positional, named)
    _deliver(results, function, arguments.output)
    return _check(results, function, expected, arguments.tolerance)


def _check_count(option: str, count: int, function: Signature) -> None:
    if count > len(function.outputs):
        raise UsageError(f"{option} is given {count} times, and {function} has {len(function.outputs)} outputs")


def _deliver(results: Sequence[Any], function: Signature, places: Sequence[str]) -> None:
    for position, (value, parameter) in enumerate(zip(results, function.outputs, strict=True)):
        text = write_output(places[position], value) if position < len(places) else format_value(value)
        if text is not None:
            print(f"{parameter.name}: {text}")


def _check(results: Sequence[Any], function: Signature, expected: Sequence[Any], tolerance: float) -> int:
    failures = 0
    for value, wanted, parameter in zip(results, expected, function.outputs, strict=False):
        difference = compare(value, wanted, tolerance)
        if difference is not None:
            failures += 1
            print(f"webree: error: output {parameter.name} is not as expected: {difference}", file=sys.stderr)
    if expected and not failures:
        print(f"as expected: {len(expected)} of {len(results)} outputs checked", file=sys.stderr)
    return int(failures > 0)
