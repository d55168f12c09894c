"""`make demo`, as a user runs it: both tables, and exit code 0 because they agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.browser
def test_both_tables_agree() -> None:
    done = subprocess.run(
        [sys.executable, "demos/magika/demo.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    natively, browser = done.stdout.split("In headless Chromium")
    for name, label in (("disc.png", "png"), ("backup.sh", "shell"), ("reports.zip", "zip"), ("package.json", "json")):
        for table in (natively, browser):
            row = next(line.split() for line in table.splitlines() if line.split()[:1] == [name])
            assert row[1] == label
    assert "Both agree: " in browser
