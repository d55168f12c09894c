"""Exported PyTorch programs -> functions of one module, by the importer inside the compiler's wheel.

Enters: decomposed `ExportedProgram`s. Leaves: torch-dialect functions in the session's context. Three things are ours:
weights become constants that share memory with torch's tensors and carry their names; buffers that a function writes
are loaded from globals at its beginning and stored at its end; and every operation's location is the line of the user's
own Python and the submodule that it belongs to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (the importer reads bfloat16 tensors through it)
import numpy
import torch
from iree.compiler import ir
from iree.compiler.extras import fx_importer
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind, TensorArgument
from torch.utils import _pytree

from webree.compiler.frontends import unique_names
from webree.compiler.frontends.traced_sizes import check_sizes
from webree.errors import CompileError

__all__ = ["Importer", "flat_names", "hold_constants"]

_WRITTEN = (OutputKind.BUFFER_MUTATION, OutputKind.PARAMETER_MUTATION)
_HELD = (InputKind.BUFFER, InputKind.PARAMETER)
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)\n\s*([^\n]*)')
_TORCH_FOLDER, _OWN_FOLDER = str(Path(torch.__file__).parent), str(Path(__file__).parent)
_RESOURCE_BYTES = 64  # smaller constants are written into the module as they are


@dataclass(frozen=True, slots=True)
class State:
    """A mutable global: its symbol and its tensor's type."""

    symbol: str
    type: Any


class Importer:
    """Makes one module of several programs.

    Attributes:
        module: the module so far, an `iree.compiler.ir.Operation`.
    """

    def __init__(self, context: Any, label: str) -> None:
        for dialect in ("builtin", "func", "torch", "torch_c", "util"):
            context.dialects[dialect]  # loads it: operations made before would stay opaque
        self._label = label
        self._context = context
        self._states: dict[Any, State] = {}
        self._literals: dict[Any, Any] = {}
        self._lines: dict[str, str] = {}  # location -> the line of code
        self._importer = fx_importer.FxImporter(
            context=context, hooks=_Hooks(self), graph_node_importer_cls=_NodeImporter
        )
        self._importer._cc = _Locations(self)
        self.module = self._importer.module_op

    def is_known(self, operation: str) -> bool:
        """Whether the torch dialect has this operation."""
        return bool(self._context.is_registered_operation(operation))

    def find_state(self, programs: Iterable[Any]) -> None:
        """Make globals for the buffers that any of the functions writes; before `add`."""
        written: dict[Any, tuple[str, Any]] = {}
        for program in programs:
            for target in _written(program):
                tensor = _tensor(program, target)
                written.setdefault(_identity(tensor), (target, tensor))
        used: set[str] = set()
        for key, (target, tensor) in written.items():
            symbol = target
            while symbol in used:
                symbol += "_"
            used.add(symbol)
            self._states[key] = self._make_global(symbol, tensor)

    def add(self, name: str, program: Any) -> None:
        """Import one program as the public function `name`. Raises `CompileError` for inputs that it writes to."""
        _check(program, self._label, name)
        specs = program.graph_signature.output_specs
        specs[:] = [item for item in specs if not _is_none(item)]
        self._importer._hooks.stores = _written(program)
        function = self._importer.import_program(program, func_name=name)
        with self._context:
            check_sizes(function.regions[0].blocks[0], *_input_sizes(program))

    def explain(self, error: CompileError) -> CompileError:
        """The error of the input conversion, with the line of Python that the operator stands in."""
        if error.op is None or not error.op.startswith("torch."):
            return error
        where = error.location or self._label
        line = self._lines.get(where)
        return CompileError(
            f"{where}: webree cannot compile the PyTorch operator {error.op.removeprefix('torch.')} with these types "
            f"and shapes{f' (in `{line}`)' if line else ''}; write it with others, or compute it outside. "
            f"The compiler says: {error}",
            op=error.op,
            location=where,
            unsupported=True,
        )

    def state_of(self, tensor: Any) -> State | None:
        return self._states.get(_identity(tensor))

    def location(self, node: Any) -> Any:
        """The innermost line outside of torch in the node's stack trace, and the submodule."""
        frames = _FRAME.findall(node.meta.get("stack_trace") or "")
        frames = [frame for frame in frames if not frame[0].startswith(_OWN_FOLDER)]
        if not frames:
            return None
        own = [frame for frame in frames if not frame[0].startswith(_TORCH_FOLDER)]
        file, line, _, code = (own or frames)[-1]
        submodule = _submodule(node)
        text = f"{Path(file).name}:{line}" + (f" in {submodule}" if submodule else "")
        self._lines.setdefault(text, code.strip())
        return ir.Location.name(text, context=self._context)

    def literal(self, tensor: Any, name: str | None) -> Any:
        """`torch.vtensor.literal` of a tensor's values, or None for those that the importer writes itself.

        The compiler reads torch's memory, which lives as long as the tensor, which this object keeps."""
        if tensor.dtype == torch.bool or tensor.numel() * tensor.element_size() < _RESOURCE_BYTES:
            return None
        key = _identity(tensor)
        if key not in self._literals:
            self._literals[key] = self._attribute(tensor, name or "constant")
        kind = self._importer._cc.tensor_to_vtensor_type(tensor)
        where = ir.Location.name(name) if name else ir.Location.current
        literal = ir.Operation.create(
            "torch.vtensor.literal", results=[kind], attributes={"value": self._literals[key]}, loc=where
        )
        return literal.result

    def _attribute(self, tensor: Any, name: str) -> Any:
        data = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).numpy()
        kind = fx_importer.create_mlir_tensor_type(tensor)
        return ir.DenseResourceElementsAttr.get_from_buffer(
            memoryview(data), re.sub(r"\W", "_", name), kind, alignment=tensor.element_size(), context=self._context
        )

    def _make_global(self, symbol: str, tensor: Any) -> State:
        with self._context, ir.Location.name(symbol):
            element = _signless(fx_importer.create_mlir_tensor_type(tensor).element_type)
            kind = ir.RankedTensorType.get(list(tensor.shape), element)
            ir.Operation.create(
                "util.global",
                attributes={
                    "sym_name": ir.StringAttr.get(symbol),
                    "sym_visibility": ir.StringAttr.get("private"),
                    "type": ir.TypeAttr.get(kind),
                    "is_mutable": ir.UnitAttr.get(),
                    "initial_value": _initial_value(tensor, kind),
                },
                ip=ir.InsertionPoint.at_block_begin(self.module.regions[0].blocks[0]),
            )
        return State(symbol, kind)


