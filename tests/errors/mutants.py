"""Damaged and hostile versions of a model file.

Enters: a valid `Model` and a random generator. Leaves: its files, changed. Half of the changes are to bytes, as bad
disks and cut downloads make them; the other half know the format and write what its fields can hold but no exporter
writes: huge and negative sizes, names of other things, cycles, attributes of other types, offsets past the end.
"""

from __future__ import annotations

import copy
import random
import re
from typing import Any

from tests.errors.hostile_models import Model

__all__ = ["mutate"]

_INTEGERS = (0, 1, -1, 2, 3, 7, 16, 31, 64, 127, 255, 4096, 1 << 20, 1 << 30, (1 << 31) - 1, -(1 << 31), 1 << 32)
_LARGE = (1 << 40, (1 << 63) - 1, -(1 << 63), (1 << 62) + 1)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e38, 1e-45, float("inf"), float("-inf"), float("nan"))
_TEXTS = ("", "x", "x" * 3000, "ä\n\"'%s{}", "../weights.bin", "/etc/passwd", "-1", "1e9", "9" * 40, "\0", "float32")


def mutate(model: Model, rng: random.Random) -> dict[str, bytes]:
    """The model's files with one to a few changes to one of them."""
    files = dict(model.files)
    name = rng.choice(list(files))
    change = _BY_FORMAT.get(model.format) if rng.random() < 0.6 and name == next(iter(files)) else None
    if change is not None:
        try:
            files[name] = change(files[name], rng)
            return files
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, _pack_error()):
            pass  # a value that the writer cannot write: damage bytes instead
    files[name] = _bytes(files[name], rng)
    return files


def _pack_error() -> type[Exception]:
    import struct

    return struct.error


