"""Assemble webree/hal_local/player/*.wat into the .wasm files beside them; `--check` only compares.

Enters: the WebAssembly text that people edit. Leaves: the binaries that both engines load, committed so that neither a
browser nor an installed wheel needs an assembler. The same text always gives the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import wasmtime

FOLDER = Path(__file__).resolve().parent.parent / "webree" / "hal_local" / "player"


def assemble(text: Path) -> bytes:
    """The module without the functions' names: a quarter of the bytes, and nobody reads them there."""
    return without_custom_sections(bytes(wasmtime.wat2wasm(text.read_text(encoding="utf-8"))))


def without_custom_sections(binary: bytes) -> bytes:
    kept, offset = bytearray(binary[:8]), 8
    while offset < len(binary):
        start, length, shift = offset, 0, 0
        offset += 1
        while True:
            byte = binary[offset]
            offset += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        offset += length
        if binary[start]:
            kept += binary[start:offset]
    return bytes(kept)


def main() -> int:
    check = "--check" in sys.argv[1:]
    stale = 0
    for text in sorted(FOLDER.glob("*.wat")):
        binary, target = assemble(text), text.with_suffix(".wasm")
        if target.is_file() and target.read_bytes() == binary:
            continue
        stale += 1
        if check:
            print(f"{target.name} is not what {text.name} assembles to: run scripts/build_player.py")
        else:
            target.write_bytes(binary)
            print(f"{target.name}: {len(binary)} bytes")
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
