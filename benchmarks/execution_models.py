"""What each execution model costs: module, runtime, loading, calling; natively and under Pyodide in Chromium.

Enters: nothing; the models are an LSTM over 16 steps (a program with a loop and little arithmetic) and SqueezeNet (a
straight line of much arithmetic), with random weights. Leaves: a Markdown table, and JSON if asked. "Runtime" is what a
program of that kind loads of webree: its Python files, JavaScript and WebAssembly, each compressed by itself. Every
result is compared with ONNX Runtime's. Docs/execution-models.md explains the models.

The measured text runs twice in a fresh process, and in a fresh worker of Chromium; both are the same text.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import webree
from benchmarks.models import light
from tests.models import reference, relative_error
from webree.tools.browser_session import BrowserSession

__all__ = ["KINDS", "lstm", "main"]

STEPS, FEATURES, HIDDEN = 16, 16, 32
BUDGET_S = 3.0
LIMIT_S = 120.0
SLOW_MS = 5000.0
RUNS = 2
"""Times are the best of so many runs, each in a process or browser of its own. What is too slow natively is not tried
in Chromium."""


@dataclass(frozen=True)
class Kind:
    """A row: what `webree.compile` is told, and the device that runs it."""

    target: str
    execution_model: str
    device: str
    profile: str | None = None

    @property
    def title(self) -> str:
        return f"{self.execution_model}, {self.profile or self.target}"


KINDS = (
    Kind("webgpu", "async-internal", "webgpu", "webgpu-software"),
    Kind("cpu", "async-internal", "cpu"),
    Kind("cpu", "async-external", "cpu"),
    Kind("cpu", "inline-dynamic", "auto"),
    Kind("vmvx", "async-internal", "vmvx"),
    Kind("vmvx", "async-internal", "vmvx", "vmvx-microkernels"),
    Kind("vmvx", "inline-dynamic", "auto"),
    Kind("vmvx", "inline-static", "auto"),
)

MEASURE = """
import sys, time, zlib
from pathlib import Path

async def measure(source, device, inputs, budget_s):
    import webree
    from webree.array import Array
    from webree.dtypes import by_name
    from webree.module.source import MemorySource

    arrays = [Array(MemorySource(data), tuple(shape), by_name(dtype)) for data, shape, dtype in inputs]
    start = time.perf_counter()
    module = await webree.load_async(source, device=device)
    load = time.perf_counter() - start
    function = next(iter(module.functions.values()))
    times, end = [], time.perf_counter() + budget_s
    while len(times) < 3 or time.perf_counter() < end and len(times) < 100:
        start = time.perf_counter()
        result = await function.call_async(*arrays)
        times.append(time.perf_counter() - start)
        if times[0] > 4 * budget_s:
            break
    numbers = {"load_ms": load * 1e3, "first_ms": times[0] * 1e3, "call_ms": min(times) * 1e3}
    numbers["runtime_bytes"] = runtime_bytes()
    numbers["adapter"] = module.device.info.name
    await module.close_async()
    return [numbers, result]

def runtime_bytes():
    loaded = [getattr(module, "__file__", None) for name, module in sys.modules.items() if name.startswith("webree")]
    files = {Path(path) for path in loaded if path and "tools" not in path}
    package = next(path.parent for path in files if path.name == "api.py")
    for room, needed in (("hal_local", "arena.py"), ("hal_webgpu", "backend.py")):
        if package / room / needed in files:
            files |= {path for path in (package / room / "player").iterdir() if path.suffix in (".js", ".wasm")}
    return sum(len(zlib.compress(path.read_bytes(), 9)) for path in files)
"""

NATIVE = """
import asyncio, json
import numpy
inputs = numpy.load(sys.argv[3])
arrays = [(value.tobytes(), value.shape, value.dtype.name) for value in inputs.values()]
numbers, result = asyncio.run(measure(sys.argv[1], sys.argv[2], arrays, float(sys.argv[4])))
numpy.save(sys.argv[5], numpy.asarray(result))
print(json.dumps(numbers))
"""


def lstm(seed: int) -> bytes:
    """An ONNX model: one LSTM layer, and a matrix product on its last output."""
    random = np.random.default_rng(seed)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array((random.standard_normal(shape) / shape[-1] ** 0.5).astype(np.float32), name)

    graph = helper.make_graph(
        [
            helper.make_node("LSTM", ["x", "w", "r", "b"], ["all", "last", "cell"], hidden_size=HIDDEN),
            helper.make_node("Reshape", ["last", "shape"], ["flat"]),
            helper.make_node("MatMul", ["flat", "out"], ["y"]),
        ],
        "lstm",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [STEPS, 1, FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [
            weights("w", 1, 4 * HIDDEN, FEATURES),
            weights("r", 1, 4 * HIDDEN, HIDDEN),
            weights("b", 1, 8 * HIDDEN),
            weights("out", HIDDEN, 4),
            numpy_helper.from_array(np.array([1, HIDDEN], np.int64), "shape"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString(deterministic=True))


@functools.cache
def model_bytes(name: str, seed: int) -> bytes:
    return lstm(seed) if name == "lstm" else bytes(light(name, seed).SerializeToString(deterministic=True))


def model_inputs(name: str, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    (value,) = onnx.load_from_string(model_bytes(name, seed)).graph.input
    shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    return {value.name: np.random.default_rng(seed).standard_normal(shape).astype(np.float32)}


def measure_natively(module: bytes, kind: Kind, inputs: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Numbers and the result, of a process of its own. Raises `TimeoutError` after a minute."""
    with tempfile.TemporaryDirectory() as folder:
        path, given, found = (Path(folder) / name for name in ("m.vmfb", "x.npz", "y.npy"))
        path.write_bytes(module)
        np.savez(given, **inputs)
        words = [sys.executable, "-c", MEASURE + NATIVE, str(path), kind.device, str(given), str(BUDGET_S), str(found)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"more than {LIMIT_S:.0f} s") from None
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        return json.loads(done.stdout), np.load(found)


