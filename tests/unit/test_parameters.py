"""Parameter files: both formats read, every kind of damage refused with its place, uploads through `io_parameters`."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fake_device import FakeDevice, memory
from webree.errors import InvocationError, ModuleError, StatusCode, UsageError
from webree.hal.buffer import Buffer
from webree.hal.fence import Fence
from webree.module.source import MemorySource
from webree.parameters.archive import Archive, Entry, open_archive, open_parameters
from webree.vm.buffers import VmBuffer
from webree.vm.modules.io_parameters import IoParametersModule


def safetensors(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def content(entry: Entry) -> bytes:
    assert entry.source is not None
    return bytes(entry.source.read(0, entry.byte_length))


def test_safetensors() -> None:
    data = random.randbytes(30)
    header = {
        "__metadata__": {"format": "pt"},
        "w": tensor("F32", [2, 3], 6, 30),
        "b": tensor("BF16", [3], 0, 6),
        "e": tensor("F64", [0, 4], 6, 6),
    }
    archive = open_archive(safetensors(header, data))
    assert set(archive.entries) == {"w", "b", "e"}
    assert content(archive.entries["w"]) == data[6:]
    assert content(archive.entries["b"]) == data[:6]
    assert archive.entries["e"].byte_length == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a safetensors file: 0 bytes"),
        (b"1234567", "not a safetensors file: 7 bytes"),
        (struct.pack("<Q", 100) + b"{}", "header of 100 bytes in a file of 10"),
        (struct.pack("<Q", 1 << 63), "not a safetensors file, or truncated"),
        (safetensors(b"\xff\xfe"), "header: the JSON cannot be read"),
        (safetensors(b"{"), "header: the JSON cannot be read"),
        (safetensors(b"[" * 100_000), "header: the JSON cannot be read"),
        (safetensors(b"[]"), "expected a JSON object, found a list"),
        (safetensors(b'{"a": {}, "a": {}}'), "a name occurs twice"),
        (safetensors({"a": 3}), "tensor 'a': expected a JSON object"),
        (safetensors({"a": {}}), "tensor 'a': data_offsets None"),
        (safetensors({"a": tensor("F32", [1], 0, 4)}), "data_offsets [0, 4] in a file with 0 bytes of data"),
        (safetensors({"a": tensor("F32", [1], 4, 0)}, bytes(4)), "tensor 'a': data_offsets [4, 0]"),
        (safetensors({"a": tensor("F32", [1], -4, 0)}, bytes(4)), "tensor 'a': data_offsets [-4, 0]"),
        (safetensors({"a": tensor("F32", [1], True, 4)}, bytes(4)), "tensor 'a': data_offsets [True, 4]"),
        (safetensors({"a": tensor("F32", [2], 0, 4)}, bytes(4)), "F32 of shape [2] needs 8 bytes, found 4"),
        (safetensors({"a": tensor("F32", [1 << 40, 1 << 40], 0, 4)}, bytes(4)), "F32 of shape"),
        (safetensors({"a": tensor("F32", "1", 0, 4)}, bytes(4)), "shape 1 is not a list of sizes"),  # type: ignore[arg-type]
        (safetensors({"a": tensor("Q7", [1], 0, 4)}, bytes(4)), "unknown dtype 'Q7'; known: BOOL, U8"),
        (
            safetensors({"a": tensor("U8", [3], 0, 3), "b": tensor("U8", [2], 2, 4)}, bytes(4)),
            "'b': overlaps tensor 'a'",
        ),
    ],
)
def test_damaged_safetensors(data: bytes, message: str) -> None:
    with pytest.raises(ModuleError) as caught:
        open_archive(data)
    assert message in str(caught.value)


# --- .irpa --------------------------------------------------------------------------------------------------------

HEADER, ENTRY = struct.Struct("<4sHHQQQQQQQQQQ"), struct.Struct("<QIQQQQQQ")


def irpa(entries: list[tuple[int, str, bytes]], storage: bytes = b"", *, following: int = 0, major: int = 0) -> bytes:
    """An archive of (type, name, the type's own fields)."""
    table, names = b"", b""
    for kind, name, fields in entries:
        table += bytes(-len(table) % 16)
        table += ENTRY.pack(ENTRY.size + len(fields), kind, 0, len(names), len(name), 0, 0, 0) + fields
        names += name.encode()
    table_at = 96
    names_at = table_at + len(table)
    storage_at = -(-(names_at + len(names)) // 64) * 64
    segments = (table_at, len(table), names_at, len(names), storage_at, len(storage))
    header = HEADER.pack(b"IRPA", major, 0, HEADER.size, following, 0, len(entries), *segments)
    return (header + bytes(8) + table + names).ljust(storage_at, b"\0") + storage


def stored(offset: int, length: int) -> bytes:
    return struct.pack("<QQ", offset, length)


def splat(length: int, pattern: bytes) -> bytes:
    return struct.pack("<Q16sB", length, pattern, len(pattern))


def test_irpa() -> None:
    storage = random.randbytes(100)
    archive = open_archive(irpa([(2, "w", stored(10, 60)), (0, "gone", b""), (1, "s", splat(64, b"\1\2"))], storage))
    assert set(archive.entries) == {"w", "s"}
    assert content(archive.entries["w"]) == storage[10:70]
    assert archive.entries["s"] == Entry(64, pattern=b"\1\2")


def test_irpa_headers_in_a_row() -> None:
    first = irpa([(2, "a", stored(0, 4))], b"aaaa")
    archive = open_archive(
        irpa([(2, "a", stored(0, 4))], b"aaaa", following=len(first)) + irpa([(1, "b", splat(2, b"x"))])
    )
    assert set(archive.entries) == {"a", "b"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"IRPA", "header: bytes 0..88 lie outside 4 bytes"),
        (irpa([(2, "a", stored(0, 4))], b"aaaa")[:100], "entry table: bytes 96..172 lie outside 100 bytes"),
        (irpa([(2, "a", stored(1, 4))], b"aaaa"), "entry 0 ('a'): bytes 1..5 lie outside 4 bytes"),
        (irpa([(2, "a", stored(0, 4)), (2, "a", stored(0, 4))], b"aaaa"), "entry 1 ('a'): the name occurs twice"),
        (irpa([(3, "a", b"")]), "entries of type external are not supported"),
        (irpa([(9, "a", b"")]), "entries of type 9 are not supported"),
        (irpa([(1, "a", splat(64, b""))]), "a pattern of 0 bytes over 64 bytes"),
        (irpa([(1, "a", splat(63, b"xy"))]), "a pattern of 2 bytes over 63 bytes"),
        (irpa([(2, "a", b"")]), "entry 0 ('a'): bytes 60..76 lie outside 60 bytes"),
        (irpa([], major=7), "version 7.0; supported is 0.x"),
        (irpa([], following=8), "the next header is 8 bytes on, inside this one"),
        (irpa([], following=1 << 50), "lie outside"),
    ],
)
def test_damaged_irpa(data: bytes, message: str) -> None:
    with pytest.raises(ModuleError) as caught:
        open_archive(data)
    assert message in str(caught.value)


