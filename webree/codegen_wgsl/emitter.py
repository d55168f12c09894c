"""The state of translating one function: which expression each SSA value became, and where statements go.

Values that are used once, in the block that defines them, and are pure stand inline at their use; all others become
`let`s. Memory reads always become `let`s, so that no store can slip between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from webree.codegen_wgsl import polyfills
from webree.codegen_wgsl.expressions import Expr, Rank, call, constant, needs_polyfill
from webree.codegen_wgsl.names import Namer
from webree.codegen_wgsl.resources import Resources
from webree.codegen_wgsl.spirv import Block, Global, Op, SpirvModule, Value
from webree.codegen_wgsl.types import F16, Scalar, Type, Vector, scalar_of, wgsl_type, with_scalar
from webree.codegen_wgsl.writer import Writer
from webree.errors import CompileError

__all__ = ["BUILTINS", "Emitter", "ModuleState", "Place", "unsupported"]

# SPIR-V's built-in variables that WGSL has, as parameters of the entry point of the same name.
BUILTINS = {
    "WorkgroupId": "workgroup_id",
    "LocalInvocationId": "local_invocation_id",
    "GlobalInvocationId": "global_invocation_id",
    "NumWorkgroups": "num_workgroups",
    "LocalInvocationIndex": "local_invocation_index",
    "SubgroupSize": "subgroup_size",
    "SubgroupLocalInvocationId": "subgroup_invocation_id",
}

# Longest text that goes inline: a line then holds at most a few operations.
_INLINE_LIMIT = 56


@dataclass(frozen=True, slots=True)
class Place:
    """What a pointer value points to: a global or a function variable, and the indices into it."""

    root: Global | Value
    indices: tuple[Expr, ...]
    view: Type


@dataclass(slots=True)
class ModuleState:
    """What the functions of one WGSL module share."""

    namer: Namer = field(default_factory=lambda: Namer(BUILTINS.values()))
    helpers: dict[str, str] = field(default_factory=dict)
    requires: set[str] = field(default_factory=set)
    features: frozenset[str] | None = None

    def helper(self, name: str, count: int = 1) -> str:
        """The name of a polyfill for scalars or vectors of `count`, adding it (and what it calls) once."""
        function, text, needed = polyfills.instantiate(name, count)
        if function not in self.helpers:
            for other in needed:
                self.helper(other, count)
            self.helpers[function] = text
        return function

    def has(self, feature: str) -> bool:
        """True if the profile has a WebGPU feature."""
        return self.features is None or feature in self.features

    def require(self, feature: str, op: Op) -> None:
        """Notes that the module needs a WebGPU feature, or raises if the profile lacks it."""
        if not self.has(feature):
            raise CompileError(
                f"`{op.name}` at {op.location} needs the WebGPU feature `{feature}`, which the profile does not have",
                op=op.name,
                location=op.location,
                unsupported=True,
            )
        self.requires.add(feature)


def unsupported(op: Op, detail: str) -> CompileError:
    """The error for an op, or a use of it, that the code generator does not know."""
    return CompileError(f"`{op.name}` at {op.location}: {detail}", op=op.name, location=op.location, unsupported=True)


class Emitter:
    """Translates the ops of one function; control flow is in `structure.py`."""

    def __init__(self, module: SpirvModule, state: ModuleState, resources: Resources) -> None:
        self.module = module
        self.state = state
        self.resources = resources
        self.writer = Writer()
        self.prologue: list[str] = []
        self.builtins: dict[str, str] = {}
        self.functions: dict[str, str] = {}
        self.places: dict[Value, Place] = {}
        self.variable_names: dict[Value, str] = {}
        # Function variables that only repeat a loop variable, and that loop variable.
        self.promoted: dict[Value, Value] = {}
        # Ops that another rule has taken care of.
        self.skipped: set[Op] = set()
        self.workgroup_size = (1, 1, 1)
        # Whether invocations may hand each other values through storage buffers.
        self.shares_storage = False
        self._expressions: dict[Value, Expr] = {}

    # -- values ---------------------------------------------------------------------------------------------------

    def expr(self, value: Value) -> Expr:
        """The expression of a value; raises `CompileError` for a pointer that is used as a value."""
        if value not in self._expressions:
            name = value.op.name if value.op else "block argument"
            raise CompileError(f"`{name}` of type {value.type} is used as a value", op=name, unsupported=True)
        return self._expressions[value]

    def bind(self, value: Value, expr: Expr) -> None:
        """Sets the expression of a value, without a statement."""
        self._expressions[value] = expr

    def define(self, value: Value, expr: Expr, hint: str = "v", *, inline: bool = True) -> None:
        """The result of a pure op: dropped if unused, inline if used once nearby, a `let` otherwise."""
        if not value.uses:
            return
        if expr.is_const or expr.members is not None or expr.is_atom or (inline and self._may_inline(value, expr)):
            self.bind(value, expr)
        else:
            named = self.let(expr, hint)
            is_component = expr.unsigned is not None and expr.unsigned.is_atom
            self.bind(value, replace(named, unsigned=expr.unsigned) if is_component else named)

    def _may_inline(self, value: Value, expr: Expr) -> bool:
        if len(value.uses) != 1 or len(expr.text) > _INLINE_LIMIT:
            return False
        use = value.uses[0]
        if value.op is None or use.operands.count(value) != 1:
            return False
        # A branch reads its operands after every statement of the block, so they may wait for it as well; so may
        # the condition of a selection that stands in this block.
        return use.block is value.op.block or _is_selector(use, value.op.block)

    def let(self, expr: Expr, hint: str = "v", type_: str = "") -> Expr:
        """Writes `let name = expr;` and returns the name; hints that end in `_` + letter stay without a number."""
        namer = self.state.namer
        name = namer.unique(hint) if "_" in hint else namer.fresh(hint)
        self.writer.line(f"let {name}{f': {type_}' if type_ else ''} = {expr.text};")
        return Expr(name)

    def atom(self, value: Value, hint: str = "v") -> Expr:
        """The value as a name or literal, for places that repeat it or want to be readable."""
        expr = self.expr(value)
        if not expr.is_atom:
            expr = self.let(expr, hint)
            self.bind(value, expr)
        return expr

    def arguments(self, op: Op) -> list[Expr]:
        """The operands of an op, at least one of which is a run-time expression.

        WGSL evaluates operations on constants when compiling, and makes overflow, NaN and the like errors; a `let`
        is never a constant expression.
        """
        expressions = [self.expr(operand) for operand in op.operands]
        if expressions and all(expression.is_const for expression in expressions):
            expressions[0] = self.runtime(expressions[0], op.operands[0].type)
        return expressions

    def runtime(self, expr: Expr, type_: Type) -> Expr:
        """A constant as a run-time expression."""
        return self.let(expr, "c", wgsl_type(type_)) if expr.is_const else expr

    def unsigned(self, value_or_expr: Value | Expr, type_: Type | None = None) -> Expr:
        """The same bits as u32 (or a vector of u32)."""
        if isinstance(value_or_expr, Value):
            type_, expr = value_or_expr.type, self.expr(value_or_expr)
        else:
            expr = value_or_expr
        if expr.unsigned is not None:
            return expr.unsigned
        assert type_ is not None
        converted = call(with_scalar(type_, "u32"), expr)
        return Expr(converted.text, is_const=expr.is_const)

    def signed(self, expr: Expr, type_: Type) -> Expr:
        """An expression of u32 as the i32 that every integer value is."""
        return Expr(f"{with_scalar(type_, 'i32')}({expr.text})", unsigned=expr)

    def constant(self, type_: Type, value: object) -> Expr:
        """A constant of any type."""
        from_bits = self.helper("f32_from_bits") if needs_polyfill(type_, value) else ""
        return constant(type_, value, from_bits)

    def zero(self, type_: Type) -> Expr:
        """The zero value, `T()`."""
        if isinstance(type_, Scalar):
            return self.constant(type_, 0)
        return Expr(f"{wgsl_type(type_)}()", is_const=True)

    def helper(self, name: str, type_: Type | None = None) -> str:
        """The name of a polyfill for the shape of `type_`."""
        return self.state.helper(name, type_.count if isinstance(type_, Vector) else 1)

    def call_helper(self, name: str, type_: Type, arguments: Iterable[Expr], result: Type | None = None) -> Expr:
        """A polyfill's call on arguments of `type_`. Polyfills know f32 only: f16 goes there and back."""
        if isinstance(type_, Scalar | Vector) and scalar_of(type_) == F16:
            arguments = [call(with_scalar(type_, "f32"), argument) for argument in arguments]
        called = call(self.helper(name, type_), *arguments)
        is_half = isinstance(result, Scalar | Vector) and scalar_of(result) == F16
        return call(wgsl_type(result), called) if result is not None and is_half else called

    # -- statements -----------------------------------------------------------------------------------------------

    def statement(self, text: str) -> None:
        """Writes one statement; the semicolon is added."""
        self.writer.line(f"{text};")

    def variable(self, name: str, type_: Type, initial: Expr | None = None) -> None:
        """Writes a function-scope variable here."""
        self.statement(f"var {name}: {wgsl_type(type_)}" + (f" = {initial.text}" if initial else ""))

    def hoist(self, name: str, type_: Type, initial: Expr | None = None) -> None:
        """Writes a function-scope variable at the top of the function."""
        self.prologue.append(f"var {name}: {wgsl_type(type_)}" + (f" = {initial.text};" if initial else ";"))

    def builtin(self, name: str) -> str:
        """The parameter for a WGSL built-in value, e.g. `workgroup_id`."""
        return self.builtins.setdefault(name, name)


def _is_selector(use: Op, block: Block) -> bool:
    """True for the branch at the head of a selection op that stands in `block`."""
    region = use.block.region
    parent = region.parent
    return (
        parent is not None
        and parent.name == "spirv.mlir.selection"
        and parent.block is block
        and use.block is region.blocks[0]
        and use is use.block.terminator
    )


def flat(expressions: Iterable[Expr]) -> str:
    """Expressions as an argument list."""
    return ", ".join(expression.argument for expression in expressions)


def vector_of(type_: Vector, items: Iterable[Expr]) -> Expr:
    """A vector put together from scalars."""
    listed = list(items)
    same = len(listed) == type_.count and len({item.text for item in listed}) == 1
    text = listed[0].argument if same else flat(listed)
    return Expr(f"{wgsl_type(type_)}({text})", Rank.PRIMARY, is_const=all(item.is_const for item in listed))
