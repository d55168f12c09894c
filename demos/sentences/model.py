"""all-MiniLM-L6-v2 as an ONNX file: the architecture of benchmarks/models_text.py with the weights of the package.

Enters: the number of tokens of a sentence. Leaves: the file's bytes, and the tokeniser that goes with it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.models_text import bert_sentence_encoder
from demos.sentences.fetch import MINILM
from demos.sentences.tokenizer import Tokenizer

__all__ = ["TOKENS", "onnx_bytes", "read_safetensors", "tokenizer"]

TOKENS = 64
"""Of a sentence, [CLS] and [SEP] included; enough for two lines of text. Longer ones are cut."""


def onnx_bytes(tokens: int = TOKENS) -> bytes:
    """i64[1,tokens] `input_ids` and `attention_mask` -> f32[1,384] `embedding`, of length 1."""
    weights = read_safetensors(MINILM.fetch() / "model.safetensors")
    data: bytes = bert_sentence_encoder(stored=weights, tokens=tokens).SerializeToString(deterministic=True)
    return data


def tokenizer(tokens: int = TOKENS) -> Tokenizer:
    """The model's tokeniser."""
    return Tokenizer((MINILM.fetch() / "vocab.txt").read_text("utf-8").splitlines(), tokens)


def read_safetensors(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """The f32 tensors of a file, as views of its mapped bytes (https://github.com/huggingface/safetensors#format)."""
    data = np.memmap(path, np.uint8, "r")
    start = 8 + int.from_bytes(data[:8].tobytes(), "little")
    entries = json.loads(data[8:start].tobytes())
    found = {}
    for name, entry in entries.items():
        if entry.get("dtype") == "F32":
            begin, end = entry["data_offsets"]
            found[name] = data[start + begin : start + end].view(np.float32).reshape(entry["shape"])
    return found
