"""One executable -> one WGSL module.

Enters: the `builtin.module` of a `hal.executable.variant` after IREE's phase `executable-targets` (it holds
`spirv.module` ops), which bindings the host promises never to write, and a description of each export for its
comment. Leaves: a `WgslShader`: WGSL text and, per entry point, what the host must know.

The shader ABI: binding i is `@group(0) @binding(i)`; push constants are `@group(1) @binding(0) var<uniform>
constants: array<vec4<u32>, ceil(N / 4)>`, constant k being `constants[k / 4][k % 4]`. The same input gives the same
bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from webree.codegen_wgsl.dots import find_dots
from webree.codegen_wgsl.emitter import Emitter, ModuleState, unsupported
from webree.codegen_wgsl.expressions import Expr
from webree.codegen_wgsl.half import uses_f16, widen_halves
from webree.codegen_wgsl.invocations import shares_storage, useful_size
from webree.codegen_wgsl.resources import plan_resources
from webree.codegen_wgsl.rules import RULES
from webree.codegen_wgsl.shorts import widen_shorts
from webree.codegen_wgsl.spirv import Function, Op, SpirvModule, read_spirv_modules, walk
from webree.codegen_wgsl.structure import ControlFlow
from webree.codegen_wgsl.types import Array, Scalar, Vector, wgsl_type
from webree.codegen_wgsl.variables import promotable
from webree.errors import CompileError

__all__ = ["WgslExport", "WgslShader", "translate_executable"]

# WebGPU feature -> the extension that WGSL text must enable for it.
_EXTENSIONS = {"shader-f16": "f16", "subgroups": "subgroups"}


@dataclass(frozen=True, slots=True)
class WgslExport:
    """One entry point.

    Attributes:
        name: the export's name in the executable, as host code asks for it.
        entry_point: its name in the WGSL text.
        workgroup_size: invocations per workgroup along x, y, z.
        constant_count: push constants (32-bit words) that the entry point's layout has.
        binding_count: bindings, numbered from 0.
        requires: WebGPU features that the device must have.
        workgroup_memory_bytes: workgroup memory that the entry point uses.
    """

    name: str
    entry_point: str
    workgroup_size: tuple[int, int, int]
    constant_count: int
    binding_count: int
    requires: frozenset[str]
    workgroup_memory_bytes: int


@dataclass(frozen=True, slots=True)
class WgslShader:
    """A WGSL module and its entry points, in the order of the input."""

    source: str
    exports: tuple[WgslExport, ...]


def translate_executable(
    module_op: Any,
    *,
    read_only_bindings: Mapping[str, Sequence[bool]] | None = None,
    describe: Mapping[str, str] | None = None,
    features: Collection[str] | None = None,
    round_sums: bool = False,
) -> WgslShader:
    """Translates every entry point of one executable.

    Args:
        module_op: `iree.compiler.ir` module or operation that holds `spirv.module` ops.
        read_only_bindings: per export, whether each binding is read-only for the whole buffer (default: none is).
        describe: per export, text for the comment above it (source op, shapes, location); may have several lines.
        features: WebGPU features that the profile has; None allows all, and `WgslExport.requires` tells which.
            Without `shader-f16`, f16 is computed as f32 and stored as f16; without `subgroups`, subgroup
            operations are errors.
        round_sums: where f16 is computed as f32, round additions of f16 to f16.

    Raises:
        CompileError: an op, type or feature that cannot be expressed; it names the op and its location.
    """
    state = ModuleState(features=frozenset(features) if features is not None else None)
    exports: list[WgslExport] = []
    sections: list[str] = []
    for module in read_spirv_modules(module_op):
        widen_shorts(module)
        if not state.has("shader-f16"):
            widen_halves(module, round_sums=round_sums)
        find_dots(module)
        for name, workgroup_size in module.entry_points.items():
            read_only = (read_only_bindings or {}).get(name, ())
            comment = (describe or {}).get(name, "")
            export, text = _entry_point(module, name, workgroup_size, read_only, comment, state)
            exports.append(export)
            sections.append(text)
    if not exports:
        raise CompileError("the executable has no spirv.EntryPoint")
    enables = [f"enable {_EXTENSIONS[feature]};" for feature in sorted(state.requires)]
    parts = ["\n".join(enables)] if enables else []
    parts += [*state.helpers.values(), *sections]
    # A device without a feature refuses the whole module, so what one entry point needs all need.
    requires = frozenset(state.requires)
    return WgslShader("\n\n".join(parts) + "\n", tuple(replace(export, requires=requires) for export in exports))


def _entry_point(
    module: SpirvModule,
    name: str,
    workgroup_size: tuple[int, int, int],
    read_only: Sequence[bool],
    comment: str,
    state: ModuleState,
) -> tuple[WgslExport, str]:
    functions = _reachable(module, name)
    workgroup_size = useful_size(module, functions, workgroup_size)
    _require_types(functions, state)
    pack_halves = not state.has("shader-f16")
    resources = plan_resources(module, functions, read_only, state.namer, pack_halves=pack_halves)
    names = {function.name: state.namer.unique(function.name) for function in functions}
    texts = []
    for function in reversed(functions):
        emitter = Emitter(module, state, resources)
        emitter.functions = names
        emitter.workgroup_size = workgroup_size
        emitter.shares_storage = shares_storage(functions)
        texts.append(_function(emitter, function, is_entry=function.name == name))
    header = [f"// {line}".rstrip() for line in (comment or name).splitlines()]
    declarations = resources.declarations
    if declarations:
        header += ["", *declarations] if comment else declarations
    export = WgslExport(
        name,
        names[name],
        workgroup_size,
        resources.constant_count,
        resources.binding_count,
        frozenset(),
        resources.workgroup_memory_bytes,
    )
    return export, "\n".join(header) + "\n\n" + "\n\n".join(texts)


def _reachable(module: SpirvModule, name: str) -> list[Function]:
    """The function and all that it calls, callers before callees."""
    order: list[str] = []

    def visit(current: str) -> None:
        if current in order:
            return
        if current not in module.functions:
            raise CompileError(f"`{name}` calls `{current}`, which has no body", op="spirv.FunctionCall")
        for op in walk(module.functions[current].body):
            if op.name == "spirv.FunctionCall":
                visit(op.attributes["callee"])
        order.append(current)

    visit(name)
    return [module.functions[function] for function in reversed(order)]


def _require_types(functions: Sequence[Function], state: ModuleState) -> None:
    """Notes the features that the types of values need; raises at the first value that WGSL has no type for."""
    for function in functions:
        for op in walk(function.body):
            for value in op.results:
                if uses_f16(value.type):
                    state.require("shader-f16", op)
                try:
                    if isinstance(value.type, Scalar | Vector | Array):
                        wgsl_type(value.type)
                except CompileError as error:
                    raise unsupported(op, str(error)) from error


def _function(emitter: Emitter, function: Function, *, is_entry: bool) -> str:
    for op in walk(function.body):
        # Constants and addresses belong to no place: bind them first, so that a `for` header can name its step.
        if op.name in ("spirv.Constant", "spirv.mlir.addressof", "spirv.mlir.referenceof"):
            RULES[op.name](emitter, op)
    emitter.promoted = promotable(function.body)
    parameters = []
    if not is_entry:
        for argument in function.body.blocks[0].arguments:
            name = emitter.state.namer.fresh("p")
            parameters.append(f"{name}: {wgsl_type(argument.type)}")
            emitter.bind(argument, Expr(name))
    with emitter.writer.capture(deeper=True) as body:
        ControlFlow(emitter, _rule(emitter)).function_body(function.body)
    if not is_entry:
        if emitter.builtins:
            raise CompileError(
                f"function `{function.name}` reads built-in values; only entry points can", unsupported=True
            )
        result = f" -> {wgsl_type(function.result_types[0])}" if function.result_types else ""
        lines = [f"fn {emitter.functions[function.name]}({', '.join(parameters)}){result} {{"]
    else:
        x, y, z = emitter.workgroup_size
        lines = [f"@compute @workgroup_size({x}, {y}, {z})", *_signature(emitter, emitter.functions[function.name])]
    return "\n".join([*lines, *(f"    {line}" for line in emitter.prologue), *body, "}"])


def _signature(emitter: Emitter, name: str) -> list[str]:
    if not emitter.builtins:
        return [f"fn {name}() {{"]
    scalars = ("local_invocation_index", "subgroup_size", "subgroup_invocation_id")
    parameters = [
        f"    @builtin({builtin}) {builtin}: {'u32' if builtin in scalars else 'vec3<u32>'},"
        for builtin in sorted(emitter.builtins)
    ]
    return [f"fn {name}(", *parameters, ") {"]


def _rule(emitter: Emitter) -> Callable[[Op], None]:
    def emit(op: Op) -> None:
        if op.name in ("spirv.Constant", "spirv.mlir.addressof", "spirv.mlir.referenceof"):
            return
        if op.name == "spirv.FunctionCall":
            _call(emitter, op)
            return
        name = "array select" if op.name == "spirv.Select" and isinstance(op.result.type, Array) else op.name
        rule = RULES.get(name)
        if rule is None:
            raise unsupported(op, "the WGSL code generator does not know this operation")
        try:
            rule(emitter, op)
        except CompileError as error:
            if error.op is not None and error.location is not None:
                raise
            raise unsupported(op, str(error)) from error

    return emit


def _call(emitter: Emitter, op: Op) -> None:
    arguments = ", ".join(emitter.expr(operand).argument for operand in op.operands)
    text = f"{emitter.functions[op.attributes['callee']]}({arguments})"
    if op.results and op.result.uses:
        emitter.bind(op.result, emitter.let(Expr(text)))
    else:
        emitter.statement(text)
