"""webree and ONNX Runtime Web side by side: the same Chromium, page, device, models and inputs.

Enters: names of models (random weights; Magika's are real), a device, a number of repetitions. Leaves: a table and, if
asked, JSON: for each model the time to load, of the first call and the median of the calls after it, for both, with
ratios (below 1: webree is faster) and the outputs' error against ONNX Runtime on the CPU. On WebGPU then what webree
itself costs: the host's time for a call of many dispatches, submissions and crossings, the size of its wheel, the time
to import it. On the CPU both get the same number of threads, first 1, then 2, on a page that is cross-origin isolated.

Both sides are timed on the page (`performance.now()`): a load from the file's address to ready, a call from arrays to
arrays. The two take turns, call by call or a few calls at a time, so that whatever else the machine does falls on both.
webree's part runs in a worker, messages included in its times; starting Python once is told apart. ONNX Runtime runs on
the page itself.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import webree
from benchmarks import models as random_models
from tests.models import MODELS, Model, reference, relative_error
from webree.errors import UsageError
from webree.tools import measurement
from webree.tools.browser_session import BrowserSession
from webree.tools.site_parts import pyodide_folder, runtime_wheel

__all__ = ["compare", "main", "own_costs"]

PROFILE = "webgpu-software"  # the headless browser computes on SwiftShader
TIMES = {"load_ms": "load", "first_call_ms": "first call", "first_result_ms": "both", "median_ms": "median call"}
"""On WebGPU ONNX Runtime compiles its kernels in the first call, webree when it loads: compare the sum of the two."""

CHAIN_LENGTH = 60
CHAIN_WIDTH = 16
IMPORT_RUNS = 5

PEER_FILES = {"webgpu": "ort.webgpu.bundle.min.mjs", "wasm": "ort.wasm.bundle.min.mjs"}
CPU_MODELS = ("squeezenet", "mobilenet_v2", "resnet50", "minilm_l6")


def _minilm(seed: int) -> bytes:
    model = random_models.minilm_l6(seed, tokens=MINILM_TOKENS)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _minilm_inputs(seed: int) -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(seed)
    ids = random.integers(0, 1000, (1, MINILM_TOKENS))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


MINILM_TOKENS = 128
EVERY_MODEL = (*MODELS, Model("minilm_l6", _minilm, _minilm_inputs))
"""Of the tests, and an encoder of sentences on a full row of tokens."""

CALLS_IN_A_ROW = {"webgpu": 1, "cpu": 5}
"""How many calls of one side come before the other's turn. On the CPU every change of sides finds cold caches."""

PEER = """
import * as ort from "/ort/PEER_FILE";
ort.env.wasm.wasmPaths = "/ort/";
ort.env.wasm.numThreads = THREADS;
ort.env.logLevel = "error";
let session, inputs, module;
const timed = async (action) => {
    const start = performance.now();
    const result = await action();
    return [result, performance.now() - start];
};
const fetchBuffer = async (url) => (await fetch(url)).arrayBuffer();
const arrays = {float32: Float32Array, int32: Int32Array, int64: BigInt64Array};
const flat = (results) => results.map((data) => Array.from(data, Number));
globalThis.bench = {
    async prepare(specs) {
        inputs = await Promise.all(specs.map(async ({name, url, dtype, shape}) => ({
            name, dtype, shape, data: new arrays[dtype](await fetchBuffer(url)),
        })));
    },
    async loadPeer(url, provider) {
        const [loaded, ms] = await timed(async () =>
            ort.InferenceSession.create(await fetchBuffer(url), {executionProviders: [provider]}));
        session = loaded;
        return ms;
    },
    async callPeer(keep) {
        const [results, ms] = await timed(async () => {
            const feeds = Object.fromEntries(inputs.map(({name, dtype, shape, data}) =>
                [name, new ort.Tensor(dtype, data, shape)]));
            const found = await session.run(feeds);
            return Promise.all(session.outputNames.map((name) => found[name].getData()));
        });
        return [keep ? flat(results) : null, ms];
    },
    async loadOurs(url, device) {
        const [loaded, ms] = await timed(() => webree.load(url, {device}));
        module = loaded;
        return ms;
    },
    async callOurs(keep) {
        const [results, ms] = await timed(() => module.call("main", inputs));
        return [keep ? flat(results.map(({data}) => data)) : null, ms];
    },
    async close() {
        await module.close();
        await session.release();
    },
};
"""


