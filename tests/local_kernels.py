"""Executable libraries for tests of the CPU engine, written by hand: no compiler is needed, and kernels may misbehave.

Enters: kernels as WebAssembly text. Leaves: a PIC module with the tables of IREE's executable library ABI, as the
compiler's linker would write it. `(param $environment $state $workgroup)` are the kernel's arguments.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import wasmtime

__all__ = ["Kernel", "library", "library_text"]


@dataclass(frozen=True)
class Kernel:
    """Attributes: body: instructions that leave an i32 status; the others as in `LibraryExport`."""

    name: str
    body: str
    constant_count: int = 0
    binding_count: int = 1
    workgroup_size: tuple[int, int, int] = (1, 1, 1)
    local_memory_pages: int = 0


# The address that binding `n` has, and constant `n`.
PRELUDE = """
  (func $binding (param $state i32) (param $n i32) (result i32)
    (i32.load (i32.add (i32.load offset=28 (local.get $state)) (i32.shl (local.get $n) (i32.const 2)))))
  (func $length (param $state i32) (param $n i32) (result i32)
    (i32.load (i32.add (i32.load offset=32 (local.get $state)) (i32.shl (local.get $n) (i32.const 2)))))
  (func $constant (param $state i32) (param $n i32) (result i32)
    (i32.load (i32.add (i32.load offset=24 (local.get $state)) (i32.shl (local.get $n) (i32.const 2)))))
"""


def library(kernels: list[Kernel], *, imports: str = "", functions: str = "", version: int = 6) -> bytes:
    return bytes(wasmtime.wat2wasm(library_text(kernels, imports=imports, functions=functions, version=version)))


def library_text(kernels: list[Kernel], *, imports: str = "", functions: str = "", version: int = 6) -> str:
    data, relocations = bytearray(), []

    def place(content: bytes) -> int:
        data.extend(b"\0" * (-len(data) % 8))
        data.extend(content)
        return len(data) - len(content)

    def pointer(at: int, target: int) -> None:
        relocations.append(
            f"(i32.store (i32.add (global.get $data) (i32.const {at}))"
            f" (i32.add (global.get $data) (i32.const {target})))"
        )

    names = [place(kernel.name.encode() + b"\0") for kernel in kernels]
    header = place(struct.pack("<IIII", version, 0, 0, 0))
    pointer(header + 4, names[0] if names else header)
    count = len(kernels)
    pointers, name_list = place(bytes(4 * count)), place(bytes(4 * count))
    attributes = place(
        b"".join(
            struct.pack(
                "<QHBBIIHH40x",
                0,
                k.local_memory_pages,
                k.constant_count,
                k.binding_count,
                *k.workgroup_size[:2],
                k.workgroup_size[2],
                0,
            )
            for k in kernels
        )
    )
    for position in range(count):
        pointer(name_list + 4 * position, names[position])
        relocations.append(
            f"(i32.store (i32.add (global.get $data) (i32.const {pointers + 4 * position}))"
            f" (i32.add (global.get $functions) (i32.const {position})))"
        )
    structure = place(bytes(64))
    struct.pack_into("<I", data, structure + 12, count)
    for offset, target in ((0, header), (16, pointers), (20, attributes), (32, name_list)):
        pointer(structure + offset, target)
    text = "".join(f"\\{byte:02x}" for byte in data)
    bodies = "\n".join(
        f"(func $kernel{position} (param $environment i32) (param $state i32) (param $workgroup i32) (result i32)\n"
        f"{kernel.body})"
        for position, kernel in enumerate(kernels)
    )
    elements = " ".join(f"$kernel{position}" for position in range(count))
    return f"""(module
  (@dylink.0 (mem-info (memory {len(data)} 4) (table {count} 0)))
  (import "env" "memory" (memory 0))
  (import "env" "__indirect_function_table" (table 0 funcref))
  (import "env" "__stack_pointer" (global $stack (mut i32)))
  (import "env" "__memory_base" (global $data i32))
  (import "env" "__table_base" (global $functions i32))
  {imports}
  (func (export "iree_hal_executable_library_query") (param i32 i32) (result i32)
    (select (i32.add (global.get $data) (i32.const {structure})) (i32.const 0)
            (i32.eq (local.get 0) (i32.const 6))))
  (func (export "__wasm_apply_data_relocs") {" ".join(relocations)})
  {PRELUDE}
  {functions}
  {bodies}
  (elem (global.get $functions) func {elements})
  (data (global.get $data) "{text}"))
"""
