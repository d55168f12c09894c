"""`webree check`: run every function of modules that use the `check` dialect, and say which expectations hold.

Enters: MLIR files, which are compiled for the device, or modules. Leaves: a line for each public function without
arguments: passed, failed (with the values and their index), refused (the compiler says what it cannot do) or error;
a summary; exit code 1 unless all passed. A file is compiled whole; where that fails, each of its functions is
compiled and run alone, so that every one has its own result. The compiler runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from webree.errors import CompileError, DeviceError, StatusCode, UsageError, WebreeError
from webree.tools.check_source import find_functions, only, split_modules
from webree.tools.check_worker import Compiler
from webree.tools.model_cache import open_module, require_file
from webree.tools.targets import CompilesFor, Place, open_place, read_signatures

__all__ = ["EXAMPLES", "Outcome", "add_arguments", "check_file", "run"]

EXAMPLES = """\
a check file has functions without arguments, which expect something:
  func.func @adds() {
    %x = util.unfoldable_constant dense<[1.0, 2.0]> : tensor<2xf32>
    %y = arith.addf %x, %x : tensor<2xf32>
    check.expect_almost_eq_const(%y, dense<[2.0, 4.0]> : tensor<2xf32>, atol 1.0e-06) : tensor<2xf32>
    return
  }
expectations: check.expect_true, expect_false, expect_all_true, expect_eq, expect_eq_const, expect_almost_eq,
expect_almost_eq_const. Several modules in a file are divided by lines `// -----`.

results:
  passed   all expectations hold
  failed   one does not; the rest of the function is not run
  refused  the compiler says what it cannot do
  error    anything else went wrong: invalid MLIR, an error at run time
  skipped  the function takes arguments

examples:
  webree check tests/check/stablehlo.mlir
  webree check *.mlir --device cpu --function adds
  webree check file.mlir --device browser --json