def chain(length: int = CHAIN_LENGTH) -> str:
    """A program of so many small matrix products of growing width, each a dispatch of a kernel of its own."""
    random = np.random.default_rng(0)
    widths = [CHAIN_WIDTH + 4 * step for step in range(length + 1)]
    lines = ["  %zero = arith.constant 0.0 : f32"]
    for step, (width, wider) in enumerate(pairwise(widths)):
        weights = (random.standard_normal((width, wider)) / width**0.5).astype("<f4").tobytes().hex()
        x, w, y = f"tensor<4x{width}xf32>", f"tensor<{width}x{wider}xf32>", f"tensor<4x{wider}xf32>"
        lines += [
            f'  %w{step} = arith.constant dense<"0x{weights}"> : {w}',
            f"  %e{step} = tensor.empty() : {y}",
            f"  %i{step} = linalg.fill ins(%zero : f32) outs(%e{step} : {y}) -> {y}",
            f"  %x{step + 1} = linalg.matmul ins(%x{step}, %w{step} : {x}, {w}) outs(%i{step} : {y}) -> {y}",
        ]
    body = "\n".join(lines)
    result = f"tensor<4x{widths[-1]}xf32>"
    signature = f"@main(%x0: tensor<4x{CHAIN_WIDTH}xf32>) -> {result}"
    return f"func.func {signature} {{\n{body}\n  return %x{length} : {result}\n}}\n"


@functools.cache
def compiled(name: str, seed: int, device: str) -> bytes:
    """The module, compiled once for all thread counts."""
    (model,) = (model for model in EVERY_MODEL if model.name == name)
    profile = None if device == "cpu" else PROFILE
    return webree.compile(model.make(seed), target=device, profile=profile, dims=dict(model.dims))


def compare(
    session: BrowserSession, model: Model, seed: int, repetitions: int, device: str, provider: str
) -> dict[str, Any]:
    """One model on both; times in ms."""
    data, inputs = model.make(seed), model.inputs(seed)
    expected = reference(data, inputs)
    module = compiled(model.name, seed, device)
    urls = {"onnx": session.serve("model.onnx", data), "vmfb": session.serve("model.vmfb", module)}
    specs = []
    for number, (name, array) in enumerate(inputs.items()):
        url = session.serve(f"input-{number}", array.tobytes())
        specs.append({"name": name, "url": url, "dtype": array.dtype.name, "shape": list(array.shape)})
    evaluate = session.page.evaluate
    evaluate("specs => bench.prepare(specs)", specs)

    loads = {
        "webree": evaluate("([url, device]) => bench.loadOurs(url, device)", [urls["vmfb"], device]),
        "ort_web": evaluate("([url, provider]) => bench.loadPeer(url, provider)", [urls["onnx"], provider]),
    }
    calls = {"webree": "keep => bench.callOurs(keep)", "ort_web": "keep => bench.callPeer(keep)"}
    result: dict[str, Any] = {"model": model.name, "module_bytes": len(module), "onnx_bytes": len(data)}
    for side, call in calls.items():
        found, first = evaluate(call, True)
        errors = [
            relative_error(np.array(mine, theirs.dtype).reshape(theirs.shape), theirs)
            for mine, theirs in zip(found, expected, strict=True)
        ]
        result[side] = {"load_ms": loads[side], "first_call_ms": first, "relative_error": max(errors), "calls_ms": []}
    for _ in range(repetitions):
        for side, call in calls.items():
            for _ in range(CALLS_IN_A_ROW[device]):
                result[side]["calls_ms"].append(evaluate(call, False)[1])
    for side in calls:
        result[side]["median_ms"] = statistics.median(result[side]["calls_ms"])
        result[side]["fastest_ms"] = min(result[side]["calls_ms"])
        result[side]["first_result_ms"] = result[side]["load_ms"] + result[side]["first_call_ms"]
    ours, peer = result["webree"], result["ort_web"]
    result["ratio"] = {key: ours[key] / peer[key] for key in (*TIMES, "fastest_ms")}
    evaluate("bench.close()")
    return result


def own_costs(session: BrowserSession, repetitions: int) -> dict[str, Any]:
    """What webree itself costs, in the browser and natively."""
    url = session.serve("chain.vmfb", webree.compile(chain().encode(), profile=PROFILE))
    session.run(Path(measurement.__file__).read_text(encoding="utf-8") + "\nNone\n")
    code = """
module, _seconds = await load(url, "auto", None)
numbers = await measure(module, "main", [tensor(x.to_bytes(), (4, width), "float32")], {}, repetitions)
module.close()
numbers
"""
    x = np.ones((4, CHAIN_WIDTH), np.float32).tobytes()
    numbers = session.run(code, url=url, x=x, width=CHAIN_WIDTH, repetitions=repetitions)
    with tempfile.TemporaryDirectory() as folder:
        wheel_bytes = runtime_wheel(Path(folder)).stat().st_size
    return {
        "dispatches": numbers["per_call"]["dispatches"],
        "submissions": numbers["per_call"]["submissions"],
        "host_ms": numbers["host_ms"],
        "call_ms": numbers["median_call_ms"],
        "import_in_pyodide_ms": session.run(IMPORT),
        "import_natively_ms": statistics.median(_import_natively() for _ in range(IMPORT_RUNS)),
        "browser_wheel_bytes": wheel_bytes,
    }


IMPORT = """
import shutil, sys, time
from pathlib import Path
_kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "webree"}
for _folder in list(Path(_kept["webree"].__file__).parent.rglob("__pycache__")):
    shutil.rmtree(_folder)
_start = time.perf_counter()
import webree
_time_ms = 1000 * (time.perf_counter() - _start)
sys.modules.update(_kept)
_time_ms
"""
"""A cold import: no bytecode is cached."""


