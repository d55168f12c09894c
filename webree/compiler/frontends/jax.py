"""JAX -> module in StableHLO: jitted and plain functions, `jax.export.Exported`, `jax.stages.Lowered`, exported files.

Enters: functions with example inputs (arrays, NumPy arrays or `jax.ShapeDtypeStruct`, in any pytree), or what JAX made
of them. Leaves: a module with a function for each entry. Its signature is flat, one tensor for each leaf of the inputs
and of the result, named by its path (`params_w`); inputs that the function does not use stay in the signature. Arrays
that the function closes over are constants. Both ways go through JAX's portable artifact, which is bytecode: weights
make no round trip through text.
Source: https://docs.jax.dev/en/latest/export/export.html
"""

from __future__ import annotations

import importlib
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from webree.compiler.frontends import ImportedModel, ModelSource, Signature, unique_names
from webree.compiler.frontends.traced import Entry
from webree.compiler.frontends.traced_sizes import Sizes, check_sizes
from webree.compiler.session import Session, location_names
from webree.dtypes import by_name
from webree.errors import CompileError, UsageError

__all__ = ["import_model"]

Unused = Sequence[tuple[str, str] | None]
"""For each leaf of the inputs: its name and MLIR type if the function does not use it, which makes JAX drop it."""


def import_model(session: Session, source: ModelSource, *, dims: Mapping[str, int], entry_name: str) -> ImportedModel:
    """Export and import. Raises `CompileError` for what JAX cannot export, `UsageError` for `dims` and for missing
    example inputs."""
    _require_jax()
    if dims:
        raise UsageError(
            f"{source.label}: dims are for ONNX models (given: {', '.join(sorted(dims))}); sizes of a JAX function are "
            "those of its example inputs"
        )
    module: Any = None
    signatures = []
    for entry in _entries(source, entry_name):
        name = entry.name or entry_name
        data, names, sizes = _artifact(entry, source.label)
        part = session.parse(data, source.label)
        signatures.append(_shape_function(part, name, names))
        if sizes is not None:
            check_sizes(_function(part, name).regions[0].blocks[0], signatures[-1].inputs, sizes)
        module = part if module is None else _moved(part, module)
    return ImportedModel(module, tuple(signatures))


def _require_jax() -> None:
    try:
        importlib.import_module("jax.export")
    except ImportError as error:
        raise CompileError(
            'compiling JAX functions needs the package jax; install it with: pip install "webree[jax]"'
        ) from error


def _entries(source: ModelSource, entry_name: str) -> Sequence[Entry]:
    if source.traced is not None:
        return source.traced.entries
    import jax.export

    try:
        exported = jax.export.deserialize(bytearray(source.read()))
    except Exception as error:
        raise CompileError(
            f"{source.label} cannot be read by jax.export.deserialize of jax {jax.__version__}: {_one_line(error)}",
            location=source.label,
        ) from error
    return (Entry(entry_name, exported),)


def _artifact(entry: Entry, label: str) -> tuple[bytes, Unused | None, Sizes | None]:
    """StableHLO bytecode, the inputs that are missing in it, and the sizes of all; None where nothing is known."""
    import jax
    import jax.export

    program = entry.program
    if entry.dynamic_shapes is not None:
        raise UsageError(f"{label}: dynamic_shapes is for PyTorch; in JAX use jax.export.symbolic_shape in the inputs")
    if isinstance(program, jax.stages.Lowered | jax.export.Exported) and entry.has_inputs:
        raise UsageError(f"{label} is traced already; it takes no example inputs")
    if isinstance(program, jax.stages.Lowered):
        module = program.compiler_ir("stablehlo")
        with module.context:
            return _bytecode(module.operation.clone()), None, None
    if not isinstance(program, jax.export.Exported):
        program = _exported(entry, label)
    kept = set(program.module_kept_var_idx)
    paths = _paths(program.in_tree, _parameter_names(entry.program))
    leaves = zip(paths, program.in_avals, strict=True)
    unused = [None if n in kept else (path, _mlir_type(aval)) for n, (path, aval) in enumerate(leaves)]
    sizes = [[extent if isinstance(extent, int) else str(extent) for extent in aval.shape] for aval in program.in_avals]
    return _stablehlo(program, label), unused, sizes