def measure_in_chromium(module: bytes, kind: Kind, inputs: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """The same of a worker of its own."""
    with BrowserSession(adapter="swiftshader" if kind.target == "webgpu" else "none") as session:
        url = session.serve("module.vmfb", module)
        arrays = [[value.tobytes(), list(value.shape), value.dtype.name] for value in inputs.values()]
        session.run(MEASURE + "\nNone\n")
        code = "[numbers, result] = await measure(url, device, [(bytes(d), s, t) for d, s, t in arrays], budget)\n"
        session.run(code + "None", url=url, device=kind.device, arrays=arrays, budget=BUDGET_S)
        return session.run("numbers"), session.run("result")


def rows(name: str, kinds: Sequence[Kind], seed: int) -> list[dict[str, Any]]:
    """All kinds of one model; what cannot be compiled or takes too long says so in `failed`."""
    data, inputs = model_bytes(name, seed), model_inputs(name, seed)
    (expected,) = reference(data, inputs)
    found: list[dict[str, Any]] = []
    for kind in kinds:
        row: dict[str, Any] = {"model": name, "kind": kind.title}
        found.append(row)
        try:
            module = webree.compile(
                data, target=kind.target, profile=kind.profile, execution_model=kind.execution_model
            )
            row["module_bytes"] = len(module)
            for place, measure in (("native", measure_natively), ("chromium", measure_in_chromium)):
                if row.get("native", {}).get("call_ms", 0) > SLOW_MS:
                    break
                runs = [measure(module, kind, inputs) for _ in range(RUNS)]
                row[place] = {key: _best([numbers[key] for numbers, _ in runs]) for key in runs[0][0]}
                result = np.asarray(runs[0][1]).reshape(expected.shape)
                row[place]["relative_error"] = relative_error(result, expected)
        except (webree.WebreeError, TimeoutError, RuntimeError) as error:
            row["failed"] = str(error).splitlines()[0]
        print_row(row)
    return found


def _best(values: list[Any]) -> Any:
    """The least number: whatever else the machine does only adds to it."""
    return values[0] if isinstance(values[0], str) else min(values)


def print_row(row: dict[str, Any]) -> None:
    cells = [row["model"], row["kind"], f"{row['module_bytes'] / 1e3:,.0f}" if "module_bytes" in row else "-"]
    for place in ("native", "chromium"):
        numbers = row.get(place)
        if numbers is None:
            cells += [row["failed"], *["-"] * 3] if "failed" in row and "-" not in cells[3:] else ["-"] * 4
        else:
            cells += [f"{numbers['runtime_bytes'] / 1e3:,.0f}"]
            cells += [f"{numbers[key]:,.1f}" for key in ("load_ms", "first_ms", "call_ms")]
    print("| " + " | ".join(cells) + " |", flush=True)


def main(words: Sequence[str] | None = None) -> int:
    """`python -m benchmarks.execution_models`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--models", default="lstm,squeezenet")
    parser.add_argument("--kinds", default="", metavar="PART", help="only rows with this in their title")
    parser.add_argument("--seed", type=int, default=1, help="of weights and inputs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    arguments = parser.parse_args(words)
    heads = [f"{place}: {what}" for place in ("native", "Pyodide") for what in ("runtime KB", "load", "first", "call")]
    print("| " + " | ".join(["model", "kind", "module KB", *heads]) + " |")
    print("|" + "---|" * (3 + len(heads)))
    kinds = [kind for kind in KINDS if arguments.kinds in kind.title]
    found = [row for name in arguments.models.split(",") for row in rows(name, kinds, arguments.seed)]
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    wrong = [
        row for row in found for place in ("native", "chromium") if row.get(place, {}).get("relative_error", 0) > 1e-4
    ]
    for row in wrong:
        print(f"wrong: {row}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
