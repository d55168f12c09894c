"""What the rules of onnx_rewrites.py build with: new nodes and constants, and what is known of a graph's values.

Enters: a graph with shapes inferred. Leaves: nodes of standard operators, in a list in the order of their making.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from webree.compiler.frontends.onnx_graph import value_infos_of
from webree.compiler.frontends.onnx_inline import DOMAIN, PROGRAM

__all__ = ["Builder", "Shape", "attributes_of"]

Shape = list[int | None]
"""Sizes of a value; None: known at run time only."""


def attributes_of(node: Any) -> dict[str, Any]:
    """A node's attributes as Python values; texts as strings."""
    from onnx import helper

    found = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


def _constant_value(attribute: Any) -> Any:
    """What a `Constant` node holds, or None for texts and sparse tensors."""
    import numpy
    from onnx import numpy_helper

    match attribute.name:
        case "value":
            return numpy_helper.to_array(attribute.t)
        case "value_int":
            return numpy.array(attribute.i, numpy.int64)
        case "value_ints":
            return numpy.array(attribute.ints, numpy.int64)
        case "value_float":
            return numpy.array(attribute.f, numpy.float32)
        case "value_floats":
            return numpy.array(attribute.floats, numpy.float32)
    return None


class Builder:
    """Makes nodes for one graph.

    Attributes:
        opset: version of the standard operators.
        nodes: those made since `begin`.
        initializers: constants made since the start.
        value_infos: types of values that ONNX's shape inference cannot know.
        settled: whether nothing else is left to be known of sizes and constants.
    """

    def __init__(self, graph: Any, opset: int, outer: Builder | None = None, *, settled: bool = False) -> None:
        """`outer`: of the graph around this one."""
        from onnx import numpy_helper

        self.opset = opset
        self.settled: bool = outer.settled if outer is not None else settled
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.value_infos: list[Any] = []
        self._prefix = self._name = ""
        self._count = 0
        self._graph = graph
        self._types: dict[str, Any] = dict(outer._types) if outer is not None else {}
        self._types |= {item.name: item.type.tensor_type for item in value_infos_of(graph)}
        self._constants: dict[str, Any] = dict(outer._constants) if outer is not None else {}
        for tensor in graph.initializer:
            self._constants[tensor.name] = numpy_helper.to_array(tensor)
        for node in graph.node:
            if node.op_type == "Constant" and (value := _constant_value(node.attribute[0])) is not None:
                self._constants[node.output[0]] = value

    @classmethod
    def within(cls, outer: Builder, prefix: str) -> Builder:
        """For a graph that is made within a node that `outer` makes; `prefix` begins the names of its values."""
        from onnx import GraphProto

        build = cls(GraphProto(), outer.opset, outer)
        build._name, build._prefix = f"{outer._name}/body", prefix
        return build

    def begin(self, node: Any) -> None:
        """The nodes made from now on stand for `node`, and are named after it."""
        self.nodes = []
        self._name = node.name or node.output[0]
        self._prefix = next(name for name in node.output if name)  # values have one maker; names may be there twice
        self._count = 0

    # --- What is known ------------------------------------------------------------------------------------------------

    def constant_of(self, name: str) -> Any:
        """A value as an array, or None if it is known at run time only."""
        return self._constants.get(name)

    def shape_of(self, name: str) -> Shape | None:
        """A value's sizes, or None if not even their number is known."""
        if name in self._constants:
            return list(self._constants[name].shape)
        kind = self._types.get(name)
        if kind is None or not kind.HasField("shape"):
            return None
        return [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]

    def static_shape_of(self, name: str) -> list[int] | None:
        """A value's sizes, or None if one of them is known at run time only."""
        shape = self.shape_of(name)
        return None if shape is None or None in shape else [size for size in shape if size is not None]

    def type_of(self, name: str) -> Any:
        """A value's NumPy type, or None."""
        from onnx import helper

        if name in self._constants:
            return self._constants[name].dtype
        kind = self._types.get(name)
        return helper.tensor_dtype_to_np_dtype(kind.elem_type) if kind is not None and kind.elem_type else None

    def users_of(self, name: str) -> list[Any]:
        """The nodes of this graph that take a value."""
        return [node for node in self._graph.node if name in node.input]

    def maker_of(self, name: str) -> Any:
        """The node of this graph that makes a value, or None."""
        return next((node for node in self._graph.node if name in node.output), None)

    # --- What is made -------------------------------------------------------------------------------------------------

    def op(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """A node; returns the name of its (first) output."""
        return self.ops(op_type, *inputs, outputs=outputs, **attributes)[0]

    def ops(self, op_type: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """A node with several outputs; returns their names."""
        from onnx import helper

        made = [f"{self._prefix}/{op_type}_{self._count}/{index}" for index in range(outputs)]
        name = f"{self._name}/{op_type}_{self._count}"
        self._count += 1
        self.nodes.append(helper.make_node(op_type, list(inputs), made, name=name, **attributes))
        return made

    def program(self, text: str, inputs: Sequence[str], kind: Any, shape: Sequence[int | None]) -> str:
        """The result of an MLIR function over builtin tensors, of this NumPy type and these sizes."""
        from onnx import helper

        made = self.op(PROGRAM, *inputs, domain=DOMAIN, program=text)
        info = helper.make_tensor_value_info(made, helper.np_dtype_to_tensor_dtype(kind), shape)
        self.value_infos.append(info)
        self._types[made] = info.type.tensor_type
        return made

    def constant(self, value: Any, kind: Any = None) -> str:
        """A constant; integers are int64 unless `kind` says otherwise."""
        import numpy
        from onnx import numpy_helper

        array = numpy.asarray(value, kind)
        name = f"{self._prefix}/constant_{self._count}"
        self._count += 1
        self.initializers.append(numpy_helper.from_array(array, name))
        self._constants[name] = array
        return name

    def add_constant(self, name: str, value: Any) -> None:
        """A constant of a given name."""
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(value, name))
        self._constants[name] = value

    def insert(self, node: Any, names: dict[str, str]) -> None:
        """Take a node of another graph as one of those made. `names`: its values here, and gets its results."""
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
        node.name = f"{self._name}/{node.op_type}_{self._count}"
        for index, name in enumerate(node.output):
            if name:
                names[name] = node.output[index] = f"{self._prefix}/{node.op_type}_{self._count}/{index}"
        self._count += 1
        self.nodes.append(node)

    def finish(self, values: Sequence[str], outputs: Sequence[str]) -> None:
        """Give values the names that the rest of the graph knows."""
        from onnx import helper

        for value, output in zip(values, outputs, strict=False):
            if output:
                self.nodes.append(helper.make_node("Identity", [value], [output], name=f"{self._name}/result"))

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        return self.op("Reshape", value, self.constant(list(shape), "int64"))

    def slice(self, value: str, axis: int, start: int, end: int) -> str:
        """Rows `start` to `end` along one axis."""
        bounds = [self.constant([number], "int64") for number in (start, end, axis)]
        return self.op("Slice", value, *bounds)

    def reduce(self, kind: str, value: str, axes: Sequence[int], keepdims: int = 1) -> str:
        """ReduceSum, ReduceMax, …; their axes became an input at different versions."""
        if self.opset >= (13 if kind == "ReduceSum" else 18):
            return self.op(kind, value, self.constant(list(axes), "int64"), keepdims=keepdims)
        return self.op(kind, value, axes=list(axes), keepdims=keepdims)

    def choose(self, conditions: Sequence[str], values: Sequence[str]) -> str:
        """The value whose condition holds; the last one if no other's does."""
        chosen = values[-1]
        for condition, value in reversed(list(zip(conditions, values[:-1], strict=False))):
            chosen = self.op("Where", condition, value, chosen)
        return chosen
