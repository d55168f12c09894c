"""`webree dump`: show what is inside a module, without a device and without running it.

Enters: a module file (a model file is compiled first). Leaves: its functions with their signatures, its memory, the
kernels for each target and what they need of a device, as text or JSON; on request every kernel's WGSL, and the host
program's bytecode as a listing.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from webree.module.executable import ExecutableFile
from webree.module.isa import IMPORT_BIT, decode
from webree.module.reader import ModuleFile
from webree.module.verifier import verify
from webree.signature import parse_signature
from webree.tools.compile import add_compile_arguments, add_target_argument, parse_dims
from webree.tools.dump_kernels import Executable, executables, execution_model, webgpu_files
from webree.tools.model_cache import module_file, open_module

__all__ = ["EXAMPLES", "add_arguments", "describe", "run"]

EXAMPLES = """\
examples:
  webree dump model.vmfb                 functions, memory, kernels
  webree dump model.vmfb --wgsl          and the WGSL of every kernel
  webree dump model.vmfb --wgsl=conv     of the kernels with `conv` in their names
  webree dump model.vmfb --bytecode      and the host program
  webree dump model.vmfb --json          for programs
"""

_INTERNAL_EXPORTS = ("__init", "__deinit", "__notify")
_ACCUMULATE = "webree.accumulate"
_DISPATCH_CALLS = (
    "hal.command_buffer.dispatch",
    "hal.command_buffer.dispatch.indirect",
    "hal_loader.executable.dispatch",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `webree dump`."""
    parser.add_argument("module", metavar="MODULE", type=Path, help="a module (.vmfb), or a model to compile first")
    parser.add_argument(
        "--wgsl",
        nargs="?",
        const="",
        metavar="PART",
        help="print WGSL: of all kernels, or those with PART in their name",
    )
    parser.add_argument("--bytecode", action="store_true", help="print the host program's instructions")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_target_argument(parser)
    add_compile_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what was asked for."""
    dims = parse_dims(arguments.dim)
    path = module_file(
        arguments.module,
        target=arguments.target,
        profile=arguments.profile,
        dims=dims,
        accumulate=arguments.accumulate,
    )
    module = open_module(path)
    verify(module)
    facts = describe(module)
    if arguments.wgsl is not None:
        facts["wgsl"] = dict(_wgsl(module, arguments.wgsl))
    if arguments.bytecode:
        facts["bytecode"] = _listing(module)
    if arguments.json:
        print(json.dumps(facts, indent=2))
    else:
        print("\n".join(_text(facts)))
    return 0


def describe(module: ModuleFile) -> dict[str, Any]:
    """Everything `--json` prints except WGSL and bytecode: numbers are bytes where the name does not say otherwise."""
    found = list(executables(module))
    files = [item.webgpu for item in found if item.webgpu is not None]
    code_bytes = sum(item.byte_size for item in found)
    functions = [_function(module, export.name, export.ordinal) for export in _public(module)]
    return {
        "name": module.name,
        "byte_size": module.byte_size,
        "bytecode_version": f"{module.bytecode_version >> 16}.{module.bytecode_version & 0xFFFF}",
        "execution_model": execution_model(module, any(function["asynchronous"] for function in functions)),
        "functions": functions,
        "accumulate": _accumulate(module),
        "memory": {
            "constants": sum(segment.size for segment in module.rodata) - code_bytes,
            "executables": code_bytes,
            "bytecode": len(module.bytecode),
            "global_bytes": module.global_byte_count,
            "global_references": module.global_ref_count,
        },
        "executables": _by_target(found),
        "profiles": sorted({file.profile for file in files}),
        "required_limits": _required_limits(files),
        "required_features": sorted({name for file in files for name in file.required_features}),
        "dispatch_count": _dispatch_count(module),
        "kernels": [{"target": item.target, **kernel} for item in found for kernel in item.kernels],
        "imports": _imports(module),
    }


def _public(module: ModuleFile) -> list[Any]:
    return [export for export in module.exports if export.name not in _INTERNAL_EXPORTS]


def _accumulate(module: ModuleFile) -> str:
    """What sums of f16 are accumulated in, as the compiler notes it on every function where it is not f32."""
    return next((item.attributes[_ACCUMULATE] for item in module.signatures if _ACCUMULATE in item.attributes), "f32")


def _function(module: ModuleFile, name: str, ordinal: int) -> dict[str, Any]:
    found = module.signatures[ordinal]
    signature = parse_signature(name, found.calling_convention.text, found.attributes)
    return {
        "name": name,
        "inputs": [{"name": item.name, "type": str(item.type)} for item in signature.inputs],
        "outputs": [{"name": item.name, "type": str(item.type)} for item in signature.outputs],
        "signature": str(signature),
        "asynchronous": signature.has_fences,
        "calling_convention": found.calling_convention.text,
    }


def _by_target(found: Sequence[Executable]) -> dict[str, dict[str, int]]:
    """Target -> how many executables the module has for it, and their bytes."""
    sizes: dict[str, list[int]] = {}
    for item in found:
        sizes.setdefault(item.target, []).append(item.byte_size)
    return {target: {"count": len(every), "bytes": sum(every)} for target, every in sizes.items()}


def _required_limits(files: Sequence[ExecutableFile]) -> dict[str, int]:
    """The strictest of all kernels: the greatest, or for an alignment (`min_…`) the least value."""
    limits: dict[str, int] = {}
    for file in files:
        for name, value in file.required_limits:
            stricter = min if name.startswith("min_") else max
            limits[name] = stricter(limits.get(name, value), value)
    return dict(sorted(limits.items()))


def _called_imports(module: ModuleFile) -> Counter[str]:
    calls: Counter[str] = Counter()
    for ordinal in range(len(module.functions)):
        for instruction in decode(module.code(ordinal), module.function_name(ordinal)):
            for operand, value in zip(instruction.opcode.operands, instruction.values, strict=True):
                if operand.kind == "fn" and value & IMPORT_BIT:
                    calls[module.imports[value & ~IMPORT_BIT].full_name] += 1
    return calls


def _dispatch_count(module: ModuleFile) -> int:
    calls = _called_imports(module)
    return sum(calls[name] for name in _DISPATCH_CALLS)


def _imports(module: ModuleFile) -> list[dict[str, Any]]:
    names: dict[str, list[str]] = {}
    for imported in module.imports:
        names.setdefault(imported.module, []).append(imported.name)
    versions = {dependency.name: dependency.minimum_version for dependency in module.dependencies}
    return [
        {"module": name, "minimum_version": versions.get(name, 0), "functions": sorted(functions)}
        for name, functions in sorted(names.items())
    ]


def _wgsl(module: ModuleFile, part: str) -> Iterator[tuple[str, str]]:
    for file in webgpu_files(module):
        for export in file.exports:
            if part in export.name:
                yield export.name, file.shader_modules[export.shader_module].text()


def _listing(module: ModuleFile) -> str:
    from webree.module.disassembler import disassemble

    return disassemble(module)


# --- Text -------------------------------------------------------------------------------------------------------------


def _text(facts: dict[str, Any]) -> Iterator[str]:
    memory = facts["memory"]
    yield f"module {facts['name']}: {facts['byte_size']:,} bytes, bytecode version {facts['bytecode_version']}"
    yield f"execution model: {facts['execution_model']}"
    yield "\nfunctions"
    for function in facts["functions"]:
        yield f"  {function['signature']}"
    if facts["accumulate"] != "f32":
        yield f"\nsums of f16 are accumulated in {facts['accumulate']}"
    yield "\nmemory, in bytes"
    for label, name in (
        ("constants (weights)", "constants"),
        ("executables", "executables"),
        ("host program", "bytecode"),
        ("module state", "global_bytes"),
    ):
        yield f"  {label:22} {memory[name]:>14,}"
    yield f"  {'references held':22} {memory['global_references']:>14,}   (buffers, executables, command buffers)"
    yield from _kernels_text(facts)
    yield "\nimports"
    for module in facts["imports"]:
        count, version = len(module["functions"]), module["minimum_version"]
        yield f"  {module['module']} (version {version} or newer): {count} functions"
    for name, source in facts.get("wgsl", {}).items():
        yield f"\n// ---- {name} ----\n{source.rstrip()}"
    if "bytecode" in facts:
        yield f"\n{facts['bytecode'].rstrip()}"


def _kernels_text(facts: dict[str, Any]) -> Iterator[str]:
    dispatches = f"{facts['dispatch_count']} dispatches"
    if not facts["executables"]:
        inside = ", kernels are part of the host program" if facts["execution_model"] == "inline-static" else ""
        yield f"\nkernels: none for {dispatches}{inside}"
    for target, found in facts["executables"].items():
        kernels = [kernel for kernel in facts["kernels"] if kernel["target"] == target]
        profile = f" (profile: {', '.join(facts['profiles'])})" if target == "webgpu" else ""
        yield (
            f"\nkernels for {target}: {len(kernels)} for {dispatches}, {found['bytes']:,} bytes "
            f"in {found['count']} executables{profile}"
        )
        columns = ("MFLOP", "MB") if target == "webgpu" else ("scratch", "")
        yield f"  {'workgroup':>11} {'bindings':>8} {'constants':>9} {columns[0]:>9} {columns[1]:>8}  name"
        for kernel in kernels:
            yield _kernel_row(kernel)
    if facts["required_limits"] or facts["required_features"]:
        yield "\nneeded of a WebGPU device"
    for name, value in facts["required_limits"].items():
        yield f"  {name:42} {value:>14,}"
    if facts["required_features"]:
        yield f"  features: {', '.join(facts['required_features'])}"


def _kernel_row(kernel: dict[str, Any]) -> str:
    size = "x".join(map(str, kernel["workgroup_size"]))
    if "flops" in kernel:
        work = f"{_millions(kernel['flops']):>9} {_millions(kernel['byte_count']):>8}"
    else:
        work = f"{kernel['local_memory_bytes']:>9,} {'':8}"
    return f"  {size:>11} {kernel['binding_count']:>8} {kernel['constant_count']:>9} {work}  {kernel['name']}"


def _millions(number: int) -> str:
    return "dynamic" if number < 0 else f"{number / 1e6:.2f}"
