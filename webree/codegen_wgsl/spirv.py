"""MLIR's `spirv` dialect -> plain Python objects: the one file of the code generator that touches MLIR.

Enters: the `builtin.module` of a `hal.executable.variant` after IREE's phase `executable-targets`, as an
`iree.compiler.ir` operation. Leaves: one `SpirvModule` per `spirv.module`, with functions, blocks, ops and values
that know their uses. Reading everything once keeps the walk through the bindings (microseconds per access) out of
the analyses, and lets them ask for uses and parents cheaply.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from iree.compiler import ir

from webree.codegen_wgsl.types import Pointer, Struct, Type, parse_type
from webree.errors import CompileError

__all__ = [
    "Block",
    "Function",
    "Global",
    "Op",
    "Region",
    "SpirvModule",
    "Value",
    "read_spirv_modules",
    "unwrapped",
    "walk",
]


@dataclass(eq=False, slots=True)
class Value:
    """An SSA value: a result of `op`, or an argument of `block`."""

    type: Type
    op: Op | None = None
    block: Block | None = None
    uses: list[Op] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Op:
    """One operation. `operands` holds all operands, those passed to successor blocks included."""

    name: str
    block: Block
    operands: list[Value]
    results: list[Value]
    attributes: dict[str, Any]
    regions: list[Region]
    successors: list[tuple[Block, list[Value]]]
    _source: Any

    @property
    def location(self) -> str:
        """MLIR's `loc(...)` text without the frame."""
        return str(self._source.location).removeprefix("loc(").removesuffix(")")

    @property
    def result(self) -> Value:
        return self.results[0]


@dataclass(eq=False, slots=True)
class Block:
    region: Region
    arguments: list[Value] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)

    @property
    def terminator(self) -> Op:
        return self.ops[-1]


@dataclass(eq=False, slots=True)
class Region:
    parent: Op | None
    blocks: list[Block] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Global:
    """A module-scope variable; `binding` is (set, number) for storage buffers."""

    name: str
    pointee: Type
    storage: str
    built_in: str | None
    binding: tuple[int, int] | None

    @property
    def content(self) -> Type:
        """What it holds, for WGSL."""
        return unwrapped(self.pointee)


@dataclass(eq=False, slots=True)
class Function:
    name: str
    body: Region
    result_types: list[Type]


@dataclass(eq=False, slots=True)
class SpirvModule:
    globals: dict[str, Global] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    spec_constants: dict[str, Any] = field(default_factory=dict)
    # Function name -> workgroup size.
    entry_points: dict[str, tuple[int, int, int]] = field(default_factory=dict)


def unwrapped(type_: Type) -> Type:
    """A variable's type without the struct of one member that the passes wrap around memory."""
    return type_.members[0] if isinstance(type_, Struct) and len(type_.members) == 1 else type_


def read_spirv_modules(module: Any) -> list[SpirvModule]:
    """Reads every `spirv.module` under `module` (an `ir.Module`, `ir.Operation` or op view), in order."""
    operation = module.operation if hasattr(module, "operation") else module
    found = [_read_module(operation)] if operation.name == "spirv.module" else []
    for region in operation.regions:
        for block in region.blocks:
            for op in block.operations:
                if op.operation.name == "spirv.module":
                    found.append(_read_module(op.operation))
                elif op.operation.name == "builtin.module":
                    found.extend(read_spirv_modules(op.operation))
    return found


def walk(region: Region) -> Iterator[Op]:
    """Every op in `region`, outer before inner."""
    for block in region.blocks:
        for op in block.ops:
            yield op
            for inner in op.regions:
                yield from walk(inner)


def _read_module(operation: Any) -> SpirvModule:
    module = SpirvModule()
    for view in operation.regions[0].blocks[0].operations:
        op = view.operation
        attributes = op.attributes
        match op.name:
            case "spirv.GlobalVariable":
                variable = _read_global(attributes)
                module.globals[variable.name] = variable
            case "spirv.func":
                function = _FunctionReader().read(op)
                module.functions[function.name] = function
            case "spirv.SpecConstant":
                module.spec_constants[attributes["sym_name"].value] = _plain(attributes["default_value"])
            case "spirv.EntryPoint":
                module.entry_points.setdefault(attributes["fn"].value, (1, 1, 1))
            case "spirv.ExecutionMode":
                if "LocalSize>" in str(attributes["execution_mode"]):
                    x, y, z = (int(_plain(size)) for size in attributes["values"])
                    module.entry_points[attributes["fn"].value] = (x, y, z)
            case name:
                raise CompileError(
                    f"`{name}` at module scope has no WGSL counterpart",
                    op=name,
                    location=str(op.location),
                    unsupported=True,
                )
    return module


