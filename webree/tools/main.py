"""The command `webree`: finds the subcommand, runs it, and turns errors into messages and exit codes.

Enters: command-line words. Leaves: exit code 0 (done), 1 (failed), 2 (wrong usage) or 130 (interrupted). A subcommand
is a module in this folder with `add_arguments(parser)` and `run(arguments) -> int`, a docstring that says what it
does, and examples in `EXAMPLES`; only the one asked for is imported. argparse is used because the standard library has
it: the runtime depends on nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn, TextIO

from webree.errors import UsageError, WebreeError

__all__ = ["COMMANDS", "build_parser", "main"]

COMMANDS: Mapping[str, str] = {
    "compile": "compile a model to a module",
    "run": "call a function of a module on a device",
    "benchmark": "time a function of a module",
    "check": "run the functions of a test module, whose expectations pass or fail",
    "dump": "show what is inside a module",
    "devices": "list adapters, their limits and features",
    "bundle": "write a static web site that runs a module",
    "serve": "serve such a site on this machine",
}
"""Subcommand -> what it does; `webree/tools/<name>.py` implements it."""

SUPERVISED = ("compile",)
"""Commands that spend their time in native code."""

FAILED, USAGE, INTERRUPTED = 1, 2, 130

EXAMPLES = """\
examples:
  webree compile model.onnx -o model.vmfb --target webgpu,cpu
  webree run model.vmfb --input 1x3x224x224xf32=0.5
  webree run model.vmfb --device browser --input @x.npy
  webree run model.onnx --device cpu --input 1x3x224x224xf32=0.5
  webree devices
"""


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are written, and options and their help on one line."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, **{**options, "max_help_position": 32})


class Parser(argparse.ArgumentParser):
    """A parser whose complaints look like all others of ours."""

    def error(self, message: str) -> NoReturn:
        print(f"webree: error: {message}\nTry `{self.prog} --help`.", file=sys.stderr)
        raise SystemExit(USAGE)


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The whole parser; only `command` (all of them if it is "*") is imported and gets its options."""
    common = Parser(add_help=False)
    common.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the whole traceback of an error"
    )
    parser = Parser(
        prog="webree",
        description="Compile machine-learning models to WebGPU and WebAssembly, run them natively and in the browser.",
        epilog=EXAMPLES,
        formatter_class=Formatter,
        parents=[common],
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, summary in COMMANDS.items():
        if command not in (name, "*"):
            subparsers.add_parser(name, help=summary)
            continue
        module = import_module(f"webree.tools.{name}")
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=_description(module.__doc__ or "", summary),
            epilog=getattr(module, "EXAMPLES", None),
            formatter_class=Formatter,
            parents=[common],
        )
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def _description(doc: str, summary: str) -> str:
    """What `--help` says first: the first paragraph of the module's docstring, after its colon."""
    first = doc.strip().split("\n\n", 1)[0].replace("\n", " ")
    _, colon, text = first.partition(": ")
    return f"{text[:1].upper()}{text[1:]}" if colon else f"{summary[:1].upper()}{summary[1:]}."


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"webree: warning: {message}", file=sys.stderr)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line (`sys.argv` if None) and return the exit code. Never raises for bad input."""
    if words is None:
        words = sys.argv[1:]
        if _command(words) in SUPERVISED:
            from webree.tools.supervised import supervised

            return supervised(lambda: main(sys.argv[1:]))
    words = list(words)
    command = _command(words)
    debug = "--debug" in words
    try:
        arguments = build_parser(command).parse_args(words)
        if arguments.version:
            from webree.tools.site_parts import version

            print(f"webree {version()}")
            return 0
        if arguments.command is None:
            build_parser().print_help(sys.stderr)
            return USAGE
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # argparse: after --help, or after a complaint
        return stop.code if isinstance(stop.code, int) else USAGE
    except KeyboardInterrupt:
        print("webree: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output (`| head`) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(f"webree: error: {_message(error)}", file=sys.stderr)
        return USAGE if isinstance(error, UsageError) else FAILED


def _command(words: Sequence[str]) -> str | None:
    return next((word for word in words if not word.startswith("-")), None)


def _message(error: Exception) -> str:
    """What a user reads: our own errors speak for themselves, the system's name their file, the rest are bugs."""
    if isinstance(error, WebreeError):
        return "\n  ".join([str(error), *getattr(error, "__notes__", ())])  # notes: the place in the program
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, ModuleNotFoundError) and (package := (error.name or "").partition(".")[0]) in MISSING:
        return f"the Python package {package} is not installed; {MISSING[package]}"
    return f"{type(error).__name__}: {error} (this is a fault of webree: --debug shows where, please report it)"


MISSING: Mapping[str, str] = {
    "wgpu": "native WebGPU devices need it: pip install 'webree[native]'",
    "wasmtime": "the native CPU device needs it: pip install webree",
    "numpy": "the command line needs it: pip install webree",
    "iree": "compiling needs it: pip install 'webree[compiler]'",
    "onnx": "compiling ONNX models needs it: pip install 'webree[compiler]'",
    "flatbuffers": "compiling needs it: pip install 'webree[compiler]'",
    "ml_dtypes": "compiling needs it: pip install 'webree[compiler]'",
    "playwright": "the device `browser` needs it: pip install 'webree[tools]'",
}
"""Packages of the extras, and which extra brings them."""