def _import_natively() -> float:
    code = "import time; start = time.perf_counter(); import webree; print(1000 * (time.perf_counter() - start))"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def _peer_folder() -> Path:
    folder = pyodide_folder().parent / "onnxruntime-web" / "dist"
    if not all((folder / name).is_file() for name in PEER_FILES.values()):
        raise UsageError(f"ONNX Runtime Web is not installed in {folder.parent.parent}; run `npm ci`")
    return folder


def print_row(result: dict[str, Any]) -> None:
    """Load, first call and median of both, and the ratios."""
    for side, name in (("webree", "webree"), ("ort_web", "ORT Web")):
        row = result[side]
        times = "".join(f"{row[key]:>14.0f}" for key in TIMES)
        title = result["model"] if side == "webree" else ""
        print(f"{title:14}{name:10}{times}  {row['relative_error']:>14.1e}")
    ratio = result["ratio"]
    times = "".join(f"{ratio[key]:>14.2f}" for key in TIMES)
    print(f"{'':14}{'ratio':10}{times}", flush=True)


def print_heading(session: BrowserSession, device: str, threads: int, repetitions: int) -> None:
    browser = session.page.context.browser
    version = browser.version if browser else ""
    where = f"the CPU, {threads} thread{'s' * (threads > 1)}" if device == "cpu" else "SwiftShader"
    print(f"\nms, {where}, Chromium {version}, medians of {repetitions}")
    print(f"{'model':24}{''.join(f'{title:>14}' for title in TIMES.values())}  {'relative error':>14}", flush=True)


def _open_page(session: BrowserSession, provider: str, threads: int) -> float:
    """Put both sides on the page and start Python; returns the milliseconds that took."""
    session.server.mounts["/ort/"] = _peer_folder()
    script = PEER.replace("PEER_FILE", PEER_FILES[provider]).replace("THREADS", str(threads))
    session.server.files["/bench.js"] = script.encode()
    session.page.add_script_tag(url="/bench.js", type="module")
    session.page.wait_for_function("globalThis.bench !== undefined")
    if threads > 1 and not session.page.evaluate("crossOriginIsolated"):
        raise UsageError("the page is not cross-origin isolated, so that neither side has threads")
    start_ms: float = session.page.evaluate(
        "async () => { const start = performance.now(); await webree.start(); return performance.now() - start; }"
    )
    return start_ms


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    names = ",".join(model.name for model in EVERY_MODEL)
    parser.add_argument("--device", default="webgpu", choices=("webgpu", "cpu"), help="of both (default: webgpu)")
    parser.add_argument("--models", help=f"some of {names}, or none (own costs only)")
    parser.add_argument("--threads", default="1,2", help="numbers of threads on the CPU (default: 1,2)")
    parser.add_argument("--repetitions", type=int, default=5, help="calls to take the median of (5)")
    parser.add_argument("--provider", choices=tuple(PEER_FILES), help="ONNX Runtime's (default: as the device)")
    parser.add_argument("--seed", type=int, default=1, help="of weights and inputs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """`python -m benchmarks.browser`."""
    arguments = _parser().parse_args(words)
    device: str = arguments.device
    threads: tuple[int, ...] = (0,)
    provider = arguments.provider or ("wasm" if device == "cpu" else "webgpu")
    names = (arguments.models or ",".join(CPU_MODELS if device == "cpu" else [model.name for model in MODELS])).split(
        ","
    )
    chosen = [model for model in EVERY_MODEL if model.name in names]
    if missing := set(names) - {model.name for model in chosen} - {"none"}:
        raise UsageError(
            f"no model named {', '.join(missing)}; there are {', '.join(model.name for model in EVERY_MODEL)}"
        )
    if device == "cpu":
        threads = tuple(int(word) for word in arguments.threads.split(","))
    measured: list[dict[str, Any]] = []
    costs: dict[str, Any] = {}
    for count in threads:
        adapter = "none" if device == "cpu" and provider == "wasm" else "swiftshader"
        with BrowserSession(adapter=adapter, threads=count) as session:
            start_ms = _open_page(session, provider, count or 1)
            print_heading(session, device, count, arguments.repetitions * CALLS_IN_A_ROW[device])
            for model in chosen:
                row = compare(session, model, arguments.seed, arguments.repetitions, device, provider)
                measured.append({"threads": count, **row})
                print_row(row)
            if device == "webgpu":
                costs = {"python_start_ms": start_ms, **own_costs(session, max(20, arguments.repetitions))}
    if costs:
        print("\nwebree's own costs")
    for name, value in costs.items():
        print(f"  {name:24}{value:>12,.1f}")
    if arguments.json:
        facts = {"device": device, "provider": provider, "models": measured, "own_costs": costs}
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except webree.WebreeError as error:
        sys.exit(f"benchmarks.browser: error: {error}")
