"""GGUF language models -> module.

A GGUF file holds weights and says by metadata which architecture they belong to; the program is written here. Enters:
a `.gguf` file of an architecture in `ARCHITECTURES`. Leaves: a module with `prefill`, `decode`, `reset`, `logits` and
`position` (see gguf_decoder.py) whose weights are constants, still quantised. `dims={"context": N}` sets how many
tokens the cache has room for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webree.compiler.frontends import ImportedModel, ModelSource
from webree.compiler.frontends.gguf_decoder import Decoder, Shape
from webree.compiler.frontends.gguf_file import GgufFile, GgufTensor, open_gguf, read_gguf
from webree.compiler.frontends.gguf_weights import Weight, dequantise, pack
from webree.compiler.session import Session
from webree.errors import CompileError, UsageError

__all__ = ["ARCHITECTURES", "Architecture", "import_model"]

_DEFAULT_CONTEXT = 1024
_MAX_CONTEXT = 1 << 16


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a name of `general.architecture` stands for; see `gguf_decoder.Shape`."""

    layer_norm: bool
    rope: str | None
    gated: bool


ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture(layer_norm=False, rope="pairs", gated=True),
    "qwen2": Architecture(layer_norm=False, rope="halves", gated=True),
    "gpt2": Architecture(layer_norm=True, rope=None, gated=False),
}


def import_model(session: Session, source: ModelSource, *, dims: Mapping[str, int], entry_name: str) -> ImportedModel:
    """Write the program and attach the weights. `entry_name` is not used: the functions have fixed names.

    Raises `CompileError` for a damaged file, an architecture or tensor type that is not supported, a tensor that is
    missing or has another shape than the metadata says; `UsageError` for a dimension other than `context`."""
    file = open_gguf(source.path) if source.path is not None else read_gguf(source.read(), source.label)
    model = _Model(file)
    decoder = Decoder(model.shape(_context(file, dims)), model.weights(), model.vectors(), model.rotations())
    module = session.parse(decoder.text().encode(), source.label)
    _attach(session, module, decoder.arrays)
    return ImportedModel(module)


def _context(file: GgufFile, dims: Mapping[str, int]) -> int:
    others = sorted(name for name in dims if name != "context")
    if others:
        raise UsageError(
            f"{file.label}: a language model has one dimension to bind, context (given: {', '.join(others)})"
        )
    trained = file.value(f"{file.value('general.architecture', str)}.context_length", int, _DEFAULT_CONTEXT)
    context: int = dims.get("context", min(_DEFAULT_CONTEXT, trained))
    if not 1 <= context <= min(trained, _MAX_CONTEXT):
        raise UsageError(
            f"{file.label}: a context of {context} tokens; it can be 1 to {min(trained, _MAX_CONTEXT)}"
            f"{' (the model was trained with so many)' if trained <= _MAX_CONTEXT else ''}"
        )
    return context


def _attach(session: Session, module: Any, arrays: Mapping[str, Any]) -> None:
    """Give the globals their values. Their memory is the arrays', not a copy."""
    from iree.compiler import ir

    with session.context:
        never = ir.Attribute.parse("#util.inline.never")
        for op in module.regions[0].blocks[0]:
            operation = op.operation
            if operation.name != "util.global":
                continue
            name = ir.StringAttr(operation.attributes["sym_name"]).value
            if name in arrays:
                kind = ir.TypeAttr(operation.attributes["type"]).value
                value = ir.DenseResourceElementsAttr.get_from_buffer(
                    memoryview(arrays[name]), name.replace(".", "_"), kind, alignment=4
                )
                operation.attributes["initial_value"] = value
                operation.attributes["inlining_policy"] = never


