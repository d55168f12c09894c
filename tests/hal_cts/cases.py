"""The conformance suite of HAL drivers: importing this module fills `CASES` (name -> case).

Enters: nothing. Leaves: cases, each a generator function over a `Conformance` (see suite.py). Natively they run under
pytest (test_native.py); in a browser the same files are loaded into Pyodide and awaited one by one. What a driver does
not do is listed in `DRIVERS`, with the reason; everything else must pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.hal_cts import dispatch_cases, error_cases, memory_cases, order_cases
from tests.hal_cts.suite import CASES, Conformance

__all__ = ["CASES", "DRIVERS", "Conformance", "DriverNotes"]

ROOMS = (memory_cases, dispatch_cases, order_cases, error_cases)


@dataclass(frozen=True)
class DriverNotes:
    """Case name -> reason.

    Attributes:
        unsupported: what the driver will never do; these cases are not run.
        expected_failures: what it ought to do and does not yet; these cases must fail, so that the list shrinks.
    """

    unsupported: Mapping[str, str] = field(default_factory=dict)
    expected_failures: Mapping[str, str] = field(default_factory=dict)


DRIVERS = {
    "native": DriverNotes(),
    "browser": DriverNotes(unsupported={"several_threads": "Python has no threads in a browser"}),
}
