"""Front ends: a model in some format -> an MLIR module in the session's context.

Enters: a path, bytes, MLIR text, an ONNX `ModelProto`, or a framework's program with inputs to trace it by. Leaves: an
`ImportedModel`. The format is told by the object's type (traced.py), by the first bytes, then by the file's ending.
`FORMATS` is the one table of formats; those that no front end reads yet are in it as well, with what to do instead.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webree.compiler.frontends.traced import Examples, Traced, no_examples, trace_request
from webree.errors import CompileError, UsageError

if TYPE_CHECKING:
    from webree.compiler.session import Session

__all__ = [
    "FORMATS",
    "Format",
    "ImportedModel",
    "ModelSource",
    "Signature",
    "import_model",
    "open_source",
    "unique_names",
]


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model before it is imported. Files are read when asked for, so that nothing holds on to their bytes.

    Attributes:
        label: what errors call it: the file's name, or `model`.
        start: the first bytes, by which the format is told.
        content: all bytes, if they were handed over as such.
        path: where it lies, if it is a file; files beside it (ONNX external data) are found from there.
        message: an ONNX `ModelProto` handed over by the caller, else None.
        traced: a framework's program handed over by the caller, with its example inputs, else None.
    """

    label: str
    start: bytes
    content: bytes | None = None
    path: Path | None = None
    message: Any = None
    traced: Traced | None = None

    def read(self) -> bytes:
        """All bytes. Raises `CompileError` if the file cannot be read."""
        if self.path is None:
            return self.content or b""
        return _read_file(self.path, None)


@dataclass(frozen=True, slots=True)
class Signature:
    """Names of a function's inputs and outputs, as the model calls them."""

    function: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """What a front end makes.

    Attributes:
        module: an `iree.compiler.ir.Operation` (builtin.module).
        signatures: of functions whose names do not stand in the module.
        explain: turns an error of the input conversion into a better one, or None.
    """

    module: Any
    signatures: tuple[Signature, ...] = ()
    explain: Callable[[CompileError], CompileError] | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """One file format.

    Attributes:
        name: as `--input-format` takes it, if it is supported.
        title: for people.
        endings: of file names, in lower case.
        magic: (byte offset, bytes) that tell it, or None.
        reader: module of the front end, or "" if there is none.
        instead: what to do where there is none.
    """

    name: str
    title: str
    endings: tuple[str, ...]
    magic: tuple[int, bytes] | None = None
    reader: str = ""
    instead: str = ""


_START_BYTES = 4096
_LARGEST_SIZE = (1 << 31) - 1  # of one axis: kernels count in 32 bits
_TO_ONNX = "export the model to ONNX"
_TO_PT2 = "load it and compile the module itself, or save torch.export.export(module, inputs) as .pt2"

FORMATS: tuple[Format, ...] = (
    Format("mlir", "MLIR bytecode", (".mlirbc",), (0, b"ML\xefR"), "webree.compiler.frontends.mlir"),
    Format("mlir", "MLIR text", (".mlir",), None, "webree.compiler.frontends.mlir"),
    Format("onnx", "ONNX", (".onnx",), None, "webree.compiler.frontends.onnx"),
    Format("tflite", "TensorFlow Lite", (".tflite",), (4, b"TFL3"), "webree.compiler.frontends.tflite"),
    Format("hdf5", "Keras (HDF5)", (".h5", ".hdf5"), (0, b"\x89HDF\r\n\x1a\n"), "", f"{_TO_ONNX} with tf2onnx"),
    Format("gguf", "GGUF language model", (".gguf",), (0, b"GGUF"), "webree.compiler.frontends.gguf"),
    Format("safetensors", "safetensors", (".safetensors",), None, "", f"it holds weights and no program; {_TO_ONNX}"),
    Format("torch", "PyTorch export", (".pt2",), None, "webree.compiler.frontends.torch"),
    Format("pickle", "PyTorch pickle", (".pt", ".pth", ".ckpt"), None, "", f"{_TO_PT2}"),
    Format("keras", "Keras", (".keras",), None, "", f"{_TO_ONNX} with tf2onnx"),
    Format("tensorflow", "TensorFlow", (".pb", ".savedmodel"), None, "", f"{_TO_ONNX} with tf2onnx"),
    Format("jax", "JAX export", (".jaxexport", ".jax"), None, "webree.compiler.frontends.jax"),
    Format("vmfb", "compiled module", (".vmfb",), (8, b"IREE"), "", "it is compiled already: load it"),
    Format(
        "zip",
        "ZIP archive",
        (),
        (0, b"PK\x03\x04"),
        "",
        "a PyTorch export must end in .pt2, a Keras archive be exported to ONNX",
    ),
)

_ZIPPED = ("torch", "pickle", "keras")  # ZIP archives by ending