class _Hooks(fx_importer.FxImporterHooks):  # type: ignore[misc]
    """How parameters, buffers and constants are found; `stores` maps written buffers to the node of the new value."""

    def __init__(self, owner: Importer) -> None:
        self.owner = owner
        self.stores: dict[str, str] = {}
        self.program: Any = None

    def resolve_literal(self, importer: Any, literal: Any, info: Any) -> Any:
        name = None if info is None else info.input_spec.target
        return self.owner.literal(literal, name) if isinstance(literal, torch.Tensor) else None

    def resolve_input(self, importer: Any, value: Any, info: Any) -> Any:
        state = self.owner.state_of(value)
        if state is None:
            return None
        load = ir.Operation.create(
            "util.global.load", results=[state.type], attributes={"global": ir.FlatSymbolRefAttr.get(state.symbol)}
        )
        return ir.Operation.create("torch_c.from_builtin_tensor", results=[info.ir_type], operands=[load.result]).result


class _NodeImporter(fx_importer.GraphNodeImporter):  # type: ignore[misc]
    """Loads state before anything else and stores it after everything else, whatever the order of the graph."""

    def lazy_import_parameter(self, loc: Any, node: Any, parameter_value: Any, info: Any) -> None:
        self._bind_state(loc, node, parameter_value, info)

    def lazy_import_buffer(self, loc: Any, node: Any, buffer_value: Any, info: Any) -> None:
        self._bind_state(loc, node, buffer_value, info)

    def _bind_state(self, loc: Any, node: Any, value: Any, info: Any) -> None:
        hooks = self.fx_importer._hooks
        hooks.program = info.program
        super().lazy_import_parameter(loc, node, value, info)
        if hooks.owner.state_of(value) is not None:
            self.resolve_node_value(node)

    def return_node_values(self, loc: Any, nodes: list[Any], constants: dict[int, Any]) -> None:
        hooks = self.fx_importer._hooks
        values = {node.name: node for node, _ in self._v}
        with loc, ir.InsertionPoint(self._b):
            for target, producer in hooks.stores.items():
                state = hooks.owner.state_of(_tensor(hooks.program, target))
                assert state is not None
                value = self.resolve_node_value(values[producer])
                tensor = ir.Operation.create("torch_c.to_builtin_tensor", results=[state.type], operands=[value])
                symbol = ir.FlatSymbolRefAttr.get(state.symbol)
                ir.Operation.create("util.global.store", operands=[tensor.result], attributes={"global": symbol})
        super().return_node_values(loc, nodes, constants)


class _Locations(fx_importer.ContextCache):  # type: ignore[misc]
    """As the importer's, with our locations."""

    __slots__ = ("_owner",)

    def __init__(self, owner: Importer) -> None:
        super().__init__(owner._context)
        self._owner = owner

    def get_node_location(self, node: Any) -> Any:
        return self._owner.location(node)


def hold_constants(program: Any) -> None:
    """Make buffers of the tensors that a module reaches by other ways than its own (those of a cache object, say),
    which torch.export lifts as constants, so that they can be written; what is a buffer already becomes that input."""
    specs = program.graph_signature.input_specs
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    known = {_identity(_tensor(program, spec.target)): spec for spec in specs if spec.kind in _HELD}
    for spec in [spec for spec in specs if spec.kind == InputKind.CONSTANT_TENSOR]:
        other = known.get(_identity(_tensor(program, spec.target)))
        if other is None:
            spec.kind, spec.persistent = InputKind.BUFFER, False
            continue
        nodes[spec.arg.name].replace_all_uses_with(nodes[other.arg.name])
        program.graph.erase_node(nodes[spec.arg.name])
        specs.remove(spec)
        del program.constants[spec.target]