class _Model:
    """What the metadata and the tensors of a file say, checked against each other."""

    def __init__(self, file: GgufFile) -> None:
        name = file.value("general.architecture", str)
        if name not in ARCHITECTURES:
            raise CompileError(
                f"{file.label}: the architecture {name!r} is not supported; there are {', '.join(ARCHITECTURES)}",
                location=file.label,
                unsupported=True,
            )
        self._file = file
        self._kind = ARCHITECTURES[name]
        self._name = name
        self._used: set[str] = set()

    def shape(self, context: int) -> Shape:
        """The model's sizes."""
        heads = self._size("attention.head_count")
        width = self._size("embedding_length")
        head_size = self._size("attention.key_length", width // heads)
        kv_heads = self._size("attention.head_count_kv", heads)
        if head_size % 2 or heads % kv_heads or self._size("attention.value_length", head_size) != head_size:
            raise self._error(f"{heads} heads, {kv_heads} of keys, of {head_size} features do not go together")
        if self._kind.rope is not None and self._size("rope.dimension_count", head_size) != head_size:
            raise self._error("rotary positions for a part of each head are not supported", unsupported=True)
        norm = "layer_norm_epsilon" if self._kind.layer_norm else "layer_norm_rms_epsilon"
        self._shape = Shape(
            layers=self._size("block_count"),
            width=width,
            hidden=self._size("feed_forward_length"),
            heads=heads,
            kv_heads=kv_heads,
            head_size=head_size,
            vocabulary=self._tensor("token_embd.weight").shape[0],
            context=context,
            epsilon=self._file.value(f"{self._name}.attention.{norm}", float),
            layer_norm=self._kind.layer_norm,
            rope=self._kind.rope,
            gated=self._kind.gated,
        )
        return self._shape

    def weights(self) -> dict[str, Weight]:
        """Matrices by name, those that are multiplied with the same vector side by side where their types allow it."""
        shape = self._shape
        width, hidden = shape.width, shape.hidden
        q_width, kv_width = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
        found = {"token_embd": self._matrix("token_embd", width, shape.vocabulary)}
        tied = "output.weight" not in self._file.tensors
        found["output"] = found["token_embd"] if tied else self._matrix("output", width, shape.vocabulary)
        for layer in range(shape.layers):
            prefix = f"blk.{layer}"
            if f"{prefix}.attn_qkv.weight" in self._file.tensors:
                found[f"{prefix}.attn_qkv"] = self._matrix(f"{prefix}.attn_qkv", width, q_width + 2 * kv_width)
            else:
                parts = {"attn_q": q_width, "attn_k": kv_width, "attn_v": kv_width}
                found |= self._beside(prefix, "attn_qkv", width, parts)
            found[f"{prefix}.attn_output"] = self._matrix(f"{prefix}.attn_output", q_width, width)
            if shape.gated:
                found |= self._beside(prefix, "ffn_gate_up", width, {"ffn_gate": hidden, "ffn_up": hidden})
            else:
                found[f"{prefix}.ffn_up"] = self._matrix(f"{prefix}.ffn_up", width, hidden)
            found[f"{prefix}.ffn_down"] = self._matrix(f"{prefix}.ffn_down", hidden, width)
        self._columns = {name: weight.columns for name, weight in found.items()}
        return found

    def vectors(self) -> dict[str, Any]:
        """Norms, biases and learned positions by name, as float32."""
        import numpy as np

        shape = self._shape
        found: dict[str, Any] = {}
        norms = [f"blk.{layer}.{kind}" for layer in range(shape.layers) for kind in ("attn_norm", "ffn_norm")]
        for name in (*norms, "output_norm"):
            found[f"{name}.weight"] = self._values(f"{name}.weight", (shape.width,))
            if shape.layer_norm:
                found[f"{name}.bias"] = self._values(f"{name}.bias", (shape.width,))
        for name, columns in self._columns.items():
            prefix, _, kind = name.rpartition(".")
            parts = _PARTS.get(kind, (kind,))
            names = [f"{prefix}.{part}.bias" if prefix else f"{part}.bias" for part in parts]
            own = f"{name}.bias"
            if own in self._file.tensors:
                names = [own]
            if any(item in self._file.tensors for item in names):
                values = [self._values(item, None) for item in names]
                if any(part.ndim != 1 for part in values) or sum(map(len, values)) != columns:
                    shapes = ", ".join(str(list(part.shape)) for part in values)
                    raise self._error(f"{' and '.join(names)} have the shapes {shapes}, expected {columns} values")
                found[own] = np.concatenate(values)
        if self._kind.rope is None:
            places = self._values("position_embd.weight", None)
            if places.ndim != 2 or places.shape[0] < shape.context or places.shape[1] != shape.width:
                raise self._error(f"position_embd.weight has the shape {list(places.shape)}")
            room = np.zeros((max(0, shape.room - len(places)), shape.width), np.float32)
            found["position_embd"] = np.concatenate([places[: shape.room], room])
        self._refuse_unused()
        return found

    def rotations(self) -> Any:
        """The 2×2 rotation of each position and frequency, `[room, half, 2, 2]` float32, or None.

        https://arxiv.org/abs/2104.09864, equation 15: position m turns pair i by the angle m * base^(-2i / d)."""
        import numpy as np

        if self._kind.rope is None:
            return None
        scaling = self._file.metadata.get(f"{self._name}.rope.scaling.type", "none")
        if scaling != "none":
            raise self._error(f"rotary positions with the scaling {scaling!r} are not supported", unsupported=True)
        half = self._shape.head_size // 2
        base = self._file.value(f"{self._name}.rope.freq_base", float, 10000.0)
        frequencies = base ** (-np.arange(half) / half)
        if "rope_freqs.weight" in self._file.tensors:
            frequencies = frequencies / self._values("rope_freqs.weight", (half,))
        angles = np.arange(self._shape.room)[:, None] * frequencies
        cosines, sines = np.cos(angles), np.sin(angles)
        rows = np.stack([np.stack([cosines, -sines], -1), np.stack([sines, cosines], -1)], -2)
        return np.ascontiguousarray(rows, np.float32)

    def _beside(self, prefix: str, joint: str, width: int, parts: Mapping[str, int]) -> dict[str, Weight]:
        tensors = [self._checked(f"{prefix}.{name}.weight", (columns, width)) for name, columns in parts.items()]
        if len({tensor.format.name for tensor in tensors}) == 1:
            return {f"{prefix}.{joint}": pack(tensors, self._file.label)}
        return {
            f"{prefix}.{name}": pack([tensor], self._file.label) for name, tensor in zip(parts, tensors, strict=True)
        }

    def _matrix(self, name: str, inputs: int, outputs: int) -> Weight:
        return pack([self._checked(f"{name}.weight", (outputs, inputs))], self._file.label)

    def _values(self, name: str, shape: tuple[int, ...] | None) -> Any:
        tensor = self._tensor(name) if shape is None else self._checked(name, shape)
        return dequantise(tensor, self._file.label)

    def _checked(self, name: str, shape: tuple[int, ...]) -> GgufTensor:
        tensor = self._tensor(name)
        if tensor.shape != shape:
            raise self._error(f"tensor {name!r} has the shape {list(tensor.shape)}, expected {list(shape)}")
        return tensor

    def _tensor(self, name: str) -> GgufTensor:
        tensor = self._file.tensors.get(name)
        if tensor is None:
            raise self._error(f"the tensor {name!r} is missing")
        self._used.add(name)
        return tensor

    def _refuse_unused(self) -> None:
        """A tensor that the program does not know stands for a part of the model that it does not compute."""
        unused = [name for name in self._file.tensors if name not in self._used and name != "rope_freqs.weight"]
        if unused:
            raise self._error(
                f"{len(unused)} tensors have no place in a {self._name} model: {', '.join(unused[:3])}",
                unsupported=True,
            )

    def _size(self, key: str, default: int | None = None) -> int:
        found: int = self._file.value(f"{self._name}.{key}", int, default)
        if not 0 < found < 1 << 24:
            raise self._error(f"the metadata key {self._name}.{key} is {found}")
        return found

    def _error(self, message: str, *, unsupported: bool = False) -> CompileError:
        return CompileError(f"{self._file.label}: {message}", location=self._file.label, unsupported=unsupported)


_PARTS: Mapping[str, tuple[str, ...]] = {
    "attn_qkv": ("attn_q", "attn_k", "attn_v"),
    "ffn_gate_up": ("ffn_gate", "ffn_up"),
}
