"""WGS1: what is written is read back, the same bytes every time, and damage is a `ModuleError` and nothing else."""

from __future__ import annotations

import dataclasses
import random
import struct

import pytest

from webree.errors import ModuleError
from webree.module.executable import (
    ExecutableExport,
    ExecutableFile,
    ShaderModule,
    SourceFile,
    read_executable,
    write_executable,
)
from webree.module.source import MemorySource

FILE = ExecutableFile(
    exports=(
        ExecutableExport("main$async_dispatch_0_matmul_4x8", "main_dispatch_0", 0, (64, 2, 1), 3, (1, 3, 2), 512, 640),
        ExecutableExport("fill", "fill", 1, (1, 1, 1), 0, ()),
    ),
    shader_modules=(
        ShaderModule.from_text("@compute @workgroup_size(64, 2) fn main_dispatch_0() {} // ü"),
        ShaderModule.from_text("@compute @workgroup_size(1) fn fill() {}", "{}"),
    ),
    profile="webgpu",
    required_limits=(("max_compute_invocations_per_workgroup", 128), ("max_storage_buffers_per_shader_stage", 3)),
    required_features=("shader-f16",),
    sources=(SourceFile("kernel.mlir", b"module {}\0\xff"),),
)


def _comparable(file: ExecutableFile) -> object:
    shaders = tuple((shader.text(), shader.source_map) for shader in file.shader_modules)
    return dataclasses.replace(file, shader_modules=()), shaders


def test_round_trip() -> None:
    data = write_executable(FILE)
    assert _comparable(read_executable(MemorySource(data))) == _comparable(FILE)
    assert data == write_executable(FILE)


def test_header() -> None:
    data = write_executable(FILE)
    magic, version, size = struct.unpack_from("<4sIQ", data)
    assert (magic, version, size) == (b"WGS1", 0, len(data) - 64)
    assert data[16:64] == bytes(48)
    assert data[68:72] == b"WGS1"


def test_alignment_of_fields() -> None:
    """FlatBuffers readers of other languages load fields in place: struct and 64-bit vectors must be aligned."""
    for length in range(1, 10):
        export = dataclasses.replace(FILE.exports[0], name="n" * length, binding_flags=(1,) * length)
        file = dataclasses.replace(FILE, exports=(export,))
        assert _comparable(read_executable(MemorySource(write_executable(file)))) == _comparable(file)


def test_read_only_is_declared_for_constants_alone() -> None:
    assert FILE.exports[0].binding_read_only == (True, False, False)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "WebGPU executable: has 0 bytes; the header alone has 64"),
        (bytes(64), r"starts with b'\\x00\\x00\\x00\\x00', expected b'WGS1'"),
        (b"WGS1" + struct.pack("<IQ", 7, 0) + bytes(48), "is version 7; this runtime reads version 0"),
        (b"WGS1" + struct.pack("<IQ", 0, 900) + bytes(48), "is cut off: 0 of 900 bytes of content are there"),
    ],
)
def test_what_is_no_executable(data: bytes, message: str) -> None:
    with pytest.raises(ModuleError, match=message):
        read_executable(MemorySource(data))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exports": ()}, "WebGPU executable: has no exports"),
        ({"shader_modules": FILE.shader_modules[:1]}, "export 1: names shader module 1 of 1"),
        ({"shader_modules": (ShaderModule.from_text(""), FILE.shader_modules[1])}, "shader module 0: has no WGSL"),
    ],
)
def test_what_does_not_fit_together(change: dict[str, object], message: str) -> None:
    data = write_executable(dataclasses.replace(FILE, **change))  # type: ignore[arg-type]
    with pytest.raises(ModuleError, match=message):
        read_executable(MemorySource(data))


def test_workgroup_size_of_zero() -> None:
    export = dataclasses.replace(FILE.exports[0], workgroup_size=(0, 1, 1))
    with pytest.raises(ModuleError, match=r"export 0: has the workgroup size \(0, 1, 1\)"):
        read_executable(MemorySource(write_executable(dataclasses.replace(FILE, exports=(export,)))))


def test_mutations_raise_nothing_but_module_errors() -> None:
    data = write_executable(FILE)
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    refused = 0
    for _ in range(3000):
        mutated = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            position = chance.randrange(len(mutated))
            mutated[position] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        if chance.random() < 0.2:
            del mutated[chance.randrange(len(mutated)) :]
        try:
            for shader in read_executable(MemorySource(mutated)).shader_modules:
                shader.text()
        except ModuleError:
            refused += 1
    assert refused > 500
