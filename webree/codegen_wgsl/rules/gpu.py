"""What invocations do together: barriers, atomics, subgroup operations.

Atomics work on `atomic<i32>`; those that WGSL lacks for that type (unsigned minimum and maximum, float addition,
the strong compare-exchange) loop over the weak compare-exchange.
Spec: https://www.w3.org/TR/WGSL/#sync-builtin-functions, #atomic-builtin-functions, #subgroup-builtin-functions
"""

from __future__ import annotations

from collections.abc import Callable

from webree.codegen_wgsl.emitter import Emitter, unsupported
from webree.codegen_wgsl.expressions import Expr, call
from webree.codegen_wgsl.rules.memory import binding_of, reference
from webree.codegen_wgsl.spirv import Op, Value
from webree.codegen_wgsl.types import I32, Pointer

__all__ = ["RULES"]

_ATOMICS = {
    "spirv.AtomicIAdd": "atomicAdd",
    "spirv.AtomicISub": "atomicSub",
    "spirv.AtomicAnd": "atomicAnd",
    "spirv.AtomicOr": "atomicOr",
    "spirv.AtomicXor": "atomicXor",
    "spirv.AtomicSMax": "atomicMax",
    "spirv.AtomicSMin": "atomicMin",
    "spirv.AtomicExchange": "atomicExchange",
}
# op -> the new value from (old, operand), both i32.
_LOOPED_ATOMICS = {
    "spirv.AtomicUMax": "i32(max(u32({old}), u32({value})))",
    "spirv.AtomicUMin": "i32(min(u32({old}), u32({value})))",
    "spirv.EXT.AtomicFAdd": "bitcast<i32>(bitcast<f32>({old}) + {value})",
}
_STEPS = {"spirv.AtomicIIncrement": "atomicAdd", "spirv.AtomicIDecrement": "atomicSub"}

# op -> (WGSL function, on u32); the first operand of the arithmetic ones is the value.
_SUBGROUP_CALLS = {
    "spirv.GroupNonUniformIAdd": ("Add", False),
    "spirv.GroupNonUniformFAdd": ("Add", False),
    "spirv.GroupNonUniformIMul": ("Mul", False),
    "spirv.GroupNonUniformFMul": ("Mul", False),
    "spirv.GroupNonUniformSMin": ("Min", False),
    "spirv.GroupNonUniformFMin": ("Min", False),
    "spirv.GroupNonUniformUMin": ("Min", True),
    "spirv.GroupNonUniformSMax": ("Max", False),
    "spirv.GroupNonUniformFMax": ("Max", False),
    "spirv.GroupNonUniformUMax": ("Max", True),
    "spirv.GroupNonUniformBitwiseAnd": ("And", False),
    "spirv.GroupNonUniformBitwiseOr": ("Or", False),
    "spirv.GroupNonUniformBitwiseXor": ("Xor", False),
}
_SUBGROUP_SHUFFLES = {
    "spirv.GroupNonUniformShuffle": "subgroupShuffle",
    "spirv.GroupNonUniformShuffleXor": "subgroupShuffleXor",
    "spirv.GroupNonUniformShuffleUp": "subgroupShuffleUp",
    "spirv.GroupNonUniformShuffleDown": "subgroupShuffleDown",
    "spirv.GroupNonUniformBroadcast": "subgroupShuffle",
}
_SUBGROUP_VOTES = {
    "spirv.GroupNonUniformAll": "subgroupAll",
    "spirv.GroupNonUniformAny": "subgroupAny",
    "spirv.GroupNonUniformElect": "subgroupElect",
}
_GROUP_OPERATIONS = {
    "Reduce": "subgroup{}",
    "InclusiveScan": "subgroupInclusive{}",
    "ExclusiveScan": "subgroupExclusive{}",
}


# -- barriers ---------------------------------------------------------------------------------------------------------


def _barrier(emitter: Emitter, op: Op) -> None:
    semantics = str(op.attributes["memory_semantics"])
    if "Subgroup>" in str(op.attributes.get("execution_scope", "")):
        emitter.state.require("subgroups", op)
    shared = any(variable.storage == "workgroup" for variable in emitter.resources.shared.values())
    # IREE's barriers name workgroup memory only, and order what invocations hand each other through buffers, too.
    storage = "UniformMemory" in semantics or emitter.shares_storage
    if storage:
        emitter.statement("storageBarrier()")
    if shared or not storage:
        emitter.statement("workgroupBarrier()")


# -- atomics ----------------------------------------------------------------------------------------------------------


def _atomic_place(emitter: Emitter, op: Op) -> str:
    pointer = op.operands[0]
    place = emitter.places[pointer]
    assert isinstance(pointer.type, Pointer)
    binding = binding_of(emitter, place)
    if binding is None:
        return reference(emitter, place)
    if len(place.indices) != 1:
        raise unsupported(op, f"atomic access of {place.view} in a storage buffer")
    return f"{binding.name}[{place.indices[0].text}]"


