"""A process that compiles for `webree check`: MLIR may end its process at an input, and the check goes on without it.

Enters: one JSON object a line on standard input: the source's file, what to compile it for, and where the module goes.
Leaves: one JSON object a line: `{}` with warnings, or the error. `Compiler` is the other end: it starts the process,
asks it, and starts another one when it has ended. The compiler's own output goes to a file, whose last lines are
quoted if the process ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from webree.errors import CompileError, UsageError, WebreeError

__all__ = ["Compiler", "CrashError", "serve"]

_REASONS = ("LLVM ERROR", "Assertion", "fatal", "error:")


class CrashError(CompileError):
    """The compiler ended its process, or took longer than it was given."""


class Compiler:
    """Compiles in a process of its own. A context manager; not for several threads at once.

    `seconds`: how long one compile may take.
    """

    def __init__(self, seconds: float = 300.0) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[str] | None = None
        self._log = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")

    def __enter__(self) -> Compiler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._log.close()

    def compile(
        self, source: Path, output: Path, *, target: str, profile: str | None, flags: Sequence[str] = ()
    ) -> list[str]:
        """Compile a file to a module file; returns warnings.

        Raises `CompileError`, `UsageError`, and `CrashError` if the compiler does not come back."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        request = {"source": str(source), "output": str(output), "target": target, "profile": profile}
        try:
            process.stdin.write(json.dumps({**request, "flags": list(flags)}) + "\n")
            process.stdin.flush()
            line = self._answer(process.stdout)
        except BrokenPipeError:
            line = ""
        if not line:
            raise CrashError(self._last_words(), unsupported=False)
        answer: dict[str, Any] = json.loads(line)
        if "usage" in answer:
            raise UsageError(answer["usage"])
        if "error" in answer:
            raise CompileError(
                answer["error"], op=answer["op"], location=answer["location"], unsupported=answer["unsupported"]
            )
        found: list[str] = answer["warnings"]
        return found

    def _start(self) -> subprocess.Popen[str]:
        self._log.seek(0)
        self._log.truncate()
        code = "from webree.tools.check_worker import serve; serve()"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
        )
        return self._process

    def _answer(self, stream: IO[str]) -> str:
        """The next line, or "" if there is none in time."""
        assert self._process is not None
        process = self._process
        timer = threading.Timer(self._seconds, process.kill)
        timer.start()
        try:
            return stream.readline()
        finally:
            timer.cancel()

    def _last_words(self) -> str:
        """Why the process is gone."""
        assert self._process is not None
        code = self._process.wait()
        self._stop()
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().splitlines()]
        reason = next((line for line in lines if any(mark in line for mark in _REASONS)), "")
        how = f"exit code {code}" if code >= 0 else f"signal {_signal_name(-code)}"
        if code == -signal.SIGKILL:
            how += f", as it does after {self._seconds:g} s without an answer"
        return f"the compiler ended its process ({how}){': ' + reason if reason else ''}"

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
            if process.poll() is None:
                process.kill()
            process.wait()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


# --- In the process ---------------------------------------------------------------------------------------------------


def serve() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the compiler prints is no answer
    for line in sys.stdin:
        answers.write(json.dumps(_compile(json.loads(line))) + "\n")
        answers.flush()


def _compile(request: dict[str, Any]) -> dict[str, Any]:
    from webree.compiler.api import compile

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            data = compile(
                Path(request["source"]),
                input_format="mlir",
                target=request["target"],
                profile=request["profile"],
                flags=request["flags"],
            )
        except UsageError as error:
            return {"usage": str(error)}
        except CompileError as error:
            text = "\n  ".join([str(error), *getattr(error, "__notes__", ())])
            return {"error": text, "op": error.op, "location": error.location, "unsupported": error.unsupported}
        except WebreeError as error:
            return {"error": str(error), "op": None, "location": None, "unsupported": False}
        except Exception as error:
            text = f"{type(error).__name__}: {error} (this is a fault of webree)"
            return {"error": text, "op": None, "location": None, "unsupported": False}
    Path(request["output"]).write_bytes(data)
    return {"warnings": [str(item.message) for item in caught]}
