"""Plain PyTorch functions that work with modules and optimisers: training steps, as anyone writes them.

Enters: a function, with example inputs, that refers to modules and optimisers (as globals, or as variables or
attributes of what encloses it), calls `backward()` and `optimizer.step()`. Leaves: a module for torch.export whose
buffers are all tensors that the function may read or write: parameters, buffers, and the optimiser's moments, each the
very tensor of the caller, so that functions of one webree module share them. The backward pass is traced below
autograd, as operators.

What is a Python number while tracing (a learning rate, a flag) is a constant of the compiled step. Gradients live for
one call.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import stateless
from torch.utils import _pytree

from webree.errors import CompileError

__all__ = ["find_objects", "traced_step"]

# State that optimisers make in their first step, all zero before it.
_ZERO_STATE = frozenset(
    "step exp_avg exp_avg_sq max_exp_avg_sq momentum_buffer square_avg grad_avg acc_delta exp_inf".split()
)


def find_objects(function: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Modules and optimisers that a function refers to, by the names that it has for them."""
    inner = inspect.unwrap(function)
    while isinstance(inner, functools.partial):
        inner = inner.func
    owner = getattr(inner, "__self__", None)
    found: dict[str, Any] = dict(vars(owner)) if hasattr(owner, "__dict__") else {}
    code = getattr(inner, "__func__", inner)
    if inspect.isfunction(code):
        variables = inspect.getclosurevars(code)
        found |= {**variables.globals, **variables.nonlocals}
    modules = {name: item for name, item in found.items() if isinstance(item, torch.nn.Module)}
    optimizers = {name: item for name, item in found.items() if isinstance(item, torch.optim.Optimizer)}
    return modules, optimizers


def traced_step(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    keywords: Mapping[str, Any],
    modules: Mapping[str, Any],
    optimizers: Mapping[str, Any],
    label: str,
) -> Any:
    """The function as a module with the state in its buffers. Raises what tracing raises, and `CompileError` for an
    optimiser whose state is unknown."""
    for optimizer in optimizers.values():
        _make_state(optimizer, label)
    state = _state(modules, optimizers)
    flags = [(module, module.training) for root in modules.values() for module in root.modules()]
    try:
        graph = make_fx(
            functools.partial(_call, function, state, modules, optimizers),
            tracing_mode="fake",
            _allow_non_fake_inputs=True,
        )([tensor.detach() for tensor in state.values()], tuple(inputs), dict(keywords))
    finally:
        for module, flag in flags:
            module.training = flag
    return _Step(graph, state)


class _Step(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, graph: Any, state: Mapping[str, Any]) -> None:
        super().__init__()
        self._graph = graph
        self._names = []
        for name, tensor in state.items():
            self._names.append(name.replace(".", "_"))
            self.register_buffer(self._names[-1], tensor.detach())

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        return self._graph([getattr(self, name) for name in self._names], inputs, keywords)


def _make_state(optimizer: Any, label: str) -> None:
    """An optimiser makes its state in its first step. Take one without gradients, and put everything back."""
    if optimizer.state:
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    saved = [(parameter, parameter.detach().clone(), parameter.grad) for parameter in parameters]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for parameter, value, gradient in saved:
        parameter.data.copy_(value)
        parameter.grad = gradient
    for state in optimizer.state.values():
        for name, tensor in state.items():
            if tensor is None:
                continue
            if name not in _ZERO_STATE or not isinstance(tensor, torch.Tensor):
                raise CompileError(
                    f"{label}: the state {name!r} of {type(optimizer).__name__} is not known to be zero in the "
                    "beginning; call the optimiser's step() once before compiling, and it goes on from there",
                    location=label,
                    unsupported=True,
                )
            tensor.zero_()


def _state(modules: Mapping[str, Any], optimizers: Mapping[str, Any]) -> dict[str, Any]:
    """All tensors by name, each once."""
    found: dict[int, tuple[str, Any]] = {}
    for owner, module in modules.items():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            found.setdefault(id(tensor), (f"{owner}.{name}", tensor))
    for owner, optimizer in optimizers.items():
        for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
            name, _ = found.setdefault(id(parameter), (f"{owner}.parameter{len(found)}", parameter))
            for key, tensor in optimizer.state.get(parameter, {}).items():
                if isinstance(tensor, torch.Tensor):
                    found.setdefault(id(tensor), (f"{owner}.{name}.{key}", tensor))
    return dict(found.values())


def _call(
    function: Callable[..., Any],
    state: Mapping[str, Any],
    modules: Mapping[str, Any],
    optimizers: Mapping[str, Any],
    values: Sequence[Any],
    inputs: tuple[Any, ...],
    keywords: Mapping[str, Any],
) -> Any:
    """Call the function with `values` in the place of the tensors of `state`."""
    traced = {
        id(tensor): value.detach().requires_grad_() if tensor.requires_grad else value
        for tensor, value in zip(state.values(), values, strict=True)
    }
    with contextlib.ExitStack() as stack:
        for module in modules.values():
            tensors = dict((*module.named_parameters(), *module.named_buffers()))
            replaced = {name: traced[id(tensor)] for name, tensor in tensors.items()}
            stack.enter_context(stateless._reparametrize_module(module, replaced))
        for optimizer in optimizers.values():
            stack.enter_context(_replaced(optimizer, traced))
        # Optimisers then keep the step number in a tensor on the CPU as well, without asking for its value.
        stack.enter_context(mock.patch("torch.compiler.is_compiling", return_value=True))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))  # the only one whose gradient is made of other operators
        result = function(*inputs, **keywords)
        return _pytree.tree_map(lambda leaf: leaf.detach() if isinstance(leaf, torch.Tensor) else leaf, result)


@contextlib.contextmanager
def _replaced(optimizer: Any, traced: Mapping[int, Any]) -> Iterator[None]:
    """The optimiser over the traced tensors, and then as it was."""
    groups = [dict(group) for group in optimizer.param_groups]
    state = optimizer.state
    try:
        optimizer.state = type(state)(dict)
        for group in optimizer.param_groups:
            group["params"] = [traced[id(parameter)] for parameter in group["params"]]
            if "capturable" in group:
                group["capturable"] = True
        for parameter, values in state.items():
            replaced = {key: traced.get(id(value), value) for key, value in values.items()}
            optimizer.state[traced[id(parameter)]] = replaced
        yield
    finally:
        optimizer.state = state
        for group, before in zip(optimizer.param_groups, groups, strict=True):
            group.update(before)
