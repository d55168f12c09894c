"""A command in a process of its own: what ends the process is an error like any other, and Ctrl-C works at once.

Enters: a command's exit code as a function. Leaves: that code, from a child; the parent only waits. The compiler is
native code. It can end its process (a model that no one thought of, memory that is not there), and while a pass runs
Python sees no signal. So the parent says what happened, where the child was at, and removes what it left half-written.
Where the system has no `fork`, the function is called as it is.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["note", "supervised"]

FAILED, INTERRUPTED = 1, 130
_NOTE_BYTES = 1 << 14
_shared: mmap.mmap | None = None


def note(step: str, outputs: Sequence[Path] = ()) -> None:
    """In the child: tell the parent what is being done, and which files it will write. Without a parent: nothing."""
    if _shared is not None:
        data = json.dumps([step, [str(path.resolve()) for path in outputs]]).encode()
        if len(data) < _NOTE_BYTES:
            _shared[:] = data.ljust(_NOTE_BYTES, b"\0")


def supervised(run: Callable[[], int]) -> int:
    """`run()` in a child; returns its code, 1 if the child was ended by a signal, 130 after Ctrl-C."""
    global _shared
    if not hasattr(os, "fork") or threading.active_count() > 1:
        return run()
    shared = mmap.mmap(-1, _NOTE_BYTES)
    folder = Path(tempfile.mkdtemp(prefix="webree-"))
    reading, writing = os.pipe()  # its end tells the child that the parent is gone
    child = os.fork()
    if child == 0:
        os.close(writing)
        _shared = shared
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both
        threading.Thread(target=_end_with_parent, args=(reading, shared, folder), daemon=True).start()
        return run()
    os.close(reading)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _, status = os.waitpid(child, 0)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        _clean(child, shared, folder)
        print("webree: interrupted", file=sys.stderr)
        return INTERRUPTED
    step = _clean(child, shared, folder)
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    memory = "; the system may have too little memory" if -code == signal.SIGKILL else ""
    print(
        f"webree: error: {step}: the compiler ended its process ({signal.Signals(-code).name}){memory}. The model is "
        "damaged, or the compiler has a fault: please report it with the model",
        file=sys.stderr,
    )
    return FAILED


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _end_with_parent(reading: int, shared: mmap.mmap, folder: Path) -> None:
    os.read(reading, 1)
    _clean(os.getpid(), shared, folder)
    os._exit(FAILED)


def _clean(child: int, shared: mmap.mmap, folder: Path) -> str:
    """Remove temporary files, and what the child has not finished, which is hidden and has its number in the name;
    returns the child's last step."""
    shutil.rmtree(folder, ignore_errors=True)
    text = bytes(shared).rstrip(b"\0")
    step, outputs = json.loads(text) if text else ("start", [])
    for output in map(Path, outputs):
        for path in output.parent.iterdir() if output.parent.is_dir() else ():
            if path.name.startswith(f".{output.name}.{child}"):
                path.unlink(missing_ok=True)
    return str(step)
