"""Reads what kernels a WebAssembly library of the compiler has, from its bytes alone.

Enters: a PIC module of IREE's executable library ABI (version 6), damaged or hostile perhaps. Leaves: its exports in
order, or a `ModuleError`. No engine is needed: the library's tables are constants in its data segments, except for the
pointers, which `__wasm_apply_data_relocs` writes and `iree_hal_executable_library_query` returns; both are
straight-line code, evaluated here over a copy of the data. So a lookup costs no crossing, and tools need no engine.
Source: iree/hal/local/executable_library.h; fields of 32-bit targets.
"""

from __future__ import annotations

import struct

from webree.errors import ModuleError
from webree.hal_local.engine import LibraryExport
from webree.hal_local.wasm_binary import FUNCTION, GLOBAL, Import, Reader, WasmBinary

__all__ = ["LIBRARY_VERSION", "QUERY_EXPORT", "RELOCATION_EXPORT", "library_imports", "read_exports"]

LIBRARY_VERSION = 6
QUERY_EXPORT = "iree_hal_executable_library_query"
RELOCATION_EXPORT = "__wasm_apply_data_relocs"

_BASE = 1 << 20
"""Where the data is thought to lie: not 0, so that the first object differs from a null pointer."""
_MAXIMUM_DATA_BYTES = 16 << 20
_MAXIMUM_EXPORTS = 1 << 16
_MAXIMUM_NAME_BYTES = 4096
_LOCAL_MEMORY_PAGE_BYTES = 4096
_ATTRIBUTE_BYTES = 64
_MASK = 0xFFFF_FFFF


def read_exports(data: bytes | bytearray | memoryview) -> tuple[LibraryExport, ...]:
    """The kernels of a library, in order. Raises `ModuleError`."""
    return _Evaluation(WasmBinary.parse(bytes(data))).exports()


def library_imports(binary: WasmBinary) -> list[Import]:
    """The functions that a library wants from the engine (of libm, as a rule)."""
    return [entry for entry in binary.imports if entry.kind == FUNCTION]


