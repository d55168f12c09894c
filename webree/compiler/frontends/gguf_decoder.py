"""The program of a decoder-only language model, as MLIR text.

Enters: a model's `Shape` (sizes, kind of norm, of positions, of feed-forward block) and its weights. Leaves: the text
of a module with these functions, and the arrays that belong into its globals:

    reset()                                 forgets everything
    prefill(tokens: ?xi32) -> token: 1xi32  appends tokens; the token that follows, by argmax
    decode(token: 1xi32) -> token: 1xi32    the same for one token, with kernels made for it
    logits() -> logits: Vxf32               of the last call's last token
    position() -> i32                       how many tokens are in the cache

Keys and values of all tokens so far are mutable globals: one buffer per layer and kind, which stays on the device
between calls. Attention reads all of the cache and masks what lies behind the position, and prompts are computed in
chunks, so that all kernels have fixed sizes. Weights stay as the file has them quantised; kernels turn codes into
values as they read them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from webree.compiler.frontends.gguf_kernels import Constants, Kernels
from webree.compiler.frontends.gguf_text import Text, Value
from webree.compiler.frontends.gguf_weights import Weight

if TYPE_CHECKING:
    import numpy as np

__all__ = ["CHUNK", "Decoder", "Shape"]

CHUNK = 16
"""Tokens that `prefill` computes at once."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a decoder is made of.

    Attributes:
        layers: number of layers.
        width: features of a token between layers.
        hidden: features inside a feed-forward block.
        heads: of queries.
        kv_heads: of keys and values; each serves `heads / kv_heads` query heads.
        head_size: features of a head.
        vocabulary: number of tokens.
        context: tokens that the cache has room for.
        epsilon: of the norms.
        layer_norm: LayerNorm (with biases), else RMSNorm.
        rope: `pairs` (neighbouring features are rotated), `halves` (feature i with i + half), or None.
        gated: SwiGLU, else GELU (by tanh).
    """

    layers: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    context: int
    epsilon: float
    layer_norm: bool
    rope: str | None
    gated: bool

    @property
    def room(self) -> int:
        """Rows of the cache: a chunk that begins at the last position fits, and the number is a multiple of `CHUNK`."""
        return -(-(self.context + CHUNK - 1) // CHUNK) * CHUNK


class Decoder:
    """Writes the module; `text()` is the module, `arrays` what its globals hold, by symbol."""

    def __init__(self, shape: Shape, weights: Mapping[str, Weight], vectors: Mapping[str, Any], rope: Any) -> None:
        """`weights` are matrices and `vectors` norms and biases by name; `rope` is `[room, half, 2, 2]` or None."""
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}
        self._shape = shape
        self._weights = weights
        self._room = shape.room
        self._constants = Constants(self.arrays, weights, vectors, rope, shape.room)

    def text(self) -> str:
        """MLIR text; the globals that `arrays` names have no values in it yet."""
        functions = [self._append(CHUNK), self._append(1), self._prefill(), self._decode(), self._small_functions()]
        return "\n".join([*self._globals(), *functions])

    def _globals(self) -> list[str]:
        shape = self._shape
        lines = [f'util.global private @"{name}" : {_type_of(array)}' for name, array in self.arrays.items()]
        cache = Value("", (self._room, shape.kv_heads, shape.head_size)).type
        # Mutable globals that begin with equal values become one buffer in the compiler's passes, and then share their
        # updates. What a cache begins with is never seen, so each begins with a number of its own.
        for number in range(2 * shape.layers):
            name = f"cache.{number // 2}.{('keys', 'values')[number % 2]}"
            lines.append(f'util.global private mutable @"{name}" = dense<{number}.0> : {cache}')
        lines.append(f'util.global private mutable @"state.logits" = dense<0.0> : tensor<{shape.vocabulary}xf32>')
        lines.append('util.global private mutable @"state.position" = 0 : index')
        return lines

    def _small_functions(self) -> str:
        logits = f"tensor<{self._shape.vocabulary}xf32>"
        return f"""
