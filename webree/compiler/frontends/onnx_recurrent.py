"""Rules for RNN, GRU and LSTM in the forms that the importer does not take: other directions and functions, peepholes,
clipping, sequences of different lengths, batches first; and the LSTM with weights of 8 bits that ONNX Runtime makes.

Enters: a node of known sizes. Leaves: one product for the inputs of all steps, and a Loop over the steps in each
direction.
Sources: https://onnx.ai/onnx/operators/onnx__LSTM.html, …/onnx__GRU.html, …/onnx__RNN.html,
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.DynamicQuantizeLSTM
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from webree.compiler.frontends.onnx_builder import Builder, attributes_of
from webree.compiler.frontends.onnx_quantized import quantized_product
from webree.compiler.frontends.onnx_values import Value, concat, constant, value_of, where
from webree.errors import CompileError

__all__ = ["RULES", "quantized_lstm"]

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_FUNCTIONS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
_STATES = {"RNN": 1, "GRU": 1, "LSTM": 2}
_ALPHA = {"leakyrelu": 0.01, "thresholdedrelu": 1.0, "scaledtanh": 1.0, "hardsigmoid": 0.2, "elu": 1.0, "affine": 1.0}
_BETA = {"scaledtanh": 1.0, "hardsigmoid": 0.5}

Function = Callable[[Value], Value]


@dataclass(frozen=True)
class _Direction:
    """One direction of the layer.

    Attributes:
        inputs: what each step adds to the gates: step, batch, gates times hidden size.
        recurrent: weights from the hidden state to the gates, transposed.
        scale: of `recurrent` where that is of 8 bits: one, or one of each column. And `zero`, its zero point.
        bias: of the recurrent product, or None (part of `inputs` where the operator allows it).
        peepholes: of input, output and forget gate, or none.
        functions: of the gates.
        states: hidden state, and an LSTM's cell.
        backwards: from the last step to the first.
    """

    inputs: Value
    recurrent: Value
    scale: Value | None
    zero: Value | None
    bias: Value
    peepholes: list[Value]
    functions: list[Function]
    states: list[Value]
    backwards: bool


def _recurrent(node: Any, build: Builder) -> list[str] | None:
    attributes = attributes_of(node)
    names = [*node.input, *[""] * 12][:12]
    shape, hidden = build.static_shape_of(names[0]), attributes.get("hidden_size")
    weights = build.static_shape_of(names[2])
    if shape is None or weights is None or _is_plain(node, attributes, names, build):
        return None
    return _layer(node.op_type, attributes, names, (*shape, hidden or weights[2]), weights[0], build)


def quantized_lstm(node: Any, build: Builder) -> list[str] | None:
    """Weights of 8 bits; what they are multiplied with is quantised as a whole, in each step anew."""
    names = [*node.input, *[""] * 12][:12]
    shape, weights = build.static_shape_of(names[0]), build.static_shape_of(names[2])
    if shape is None or weights is None:
        if build.settled:
            raise CompileError(
                f"node {node.name!r} (com.microsoft.{node.op_type}): the sizes of its input must be known at compile "
                f"time. Bind the model's open dimensions (dims={{name: size}}, --dim NAME=SIZE)",
                op=f"com.microsoft.{node.op_type}",
                location=node.name,
                unsupported=True,
            )
        return None
    return _layer("LSTM", attributes_of(node), names, (*shape, weights[1]), weights[0], build)


def _layer(
    op_type: str,
    attributes: dict[str, Any],
    names: Sequence[str],
    sizes: tuple[int, ...],
    count: int,
    build: Builder,
) -> list[str]:
    """All directions, `count` of them. sizes: of the input, and the hidden size."""
    *shape, _, hidden = sizes
    layout = attributes.get("layout", 0)
    source = value_of(build, names[0])
    source = source.transpose(1, 0, 2) if layout else source
    steps, batch = (shape[1], shape[0]) if layout else (shape[0], shape[1])
    lengths = value_of(build, names[4]).cast("int32").reshape(batch, 1) if names[4] else None
    directions = [
        _direction(build, op_type, attributes, names, number, source, (steps, batch, hidden)) for number in range(count)
    ]
    rows, finals = [], []
    for direction in directions:
        row, final = _run(build, op_type, attributes, direction, lengths, (steps, batch, hidden))
        rows.append(row.unsqueeze(1))
        finals.append([state.unsqueeze(0) for state in final])
    result = concat(rows, 1)  # step, direction, batch, hidden
    states = [concat(list(parts), 0) for parts in zip(*finals, strict=True)]  # direction, batch, hidden
    if layout:
        result = result.transpose(2, 0, 1, 3)
        states = [state.transpose(1, 0, 2) for state in states]
    return [result.name, *(state.name for state in states)]


def _is_plain(node: Any, attributes: dict[str, Any], names: Sequence[str], build: Builder) -> bool:
    """Whether the importer's own conversion is right for this node."""
    given = [name.lower() for name in _texts(attributes.get("activations", []))]
    usual = [name.lower() for name in _FUNCTIONS[node.op_type]]
    special = attributes.get("clip", 0) or attributes.get("input_forget", 0) or (given and given != usual)
    return not special and attributes.get("direction", "forward") == "forward" and not names[4] and not names[7]


