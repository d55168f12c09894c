"""The demo's tokeniser against the package `tokenizers`: strange texts, and random ones."""

from __future__ import annotations

import random
import unicodedata

import pytest

from demos.sentences.model import tokenizer
from demos.sentences.tokenizer import Tokenizer
from tests.sentences import STRANGE_TEXTS, reference_tokenizer

# The reference knows other versions of Unicode than Python does; what both know since long is the same in both.
OLD = unicodedata.ucd_3_2_0


@pytest.fixture(scope="module")
def mine() -> Tokenizer:
    return tokenizer(128)


@pytest.mark.parametrize("text", STRANGE_TEXTS, ids=ascii)
def test_strange_texts(mine: Tokenizer, text: str) -> None:
    assert mine.encode(text) == reference_tokenizer().encode(text).ids


def known(code: int) -> bool:
    character = chr(code)
    category = unicodedata.category(character)
    return OLD.category(character) == category and category not in ("Cn", "Cs")


def test_every_old_character_between_letters(mine: Tokenizer) -> None:
    """Of the first plane, in rows of 40 words (an unknown character makes its word unknown: one each)."""
    texts = [f"a{chr(code)}b" for code in range(0x10000) if known(code)]
    assert len(texts) > 40_000
    reference = reference_tokenizer()
    rows = [" ".join(texts[first : first + 30]) for first in range(0, len(texts), 30)]
    differing = [row for row in rows if mine.encode(row) != reference.encode(row).ids]
    assert differing == []


def test_random_texts(mine: Tokenizer, seed: int) -> None:
    chance = random.Random(seed)
    blocks = ((32, 127), (32, 127), (0, 0x250), (0x250, 0x1200), (0x1E00, 0x3100), (0x3100, 0xD800), (0xE000, 0xFFFF))
    reference = reference_tokenizer()
    for _ in range(2000):
        codes = [chance.randrange(*chance.choice((blocks[0], chance.choice(blocks), (32, 33)))) for _ in range(60)]
        text = "".join(chr(code) for code in codes if known(code))
        assert mine.encode(text) == reference.encode(text).ids, f"{text!a} (WEBREE_SEED={seed})"


def test_padding_and_cutting() -> None:
    short = Tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##do", "!"], max_tokens=6)
    assert short.encode_padded("UNDO!") == ([2, 5, 6, 7, 3, 0], [1, 1, 1, 1, 1, 0])
    assert short.encode_padded("") == ([2, 3, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0])
    assert short.encode("undo undo undo") == [2, 5, 6, 5, 6, 3]
    assert short.encode("undoing [MASK]") == [2, 1, 4, 3]