def _stablehlo(exported: Any, label: str) -> bytes:
    """The exported program as StableHLO bytecode, from the portable artifact. Raises `CompileError` if that is damaged,
    which its reader does not say more of."""
    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import sdy, stablehlo

    with ir.Context() as context:
        sdy.register_dialect(context)
        try:
            module = stablehlo.deserialize_portable_artifact(context, exported.mlir_module_serialized)
        except ValueError as error:
            raise CompileError(f"{label} is damaged: the StableHLO in it cannot be read", location=label) from error
        return _bytecode(module.operation)


def _bytecode(module: Any) -> bytes:
    """StableHLO bytecode that the compiler can read: without what JAX says of several devices, which no result depends
    on and whose dialect the compiler lacks, and without custom calls, whose encoding differs. Calls that assert sizes
    are replaced by `check_sizes`; any other raises `CompileError` with its name."""
    from jaxlib.mlir import ir

    operations: list[Any] = []

    def visit(operation: Any) -> Any:
        operations.append(operation)
        return ir.WalkResult.ADVANCE

    module.walk(visit)
    for operation in operations:
        if operation.name in ("sdy.sharding_constraint", "sdy.mesh"):
            _replace_by_operand(operation)
        elif operation.name == "stablehlo.custom_call":
            _drop_custom_call(operation)
        else:
            _drop_sharding_attributes(operation)
    file = io.BytesIO()
    module.write_bytecode(file)
    return file.getvalue()


def _replace_by_operand(operation: Any) -> None:
    for result in operation.results:
        result.replace_all_uses_with(operation.operands[0])
    operation.erase()


def _drop_sharding_attributes(operation: Any) -> None:
    from jaxlib.mlir import ir

    for name in [name for name in operation.attributes if name.startswith("sdy.")]:
        del operation.attributes[name]
    for name in [name for name in ("arg_attrs", "res_attrs") if name in operation.attributes]:
        items = [ir.DictAttr(item) for item in ir.ArrayAttr(operation.attributes[name])]
        kept = [{part.name: part.attr for part in item if not part.name.startswith("sdy.")} for item in items]
        operation.attributes[name] = ir.ArrayAttr.get([ir.DictAttr.get(item) for item in kept])


def _drop_custom_call(operation: Any) -> None:
    from jaxlib.mlir import ir

    target = ir.StringAttr(operation.attributes["call_target_name"]).value
    if target in ("shape_assertion", "Sharding"):
        _replace_by_operand(operation)
        return
    where = next(iter(location_names(str(operation.location))), "")
    library = " of LAPACK" if target.startswith("lapack_") else ""
    raise CompileError(
        f"{where + ': ' if where else ''}the JAX function calls {target}{library}, which lies outside of it "
        "(stablehlo.custom_call) and which no target of webree has; write it with other operations, or compute it "
        "outside",
        op="stablehlo.custom_call",
        location=where or None,
        unsupported=True,
    )


def _exported(entry: Entry, label: str) -> Any:
    import jax
    import jax.export

    if not entry.has_inputs:
        raise UsageError(
            f"{label}: a JAX function is compiled with example inputs: webree.compile(jax.jit(f), (array, …)); "
            "for a function without inputs give ()"
        )
    function = entry.program if hasattr(entry.program, "lower") else jax.jit(entry.program)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # donated buffers that are of no use, deprecations of JAX's own
            return jax.export.export(function, platforms=["cpu"])(*entry.inputs, **entry.keywords)
    except Exception as error:
        raise CompileError(
            f"JAX cannot export {label}: {_one_line(error)}", location=label, unsupported=True
        ) from error


# --- Names --------------------------------------------------------------------------------------------------------


