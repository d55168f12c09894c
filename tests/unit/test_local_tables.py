"""Reading WebAssembly binaries and the tables of libraries, good and damaged ones."""

from __future__ import annotations

import random
import struct
import time

import pytest
import wasmtime

from tests.local_kernels import Kernel, library
from webree.errors import ModuleError
from webree.hal_local.engine import LibraryExport
from webree.hal_local.library_tables import library_imports, read_exports
from webree.hal_local.wasm_binary import Import, Reader, WasmBinary, with_shared_memory

KERNELS = [
    Kernel("first", "(i32.const 0)", 0, 1),
    Kernel("sécond", "(i32.const 0)", 12, 200, (64, 1, 1), 16),
    Kernel("x" * 300, "(i32.const 0)", 255, 255, (70000, 80000, 60000), 65535),
]
IMPORTS = (
    '(import "env" "fmaxf" (func (param f32 f32) (result f32))) (import "env" "exp" (func (param f64) (result f64)))'
)


def test_exports_are_read_without_an_engine() -> None:
    assert read_exports(library(KERNELS)) == (
        LibraryExport("first", 0, 1, (1, 1, 1), 0),
        LibraryExport("sécond", 12, 200, (64, 1, 1), 16 * 4096),
        LibraryExport("x" * 300, 255, 255, (70000, 80000, 60000), 65535 * 4096),
    )
    assert read_exports(memoryview(bytearray(library(KERNELS[:1])))) == (LibraryExport("first", 0, 1),)


def test_imports_have_their_types() -> None:
    binary = WasmBinary.parse(library(KERNELS, imports=IMPORTS))
    assert library_imports(binary) == [
        Import("env", "fmaxf", 0, "f32,f32->f32"),
        Import("env", "exp", 0, "f64->f64"),
    ]
    assert (binary.memory_alignment, binary.table_size) == (16, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a WebAssembly module"),
        (b"\0asm\2\0\0\0", "not a WebAssembly module of version 1"),
        (b"\0asm\1\0\0\0", "no function iree_hal_executable_library_query"),
        (b"\0asm\1\0\0\0\1", "ends too early"),
        (b"\0asm\1\0\0\0\1\xff\xff\xff\xff\x0f", "do not fit"),
        (b"\0asm\1\0\0\0\1\xff\xff\xff\xff\xff\xff", "number is too long"),
        (b"\0asm\1\0\0\0\1\xff\xff\xff\xff\x7f", "number is too large"),
        (b"\0asm\1\0\0\0\1\5\xff\xff\xff\xff\x0f", "ends too early"),
        (b"\0asm\1\0\0\0\1\2\1\x40", "not a function type"),
        (b"\0asm\1\0\0\0\2\5\1\1\xff\1a", "not UTF-8"),
        (b"\0asm\1\0\0\0\2\6\1\1e\1a\x09", "unknown kind 9"),
        (b"\0asm\1\0\0\0\2\7\1\1e\1a\0\5", "type 5 of 0"),
        (b"\0asm\1\0\0\0\x07\3\0\0\0", "longer than what it holds"),
        (b"\0asm\1\0\0\0\x0b\2\1\7", "unknown flags 7"),
        (b"\0asm\1\0\0\0\x0b\3\1\0\x10", "instruction 0x10 in a constant expression"),
    ],
)
def test_damage_is_told_with_its_place(data: bytes, message: str) -> None:
    with pytest.raises(ModuleError, match=message):
        read_exports(data)


def test_tables_that_point_outside_are_refused() -> None:
    good = library([Kernel("k", "(i32.const 0)")])
    # The count stands twelve bytes into the structure, which is the last of the data.
    content = bytes(WasmBinary.parse(good).segments[0][2])
    count = good.index(content) + len(content) - 64 + 12
    assert good[count : count + 4] == struct.pack("<I", 1)
    with pytest.raises(ModuleError, match="claims 1073741824 kernels"):
        read_exports(good[:count] + struct.pack("<I", 1 << 30) + good[count + 4 :])
    with pytest.raises(ModuleError, match=r"points at|more than its data"):
        read_exports(good[:count] + struct.pack("<I", 40) + good[count + 4 :])


def test_libraries_of_another_version_are_refused() -> None:
    with pytest.raises(ModuleError, match="version 7 of the library ABI, supported is 6"):
        read_exports(library(KERNELS, version=7))


def test_code_that_is_not_a_table_is_not_run() -> None:
    """A query function with a loop would never end; it is refused at its first instruction."""
    text = """(module (func (export "iree_hal_executable_library_query") (param i32 i32) (result i32)
      (loop (br 0)) (unreachable)))"""
    with pytest.raises(ModuleError, match="instruction 0x3 in a function that should only return constants"):
        read_exports(bytes(wasmtime.wat2wasm(text)))


def test_start_functions_are_refused() -> None:
    with pytest.raises(ModuleError, match="start function"):
        read_exports(bytes(wasmtime.wat2wasm("(module (func $f (loop (br 0))) (start $f))")))


def test_huge_sizes_cost_nothing() -> None:
    text = '(module (@dylink.0 (mem-info (memory 4294967295 4) (table 1 0))) (func (export "f")))'
    began = time.process_time()
    with pytest.raises(ModuleError, match="asks for 4294967295 bytes of data"):
        read_exports(bytes(wasmtime.wat2wasm(text)))
    assert time.process_time() - began < 1


@pytest.mark.parametrize("kind", ["flip", "cut", "insert", "swap"])
def test_mutations_never_escape_as_anything_else(kind: str) -> None:
    seed = time.time_ns()
    generator = random.Random(seed)
    good = library(KERNELS[:2], imports=IMPORTS)
    began = time.process_time()
    refused = 0
    for _ in range(1500):
        data = bytearray(good)
        at = generator.randrange(len(data))
        if kind == "flip":
            for _ in range(generator.randrange(1, 4)):
                data[generator.randrange(len(data))] = generator.choice((0, 0x7F, 0x80, 0xFF, generator.randrange(256)))
        elif kind == "cut":
            del data[at : at + generator.randrange(1, len(data))]
        elif kind == "insert":
            data[at:at] = generator.randbytes(generator.randrange(1, 9))
        else:
            other = generator.randrange(len(data))
            data[at : at + 8], data[other : other + 8] = data[other : other + 8], data[at : at + 8]
        try:
            read_exports(data)
        except ModuleError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} for a {kind}, seed {seed}") from error
        try:
            with_shared_memory(bytes(data), 65535)
        except ModuleError:
            pass
    assert refused > 100
    assert time.process_time() - began < 60


def test_numbers() -> None:
    assert Reader(b"\xe5\x8e\x26").unsigned() == 624485
    assert Reader(b"\xc0\xbb\x78").signed() == -123456
    assert Reader(b"\x80\x80\x80\x80\x78").signed() == -(1 << 31)
    with pytest.raises(ModuleError):
        Reader(b"\xff\xff\xff\xff\x1f").unsigned()