def _read_global(attributes: Any) -> Global:
    name = attributes["sym_name"].value
    type_ = parse_type(str(attributes["type"].value))
    if not isinstance(type_, Pointer):
        raise CompileError(f"global `{name}` has the type {type_}, expected a pointer")
    binding = None
    if "binding" in attributes:
        binding = (int(attributes["descriptor_set"].value), int(attributes["binding"].value))
    built_in = attributes["built_in"].value if "built_in" in attributes else None
    return Global(name, type_.pointee, type_.storage, built_in, binding)


class _FunctionReader:
    """Maps MLIR's values and blocks to ours while one function is read."""

    def __init__(self) -> None:
        self._values: dict[Any, Value] = {}
        self._blocks: dict[Any, Block] = {}

    def read(self, op: Any) -> Function:
        name = op.attributes["sym_name"].value
        region = self._region(op.regions[0], None)
        for inner in walk(region):
            for operand in inner.operands:
                operand.uses.append(inner)
        results = [parse_type(str(type_)) for type_ in op.attributes["function_type"].value.results]
        return Function(name, region, results)

    def _region(self, source: Any, parent: Op | None) -> Region:
        region = Region(parent)
        pairs = []
        for source_block in source.blocks:
            block = Block(region)
            block.arguments = [self._value(argument, block=block) for argument in source_block.arguments]
            self._blocks[source_block] = block
            region.blocks.append(block)
            pairs.append((block, source_block))
        # MLIR lets a block use values of a dominating block that stands later in the list, but the spirv
        # dialect demands dominance order, as SPIR-V itself does.
        for block, source_block in pairs:
            for view in source_block.operations:
                block.ops.append(self._op(view.operation, block))
        return region

    def _op(self, source: Any, block: Block) -> Op:
        attributes = {name: _plain(source.attributes[name]) for name in source.attributes}
        operands = [self._values[operand] for operand in source.operands]
        # WGSL bounds every access by itself, so the two chains mean the same here.
        name = "spirv.AccessChain" if source.name == "spirv.InBoundsAccessChain" else source.name
        op = Op(name, block, operands, [], attributes, [], [], source)
        op.regions = [self._region(region, op) for region in source.regions]
        op.results = [self._value(result, op=op) for result in source.results]
        op.successors = self._successors(source, operands, attributes)
        return op

    def _successors(
        self, source: Any, operands: list[Value], attributes: dict[str, Any]
    ) -> list[tuple[Block, list[Value]]]:
        blocks = [self._blocks[block] for block in source.successors]
        if not blocks:
            return []
        if source.name == "spirv.Branch":
            return [(blocks[0], operands)]
        # [selector, operands of the first successor, of the second (BranchConditional) or of all others (Switch)]
        segments = list(attributes["operandSegmentSizes"])
        sizes = [segments[1], *attributes["case_operand_segments"]] if source.name == "spirv.Switch" else segments[1:]
        successors, position = [], segments[0]
        for successor, size in zip(blocks, sizes, strict=True):
            successors.append((successor, operands[position : position + size]))
            position += size
        return successors

    def _value(self, source: Any, *, op: Op | None = None, block: Block | None = None) -> Value:
        value = Value(parse_type(str(source.type)), op, block)
        self._values[source] = value
        return value


def _plain(attribute: Any) -> Any:
    """An attribute as int, float, bool, str, or a (nested) list of these; others as their text."""
    if isinstance(attribute, ir.BoolAttr | ir.IntegerAttr | ir.FloatAttr | ir.StringAttr | ir.FlatSymbolRefAttr):
        return attribute.value
    if isinstance(attribute, ir.DenseElementsAttr):
        return np.array(attribute).reshape(-1).tolist()
    if isinstance(attribute, ir.ArrayAttr | ir.DenseI32ArrayAttr | ir.DenseI64ArrayAttr):
        return [_plain(element) for element in attribute]
    if isinstance(attribute, int | float):
        return attribute
    return str(attribute)