def flat_names(program: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the function's inputs and outputs; before `Importer.add`.

    Outputs are called by their keys (`logits`, `cache_0`), or by their places."""
    signature = program.graph_signature
    inputs = [
        spec.arg.name
        for spec in signature.input_specs
        if spec.kind == InputKind.USER_INPUT and not isinstance(spec.arg, ConstantArgument)
    ]
    outputs = [spec for spec in signature.output_specs if spec.kind == OutputKind.USER_OUTPUT]
    tree = program.call_spec.out_spec
    names = [f"output{index}" for index in range(len(outputs))]
    if tree is not None and tree.num_leaves == len(outputs):
        value = _pytree.tree_unflatten(list(range(tree.num_leaves)), tree)
        names = [_key(path, index) for index, (path, _) in enumerate(_pytree.tree_flatten_with_path(value)[0])]
    given = [name for name, spec in zip(names, outputs, strict=True) if not _is_none(spec)]
    return tuple(inputs), unique_names(given)


def _input_sizes(program: Any) -> tuple[list[str], list[list[int | str]]]:
    """For each input that is a tensor: its name and its sizes, open ones as torch writes them."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    names, _ = flat_names(program)
    values = [nodes[name].meta.get("val") for name in names]
    extents = [
        [item if isinstance(item, int) else str(item) for item in getattr(value, "shape", ())] for value in values
    ]
    return list(names), extents


def _key(path: Sequence[Any], index: int) -> str:
    parts = [str(getattr(step, "key", getattr(step, "name", getattr(step, "idx", "")))) for step in path]
    text = "_".join(re.sub(r"\W", "_", part) for part in parts)
    return f"output{index}" if len(parts) <= 1 and (not text or text.isdecimal()) else text


def _written(program: Any) -> dict[str, str]:
    """Name of each buffer that the program writes -> name of the node with its new value."""
    specs = program.graph_signature.output_specs
    return {spec.target: spec.arg.name for spec in specs if spec.kind in _WRITTEN}


def _tensor(program: Any, target: str) -> Any:
    value = program.state_dict.get(target)
    return program.constants[target] if value is None else value


def _identity(tensor: Any) -> Any:
    """Equal for tensors that are the same memory seen in the same way."""
    if tensor.numel() == 0 or tensor.layout != torch.strided:
        return id(tensor)
    return (tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype)


def _is_none(spec: Any) -> bool:
    return isinstance(spec.arg, ConstantArgument) and spec.arg.value is None


def _check(program: Any, label: str, name: str) -> None:
    signature = program.graph_signature
    for spec in signature.output_specs:
        if spec.kind == OutputKind.USER_INPUT_MUTATION:
            raise CompileError(
                f"{label}: {name} writes to its input {spec.target}; return the new value, or keep it in a buffer of "
                "the module (register_buffer), which stays on the device between calls",
                location=label,
                unsupported=True,
            )
    for spec in signature.input_specs:
        if not isinstance(spec.arg, TensorArgument | ConstantArgument) and type(spec.arg).__name__ != "SymIntArgument":
            raise CompileError(
                f"{label}: {name} takes {spec.arg.name} as {type(spec.arg).__name__}; supported are tensors, integers "
                "and constants",
                location=label,
                unsupported=True,
            )


def _submodule(node: Any) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = stack[-1][0] if stack else ""
    return re.sub(r"^L\['?self'?\]\.?|^owner\.?", "", path)


def _signless(element: Any) -> Any:
    return ir.IntegerType.get_signless(element.width) if isinstance(element, ir.IntegerType) else element


def _initial_value(tensor: Any, kind: Any) -> Any:
    """A splat where all elements have the same bits, which costs no space in the module."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    data = flat.view(torch.uint8).numpy()
    if flat.numel() and bool((data.reshape(flat.numel(), -1) == data[: tensor.element_size()]).all()):
        return ir.DenseElementsAttr.get_splat(kind, _element_attribute(flat[0].item(), kind.element_type))
    if tensor.dtype == torch.bool:
        packed = numpy.packbits(flat.numpy(), bitorder="little")
        return ir.DenseElementsAttr.get(packed, type=kind.element_type, shape=list(tensor.shape))
    return ir.DenseResourceElementsAttr.get_from_buffer(
        memoryview(data), "state", kind, alignment=tensor.element_size()
    )


def _element_attribute(value: Any, element: Any) -> Any:
    return (
        ir.IntegerAttr.get(element, value) if isinstance(element, ir.IntegerType) else ir.FloatAttr.get(element, value)
    )
