"""Run the test tiers one after the other and say at the end how each went.

Enters: names of tiers (all if none), and after `--` options for pytest. Leaves: pytest's own report of every tier, a
table, and exit code 0 if all passed. A later tier runs even if an earlier one failed; no tests at all is a failure.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# The first tier needs no GPU driver and no browser, runs everything on the CPU device, and spreads well; in the others
# one file keeps its device or its browser. Playwright leaves an event loop running in its process, so what needs a
# browser stays out of the tier before.
TIERS = {
    "no-device": ["-m", "not native and not browser", "-n", "2"],
    "native": ["-m", "native and not browser", "-n", "2", "--dist", "loadfile"],
    "browser": ["-m", "browser"],
}


def main(arguments: list[str]) -> int:
    split = arguments.index("--") if "--" in arguments else len(arguments)
    tiers, options = arguments[:split] or list(TIERS), arguments[split + 1 :]
    for tier in tiers:
        if tier not in TIERS:
            print(f"run_tests.py: no tier {tier!r}; there are: {', '.join(TIERS)}", file=sys.stderr)
            return 2
    results = []
    for tier in tiers:
        print(f"\n=== tests: {tier} ===", flush=True)
        start = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", *TIERS[tier], *options]
        code = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode
        results.append((tier, code, time.monotonic() - start))
    print()
    for tier, code, seconds in results:
        verdict = "passed" if code == 0 else "no tests found" if code == 5 else f"FAILED (pytest exit code {code})"
        print(f"{tier:10} {seconds:6.0f} s  {verdict}")
    return int(any(code for _, code, _ in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
