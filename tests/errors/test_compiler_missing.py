"""`webree.compile` where the compiler is not installed."""

from __future__ import annotations

import subprocess
import sys


def test_the_wheel_for_browsers_has_no_compiler() -> None:
    code = """
import sys
sys.modules["webree.compiler"] = None
import webree
try:
    webree.compile(b"func.func @f() { return }", profile="webgpu")
except webree.CompileError as error:
    print(error.status.name, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.startswith("UNAVAILABLE this installation of webree has only the runtime; compile the model on")


def test_what_to_install() -> None:
    code = """
import sys
sys.modules["iree"] = None
import webree
try:
    webree.compile(b"func.func @f() { return }")
except webree.CompileError as error:
    print(error.status.name, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert "which is not installed" in done.stdout
    assert 'pip install "webree[compiler]"' in done.stdout
