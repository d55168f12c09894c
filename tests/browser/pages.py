"""What the tests of web pages share: a visitor's tab, the site of the demo, and files whose types it must name.

Enters: a session, a folder. Leaves: a tab whose errors fail the test, a folder that `webree bundle` wrote, answers read
off the page.
"""

from __future__ import annotations

import secrets
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import webree
from tests.compiling import compiled_file
from tests.models import DEMO, MODELS, fetch_magika
from webree.tools.browser_session import BrowserSession
from webree.tools.main import main as command_line

__all__ = ["READY_MS", "magika_site", "names_the_types_of_files", "tab"]

ROOT = Path(webree.__file__).parents[1]
READY_MS = 240_000
"""A page must say something within this time; a machine may be busy with other tests."""


@contextmanager
def tab(session: BrowserSession) -> Iterator[Any]:
    """A new tab; what it logs as errors fails the test."""
    page = session.page.context.browser.new_page()
    page.set_default_timeout(READY_MS)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    try:
        yield page
    finally:
        page.close()
    assert problems == []


def magika_site(folder: Path, target: str, profile: str | None = None) -> Path:
    """The demo's page, made by the command line."""
    model, data = MODELS[0], fetch_magika()
    module = compiled_file(model.make(0), target=target, profile=profile, dims=model.dims)
    parts = [DEMO / "features.py", data / "config.min.json", data / "content_types_kb.min.json"]
    files = [word for path in parts for word in ("--file", str(path))]
    words = ["bundle", str(module), "-o", str(folder / "site"), "--program", str(DEMO / "page.py"), *files]
    assert command_line([*words, "--name", "Magika"]) == 0
    return folder / "site"


def names_the_types_of_files(page: Any, folder: Path) -> None:
    """Drop real files on the page of the demo and read the right answers."""
    samples = {
        "settings": ((ROOT / "package-lock.json").read_bytes(), "json"),
        "picture": (_png(), "png"),
        "nothing": (b"", "empty"),
        "program.txt": (Path(__file__).read_bytes(), "python"),
    }
    for name, (data, label) in samples.items():
        file = folder / name
        file.write_bytes(data)
        page.locator("#file").set_input_files(file)
        page.locator("#title").filter(has_text=f"{name}: ").wait_for()
        assert page.locator("#title").inner_text().endswith(f"({label})")
        if data:
            assert page.locator("#rows th").first.inner_text() == label


def _png() -> bytes:
    """A small picture of noise."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = 32
    rows = b"".join(b"\0" + secrets.token_bytes(3 * size) for _ in range(size))
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)
