"""What the tests of the sentence encoder compare with: the package `tokenizers`, and the encoder in PyTorch.

Enters: texts. Leaves: their token numbers as the reference tokeniser has them, and their vectors as PyTorch's own
layers compute them on the CPU in 64 bits. Both read the files that came with the weights.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from demos.sentences.fetch import MINILM
from demos.sentences.model import read_safetensors
from demos.wheels import BUILD, download

__all__ = ["SENTENCES", "STRANGE_TEXTS", "cosine_distance", "reference_embeddings", "reference_tokenizer"]

SENTENCES = (
    "A man is eating food.",
    "Someone is having a meal.",
    "The quick brown fox jumps over the lazy dog.",
    "Compilers turn programs into machine code!",
    "Ein Übersetzer macht aus Programmen Maschinencode; naïve café, 我爱北京.",
    "",
    "what " * 100,
)

STRANGE_TEXTS = (
    *SENTENCES,
    "Café NAÏVE résumé Ångström",
    "我爱北京天安门 and 日本語カタカナ 한국어 𠮷",
    "a" * 100,
    "b" * 101,
    "don't stop\u2014believing… $3.50 a+b=c ^_^ `x` ~|~",
    "\u200bzero\u200dwidth\ufeff soft\u00adhyphen",
    "İstanbul ẞtraße ΣΑΣ ὈΔΥΣΣΕΎΣ",
    "[CLS] in a text [SEP] [MASK][UNK] [PAD] [cls] [Sep]",
    "emoji 😀👩‍👩‍👧 🏳️‍🌈",
    "tab\tnew\nline\r\n\x00nul\ufffd\x7f\x1f end",
    "\u3000ideographic\u00a0nbsp\u2028line\u2029paragraph\u0085next",
    "नमस्ते दुनिया مرحبا بالعالم שָׁלוֹם",
    "ﬁnancial ﬂow ½ ² Ⅳ ªº ˇˆ´¨¸",
    "𝒳 \ue000private \u0378unassigned",
    "¿Qué? ¡Sí! «oui» „ja“",
    "   ",
    "word " * 200,
    "antidisestablishmentarianism floccinaucinihilipilification 1234567890",
)

_TOKENIZERS = "tokenizers==0.23.3"


@functools.cache
def reference_tokenizer() -> Any:
    """`tokenizers.Tokenizer` for the model, without padding, cut at 128 tokens.

    Its wheel is unpacked into build/ and imported from there: it needs nothing else for this, but its metadata asks
    for packages that the tests have no use for.
    """
    folder = BUILD / "packages" / _TOKENIZERS.replace("==", "-")
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            with zipfile.ZipFile(download(_TOKENIZERS, Path(scratch))) as archive:
                archive.extractall(Path(scratch) / "files")
            with contextlib.suppress(OSError):  # another process was faster
                (Path(scratch) / "files").rename(folder)
    sys.path.insert(0, str(folder))
    try:
        import tokenizers
    finally:
        sys.path.remove(str(folder))
    found = tokenizers.Tokenizer.from_file(str(MINILM.fetch() / "tokenizer.json"))
    found.no_padding()
    return found


class _Encoder(nn.Module):
    """all-MiniLM-L6-v2 out of PyTorch's own transformer layers."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        stored = {name: torch.from_numpy(array.copy()) for name, array in read_safetensors(path).items()}
        self.tables = {
            name: stored[f"embeddings.{name}_embeddings.weight"].double() for name in ("word", "position", "token_type")
        }
        self.norm = nn.LayerNorm(384, eps=1e-12)
        layer = nn.TransformerEncoderLayer(384, 12, 1536, 0.0, "gelu", 1e-12, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
        self.load_state_dict(dict(_torch_names(stored)))
        self.double().eval()

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.tables["word"][tokens] + self.tables["position"][: tokens.shape[1]] + self.tables["token_type"][0]
        x = self.layers(self.norm(x), src_key_padding_mask=mask == 0)
        kept = mask.unsqueeze(-1).double()
        mean = (x * kept).sum(1) / kept.sum(1)
        return nn.functional.normalize(mean)


def _torch_names(stored: dict[str, torch.Tensor]) -> Any:
    """Names of PyTorch's layers -> weights."""
    rows = {
        "self_attn.out_proj": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm2": "output.LayerNorm",
    }
    for kind in ("weight", "bias"):
        yield f"norm.{kind}", stored[f"embeddings.LayerNorm.{kind}"]
        for number in range(6):
            theirs, ours = f"encoder.layer.{number}", f"layers.layers.{number}"
            parts = [stored[f"{theirs}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            yield f"{ours}.self_attn.in_proj_{kind}", torch.cat(parts)
            for name, other in rows.items():
                yield f"{ours}.{name}.{kind}", stored[f"{theirs}.{other}.{kind}"]


@functools.cache
def _encoder() -> _Encoder:
    return _Encoder(MINILM.fetch() / "model.safetensors")


def reference_embeddings(texts: Sequence[str], max_tokens: int) -> list[np.ndarray[Any, Any]]:
    """f64[384] of each text: the reference tokeniser's numbers through PyTorch, without any padding."""
    found = []
    for text in texts:
        tokens = reference_tokenizer().encode(text).ids
        if len(tokens) > max_tokens:
            tokens = [*tokens[: max_tokens - 1], tokens[-1]]
        with torch.no_grad():
            row = torch.tensor([tokens])
            found.append(_encoder()(row, torch.ones_like(row))[0].numpy())
    return found


def cosine_distance(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """1 - cosine of the angle between two vectors."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b))