def _shape_function(module: Any, name: str, unused: Unused | None) -> Signature:
    """Give `main` its name and the inputs that JAX dropped, and read the names of its arguments and results."""
    from iree.compiler import ir

    with module.context, ir.Location.unknown():
        function = _function(module, "main")
        arguments = function.regions[0].blocks[0].arguments
        inputs = [_identifier(next(iter(location_names(str(item.location))), "")) for item in arguments]
        outputs = []
        for index, attributes in enumerate(_result_attributes(function)):
            info = ir.StringAttr(attributes["jax.result_info"]).value if "jax.result_info" in attributes else ""
            text = _identifier(re.sub(r"^result", "", info))
            outputs.append(f"output{index}" if not text or text.isdecimal() else text)
        if unused is not None and any(unused):
            inputs = _put_back(function, inputs, unused)
        function.attributes["sym_name"] = ir.StringAttr.get(name)
    names = [text or f"arg{index}" for index, text in enumerate(inputs)]
    return Signature(name, unique_names(names), unique_names(outputs))


def _result_attributes(function: Any) -> Sequence[Any]:
    from iree.compiler import ir

    if "res_attrs" not in function.attributes:
        return [{}] * len(ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value).results)
    return [ir.DictAttr(item) for item in ir.ArrayAttr(function.attributes["res_attrs"])]


def _parameter_names(function: Any) -> list[str]:
    import inspect

    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def _paths(tree: Any, parameters: Sequence[str]) -> list[str]:
    """A name for each leaf of `((positional …), {keyword: …})`."""
    import jax

    value = jax.tree_util.tree_unflatten(tree, list(range(tree.num_leaves)))
    names = []
    for path, _ in jax.tree_util.tree_flatten_with_path(value)[0]:
        first = path[1]
        head = getattr(first, "key", None)
        if head is None:
            head = parameters[first.idx] if first.idx < len(parameters) else f"arg{first.idx}"
        names.append(_identifier(f"{head}{jax.tree_util.keystr(path[2:])}"))
    return names


def _mlir_type(aval: Any) -> str:
    shape = "".join(f"{extent if isinstance(extent, int) else '?'}x" for extent in aval.shape)
    return f"tensor<{shape}{by_name(aval.dtype.name).mlir}>"


def _identifier(path: str) -> str:
    """`params['w'][0].b` -> `params_w_0_b`."""
    return "_".join(re.findall(r"\w+", path))


# --- Modules ------------------------------------------------------------------------------------------------------


def _put_back(function: Any, names: list[str], unused: Unused) -> list[str]:
    """Make arguments of the inputs that JAX dropped; returns the names of all."""
    from iree.compiler import ir

    block = function.regions[0].blocks[0]
    kind = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    kept = iter(zip(names, kind.inputs, strict=True))
    pairs = [next(kept) if item is None else (item[0], ir.Type.parse(item[1])) for item in unused]
    positions = [index for index, item in enumerate(unused) if item is None]
    old = list(block.arguments)
    new = [block.add_argument(item, function.location) for _, item in pairs]
    for argument, position in zip(old, positions, strict=True):
        argument.replace_all_uses_with(new[position])
    for _ in old:
        block.erase_argument(0)
    types = [item for _, item in pairs]
    function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(types, kind.results))
    if "arg_attrs" in function.attributes:
        del function.attributes["arg_attrs"]
    return [name for name, _ in pairs]


def _moved(part: Any, module: Any) -> Any:
    """Move the functions of `part` into `module`; private ones get names that are free there."""
    from iree.compiler import ir

    with module.context:
        used = {_symbol(op) for op in _operations(module)}
        for op in _operations(part):
            name = free = _symbol(op)
            while free in used:
                free += "_"
            used.add(free)
            if free != name:
                ir.SymbolTable.replace_all_symbol_uses(name, free, part)
                op.attributes["sym_name"] = ir.StringAttr.get(free)
        body = module.regions[0].blocks[0]
        for op in _operations(part):
            op.detach_from_parent()
            body.append(op)
    return module


def _symbol(op: Any) -> str:
    from iree.compiler import ir

    return str(ir.StringAttr(op.attributes["sym_name"]).value)


def _function(module: Any, name: str) -> Any:
    return next(op for op in _operations(module) if _symbol(op) == name)


def _operations(module: Any) -> list[Any]:
    return [op.operation for op in module.regions[0].blocks[0]]


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:1000]}"
