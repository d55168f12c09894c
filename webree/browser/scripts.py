"""JavaScript that lies in this package, as modules of the browser.

Enters: a folder of the package and its files' names. Leaves: addresses of blobs, and a promise of the last file's
module. The files import nothing but each other, so that they load from their text inside the wheel, in a worker or on
a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

import js
from pyodide.code import run_js

from webree.browser.values import plain

__all__ = ["load_scripts"]


def load_scripts(package: str, names: Sequence[str]) -> tuple[Any, dict[str, str]]:
    """A promise of the last file's module, and the address of every file; every file stands after those it imports.

    Each file becomes a blob's address, which stands in place of its name in the files after it."""
    folder = resources.files(package).joinpath("player")
    addresses: dict[str, str] = {}
    for name in names:
        text = folder.joinpath(name).read_text(encoding="utf-8")
        for imported, address in addresses.items():
            text = text.replace(f'"./{imported}"', f'"{address}"')
        addresses[name] = js.URL.createObjectURL(js.Blob.new(plain([text]), plain({"type": "text/javascript"})))
    return run_js("(url) => import(url)")(addresses[names[-1]]), addresses
