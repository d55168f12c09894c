"""`webree compile` in a process of its own: a crash, Ctrl-C, the end of the parent: one line each, no files left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

_CHILD = """
import os, signal, sys, tempfile, time
from pathlib import Path
from webree.tools.supervised import note, supervised

def run():
    output = Path(sys.argv[2])
    note("model.onnx: hal", [output])
    output.with_name(f".{output.name}.{os.getpid()}.partial").write_text("half")
    tempfile.mkdtemp()
    print("begun", os.getpid(), flush=True)
    action = sys.argv[1]
    if action == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if action == "wait":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # as native code: it does not listen
        time.sleep(60)
    return int(action)

sys.exit(supervised(run))
"""


def _start(action: str, folder: Path) -> subprocess.Popen[str]:
    (folder / "tmp").mkdir()
    (folder / "out").mkdir()
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, action, str(folder / "out" / "model.vmfb")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
    )


def _left(folder: Path) -> list[Path]:
    return [path for name in ("tmp", "out") for path in (folder / name).iterdir()]


def test_the_code_is_the_childs(tmp_path: Path) -> None:
    process = _start("7", tmp_path)
    process.communicate(timeout=60)
    assert process.returncode == 7


def test_a_crash_is_one_error(tmp_path: Path) -> None:
    process = _start("crash", tmp_path)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said == (
        "webree: error: model.onnx: hal: the compiler ended its process (SIGSEGV). The model is damaged, or the "
        "compiler has a fault: please report it with the model\n"
    )
    assert _left(tmp_path) == []


@pytest.mark.parametrize("to_all", [True, False])
def test_an_interruption_in_native_code(to_all: bool, tmp_path: Path) -> None:
    """As a terminal sends it, to parent and child, or to the parent alone."""
    process = _start("wait", tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, "webree: interrupted\n")
    assert _left(tmp_path) == []


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    process = _start("wait", tmp_path)
    assert process.stdout is not None
    child = int(process.stdout.readline().split()[1])
    process.kill()
    process.communicate(timeout=30)  # the child holds the pipes until it ends
    deadline = time.monotonic() + 30
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(child)
    assert _left(tmp_path) == []


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_command(tmp_path: Path) -> None:
    """An error of the child is said once, and leaves no file."""
    model = tmp_path / "model.mlir"
    model.write_text("module {}")
    words = [sys.executable, "-m", "webree", "compile", str(model)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "webree: error: model.mlir has no public function, so there is nothing to compile\n"
    assert list(tmp_path.iterdir()) == [model]
