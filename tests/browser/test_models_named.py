"""Models with their real weights in Chromium on WebGPU: photographs, and sentences from text to vector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from demos.sentences import tokenizer as tokenizer_source
from demos.sentences.fetch import MINILM
from demos.sentences.model import TOKENS, onnx_bytes, tokenizer
from tests.browser.programs import on_webgpu
from tests.models import relative_error
from tests.photographs import PHOTOGRAPHS, efficientnet_lite0_bytes, photograph, pytorch_logits
from tests.sentences import SENTENCES, STRANGE_TEXTS, cosine_distance, reference_embeddings
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser


def test_photographs_get_their_classes(session: BrowserSession) -> None:
    module = session.load(on_webgpu(efficientnet_lite0_bytes()), device="webgpu")
    try:
        for name, classes in PHOTOGRAPHS.items():
            image = photograph(name)
            (logits,) = module.call("main", [image])
            assert relative_error(logits, pytorch_logits(image)) <= 1e-4
            assert int(np.argmax(logits)) in classes, f"{name} is taken for class {np.argmax(logits)} of ImageNet"
    finally:
        module.close()


def test_sentences_from_text_to_vector(session: BrowserSession) -> None:
    """Text goes in, a vector comes out: the tokeniser runs under Pyodide, the model on WebGPU."""
    session.run(Path(tokenizer_source.__file__).read_text("utf-8") + "\nNone\n")
    rows = session.run(
        "mine = Tokenizer(vocabulary.splitlines(), tokens)\n[mine.encode_padded(text) for text in texts]",
        vocabulary=(MINILM.fetch() / "vocab.txt").read_text("utf-8"),
        tokens=TOKENS,
        texts=list(STRANGE_TEXTS),
    )
    here = tokenizer()
    assert [[list(part) for part in row] for row in rows] == [
        [*map(list, here.encode_padded(text))] for text in STRANGE_TEXTS
    ]
    chosen = SENTENCES[:2] + SENTENCES[4:5]
    module = session.load(on_webgpu(onnx_bytes()), device="webgpu")
    try:
        for text, expected in zip(chosen, reference_embeddings(chosen, TOKENS), strict=True):
            row = rows[STRANGE_TEXTS.index(text)]
            (found,) = module.call("main", [np.array([part], np.int64) for part in row])
            assert cosine_distance(found[0], expected) <= 1e-5, text
            assert relative_error(found[0], expected) <= 1e-4, text
    finally:
        module.close()
