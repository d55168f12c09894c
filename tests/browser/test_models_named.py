"""The models promised by name in Chromium on WebGPU: the same table, references and tolerances as natively.

One call each, as SwiftShader is slow; that a second call finds used memory is shown by test_models.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import webree
from demos.sentences import tokenizer as tokenizer_source
from demos.sentences.fetch import MINILM
from demos.sentences.model import TOKENS, onnx_bytes, tokenizer
from tests.models import Model, reference, relative_error
from tests.models_named import NAMED_MODELS
from tests.photographs import PHOTOGRAPHS, efficientnet_lite0_bytes, photograph, pytorch_logits
from tests.sentences import SENTENCES, STRANGE_TEXTS, cosine_distance, reference_embeddings
from webree.tools.browser_session import BrowserSession

pytestmark = pytest.mark.browser

PROFILE = "webgpu-software"


@pytest.mark.parametrize("model", NAMED_MODELS, ids=lambda model: model.name)
def test_agrees_with_onnx_runtime(session: BrowserSession, model: Model, seed: int) -> None:
    data, inputs = model.make(seed), model.inputs(seed)
    module = session.load(webree.compile(data, profile=PROFILE), device="webgpu")
    try:
        found, expected = module.call("main", [*inputs.values()]), reference(data, inputs)
        assert len(found) == len(expected)
        for mine, theirs in zip(found, expected, strict=True):
            error = relative_error(mine, theirs)
            assert error <= model.tolerance, f"relative error {error:.2e} (WEBREE_SEED={seed})"
    finally:
        module.close()


def test_photographs_get_their_classes(session: BrowserSession) -> None:
    module = session.load(webree.compile(efficientnet_lite0_bytes(), profile=PROFILE), device="webgpu")
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
    module = session.load(webree.compile(onnx_bytes(), profile=PROFILE), device="webgpu")
    try:
        for text, expected in zip(chosen, reference_embeddings(chosen, TOKENS), strict=True):
            row = rows[STRANGE_TEXTS.index(text)]
            (found,) = module.call("main", [np.array([part], np.int64) for part in row])
            assert cosine_distance(found[0], expected) <= 1e-5, text
            assert relative_error(found[0], expected) <= 1e-4, text
    finally:
        module.close()
