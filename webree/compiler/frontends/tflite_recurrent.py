"""Recurrent layers of TensorFlow Lite: UNIDIRECTIONAL_SEQUENCE_LSTM on floats.

Enters: an `Operator`, and the tensors that hold its state between calls. Leaves: one matrix product for all steps'
inputs, and a loop on the host with one product for the state in each step. As in the interpreter, the state goes on
from call to call; a module that is loaded anew starts from zeros.
Source: https://www.tensorflow.org/mlir/tfl_ops#tflunidirectional_sequence_lstm_tflunidirectionalsequencelstmop
"""

from __future__ import annotations

from collections.abc import Sequence

from webree.compiler.frontends.tflite_body import Body, Scalar
from webree.compiler.frontends.tflite_operator import Operator, activate
from webree.compiler.frontends.tflite_values import Dim, Size, Value

__all__ = ["lower_lstm"]

_INPUT_WEIGHTS, _STATE_WEIGHTS, _PEEPHOLES, _BIASES = range(1, 5), range(5, 9), range(9, 12), range(12, 16)
_PROJECTION, _PROJECTION_BIAS, _STATE, _CELL, _NORMS = 16, 17, 18, 19, range(20, 24)


def lower_lstm(op: Operator, state: Value, cell: Value) -> tuple[Value, Value, Value]:
    """The outputs of all steps, the last output and the last cell. `state` and `cell` are those to begin with."""
    if any(op.has(position) for position in (*_PEEPHOLES, *_NORMS)):
        raise op.fail("peepholes and layer normalisation are not supported")
    if any(value is not None and value.dtype not in ("f32", "i8", "ui8") for value in op.inputs[:18]):
        raise op.fail("element types other than f32 are not supported")
    emitter, value = op.emitter, op.rank(op.real(op.value(0)), 3)
    if op.options["time_major"]:
        value = emitter.transpose(value, [1, 0, 2])
    batch, steps, width = value.shape[0], value.shape[1], op.static(value, 2, "the number of inputs")
    units = op.static(op.value(2), 0, "the number of units")
    gates = [position for position in range(4) if position or op.has(1)]  # without an input gate: 1 - forget gate
    flat = emitter.reshape(value, [batch * steps, width])
    weights, recurrent = (_stacked(op, gates, positions) for positions in (_INPUT_WEIGHTS, _STATE_WEIGHTS))
    count = units * len(gates)
    inputs = emitter.reshape(_product(op, flat, weights, count), [batch, steps, count])
    bias = _joined(op, [op.real(op.value(_BIASES[gate])) for gate in gates])
    inputs = emitter.generic(
        inputs.shape, "f32", [(inputs, ["d0", "d1", "d2"]), (bias, ["d2"])], lambda b, x, y: b.add(x, y)
    )
    outputs = emitter.filled([batch, steps, op.static(state, 1, "the state")], "f32", 0)
    found = _loop(op, [outputs, state, cell], inputs, lambda row, h, c: _step(op, row, h, c, recurrent, gates))
    every = emitter.transpose(found[0], [1, 0, 2]) if op.options["time_major"] else found[0]
    return every, found[1], found[2]


def _stacked(op: Operator, gates: Sequence[int], positions: range) -> Value:
    """The gates' weights as one matrix, columns by gate."""
    return op.emitter.transpose(_joined(op, [op.real(op.value(positions[gate])) for gate in gates]), [1, 0])


def _joined(op: Operator, values: list[Value]) -> Value:
    rows = sum(op.static(value, 0, "the number of units") for value in values)
    return op.emitter.concatenate(values, 0, [rows, *values[0].shape[1:]])


def _product(op: Operator, left: Value, right: Value, columns: Size) -> Value:
    emitter, shape = op.emitter, [left.shape[0], columns]
    target = emitter.filled(shape, "f32", 0)
    names, kinds = f"{emitter.name(left)}, {emitter.name(right)}", f"{emitter.type_of(left)}, {emitter.type_of(right)}"
    return emitter.result(
        f"linalg.matmul ins({names} : {kinds}) outs({target.ssa} : {emitter.type_of(target)}) ->", shape, "f32"
    )


