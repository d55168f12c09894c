"""SmolLM2-135M-Instruct with its real weights: tokens and logits as a NumPy reference, and the demo's answer.

The weights are the 4-bit ones of the file; the reference has them dequantised. The file comes with the demo's own
fetching. Natively on lavapipe only: compiling and running 135 million weights take time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import webree
from demos.smollm2.fetch import FILE, SMOLLM2
from demos.smollm2.tokenizer import Tokenizer
from tests.conftest import find_adapter
from tests.llm.reference import Reference
from webree.compiler.frontends.gguf_file import GgufFile, open_gguf
from webree.compiler.frontends.gguf_weights import dequantise

QUESTION = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
ANSWER = "The capital of France is Paris.<|im_end|>"
LINES = "1 + 22 = 23!\n\n\tThey're  naïve…  日本 🚀<|im_end|>"


@pytest.fixture(scope="module")
def path() -> Path:
    return SMOLLM2.fetch() / FILE


@pytest.fixture(scope="module")
def file(path: Path) -> GgufFile:
    return open_gguf(path)


@pytest.fixture(scope="module")
def tokenizer(file: GgufFile) -> Any:
    return Tokenizer(file.metadata)


def test_tokenizer(tokenizer: Any) -> None:
    """Numbers that the model's own tokenizer gives, and any text back again."""
    question = [1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198, 1, 520, 9531, 198]
    assert tokenizer.encode(QUESTION) == question
    assert tokenizer.decode(question) == QUESTION
    assert tokenizer.decode(tokenizer.encode(LINES)) == LINES
    assert "".join(tokenizer.stream(tokenizer.encode(LINES))) == LINES
    digits = [tokenizer.decode([number]) for number in tokenizer.encode("in 1234")]
    assert digits == ["in", " ", "1", "2", "3", "4"]  # each digit is a token of its own


def test_a_tokenizer_of_another_kind(tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="the tokenizer 'llama' with the splitter None is not known"):
        type(tokenizer)({"tokenizer.ggml.model": "llama"})


@pytest.fixture(scope="module")
def module(path: Path) -> Iterator[webree.Module]:
    data = webree.compile(path, profile="webgpu-software", dims={"context": 64})
    with webree.load(data, device=find_adapter("lavapipe")) as loaded:
        yield loaded


@pytest.mark.native
def test_answer(module: webree.Module, file: GgufFile, tokenizer: Any) -> None:
    prompt = tokenizer.encode(QUESTION)
    tokens = [module.prefill.on_device(np.array(prompt, np.int32))]
    first = module.logits()
    while len(tokens) < 8:
        tokens.append(module.decode.on_device(tokens[-1]))
    found = [int(token.to_host()[0]) for token in tokens]
    last = module.logits()
    assert tokenizer.decode(found) == ANSWER

    tensors = {name: dequantise(tensor, "SmolLM2") for name, tensor in file.tensors.items()}
    expected = Reference(file.metadata, tensors, np.float32).logits(prompt + found[:-1])
    assert expected[len(prompt) - 1 :].argmax(-1).tolist() == found
    for mine, theirs in ((first, expected[len(prompt) - 1]), (last, expected[-1])):
        assert np.abs(mine - theirs).max() < 1e-4 * theirs.std()
