"""Files to identify: some of this repository's own, some written on the fly in formats that the standard library can
write.

Enters: a folder to write into. Leaves: (name to show, path) pairs, the same bytes on every run.
"""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import struct
import tarfile
import wave
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

__all__ = ["samples"]

ROOT = Path(__file__).resolve().parents[2]

FROM_HERE = (
    "demos/magika/features.py",
    "docs/module-format.md",
    "package.json",
    "pyproject.toml",
    "Makefile",
    "LICENSE",
    "web/index.html",
    "webree/hal_webgpu/player/player.js",
)


def samples(folder: Path) -> list[tuple[str, Path]]:
    """All samples; those of `MADE` are (re)written into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = [(name, ROOT / name) for name in FROM_HERE]
    for name, make in MADE.items():
        path = folder / name
        path.write_bytes(make())
        found.append((name, path))
    return found


def _png() -> bytes:
    """A 64 by 64 picture: a disc over a gradient."""
    size = 64
    rows = bytearray()
    for y in range(size):
        rows.append(0)  # no filter
        for x in range(size):
            inside = (x - 32) ** 2 + (y - 32) ** 2 < 400
            rows += bytes((255, 200, 60) if inside else (x * 4, y * 4, 128))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(rows), 9))
        + chunk(b"IEND", b"")
    )


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(12):
            text = f"report {index}\n" + "".join(f"{index},{line},{line * index}\n" for line in range(60))
            archive.writestr(zipfile.ZipInfo(f"reports/{index:02}.csv", (2024, 1, 1, 0, 0, 0)), text)
    return stream.getvalue()


def _tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("notes.txt", "src/one.txt", "src/two.txt"):
            data = f"the contents of {name}\n".encode() * 20
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def _wav() -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"".join(struct.pack("<h", (i * 331 % 16384) - 8192) for i in range(4000)))
    return stream.getvalue()


def _sqlite() -> bytes:
    base = sqlite3.connect(":memory:")
    base.execute("CREATE TABLE cities (id INTEGER PRIMARY KEY, name TEXT, inhabitants INTEGER)")
    base.executemany("INSERT INTO cities VALUES (?, ?, ?)", [(i, f"city {i}", i * 1000) for i in range(100)])
    base.commit()
    try:
        return base.serialize()
    finally:
        base.close()


def _notebook() -> bytes:
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# A notebook\n", "It has two cells."]},
        {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": ["print(1 + 1)"]},
    ]
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}, indent=1).encode()


_SHELL = b"""#!/bin/sh
# Keep the newest seven backups, remove the others.
set -eu

folder="${1:-$HOME/backups}"
if [ ! -d "$folder" ]; then
    echo "no folder $folder" >&2
    exit 1
fi
ls -1t "$folder"/*.tar.gz | tail -n +8 | while read -r file; do
    echo "removing $file"
    rm -f -- "$file"
done
"""

_C = b"""#include <stdio.h>
#include <stdlib.h>

/* The greatest common divisor of two numbers. */
static unsigned gcd(unsigned a, unsigned b) {
    while (b != 0) {
        unsigned rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: %s A B\\n", argv[0]);
        return EXIT_FAILURE;
    }
    printf("%u\\n", gcd(strtoul(argv[1], NULL, 10), strtoul(argv[2], NULL, 10)));
    return EXIT_SUCCESS;
}
"""

_CSV = "".join(f"{2000 + i},{i * 7 % 100},{i * 13 % 50}.5,place {i % 9}\n" for i in range(80)).encode()

MADE: dict[str, Callable[[], bytes]] = {
    "backup.sh": lambda: _SHELL,
    "gcd.c": lambda: _C,
    "table.csv": lambda: b"year,count,mean,place\n" + _CSV,
    "cells.ipynb": _notebook,
    "disc.png": _png,
    "reports.zip": _zip,
    "notes.tar": _tar,
    "notes.gz": lambda: gzip.compress(_SHELL * 3, mtime=0),
    "tone.wav": _wav,
    "cities.db": _sqlite,
    "three.txt": lambda: b"abc\n",
    "nothing": lambda: b"",
}
"""Name -> what makes its bytes. The last two are too short for the model."""
