"""Time of every CPU kernel of a model in V8, one thread, beside ONNX Runtime Web's WebAssembly back end.

Enters: a model file, or names of `benchmarks.models`. Leaves: a table: milliseconds of CPU time per kernel (best of
several runs, summed over the kernel's dispatches) with GFLOP/s where the name tells the sizes, and the sum; then ONNX
Runtime Web's time for a call, if its package is there (`--ort FOLDER`, the folder of `ort.wasm.min.mjs`).

The model is compiled as `webree compile --target cpu` does; the dispatches of its host program are read from the phase
`hal`, so its shapes must be known. Node then plays them in their order. Values do not matter: every buffer holds small
numbers. CPU time is what counts, because it does not change much with whatever else the machine does.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import models
from webree.compiler.frontends import import_model, open_source
from webree.compiler.pipeline import Pipeline
from webree.compiler.plan import make_plan
from webree.compiler.session import Session
from webree.errors import UsageError

__all__ = ["main", "record"]

_SCRIPT = Path(__file__).with_suffix(".mjs")
_FUNCTION = re.compile(r"function\(.*::@(\w+)\)")


def record(model: Path, folder: Path) -> int:
    """Compile a model; write its kernels' libraries and its dispatches to a folder; returns how many there are.

    Raises `CompileError`, and `UsageError` for a model with unknown sizes."""
    plan = make_plan("cpu", None, "async-internal")
    with Session(plan.session_flags([])) as session:
        pipeline = Pipeline(session, plan, dump_wasm=folder)
        imported = import_model(session, open_source(model), "auto", dims={}, entry_name="main")
        module = pipeline.lower_to(imported, "hal")
        dispatches = [_dispatch(op) for op in _walk(module) if op.name == "hal.command_buffer.dispatch"]
    (folder / "dispatches.json").write_text(json.dumps(dispatches))
    return len(dispatches)


def _dispatch(op: Any) -> dict[str, Any]:
    """Operands by the operation's segments: command buffer, executable, function, counts, constants, bindings."""
    from iree.compiler import ir

    segments, parts, position = list(ir.DenseI32ArrayAttr(op.attributes["operandSegmentSizes"])), [], 0
    for count in segments:
        parts.append(list(op.operands)[position : position + count])
        position += count
    function = _FUNCTION.search(parts[2][0].owner.get_asm())
    numbers = [[_number(value) for value in part] for part in (*parts[3:7], *parts[-2:])]
    if function is None or any(number is None for part in numbers for number in part):
        raise UsageError("the model has sizes that only a call knows; bind them (benchmarks play recorded dispatches)")
    x, y, z, constants, offsets, lengths = numbers
    return {
        "function": function[1],
        "count": [*x, *y, *z],
        "constants": constants,
        "buffers": [value.get_name() for value in parts[-3]],
        "offsets": offsets,
        "lengths": lengths,
    }


def _number(value: Any) -> int | None:
    from iree.compiler import ir

    owner = value.owner
    if isinstance(owner, ir.Block) or owner.name != "arith.constant":
        return None
    return int(ir.IntegerAttr(owner.attributes["value"]).value)


def _walk(op: Any) -> Iterator[Any]:
    for region in op.regions:
        for block in region:
            for inner in block:
                yield inner.operation
                yield from _walk(inner.operation)


def main(words: Sequence[str] | None = None) -> int:
    """`python -m benchmarks.kernels_node`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("models", nargs="+", help=f"ONNX or MLIR files, or some of {', '.join(models.MODELS)}")
    parser.add_argument("--repetitions", type=int, default=10, help="runs to take the best of (10)")
    parser.add_argument("--top", type=int, default=15, help="kernels to list (15)")
    parser.add_argument("--ort", type=Path, metavar="FOLDER", help="folder of ONNX Runtime Web's ort.wasm.min.mjs")
    arguments = parser.parse_args(words)
    node = shutil.which("node")
    if node is None:
        raise UsageError("node is not installed; it is what plays the kernels")
    for name in arguments.models:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            model = models.write(name, folder / f"{name}.onnx") if name in models.MODELS else Path(name)
            print(f"{name}: {record(model, folder)} dispatches", flush=True)
            options = [str(arguments.repetitions), str(arguments.top)]
            ort = [str(arguments.ort.resolve()), str(model)] if arguments.ort and model.suffix == ".onnx" else []
            subprocess.run([node, str(_SCRIPT), str(folder), *options, *ort], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
