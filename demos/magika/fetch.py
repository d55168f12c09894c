"""Fetch Magika's model: the pinned wheel from the Python package index, and out of it the three files that are needed.

Enters: nothing but the network, and only once. Leaves: `model.onnx`, `config.min.json` and `content_types_kb.min.json`
in build/magika, each checked against the hash below. The wheel is not installed.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

__all__ = ["FILES", "FOLDER", "fetch", "wheel"]

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "magika"
REQUIREMENT = "magika==1.0.3"

FILES = {
    "model.onnx": (
        "magika/models/standard_v3_3/model.onnx",
        "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
    ),
    "config.min.json": (
        "magika/models/standard_v3_3/config.min.json",
        "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db",
    ),
    "content_types_kb.min.json": (
        "magika/config/content_types_kb.min.json",
        "75208adba69bc0556403b62b32ef3ccf8b5ce494411780845852e52e6583a10d",
    ),
}
"""Name here -> name in the wheel, SHA-256."""


class FetchError(Exception):
    """The wheel could not be fetched, or is not what it should be."""


def fetch(folder: Path = FOLDER) -> Path:
    """The folder with the files; fetches the wheel only if one of them is missing or wrong. Raises `FetchError`."""
    if all(_is_right(folder / name) for name in FILES):
        return folder
    path = wheel(folder)
    with zipfile.ZipFile(path) as archive:
        for name, (member, _) in FILES.items():
            partial = folder / f"{name}.partial"
            partial.write_bytes(archive.read(member))
            partial.replace(folder / name)
            if not _is_right(folder / name):
                raise FetchError(f"{member} in {path.name} is not the file that this demo was written for")
    return folder


def wheel(folder: Path = FOLDER) -> Path:
    """The wheel file in `folder`, downloaded if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.glob("magika-*.whl")):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command = [*pip, "--no-deps", "--only-binary", ":all:", "--dest", str(folder), REQUIREMENT]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise FetchError(f"pip could not download {REQUIREMENT}:\n{done.stderr.strip()}")
    return next(folder.glob("magika-*.whl"))


def _is_right(path: Path) -> bool:
    name = path.name
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == FILES[name][1]
