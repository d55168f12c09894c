"""A reference for language models: the forward pass in NumPy float64 over all tokens at once, without a cache.

Enters: metadata and dequantised tensors by their GGUF names. Leaves: logits of every position. Written after the
architectures' descriptions (GPT-2; LLaMA with grouped queries; Qwen2), not after the compiler's program: there is no
cache, masks are triangles, rotary positions are complex numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["Reference"]

Array = np.ndarray[Any, Any]


class Reference:
    """A model of one of the architectures; `dtype` is the type that it computes in."""

    def __init__(self, metadata: Mapping[str, Any], tensors: Mapping[str, Array], dtype: type = np.float64) -> None:
        self._name = metadata["general.architecture"]
        self._metadata = metadata
        self._dtype = dtype
        self._tensors = {name: values.astype(dtype) for name, values in tensors.items()}

    def logits(self, tokens: Sequence[int]) -> Array:
        """`[len(tokens), vocabulary]`."""
        x = self._tensors["token_embd.weight"][list(tokens)]
        if "position_embd.weight" in self._tensors:
            x = x + self._tensors["position_embd.weight"][: len(tokens)]
        for layer in range(self._size("block_count")):
            x = x + self._attention(self._norm(x, f"blk.{layer}.attn_norm"), f"blk.{layer}")
            x = x + self._feed_forward(self._norm(x, f"blk.{layer}.ffn_norm"), f"blk.{layer}")
        head = self._tensors.get("output.weight", self._tensors["token_embd.weight"])
        return self._norm(x, "output_norm") @ head.T

    def greedy(self, prompt: Sequence[int], count: int) -> tuple[list[int], float]:
        """The next `count` tokens, and the smallest lead of a chosen token before the second, in units of the standard
        deviation of its logits: where it is tiny, rounding decides."""
        tokens, lead = list(prompt), np.inf
        for _ in range(count):
            last = self.logits(tokens)[-1]
            second, first = np.sort(last)[-2:]
            lead = min(lead, float((first - second) / last.std()))
            tokens.append(int(last.argmax()))
        return tokens[len(prompt) :], lead

    def _attention(self, x: Array, prefix: str) -> Array:
        heads = self._size("attention.head_count")
        kv_heads = self._metadata.get(f"{self._name}.attention.head_count_kv", heads)
        if f"{prefix}.attn_qkv.weight" in self._tensors:
            joint = self._linear(x, f"{prefix}.attn_qkv")
            size = joint.shape[1] // (heads + 2 * kv_heads)
            q, k, v = np.split(joint, [heads * size, (heads + kv_heads) * size], axis=1)
        else:
            q, k, v = (self._linear(x, f"{prefix}.attn_{kind}") for kind in "qkv")
        q, k, v = (item.reshape(len(x), count, -1) for item, count in ((q, heads), (k, kv_heads), (v, kv_heads)))
        if self._name != "gpt2":
            q, k = self._rotate(q), self._rotate(k)
        k, v = (np.repeat(item, heads // kv_heads, axis=1) for item in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(q.shape[-1])
        scores[:, ~np.tri(len(x), dtype=bool)] = -np.inf
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        return self._linear(np.einsum("hqk,khd->qhd", shares, v).reshape(len(x), -1), f"{prefix}.attn_output")

    def _rotate(self, x: Array) -> Array:
        count, _, size = x.shape
        base = self._metadata.get(f"{self._name}.rope.freq_base", 10000.0)
        angles = np.arange(count)[:, None] * base ** (-np.arange(0, size, 2) / size)
        if self._name == "llama":
            turned = (x[..., ::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)[:, None]
            return np.stack([turned.real, turned.imag], -1).reshape(x.shape).astype(self._dtype)
        turned = (x[..., : size // 2] + 1j * x[..., size // 2 :]) * np.exp(1j * angles)[:, None]
        return np.concatenate([turned.real, turned.imag], -1).astype(self._dtype)

    def _feed_forward(self, x: Array, prefix: str) -> Array:
        up = self._linear(x, f"{prefix}.ffn_up")
        if self._name == "gpt2":
            inner = 0.5 * up * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up**3)))
        else:
            gate = self._linear(x, f"{prefix}.ffn_gate")
            inner = gate / (1 + np.exp(-gate)) * up
        return self._linear(inner.astype(self._dtype), f"{prefix}.ffn_down")

    def _linear(self, x: Array, name: str) -> Array:
        product = x @ self._tensors[f"{name}.weight"].T
        bias = self._tensors.get(f"{name}.bias")
        return product if bias is None else product + bias

    def _norm(self, x: Array, name: str) -> Array:
        weight = self._tensors[f"{name}.weight"]
        if self._name == "gpt2":
            epsilon = self._metadata["gpt2.attention.layer_norm_epsilon"]
            centred = x - x.mean(-1, keepdims=True)
            scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * weight
            return scaled + self._tensors[f"{name}.bias"]
        epsilon = self._metadata[f"{self._name}.attention.layer_norm_rms_epsilon"]
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * weight

    def _size(self, key: str) -> int:
        return int(self._metadata[f"{self._name}.{key}"])