def _loop(op: Operator, carried: list[Value], inputs: Value, step: object) -> list[Value]:
    """Over the second dimension of `inputs`; `step` makes state and cell of a row, state and cell."""
    assert callable(step)
    emitter, steps = op.emitter, inputs.shape[1]
    kinds = [emitter.type_of(value) for value in carried]
    inner = [Value(emitter.fresh(), "f32", value.shape) for value in carried]
    source, place = emitter.name(inputs), Dim(emitter, emitter.fresh())
    starts = [emitter.name(value) for value in carried]
    ends = [emitter.index(size) for size in (0, steps, 1)]
    with emitter.collected() as lines:
        batch, count = inputs.shape[0], inputs.shape[2]
        whole = Value(source, "f32", inputs.shape)
        row = emitter.reshape(emitter.slice(whole, [0, place, 0], [batch, 1, count], [1, 1, 1]), [batch, count])
        state, cell = step(row, inner[1], inner[2])
        sizes = ", ".join(size.ssa if isinstance(size, Dim) else str(size) for size in (batch, 1, state.shape[1]))
        kind = emitter.type_of(state)
        where = f"{inner[0].ssa}[0, {place.ssa}, 0][{sizes}][1, 1, 1]"
        outputs = emitter.op(f"tensor.insert_slice {state.ssa} into {where} : {kind} into {kinds[0]}")
        emitter.line(f"scf.yield {outputs}, {state.ssa}, {cell.ssa} : {', '.join(kinds)}")
    name = emitter.fresh()
    pairs = ", ".join(f"{value.ssa} = {start}" for value, start in zip(inner, starts, strict=True))
    emitter.line(
        f"{name}:3 = scf.for {place.ssa} = {ends[0]} to {ends[1]} step {ends[2]} iter_args({pairs}) -> "
        f"({', '.join(kinds)}) {{",
        located=False,
    )
    emitter.extend(lines)
    emitter.line("}")
    return [Value(f"{name}#{number}", "f32", value.shape) for number, value in enumerate(carried)]


def _step(
    op: Operator, row: Value, state: Value, cell: Value, recurrent: Value, gates: Sequence[int]
) -> tuple[Value, Value]:
    emitter, units = op.emitter, op.static(cell, 1, "the number of units")
    carried = _product(op, state, recurrent, row.shape[1])
    batch, maps = row.shape[0], ["d0", "d1"]
    total = emitter.generic(row.shape, "f32", [(row, maps), (carried, maps)], lambda b, x, y: b.add(x, y))
    parts = [emitter.slice(total, [0, units * number], [batch, units], [1, 1]) for number in range(len(gates))]
    limit = op.options["cell_clip"]

    def next_cell(b: Body, old: Scalar, *sums: Scalar) -> Scalar:
        forget, fresh = _sigmoid(b, sums[-2]), activate(op, b, sums[-1])
        take = _sigmoid(b, sums[0]) if len(sums) == 3 else b.sub(b.constant(1.0, "f32"), forget)
        new = b.add(b.mul(forget, old), b.mul(take, fresh))
        return b.clamp(new, -limit, limit) if limit > 0 else new

    operands = [(value, maps) for value in [cell, *parts[:-1]]]
    new = emitter.generic(cell.shape, "f32", operands, next_cell)
    hidden = emitter.generic(
        cell.shape, "f32", [(parts[-1], maps), (new, maps)], lambda b, o, c: b.mul(_sigmoid(b, o), activate(op, b, c))
    )
    return _projected(op, hidden), new


def _projected(op: Operator, hidden: Value) -> Value:
    if not op.has(_PROJECTION):
        return hidden
    emitter, weights = op.emitter, op.real(op.value(_PROJECTION))
    result = _product(op, hidden, emitter.transpose(weights, [1, 0]), weights.shape[0])
    maps, limit = ["d0", "d1"], op.options["proj_clip"]
    operands = [(result, maps)]
    if op.has(_PROJECTION_BIAS):
        operands.append((op.real(op.value(_PROJECTION_BIAS)), ["d1"]))

    def finish(b: Body, x: Scalar, *bias: Scalar) -> Scalar:
        x = b.add(x, bias[0]) if bias else x
        return b.clamp(x, -limit, limit) if limit > 0 else x

    return emitter.generic(result.shape, "f32", operands, finish)


def _sigmoid(b: Body, x: Scalar) -> Scalar:
    return b.div(b.constant(1.0, "f32"), b.add(b.math("exp", b.math("negf", x)), 1.0))
