"""`make demo`, as a user runs it: natively and in Chromium, on GPU and CPU, and exit code 0 because all agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.browser
def test_all_places_agree() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demos.magika.demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    natively, browser = done.stdout.split("In headless Chromium", 1)
    for name, label in (("disc.png", "png"), ("backup.sh", "shell"), ("reports.zip", "zip"), ("package.json", "json")):
        row = next(line.split() for line in natively.splitlines() if line.split()[:1] == [name])
        assert row[1] == label
    assert "Natively, device webgpu:\n  20 files" in natively
    assert "under Pyodide, on WebGPU:\n  20 files" in browser
    assert "WebGPU switched off:\n  20 files" in browser
    assert "All 4 agree: 20 files, the same types" in browser