"""

_EXPECTS_NOTHING = "the module expects nothing: it uses no operation of the check dialect"
PASSED, FAILED, REFUSED, ERROR, SKIPPED = RESULTS = ("passed", "failed", "refused", "error", "skipped")


@dataclass(frozen=True)
class Outcome:
    """What became of one function.

    Attributes:
        file: as the user named it.
        function: its name, or "" if the whole file could not be read.
        result: one of RESULTS.
        stage: where it ended: compile, load, run, or "" if it passed.
        why: the error, or "".
        seconds: compiling it alone (if it was) and running it.
    """

    file: str
    function: str
    result: str
    stage: str = ""
    why: str = ""
    seconds: float = 0.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `webree check`."""
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help="MLIR (.mlir, .mlirbc) or a module (.vmfb)")
    parser.add_argument("--device", default="auto", metavar="NAME", help="as for `webree run`: auto, webgpu, cpu, …")
    parser.add_argument("--target", metavar="NAME", help="what to compile for (default: what the device needs)")
    parser.add_argument("--profile", metavar="NAME", help="the class of devices to compile for")
    parser.add_argument("--function", action="append", metavar="NAME", help="only this function (repeatable)")
    parser.add_argument("--flag", action="append", default=[], metavar="FLAG", help="a flag of IREE's compiler")
    parser.add_argument("--timeout", type=float, default=300.0, metavar="S", help="seconds for one compile (300)")
    parser.add_argument("--stop", action="store_true", help="stop at the first file in which not all passes")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Check all files. Returns 1 unless all functions passed."""
    for path in arguments.files:
        require_file(path)
    outcomes: list[Outcome] = []
    with open_place(arguments.device) as place, tempfile.TemporaryDirectory(prefix="webree-check-") as folder:
        with Compiler(arguments.timeout) as compiler:
            checker = Checker(place, compiler, Path(folder), arguments)
            for path in arguments.files:
                found = list(check_file(checker, path))
                outcomes += found
                if not arguments.json:
                    _print_file(path, found, checker.adapter)
                if arguments.stop and not _all_passed(found):
                    break
    wanted = set(arguments.function or ())
    if missing := sorted(wanted - {outcome.function for outcome in outcomes if outcome.function}):
        raise UsageError(f"--function {missing[0]}: no file has a function of that name without arguments")
    if arguments.json:
        facts = {"adapter": checker.adapter, "outcomes": [asdict(outcome) for outcome in outcomes]}
        print(json.dumps(facts, indent=1))
    else:
        print(_summary(outcomes))
    return int(not _all_passed(outcomes))


class Checker:
    """Compiles, loads and calls, for all files of one command.

    Attributes:
        adapter: name of the adapter that the last module was loaded on, or "".
    """

    def __init__(self, place: Place, compiler: Compiler, folder: Path, options: argparse.Namespace) -> None:
        self.adapter = ""
        self._place = place
        self._compiler = compiler
        self._folder = folder
        self._options = options
        self._wanted: CompilesFor | None = None
        self._count = 0

    def wants(self, function: str) -> bool:
        """Whether `--function` asks for it."""
        return not self._options.function or function in self._options.function

    def compile(self, data: bytes, path: Path) -> Path:
        """A module file of the source. `path` gives it its name. Raises `CompileError`."""
        self._count += 1
        inside = self._folder / str(self._count)
        inside.mkdir()
        source = inside / path.name
        source.write_bytes(data)
        output = inside / f"{path.stem}.vmfb"
        target, profile = self._compiles_for()
        found = self._compiler.compile(source, output, target=target, profile=profile, flags=self._options.flag)
        for warning in found:
            print(f"webree: warning: {warning}", file=sys.stderr)
        return output

    def call_all(self, module: Path, label: str) -> Iterator[Outcome]:
        """Load a module and call its functions. Raises `WebreeError` if it cannot be loaded."""
        signatures = read_signatures(module)
        names = [name for name in signatures if self.wants(name)]
        checks = [name for name in names if not signatures[name].inputs]
        for name in names:
            if name not in checks:
                yield Outcome(label, name, SKIPPED, why=f"takes arguments: {signatures[name]}")
        if not any(item.module == "check" for item in open_module(module).imports):
            for name in checks:
                yield Outcome(
                    label, name, ERROR, "run", "the module expects nothing: it uses no op of the check dialect"
                )
            return
        if not checks:
            return
        with closing(self._place.load(module, {})) as target:
            self.adapter = target.adapter
            for name in checks:
                start = time.perf_counter()
                try:
                    target.call(name, [], {})
                    yield Outcome(label, name, PASSED, seconds=time.perf_counter() - start)
                except DeviceError as error:
                    yield Outcome(label, name, ERROR, "run", _text(error), time.perf_counter() - start)
                    self._wanted = None  # the device may be lost: the next module chooses it anew
                except WebreeError as error:
                    failed = error.status == StatusCode.ABORTED
                    result = FAILED if failed else ERROR
                    yield Outcome(label, name, result, "run", _text(error), time.perf_counter() - start)
                except Exception as error:  # the other functions have their turn
                    why = f"{type(error).__name__}: {error} (this is a fault of webree)"
                    yield Outcome(label, name, ERROR, "run", why, time.perf_counter() - start)

    def _compiles_for(self) -> CompilesFor:
        if self._wanted is None:
            self._wanted = self._place.compiles_for()
        target = self._options.target or self._wanted.target
        profile = self._wanted.profile if target == self._wanted.target else None
        return CompilesFor(target, self._options.profile or profile)


def check_file(checker: Checker, path: Path) -> Iterator[Outcome]:
    """All functions of one file."""
    data = path.read_bytes()
    if path.suffix.lower() == ".vmfb":
        try:
            yield from checker.call_all(path, str(path))
        except WebreeError as error:
            yield Outcome(str(path), "", ERROR, "load", _text(error))
        return
    if data.startswith(b"ML\xefR"):
        yield from _check_whole(checker, path, data)
        return
    parts = split_modules(data.decode("utf-8", "replace"))
    if not parts:
        yield Outcome(str(path), "", ERROR, "compile", "the file holds no program")
    for part in parts:
        yield from _check_part(checker, path, part)


def _check_whole(checker: Checker, path: Path, data: bytes) -> Iterator[Outcome]:
    """A source that cannot be taken apart."""
    try:
        module = checker.compile(data, path)
    except CompileError as error:
        yield Outcome(str(path), "", REFUSED if error.unsupported else ERROR, "compile", _text(error))
        return
    try:
        yield from checker.call_all(module, str(path))
    except WebreeError as error:
        yield Outcome(str(path), "", ERROR, "load", _text(error))


def _check_part(checker: Checker, path: Path, text: str) -> Iterator[Outcome]:
    """A module in text: whole, and if that fails each function alone."""
    names = [function.name for function in find_functions(text) if function.is_check]
    chosen = [name for name in names if checker.wants(name)]
    if len(names) <= 1:
        for outcome in _check_whole(checker, path, text.encode()):
            yield outcome if outcome.function or not names else _named(outcome, names[0])
        return
    found: list[Outcome] = []
    try:
        found += checker.call_all(checker.compile(text.encode(), path), str(path))
        yield from found
    except WebreeError:
        for name in chosen:
            start = time.perf_counter()
            for outcome in _check_whole(checker, path, only(text, name).encode()):
                if outcome.function in ("", name):
                    alone = _named(outcome, name)
                    yield Outcome(**{**asdict(alone), "seconds": time.perf_counter() - start})


def _named(outcome: Outcome, function: str) -> Outcome:
    return Outcome(**{**asdict(outcome), "function": function})


def _text(error: WebreeError) -> str:
    return "\n  ".join([str(error), *getattr(error, "__notes__", ())])


def _all_passed(outcomes: Sequence[Outcome]) -> bool:
    return any(item.result == PASSED for item in outcomes) and all(
        item.result in (PASSED, SKIPPED) for item in outcomes
    )


def _print_file(path: Path, outcomes: Sequence[Outcome], adapter: str) -> None:
    print(f"{path}{f' on {adapter}' if adapter else ''}")
    for item in outcomes:
        name = f"@{item.function}" if item.function else "the file"
        where = f" ({item.stage})" if item.result == ERROR else ""
        why = item.why.replace("\n", "\n      ")
        print(f"  {item.result:8}{name}{where}{f': {why}' if why else ''}")


def _summary(outcomes: Sequence[Outcome]) -> str:
    counts = Counter(item.result for item in outcomes)
    parts = ", ".join(f"{counts[result]} {result}" for result in RESULTS if counts[result])
    return f"{len(outcomes)} functions: {parts or 'nothing was run'}"
