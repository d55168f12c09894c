"""What a web site with webree in it is made of, and where these parts are found.

Enters: the installed package, or a checkout. Leaves: the folder of page files (`web/`), the folder of Pyodide (from
npm), and a wheel of the runtime for Pyodide to install, written here from the package's own files: the browser needs
neither the compiler nor the tools, and so need not download them. Equal files make the same wheel, byte for byte.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import webree
from webree.errors import UsageError

__all__ = ["PYODIDE_FILES", "PYODIDE_VERSION", "pyodide_folder", "runtime_wheel", "web_folder"]

PYODIDE_VERSION = "314.0.7"

PYODIDE_FILES = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
"""What Pyodide loads when it starts."""

_PACKAGE = Path(__file__).resolve().parent.parent
_CHECKOUT = _PACKAGE.parent
_LEFT_OUT = ("compiler", "codegen_wgsl", "codegen_cpu", "tools", "web")
_NATIVE = ("hal_webgpu/native", "hal_local/native", "hal_local/host_wasm_native", "module/disassembler", "onnx_backend")
"""Beginnings of the files that a browser never imports."""
_SUFFIXES = (".py", ".js", ".json", ".wasm", ".wgsl", ".typed")
_DOCUMENTATION = re.compile(rb"^[ \t]*/\*\*(?:[^*]|\*(?!/))*\*/\n", re.MULTILINE)
"""Comments that begin a line of JavaScript: types and explanations, which are for the checkout."""
_EARLIEST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def web_folder() -> Path:
    """The page files: `web/` of a checkout, `webree/web/` of an installed package."""
    for folder in (_PACKAGE / "web", _CHECKOUT / "web"):
        if (folder / "worker.js").is_file():
            return folder
    raise UsageError("webree's page files (web/worker.js and others) are missing from this installation; reinstall it")


def pyodide_folder(chosen: Path | None = None) -> Path:
    """The folder of Pyodide's files: `chosen`, else `node_modules/pyodide` here, above, or in webree's checkout.

    Raises `UsageError` with the command that installs it."""
    here = Path.cwd()
    places = [chosen] if chosen else [root / "node_modules" / "pyodide" for root in (here, *here.parents, _CHECKOUT)]
    for folder in places:
        if all((folder / name).is_file() for name in PYODIDE_FILES):
            return folder
    if chosen:
        raise UsageError(f"{chosen} is not a folder of Pyodide: it must hold {', '.join(PYODIDE_FILES)}")
    command = "npm ci" if (_CHECKOUT / "package-lock.json").is_file() else f"npm install pyodide@{PYODIDE_VERSION}"
    where = f" in {_CHECKOUT}" if command == "npm ci" else ""
    raise UsageError(f"Pyodide is not installed (no node_modules/pyodide here or above); run `{command}`{where}")


def version() -> str:
    """webree's version."""
    return webree.__version__


def runtime_wheel(folder: Path) -> Path:
    """Write a wheel of the runtime (no compiler, no tools) into `folder` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"webree-{version()}"
    info = f"{name}.dist-info"
    files = dict(_runtime_files())
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: webree\nVersion: {version()}\n".encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: webree\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{path},{_record_hash(data)},{len(data)}\n" for path, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()

    path = folder / f"{name}-py3-none-any.whl"
    partial = path.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for member, data in files.items():
            archive.writestr(zipfile.ZipInfo(member, _EARLIEST_ZIP_DATE), data, zipfile.ZIP_DEFLATED)
    partial.replace(path)
    return path


def _runtime_files() -> Iterator[tuple[str, bytes]]:
    for path in sorted(_PACKAGE.rglob("*")):
        parts = path.relative_to(_PACKAGE).parts
        unused = parts[0] in _LEFT_OUT or "/".join(parts).startswith(_NATIVE) or "__pycache__" in parts
        if path.suffix in _SUFFIXES and not unused:
            data = path.read_bytes()
            yield "/".join(("webree", *parts)), _DOCUMENTATION.sub(b"", data) if path.suffix == ".js" else data


def _record_hash(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={digest}"
