"""PyTorch -> module in the torch dialect: modules, methods and functions, exported programs, `.pt2` files.

Enters: what `torch.export.export` takes, or what it made. Leaves: a module with a function for each entry; weights are
constants, buffers that a function writes are mutable globals that all functions of the module share. The calling
signature is the flat one of the exported program, with the names of its inputs and of the keys of its outputs.
What torch.export cannot capture is an error here, in its own words; what the compiler lacks an error at conversion,
with the operator and the line of Python that it comes from.
Source: https://docs.pytorch.org/docs/stable/export.html
"""

from __future__ import annotations

import importlib
import inspect
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from webree.compiler.frontends import ImportedModel, ModelSource, Signature
from webree.compiler.frontends.traced import Entry
from webree.compiler.session import Session
from webree.errors import CompileError, UsageError, WebreeError

__all__ = ["import_model"]


def import_model(session: Session, source: ModelSource, *, dims: Mapping[str, int], entry_name: str) -> ImportedModel:
    """Export, decompose and import. Raises `CompileError` for what cannot be exported or imported, `UsageError` for
    `dims` (torch has `dynamic_shapes`) and for missing example inputs."""
    _require_torch()
    if dims:
        raise UsageError(
            f"{source.label}: dims are for ONNX models (given: {', '.join(sorted(dims))}); sizes of a PyTorch model "
            "are those of its example inputs, but for those that dynamic_shapes leaves open"
        )
    from webree.compiler.frontends.torch_decompositions import decompose
    from webree.compiler.frontends.torch_importer import Importer, flat_names

    importer = Importer(session.context, source.label)
    signatures = []
    with _quiet():
        exported = {entry.name or entry_name: _exported(entry, source.label) for entry in _entries(source, entry_name)}
        try:
            programs = {name: decompose(program, importer.is_known) for name, program in exported.items()}
            importer.find_state(programs.values())
            for name, program in programs.items():
                signatures.append(Signature(name, *flat_names(program)))
                importer.add(name, program)
        except WebreeError:
            raise
        except Exception as error:  # whatever the frameworks' innards raise
            raise CompileError(
                f"{source.label}: the exported program cannot be imported: {_one_line(error)}",
                location=source.label,
                unsupported=isinstance(error, NotImplementedError),
            ) from error
    return ImportedModel(importer.module, tuple(signatures), importer.explain)


def _require_torch() -> None:
    try:
        importlib.import_module("torch.export")
    except ImportError as error:
        raise CompileError(
            'compiling PyTorch models needs the package torch; install it with: pip install "webree[torch]"'
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """torch warns of its own deprecations and logs what it is doing; callers hear errors only."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _entries(source: ModelSource, entry_name: str) -> Sequence[Entry]:
    if source.traced is not None:
        return source.traced.entries
    import torch

    file = io.BytesIO(source.read()) if source.path is None else source.path
    try:
        program = torch.export.load(file)
    except Exception as error:
        raise CompileError(
            f"{source.label} cannot be read by torch.export.load of torch {torch.__version__}: {_one_line(error)}",
            location=source.label,
        ) from error
    return (Entry(entry_name, program),)


def _exported(entry: Entry, label: str) -> Any:
    import torch

    if isinstance(entry.program, torch.export.ExportedProgram):
        if entry.has_inputs:
            raise UsageError(f"{label} is exported already; it takes no example inputs and no dynamic_shapes")
        return entry.program
    if not entry.has_inputs:
        raise UsageError(
            f"{label}: a PyTorch module is compiled with example inputs: webree.compile(module, (tensor, …)); "
            "for a module without inputs give ()"
        )
    inputs, keywords = _as_tensors((entry.inputs, dict(entry.keywords)))
    try:
        module = _as_module(entry, inputs, keywords, label)
        with _put_back(module):
            program = torch.export.export(module, inputs, keywords, dynamic_shapes=entry.dynamic_shapes)
    except WebreeError:
        raise
    except Exception as error:
        raise CompileError(
            f"torch.export.export cannot capture {label}: {_one_line(error)}", location=label, unsupported=True
        ) from error
    from webree.compiler.frontends.torch_importer import hold_constants

    hold_constants(program)
    return program


def _as_module(entry: Entry, inputs: tuple[Any, ...], keywords: dict[str, Any], label: str) -> Any:
    """torch.export takes modules only. A module's method becomes the `forward` of one; any other function is traced
    with the modules and optimisers that it refers to, so that it can change them."""
    import torch

    from webree.compiler.frontends.torch_steps import find_objects, traced_step

    program = entry.program
    if isinstance(program, torch.nn.Module):
        return program
    owner = getattr(program, "__self__", None)
    if not isinstance(owner, torch.nn.Module):
        modules, optimizers = find_objects(program)
        if modules or optimizers:
            if entry.dynamic_shapes is not None:
                raise UsageError(f"{label}: dynamic_shapes is for modules and their methods; this is a function")
            return traced_step(program, inputs, keywords, modules, optimizers, label)

    class Function(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            if isinstance(owner, torch.nn.Module):
                self.owner = owner

        def forward(self, *inputs: Any, **keywords: Any) -> Any:
            return program(*inputs, **keywords)

    with suppress(TypeError, ValueError):  # what has none keeps ours; inputs get their names, dynamic_shapes its keys
        parameters = inspect.signature(program).parameters.values()
        this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        Function.forward.__signature__ = inspect.Signature([this, *parameters])  # type: ignore[attr-defined]
    return Function().train(getattr(owner, "training", False))


@contextmanager
def _put_back(module: Any) -> Iterator[None]:
    """torch.export computes at once what needs only tensors that a module holds in plain objects (it adds to a cache's
    counter, say). They get the values that they had."""
    import torch

    saved = [(tensor, tensor.detach().clone()) for tensor in _loose_tensors(module)]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in saved:
                tensor.copy_(value)


def _loose_tensors(root: Any) -> list[Any]:
    """Tensors in lists, dictionaries and plain objects that the submodules have as attributes."""
    import torch

    found: dict[int, Any] = {}
    own = {"_parameters", "_buffers", "_modules"}
    waiting = [value for part in root.modules() for name, value in vars(part).items() if name not in own]
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, torch.nn.Module | type | ModuleType) or callable(value):
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor):
            found[id(value)] = value
        elif isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif not isinstance(value, torch.device) and hasattr(value, "__dict__"):
            waiting += vars(value).values()
    return list(found.values())


def _as_tensors(values: Any) -> Any:
    """NumPy arrays among the inputs stand for tensors."""
    import numpy
    import torch
    from torch.utils import _pytree

    def convert(leaf: Any) -> Any:
        return torch.from_numpy(leaf) if isinstance(leaf, numpy.ndarray) else leaf

    return _pytree.tree_map(convert, values)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:1000]}"
