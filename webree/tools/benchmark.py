"""`webree benchmark`: time one function of a module on a device.

Enters: what `webree run` takes; inputs that are not given are random. Leaves: times of loading, of the first call, of
calls after that (median and fastest), the host's share of a call, bytes and counts, and the time of every dispatch, as
a table or JSON.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from webree.errors import UsageError
from webree.signature import Signature, TensorType
from webree.tools.compile import parse_dims
from webree.tools.run import add_call_arguments, parse_parameters
from webree.tools.targets import choose_function, module_for, open_place, read_signatures
from webree.tools.values import parse_inputs, random_value

__all__ = ["EXAMPLES", "add_arguments", "random_inputs", "run"]

EXAMPLES = """\
what the numbers are:
  load          from the file to kernels compiled and constants on their way to the device
  first call    the first call after loading
  call          median, and fastest, of the calls after that, with inputs copied in and outputs read back
  host time     the part of a call in which Python works and nothing waits for the device
  dispatches    device time of each kernel launch, measured in one extra call that times them one by one

examples:
  webree benchmark model.vmfb
  webree benchmark model.vmfb --device browser --repetitions 20
  webree benchmark model.onnx --dim batch=1 --input 1x3x224x224xf32=0.5 --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `webree benchmark`."""
    add_call_arguments(parser)
    parser.add_argument("--repetitions", type=int, default=10, metavar="N", help="calls to take the median of (10)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    if arguments.repetitions < 1:
        raise UsageError(f"--repetitions {arguments.repetitions}: at least 1 is needed")
    positional, named = parse_inputs(arguments.input)
    parameters, dims = parse_parameters(arguments.parameters), parse_dims(arguments.dim)
    with open_place(arguments.device) as place:
        path = module_for(place, arguments.module, dims, arguments.profile, arguments.accumulate)
        function = choose_function(read_signatures(path), arguments.function)
        if not positional and not named:
            positional = random_inputs(function)
        with closing(place.load(path, parameters)) as target:
            numbers = target.measure(function.name, positional, named, arguments.repetitions)
            facts = {
                "module": str(arguments.module),
                "function": str(function),
                "adapter": target.adapter,
                "reason": target.reason,
                "module_bytes": path.stat().st_size,
                "repetitions": arguments.repetitions,
                "load_ms": target.load_ms,
                **numbers,
            }
    print(json.dumps(facts, indent=2) if arguments.json else "\n".join(_text(facts)))
    return 0


def random_inputs(function: Signature) -> list[Any]:
    """A random value for every input. Raises `UsageError` where the signature leaves the shape open."""
    import numpy

    values: list[Any] = []
    for position, parameter in enumerate(function.inputs):
        if not isinstance(parameter.type, TensorType) or None in parameter.type.shape:
            raise UsageError(f"input {position} ({parameter}) has no fixed shape: give the inputs with --input")
        if parameter.type.dtype.name == "bfloat16":
            raise UsageError(f"input {position} ({parameter}): give it with --input")
        shape = tuple(extent or 0 for extent in parameter.type.shape)
        values.append(random_value(shape, numpy.dtype(parameter.type.dtype.name), position))
    return values


# --- Text -------------------------------------------------------------------------------------------------------------


def _text(facts: dict[str, Any]) -> Iterator[str]:
    yield f"{facts['function']}  on {facts['adapter']} ({facts['reason']})"
    yield f"  {'module':16} {facts['module_bytes']:>12,} bytes"
    for label, name in (("load", "load_ms"), ("first call", "first_call_ms"), ("call", "median_call_ms")):
        yield f"  {label:16} {facts[name]:>12.2f} ms"
    yield f"  {'fastest call':16} {facts['fastest_call_ms']:>12.2f} ms"
    yield f"  {'host time':16} {facts['host_ms']:>12.2f} ms"
    for name, value in facts["per_call"].items():
        yield f"  {name.replace('_', ' '):16} {value:>12,.0f} a call"
    for name, value in facts["memory"].items():
        yield f"  {name.replace('_', ' '):16} {value:>12,}"
    if facts["dispatches"] is None:
        yield f"  no times of dispatches: {facts['no_dispatch_times']}"
    elif facts["dispatches"]:
        yield from _dispatch_table(facts["dispatches"])


def _dispatch_table(dispatches: list[dict[str, Any]]) -> Iterator[str]:
    total = math.fsum(item["time_us"] for item in dispatches) or 1.0
    yield f"  {'dispatches':16} {total / 1e3:>12.2f} ms in {len(dispatches)}, timed one by one:"
    yield f"    {'us':>10} {'share':>6} {'GFLOP/s':>8} {'GB/s':>7} {'workgroups':>14}  name"
    for item in sorted(dispatches, key=lambda item: -item["time_us"]):
        seconds = item["time_us"] / 1e6
        groups = "x".join(map(str, item["workgroups"]))
        yield (
            f"    {item['time_us']:>10.1f} {item['time_us'] / total:>6.1%} {_rate(item['flops'], seconds):>8} "
            f"{_rate(item['byte_count'], seconds):>7} {groups:>14}  {item['name']}"
        )


def _rate(count: int, seconds: float) -> str:
    return "-" if count < 0 or seconds <= 0 else f"{count / seconds / 1e9:.2f}"
