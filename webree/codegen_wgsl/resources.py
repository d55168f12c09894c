"""Memory that an entry point touches: which WGSL variable stands for each SPIR-V global, and of which element type.

SPIR-V lets several globals alias one binding with different element types (a scalar and a vec4 view of the same
weights); WGSL allows one variable per binding and entry point. So each binding gets one element type:

- the views' own type where they agree;
- 32-bit words, as `atomic`, where any access is atomic;
- vectors where some view is a vector and nothing narrower is ever stored or loaded from a writable binding: a store
  to a component may touch the whole vector (WGSL 13.4.2, a data race between invocations), and the last, partial
  vector of a binding cannot be reached. Read-only bindings are packed constants, whose size is a multiple of 16;
- 32-bit words for i16, and for f16 on devices without it or beside other types, `atomic` where single values are
  stored;
- scalars otherwise; vector loads are then put together from scalars.

Spec: https://www.w3.org/TR/WGSL/#resource-interface, #memory-access-operation
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from webree.codegen_wgsl.names import Namer
from webree.codegen_wgsl.spirv import Function, Global, Op, SpirvModule, Value, walk
from webree.codegen_wgsl.types import F16, I16, I32, Array, Scalar, Type, Vector, byte_size, scalar_of, wgsl_type
from webree.errors import CompileError

__all__ = ["Binding", "Resources", "Shared", "plan_resources"]


@dataclass(frozen=True, slots=True)
class Binding:
    """One storage binding: `array<element>`, or `array<atomic<i32>>`."""

    number: int
    name: str
    element: Scalar | Vector
    atomic: bool
    read_only: bool

    @property
    def declaration(self) -> str:
        element = f"atomic<{wgsl_type(self.element)}>" if self.atomic else wgsl_type(self.element)
        access = "read" if self.read_only else "read_write"
        return f"@group(0) @binding({self.number}) var<storage, {access}> {self.name}: array<{element}>;"


@dataclass(frozen=True, slots=True)
class Shared:
    """A variable of the workgroup or of the invocation (`private`)."""

    name: str
    content: Type
    storage: str
    atomic: bool

    @property
    def declaration(self) -> str:
        return f"var<{self.storage}> {self.name}: {self._spelled(self.content)};"

    def _spelled(self, type_: Type) -> str:
        if not self.atomic:
            return wgsl_type(type_)
        if isinstance(type_, Array):
            return f"array<{self._spelled(type_.element)}, {type_.count}>"
        return f"atomic<{wgsl_type(type_)}>"


@dataclass(slots=True)
class Resources:
    """What one entry point declares, by SPIR-V global name."""

    bindings: dict[str, Binding] = field(default_factory=dict)
    shared: dict[str, Shared] = field(default_factory=dict)
    constants: str | None = None
    constant_count: int = 0
    binding_count: int = 0

    @property
    def declarations(self) -> list[str]:
        lines = {binding.number: binding.declaration for binding in self.bindings.values()}
        ordered = [lines[number] for number in sorted(lines)]
        if self.constants:
            words = (self.constant_count + 3) // 4
            ordered.append(f"@group(1) @binding(0) var<uniform> {self.constants}: array<vec4<u32>, {words}>;")
        return ordered + [shared.declaration for shared in self.shared.values()]

    @property
    def workgroup_memory_bytes(self) -> int:
        return sum(byte_size(shared.content) for shared in self.shared.values() if shared.storage == "workgroup")

    @property
    def written_and_read(self) -> bool:
        """True if some binding may be written: barriers must then order storage, too."""
        return any(not binding.read_only for binding in self.bindings.values())


@dataclass(slots=True)
class _Usage:
    """How the entry point uses one global."""

    loads: bool = False
    stores: bool = False
    atomic: bool = False


def plan_resources(
    module: SpirvModule,
    functions: Iterable[Function],
    read_only: Sequence[bool],
    namer: Namer,
    *,
    pack_halves: bool = False,
) -> Resources:
    """Chooses the WGSL variables of one entry point.

    Args:
        functions: the entry point and all functions it calls.
        read_only: per binding number, whether the host declares it read-only (missing: writable).
        namer: gives the variables their names.
        pack_halves: f16 buffers are declared as words, two values to each (see `half.py`), as i16 buffers always are.
    """
    usage = _usage(functions)
    plan = Resources()
    by_number: dict[int, list[Global]] = {}
    for name, variable in module.globals.items():
        if variable.binding is not None:
            group, number = variable.binding
            if group != 0:
                raise CompileError(
                    f"global `{name}` is bound to set {group}; only set 0 is supported", unsupported=True
                )
            plan.binding_count = max(plan.binding_count, number + 1)
            if name in usage:
                by_number.setdefault(number, []).append(variable)
        elif name not in usage:
            continue
        elif variable.storage == "PushConstant":
            if not isinstance(variable.content, Array) or variable.content.count is None:
                raise CompileError(f"push constants of type {variable.content} are not supported", unsupported=True)
            plan.constants = namer.unique("constants")
            plan.constant_count = variable.content.count
        elif variable.storage in ("Workgroup", "Private"):
            hint = "shared" if variable.storage == "Workgroup" else "private_data"
            storage = variable.storage.lower()
            plan.shared[name] = Shared(namer.fresh(hint), variable.content, storage, usage[name].atomic)
    for number, variables in sorted(by_number.items()):
        host_read_only = number < len(read_only) and read_only[number]
        binding = _plan_binding(number, variables, usage, host_read_only, namer, pack_halves)
        plan.bindings.update({variable.name: binding for variable in variables})
    return plan


def _usage(functions: Iterable[Function]) -> dict[str, _Usage]:
    usage: dict[str, _Usage] = {}
    for function in functions:
        for op in walk(function.body):
            if op.name == "spirv.mlir.addressof":
                _follow(op.result, usage.setdefault(op.attributes["variable"], _Usage()))
    return usage


def _follow(pointer: Value, usage: _Usage) -> None:
    for op in pointer.uses:
        if op.name == "spirv.AccessChain":
            _follow(op.result, usage)
        elif op.name == "spirv.Load":
            usage.loads = True
        elif op.name == "spirv.Store":
            usage.stores = True
        elif is_atomic(op):
            usage.atomic = True


def is_atomic(op: Op) -> bool:
    return op.name.startswith(("spirv.Atomic", "spirv.EXT.Atomic"))


def view_element(variable: Global) -> Scalar | Vector:
    """The scalar or vector that a storage buffer global is an array of."""
    content = variable.content
    element = content.element if isinstance(content, Array) else content
    if isinstance(element, Scalar | Vector):
        return element
    raise CompileError(
        f"storage buffer `{variable.name}` holds {element}; only arrays of scalars and vectors are supported",
        op="spirv.GlobalVariable",
        unsupported=True,
    )


def _plan_binding(
    number: int,
    variables: Sequence[Global],
    usage: dict[str, _Usage],
    read_only: bool,
    namer: Namer,
    pack_halves: bool,
) -> Binding:
    views = {view_element(variable) for variable in variables}
    written = any(usage[variable.name].stores or usage[variable.name].atomic for variable in variables)
    atomic = any(usage[variable.name].atomic for variable in variables)
    if written and read_only:
        raise CompileError(f"binding {number} is declared read-only by the host and written by the kernel")
    scalars = {scalar_of(view) for view in views}
    if I16 in scalars or (F16 in scalars and (pack_halves or len(scalars) > 1)):
        # Stores of single values of 16 bits share words with other invocations.
        atomic = atomic or any(usage[item.name].stores and view_element(item) in (F16, I16) for item in variables)
        element = I32 if atomic or not views <= {Vector(F16, 4), Vector(I16, 4)} else Vector(I32, 2)
    else:
        element = _element(views, atomic=atomic, read_only=read_only)
    return Binding(number, namer.unique(f"binding{number}"), element, atomic, read_only)


def _element(views: set[Scalar | Vector], *, atomic: bool, read_only: bool) -> Scalar | Vector:
    scalars = {scalar_of(view) for view in views}
    if atomic:
        return I32
    counts = {view.count if isinstance(view, Vector) else 1 for view in views}
    # Integers must not pass through f32 values: WGSL leaves open what becomes of bits that are a NaN.
    scalar = scalars.pop() if len(scalars) == 1 else I32
    if 3 not in counts and (len(counts) == 1 or read_only) and (count := max(counts)) > 1:
        return Vector(scalar, count)
    return scalar