class _Evaluation:
    """The library's data as it is after loading, and what its query function returns."""

    def __init__(self, binary: WasmBinary) -> None:
        self.binary = binary
        if binary.memory_size > _MAXIMUM_DATA_BYTES:
            raise ModuleError(
                f"an executable asks for {binary.memory_size} bytes of data; {_MAXIMUM_DATA_BYTES} are supported"
            )
        if binary.starts:
            raise ModuleError("an executable has a start function: it is not an executable library")
        self.memory = bytearray(binary.memory_size)
        self.globals = [{"__memory_base": _BASE}.get(entry.name, 0) for entry in binary.imports if entry.kind == GLOBAL]
        for expression in binary.global_values:
            self.globals.append(self.run(expression, []))
        for active, offset, content in binary.segments:
            if not active:
                raise ModuleError("an executable has passive data: it was not built for this device")
            start = self.place(self.run(offset, []), len(content))
            self.memory[start : start + len(content)] = content
        if RELOCATION_EXPORT in binary.exports:
            self.call(RELOCATION_EXPORT, [])

    def place(self, address: int, size: int) -> int:
        """Offset of an address in the data. Raises `ModuleError` if it is not inside."""
        offset = address - _BASE
        if offset < 0 or offset + size > len(self.memory):
            raise ModuleError(f"an executable's table points at {offset:#x}, outside of its {len(self.memory)} bytes")
        return offset

    def word(self, address: int) -> int:
        return int.from_bytes(self.memory[(start := self.place(address, 4)) : start + 4], "little")

    def text(self, address: int) -> str:
        start = self.place(address, 1)
        end = self.memory.find(0, start, start + _MAXIMUM_NAME_BYTES)
        if end < 0:
            raise ModuleError("a kernel's name has no end")
        return self.memory[start:end].decode("utf-8", "replace")

    def call(self, name: str, arguments: list[int]) -> int:
        kind, index = self.binary.exports.get(name, (-1, -1))
        index -= sum(entry.kind == FUNCTION for entry in self.binary.imports)
        if kind != FUNCTION or not 0 <= index < len(self.binary.bodies):
            raise ModuleError(f"an executable has no function {name}: it is not an executable library")
        body = self.binary.bodies[index]
        reader = Reader(body.data, body.offset, body.end)
        for _ in range(reader.unsigned()):
            count = reader.unsigned()
            reader.byte()
            if count + len(arguments) > 64:
                raise reader.fail("too many locals for a function of constants")
            arguments.extend([0] * count)
        return self.run(reader, arguments)

    def run(self, code: Reader, local: list[int]) -> int:
        """The value of straight-line code; every instruction is read once, so this ends."""
        reader, stack = Reader(code.data, code.offset, code.end), [0]
        try:
            while (operation := reader.byte()) not in (0x0B, 0x0F):
                self._step(operation, reader, stack, local)
            return stack[-1] & _MASK
        except IndexError as error:
            raise reader.fail("a function of constants uses values that it does not have") from error

    def _step(self, operation: int, reader: Reader, stack: list[int], local: list[int]) -> None:
        if operation in (0x41, 0x42):
            stack.append(reader.signed(64) & _MASK)
        elif operation == 0x23:
            stack.append(self.globals[reader.unsigned()])
        elif operation == 0x20:
            stack.append(local[reader.unsigned()])
        elif operation == 0x21:
            local[reader.unsigned()] = stack.pop()
        elif operation == 0x22:
            local[reader.unsigned()] = stack[-1]
        elif operation == 0x1A:
            stack.pop()
        elif operation == 0x1B:
            condition, second, first = stack.pop(), stack.pop(), stack.pop()
            stack.append(first if condition else second)
        elif operation == 0x36:
            reader.unsigned()
            offset, value, address = reader.unsigned(), stack.pop(), stack.pop()
            start = self.place(address + offset, 4)
            self.memory[start : start + 4] = value.to_bytes(4, "little")
        elif operation == 0x45:
            stack.append(int(stack.pop() == 0))
        elif operation in (0x46, 0x47, 0x48, 0x49, 0x4A, 0x4B, 0x4C, 0x4D, 0x4E, 0x4F, 0x6A, 0x6B, 0x71, 0x72):
            second, first = stack.pop(), stack.pop()
            stack.append(_binary(operation, first, second))
        elif operation != 0x01:
            raise reader.fail(f"instruction {operation:#x} in a function that should only return constants")

    def exports(self) -> tuple[LibraryExport, ...]:
        library = self.call(QUERY_EXPORT, [LIBRARY_VERSION, 0])
        if library == 0:
            raise ModuleError(
                f"an executable does not know version {LIBRARY_VERSION} of the library ABI: "
                "compile the module with this version of webree"
            )
        version = self.word(self.word(library))
        if version != LIBRARY_VERSION:
            raise ModuleError(f"an executable has version {version} of the library ABI, supported is {LIBRARY_VERSION}")
        count, attributes, names = self.word(library + 12), self.word(library + 20), self.word(library + 32)
        if count * 4 > len(self.memory) or count > _MAXIMUM_EXPORTS:
            raise ModuleError(f"an executable claims {count} kernels, more than its data or this device can hold")
        if self.word(library + 4):
            raise ModuleError("an executable imports functions through the library ABI: there are none here")
        return tuple(
            self._export(position, attributes, self.text(self.word(names + 4 * position)) if names else "")
            for position in range(count)
        )

    def _export(self, position: int, attributes: int, name: str) -> LibraryExport:
        if not attributes:
            return LibraryExport(name, 0, 0)
        start = self.place(attributes + _ATTRIBUTE_BYTES * position, _ATTRIBUTE_BYTES)
        pages, constants, bindings, x, y, z = struct.unpack_from("<HBBIIH", self.memory, start + 8)
        size = (max(x, 1), max(y, 1), max(z, 1))
        return LibraryExport(name, constants, bindings, size, pages * _LOCAL_MEMORY_PAGE_BYTES)


def _binary(operation: int, first: int, second: int) -> int:
    """An i32 instruction of two operands."""
    if operation == 0x6A:
        return first + second & _MASK
    if operation == 0x6B:
        return first - second & _MASK
    if operation == 0x71:
        return first & second
    if operation == 0x72:
        return first | second
    if operation in (0x48, 0x4A, 0x4C, 0x4E):  # lt_s gt_s le_s ge_s: as unsigned after a shift of the origin
        first, second = first ^ 0x8000_0000, second ^ 0x8000_0000
    rows = {0x46: first == second, 0x47: first != second}
    row = (operation - 0x48) // 2 if operation >= 0x48 else -1
    return int(rows[operation] if row < 0 else (first < second, first > second, first <= second, first >= second)[row])