func.func public @reset() {{
  %zero = arith.constant 0 : index
  util.global.store %zero, @"state.position" : index
  return
}}
func.func public @logits() -> ({logits} {{iree.abi.name = "logits"}}) {{
  %logits = util.global.load @"state.logits" : {logits}
  return %logits : {logits}
}}
func.func public @position() -> (i32 {{iree.abi.name = "position"}}) {{
  %position = util.global.load @"state.position" : index
  %result = arith.index_cast %position : index to i32
  return %result : i32
}}
"""

    def _append(self, rows: int) -> str:
        """The private function that appends `rows` tokens, of which the first `%count` count: the features of the last
        of these, before the output's norm."""
        text, shape = Text(), self._shape
        kernels = Kernels(text, self._constants, rows)
        tokens = Value("%tokens", (rows,), "i32")
        text.do('%position = util.global.load @"state.position" : index')
        x = kernels.embedding(tokens, shape.width, shape.vocabulary)
        for layer in range(shape.layers):
            prefix = f"blk.{layer}"
            x = self._attention(kernels, x, prefix, layer)
            x = self._feed_forward(kernels, x, prefix)
        if rows > 1:
            x = text.slice(x, 0, text.op(f"arith.subi %count, {text.index(1)} : index"), 1)
        text.do("%end = arith.addi %position, %count : index")
        text.do('util.global.store %end, @"state.position" : index')
        text.do(f"return {x.name} : {x.type}")
        head = f"func.func private @append.{rows}(%tokens: {tokens.type}, %count: index) -> {x.type} {{"
        return "\n".join([head, *text.lines, "}"])

    def _prefill(self) -> str:
        """Tokens in chunks of a fixed size, so that kernels have fixed sizes; the last one is filled up with zeros."""
        text, hidden = Text(), Value("", (1, self._shape.width)).type
        chunk = f"tensor<{CHUNK}xi32>"
        text.do("%zero = arith.constant 0 : index")
        text.do("%rows = tensor.dim %tokens, %zero : tensor<?xi32>")
        self._check_room(text)
        text.do(f"""%step = arith.constant {CHUNK} : index
  %chunks = arith.ceildivui %rows, %step : index
  %size = arith.muli %chunks, %step : index
  %none = arith.constant 0 : i32
  %empty = tensor.empty(%size) : tensor<?xi32>
  %zeros = linalg.fill ins(%none : i32) outs(%empty : tensor<?xi32>) -> tensor<?xi32>
  %padded = tensor.insert_slice %tokens into %zeros[0] [%rows] [1] : tensor<?xi32> into tensor<?xi32>
  %nothing = arith.constant dense<0.0> : {hidden}
  %last = scf.for %start = %zero to %rows step %step iter_args(%before = %nothing) -> ({hidden}) {{
    %part = tensor.extract_slice %padded[%start] [{CHUNK}] [1] : tensor<?xi32> to {chunk}
    %left = arith.subi %rows, %start : index
    %count = arith.minui %left, %step : index
    %after = func.call @append.{CHUNK}(%part, %count) : ({chunk}, index) -> {hidden}
    scf.yield %after : {hidden}
  }}""")
        return self._public(text, "prefill", "tokens", "?")

    def _decode(self) -> str:
        text, hidden = Text(), Value("", (1, self._shape.width)).type
        text.do("%rows = arith.constant 1 : index")
        self._check_room(text)
        text.do(f"%last = func.call @append.1(%token, %rows) : (tensor<1xi32>, index) -> {hidden}")
        return self._public(text, "decode", "token", "1")

    def _public(self, text: Text, name: str, argument: str, size: str) -> str:
        """A public function, finished: from the features `%last` to the logits and the next token."""
        shape = self._shape
        kernels = Kernels(text, self._constants, 1)
        x = self._norm(kernels, Value("%last", (1, shape.width)), "output_norm")
        logits = text.reshape(kernels.matmul(x, "output"), [[0, 1]], (shape.vocabulary,))
        text.store(logits, "state.logits")
        token = kernels.largest(logits)
        text.do(f"return {token.name} : {token.type}")
        head = f'func.func public @{name}(%{argument}: tensor<{size}xi32> {{iree.abi.name = "{argument}"}})'
        return "\n".join([f'{head} -> (tensor<1xi32> {{iree.abi.name = "token"}}) {{', *text.lines, "}"])

    def _check_room(self, text: Text) -> None:
        context = self._shape.context
        here = text.op('util.global.load @"state.position" : index')
        end = text.op(f"arith.addi {here}, %rows : index")
        fits = text.op(f"arith.cmpi ule, {end}, {text.index(context)} : index")
        text.do(f'cf.assert {fits}, "the context of {context} tokens has no room for these; reset() empties it"')
        some = text.op(f"arith.cmpi uge, %rows, {text.index(1)} : index")
        text.do(f'cf.assert {some}, "no tokens were given"')

    def _norm(self, kernels: Kernels, x: Value, name: str) -> Value:
        norm = kernels.layer_norm if self._shape.layer_norm else kernels.rms_norm
        return norm(x, name, self._shape.epsilon)

    def _attention(self, kernels: Kernels, x: Value, prefix: str, layer: int) -> Value:
        shape, text, rows = self._shape, kernels.text, kernels.rows
        group, half = shape.heads // shape.kv_heads, shape.head_size // 2
        kv_width = shape.kv_heads * shape.head_size
        normed = self._norm(kernels, x, f"{prefix}.attn_norm")
        q, k, v = self._projections(
            kernels,
            normed,
            f"{prefix}.attn_qkv",
            [f"{prefix}.attn_q", f"{prefix}.attn_k", f"{prefix}.attn_v"],
            [shape.heads * shape.head_size, kv_width, kv_width],
        )
        v = text.reshape(v, [[0], [1, 2]], (rows, shape.kv_heads, shape.head_size))
        if shape.rope is not None:
            q = kernels.rotate(q, shape.heads, half, shape.rope)
            k = kernels.rotate(k, shape.kv_heads, half, shape.rope)
        q = text.reshape(q, [[0], [1, 2, 3]], (rows, shape.kv_heads, group, shape.head_size))
        k = text.reshape(k, [[0], [1, 2]], (rows, shape.kv_heads, shape.head_size))
        cache = (self._room, shape.kv_heads, shape.head_size)
        keys = text.put(k, text.load(f"cache.{layer}.keys", cache), "%position")
        values = text.put(v, text.load(f"cache.{layer}.values", cache), "%position")
        text.store(keys, f"cache.{layer}.keys")
        text.store(values, f"cache.{layer}.values")
        mixed = kernels.attend(q, keys, values, shape.head_size**-0.5)
        mixed = text.reshape(mixed, [[0], [1, 2, 3]], (rows, shape.heads * shape.head_size))
        return kernels.matmul(mixed, f"{prefix}.attn_output", residual=x)

    def _projections(
        self, kernels: Kernels, x: Value, joint: str, names: Sequence[str], sizes: Sequence[int]
    ) -> list[Value]:
        """One product where the matrices lie side by side, then its parts; else one product each."""
        if joint not in self._weights:
            return [kernels.matmul(x, name) for name in names]
        product, start, parts = kernels.matmul(x, joint), 0, []
        for size in sizes:
            parts.append(kernels.text.slice(product, 1, start, size))
            start += size
        return parts

    def _feed_forward(self, kernels: Kernels, x: Value, prefix: str) -> Value:
        hidden = self._shape.hidden
        normed = self._norm(kernels, x, f"{prefix}.ffn_norm")
        if self._shape.gated:
            names = [f"{prefix}.ffn_gate", f"{prefix}.ffn_up"]
            gate, up = self._projections(kernels, normed, f"{prefix}.ffn_gate_up", names, [hidden, hidden])
            inner = kernels.swiglu(gate, up)
        else:
            inner = kernels.gelu(kernels.matmul(normed, f"{prefix}.ffn_up"))
        return kernels.matmul(inner, f"{prefix}.ffn_down", residual=x)


def _type_of(array: Any) -> str:
    element = {"float32": "f32", "int32": "i32"}[array.dtype.name]
    return Value("", array.shape, element).type
