"""Loading, calling and timing a module, as text that runs natively and under Pyodide alike.

Enters: a module's source, a device's name, inputs. Leaves: results and numbers. Both kinds of `webree run` and `webree
benchmark` (native and `--device browser`) execute this very file, so that they do the same thing: natively it is
imported, in the browser its text is run. It uses nothing but webree's public API and the standard library.

Host time is the time of a call that waits for nothing: inputs are on the device already and outputs stay there.
"""

from __future__ import annotations

import sys
import time
from statistics import median
from typing import Any

import webree
from webree.array import Array
from webree.dtypes import by_name
from webree.module.source import MemorySource

IN_BROWSER = sys.platform == "emscripten"
COUNTED = ("submissions", "crossings", "dispatches", "uploaded_bytes", "read_back_bytes")
HELD = ("allocated_bytes", "in_use_bytes", "pipelines")


async def load(source: Any, device: Any, parameters: Any) -> tuple[Any, float]:
    """The module, ready to be called, and the seconds that took."""
    start = time.perf_counter()
    if IN_BROWSER:
        module = await webree.load_async(source, device=device, parameters=parameters)
    else:
        module = webree.load(source, device=device, parameters=parameters)
    return module, time.perf_counter() - start


async def call(function: Any, positional: Any, named: Any) -> list[Any]:
    """All outputs of one call, on the host."""
    if IN_BROWSER:
        results = await function.call_async(*positional, **named)
    else:
        results = function(*positional, **named)
    return [] if results is None else list(results) if isinstance(results, tuple) else [results]


async def measure(module: Any, name: str, positional: Any, named: Any, repetitions: int) -> dict[str, Any]:
    """Times in milliseconds, counts and bytes of one call, and the time of every dispatch in microseconds."""
    function, device = module[name], module.device
    first = await _timed_call(function, positional, named)
    await _timed_call(function, positional, named)
    before = {counter: getattr(device.counters, counter) for counter in COUNTED}
    times = [await _timed_call(function, positional, named) for _ in range(repetitions)]
    counts = {counter: (getattr(device.counters, counter) - before[counter]) / repetitions for counter in COUNTED}
    return {
        "first_call_ms": first * 1e3,
        "median_call_ms": median(times) * 1e3,
        "fastest_call_ms": min(times) * 1e3,
        "host_ms": await _host_time(module, function, positional, named, repetitions) * 1e3,
        "per_call": counts,
        "memory": {counter: getattr(device.counters, counter) for counter in HELD},
        **await _profile(device, function, positional, named),
    }


async def _timed_call(function: Any, positional: Any, named: Any) -> float:
    start = time.perf_counter()
    await call(function, positional, named)
    return time.perf_counter() - start


async def _host_time(module: Any, function: Any, positional: Any, named: Any, repetitions: int) -> float:
    """Median seconds of calls that neither copy nor wait; the device is let finish after each."""
    inputs = [module.to_device(value) if hasattr(value, "shape") else value for value in positional]
    by_name_ = {name: module.to_device(value) if hasattr(value, "shape") else value for name, value in named.items()}
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        if IN_BROWSER:
            kept = await function.on_device_async(*inputs, **by_name_)
        else:
            kept = function.on_device(*inputs, **by_name_)
        times.append(time.perf_counter() - start)
        for result in kept if isinstance(kept, tuple) else (kept,):
            if hasattr(result, "to_host"):
                await result.to_host_async() if IN_BROWSER else result.to_host()
    return median(times)


async def _profile(device: Any, function: Any, positional: Any, named: Any) -> dict[str, Any]:
    try:
        device.start_profile()
    except webree.DeviceError as error:
        return {"dispatches": None, "no_dispatch_times": str(error)}
    await call(function, positional, named)
    wait = device.stop_profile()
    dispatches = await wait.wait() if IN_BROWSER else wait.block()
    return {
        "dispatches": [
            {
                "name": item.name,
                "workgroups": list(item.workgroup_count),
                "time_us": item.time_us,
                "flops": item.flops,
                "byte_count": item.byte_count,
            }
            for item in dispatches
        ]
    }


def tensor(data: memoryview, shape: Any, dtype: str) -> Array:
    """An input that came to the browser as raw bytes with a shape and a NumPy type name."""
    return Array(MemorySource(data), tuple(shape), by_name(dtype))