@pytest.mark.parametrize("seed", range(200))
def test_mutated_files_never_raise_anything_else(seed: int) -> None:
    rng = random.Random(seed)
    good = (
        irpa([(2, "w", stored(10, 60)), (1, "s", splat(64, b"\1\2"))], bytes(100)),
        safetensors({"a": tensor("F32", [3], 0, 12), "b": tensor("U8", [2, 2], 12, 16)}, bytes(16)),
    )
    data = bytearray(rng.choice(good))
    for _ in range(rng.randrange(1, 6)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    if rng.random() < 0.3:
        del data[rng.randrange(len(data)) :]
    try:
        for entry in open_archive(bytes(data)).entries.values():
            assert entry.source is None or len(content(entry)) == entry.byte_length
    except ModuleError:
        pass


def test_archives_of_irees_own_tool(tmp_path: Path) -> None:
    tool = Path(sys.executable).with_name("iree-create-parameters")
    path = tmp_path / "w.irpa"
    subprocess.run([tool, "--splat=s=8xi16=258", "--splat=t=3xf32=1.5", f"--output={path}"], check=True, timeout=300)
    entries = open_archive(path).entries
    assert (entries["s"].byte_length, entries["s"].pattern) == (16, b"\2\1")
    assert (entries["t"].byte_length, entries["t"].pattern) == (12, struct.pack("<f", 1.5))


def test_files_by_scope(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors({"a": tensor("U8", [2], 0, 2)}, b"xy"))
    scopes = open_parameters({"model": path})
    assert content(scopes.find("model").find("a", "model")) == b"xy"
    with pytest.raises(
        InvocationError, match=r"parameters of scope 'other', passed are 'model'; pass parameters="
    ) as caught:
        scopes.find("other")
    assert caught.value.status == StatusCode.NOT_FOUND
    assert open_parameters(str(path)).find("anything").name == str(path)
    with pytest.raises(InvocationError, match=r"w\.safetensors has no parameter 'aa' .*; did you mean 'a'\?"):
        scopes.find("model").find("aa", "model")
    with pytest.raises(ModuleError, match=r"missing\.irpa: cannot read the file: No such file"):
        open_parameters(tmp_path / "missing.irpa")
    with pytest.raises(UsageError, match="found a int"):
        open_parameters(3)  # type: ignore[arg-type]


# --- io_parameters ------------------------------------------------------------------------------------------------


def tables(*requests: tuple[str, int, int, int]) -> tuple[VmBuffer, VmBuffer, VmBuffer]:
    """Key table, key bytes and spans of (key, parameter offset, buffer offset, length)."""
    keys, key_table, spans = b"", b"", b""
    for key, parameter_offset, buffer_offset, length in requests:
        key_table += struct.pack("<II", len(keys), len(key))
        keys += key.encode()
        spans += struct.pack("<QQQ", parameter_offset, buffer_offset, length)
    return VmBuffer(key_table), VmBuffer(keys), VmBuffer(spans)


def content_of(buffer: Buffer) -> bytes:
    return bytes(memory(buffer, 0, buffer.byte_length))


DATA = random.randbytes(40)
ARCHIVE = Archive(
    {"w": Entry(40, MemorySource(DATA)), "s": Entry(40, pattern=b"\1\2\3\4"), "c": Entry(32, pattern=DATA[:16])}
)


def test_gather() -> None:
    device, module = FakeDevice(), IoParametersModule(open_parameters(ARCHIVE))
    buffer = device.allocate(64)
    device.fill(buffer, 0, 64, b"\0")
    wait, signal = Fence(), Fence()
    requests = tables(("w", 5, 3, 20), ("s", 1, 32, 8), ("s", 2, 41, 6), ("c", 4, 48, 16))
    module.functions["gather"].call(device, -1, wait, signal, VmBuffer(b"model"), buffer, *requests)
    assert content_of(buffer) == bytes(64)
    wait.signal()
    assert not signal.pending
    expected = (
        bytes(3) + DATA[5:25] + bytes(9) + b"\2\3\4\1\2\3\4\1" + b"\0" + b"\3\4\1\2\3\4" + b"\0" + DATA[4:16] + DATA[:4]
    )
    assert content_of(buffer) == expected


def test_load_makes_a_buffer_for_each_span() -> None:
    device, module = FakeDevice(), IoParametersModule(open_parameters({"": ARCHIVE}))
    requests = tables(("w", 0, 0, 40), ("s", 0, 0, 8))
    buffers = module.functions["load"].call(device, -1, None, None, None, -1, 0x30, 0xC03, *requests)
    assert [content_of(buffer) for buffer in buffers.items] == [DATA, b"\1\2\3\4" * 2]


def test_what_io_parameters_refuses() -> None:
    device, module = FakeDevice(), IoParametersModule(open_parameters({"": ARCHIVE}))
    buffer = device.allocate(64)
    gather = module.functions["gather"].call
    with pytest.raises(InvocationError, match=r"bytes 30\.\.41 of parameter 'w', which has 40"):
        gather(device, -1, None, None, None, buffer, *tables(("w", 30, 0, 11)))
    with pytest.raises(InvocationError, match="no parameter 'x'"):
        gather(device, -1, None, None, None, buffer, *tables(("x", 0, 0, 1)))
    with pytest.raises(InvocationError, match="scope 'm'"):
        gather(device, -1, None, None, VmBuffer(b"m"), buffer, *tables(("w", 0, 0, 1)))
    with pytest.raises(InvocationError) as caught:
        module.functions["scatter"].call(device, -1, None, None, buffer, None, *tables())
    assert caught.value.status == StatusCode.PERMISSION_DENIED