def _texts(values: Sequence[Any]) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _direction(
    build: Builder,
    op_type: str,
    attributes: dict[str, Any],
    names: Sequence[str],
    number: int,
    source: Value,
    sizes: tuple[int, int, int],
) -> _Direction:
    import numpy

    steps, batch, hidden = sizes
    gates = _GATES[op_type]

    def part(name: str) -> Value:
        return value_of(build, name).item(0, number).squeeze(0)

    both = part(names[3]) if names[3] else constant(build, numpy.zeros(2 * gates * hidden), source.kind)
    flat = source.reshape(steps * batch, -1)
    scales = [part(name) if name else None for name in names[8:]]
    quantized = scales[0] is not None and scales[2] is not None
    weights = [part(name) if quantized else part(name).transpose(1, 0) for name in names[1:3]]
    inputs = _product(build, flat, weights[0], scales[0], scales[1]) + both.slice(0, 0, gates * hidden)
    states = []
    for name in (names[5], names[6])[: _STATES[op_type]]:
        if not name:
            states.append(constant(build, numpy.zeros((batch, hidden)), source.kind))
        elif attributes.get("layout", 0):
            states.append(value_of(build, name).item(1, number).squeeze(1))
        else:
            states.append(part(name))
    peepholes = [part(names[7]).slice(0, i * hidden, (i + 1) * hidden) for i in range(3)] if names[7] else []
    count = len(_FUNCTIONS[op_type])
    given = _texts(attributes.get("activations", [])) or list(_FUNCTIONS[op_type]) * (number + 1)
    alphas, betas = (list(attributes.get(f"activation_{letter}", [])) for letter in ("alpha", "beta"))
    functions = []
    for index, name in enumerate(given):
        function = _function(name.lower(), alphas, betas)
        if number * count <= index < (number + 1) * count:
            functions.append(_clipped(function, attributes.get("clip", 0.0)))
    backwards = number == 1 or attributes.get("direction", "forward") == "reverse"
    return _Direction(
        inputs.reshape(steps, batch, gates * hidden),
        weights[1],
        scales[2],
        scales[3],
        both.slice(0, gates * hidden, 2 * gates * hidden),
        peepholes,
        functions,
        states,
        backwards,
    )


def _product(build: Builder, rows: Value, weights: Value, scale: Value | None, zero: Value | None) -> Value:
    if scale is None:
        return rows.make("MatMul", weights)
    return quantized_product(build, rows, weights, scale, zero)


def _clipped(function: Function, limit: float) -> Function:
    return (lambda value: function(value.clip(-limit, limit))) if limit else function


def _function(name: str, alphas: list[float], betas: list[float]) -> Function:
    """An activation; takes its parameters from the front of the lists, as the standard counts them."""
    alpha = alphas.pop(0) if name in _ALPHA and alphas else _ALPHA.get(name, 0.0)
    beta = betas.pop(0) if name in (*_BETA, "affine") and betas else _BETA.get(name, 0.0)
    table: dict[str, Function] = {
        "affine": lambda x: x * alpha + beta,
        "leakyrelu": lambda x: where(x < 0, x * alpha, x),
        "thresholdedrelu": lambda x: where(x < alpha, 0 * x, x),
        "scaledtanh": lambda x: (x * beta).make("Tanh") * alpha,
        "hardsigmoid": lambda x: (x * alpha + beta).clip(0, 1),
        "elu": lambda x: where(x < 0, (x.make("Exp") - 1) * alpha, x),
    }
    plain = {"tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu", "softsign": "Softsign", "softplus": "Softplus"}
    return table[name] if name in table else lambda x: x.make(plain[name])


