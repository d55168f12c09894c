"""The parts of a language model as linalg operations: embedding, matrix products, norms, rotations, attention, argmax.

Enters: values of `gguf_text` and names of weights. Leaves: operations in the text of a function. `Constants` keeps what
the functions of a module share: which arrays its globals hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from webree.compiler.frontends.gguf_text import Body, Text, Value
from webree.compiler.frontends.gguf_weights import Weight

__all__ = ["Constants", "Kernels"]

_MASKED = -1e30
_LOWEST = -3.0e38
_ARGMAX_PARTS = 64


class Constants:
    """Arrays by the symbol of the global that holds them, added as functions ask for them."""

    def __init__(
        self, arrays: dict[str, Any], weights: Mapping[str, Weight], vectors: Mapping[str, Any], rope: Any, room: int
    ) -> None:
        self.weights = weights
        self.vectors = vectors
        self._arrays = arrays
        self._rope = rope
        self._room = room

    def load(self, text: Text, symbol: str, array: Any) -> Value:
        """Load a constant array in a function."""
        self._arrays.setdefault(symbol, array)
        return text.load(symbol, array.shape, "f32" if array.dtype.name == "float32" else "i32")

    def rope(self, text: Text) -> Value:
        """Rotations `[room, half, 2, 2]`."""
        return self.load(text, "rope", self._rope)

    def numbers(self, text: Text, count: int) -> Value:
        """0, 1, 2, … as i32."""
        import numpy as np

        return self.load(text, f"numbers.{count}", np.arange(count, dtype=np.int32))

    def positions(self, text: Text) -> Value:
        """The positions of the cache, as i32."""
        return self.numbers(text, self._room)

    def shifts(self, text: Text, bits: int) -> Value:
        """The shifts that bring each code of a word to its lowest bits (`bits` 4, 8, 16)."""
        import numpy as np

        return self.load(text, f"shifts.{bits}", np.arange(0, 32, bits, dtype=np.int32))


class Kernels:
    """Writes the parts into one function, for `rows` tokens at a time."""

    def __init__(self, text: Text, constants: Constants, rows: int) -> None:
        self.text = text
        self.rows = rows
        self._constants = constants

    # --- Weights --------------------------------------------------------------------------------------------------

    def matmul(self, x: Value, name: str, residual: Value | None = None) -> Value:
        """`x [T, K] @ weight [K, N]`, plus the bias if the model has one, plus `residual [T, N]`."""
        weight = self._constants.weights[name]
        rows, text = x.shape[0], self.text
        if weight.kind == "f32":
            values = self._constants.load(text, name, weight.codes)
            product = text.reduce("tnk", "k", [(x, "tk"), (values, "kn")], (rows, weight.columns), _product)
        else:
            groups, words, columns = weight.codes.shape
            per_word = 32 // weight.bits
            split = text.reshape(x, [[0], [1, 2, 3]], (rows, groups, words, per_word))
            operands = [(split, "tgwj"), *self._operands(name, weight)]
            product = text.reduce(
                "tngwj",
                "gwj",
                operands,
                (rows, columns),
                lambda b, e: b(f"arith.mulf {e[0]}, {_value(b, weight, e[1:])} : f32"),
            )
        bias = self._vector(f"{name}.bias")
        extra = [(bias, "n")] if bias is not None else []
        extra += [(residual, "tn")] if residual is not None else []
        if not extra:
            return product
        return text.map("tn", [(product, "tn"), *extra], product.shape, _sum)

    def _operands(self, name: str, weight: Weight) -> list[tuple[Value, str]]:
        """A weight's planes and the shifts, as operands of a loop nest with the loops g, w, j and n."""
        load, text = self._constants.load, self.text
        operands = [(load(text, f"{name}.codes", weight.codes), "gwn")]
        if weight.scale is not None:
            operands.append((load(text, f"{name}.scale", weight.scale), "gn"))
        if weight.minimum is not None:
            operands.append((load(text, f"{name}.minimum", weight.minimum), "gn"))
        return [*operands, (self._constants.shifts(text, weight.bits), "j")]

    def _vector(self, name: str) -> Value | None:
        vector = self._constants.vectors.get(name)
        return None if vector is None else self._constants.load(self.text, name, vector)

    def embedding(self, tokens: Value, width: int, vocabulary: int) -> Value:
        """Rows of the embedding, `[T, width]`; tokens outside of the vocabulary are taken as the nearest inside.

        Added to them are those of the positions, where the model learned these."""
        weight, text, rows = self._constants.weights["token_embd"], self.text, tokens.shape[0]
        key = "output" if self._constants.weights.get("output") is weight else "token_embd"
        if weight.kind == "f32":
            table = self._constants.load(text, key, weight.codes)
            x = text.map(
                "tk",
                [(tokens, "t")],
                (rows, width),
                lambda b, e: _gather(b, table, ["k"], "tk", _clamp(b, e[0], vocabulary)),
            )
        else:
            operands = [value for value, _ in self._operands(key, weight)]
            shifts = operands.pop()
            groups, words, _ = weight.codes.shape
            loops = ["g", "w"]

            def value(b: Body, e: Sequence[str]) -> str:
                column = _clamp(b, e[0], vocabulary)
                read = [_gather(b, item, loops[: len(item.shape) - 1], "tgwj", column) for item in operands]
                return _value(b, weight, [*read, e[1]])

            x = text.map("tgwj", [(tokens, "t"), (shifts, "j")], (rows, groups, words, 32 // weight.bits), value)
            x = text.reshape(x, [[0], [1, 2, 3]], (rows, width))
        places = self._vector("position_embd")
        if places is None:
            return x
        here = text.slice(places, 0, "%position", rows)
        return text.map("tk", [(x, "tk"), (here, "tk")], x.shape, _sum)

    # --- Norms and activations ------------------------------------------------------------------------------------

    def rms_norm(self, x: Value, name: str, epsilon: float) -> Value:
        """`x / sqrt(mean(x²) + epsilon) * weight`, over the last axis of `[T, width]`."""
        squares = self.text.reduce("tk", "k", [(x, "tk")], x.shape[:1], _square)
        weight = self._vector(f"{name}.weight")
        assert weight is not None
        count = x.shape[1]

        def scale(b: Body, e: Sequence[str]) -> str:
            factor = _inverse_root(b, e[1], count, epsilon)
            scaled = b(f"arith.mulf {e[0]}, {factor} : f32")
            return b(f"arith.mulf {scaled}, {e[2]} : f32")

        return self.text.map("tk", [(x, "tk"), (squares, "t"), (weight, "k")], x.shape, scale)

    def layer_norm(self, x: Value, name: str, epsilon: float) -> Value:
        """`(x - mean) / sqrt(variance + epsilon) * weight + bias`, over the last axis of `[T, width]`."""
        text, count = self.text, x.shape[1]
        total = text.reduce("tk", "k", [(x, "tk")], x.shape[:1], lambda b, e: e[0])

        def centre(b: Body, e: Sequence[str]) -> str:
            mean = b(f"arith.mulf {e[1]}, {b.constant(1 / count)} : f32")
            return b(f"arith.subf {e[0]}, {mean} : f32")

        centred = text.map("tk", [(x, "tk"), (total, "t")], x.shape, centre)
        squares = text.reduce("tk", "k", [(centred, "tk")], x.shape[:1], _square)
        weight, bias = self._vector(f"{name}.weight"), self._vector(f"{name}.bias")
        assert weight is not None
        inputs = [(centred, "tk"), (squares, "t"), (weight, "k")]
        inputs += [(bias, "k")] if bias is not None else []

        def scale(b: Body, e: Sequence[str]) -> str:
            factor = _inverse_root(b, e[1], count, epsilon)
            scaled = b(f"arith.mulf {b(f'arith.mulf {e[0]}, {factor} : f32')}, {e[2]} : f32")
            return b(f"arith.addf {scaled}, {e[3]} : f32") if len(e) > 3 else scaled

        return text.map("tk", inputs, x.shape, scale)

    def swiglu(self, gate: Value, up: Value) -> Value:
        """`gate * sigmoid(gate) * up`."""

        def gated(b: Body, e: Sequence[str]) -> str:
            exponential = b(f"math.exp {b(f'arith.negf {e[0]} : f32')} : f32")
            below = b(f"arith.addf {exponential}, {b.constant(1)} : f32")
            return b(f"arith.mulf {b(f'arith.divf {e[0]}, {below} : f32')}, {e[1]} : f32")

        return self.text.map("tn", [(gate, "tn"), (up, "tn")], gate.shape, gated)

    def gelu(self, x: Value) -> Value:
        """`x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x³)))`."""

        def activated(b: Body, e: Sequence[str]) -> str:
            cube = b(f"arith.mulf {b(f'arith.mulf {e[0]}, {e[0]} : f32')}, {e[0]} : f32")
            inner = b(f"arith.addf {e[0]}, {b(f'arith.mulf {cube}, {b.constant(0.044715)} : f32')} : f32")
            bent = b(f"math.tanh {b(f'arith.mulf {inner}, {b.constant(math.sqrt(2 / math.pi))} : f32')} : f32")
            half = b(f"arith.mulf {e[0]}, {b.constant(0.5)} : f32")
            return b(f"arith.mulf {half}, {b(f'arith.addf {bent}, {b.constant(1)} : f32')} : f32")

        return self.text.map("tn", [(x, "tn")], x.shape, activated)

    # --- Attention ------------------------------------------------------------------------------------------------

    def rotate(self, x: Value, heads: int, half: int, style: str) -> Value:
        """Rotary positions for `[T, heads * 2 * half]`: each pair of features times the 2×2 matrix of its position and
        frequency. Returns `[T, heads, …]` of the same size, features in their places."""
        text, rows = self.text, x.shape[0]
        table = text.slice(self._constants.rope(text), 0, "%position", rows)
        pairs = style == "pairs"
        shape = (rows, heads, half, 2) if pairs else (rows, heads, 2, half)
        split = text.reshape(x, [[0], [1, 2, 3]], shape)
        source, result = ("thiq", "thip") if pairs else ("thqi", "thpi")
        turned = text.reduce(f"{result}q", "q", [(split, source), (table, "tipq")], shape, _product)
        return text.reshape(turned, [[0], [1, 2, 3]], (rows, heads * 2 * half))

    def attend(self, q: Value, keys: Value, values: Value, factor: float) -> Value:
        """`q [T, H, G, D]`, cache `[C, H, D]` -> `[T, H, G, D]`: query t sees what lies up to its own position."""
        text = self.text
        rows, heads, group, _ = q.shape
        context = keys.shape[0]
        every = self._constants.positions(text)
        here = text.slice(every, 0, "%position", rows)
        products = text.reduce("thgcd", "d", [(q, "thgd"), (keys, "chd")], (rows, heads, group, context), _product)

        def mask(b: Body, e: Sequence[str]) -> str:
            seen = b(f"arith.cmpi sle, {e[1]}, {e[2]} : i32")
            scaled = b(f"arith.mulf {e[0]}, {b.constant(factor)} : f32")
            return b(f"arith.select {seen}, {scaled}, {b.constant(_MASKED)} : f32")

        scores = text.map("thgc", [(products, "thgc"), (every, "c"), (here, "t")], products.shape, mask)
        into = text.empty(scores.shape, "f32")
        name = text.op(
            f"linalg.softmax dimension(3) ins({scores.name} : {scores.type}) outs({into.name} : {into.type}) -> "
            f"{into.type}"
        )
        shares = Value(name, scores.shape)
        return text.reduce("thgdc", "c", [(shares, "thgc"), (values, "chd")], q.shape, _product)

    # --- The next token -------------------------------------------------------------------------------------------

    def largest(self, logits: Value) -> Value:
        """The index of the largest of `[V]`, the first of equals, as `[1]` i32: in parts, then among the parts."""
        text, count = self.text, logits.shape[0]
        parts = next(size for size in range(_ARGMAX_PARTS, 0, -1) if count % size == 0)
        split = text.reshape(logits, [[0, 1]], (parts, count // parts))
        numbers = text.reshape(self._constants.numbers(text, count), [[0, 1]], (parts, count // parts))
        best, where = self._best("pk", [(split, "pk"), (numbers, "pk")], (parts,))
        joined = [text.reshape(item, [[0, 1]], (1, parts)) for item in (best, where)]
        return self._best("pk", [(item, "pk") for item in joined], (1,))[1]

    def _best(self, loops: str, inputs: Sequence[tuple[Value, str]], shape: tuple[int, ...]) -> list[Value]:
        start = [(self.text.fill(shape, "f32", f"{_LOWEST:.9e}"), "p"), (self.text.fill(shape, "i32", "0"), "p")]

        def better(b: Body, e: Sequence[str]) -> list[str]:
            above = b(f"arith.cmpf ogt, {e[0]}, {e[2]} : f32")
            return [
                b(f"arith.select {above}, {e[0]}, {e[2]} : f32"),
                b(f"arith.select {above}, {e[1]}, {e[3]} : i32"),
            ]

        return self.text.generic(loops, "k", inputs, start, better)


def _product(b: Body, e: Sequence[str]) -> str:
    return b(f"arith.mulf {e[0]}, {e[1]} : f32")


def _square(b: Body, e: Sequence[str]) -> str:
    return b(f"arith.mulf {e[0]}, {e[0]} : f32")


def _sum(b: Body, e: Sequence[str]) -> str:
    total = e[0]
    for name in e[1:]:
        total = b(f"arith.addf {total}, {name} : f32")
    return total


def _inverse_root(b: Body, total: str, count: int, epsilon: float) -> str:
    """`1 / sqrt(total / count + epsilon)`."""
    mean = b(f"arith.mulf {total}, {b.constant(1 / count)} : f32")
    return b(f"math.rsqrt {b(f'arith.addf {mean}, {b.constant(epsilon)} : f32')} : f32")


def _clamp(b: Body, token: str, vocabulary: int) -> str:
    """A token as an index that lies in the vocabulary."""
    above = b(f"arith.maxsi {token}, {b.constant(0, 'i32')} : i32")
    inside = b(f"arith.minsi {above}, {b.constant(vocabulary - 1, 'i32')} : i32")
    return b(f"arith.index_cast {inside} : i32 to index")


def _gather(b: Body, table: Value, outer: Sequence[str], loops: str, column: str) -> str:
    """An element of a table: loops for its outer axes, `column` for its last one."""
    places = [b(f"linalg.index {loops.index(loop)} : index") for loop in outer]
    return b(f"tensor.extract {table.name}[{', '.join([*places, column])}] : {table.type}")


def _value(b: Body, weight: Weight, e: Sequence[str]) -> str:
    """One value of a quantised weight from its word, scale, minimum (as far as it has them) and shift."""
    word, shift = e[0], e[-1]
    if weight.kind == "bf16":
        up = b(f"arith.subi {b.constant(16, 'i32')}, {shift} : i32")
        top = b(f"arith.shli {word}, {up} : i32")
        cleared = b(f"arith.andi {top}, {b.constant(-65536, 'i32')} : i32")
        return b(f"arith.bitcast {cleared} : i32 to f32")
    if weight.kind == "f16":
        return _half(b, b(f"arith.shrui {word}, {shift} : i32"))
    if weight.kind == "int":
        room = b.constant(32 - weight.bits, "i32")
        spare = b(f"arith.subi {room}, {shift} : i32")
        top = b(f"arith.shli {word}, {spare} : i32")
        number = b(f"arith.sitofp {b(f'arith.shrsi {top}, {room} : i32')} : i32 to f32")
    else:
        low = b(f"arith.shrui {word}, {shift} : i32")
        code = b(f"arith.andi {low}, {b.constant((1 << weight.bits) - 1, 'i32')} : i32")
        # Small enough to be converted as a signed number: one instruction on CPUs, where an unsigned one takes several.
        number = b(f"arith.sitofp {code} : i32 to f32")
    value = b(f"arith.mulf {number}, {e[1]} : f32")
    return b(f"arith.addf {value}, {e[2]} : f32") if weight.minimum is not None else value


def _half(b: Body, word: str) -> str:
    """The f16 in the low bits of a word, which is finite, as f32."""
    exponent = b(f"arith.andi {word}, {b.constant(0x7C00, 'i32')} : i32")
    fraction = b(f"arith.andi {word}, {b.constant(0x3FF, 'i32')} : i32")
    magnitude = b(f"arith.andi {word}, {b.constant(0x7FFF, 'i32')} : i32")
    moved = b(f"arith.shli {magnitude}, {b.constant(13, 'i32')} : i32")
    biased = b(f"arith.addi {moved}, {b.constant(112 << 23, 'i32')} : i32")
    normal = b(f"arith.bitcast {biased} : i32 to f32")
    small = b(f"arith.mulf {b(f'arith.sitofp {fraction} : i32 to f32')}, {b.constant(2.0**-24)} : f32")
    is_small = b(f"arith.cmpi eq, {exponent}, {b.constant(0, 'i32')} : i32")
    value = b(f"arith.select {is_small}, {small}, {normal} : f32")
    sign = b(f"arith.andi {word}, {b.constant(0x8000, 'i32')} : i32")
    negative = b(f"arith.cmpi ne, {sign}, {b.constant(0, 'i32')} : i32")
    return b(f"arith.select {negative}, {b(f'arith.negf {value} : f32')}, {value} : f32")
