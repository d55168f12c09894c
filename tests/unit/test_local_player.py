"""The player's committed binaries, and its threads over a memory that is really shared, as in a browser."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType

import pytest
import wasmtime

import webree.hal_local
from webree.hal_local.layout import CONTROL_ADDRESS, Layout
from webree.hal_local.wasm_binary import GLOBAL, MEMORY, TABLE, WasmBinary, with_shared_memory

PLAYER = Path(webree.hal_local.__file__).parent / "player"
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "build_player.py"


@pytest.fixture(scope="module")
def build_player() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_player", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["player", "libm"])
def test_the_committed_binary_is_what_the_text_assembles_to(build_player: ModuleType, name: str) -> None:
    assert build_player.assemble(PLAYER / f"{name}.wat") == (PLAYER / f"{name}.wasm").read_bytes()


def test_the_check_finds_a_stale_binary(
    build_player: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.wat").write_text('(module (func (export "f") (result i32) (i32.const 7)))')
    monkeypatch.setattr(build_player, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["build_player.py"])
    assert build_player.main() == 0
    monkeypatch.setattr(sys, "argv", ["build_player.py", "--check"])
    assert build_player.main() == 0
    (tmp_path / "one.wasm").write_bytes(b"\0asm\1\0\0\0")
    assert build_player.main() == 1
    assert "one.wasm is not what one.wat assembles to" in capsys.readouterr().out


def test_imports_and_exports_are_those_of_the_documentation() -> None:
    binary = WasmBinary.parse((PLAYER / "player.wasm").read_bytes())
    assert [(entry.module, entry.name, entry.kind) for entry in binary.imports] == [
        ("env", "memory", MEMORY),
        ("env", "__indirect_function_table", TABLE),
    ]
    assert sorted(binary.exports) == ["dismiss", "lead", "play", "serve", "trapped"]
    assert not any(entry.kind == GLOBAL for entry in binary.imports)


def test_a_shared_memory_import_is_valid_and_keeps_the_rest() -> None:
    data = (PLAYER / "player.wasm").read_bytes()
    shared = with_shared_memory(data, 65535)
    config = wasmtime.Config()
    config.wasm_threads = True
    config.shared_memory = True
    engine = wasmtime.Engine(config)
    [memory] = [
        entry.type for entry in wasmtime.Module(engine, shared).imports if isinstance(entry.type, wasmtime.MemoryType)
    ]
    assert memory.is_shared
    assert (memory.limits.min, memory.limits.max) == (1, 65535)
    assert WasmBinary.parse(shared).exports == WasmBinary.parse(data).exports
    assert with_shared_memory(shared, 65535) == shared
    libm = (PLAYER / "libm.wasm").read_bytes()
    assert with_shared_memory(libm, 65535) == libm


def test_the_thread_blocks_do_not_overlap() -> None:
    layout = Layout(5)
    pointers = [layout.stack_pointer(thread) for thread in range(5)]
    assert len({second - first for first, second in itertools.pairwise(pointers)}) == 1
    assert all(pointer % 16 == 0 for pointer in pointers)
    words = dict(layout.initial_words())
    libraries, block, stride, local_offset = (
        int.from_bytes(words[CONTROL_ADDRESS + 16][at : at + 4], "little") for at in (0, 4, 8, 12)
    )
    assert CONTROL_ADDRESS + 512 <= libraries < block
    assert pointers[0] == block + local_offset
    assert pointers[4] + (256 << 10) <= block + 5 * stride <= layout.base_address
    guards = [address for address in words if address != CONTROL_ADDRESS + 16]
    assert guards == [block + thread * stride + 128 for thread in range(5)]
