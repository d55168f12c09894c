"""The conformance suite of HAL drivers: importing this module fills `CASES` (name -> case).

Enters: nothing. Leaves: cases, each a generator function over a `Conformance` (see suite.py). Natively they run under
pytest (test_native.py); in a browser the same files are loaded into Pyodide and awaited one by one. What a driver does
not do is listed in `DRIVERS`, with the reason; everything else must pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.hal_cts import cpu_cases, dispatch_cases, error_cases, memory_cases, order_cases
from tests.hal_cts.suite import CASES, Conformance

__all__ = ["CASES", "DRIVERS", "Conformance", "DriverNotes"]

ROOMS = (memory_cases, dispatch_cases, order_cases, error_cases, cpu_cases)


@dataclass(frozen=True)
class DriverNotes:
    """Case name -> reason.

    Attributes:
        unsupported: what the driver will never do; these cases are not run.
        expected_failures: what it ought to do and does not yet; these cases must fail, so that the list shrinks.
    """

    unsupported: Mapping[str, str] = field(default_factory=dict)
    expected_failures: Mapping[str, str] = field(default_factory=dict)


_NO_THREADS = {"several_threads": "Python has no threads in a browser"}
_CPU_ONLY = dict.fromkeys(cpu_cases.CPU_CASES, "of libraries of CPU code and what they tell; WebGPU has shaders")
_WEBGPU_ONLY = {
    "rejected_shaders_name_kernel_and_line": "kernels are machine code, no source text",
    "rejected_shaders_stay_rejected": "kernels are machine code, no source text",
    "equal_shaders_are_compiled_once": "each library has data of its own",
    "missing_limits_are_told_with_both_numbers": "a library asks for no limits",
    "half_precision_where_the_adapter_has_it": "half precision is no feature: every device has it",
    "overlapping_writes_are_refused": "WebGPU's rule: here bindings may overlap",
}
_NO_TABLES = "Python functions and VMVX programs have neither the tables of a library nor local memory"
_NO_LIBRARIES = dict.fromkeys(("local_memory_is_a_workgroups_own", "other_versions_of_the_library_abi"), _NO_TABLES)

DRIVERS = {
    "native": DriverNotes(unsupported=_CPU_ONLY),
    "browser": DriverNotes(unsupported=_NO_THREADS | _CPU_ONLY),
    "cpu": DriverNotes(unsupported=_WEBGPU_ONLY),
    "cpu_browser": DriverNotes(unsupported=_NO_THREADS | _WEBGPU_ONLY),
    "cpu_host": DriverNotes(unsupported=_WEBGPU_ONLY | _NO_LIBRARIES),
}
