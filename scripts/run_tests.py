"""Run the test tiers and say at the end how each went.

Enters: names of tiers (all if none), and after `--` options for pytest. Leaves: pytest's own report of every tier, a
table, and exit code 0 if all passed. A later tier runs even if an earlier one failed; no tests at all is a failure.
The browser's tier runs beside the others: it mostly waits for Chromium, and its report comes when it has ended. All
tiers have the same seed, and share the modules that several of them need (tests/compiling.py).
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _files_with(marker: str) -> list[Path]:
    return sorted(path for path in (ROOT / "tests").rglob("test_*.py") if marker in path.read_text("utf-8"))


# The first tier needs no GPU driver and no browser and runs everything on the CPU device; a worker that is idle takes
# tests of the other. In the second one file keeps its device; files come in the order of their names, as the slow ones
# are not those with many tests. Playwright leaves an event loop running in its process, so what needs a browser has a
# process of its own; it reads only the files that need one, as others import PyTorch and JAX.
TIERS = {
    "no-device": ["-m", "not native and not browser", "-n", "2", "--dist", "worksteal"],
    "native": ["-m", "native and not browser", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"],
    "browser": ["-m", "browser", *(str(path) for path in _files_with("mark.browser"))],
}
LANES = (("no-device", "native"), ("browser",))
"""Tiers of one lane run one after the other, lanes side by side."""


def run_tier(tier: str, options: list[str], environment: dict[str, str], *, later: bool) -> tuple[str, int, float]:
    """The tier, pytest's exit code, seconds. `later`: show its output when it has ended."""
    if not later:
        print(f"\n=== tests: {tier} ===", flush=True)
    start = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", *TIERS[tier], *options]
    with tempfile.TemporaryFile("w+") as output:
        stream = output if later else None
        done = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment
        )
        if later:
            output.seek(0)
            print(f"\n=== tests: {tier} ===\n{output.read()}", flush=True)
    return tier, done.returncode, time.monotonic() - start


def run_lane(
    tiers: list[str], options: list[str], environment: dict[str, str], *, later: bool
) -> list[tuple[str, int, float]]:
    return [run_tier(tier, options, environment, later=later) for tier in tiers]


def main(arguments: list[str]) -> int:
    split = arguments.index("--") if "--" in arguments else len(arguments)
    chosen, options = arguments[:split] or list(TIERS), arguments[split + 1 :]
    for tier in chosen:
        if tier not in TIERS:
            print(f"run_tests.py: no tier {tier!r}; there are: {', '.join(TIERS)}", file=sys.stderr)
            return 2
    lanes = [found for lane in LANES if (found := [tier for tier in lane if tier in chosen])]
    seed = os.environ.get("WEBREE_SEED") or str(secrets.randbelow(1 << 31))
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="webree-modules-") as modules, ThreadPoolExecutor() as executor:
        environment = {**os.environ, "WEBREE_SEED": seed, "WEBREE_TEST_MODULES": modules}
        running = [
            executor.submit(run_lane, lane, options, environment, later=number > 0) for number, lane in enumerate(lanes)
        ]
        results = [result for lane in running for result in lane.result()]
    print()
    for tier, code, seconds in results:
        verdict = "passed" if code == 0 else "no tests found" if code == 5 else f"FAILED (pytest exit code {code})"
        print(f"{tier:10} {seconds:6.0f} s  {verdict}")
    print(f"{'together':10} {time.monotonic() - start:6.0f} s  WEBREE_SEED={seed}")
    return int(any(code for _, code, _ in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
