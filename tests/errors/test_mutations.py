"""Damaged and hostile model files of every front end compile, or are refused in one sentence; nothing else happens.

What is tried, and how a mutant is judged, is in mutants.py and mutation_runner.py, which also runs longer by hand.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

_FORMATS = ("onnx", "external", "tflite", "gguf", "mlir", "mlirbc", "parameters")
_MUTANTS = 48


def test_damaged_models(seed: int, tmp_path: Path) -> None:
    # Front ends alone: at a few mutants in a thousand that are valid, MLIR's own passes do not end or crash.
    words = ["--count", str(_MUTANTS), "--seed", str(seed), "--keep", str(tmp_path), "--end", "import"]
    for name in _FORMATS:
        words += ["--format", name]
    done = subprocess.run(
        [sys.executable, "-m", "tests.errors.mutation_runner", *words],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    counts = re.search(r"(\d+) compiled, (\d+) refused, 0 at fault", done.stdout)
    assert counts is not None
    # The test means something only if mutants get past the readers as well as fail in them.
    assert int(counts[1]) > _MUTANTS // 20
    assert int(counts[2]) > _MUTANTS // 4