def _bytes(data: bytes, rng: random.Random) -> bytes:
    """Bits, words and ranges; near the start more often than elsewhere, since that is where headers are."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        reach = len(out) if rng.random() < 0.5 else min(len(out), 512)
        position = rng.randrange(max(reach, 1))
        kind = rng.random()
        if not out or kind < 0.1:
            del out[position:]
        elif kind < 0.4:
            out[position] ^= 1 << rng.randrange(8)
        elif kind < 0.6:
            out[position] = rng.choice((0, 1, 2, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind < 0.8:
            size = rng.choice((4, 8))
            value = rng.choice((*_INTEGERS, *_LARGE, len(out), rng.getrandbits(32)))
            out[position : position + size] = (value % (1 << 8 * size)).to_bytes(size, "little")
        elif kind < 0.9:
            source, size = rng.randrange(len(out)), rng.randrange(1, 64)
            out[position : position + size] = out[source : source + size]
        else:
            del out[position : position + rng.randrange(1, 16)]
    return bytes(out)


# --- trees of messages: ONNX's protobuf, and TensorFlow Lite's tables as Python objects ----------------------------


def _integer(old: int, rng: random.Random) -> int:
    return rng.choice((old + 1, old - 1, -old, old * 2, *_INTEGERS, *_INTEGERS, *_LARGE))


def _onnx(data: bytes, rng: random.Random) -> bytes:
    import onnx

    model = onnx.load_model_from_string(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = [(message, field) for message in _messages(model) for field in message.DESCRIPTOR.fields]
        there = [(message, field) for message, field in places if _is_set(message, field)]
        message, field = rng.choice(there if rng.random() < 0.95 else places)
        names = [value for owner, item in there for value in _strings(owner, item)]
        _change_field(message, field, names, rng)
    return bytes(model.SerializeToString())


def _messages(message: Any) -> list[Any]:
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in value if _repeated(field) else [value]:
                found += _messages(item)
    return found


def _repeated(field: Any) -> bool:
    return bool(field.is_repeated)


def _is_set(message: Any, field: Any) -> bool:
    return len(getattr(message, field.name)) > 0 if _repeated(field) else message.HasField(field.name)


def _strings(message: Any, field: Any) -> list[str]:
    if field.cpp_type != field.CPPTYPE_STRING or field.type == field.TYPE_BYTES:
        return []
    value = getattr(message, field.name)
    return list(value) if _repeated(field) else [value]


def _change_field(message: Any, field: Any, names: list[str], rng: random.Random) -> None:
    if _repeated(field):
        _change_list(getattr(message, field.name), field, names, rng)
    elif field.message_type is not None:
        if message.HasField(field.name):
            message.ClearField(field.name)
        else:
            getattr(message, field.name).SetInParent()
    elif rng.random() < 0.15:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _scalar(getattr(message, field.name), names, rng))


def _change_list(values: Any, field: Any, names: list[str], rng: random.Random) -> None:
    kind = rng.random()
    place = rng.randrange(len(values)) if len(values) else 0
    if not len(values):
        if field.message_type is not None:
            values.add()
        elif field.cpp_type == field.CPPTYPE_STRING:
            values.append(b"x" if field.type == field.TYPE_BYTES else rng.choice(names))
        else:
            values.append(1)
    elif kind < 0.25:
        del values[place]
    elif kind < 0.4:
        order = [copy.deepcopy(value) for value in values]
        rng.shuffle(order)
        del values[:]
        values.extend(order)
    elif kind < 0.55 or field.message_type is not None:
        values.extend([copy.deepcopy(values[place])] * rng.choice((1, 1, 3, 40)))
    else:
        values[place] = _scalar(values[place], names, rng)


def _scalar(old: Any, names: list[str], rng: random.Random) -> Any:
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        return _integer(old, rng)
    if isinstance(old, float):
        return rng.choice(_FLOATS)
    if isinstance(old, bytes):
        return _bytes(old, rng) if rng.random() < 0.7 else rng.choice((b"", old + b"\0", old[:-1]))
    return rng.choice(names) if rng.random() < 0.7 else rng.choice(_TEXTS)


def _tflite(data: bytes, rng: random.Random) -> bytes:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = [(item, key) for item in _tables(model) for key, value in vars(item).items() if value is not None]
        item, key = rng.choice(places)
        value = getattr(item, key)
        if isinstance(value, int | float | bool | str | bytes):
            setattr(item, key, _scalar(value, ["x", "y"], rng))
        elif hasattr(value, "__len__"):
            setattr(item, key, _sequence(list(value), rng))
        else:
            setattr(item, key, None)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tables(item: Any) -> list[Any]:
    found = [item]
    for value in vars(item).values():
        for inner in value if isinstance(value, list) else [value]:
            if hasattr(inner, "Pack"):
                found += _tables(inner)
    return found


def _sequence(values: list[Any], rng: random.Random) -> list[Any]:
    kind = rng.random()
    if not values:
        return [rng.choice(_INTEGERS)]
    place = rng.randrange(len(values))
    if kind < 0.25:
        del values[place]
    elif kind < 0.4:
        values += [values[place]] * rng.choice((1, 1, 3, 40))
    elif kind < 0.5:
        rng.shuffle(values)
    elif not hasattr(values[place], "Pack"):
        old = values[place]
        values[place] = _integer(int(old), rng) if not isinstance(old, float) else rng.choice(_FLOATS)
    return values


# --- GGUF, parameter files, MLIR -----------------------------------------------------------------------------------


def _gguf(data: bytes, rng: random.Random) -> bytes:
    from tests.llm.gguf_writer import FORMATS, Tensor, write_gguf
    from webree.compiler.frontends.gguf_file import read_gguf

    file = read_gguf(data, "seed")
    metadata = dict(file.metadata)
    tensors = [Tensor(t.name, t.shape, t.format.name, bytes(t.data)) for t in file.tensors.values()]
    for _ in range(rng.choice((1, 1, 2, 3))):
        if rng.random() < 0.5:
            key = rng.choice(list(metadata))
            old = metadata[key]
            other = rng.choice([*metadata.values(), [], [1], True, "", 1.5])
            metadata[key] = _scalar(old, list(metadata), rng) if rng.random() < 0.7 else other
            if isinstance(old, int) and isinstance(metadata[key], int):
                metadata[key] %= 1 << 32
            if rng.random() < 0.15:
                del metadata[key]
            continue
        place = rng.randrange(len(tensors))
        old_tensor = tensors[place]
        shape = list(old_tensor.shape)
        change = rng.randrange(5)
        if change == 0:
            shape[rng.randrange(len(shape))] = abs(_integer(shape[0], rng))
        elif change == 1:
            shape = shape[::-1] if rng.random() < 0.5 else shape[1:]
        name = rng.choice(tensors).name if change == 2 else old_tensor.name
        form = rng.choice(list(FORMATS)) if change == 3 else old_tensor.format
        tensors[place] = Tensor(name, tuple(shape), form, old_tensor.data)
        if change == 4:
            del tensors[place]
    return write_gguf(metadata, tensors)


def _safetensors(data: bytes, rng: random.Random) -> bytes:
    """Numbers and words of the JSON header, with its length put right."""
    if data.startswith(b"IRPA"):
        raise ValueError("not JSON")
    size = int.from_bytes(data[:8], "little")
    header = _words(data[8 : 8 + size], rng)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


_WORD = re.compile(rb'-?\d+(?:\.\d+)?|[%@#!]?"?[A-Za-z_][\w.]*|[^\w\s]')
_MLIR_WORDS = (
    b"? * -1 0 1 4294967296 9223372036854775807 99999999999999999999999 f16 f32 f64 bf16 i1 i4 i8 i64 index i0 i3 i128 "
    b"tensor<?xf32> tensor<*xf32> tensor<f32> vector<4xf32> memref<4xf32> tensor<0xf32> !torch.int dense<0> unit "
    b"complex<f32> tensor<4611686018427387904xf32> true none f8E4M3FN tuple<> (f32)->f32 private"
).split()


def _words(text: bytes, rng: random.Random) -> bytes:
    """Other numbers, words from elsewhere in the text, lines twice or gone."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        found = list(_WORD.finditer(text))
        if not found:
            return text
        word = rng.choice(found)
        kind = rng.random()
        if kind < 0.15:
            lines = text.split(b"\n")
            place = rng.randrange(len(lines))
            lines[place : place + 1] = [lines[place]] * rng.choice((0, 0, 2, 3))
            text = b"\n".join(lines)
            continue
        if kind < 0.5:
            alike = [item[0] for item in found if item[0][:1] == word[0][:1] or item[0].isalnum() == word[0].isalnum()]
            new = rng.choice(alike)
        elif kind < 0.75 and word[0].isdigit():
            new = str(_integer(int(word[0]), rng)).encode()
        elif kind < 0.9:
            new = rng.choice(_MLIR_WORDS)
        else:
            new = b""
        text = text[: word.start()] + new + text[word.end() :]
    return text


_BY_FORMAT = {
    "onnx": _onnx,
    "external": _onnx,
    "tflite": _tflite,
    "gguf": _gguf,
    "mlir": _words,
    "parameters": _safetensors,
}