def _run(
    build: Builder,
    op_type: str,
    attributes: dict[str, Any],
    direction: _Direction,
    lengths: Value | None,
    sizes: tuple[int, int, int],
) -> tuple[Value, list[Value]]:
    """All steps: the hidden state after each, and the states after the last."""
    from onnx import TensorProto, helper

    steps, batch, hidden = sizes
    prefix = f"{direction.inputs.name}/loop"
    body = Builder.within(build, prefix)
    number = Value(body, f"{prefix}/round", "int64")
    position = (steps - 1) - number if direction.backwards else number
    before = [Value(body, f"{prefix}/state_{index}", state.kind) for index, state in enumerate(direction.states)]
    inputs = direction.inputs.on(body).gather(position.reshape(1), 0).squeeze(0)
    after = _STEPS[op_type](attributes, direction, inputs, before, hidden, body)
    row = after[0]
    if lengths is not None:
        goes_on = position.cast("int32") < lengths.on(body)
        row = where(goes_on, after[0], after[0] * 0)
        after = [where(goes_on, new, old) for new, old in zip(after, before, strict=True)]
    truth = Value(body, f"{prefix}/condition", "bool").make("Identity")
    row = row.make("Identity")
    kind = helper.np_dtype_to_tensor_dtype(row.kind)
    infos = [helper.make_tensor_value_info(state.name, kind, [batch, hidden]) for state in before]
    given = [
        helper.make_tensor_value_info(number.name, TensorProto.INT64, []),
        helper.make_tensor_value_info(f"{prefix}/condition", TensorProto.BOOL, []),
        *infos,
    ]
    made = [helper.make_tensor_value_info(truth.name, TensorProto.BOOL, [])]
    made += [helper.make_tensor_value_info(value.name, kind, [batch, hidden]) for value in (*after, row)]
    graph = helper.make_graph(body.nodes, prefix, given, made, body.initializers)
    rounds, always = build.constant(steps, "int64"), build.constant(True, "bool")
    states = [state.name for state in direction.states]
    results = build.ops("Loop", rounds, always, *states, outputs=len(states) + 1, body=graph)
    *finals, rows = (Value(build, name, row.kind) for name in results)
    if direction.backwards:
        rows = rows.gather(constant(build, list(range(steps))[::-1], "int64"), 0)
    return rows, finals


def _gate(value: Value, number: int, hidden: int) -> Value:
    return value.slice(1, number * hidden, (number + 1) * hidden)


def _rnn_step(
    _: dict[str, Any], direction: _Direction, inputs: Value, states: Sequence[Value], hidden: int, body: Builder
) -> list[Value]:
    product = states[0].make("MatMul", direction.recurrent.on(body)) + direction.bias.on(body)
    return [direction.functions[0](inputs + product)]


def _gru_step(
    attributes: dict[str, Any],
    direction: _Direction,
    inputs: Value,
    states: Sequence[Value],
    hidden: int,
    body: Builder,
) -> list[Value]:
    state, bias, weights = states[0], direction.bias.on(body), direction.recurrent.on(body)
    product = state.make("MatMul", weights) + bias
    update = direction.functions[0](_gate(inputs, 0, hidden) + _gate(product, 0, hidden))
    reset = direction.functions[0](_gate(inputs, 1, hidden) + _gate(product, 1, hidden))
    if attributes.get("linear_before_reset", 0):
        recurrent = reset * _gate(product, 2, hidden)
    else:
        last = weights.slice(1, 2 * hidden, 3 * hidden)
        recurrent = (reset * state).make("MatMul", last) + bias.slice(0, 2 * hidden, 3 * hidden)
    new = direction.functions[1](_gate(inputs, 2, hidden) + recurrent)
    return [(1 - update) * new + update * state]


def _lstm_step(
    attributes: dict[str, Any],
    direction: _Direction,
    inputs: Value,
    states: Sequence[Value],
    hidden: int,
    body: Builder,
) -> list[Value]:
    """Gates in the order input, output, forget, cell; peepholes in the order input, output, forget."""
    state, cell = states
    given = (direction.recurrent, direction.scale, direction.zero)
    weights, scale, zero = (None if value is None else value.on(body) for value in given)
    assert weights is not None
    sums = inputs + _product(body, state, weights, scale, zero) + direction.bias.on(body)
    parts = [_gate(sums, number, hidden) for number in range(4)]
    eyes = [peephole.on(body) for peephole in direction.peepholes]
    sigma, squash, final = direction.functions
    enter = sigma(parts[0] + eyes[0] * cell if eyes else parts[0])
    forget = sigma(parts[2] + eyes[2] * cell if eyes else parts[2])
    if attributes.get("input_forget", 0):
        enter = 1 - forget
    new_cell = forget * cell + enter * squash(parts[3])
    leave = sigma(parts[1] + eyes[1] * new_cell if eyes else parts[1])
    return [leave * final(new_cell), new_cell]


_STEPS: dict[str, Callable[..., list[Value]]] = {"RNN": _rnn_step, "GRU": _gru_step, "LSTM": _lstm_step}

RULES: dict[str, Callable[[Any, Builder], list[str] | None]] = {name: _recurrent for name in _GATES}
