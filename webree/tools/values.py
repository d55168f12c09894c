"""Tensors on the command line: `4xf32=1,2,3,4`, `@x.npy`, `2x3xi8=@x.bin`, and back to text and files.

Enters: the words of `--input`, `--output` and `--expected-output`, as IREE's tools spell them. Leaves: NumPy arrays,
Python numbers, text. A shape and type with `=VALUES` (one value fills all), `=random` or `=random:SEED`, `=@FILE` (raw
little-endian bytes), or nothing (zeros); `@FILE.npy`; a bare number is a scalar of the function's own type, not a
tensor.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webree import dtypes
from webree.errors import UsageError, WebreeError
from webree.tools.files import write_whole

if TYPE_CHECKING:
    import numpy

__all__ = ["Named", "compare", "format_value", "parse_input", "parse_inputs", "random_value", "write_output"]

_NAME = re.compile(r"([A-Za-z_][\w./-]*):(?!//)")
_TYPED = re.compile(r"(?P<dims>(?:\d+x)*)(?P<type>(?:si|ui|i|f|bf)\d+|complex<f\d+>)(?:=(?P<values>.*))?", re.DOTALL)
_GRAMMAR = "write SHAPExTYPE=VALUES as in 1x3xf32=0.5 or 4xi32=1,2,3,4, @FILE.npy, SHAPExTYPE=@FILE.bin, or a number"

_TRUTH = {"true": 1, "false": 0, "nan": math.nan, "inf": math.inf, "-inf": -math.inf}

Named = tuple[str | None, Any]
"""An argument and its name, None for one given by position."""


def parse_inputs(words: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """All `--input` words as positional and named arguments."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for word in words:
        match = _NAME.match(word)
        name = match.group(1) if match and not _TYPED.fullmatch(word) else None
        value = parse_input(word[match.end() :] if match and name else word)
        if name is None:
            positional.append(value)
        elif name in named:
            raise UsageError(f"--input {word}: there is already an input named {name!r}")
        else:
            named[name] = value
    return positional, named


def parse_input(word: str) -> Any:
    """One value: a NumPy array, or a Python number for a bare one. Raises `UsageError` that shows the grammar."""
    if word.startswith("@"):
        return _read_npy(Path(word[1:]))
    match = _TYPED.fullmatch(word)
    if match is None:
        return _scalar(word)
    shape = tuple(int(dim) for dim in match["dims"].split("x")[:-1])
    dtype = _numpy_type(match["type"], word)
    return _tensor(word, shape, dtype, match["values"])


def _scalar(word: str) -> int | float:
    try:
        return int(word, 0)
    except ValueError:
        pass
    try:
        return float(word)
    except ValueError:
        raise UsageError(f"cannot read the value {word!r}: {_GRAMMAR}") from None


def _numpy_type(mlir: str, word: str) -> numpy.dtype[Any]:
    import numpy

    try:
        name = dtypes.by_mlir(mlir).name
    except KeyError:
        known = ", ".join(dict.fromkeys(dtype.mlir for dtype in dtypes.DTYPES))
        raise UsageError(f"{word!r}: there is no element type {mlir!r}; there are {known}") from None
    if name == "bfloat16":
        from ml_dtypes import bfloat16

        name = bfloat16
    dtype: numpy.dtype[Any] = numpy.dtype(name)
    return dtype


def _tensor(word: str, shape: tuple[int, ...], dtype: numpy.dtype[Any], values: str | None) -> numpy.ndarray[Any, Any]:
    import numpy

    count = math.prod(shape)
    if values is None:
        return numpy.zeros(shape, dtype)
    if values.startswith("@"):
        return _read_raw(Path(values[1:]), shape, dtype)
    if values.startswith("random"):
        return random_value(shape, dtype, _seed(values, word))
    elements = [part for part in re.split(r"[\s,\[\]]+", values) if part]
    if len(elements) not in (1, count):
        raise UsageError(f"{word!r}: {count} elements (or one for all) are needed, and {len(elements)} are given")
    try:
        numbers = [_TRUTH.get(part.lower(), part) for part in elements]
        if dtype.kind in "iu":
            array = numpy.array([int(str(number), 0) for number in numbers], dtype)
        elif dtype.kind == "b":
            array = numpy.array([int(number) != 0 for number in numbers], dtype)
        else:
            array = numpy.array([complex(n) if dtype.kind == "c" else float(n) for n in numbers]).astype(dtype)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{word!r}: a value does not fit {dtype.name}: {error}") from None
    return numpy.ascontiguousarray(numpy.broadcast_to(array, (count,)) if len(elements) == 1 else array).reshape(shape)


def _seed(values: str, word: str) -> int:
    try:
        return int(values.partition(":")[2] or "0")
    except ValueError:
        raise UsageError(f"{word!r}: a seed is a whole number, as in random:7") from None


