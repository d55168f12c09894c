"""Compiles damaged models and says which did anything but compile or be refused in one sentence.

Enters: formats, a count and a seed. Leaves: a `Report`. Every mutant is compiled in a process of its own, forked from
one that has loaded the compiler, with limits of time and memory and an empty folder for temporary files: so a crash, a
hang, a blow-up, words on the standard streams and files left behind are each seen for what they are. By hand:

    python -m tests.errors.mutation_runner --count 5000 --format onnx --format tflite --keep FOLDER
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.errors.hostile_models import FORMATS, Model, models
from tests.errors.mutants import mutate

__all__ = ["Report", "all_models", "explore"]

_CPU_SECONDS = 60
_WALL_SECONDS = 300
_ADDRESS_SPACE = 6 << 30  # beyond what the process has when it begins
_RESIDENT = 1 << 30  # likewise
_MESSAGE_LENGTH = 4500  # a first error of 1,000 letters, three further ones, and where
_LOADED = (
    *("iree.compiler.api", "iree.compiler.extras.onnx_importer", "onnx", "webree.compiler.api"),
    *(f"webree.compiler.frontends.{name}" for name in ("gguf", "mlir", "onnx", "tflite")),
)
_TARGETS = ("webgpu", "webgpu", "webgpu", "cpu", "vmvx")


@dataclass
class Report:
    """What became of the mutants; `faults` are (what, format and name, number of the mutant)."""

    compiled: int = 0
    refused: int = 0
    faults: list[tuple[str, str, int]] = field(default_factory=list)


def all_models(formats: Sequence[str]) -> list[Model]:
    """The small models, made in another process: MLIR's threads do not survive the forks that follow."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return [model for found in pool.map(models, formats) for model in found]


def explore(chosen: Sequence[Model], count: int, seed: int, keep: Path | None = None, end: str = "") -> Report:
    """Compile `count` mutants; those at fault are written into `keep`, and told as they come."""
    for name in _LOADED:
        importlib.import_module(name)
    report = Report()
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        model = rng.choice(chosen)
        files = mutate(model, rng)
        result = _isolated(model, files, rng, end)
        if result == "compiled":
            report.compiled += 1
        elif result.startswith("refused"):
            report.refused += 1
            if keep is not None:
                with open(keep / "messages.txt", "a") as log:
                    log.write(f"{number} {model.format} {model.name}: {result[8:]}\n")
        else:
            report.faults.append((result, f"{model.format} {model.name}", number))
            if keep is not None:
                folder = keep / f"{seed}-{number}-{model.format}-{model.name}"
                folder.mkdir(parents=True, exist_ok=True)
                for name, data in files.items():
                    (folder / name).write_bytes(data)
                (folder / "fault.txt").write_text(result)
                print(f"mutant {number} ({model.format} {model.name}): {result[:600]}", flush=True)
    return report


def _isolated(model: Model, files: dict[str, bytes], rng: random.Random, end: str) -> str:
    """`compiled`, `refused MESSAGE`, or what is wrong. Half of the mutants go no further than to `input`, and none
    further than to `end`, if it is given."""
    target, whole, with_parameters = rng.choice(_TARGETS), rng.random() < 0.5, rng.random() < 0.2
    root = Path(tempfile.mkdtemp(prefix="webree-mutant-"))
    for name in ("in", "out", "tmp"):
        (root / name).mkdir()
    for name, data in files.items():
        (root / "in" / name).write_bytes(data)
    options: dict[str, Any] = {"target": target}
    if end or not whole:
        options["compile_to"] = end or "input"
    elif with_parameters:
        options["parameters"] = root / "out" / "weights.irpa"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(model, root, writing, options)
    os.close(writing)
    try:
        answer, status, usage = _wait(child, reading)
        said = (root / "streams").read_text(errors="replace")
        left = [str(path.relative_to(root)) for name in ("out", "tmp") for path in (root / name).rglob("*")]
    finally:
        os.close(reading)
        shutil.rmtree(root)
    where = f"target {target}{'' if whole else ', to input'}"
    if status != 0 or not answer:
        ended = signal.Signals(-status).name if status < 0 else f"exit code {status}"
        return f"process ended by {ended} ({where}): {said[-6000:]}"
    outcome = str(json.loads(answer)["outcome"])
    if outcome not in ("compiled",) and not outcome.startswith("refused"):
        return f"{outcome} ({where})"
    if said.strip():
        return f"words on a standard stream ({where}): {said[:1500]}"
    expected = ["out/weights.irpa"] if "parameters" in options and outcome == "compiled" else []
    if left != expected and model.format != "parameters":
        return f"files left behind ({where}): {left}"
    if (usage.ru_maxrss << 10) - before > _RESIDENT:
        return f"{usage.ru_maxrss >> 10} MiB of memory, {before >> 20} before ({where}): {outcome[:300]}"
    return outcome


