"""`webree devices`: list the adapters of every driver, with what they can do, best first.

Enters: nothing, or names of drivers. Leaves: a table, or JSON with all limits and features. A software adapter
computes on the CPU. A driver that finds nothing, or cannot look, says why; the exit code is 1 if no adapter at all, or
none of a driver that was asked for, was found.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from webree.errors import WebreeError
from webree.hal.device import AdapterInfo
from webree.hal.registry import create_driver, driver_names
from webree.waiting import run_sync

__all__ = ["EXAMPLES", "add_arguments", "list_adapters", "run"]

EXAMPLES = """\
examples:
  webree devices                 what there is: GPUs, the CPU by WebAssembly (cpu: wasm), the CPU without (cpu: vmvx)
  webree devices cpu             the adapters of one driver
  webree devices --verbose       with all limits and features
  webree devices --json          the same for programs

A program or `webree run --device` takes the name of a driver (its first adapter) or a part of an adapter's name.
"""

SHOWN_LIMITS = (
    "max_buffer_size",
    "max_storage_buffer_binding_size",
    "max_storage_buffers_per_shader_stage",
    "max_compute_workgroup_storage_size",
    "max_compute_invocations_per_workgroup",
)
"""Limits that decide most often whether a module runs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `webree devices`."""
    parser.add_argument("driver", nargs="*", metavar="DRIVER", help="only the adapters of these drivers")
    parser.add_argument("-v", "--verbose", action="store_true", help="all limits and features")
    parser.add_argument("--json", action="store_true", help="print JSON")


def list_adapters(drivers: list[str]) -> tuple[list[AdapterInfo], dict[str, str]]:
    """All adapters in the drivers' order, and for drivers that have none the reason."""
    found: list[AdapterInfo] = []
    reasons: dict[str, str] = {}
    for name in drivers:
        try:
            driver = create_driver(name)
            adapters = run_sync(driver.adapters())
        except WebreeError as error:
            reasons[name] = str(error)
            continue
        reasons |= {f"{name} ({adapter})": reason for adapter, reason in driver.missing().items()}
        if not adapters:
            reasons[name] = f"no adapter found. {INSTALL}" if name == "webgpu" else "no adapter found"
        found += adapters
    return found, reasons


INSTALL = (
    "Install your GPU's Vulkan driver, or the software one (Debian: apt-get install mesa-vulkan-drivers libvulkan1)"
)


def run(arguments: argparse.Namespace) -> int:
    """Print the adapters; exit code 1 if there is none."""
    adapters, reasons = list_adapters(arguments.driver or driver_names())
    if arguments.json:
        print(json.dumps({"adapters": [_as_json(info) for info in adapters], "without": reasons}, indent=2))
    else:
        for info in adapters:
            _print(info, verbose=arguments.verbose)
    kind = "note" if adapters and not arguments.driver else "error"
    for name, reason in reasons.items():
        print(f"webree: {kind}: {name}: {reason}", file=sys.stderr)
    return 0 if (adapters and kind == "note") or not reasons else 1


def _as_json(info: AdapterInfo) -> dict[str, Any]:
    return {
        "driver": info.driver,
        "name": info.name,
        "description": info.description,
        "software": info.software,
        "limits": dict(sorted(info.limits.items())),
        "features": sorted(info.features),
    }


def _print(info: AdapterInfo, *, verbose: bool) -> None:
    kind = "software" if info.software else "hardware"
    print(f"{info.driver}: {info.name} ({kind})")
    if info.description:
        print(f"  {info.description}")
    limits = sorted(info.limits) if verbose else [name for name in SHOWN_LIMITS if name in info.limits]
    width = max(map(len, limits), default=0)
    for name in limits:
        print(f"  {name:{width}} {info.limits[name]:>16,}")
    wanted = info.features if verbose else info.features & {"shader-f16", "subgroups", "timestamp-query"}
    if info.driver == "webgpu" or wanted:
        print(f"  features: {', '.join(sorted(wanted)) or 'none beyond the standard'}")