def random_value(shape: tuple[int, ...], dtype: numpy.dtype[Any], seed: int) -> numpy.ndarray[Any, Any]:
    """Random elements: normal for floats, 0 to 99 for integers (below 2 for bool); the same seed gives the same."""
    import numpy

    generator = numpy.random.default_rng(seed)
    if dtype.kind in "iub":
        return generator.integers(0, 2 if dtype.kind == "b" else 100, shape).astype(dtype)
    return generator.standard_normal(shape).astype(dtype)


def _read_npy(path: Path) -> numpy.ndarray[Any, Any]:
    import numpy

    if path.suffix != ".npy":
        raise UsageError(f"@{path}: only .npy files tell their shape and type; write SHAPExTYPE=@{path} for raw bytes")
    try:
        array: numpy.ndarray[Any, Any] = numpy.load(path, allow_pickle=False)
    except OSError as error:
        raise UsageError(f"cannot read the input {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise UsageError(f"{path} is not an .npy file of plain numbers: {error}") from None
    return numpy.ascontiguousarray(array)


def _read_raw(path: Path, shape: tuple[int, ...], dtype: numpy.dtype[Any]) -> numpy.ndarray[Any, Any]:
    import numpy

    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the input {path}: {error.strerror}") from None
    needed = math.prod(shape) * dtype.itemsize
    if len(data) != needed:
        raise UsageError(f"{path} holds {len(data)} bytes, and {format_type(shape, dtype)} takes {needed}")
    return numpy.frombuffer(data, dtype).reshape(shape)


def format_type(shape: Sequence[int], dtype: numpy.dtype[Any]) -> str:
    """`2x3xf32`."""
    mlir = dtypes.by_name(dtype.name).mlir
    return "x".join([*map(str, shape), mlir])


def format_value(value: Any, limit: int = 64) -> str:
    """A result as IREE's tools print it, `2x2xf32=[1 2][3 4]`; beyond `limit` elements the middle is left out."""
    import numpy

    if not hasattr(value, "shape"):
        return str(value)
    array = numpy.asarray(value)
    head = format_type(array.shape, array.dtype)
    if array.ndim == 0:
        return f"{head}={array.item():g}" if array.dtype.kind == "f" else f"{head}={array.item()}"
    if array.size > limit:
        flat = array.reshape(-1)
        shown = limit // 2
        return f"{head}=[{_numbers(flat[:shown])} … {_numbers(flat[-shown:])}] ({array.size} elements)"
    return f"{head}={_nested(array)}"


def _nested(array: numpy.ndarray[Any, Any]) -> str:
    if array.ndim == 1:
        return f"[{_numbers(array)}]"
    inner = "".join(_nested(row) for row in array)
    return inner if array.ndim == 2 else f"[{inner}]"


def _numbers(array: numpy.ndarray[Any, Any]) -> str:
    if array.dtype.kind == "f":
        return " ".join(f"{float(number):.9g}" for number in array)
    return " ".join(str(number) for number in array.tolist())


def write_output(word: str, value: Any) -> str | None:
    """Write one result where `--output` says: `@FILE.npy`, `@FILE.bin` (raw bytes); `-` gives its text back."""
    import numpy

    if word == "-":
        return format_value(value, limit=1 << 62)
    if not word.startswith("@"):
        raise UsageError(f"--output {word}: write @FILE.npy, @FILE.bin (raw bytes) or - (print all of it)")
    path = Path(word[1:])
    array = numpy.asarray(value)
    try:
        data = array.tobytes()
        if path.suffix == ".npy":
            numpy.save(stream := io.BytesIO(), array, allow_pickle=False)
            data = stream.getvalue()
        write_whole(path, data)
    except OSError as error:
        raise WebreeError(f"cannot write {path}: {error.strerror}") from None
    return None


def compare(found: Any, expected: Any, tolerance: float) -> str | None:
    """None if the two agree, else what differs: floats by |found - expected| <= tolerance * (1 + |expected|)."""
    import numpy

    found, expected = numpy.asarray(found), numpy.asarray(expected)
    if found.shape != expected.shape or found.dtype != expected.dtype:
        is_type, wanted = format_type(found.shape, found.dtype), format_type(expected.shape, expected.dtype)
        return f"expected {wanted}, found {is_type}"
    if found.dtype.kind in "fc":
        same = numpy.isclose(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    else:
        same = found == expected
    if bool(numpy.all(same)):
        return None
    wrong = int(numpy.size(same) - numpy.count_nonzero(same))
    first = numpy.unravel_index(int(numpy.argmin(same)), same.shape)
    where = "".join(f"[{int(index)}]" for index in first)
    pair = f"expected {expected[first]}, found {found[first]}"
    return f"{wrong} of {same.size} elements differ, the first at {where}: {pair}"
