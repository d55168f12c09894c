"""A writer of MLIR text for programs on tensors, as the GGUF front end needs it.

Enters: calls that name operations. Leaves: lines of `linalg`, `tensor`, `arith` and `math`. Nearly everything is a
`linalg.generic` whose loops are letters: `reduce("tnk", "k", [(x, "tk"), (w, "kn")], …)` is a matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Body", "Text", "Value"]


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor: its SSA name, its sizes, its element type."""

    name: str
    shape: tuple[int, ...]
    element: str = "f32"

    @property
    def type(self) -> str:
        """Its MLIR type."""
        sizes = "".join(f"{size}x" for size in self.shape)
        return f"tensor<{sizes}{self.element}>"


class Text:
    """One function's body; `lines` is what was written."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._count = 0

    def op(self, text: str) -> str:
        """An operation with one result; returns its name."""
        self._count += 1
        self.lines.append(f"  %{self._count} = {text}")
        return f"%{self._count}"

    def do(self, text: str) -> None:
        """An operation without a result."""
        self.lines.append(f"  {text}")

    def index(self, number: int) -> str:
        return self.op(f"arith.constant {number} : index")

    def load(self, symbol: str, shape: tuple[int, ...], element: str = "f32") -> Value:
        """The tensor in a global."""
        kind = Value("", shape, element).type
        return Value(self.op(f'util.global.load @"{symbol}" : {kind}'), shape, element)

    def store(self, value: Value, symbol: str) -> None:
        self.do(f'util.global.store {value.name}, @"{symbol}" : {value.type}')

    def empty(self, shape: tuple[int, ...], element: str) -> Value:
        name = self.op(f"tensor.empty() : {Value('', shape, element).type}")
        return Value(name, shape, element)

    def fill(self, shape: tuple[int, ...], element: str, start: str) -> Value:
        scalar = self.op(f"arith.constant {start} : {element}")
        into = self.empty(shape, element)
        name = self.op(f"linalg.fill ins({scalar} : {element}) outs({into.name} : {into.type}) -> {into.type}")
        return Value(name, shape, element)

    def generic(
        self,
        loops: str,
        reductions: str,
        inputs: Sequence[tuple[Value, str]],
        outputs: Sequence[tuple[Value, str]],
        body: Callable[[Body, Sequence[str]], Sequence[str] | str],
    ) -> list[Value]:
        """`linalg.generic`; operands are indexed by the letters of their loops. `body` gets the writer of the inner
        operations and the names of one element of each operand, and returns the names of the results."""
        dims = ", ".join(loops)
        maps = ", ".join(f"affine_map<({dims}) -> ({', '.join(letters)})>" for _, letters in (*inputs, *outputs))
        kinds = ", ".join('"reduction"' if loop in reductions else '"parallel"' for loop in loops)
        operands = [value for value, _ in (*inputs, *outputs)]
        arguments = [f"%e{number}" for number in range(len(operands))]
        inner = Body(self)
        results = body(inner, arguments)
        results = [results] if isinstance(results, str) else list(results)
        self._count += 1
        base = self._count
        count = len(outputs)
        block = ", ".join(f"{name}: {value.element}" for name, value in zip(arguments, operands, strict=True))
        out_types = ", ".join(value.type for value, _ in outputs)
        self.lines += [
            f"  %{base}{f':{count}' if count > 1 else ''} = linalg.generic {{indexing_maps = [{maps}], "
            f"iterator_types = [{kinds}]}} {_operands('ins', [value for value, _ in inputs])} "
            f"{_operands('outs', [value for value, _ in outputs])} {{",
            f"  ^bb0({block}):",
            *inner.lines,
            f"    linalg.yield {', '.join(results)} : {', '.join(value.element for value, _ in outputs)}",
            f"  }} -> {f'({out_types})' if count > 1 else out_types}",
        ]
        names = [f"%{base}#{number}" for number in range(count)] if count > 1 else [f"%{base}"]
        return [Value(name, value.shape, value.element) for name, (value, _) in zip(names, outputs, strict=True)]

    def reduce(
        self,
        loops: str,
        reductions: str,
        inputs: Sequence[tuple[Value, str]],
        shape: tuple[int, ...],
        body: Callable[[Body, Sequence[str]], str],
    ) -> Value:
        """A sum over `reductions`; `body` returns what is added for one point of the loops."""

        def accumulate(b: Body, names: Sequence[str]) -> str:
            return b(f"arith.addf {names[-1]}, {body(b, names[:-1])} : f32")

        letters = "".join(loop for loop in loops if loop not in reductions)
        return self.generic(loops, reductions, inputs, [(self.fill(shape, "f32", "0.0"), letters)], accumulate)[0]

    def map(
        self,
        loops: str,
        inputs: Sequence[tuple[Value, str]],
        shape: tuple[int, ...],
        body: Callable[[Body, Sequence[str]], str],
        element: str = "f32",
    ) -> Value:
        """Element by element; `body` returns one element of the result."""
        into = [(self.empty(shape, element), loops)]
        return self.generic(loops, "", inputs, into, lambda b, names: body(b, names[:-1]))[0]

    def slice(self, value: Value, axis: int, start: int | str, size: int) -> Value:
        """A range of one axis, from a number or an SSA value on."""
        offsets = [str(start) if dim == axis else "0" for dim in range(len(value.shape))]
        shape = tuple(size if dim == axis else old for dim, old in enumerate(value.shape))
        sizes = [str(number) for number in shape]
        ones = ", ".join("1" for _ in shape)
        result = Value("", shape, value.element)
        name = self.op(
            f"tensor.extract_slice {value.name}[{', '.join(offsets)}] [{', '.join(sizes)}] [{ones}] : {value.type} to "
            f"{result.type}"
        )
        return Value(name, shape, value.element)

    def put(self, value: Value, into: Value, start: str) -> Value:
        """`into` with the rows of `value` in place of its own from row `start` on."""
        rest = ", ".join("0" for _ in into.shape[1:])
        sizes = ", ".join(str(size) for size in value.shape)
        ones = ", ".join("1" for _ in into.shape)
        name = self.op(
            f"tensor.insert_slice {value.name} into {into.name}[{start}, {rest}] [{sizes}] [{ones}] : {value.type} "
            f"into {into.type}"
        )
        return Value(name, into.shape, into.element)

    def reshape(self, value: Value, groups: Sequence[Sequence[int]], shape: tuple[int, ...]) -> Value:
        """Split axes (`shape` has more) or join them (fewer); `groups` says which of the longer shape's axes belong
        together."""
        result = Value("", shape, value.element)
        text = f"[{', '.join(str(list(group)) for group in groups)}]"
        if len(shape) > len(value.shape):
            sizes = ", ".join(str(size) for size in shape)
            name = self.op(
                f"tensor.expand_shape {value.name} {text} output_shape [{sizes}] : {value.type} into {result.type}"
            )
        else:
            name = self.op(f"tensor.collapse_shape {value.name} {text} : {value.type} into {result.type}")
        return Value(name, shape, value.element)


class Body:
    """Writes the operations on single elements inside a `linalg.generic`."""

    def __init__(self, owner: Text) -> None:
        self.lines: list[str] = []
        self._owner = owner

    def __call__(self, text: str) -> str:
        """An operation with one result; returns its name."""
        self._owner._count += 1
        self.lines.append(f"    %{self._owner._count} = {text}")
        return f"%{self._owner._count}"

    def constant(self, number: float | int, element: str = "f32") -> str:
        return self(f"arith.constant {number:.9e} : f32" if element == "f32" else f"arith.constant {number} : i32")


def _operands(word: str, values: Sequence[Value]) -> str:
    if not values:
        return ""
    return f"{word}({', '.join(item.name for item in values)} : {', '.join(item.type for item in values)})"
