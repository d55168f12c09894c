"""Small language models with random weights, as GGUF files.

Enters: an architecture, a seed, the tensor types to use. Leaves: a `RandomModel`: the file's bytes, and the reference
that computes the same model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.llm.blocks import values_of
from tests.llm.gguf_writer import Tensor, plain, random_blocks, write_gguf
from tests.llm.reference import Reference

__all__ = ["RandomModel", "random_gpt2", "random_llama"]

_SMALLEST_LEAD = 1e-4


@dataclass(frozen=True, eq=False)
class RandomModel:
    """A model as a file, and as the reference computes it."""

    data: bytes
    reference: Reference
    vocabulary: int

    def greedy(self, seed: int, prompt_length: int, count: int) -> tuple[list[int], list[int]]:
        """A prompt and the `count` tokens that follow by the reference. The first random prompt is taken where every
        token leads clearly: rounding decides between tokens whose logits are equal to 1e-4 of their spread."""
        random = np.random.default_rng(seed)
        while True:
            prompt = random.integers(0, self.vocabulary, prompt_length).tolist()
            tokens, lead = self.reference.greedy(prompt, count)
            if lead > _SMALLEST_LEAD:
                return prompt, tokens


def _model(metadata: dict[str, Any], tensors: Sequence[Tensor], vocabulary: int) -> RandomModel:
    values = {tensor.name: values_of(tensor) for tensor in tensors}
    return RandomModel(write_gguf(metadata, tensors), Reference(metadata, values), vocabulary)


def random_gpt2(
    seed: int, *, layers: int = 4, width: int = 128, heads: int = 4, vocabulary: int = 512, context: int = 96
) -> RandomModel:
    """A GPT-2: LayerNorm before each block, learned positions, GELU, the embedding tied to the output; F32."""
    random = np.random.default_rng(seed)
    metadata = {
        "general.architecture": "gpt2",
        "gpt2.block_count": layers,
        "gpt2.context_length": context,
        "gpt2.embedding_length": width,
        "gpt2.feed_forward_length": 4 * width,
        "gpt2.attention.head_count": heads,
        "gpt2.attention.layer_norm_epsilon": 1e-5,
    }
    tensors = [
        plain("token_embd.weight", random.normal(0, 0.3, (vocabulary, width))),
        plain("position_embd.weight", random.normal(0, 0.3, (context, width))),
    ]
    for layer in range(layers):
        prefix = f"blk.{layer}"
        for norm in ("attn_norm", "ffn_norm"):
            tensors += _norm(f"{prefix}.{norm}", width, random)
        sizes = {
            "attn_qkv": (3 * width, width),
            "attn_output": (width, width),
            "ffn_up": (4 * width, width),
            "ffn_down": (width, 4 * width),
        }
        for name, shape in sizes.items():
            tensors.append(plain(f"{prefix}.{name}.weight", random.normal(0, 2 / shape[1] ** 0.5, shape)))
            tensors.append(plain(f"{prefix}.{name}.bias", random.normal(0, 0.1, shape[:1])))
    tensors += _norm("output_norm", width, random)
    return _model(metadata, tensors, vocabulary)


def random_llama(
    seed: int,
    *,
    architecture: str = "llama",
    layers: int = 2,
    width: int = 64,
    heads: int = 4,
    kv_heads: int = 2,
    hidden: int = 96,
    vocabulary: int = 256,
    context: int = 96,
    types: tuple[str, ...] = ("Q4_1",),
    embedding: str = "Q8_0",
) -> RandomModel:
    """A LLaMA (or Qwen2, with biases): RMSNorm, rotary positions, grouped queries, SwiGLU, the embedding tied to the
    output. The matrices take the types of `types` in turn."""
    random = np.random.default_rng(seed)
    metadata = {
        "general.architecture": architecture,
        f"{architecture}.block_count": layers,
        f"{architecture}.context_length": context,
        f"{architecture}.embedding_length": width,
        f"{architecture}.feed_forward_length": hidden,
        f"{architecture}.attention.head_count": heads,
        f"{architecture}.attention.head_count_kv": kv_heads,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{architecture}.rope.freq_base": 10000.0,
    }
    tensors: list[Tensor] = [random_blocks("token_embd.weight", (vocabulary, width), embedding, random, 0.3)]
    head = width // heads
    count = 0
    for layer in range(layers):
        prefix = f"blk.{layer}"
        sizes = {
            "attn_q": (heads * head, width),
            "attn_k": (kv_heads * head, width),
            "attn_v": (kv_heads * head, width),
            "attn_output": (width, heads * head),
            "ffn_gate": (hidden, width),
            "ffn_up": (hidden, width),
            "ffn_down": (width, hidden),
        }
        for name, shape in sizes.items():
            form = types[count % len(types)]
            count += 1
            tensors.append(random_blocks(f"{prefix}.{name}.weight", shape, form, random, 2 / shape[1] ** 0.5))
            if architecture == "qwen2" and name in ("attn_q", "attn_k", "attn_v"):
                tensors.append(plain(f"{prefix}.{name}.bias", random.normal(0, 0.3, shape[:1])))
        for norm in ("attn_norm", "ffn_norm"):
            tensors.append(plain(f"{prefix}.{norm}.weight", random.uniform(0.5, 1.5, width)))
    tensors.append(plain("output_norm.weight", random.uniform(0.5, 1.5, width)))
    return _model(metadata, tensors, vocabulary)


def _norm(name: str, width: int, random: np.random.Generator) -> list[Tensor]:
    weight = plain(f"{name}.weight", random.uniform(0.5, 1.5, width))
    return [weight, plain(f"{name}.bias", random.normal(0, 0.1, width))]
