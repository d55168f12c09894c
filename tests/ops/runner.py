"""Compiles the cases of a group into one module per target, runs them on a device, and says what is wrong.

Enters: cases, a machine of tests/conftest.py, a seed. Leaves: a message per case that is wrong. Inputs depend on the
seed and the case only.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

import webree
from tests.ops.cases import Case
from tests.ops.compare import flushed, right, within
from tests.ops.known import REFUSED, WRONG, reason
from tests.ops.table import GROUPS
from tests.ops.values import Array
from webree.errors import CompileError, WebreeError

__all__ = ["compile_cases", "module_of", "refusal", "run_group"]

_SHOWN = 4


def compile_cases(cases: Iterable[Case], target: str) -> bytes:
    """One module with all functions. Raises `CompileError`."""
    return webree.compile("\n".join(case.text for case in cases), target=target)


def refusal(case: Case, target: str) -> str | None:
    """The compiler's message if it refuses the case on its own."""
    try:
        compile_cases([case], target)
    except CompileError as error:
        return str(error).splitlines()[0]
    return None


@functools.cache
def module_of(group: str, target: str) -> tuple[bytes, tuple[Case, ...], tuple[str, ...]]:
    """The module of a group, the cases in it, and what was refused without being listed."""
    cases = tuple(
        case for case in GROUPS[group] if target in case.targets and reason(REFUSED[target], case.name) is None
    )
    try:
        return compile_cases(cases, target), cases, ()
    except CompileError:
        refused = {case.name: message for case in cases if (message := refusal(case, target)) is not None}
    left = tuple(case for case in cases if case.name not in refused)
    return compile_cases(left, target), left, tuple(f"{name}: refused: {why}" for name, why in refused.items())


def run_group(group: str, machine: Any, seed: int) -> list[str]:
    """Everything of the group that is not as expected on a device."""
    data, cases, problems = module_of(group, machine.target)
    found = list(problems)
    with webree.load(data, device=machine.device) as module:
        for case in cases:
            message = _check(case, module, machine.target, seed)
            listed = reason({**WRONG[machine.target], **WRONG.get(machine.name, {})}, case.name)
            if message is not None and listed is None:
                found.append(f"{case.name}: {message}")
            elif message is None and listed is not None:
                found.append(f"{case.name}: right, but listed as wrong in tests/ops/known.py: {listed}")
    return found


def _check(case: Case, module: Any, target: str, seed: int) -> str | None:
    random = np.random.default_rng([seed, zlib.crc32(case.name.encode())])
    arguments = case.inputs(random)
    try:
        returned = getattr(module, case.function)(*arguments)
    except WebreeError as error:
        return f"{type(error).__name__}: {error}"
    results = returned if isinstance(returned, tuple) else (returned,)
    exact = case.reference(*arguments)
    # WGSL lets a device take denormal numbers for zeros, in any step.
    lenient = case.reference(*(_flushed(argument) for argument in arguments)) if target == "webgpu" else exact
    for index, kind in enumerate(case.results):
        message = _difference(case, kind, np.asarray(results[index]), exact[index], lenient[index], target, arguments)
        if message is not None:
            return message if len(case.results) == 1 else f"result {index}: {message}"
    return None


def _flushed(values: Array) -> Array:
    return flushed(values, {"float16": "f16", "bfloat16": "bf16", "float32": "f32"}.get(values.dtype.name, "i32"))


def _difference(
    case: Case, kind: str, found: Array, exact: Array, lenient: Array, target: str, arguments: list[Array]
) -> str | None:
    if found.shape != exact.shape:
        return f"shape {found.shape}, not {exact.shape}"
    if case.relative is not None:
        if within(found, exact, case.relative):
            return None
        with np.errstate(all="ignore"):
            error = np.max(np.abs(found.astype(np.float64) - exact.astype(np.float64)))
        return f"largest difference {error:.3e} beside numbers up to {np.max(np.abs(exact.astype(np.float64))):.3e}"
    good = right(found, exact, kind, case.ulp, case.absolute)
    if target == "webgpu" and not good.all():
        good |= right(found, lenient, kind, case.ulp, case.absolute) | right(
            found, flushed(exact, kind), kind, case.ulp, case.absolute
        )
    if good.all():
        return None
    wrong = np.flatnonzero(~good.ravel())
    shown = [
        f"{[argument.ravel()[at] if argument.shape == exact.shape else '...' for argument in arguments]} -> "
        f"{found.ravel()[at]!r}, not {exact.ravel()[at]!r}"
        for at in wrong[:_SHOWN]
    ]
    return f"{wrong.size} of {good.size} wrong: {'; '.join(shown)}"