def _name_old(emitter: Emitter, op: Op, text: str) -> None:
    if op.result.uses:
        emitter.bind(op.result, emitter.let(Expr(text), "old"))
    else:
        emitter.statement(text)


def _atomic(emitter: Emitter, op: Op) -> None:
    place = _atomic_place(emitter, op)
    value = emitter.expr(op.operands[1])
    _name_old(emitter, op, f"{_ATOMICS[op.name]}(&{place}, {value.argument})")


def _atomic_step(emitter: Emitter, op: Op) -> None:
    _name_old(emitter, op, f"{_STEPS[op.name]}(&{_atomic_place(emitter, op)}, 1)")


def _looped_atomic(emitter: Emitter, op: Op) -> None:
    place = _atomic_place(emitter, op)
    value = emitter.atom(op.operands[1])
    old = emitter.state.namer.fresh("old")
    emitter.statement(f"var {old} = atomicLoad(&{place})")
    with emitter.writer.block("loop"):
        desired = emitter.let(Expr(_LOOPED_ATOMICS[op.name].format(old=old, value=value.text)), "desired")
        tried = emitter.let(Expr(f"atomicCompareExchangeWeak(&{place}, {old}, {desired.text})"), "tried")
        with emitter.writer.block(f"if ({tried.text}.exchanged)"):
            emitter.statement("break")
        emitter.statement(f"{old} = {tried.text}.old_value")
    is_integer = op.result.type == I32
    emitter.bind(op.result, Expr(old if is_integer else f"bitcast<f32>({old})"))


def _compare_exchange(emitter: Emitter, op: Op) -> None:
    """WGSL's compare-exchange may fail without a reason; SPIR-V's may not."""
    place = _atomic_place(emitter, op)
    value, comparator = emitter.atom(op.operands[1]), emitter.atom(op.operands[2])
    old = emitter.state.namer.fresh("old")
    emitter.statement(f"var {old}: i32")
    with emitter.writer.block("loop"):
        tried = emitter.let(Expr(f"atomicCompareExchangeWeak(&{place}, {comparator.text}, {value.text})"), "tried")
        emitter.statement(f"{old} = {tried.text}.old_value")
        with emitter.writer.block(f"if ({tried.text}.exchanged || {old} != {comparator.text})"):
            emitter.statement("break")
    emitter.bind(op.result, Expr(old))


# -- subgroups --------------------------------------------------------------------------------------------------------


def _subgroup_call(emitter: Emitter, op: Op) -> None:
    emitter.state.require("subgroups", op)
    operation = next((text for text in _GROUP_OPERATIONS if text in str(op.attributes["group_operation"])), None)
    if operation is None or len(op.operands) != 1:
        raise unsupported(op, f"group operation {op.attributes['group_operation']} (clustered ones are not in WGSL)")
    name, on_unsigned = _SUBGROUP_CALLS[op.name]
    function = _GROUP_OPERATIONS[operation].format(name)
    if on_unsigned:
        result = emitter.signed(call(function, emitter.unsigned(op.operands[0])), op.result.type)
    else:
        result = call(function, emitter.expr(op.operands[0]))
    emitter.bind(op.result, emitter.let(result, "s"))


def _subgroup_shuffle(emitter: Emitter, op: Op) -> None:
    emitter.state.require("subgroups", op)
    value: Value = op.operands[0]
    lane = emitter.unsigned(op.operands[1])
    emitter.bind(op.result, emitter.let(call(_SUBGROUP_SHUFFLES[op.name], emitter.expr(value), lane), "s"))


def _subgroup_vote(emitter: Emitter, op: Op) -> None:
    emitter.state.require("subgroups", op)
    arguments = [emitter.expr(operand) for operand in op.operands]
    emitter.bind(op.result, emitter.let(call(_SUBGROUP_VOTES[op.name], *arguments), "s"))


def _ballot(emitter: Emitter, op: Op) -> None:
    emitter.state.require("subgroups", op)
    ballot = call("subgroupBallot", emitter.expr(op.operands[0]))
    emitter.bind(op.result, emitter.let(emitter.signed(ballot, op.result.type), "s"))


RULES: dict[str, Callable[[Emitter, Op], None]] = {
    "spirv.ControlBarrier": _barrier,
    "spirv.MemoryBarrier": _barrier,
    **dict.fromkeys(_ATOMICS, _atomic),
    **dict.fromkeys(_STEPS, _atomic_step),
    **dict.fromkeys(_LOOPED_ATOMICS, _looped_atomic),
    "spirv.AtomicCompareExchange": _compare_exchange,
    "spirv.AtomicCompareExchangeWeak": _compare_exchange,
    **dict.fromkeys(_SUBGROUP_CALLS, _subgroup_call),
    **dict.fromkeys(_SUBGROUP_SHUFFLES, _subgroup_shuffle),
    **dict.fromkeys(_SUBGROUP_VOTES, _subgroup_vote),
    "spirv.GroupNonUniformBallot": _ballot,
}
