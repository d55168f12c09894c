"""Programs of a framework that lives in this process: PyTorch modules, JAX functions.

Enters: what the caller of `compile` gave as source and as examples. Leaves: a `Traced`, or None if the source is no
framework's program. Nothing is imported here: an object is told by the package that its type comes from, and a plain
Python function by the types of its example inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from webree.errors import UsageError

__all__ = ["Entry", "Examples", "Traced", "no_examples", "trace_request"]

_PACKAGES = {"torch": "torch", "jax": "jax", "jaxlib": "jax"}
_TITLES = {"torch": "PyTorch", "jax": "JAX"}


@dataclass(frozen=True, slots=True)
class Examples:
    """What `compile` was given to trace a program by.

    Attributes:
        inputs: a tuple or list of positional inputs, a mapping of keyword inputs, one input, or None.
        keywords: keyword inputs beside positional ones, or None.
        dynamic_shapes: as `torch.export.export` takes it, or None.
    """

    inputs: Any
    keywords: Mapping[str, Any] | None
    dynamic_shapes: Any

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the arguments that are not None."""
        values = {
            "example_inputs": self.inputs,
            "example_keywords": self.keywords,
            "dynamic_shapes": self.dynamic_shapes,
        }
        return tuple(name for name, value in values.items() if value is not None)


@dataclass(frozen=True, slots=True)
class Entry:
    """One function of the module to be.

    Attributes:
        name: of the function; None for the only one, whose name the caller of the front end gives.
        program: the framework's object.
        inputs: positional inputs to trace by.
        keywords: keyword inputs.
        has_inputs: whether the caller gave any, be it an empty tuple.
        dynamic_shapes: of this function, or None.
    """

    name: str | None
    program: Any
    inputs: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)
    has_inputs: bool = False
    dynamic_shapes: Any = None


@dataclass(frozen=True, slots=True)
class Traced:
    """Functions of one framework.

    Attributes:
        framework: `torch` or `jax`, which is the format's name too.
        label: what errors call the model.
        entries: in the caller's order.
    """

    framework: str
    label: str
    entries: tuple[Entry, ...]


def no_examples() -> Examples:
    """For sources that need none."""
    return Examples(None, None, None)


def trace_request(source: Any, examples: Examples) -> Traced | None:
    """The framework's program in `source`, or None. Raises `UsageError` for a mapping that holds none, or for a
    function whose framework nothing tells."""
    if isinstance(source, Mapping):
        return _several(source, examples)
    framework = _framework(source)
    if framework is None and _is_function(source):
        framework = _framework_of_inputs(source, examples)
    if framework is None:
        return None
    return Traced(framework, _label(source), (_entry(None, source, examples),))


def _several(source: Mapping[Any, Any], examples: Examples) -> Traced:
    if examples.given:
        raise UsageError(
            f"a mapping of functions has example inputs of its own, {{name: (function, inputs)}}; found "
            f"{', '.join(examples.given)} beside it"
        )
    entries, frameworks = [], set()
    for name, item in source.items():
        program, *rest = item if isinstance(item, tuple) else (item,)
        if not isinstance(name, str) or not name or len(rest) > 2:
            raise UsageError(
                "several functions are given as {name: (function, inputs)} or {name: (function, inputs, keywords)}; "
                f"found {name!r} with {len(rest) + 1} values"
            )
        own = Examples(rest[0] if rest else None, rest[1] if len(rest) > 1 else None, None)
        framework = _framework(program) or (_framework_of_inputs(program, own) if _is_function(program) else None)
        if framework is None:
            raise UsageError(
                f"{name!r} is a {type(program).__name__}; give a PyTorch module, method or ExportedProgram, or a JAX "
                "function or Exported"
            )
        frameworks.add(framework)
        entries.append(_entry(name, program, own))
    if len(frameworks) != 1:
        found = " and ".join(sorted(_TITLES[item] for item in frameworks)) or "none"
        raise UsageError(f"the functions of one module come from one framework; found {found}")
    return Traced(frameworks.pop(), _label(entries[0].program), tuple(entries))


def _entry(name: str | None, program: Any, examples: Examples) -> Entry:
    inputs, keywords = examples.inputs, dict(examples.keywords or {})
    if isinstance(inputs, Mapping):
        if examples.keywords is not None:
            raise UsageError("keyword inputs are given twice: example_inputs is a mapping, and example_keywords too")
        inputs, keywords = (), dict(inputs)
    elif inputs is None:
        inputs = ()
    elif isinstance(inputs, list | tuple) and not hasattr(inputs, "_fields"):  # a named tuple is one input
        inputs = tuple(inputs)
    else:
        inputs = (inputs,)
    return Entry(name, program, inputs, keywords, bool(examples.given), examples.dynamic_shapes)


def _framework(value: Any) -> str | None:
    """By the packages that the object's type and its bases come from."""
    owner = getattr(value, "__self__", None) if _is_function(value) else None
    for item in (value, owner):
        for base in type(item).__mro__:
            package = getattr(base, "__module__", "").partition(".")[0]
            if package in _PACKAGES:
                return _PACKAGES[package]
    return None


def _framework_of_inputs(function: Callable[..., Any], examples: Examples) -> str:
    for leaf in _leaves((examples.inputs, examples.keywords)):
        if (framework := _framework(leaf)) is not None:
            return framework
    raise UsageError(
        f"the function {_label(function)} is compiled with example inputs of its framework: torch.Tensor for PyTorch, "
        "jax.Array or jax.ShapeDtypeStruct for JAX (or give jax.jit(function))"
    )


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, type)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _label(program: Any) -> str:
    name = getattr(program, "__name__", None) or getattr(program, "fun_name", None)
    return str(name or type(program).__name__)
