"""The conformance kernels as WebAssembly libraries, written by hand against the executable library ABI.

Enters: nothing. Leaves: for each name the bytes of a library whose only export is `<name>$dispatch` (`pair` has two).
`executables()` assembles them with wasmtime; where that is missing (Pyodide), the bytes are made outside and handed to
`provide`. They share nothing with the compiler's output but the ABI: IREE's executable_library.h, 32-bit fields.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from tests.hal_cts.kernels import BINDING_COUNTS, ECHO_COUNTS

__all__ = ["FORMAT", "executables", "library", "provide"]

FORMAT = "system-wasm-wasm_32"
VERSION = 6

_HEADER, _LIBRARY, _ATTRIBUTES = 0, 16, 80
"""Offsets in a library's data. The tables of function pointers and names, and the names, follow the attributes."""

_PRELUDE = """
  (func $constant (param $state i32) (param $k i32) (result i32)
    (i32.load (i32.add (i32.load offset=24 (local.get $state)) (i32.shl (local.get $k) (i32.const 2)))))
  (func $binding (param $state i32) (param $k i32) (result i32)
    (i32.load (i32.add (i32.load offset=28 (local.get $state)) (i32.shl (local.get $k) (i32.const 2)))))
  (func $length (param $state i32) (param $k i32) (result i32)
    (i32.load (i32.add (i32.load offset=32 (local.get $state)) (i32.shl (local.get $k) (i32.const 2)))))
  (func $least (param $a i32) (param $b i32) (result i32)
    (select (local.get $a) (local.get $b) (i32.lt_u (local.get $a) (local.get $b))))
"""

Kernel = tuple[str, int, int, str]
"""Name, constants, bindings, body: instructions that may use $state, $group and the locals $i and $n."""


def _call(name: str, k: int) -> str:
    return f"(call ${name} (local.get $state) (i32.const {k}))"


def _element(binding: int, index: str = "(local.get $i)") -> str:
    return f"(i32.add {_call('binding', binding)} (i32.shl {index} (i32.const 2)))"


def _load(binding: int) -> str:
    return f"(i32.load {_element(binding)})"


def _sixty_four(count: str, body: str) -> str:
    """`body` for the words $i of this workgroup's 64 that are below `count`."""
    return f"""
    (local.set $i (i32.shl (i32.load (local.get $group)) (i32.const 6)))
    (local.set $n (call $least {count} (i32.add (local.get $i) (i32.const 64))))
    {_loop(body)}"""


def _loop(body: str) -> str:
    """`body` for $i up to $n, which is not one of them."""
    return f"""
    (block $end (loop $again
      (br_if $end (i32.ge_u (local.get $i) (local.get $n)))
      {body}
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $again)))"""


_SHORTER = f"(i32.shr_u (call $least {_call('length', 0)} {_call('length', 1)}) (i32.const 2))"
_ID_X = "(i32.load (local.get $group))"


def _kernels() -> dict[str, Kernel]:
    affine = f"(i32.add (i32.mul {_load(0)} {_call('constant', 0)}) {_call('constant', 1)})"
    mixed = f"(i32.add (i32.mul {_load(0)} (i32.const 3)) {_load(1)})"
    inverse = f"(i32.xor {_load(1)} (i32.const -1))"
    copy = f"(i32.store {_element(1)} {_load(0)})"
    found = {
        "affine": (3, 2, _sixty_four(_call("constant", 2), f"(i32.store {_element(1)} {affine})")),
        "negate": (0, 2, _sixty_four(_SHORTER, f"(i32.store {_element(0)} {inverse})")),
        "mix_into": (0, 2, _sixty_four(_SHORTER, f"(i32.store {_element(1)} {mixed})")),
        "tail": (1, 2, f"(local.set $n {_call('constant', 0)}) {_loop(copy)}"),
        "count": (0, 1, f"(drop (i32.atomic.rmw.add {_call('binding', 0)} (i32.const 1)))"),
        "trap": (0, 0, "unreachable"),
        "status": (0, 0, "(return (i32.const 13))"),
        "groups": (0, 1, _GROUPS),
        "local": (0, 1, _LOCAL),
    }
    for n in BINDING_COUNTS:
        total = "(i32.const 0)"
        for k in range(n):
            total = f"(i32.add {total} {_load(k)})"
        found[f"sum{n}"] = (0, n, f"(local.set $i {_ID_X}) (i32.store {_element(n - 1)} {total})" if n else "")
    for n in ECHO_COUNTS:
        stores = [f"(i32.store {_element(0, f'(i32.const {k})')} {_call('constant', k)})" for k in range(n)] or [
            f"(i32.store {_call('binding', 0)} (i32.const 77))"
        ]
        found[f"echo{n}"] = (n, 1, "\n".join(stores))
    return {name: (name, *row) for name, row in found.items()}