_SUPPORTED = (
    "ONNX (.onnx), PyTorch (.pt2), JAX (.jaxexport), TensorFlow Lite (.tflite), language models in GGUF (.gguf), and "
    "MLIR text or bytecode (.mlir, .mlirbc) with linalg, TOSA, StableHLO or torch"
)


def open_source(source: Any, examples: Examples | None = None) -> ModelSource:
    """A `ModelSource` from what the caller gave: a path, bytes, MLIR text (a string with a newline or a brace), an
    ONNX `ModelProto`, or a framework's program with `examples`. Raises `CompileError` for a file that is missing or
    cannot be read, and `UsageError` for anything else."""
    examples = examples or no_examples()
    traced = trace_request(source, examples)
    if traced is not None:
        return ModelSource(traced.label, b"", traced=traced)
    if examples.given:
        raise UsageError(
            f"{', '.join(examples.given)} can be given for PyTorch modules and JAX functions only, and the source is "
            f"of type {type(source).__name__}"
        )
    if isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source)
        return ModelSource("model", content[:_START_BYTES], content)
    if isinstance(source, str) and ("\n" in source or "{" in source):
        content = source.encode()
        return ModelSource("model.mlir", content[:_START_BYTES], content)
    if isinstance(source, str | Path):
        path = Path(source)
        return ModelSource(path.name, _read_file(path, _START_BYTES), path=path)
    if hasattr(source, "SerializeToString") and hasattr(source, "graph"):
        return ModelSource("model.onnx", b"", message=source)
    raise UsageError(
        f"cannot compile an object of type {type(source).__name__}; give a path, bytes, MLIR text, an onnx.ModelProto, "
        "a PyTorch module or ExportedProgram, or a JAX function or Exported; functions and modules with example inputs"
    )


def import_model(
    session: Session, source: ModelSource, input_format: str, *, dims: Mapping[str, int], entry_name: str
) -> ImportedModel:
    """Import with the front end of `input_format` (`auto`: told by content and name).

    Raises `CompileError` for what no front end reads or what its front end refuses, `UsageError` for a format name
    that does not exist."""
    for name, size in dims.items():
        if size > _LARGEST_SIZE:
            raise UsageError(f"dimension {name!r} cannot be {size}; give a number of at most {_LARGEST_SIZE}")
    chosen = _detect(source) if input_format == "auto" else _named(input_format)
    if not chosen.reader:
        raise CompileError(
            f"{source.label} is a {chosen.title} file, which webree cannot compile; {chosen.instead}. "
            f"Supported: {_SUPPORTED}",
            location=source.label,
            unsupported=True,
        )
    reader = importlib.import_module(chosen.reader)
    imported: ImportedModel = reader.import_model(session, source, dims=dims, entry_name=entry_name)
    return imported


def unique_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names in order; one that was there before gets its position appended."""
    found: list[str] = []
    for name in names:
        found.append(f"{name}_{len(found)}" if name in found else name)
    return tuple(found)


def _read_file(path: Path, byte_count: int | None) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(byte_count)
    except FileNotFoundError as error:
        raise CompileError(f"there is no model file at {path}", location=str(path)) from error
    except OSError as error:
        raise CompileError(f"cannot read {path}: {error.strerror or error}", location=str(path)) from error


def _named(name: str) -> Format:
    for item in FORMATS:
        if item.name == name:
            return item
    names = dict.fromkeys(item.name for item in FORMATS if item.reader)
    raise UsageError(f"unknown input format {name!r}; there are auto, {', '.join(names)}")


def _detect(source: ModelSource) -> Format:
    if source.message is not None:
        return _named("onnx")
    if source.traced is not None:
        return _named(source.traced.framework)
    data = source.start
    if not data:
        raise CompileError(f"{source.label} is empty", location=source.label)
    by_ending = _by_ending(source.label)
    for item in FORMATS:
        if item.magic is not None and data[item.magic[0] :].startswith(item.magic[1]):
            return by_ending if item.name == "zip" and by_ending is not None and by_ending.name in _ZIPPED else item
    if by_ending is not None:
        return by_ending
    if data[0] == 0x08:  # protobuf, field 1 as a number: ModelProto.ir_version comes first in every ONNX file
        return _named("onnx")
    if _is_text(data):
        return _named("mlir")
    raise CompileError(
        f"{source.label} is no model file that webree knows (it starts with {data[:8]!r}). Supported: {_SUPPORTED}",
        location=source.label,
        unsupported=True,
    )


def _by_ending(label: str) -> Format | None:
    ending = Path(label).suffix.lower()
    return next((item for item in FORMATS if ending and ending in item.endings), None)


def _is_text(data: bytes) -> bool:
    try:
        start = data.decode()
    except UnicodeDecodeError as error:
        return error.start > len(data) - 4 and len(data) == _START_BYTES
    return not any(ord(letter) < 32 and letter not in "\t\r\n" for letter in start)
