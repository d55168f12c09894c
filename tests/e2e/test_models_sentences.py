"""all-MiniLM-L6-v2 with its real weights on every device: vectors of sentences, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

import webree
from demos.sentences.model import TOKENS, onnx_bytes, tokenizer
from tests.compiling import compiled_file
from tests.conftest import Machine
from tests.models import relative_error
from tests.sentences import SENTENCES, cosine_distance, reference_embeddings


def test_embeddings_agree_with_pytorch(machine: Machine) -> None:
    path = compiled_file(onnx_bytes(), target=machine.target, profile=machine.profile)
    encode = tokenizer().encode_padded
    found: list[np.ndarray[Any, Any]] = []
    with webree.load(path, device=machine.device) as module:
        for text in SENTENCES:
            tokens, mask = (np.array([row], np.int64) for row in encode(text))
            found.append(np.asarray(module.main(tokens, mask))[0])
    expected = reference_embeddings(SENTENCES, TOKENS)
    for text, mine, theirs in zip(SENTENCES, found, expected, strict=True):
        assert cosine_distance(mine, theirs) <= 1e-5, text
        assert relative_error(mine, theirs) <= 1e-4, text
    near, far = found[0] @ found[1], found[0] @ found[3]  # a meal is nearer to a meal than a compiler is
    assert near > 0.5 > 0.3 > far
