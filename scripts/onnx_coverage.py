"""Run the ONNX project's own node tests through webree, and write the table of what passes.

    python scripts/onnx_coverage.py [--device webgpu|cpu] [--only PATTERN] [--one-per-op] [--again RESULT]
                                    [--table | --subset]

Enters: the cases that the package `onnx` generates, and the results of earlier runs in build/onnx-conformance/, so that
a run that was cut short goes on where it was. Leaves: those results, and docs/onnx-coverage.md. Cases run in a child
process, because the compiler may end its process at some of them; when that happens, the next child goes on behind it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import sys
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

RESULTS = ROOT / "build" / "onnx-conformance"
TABLE = ROOT / "docs" / "onnx-coverage.md"
SUBSET = ROOT / "tests" / "onnx" / "cases.txt"

PLAIN = ("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FLOAT16", "FLOAT", "DOUBLE")
PASS, FAIL, REFUSED, CRASH, TIMEOUT = RESULT_NAMES = ("pass", "fail", "refused", "crash", "timeout")
KINDS = {
    "plain": "tensors of bool, (u)int8/16/32/64, float16/32/64",
    "bfloat16": "tensors of bfloat16",
    "small": "tensors of 4-bit and 8-bit floats and 2-bit and 4-bit integers",
    "string": "strings",
    "sequence": "sequences and optionals",
    "domain": "other domains (ml, training)",
}
RANDOM = ("Bernoulli",)
"""Operators whose results no two implementations share: the standard names no generator."""
CASES_PER_CHILD = 60
CASE_SECONDS = 120


@dataclass(frozen=True)
class Case:
    """What the table says of a case, whatever its result."""

    name: str
    op: str
    kind: str
    opset: int
    types: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """Outcome of a case: one of RESULT_NAMES, the stage that it ended in, and why."""

    result: str
    stage: str = ""
    why: str = ""
    seconds: float = 0.0


# --- Cases ------------------------------------------------------------------------------------------------------------


def load_cases() -> dict[str, tuple[Case, Any]]:
    """All node cases of the installed `onnx`, by name, with the test itself."""
    from onnx.backend.test.loader import load_node_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tests = {test.name: test for test in load_node_model_tests()}
    return {name: (describe(name, test.model, tests), test) for name, test in sorted(tests.items())}


def describe(name: str, model: Any, tests: dict[str, Any]) -> Case:
    """The case's operator: for the expanded twin of a case that of the case itself, else the last node's."""
    origin = tests.get(re.sub(r"_expanded(_function)?(_ver\d+)?$", "", name))
    nodes = (origin.model if origin is not None else model).graph.node
    op = next((node for node in nodes if node.op_type.lower() in name.replace("_", "")), nodes[-1])
    domain = op.domain if op.domain != "ai.onnx" else ""
    versions = {("" if item.domain == "ai.onnx" else item.domain): item.version for item in model.opset_import}
    types = tuple(
        sorted({kind for item in (*model.graph.input, *model.graph.output) for kind in type_names(item.type)})
    )
    title = f"{domain}.{op.op_type}" if domain else op.op_type
    return Case(name, title, kind_of(types, versions), versions.get("", 0), types)


def type_names(kind: Any) -> list[str]:
    """Element types of a value; `SEQUENCE`, `OPTIONAL` and the like for what is no tensor."""
    from onnx import TensorProto

    which = kind.WhichOneof("value")
    if which == "tensor_type":
        return [TensorProto.DataType.Name(kind.tensor_type.elem_type)]
    return [str(which).removesuffix("_type").upper()]


def kind_of(types: Iterable[str], domains: Iterable[str]) -> str:
    """A key of KINDS."""
    rest = set(types) - set(PLAIN)
    if set(domains) - {"", "ai.onnx.preview"}:
        return "domain"
    if not rest:
        return "plain"
    if rest & {"SEQUENCE", "OPTIONAL", "MAP", "SPARSE_TENSOR"}:
        return "sequence"
    if "STRING" in rest:
        return "string"
    return "bfloat16" if rest == {"BFLOAT16"} else "small"


# --- Running ----------------------------------------------------------------------------------------------------------


def run_case(test: Any, device: str) -> Result:
    """One case, in this process."""
    import numpy
    from onnx.backend.test.runner import Runner, _normalize_tensor

    from webree import onnx_backend
    from webree.errors import CompileError, WebreeError

    stage = "compile"
    began = time.process_time()
    try:
        with warnings.catch_warnings(), numpy.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            prepared = onnx_backend.prepare(test.model, device)
            for inputs, expected in test.data_sets:
                stage = "run"
                found = prepared.run([_normalize_tensor(item) for item in inputs])
                stage = "compare"
                expected = [_normalize_tensor(item) for item in expected]
                if any(node.op_type in RANDOM for node in test.model.graph.node) or "bernoulli" in test.name:
                    assert_same_kind(expected, found)
                else:
                    Runner.assert_similar_outputs(expected, found, test.rtol, test.atol)
    except (WebreeError, AssertionError) as error:
        refused = isinstance(error, CompileError) and error.unsupported
        return Result(REFUSED if refused else FAIL, stage, reason(error), time.process_time() - began)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__}: {reason(error)} ({Path(where.filename).name}:{where.lineno})"
        return Result(FAIL, stage, why, time.process_time() - began)
    return Result(PASS, "", "", time.process_time() - began)


def assert_same_kind(expected: Sequence[Any], found: Sequence[Any]) -> None:
    """What is drawn at random has the right size and type, and takes no value that the expected result cannot take."""
    import numpy

    for wanted, array in zip(expected, found, strict=True):
        assert (wanted.shape, wanted.dtype) == (array.shape, array.dtype), f"{array.dtype} {array.shape}"
        assert numpy.isin(array, [0, 1]).all(), f"values beside 0 and 1: {array}"


def reason(error: Exception) -> str:
    """The error in one line."""
    text = " ".join(str(error).split())
    return text if len(text) < 600 else text[:600] + " …"


def child(tests: Sequence[Any], device: str, pipe: Connection) -> None:
    """Run cases one after the other, and send each result."""
    sink = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):  # MLIR prints a stack trace when it ends the process
        os.dup2(sink, descriptor)
    for test in tests:
        pipe.send(asdict(run_case(test, device)))
    pipe.close()


def run_cases(tests: Sequence[Any], device: str) -> Iterable[tuple[Any, Result]]:
    """Each test with its result, in order, as they come."""
    context = multiprocessing.get_context("fork")  # the cases are there already; no thread runs here yet
    position = 0
    while position < len(tests):
        batch = tests[position : position + CASES_PER_CHILD]
        receive, send = context.Pipe(duplex=False)
        process = context.Process(target=child, args=(batch, device, send))
        process.start()
        send.close()
        for test in batch:
            position += 1
            try:
                if not receive.poll(CASE_SECONDS):
                    process.kill()
                    yield test, Result(TIMEOUT, "", f"not done after {CASE_SECONDS} s")
                    break
                yield test, Result(**receive.recv())
            except EOFError:
                process.join()
                yield test, Result(CRASH, "compile", f"the process ended (exit code {process.exitcode})")
                break
        process.join()
        receive.close()


# --- The table --------------------------------------------------------------------------------------------------------


def table(cases: Sequence[Case], results: dict[str, Result], device: str) -> str:
    """docs/onnx-coverage.md."""
    import onnx

    ran = [case for case in cases if case.name in results]
    lines = [
        "# ONNX operators: what passes of ONNX's own node tests",
        "",
        f"Generated by `scripts/onnx_coverage.py` from the {len(cases):,} node cases of the package onnx",
        f"{onnx.__version__}, run through `webree.onnx_backend` on the device `{device}`.",
        f"Cases whose result is known: {len(ran):,}.",
        "A case is *refused* if webree says at compile time which operation or type it cannot do; it *fails* if",
        "anything else goes wrong (a wrong result, an error at run time, a compiler that ends its process).",
        "WebGPU has no 64-bit floats: cases with them are computed in 32 bits, of which the compiler warns.",
        f"Results of {', '.join(RANDOM)} are random: their size, type and range are compared.",
        "",
        "| inputs and outputs | cases | run | pass | of those run | refused | fail |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for kind, title in KINDS.items():
        members = [case for case in cases if case.kind == kind]
        lines.append(f"| {title} | {totals(members, results)} |")
    lines += [f"| **all** | {totals(cases, results)} |", "", "## By operator", ""]
    lines += ["Types are those of the cases that pass. `+` after a reason: and as many further cases.", ""]
    lines += ["| operator | opsets | types | cases | run | pass | of those run | refused | fail | why |"]
    lines += ["|---|---|---|---:|---:|---:|---:|---:|---:|---|"]
    by_op: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_op[case.op].append(case)
    for op, members in sorted(by_op.items(), key=lambda item: ("." in item[0], item[0].lower())):
        opsets = ", ".join(map(str, sorted({case.opset for case in members if case.opset})))
        passed = [case for case in members if case.name in results and results[case.name].result == PASS]
        types = ", ".join(sorted({name.lower() for case in passed for name in case.types}))
        lines.append(f"| {op} | {opsets} | {types} | {totals(members, results)} | {reasons(members, results)} |")
    return "\n".join(lines) + "\n"


def totals(cases: Sequence[Case], results: dict[str, Result]) -> str:
    """cases | run | pass | of those run | refused | fail"""
    found = Counter(results[case.name].result for case in cases if case.name in results)
    ran = sum(found.values())
    share = f"{100 * found[PASS] / ran:.1f} %" if ran else ""
    failed = found[FAIL] + found[CRASH] + found[TIMEOUT]
    return f"{len(cases):,} | {ran:,} | {found[PASS]:,} | {share} | {found[REFUSED]:,} | {failed:,}"


def reasons(cases: Sequence[Case], results: dict[str, Result]) -> str:
    """The two most frequent reasons, short."""
    found: Counter[str] = Counter()
    for case in cases:
        item = results.get(case.name)
        if item is not None and item.result != PASS:
            found[short_reason(item)] += 1
    parts = [f"{why} (+{count - 1})" if count > 1 else why for why, count in found.most_common(2)]
    return "; ".join(parts) + ("; …" if len(found) > 2 else "")


def short_reason(item: Result) -> str:
    """A result's reason for one cell."""
    why = re.sub(r"^model\.onnx: ", "", item.why)
    why = why.partition(" first: ")[0]
    if item.stage == "compare":
        mismatch = re.search(r"Mismatched elements: [^)]*\)", why)
        why = "wrong result: " + (mismatch[0].lower() if mismatch else why)
    why = why if len(why) < 140 else why[:140] + " …"
    return why.replace("|", "\\|")


