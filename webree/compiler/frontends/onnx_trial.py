"""Small modules tried one by one in a child process, because a conversion may end its whole process.

Enters: modules. Leaves: for each, whether the compiler's input conversion takes it. Used on the way to an error only.
As a program (`python -m webree.compiler.frontends.onnx_trial FOLDER START`) it tries the files of a folder in order
and prints one line each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from webree.compiler.session import Session
from webree.errors import CompileError

__all__ = ["CONVERTED", "FAILED", "try_alone"]

CONVERTED = "converted"
"""Result for a module that the conversion takes."""
FAILED = "failed"
"""Result for one that fails without naming an operation, or that ends the process."""

_TIMEOUT_S = 120


def try_alone(modules: Sequence[Any]) -> list[str]:
    """For each module: CONVERTED, FAILED, or the name of the operation that cannot be converted."""
    with tempfile.TemporaryDirectory(prefix="webree-") as folder:
        for index, module in enumerate(modules):
            with open(Path(folder) / f"{index}.mlirbc", "wb") as file:
                module.write_bytecode(file)
        results: list[str] = []
        while len(results) < len(modules):
            results += _run(folder, len(results))[: len(modules) - len(results)]
            if len(results) < len(modules):  # the next one ended the process
                results.append(FAILED)
        return results


def _run(folder: str, start: int) -> list[str]:
    command = [sys.executable, "-m", __name__, folder, str(start)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=environment
    )
    try:
        output, _ = child.communicate(timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        output, _ = child.communicate()
    return output.decode().split()


def _main(folder: str, start: str) -> None:
    index = int(start)
    while (path := Path(folder) / f"{index}.mlirbc").is_file():
        with Session(["--iree-torch-emit-async-entry-points=false"]) as session:
            print(_try(session, path), flush=True)
        index += 1


def _try(session: Session, path: Path) -> str:
    try:
        module = session.parse(path.read_bytes(), path.name)
        session.run(module, start=None, end="input", what="conversion")
    except CompileError as error:
        return error.op or FAILED
    return CONVERTED


if __name__ == "__main__":
    _main(*sys.argv[1:])