def _wait(child: int, reading: int) -> tuple[bytes, int, resource.struct_rusage]:
    deadline = time.monotonic() + _WALL_SECONDS
    answer = b""
    while time.monotonic() < deadline:
        ready, _, _ = select.select([reading], [], [], 1.0)
        if ready:
            part = os.read(reading, 1 << 16)
            if not part:
                break
            answer += part
    else:
        os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    return answer, os.waitstatus_to_exitcode(status), usage


def _child(model: Model, root: Path, writing: int, options: dict[str, Any]) -> None:
    streams = os.open(root / "streams", os.O_CREAT | os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(streams, number)
    try:
        import faulthandler

        faulthandler.enable(2)
        os.environ["TMPDIR"] = tempfile.tempdir = str(root / "tmp")
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + _ADDRESS_SPACE,) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS + 5))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        outcome = _compile(model, root / "in" / next(iter(model.files)), options)
        os.write(writing, json.dumps({"outcome": outcome}).encode())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(99)


def _compile(model: Model, path: Path, options: dict[str, Any]) -> str:
    import warnings

    import webree
    from webree.errors import CompileError, ModuleError
    from webree.parameters.archive import open_archive

    expected: type[webree.WebreeError] = ModuleError if model.format == "parameters" else CompileError
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if model.format == "parameters":
                for entry in open_archive(path).entries.values():
                    if entry.source is not None:
                        entry.source.read(0, entry.byte_length)
            else:
                webree.compile(path, **options)
        return "compiled"
    except expected as error:
        return _judge(error, path, options.get("compile_to") != "import")
    except Exception:
        return f"another exception escapes: {traceback.format_exc()[-3000:]}"


_OTHERS = " cannot be read by "  # torch or jax, whose words follow
_INNARDS = (
    "Traceback",
    "KeyError",
    "IndexError",
    "AttributeError",
    "TypeError",
    "AssertionError",
    "NoneType",
    "ValueError",
)


def _judge(error: Any, path: Path, strict: bool) -> str:
    """Whether a message is one that a person can use: it names the file or the place, and (strict) speaks no Python."""
    text = str(error)
    place = getattr(error, "location", None) or getattr(error, "where", None)
    if len(text) > _MESSAGE_LENGTH:
        return f"a message of {len(text)} letters: {text[:300]}"
    if not text.strip() or (place is None and path.name not in text):
        return f"a message without a place: {text}"
    if strict and _OTHERS not in text and any(word in text for word in _INNARDS):
        return f"a message about Python: {text}"
    return f"refused {text}"


def main() -> None:
    """The command line, for runs by hand."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="further models to start from; with one --format")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--format", action="append", choices=list(FORMATS), default=[])
    parser.add_argument("--end", default="", help="the last phase; import: nothing but the front ends")
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "webree-mutants")
    arguments = parser.parse_args()
    arguments.keep.mkdir(parents=True, exist_ok=True)
    chosen = [Model(str(path.stem), arguments.format[0], {path.name: path.read_bytes()}) for path in arguments.files]
    if not arguments.files:
        chosen = all_models(arguments.format or list(FORMATS))
    print(f"seed {arguments.seed}: {len(chosen)} models", flush=True)
    begin = time.monotonic()
    report = explore(chosen, arguments.count, arguments.seed, arguments.keep, arguments.end)
    kinds = Counter(what.splitlines()[0][:100] for what, _, _ in report.faults)
    for what, number in kinds.most_common():
        print(f"{number:5}  {what}")
    print(
        f"{report.compiled} compiled, {report.refused} refused, {len(report.faults)} at fault, "
        f"in {time.monotonic() - begin:.0f} s; mutants and messages: {arguments.keep}"
    )
    sys.exit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
