"""A subgraph of a TensorFlow Lite model -> the text of a function.

Enters: a `ModelInfo`. Leaves: MLIR text of functions and of the variables' globals. Operators are lowered in order by
the rules of tflite_*.py; this file holds what concerns several of them: constants, variables (state between calls),
IF and WHILE, and the checks of results against what the file says of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from webree.compiler.frontends import (
    tflite_elementwise,
    tflite_gather,
    tflite_layout,
    tflite_matrix,
    tflite_spatial,
    tflite_spectral,
)
from webree.compiler.frontends.tflite_body import literal
from webree.compiler.frontends.tflite_custom import RULES as CUSTOM_RULES
from webree.compiler.frontends.tflite_emit import ATTRIBUTE, Emitter
from webree.compiler.frontends.tflite_file import Array, ModelInfo, OperatorInfo, SubgraphInfo, TensorInfo
from webree.compiler.frontends.tflite_folding import densify
from webree.compiler.frontends.tflite_operator import Operator, Rule
from webree.compiler.frontends.tflite_recurrent import lower_lstm
from webree.compiler.frontends.tflite_values import Size, Value, is_unsigned, tensor_type
from webree.errors import CompileError

__all__ = ["RULES", "SUPPORTED", "Graph"]

RULES: dict[str, Rule] = {
    **tflite_elementwise.RULES,
    **tflite_layout.RULES,
    **tflite_gather.RULES,
    **tflite_matrix.RULES,
    **tflite_spatial.RULES,
    **tflite_spectral.RULES,
}

_LSTM = "UNIDIRECTIONAL_SEQUENCE_LSTM"
_SPECIAL = ("CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "IF", "WHILE", _LSTM)
SUPPORTED = (*sorted([*RULES, *_SPECIAL]), *CUSTOM_RULES)

_MAX_NESTING = 16


@dataclass
class _Variable:
    """A tensor that keeps its elements between calls."""

    symbol: str
    value: Value | None = None
    initial: Array | None = None


class Graph:
    """Writes the functions of one model.

    Attributes:
        emitter: what has been written so far.
    """

    def __init__(self, model: ModelInfo, label: str) -> None:
        self.emitter = Emitter()
        self._model = model
        self._label = label
        self._variables: dict[str, _Variable] = {}
        self._nesting: list[int] = []
        self._strict = True

    def function(
        self, name: str, subgraph: SubgraphInfo, shapes: dict[int, tuple[int, ...]], outputs: Sequence[int]
    ) -> None:
        """Write a subgraph as a public function. `shapes`: of inputs, by tensor, -1 for sizes known at run time."""
        emitter = self.emitter
        emitter.location = name
        self._strict = all(shape == subgraph.tensors[index].shape for index, shape in shapes.items())
        inputs = [subgraph.tensors[index] for index in subgraph.inputs]
        arguments = [f"%arg{position}" for position in range(len(inputs))]
        with emitter.collected() as lines:
            values = [
                self._argument(argument, info, shapes[info.index])
                for argument, info in zip(arguments, inputs, strict=True)
            ]
            results = self.convert(subgraph, values, outputs)
            emitter.location = name
            names, kinds = zip(*[self._result(value) for value in results], strict=True) if results else ((), ())
            joined = ", ".join(kinds)
            emitter.line(f"return {', '.join(names)}{' : ' + joined if joined else ''}")
        signature = ", ".join(
            f"{argument}: {_outer_type(shapes[info.index], info.element.name)}"
            for argument, info in zip(arguments, inputs, strict=True)
        )
        emitter.line(f"func.func @{json.dumps(name)}({signature}) -> ({joined}) {{", located=False)
        emitter.extend(lines)
        emitter.line("}")

    def globals(self) -> list[str]:
        """The variables' lines, to stand beside the functions."""
        lines = []
        for variable in self._variables.values():
            value = variable.value
            if value is None:
                continue
            kind, zero = tensor_type(value.shape, value.dtype), literal(0, value.dtype)
            initial = variable.initial
            mark = ""
            if initial is not None and initial.any():
                mark = f" {{{ATTRIBUTE} = {len(self.emitter.constants)} : i64}}"
                self.emitter.constants.append(initial)
            lines.append(f"util.global private mutable {variable.symbol}{mark} = dense<{zero}> : {kind}")
        return lines

    def _argument(self, argument: str, info: TensorInfo, shape: tuple[int, ...]) -> Value:
        emitter, dtype = self.emitter, info.element.name
        if not info.element.numpy:
            raise self._unreadable(info)
        sizes: list[Size] = []
        for axis, size in enumerate(shape):
            if size >= 0:
                sizes.append(size)
                continue
            index = emitter.index(axis)
            sizes.append(emitter.index_value(f"tensor.dim {argument}, {index} : {_outer_type(shape, dtype)}"))
        name = argument
        if is_unsigned(dtype):
            name = emitter.bitcast(argument, tuple(sizes), dtype, dtype[1:])
        return Value(name, dtype, tuple(sizes), info.quantization, None, info.name)

    def _result(self, value: Value) -> tuple[str, str]:
        name, kind = self.emitter.name(value), self.emitter.type_of(value)
        if is_unsigned(value.dtype):
            outer = kind.replace(f"{value.dtype[1:]}>", f"{value.dtype}>")
            return self.emitter.bitcast(name, value.shape, value.dtype[1:], value.dtype), outer
        return name, kind

    def _unreadable(self, info: TensorInfo) -> CompileError:
        where = f"tensor {info.name!r}"
        return CompileError(
            f"{self._label}: {where} has the element type {info.element.title}, which is not supported; supported are "
            "floats of 16, 32 and 64 bits, integers of 8 to 64 bits (INT4 as constants) and BOOL",
            location=where,
            unsupported=True,
        )

    # Operators

    def convert(self, subgraph: SubgraphInfo, inputs: Sequence[Value], outputs: Sequence[int]) -> list[Value]:
        """Lower all operators of a subgraph; returns the values of the tensors `outputs`."""
        if len(self._nesting) >= _MAX_NESTING or subgraph.index in self._nesting:
            raise CompileError(
                f"{self._label} is damaged: subgraph {subgraph.index} calls itself", location=self._label
            )
        if len(inputs) != len(subgraph.inputs):
            raise CompileError(
                f"{self._label} is damaged: subgraph {subgraph.index} takes {len(subgraph.inputs)} inputs and gets "
                f"{len(inputs)}",
                location=self._label,
            )
        self._nesting.append(subgraph.index)
        values = dict(zip(subgraph.inputs, inputs, strict=True))
        for info in subgraph.operators:
            self._operator(subgraph, info, values)
        self._nesting.pop()
        return [self._value(subgraph, index, values, "the results") for index in outputs]

    def _operator(self, subgraph: SubgraphInfo, info: OperatorInfo, values: dict[int, Value]) -> None:
        outputs = [subgraph.tensors[index] for index in info.outputs]
        op = Operator(self.emitter, info, [], outputs, self._label)
        self.emitter.location = op.place
        try:
            op.inputs = [None if index < 0 else self._value(subgraph, index, values, op.place) for index in info.inputs]
            results = self._lower(subgraph, op)
        except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            # Whatever a rule does with an operator whose inputs have ranks and types that no converter writes.
            found = (subgraph.tensors[index] for index in info.inputs if index >= 0)
            kinds = ", ".join(f"{tensor.element.title} {[*tensor.shape]}" for tensor in found)
            raise op.invalid(f"its inputs ({kinds or 'none'}) do not fit it or its options") from error
        for index, value in zip(info.outputs, results, strict=False):
            values[index] = self._checked(op, subgraph.tensors[index], value)

    def _lower(self, subgraph: SubgraphInfo, op: Operator) -> list[Value]:
        name = op.info.name
        if name in _SPECIAL:
            special = {"IF": self._if, "WHILE": self._while, "CALL_ONCE": self._call_once, _LSTM: self._lstm}
            return special[name](op) if name in special else self._variable(op)
        if name == "DENSIFY":
            info = subgraph.tensors[op.info.inputs[0]]
            return [self.emitter.constant(densify(op, info), info.element.name, info.name, info.quantization)]
        rule = (CUSTOM_RULES if op.info.code == _CUSTOM else RULES).get(name)
        if rule is None:
            kind = "custom operator" if op.info.code == _CUSTOM else f"builtin operator {op.info.code}"
            raise op.fail(f"{name} ({kind}) is not supported; docs/tflite.md lists those that are")
        found = rule(op)
        return found if isinstance(found, list) else [found]

    def _value(self, subgraph: SubgraphInfo, index: int, values: dict[int, Value], what: str) -> Value:
        if index in values:
            return values[index]
        info = subgraph.tensors[index]
        if info.data is None:
            if info.is_variable and info.element.numpy:  # state of a recurrent layer: see _lstm
                return Value("", info.element.name, info.shape, None, None, f"tensor {subgraph.index}/{index}")
            if info.element.title == "RESOURCE":
                return Value("", "resource", (), None, None, info.name)
            if not info.element.numpy:
                raise self._unreadable(info)
            raise CompileError(
                f"{self._label} is damaged: {what} needs the tensor {info.name!r}, which nothing computes before",
                location=self._label,
            )
        values[index] = self.emitter.constant(info.data, info.element.name, info.name, info.quantization)
        return values[index]

    def _checked(self, op: Operator, info: TensorInfo, value: Value) -> Value:
        """The result, if its type is the one that the file states. Shapes of intermediate tensors are not kept up to
        date by converters where a size is open."""
        if value.dtype == "resource":
            return value
        if value.dtype != info.element.name:
            raise op.invalid(f"its result would be {value.dtype}, and the file says {info.element.title}")
        if self._strict and info.shape and value.is_static and -1 not in info.shape and value.shape != info.shape:
            raise op.invalid(f"its result would have the shape {[*value.shape]}, and the file says {[*info.shape]}")
        return Value(value.ssa, value.dtype, value.shape, info.quantization, value.data, info.name, value.imaginary)

    # Variables

    def _call_once(self, op: Operator) -> list[Value]:
        """The subgraph that initialises variables: its constants become their initial elements."""
        subgraph = self._subgraph(op, op.options["subgraph"])
        self._nesting.append(subgraph.index)
        values: dict[int, Value] = {}
        for info in subgraph.operators:
            if info.name not in ("VAR_HANDLE", "ASSIGN_VARIABLE"):
                raise op.fail(f"variables that are initialised by {info.name} are not supported; constants are")
            self._operator(subgraph, info, values)
        self._nesting.pop()
        return []

    def _variable(self, op: Operator) -> list[Value]:
        emitter, name = self.emitter, op.info.name
        if name == "VAR_HANDLE":
            key = f"{op.options['container']}/{op.options['shared_name']}"
            self._variables.setdefault(key, _Variable(f"@variable_{len(self._variables)}"))
            return [Value("", "resource", (), None, None, key)]
        variable = self._variables.get(op.value(0).label)
        if variable is None:
            raise op.fail("its variable does not come from a VAR_HANDLE of the same subgraph")
        if name == "ASSIGN_VARIABLE":
            value = op.value(1)
            if not value.is_static:
                raise op.fail(
                    "a variable whose sizes are known only at run time is not supported; bind them with --dim"
                )
            self._declare(op, variable, value)
            if len(self._nesting) > 1 and value.constant is not None and variable.initial is None:
                variable.initial = value.constant
            else:
                emitter.line(f"util.global.store {emitter.name(value)}, {variable.symbol} : {emitter.type_of(value)}")
            return []
        info = op.outputs[0]
        if -1 in info.shape:
            raise op.fail("a variable whose sizes are known only at run time is not supported")
        value = Value("", info.element.name, info.shape, info.quantization)
        self._declare(op, variable, value)
        return [emitter.result(f"util.global.load {variable.symbol} :", info.shape, value.dtype, info.quantization)]

    def _lstm(self, op: Operator) -> list[Value]:
        """State and cell are tensors that the file marks as variable: they are globals here, and begin with zeros."""
        emitter = self.emitter
        symbols, values = [], []
        for position in (18, 19):
            tensor = op.value(position)
            if not tensor.label.startswith("tensor ") or tensor.ssa or tensor.data is not None:
                raise op.fail(f"its state (input {position}) is no variable tensor")
            variable = self._variables.setdefault(tensor.label, _Variable(f"@variable_{len(self._variables)}"))
            self._declare(op, variable, tensor)
            symbols.append(variable.symbol)
            values.append(emitter.result(f"util.global.load {variable.symbol} :", tensor.shape, "f32"))
        outputs, *states = lower_lstm(op, *values)
        for symbol, value in zip(symbols, states, strict=True):
            emitter.line(f"util.global.store {value.ssa}, {symbol} : {emitter.type_of(value)}")
        return [outputs]

    def _declare(self, op: Operator, variable: _Variable, value: Value) -> None:
        if variable.value is None:
            variable.value = value
        elif (variable.value.shape, variable.value.dtype) != (value.shape, value.dtype):
            raise op.invalid(
                f"its variable holds {tensor_type(variable.value.shape, variable.value.dtype)}, not "
                f"{tensor_type(value.shape, value.dtype)}"
            )

    # Control flow

    def _subgraph(self, op: Operator, index: int) -> SubgraphInfo:
        if not 0 <= index < len(self._model.subgraphs):
            raise op.invalid(f"it calls subgraph {index}, of {len(self._model.subgraphs)}")
        return self._model.subgraphs[index]

    def _branch(self, op: Operator, index: int, inputs: Sequence[Value]) -> tuple[list[str], list[Value]]:
        """The lines of a subgraph inside a region, and its results, written."""
        emitter, subgraph = self.emitter, self._subgraph(op, index)
        with emitter.collected() as lines:
            found = self.convert(subgraph, inputs, subgraph.outputs)
            emitter.location = op.place
            results = [
                Value(emitter.name(value), value.dtype, value.shape, value.quantization, None, value.label)
                for value in found
            ]
        return lines, results

    def _if(self, op: Operator) -> list[Value]:
        emitter = self.emitter
        condition = self._condition(op.value(0))
        inputs = [op.value(position) for position in range(1, len(op.inputs))]
        sides = [self._branch(op, op.options[name], inputs) for name in ("then", "otherwise")]
        kinds = [[emitter.type_of(value) for value in results] for _, results in sides]
        if kinds[0] != kinds[1] or not kinds[0] or not all(value.is_static for value in sides[0][1]):
            raise op.fail(f"branches with results of the types {kinds[0]} and {kinds[1]} are not supported")
        name, joined = emitter.fresh(), ", ".join(kinds[0])
        emitter.line(f"{name}:{len(kinds[0])} = scf.if {condition} -> ({joined}) {{", located=False)
        for number, (lines, results) in enumerate(sides):
            if number:
                emitter.line("} else {", located=False)
            emitter.extend(lines)
            emitter.line(f"scf.yield {', '.join(value.ssa for value in results)} : {joined}")
        emitter.line("}")
        return [
            Value(f"{name}#{number}", value.dtype, value.shape, value.quantization, None, value.label)
            for number, value in enumerate(sides[0][1])
        ]

    def _condition(self, value: Value) -> str:
        name, kind = self.emitter.name(value), self.emitter.type_of(value)
        places = ", ".join(self.emitter.index(0) for _ in value.shape)
        return self.emitter.op(f"tensor.extract {name}[{places}] : {kind}")

    def _while(self, op: Operator) -> list[Value]:
        emitter = self.emitter
        first = [op.value(position) for position in range(len(op.inputs))]
        kinds = [emitter.type_of(value) for value in first]
        joined = ", ".join(kinds)
        starts = [emitter.name(value) for value in first]
        regions = []
        for name in ("condition", "body"):
            arguments = [Value(emitter.fresh(), value.dtype, value.shape, value.quantization) for value in first]
            regions.append((arguments, *self._branch(op, op.options[name], arguments)))
        (before, tests, answers), (after, steps, results) = regions
        if [emitter.type_of(value) for value in results] != kinds or len(answers) != 1 or not kinds:
            raise op.fail("a loop whose tensors change their types or sizes is not supported")
        name = emitter.fresh()
        pairs = ", ".join(f"{value.ssa} = {start}" for value, start in zip(before, starts, strict=True))
        emitter.line(f"{name}:{len(first)} = scf.while ({pairs}) : ({joined}) -> ({joined}) {{", located=False)
        emitter.extend(tests)
        condition = self._condition(answers[0])
        emitter.line(f"scf.condition({condition}) {', '.join(value.ssa for value in before)} : {joined}")
        emitter.line("} do {", located=False)
        emitter.line(f"^bb0({', '.join(f'{v.ssa}: {k}' for v, k in zip(after, kinds, strict=True))}):", located=False)
        emitter.extend(steps)
        emitter.line(f"scf.yield {', '.join(value.ssa for value in results)} : {joined}")
        emitter.line("}")
        return [
            Value(f"{name}#{number}", value.dtype, value.shape, value.quantization)
            for number, value in enumerate(first)
        ]


_CUSTOM = 32


def _outer_type(shape: tuple[int, ...], dtype: str) -> str:
    sizes = "".join("?x" if size < 0 else f"{size}x" for size in shape)
    return f"tensor<{sizes}{dtype}>"
