"""Modules that several tests need, compiled once for all workers and tiers of a run.

Enters: a model's bytes and options of `webree.compile`, or any way to make a file and what it depends on. Leaves: the
file's path, or its bytes. Nothing is kept from one run to the next (tests/conftest.py makes the folder and removes it),
so that the compiler under test has made every module. Tests that are about compiling call `webree.compile` itself.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import webree

__all__ = ["FOLDER_VARIABLE", "compiled", "compiled_file", "made_once", "one_at_a_time"]

FOLDER_VARIABLE = "WEBREE_TEST_MODULES"
"""Names the folder of the run."""


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Other processes of the run wait for this one."""
    with Path(os.environ[FOLDER_VARIABLE], f"{name}.lock").open("w") as lock:  # closing it, or dying, releases it
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def made_once(make: Callable[[], bytes], *facts: object) -> Path:
    """The file that `make` gives the content of; `facts` (bytes, or what has a definite `repr`) are all it depends on.

    Another process that makes the same file is waited for.
    """
    hasher = hashlib.sha256()
    for fact in facts:
        hasher.update(fact if isinstance(fact, bytes) else repr(fact).encode())
        hasher.update(b"\0")
    path = Path(os.environ[FOLDER_VARIABLE], hasher.hexdigest())
    with one_at_a_time(path.name):
        if not path.exists():
            partial = path.with_suffix(".partial")
            partial.write_bytes(make())
            partial.replace(path)
    return path


def compiled_file(
    model: bytes | str, *, target: str = "webgpu", profile: str | None = None, dims: Mapping[str, int] | None = None
) -> Path:
    """The module file of an ONNX, TensorFlow Lite or GGUF model, or of MLIR text."""
    data, extents = model.encode() if isinstance(model, str) else model, dict(dims or {})
    return made_once(
        lambda: webree.compile(data, target=target, profile=profile, dims=extents),
        *(target, profile, sorted(extents.items()), data),
    )


def compiled(
    model: bytes | str, *, target: str = "webgpu", profile: str | None = None, dims: Mapping[str, int] | None = None
) -> bytes:
    """As `compiled_file`: the module's bytes."""
    return compiled_file(model, target=target, profile=profile, dims=dims).read_bytes()