def subset(cases: Sequence[Case], results: dict[str, Result]) -> str:
    """tests/onnx/cases.txt: of each operator the case that passes in the least time, of each kind of types."""
    fastest: dict[tuple[str, str], tuple[float, str]] = {}
    for case in cases:
        item = results.get(case.name)
        if item is not None and item.result == PASS and "_expanded" not in case.name and case.op not in RANDOM:
            key = (case.op, case.kind)
            fastest[key] = min(fastest.get(key, (item.seconds, case.name)), (item.seconds, case.name))
    return "".join(f"{name}\n" for name in sorted(name for _, name in fastest.values()))


# --- The program ------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Run ONNX's node tests through webree and write docs/onnx-coverage.md."
    )
    parser.add_argument("--device", default="webgpu", help="webgpu, cpu or vmvx")
    parser.add_argument("--only", default="", help="regular expression for the names of cases")
    parser.add_argument("--kind", choices=KINDS, help="cases of one kind of types")
    parser.add_argument("--one-per-op", action="store_true", help="one case of each operator")
    parser.add_argument(
        "--again", nargs="*", default=[], choices=RESULT_NAMES, help="run those with these results again"
    )
    parser.add_argument("--table", action="store_true", help="run nothing, write the table")
    parser.add_argument("--subset", action="store_true", help="run nothing, choose the cases of tests/onnx/cases.txt")
    parser.add_argument("--minutes", type=float, default=0, help="stop after this time (0: when all are done)")
    options = parser.parse_args(arguments)
    cases = load_cases()
    RESULTS.mkdir(parents=True, exist_ok=True)
    store = RESULTS / f"{options.device}.json"
    results = {name: Result(**item) for name, item in json.loads(store.read_text()).items()} if store.exists() else {}
    if options.subset:
        SUBSET.write_text(subset([case for case, _ in cases.values()], results), encoding="utf-8")
        return 0
    if not options.table:
        run(cases, results, store, options)
    TABLE.write_text(table([case for case, _ in cases.values()], results, options.device), encoding="utf-8")
    print(f"{store.relative_to(ROOT)}: {dict(Counter(item.result for item in results.values()))}")
    return 0


def run(cases: dict[str, tuple[Case, Any]], results: dict[str, Result], store: Path, options: Any) -> None:
    """Run what is asked for and not known yet."""
    chosen = []
    seen = set()
    for name, (case, test) in cases.items():
        known = results.get(name)
        wanted = known is None or known.result in options.again
        if not re.search(options.only, name) or options.kind not in (None, case.kind):
            continue
        if options.one_per_op and ((case.op, case.kind) in seen or "_expanded" in name):
            continue
        seen.add((case.op, case.kind))
        if wanted:
            chosen.append(test)
    deadline = time.monotonic() + 60 * options.minutes
    for test, result in run_cases(chosen, options.device):
        results[test.name] = result
        store.write_text(json.dumps({name: asdict(item) for name, item in sorted(results.items())}, indent=0))
        print(f"{result.result:8}{test.name}  {result.stage} {result.why[:160]}", flush=True)
        if options.minutes and time.monotonic() > deadline:
            break


if __name__ == "__main__":
    sys.exit(main())
