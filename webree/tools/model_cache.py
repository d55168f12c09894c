"""From a file that a user names to module bytes: a module is read as it is, a model is compiled once and kept.

Enters: a path, and compile options. Leaves: the path of a module file. Compiled modules lie in the user's cache folder
(`$XDG_CACHE_HOME/webree`, `~/.cache/webree`), named by a hash of the model (and of the weight files beside it), the
options, and the versions of webree and its compiler; they are written under another name and then renamed, so that two
runs at once are safe.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from webree.api import map_file
from webree.errors import CompileError, ModuleError, StatusCode, UsageError
from webree.module.reader import ModuleFile, read_module
from webree.tools.files import write_whole
from webree.tools.progress import Progress
from webree.tools.site_parts import version

__all__ = ["cache_folder", "cache_key", "is_model", "module_file", "open_module", "require_file"]

_MODEL_ENDINGS = (".onnx", ".mlir", ".mlirbc", ".tflite", ".stablehlo", ".gguf", ".pt2", ".jaxexport")
_CACHE_VERSION = 2
_CHUNK_BYTES = 1 << 20


def module_file(
    path: Path,
    *,
    dims: Mapping[str, int],
    target: str = "webgpu",
    profile: str | None = None,
    accumulate: str = "f32",
    show_progress: bool | None = None,
) -> Path:
    """The module of `path`: itself, or what it compiles to (a model's file ending says that it is one)."""
    require_file(path)
    if not is_model(path):
        return path
    cached = cache_folder() / f"{path.stem}-{cache_key(path, target, profile, dims, accumulate)}.vmfb"
    if cached.is_file():
        return cached
    from webree.compiler.api import compile

    on = sys.stderr.isatty() if show_progress is None else show_progress
    with Progress(f"compiling {path.name}", on=on) as progress:
        data = compile(path, target=target, profile=profile, dims=dims, accumulate=accumulate, progress=progress)
    write_whole(cached, data)
    return cached


def open_module(path: Path) -> ModuleFile:
    """The parts of a module file, which stays mapped. Raises `ModuleError` that names the file."""
    try:
        return read_module(map_file(path))
    except ModuleError as error:
        if error.where == str(path):
            raise
        raise ModuleError(str(error), where=str(path), status=error.status) from error


def require_file(path: Path) -> None:
    """Raises `UsageError` if there is no such file."""
    if not path.is_file():
        what = "is a folder, not a module or model file" if path.is_dir() else "no such module or model file"
        raise UsageError(f"{path}: {what}")


def is_model(path: Path) -> bool:
    """True for files that must be compiled first."""
    return path.suffix.lower() in _MODEL_ENDINGS


def cache_folder() -> Path:
    """Where compiled modules are kept; `WEBREE_CACHE` overrides the system's place."""
    if chosen := os.environ.get("WEBREE_CACHE"):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "webree"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "webree" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "webree"


def cache_key(path: Path, target: str, profile: str | None, dims: Mapping[str, int], accumulate: str = "f32") -> str:
    """A hash of everything that the module depends on: the model and its weight files, options, versions."""
    hasher = hashlib.sha256()
    facts = (_CACHE_VERSION, version(), _compiler_version(), target, profile, accumulate)
    hasher.update(repr((*facts, sorted(dims.items()))).encode())
    for file in (path, *_weight_files(path)):
        hasher.update(f"\0{file.name}\0".encode())
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                hasher.update(chunk)
    for file in _compiler_files():  # in a checkout the version stays the same while the compiler changes
        stat = file.stat()
        hasher.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns}".encode())
    return hasher.hexdigest()[:24]


def _compiler_version() -> str:
    try:
        return metadata.version("iree-base-compiler")
    except metadata.PackageNotFoundError as error:
        raise CompileError(
            "a model must be compiled first; that needs the package iree-base-compiler, which is not installed; "
            'install it with: pip install "webree[compiler]"',
            status=StatusCode.UNAVAILABLE,
        ) from error


def _weight_files(path: Path) -> Iterable[Path]:
    """Files beside an ONNX model that hold its tensors."""
    if path.suffix.lower() != ".onnx" or b"location" not in path.read_bytes():
        return []
    import onnx
    from onnx.external_data_helper import _get_all_tensors, uses_external_data

    tensors = [t for t in _get_all_tensors(onnx.load(path, load_external_data=False)) if uses_external_data(t)]
    names = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    return [file for name in sorted(names) if (file := path.parent / name).is_file()]


def _compiler_files() -> list[Path]:
    package = Path(__file__).resolve().parent.parent
    folders = (package / "compiler", package / "codegen_wgsl", package / "codegen_cpu", package / "module")
    return sorted(file for folder in folders for file in folder.rglob("*") if file.suffix in (".py", ".wgsl", ".json"))
