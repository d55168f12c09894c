"""Files are written whole or not at all.

Enters: a path and its new content. Leaves: the file, replaced in one step, so that a full disk, an interruption or a
second writer never leaves half of it.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` beside `path` and rename it; folders on the way are made, links are followed.

    What is there and is no regular file (a pipe, /dev/stdout) is written to as it is. Raises `OSError`.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
