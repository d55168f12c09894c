"""The host program's last touches: the kernels' libraries, and which devices the program asks for.

Enters: the module at `hal`: the host program with an executable's binary per target, and the queries by which it looks
for a device at load. Leaves: the same module with libraries that every WebAssembly engine accepts, and with queries
that the right devices answer.
"""

from __future__ import annotations

from typing import Any

from webree.codegen_cpu.binaries import finish_library
from webree.compiler.cpu_target import BYTECODE_FORMAT, WASM_FORMAT
from webree.compiler.plan import Plan
from webree.compiler.target import DEVICE_ID, EXECUTABLE_FORMAT
from webree.compiler.walking import walk

__all__ = ["insert_libraries", "name_device"]

_WASM_TYPE = "application/wasm"
_NO_DEVICE = "not found or unavailable: #hal.device.target"


def insert_libraries(module: Any) -> dict[str, bytes]:
    """Finish the WebAssembly libraries in place; returns them by symbol. Raises `CompileError`."""
    from iree.compiler import ir

    libraries = {}
    with module.context, ir.Location.unknown():
        for op in walk(module):
            symbol = _library_symbol(op)
            if symbol is None:
                continue
            name = "data" if op.name == "hal.executable.binary" else "value"
            data = finish_library(bytes(memoryview(ir.DenseIntElementsAttr(op.attributes[name]))))
            kind = ir.VectorType.get([len(data)], ir.IntegerType.get_signless(8))
            op.attributes[name] = ir.DenseElementsAttr.get(memoryview(data), type=kind)
            libraries[symbol] = data
    return libraries


def _library_symbol(op: Any) -> str | None:
    """The executable's symbol, if an operation holds a WebAssembly library; None for all others."""
    if op.name == "hal.executable.binary" and _text(op, "format") == WASM_FORMAT:
        return _text(op.parent.operation, "sym_name")
    if op.name == "util.buffer.constant" and _text(op, "mime_type") == _WASM_TYPE:  # of a program without a device
        return _text(op, "name")
    return None


def name_device(module: Any, plan: Plan) -> None:
    """Let the host program ask for the plan's device, in its queries and its errors.

    A program for several targets takes whichever device loads one of its formats, so its query for the device's id
    accepts all; the queries for formats, which follow it, decide."""
    from iree.compiler import ir

    formats = [
        name
        for name, profile in ((EXECUTABLE_FORMAT, plan.webgpu), (WASM_FORMAT, plan.cpu), (BYTECODE_FORMAT, plan.vmvx))
        if profile is not None
    ]
    key = None
    if plan.webgpu is not None:
        key = DEVICE_ID if len(formats) == 1 else "*"
    with module.context:
        for op in walk(module):
            if op.name == "hal.device.query" and _text(op, "category") == "hal.device.id" and key is not None:
                op.attributes["key"] = ir.StringAttr.get(key)
            elif (
                op.name == "util.status.check_ok" and "message" in op.attributes and _NO_DEVICE in _text(op, "message")
            ):
                named = f" with the id {key or 'local*'!r}" if key != "*" else ""
                op.attributes["message"] = ir.StringAttr.get(
                    f"the module needs a device{named} that loads executables of the format "
                    f"{' or '.join(map(repr, formats))}, and none of the devices given to it is one"
                )


def _text(op: Any, attribute: str) -> str:
    from iree.compiler import ir

    return str(ir.StringAttr(op.attributes[attribute]).value) if attribute in op.attributes else ""
