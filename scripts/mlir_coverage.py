"""Run IREE's own end-to-end tests for MLIR dialects through `webree check`, and write the table of what passes.

    python scripts/mlir_coverage.py --iree CHECKOUT [--device webgpu|cpu] [--only PATTERN] [--again RESULT] [--table]

Enters: a checkout of IREE's repository (its files are read, none is kept), and the results of earlier runs in
build/mlir-coverage/, so that a run that was cut short goes on where it was. Leaves: those results, and
docs/mlir-coverage.md. Each file is checked by a process of its own; where that ends before it has answered, each
function of the file gets one.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

RESULTS = ROOT / "build" / "mlir-coverage"
TABLE = ROOT / "docs" / "mlir-coverage.md"
DEVICES = ("webgpu", "cpu")
"""In the table."""

SUITES: Mapping[str, str] = {
    "stablehlo_ops": "StableHLO",
    "tosa_ops": "TOSA",
    "linalg": "linalg",
    "linalg_ext_ops": "linalg_ext",
    "tensor_ops": "tensor",
    "math": "math",
    "regression": "regressions",
    "subbyte_types": "types below 8 bits",
    "encoding": "encodings",
    "vulkan_specific": "written for Vulkan",
}
"""Folder of tests/e2e -> what its files test."""

GENERATED = {"math/math_ops_llvm-cpu.json": "math/generate.py", "math/math_ops_rocm.json": "math/generate.py"}
"""Lists of cases -> the program of the checkout that writes MLIR of them."""

PASSED, FAILED, REFUSED, ERROR, SKIPPED = ("passed", "failed", "refused", "error", "skipped")
FILE_SECONDS, FUNCTION_SECONDS = 900, 180


@dataclass(frozen=True)
class CheckFile:
    """One file of a suite; `name` is its path below tests/e2e."""

    suite: str
    name: str
    path: Path


# --- Files ------------------------------------------------------------------------------------------------------------


def find_files(checkout: Path) -> list[CheckFile]:
    """The files of all suites that use the check dialect, the generated ones included."""
    root = checkout / "tests" / "e2e"
    if not root.is_dir():
        raise SystemExit(f"{root}: no such folder; --iree takes a checkout of IREE's repository")
    found = []
    for suite in SUITES:
        for path in sorted((root / suite).rglob("*.mlir")):
            if "check.expect" in path.read_text(encoding="utf-8"):
                found.append(CheckFile(suite, path.relative_to(root).as_posix(), path))
    for cases, program in GENERATED.items():
        if (root / cases).is_file():
            found.append(generated(root, cases, program))
    return sorted(found, key=lambda item: (list(SUITES).index(item.suite), item.name))


def generated(root: Path, cases: str, program: str) -> CheckFile:
    """Run a program of the checkout that writes a check file."""
    name = f"{cases.removesuffix('.json')}.mlir"
    path = RESULTS / "generated" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, str(root / program), f"--testcases={root / cases}"]
    path.write_text(subprocess.run(words, check=True, capture_output=True, text=True).stdout, encoding="utf-8")
    return CheckFile(cases.partition("/")[0], name, path)


# --- Running ----------------------------------------------------------------------------------------------------------


def check(path: Path, device: str, seconds: float, *options: str) -> list[dict[str, Any]] | str:
    """The outcomes that `webree check --json` prints, or why it printed none."""
    words = [sys.executable, "-m", "webree", "check", str(path), "--device", device, "--json", *options]
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"not done after {seconds:g} s"
    try:
        outcomes: list[dict[str, Any]] = json.loads(done.stdout)["outcomes"]
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:] or [""]
        return f"the process ended (exit code {done.returncode}): {last[0]}"
    return outcomes


def check_each(path: Path, device: str, why: str) -> list[dict[str, Any]]:
    """Every function in a process of its own, as the whole file ends the process."""
    from webree.tools.check_source import find_functions, split_modules

    text = path.read_text(encoding="utf-8")
    names = [item.name for part in split_modules(text) for item in find_functions(part) if item.is_check]
    if not names:
        return [outcome("", ERROR, "run", why)]
    found = []
    for name in names:
        answer = check(path, device, FUNCTION_SECONDS, "--function", name)
        found += [outcome(name, ERROR, "run", answer)] if isinstance(answer, str) else answer
    return found


def outcome(function: str, result: str, stage: str, why: str) -> dict[str, Any]:
    """As `webree check` has them."""
    return {"function": function, "result": result, "stage": stage, "why": why, "seconds": 0.0}


def run(files: Sequence[CheckFile], results: dict[str, Any], store: Path, options: Any) -> None:
    """Run what is asked for and not known yet."""
    deadline = time.monotonic() + 60 * options.minutes
    for item in files:
        known = {entry["result"] for entry in results.get(item.name, [])}
        if not re.search(options.only, item.name) or (known and not known & set(options.again)):
            continue
        answer = check(item.path, options.device, FILE_SECONDS)
        outcomes = check_each(item.path, options.device, answer) if isinstance(answer, str) else answer
        for entry in outcomes:
            entry.pop("file", None)
            entry["why"] = entry["why"].replace(f"{item.path.parent}/", "")
        results[item.name] = outcomes
        store.write_text(json.dumps(dict(sorted(results.items())), indent=0))
        counts = Counter(entry["result"] for entry in outcomes)
        print(f"{item.name}: {dict(counts)}", flush=True)
        for entry in outcomes:
            if entry["result"] != PASSED:
                print(f"    {entry['result']} {entry['function']}: {one_line(entry['why'], 300)}", flush=True)
        if options.minutes and time.monotonic() > deadline:
            break


# --- The table --------------------------------------------------------------------------------------------------------


def table(files: Sequence[CheckFile], results: Mapping[str, Mapping[str, Any]]) -> str:
    """docs/mlir-coverage.md. `results`: device -> file -> outcomes."""
    devices = [device for device in DEVICES if results.get(device)]
    lines = [
        "# MLIR dialects: what passes of IREE's own end-to-end tests",
        "",
        "Generated by `scripts/mlir_coverage.py --iree CHECKOUT`: every function of IREE's `tests/e2e` that uses the",
        "`check` dialect, run by `webree check`. A function is *refused* if the compiler says what it cannot do; it",
        "*fails* if a result is wrong; anything else that goes wrong is an *error*. Some files are written for one",
        "backend: `math_ops_rocm` allows 1.2e-7, the last bit of AMD's library; `scan_configured` and",
        "`lowering_config` name schedules of AMD's GPUs and of CPUs; an f16 product of `large_linalg_matmul` expects",
        "sums in 16 bits.",
        "",
    ]
    for device in devices:
        lines += [f"## On the device `{device}`", ""]
        lines += ["| suite | files | all functions pass | functions | passed | of all | failed | refused | error |"]
        lines += ["|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
        for suite, title in SUITES.items():
            members = [item for item in files if item.suite == suite]
            if members:
                lines.append(f"| {title} (`{suite}`) | {totals(members, results[device])} |")
        lines += [f"| **all** | {totals(files, results[device])} |", ""]
    lines += ["## By file", "", "Passed of all functions, and why the others do not.", ""]
    lines += ["| file | " + " | ".join(devices) + " | why |", "|---|" + "---:|" * len(devices) + "---|"]
    for item in files:
        cells = [share(results[device].get(item.name)) for device in devices]
        why = reasons({device: results[device].get(item.name, []) for device in devices})
        lines.append(f"| {item.name} | {' | '.join(cells)} | {why} |")
    return "\n".join(lines) + "\n"


def totals(files: Iterable[CheckFile], results: Mapping[str, Any]) -> str:
    """files | all functions pass | functions | passed | of all | failed | refused | error"""
    known = [counted(results[item.name]) for item in files if item.name in results]
    whole = sum(1 for outcomes in known if outcomes and all(entry["result"] == PASSED for entry in outcomes))
    found = Counter(entry["result"] for outcomes in known for entry in outcomes)
    count = sum(found.values())
    percent = f"{100 * found[PASSED] / count:.1f} %" if count else ""
    numbers = f"{found[FAILED]:,} | {found[REFUSED]:,} | {found[ERROR]:,}"
    return f"{len(known):,} | {whole:,} | {count:,} | {found[PASSED]:,} | {percent} | {numbers}"


def counted(outcomes: Sequence[Any]) -> list[Any]:
    """Functions that take arguments are none to check."""
    return [entry for entry in outcomes if entry["result"] != SKIPPED]


def share(outcomes: Sequence[Any] | None) -> str:
    """Passed of all, for one cell."""
    if outcomes is None:
        return "not run"
    found = counted(outcomes)
    return f"{sum(entry['result'] == PASSED for entry in found)}/{len(found)}"


def reasons(by_device: Mapping[str, Sequence[Any]]) -> str:
    """The functions that do not pass, by reason, for one cell."""
    where: dict[tuple[str, str], dict[str, list[str]]] = {}
    for device, outcomes in by_device.items():
        for entry in counted(outcomes):
            if entry["result"] != PASSED:
                key = (entry["result"], one_line(entry["why"], 150))
                where.setdefault(key, {}).setdefault(entry["function"], []).append(device)
    parts = []
    for (result, why), functions in where.items():
        names = list(functions)
        devices = list(dict.fromkeys(name for found in functions.values() for name in found))
        only = "" if len(devices) == len(by_device) else f" ({', '.join(devices)})"
        listed = ", ".join(name or "the file" for name in names[:3]) + (", …" if len(names) > 3 else "")
        parts.append(f"{result}{only}: {listed}: {why}")
    return "<br>".join(part.replace("|", "\\|") for part in parts)


def one_line(text: str, length: int) -> str:
    """A reason for one cell."""
    text = " ".join(text.split())
    text = re.sub(r"^expectation failed: ", "", text)
    text = re.sub(r" in \S+ at byte 0x[0-9A-F]+.*$", "", text)
    return text if len(text) <= length else text[:length] + " …"


# --- The program ------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run IREE's end-to-end tests and write docs/mlir-coverage.md.")
    parser.add_argument("--iree", type=Path, required=True, metavar="CHECKOUT", help="IREE's repository, checked out")
    parser.add_argument("--device", default="webgpu", help="as for `webree check`")
    parser.add_argument("--only", default="", help="regular expression for the names of files")
    parser.add_argument("--again", nargs="*", default=[], help="run files again that have functions with these results")
    parser.add_argument("--table", action="store_true", help="run nothing, write the table")
    parser.add_argument("--minutes", type=float, default=0, help="stop after this time (0: when all are done)")
    options = parser.parse_args(arguments)
    RESULTS.mkdir(parents=True, exist_ok=True)
    files = find_files(options.iree)
    store = RESULTS / f"{options.device}.json"
    stored = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    results = stored.setdefault(options.device, {})
    if not options.table:
        run(files, results, store, options)
    TABLE.write_text(table(files, stored), encoding="utf-8")
    counts = Counter(entry["result"] for outcomes in results.values() for entry in outcomes)
    print(f"{store.relative_to(ROOT)}: {dict(counts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
