"""Damaged modules: each runs or raises `ModuleError` (`InvocationError` once it runs); none hangs or crashes."""

from __future__ import annotations

import json
import pickle
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from tests.vm.assembled import MODULE
from tests.vm.assembler import build
from tests.vm.reference import compile_vm

_MUTANTS = 600
_ROOT = Path(__file__).parents[2]


def test_damaged_modules() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    text = Path(__file__).with_name("structured.mlir").read_text()
    modules = [
        compile_vm(text),
        compile_vm(text, "--iree-vm-emit-polyglot-zip=false", "--iree-vm-bytecode-module-strip-source-map"),
        build(MODULE),
        *(build(replace(MODULE, functions=[f])) for f in MODULE.functions if "call" not in str(f.rows)),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.vm.mutations"],
        input=pickle.dumps((seed, _MUTANTS, modules)),
        capture_output=True,
        timeout=120,
        check=False,
        cwd=_ROOT,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    report = json.loads(done.stdout)
    print({key: report[key] for key in ("refused", "failed", "ran")})
    assert report["escaped"] == []
    # The test means something only if mutants get past the reader as well as fail in it.
    assert report["refused"] > _MUTANTS // 10
    assert report["ran"] > _MUTANTS // 10