_WORDS_OF_A_GROUP = 9
_GROUPS = f"""
    (local.set $n (i32.load offset=12 (local.get $state)))
    (local.set $i (i32.mul (i32.const {4 * _WORDS_OF_A_GROUP}) (i32.add {_ID_X} (i32.mul (local.get $n)
      (i32.add (i32.load offset=4 (local.get $group)) (i32.mul (i32.load offset=16 (local.get $state))
        (i32.load16_u offset=8 (local.get $group))))))))
    (local.set $i (i32.add (local.get $i) {_call("binding", 0)}))
    (i32.store (local.get $i) {_ID_X})
    (i32.store offset=4 (local.get $i) (i32.load offset=4 (local.get $group)))
    (i32.store offset=8 (local.get $i) (i32.load16_u offset=8 (local.get $group)))
    (i32.store offset=12 (local.get $i) (i32.load offset=12 (local.get $state)))
    (i32.store offset=16 (local.get $i) (i32.load offset=16 (local.get $state)))
    (i32.store offset=20 (local.get $i) (i32.load16_u offset=20 (local.get $state)))
    (i32.store offset=24 (local.get $i) (i32.load8_u offset=23 (local.get $state)))
    (i32.store offset=28 (local.get $i) (i32.load16_u offset=10 (local.get $state)))
    (i32.store offset=32 (local.get $i) (i32.load (local.get $state)))"""
"""Nine words a workgroup, at its linear index: its id, the counts, bindings and constants it sees, its width."""

_LOCAL = f"""
    (local.set $n (i32.shr_u (i32.load offset=20 (local.get $group)) (i32.const 2)))
    {
    _loop(f'''(i32.store (i32.add (i32.load offset=16 (local.get $group)) (i32.shl (local.get $i) (i32.const 2)))
        {_ID_X})''')
}
    (local.set $i (i32.const 0))
    (i32.store (i32.add {_call("binding", 0)} (i32.shl {_ID_X} (i32.const 2))) (local.get $i))
    {
    _loop(f'''(i32.store (i32.add {_call("binding", 0)} (i32.shl {_ID_X} (i32.const 2)))
        (i32.add (i32.load (i32.add {_call("binding", 0)} (i32.shl {_ID_X} (i32.const 2))))
          (i32.load (i32.add (i32.load offset=16 (local.get $group)) (i32.shl (local.get $i) (i32.const 2))))))''')
}"""
"""Fills its local memory with its id and adds all of it up: 1,024 times the id, if nobody else has written there."""


def library(kernels: Sequence[Kernel], local_memory_pages: int = 0, version: int = VERSION) -> str:
    """The text of a library with these kernels."""
    count = len(kernels)
    pointers = _ATTRIBUTES + 64 * count
    names = pointers + 4 * count
    strings = names + 4 * count
    texts = [b"cts\0", *(f"{kernel[0]}$dispatch".encode() + b"\0" for kernel in kernels)]
    places = [strings + sum(len(text) for text in texts[:k]) for k in range(count + 1)]
    data = bytearray(struct.pack("<4I", version, 0, 0, 0))
    data += struct.pack("<16I", 0, 0, 0, count, *[0] * 12)
    for _, constant_count, binding_count, _ in kernels:
        data += struct.pack("<QHBBIIHH40x", 0, local_memory_pages, constant_count, binding_count, 64, 1, 1, 0)
    data += bytes(8 * count) + b"".join(texts)
    fields = {_HEADER + 4: places[0], _LIBRARY: _HEADER, _LIBRARY + 16: pointers, _LIBRARY + 20: _ATTRIBUTES}
    fields |= {_LIBRARY + 32: names} | {names + 4 * k: places[k + 1] for k in range(count)}
    relocations = [_relocation(where, "base", target) for where, target in fields.items()]
    relocations += [_relocation(pointers + 4 * k, "table_base", k) for k in range(count)]
    functions = [
        f"(func $kernel{k} (param $environment i32) (param $state i32) (param $group i32) (result i32)"
        f"(local $i i32) (local $n i32) {body} (i32.const 0))"
        for k, (_, _, _, body) in enumerate(kernels)
    ]
    text = "".join(f"\\{byte:02x}" for byte in data)
    return f"""(module
  (@dylink.0 (mem-info (memory {len(data)} 4) (table {count} 0)))
  (import "env" "memory" (memory 1))
  (import "env" "__indirect_function_table" (table {count} funcref))
  (import "env" "__memory_base" (global $base i32))
  (import "env" "__table_base" (global $table_base i32))
  (data (global.get $base) "{text}")
  (elem (global.get $table_base) func {" ".join(f"$kernel{k}" for k in range(count))})
  (func (export "__wasm_apply_data_relocs") {" ".join(relocations)})
  (func (export "iree_hal_executable_library_query") (param $version i32) (param $environment i32) (result i32)
    (select (i32.add (global.get $base) (i32.const {_LIBRARY})) (i32.const 0)
      (i32.ge_u (local.get $version) (i32.const {version}))))
  {_PRELUDE} {" ".join(functions)})"""


def _relocation(where: int, base: str, target: int) -> str:
    address = f"(i32.add (global.get $base) (i32.const {where}))"
    return f"(i32.store {address} (i32.add (global.get ${base}) (i32.const {target})))"


_bytes: dict[str, bytes] = {}


def provide(executables: Mapping[str, bytes]) -> None:
    """Use these bytes instead of assembling here."""
    _bytes.update(executables)


def executables() -> dict[str, bytes]:
    """The bytes of every library."""
    if not _bytes:
        from wasmtime import wat2wasm

        found = _kernels()
        texts = {name: library([kernel], int(name == "local")) for name, kernel in found.items()}
        texts["pair"] = library([found["affine"], found["count"]])
        texts["old"] = library([found["count"]], version=5)
        texts["newer"] = library([found["count"]], version=VERSION + 1)
        _bytes.update({name: bytes(wat2wasm(text)) for name, text in texts.items()})
    return _bytes
