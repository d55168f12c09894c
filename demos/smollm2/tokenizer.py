"""Byte-level BPE: text to token numbers and back, with the vocabulary that a GGUF file carries.

Enters: the metadata of a GGUF file (`tokenizer.ggml.*`). Leaves: a `Tokenizer`. Pure Python. Text is split into pieces
(words with the blank before them, runs of blanks, of signs, single digits), each piece's bytes are written with 256
printable characters, and neighbouring parts are joined in the order of the merges: https://aclanthology.org/P16-1162,
with the bytes of GPT-2 (https://github.com/openai/gpt-2, `encoder.py`).
"""

from __future__ import annotations

import codecs
import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["Tokenizer"]

_CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
_CONTROL, _USER_DEFINED = 3, 4
_PRETOKENIZERS = ("smollm", "gpt-2", "gpt2")


class Tokenizer:
    """Made from metadata; raises `ValueError` for a tokenizer of another kind.

    Attributes:
        end: numbers of the tokens that end an answer.
        special: control tokens by their text.
    """

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        model, splitter = (metadata.get(f"tokenizer.ggml.{key}") for key in ("model", "pre"))
        if model != "gpt2" or splitter not in _PRETOKENIZERS:
            raise ValueError(
                f"the tokenizer {model!r} with the splitter {splitter!r} is not known; known is 'gpt2' with "
                f"{', '.join(_PRETOKENIZERS)}"
            )
        self._single_digits = splitter == "smollm"
        self._tokens: list[str] = metadata["tokenizer.ggml.tokens"]
        self._numbers = {text: number for number, text in enumerate(self._tokens)}
        merges = (tuple(item.split(" ", 1)) for item in metadata["tokenizer.ggml.merges"])
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        kinds = metadata.get("tokenizer.ggml.token_type", [])
        self.special = {
            text: number
            for number, (text, kind) in enumerate(zip(self._tokens, kinds, strict=False))
            if kind in (_CONTROL, _USER_DEFINED)
        }
        self.end = frozenset({metadata["tokenizer.ggml.eos_token_id"]})
        self._specials = re.compile("|".join(re.escape(text) for text in sorted(self.special, key=len, reverse=True)))
        self._letters = _byte_letters()
        self._bytes = {letter: byte for byte, letter in enumerate(self._letters)}
        self._piece = functools.lru_cache(maxsize=10_000)(self._merge)

    def encode(self, text: str) -> list[int]:
        """Numbers of a text's tokens; control tokens stand in it by their names (`<|im_start|>`)."""
        found: list[int] = []
        start = 0
        for match in self._specials.finditer(text) if self.special else ():
            found += self._plain(text[start : match.start()])
            found.append(self.special[match.group()])
            start = match.end()
        return found + self._plain(text[start:])

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of tokens; control tokens by their names, bytes that are no UTF-8 as U+FFFD."""
        return "".join(self.stream(numbers))

    def stream(self, numbers: Iterable[int]) -> Iterator[str]:
        """The text of tokens as they come; a character that several tokens make up comes with the last of them."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for number in numbers:
            token = self._tokens[number]
            if token in self.special:
                yield decoder.decode(b"", final=True) + token
                decoder.reset()
            else:
                yield decoder.decode(bytes(self._bytes[letter] for letter in token))
        yield decoder.decode(b"", final=True)

    def _plain(self, text: str) -> list[int]:
        found: list[int] = []
        for piece in split(text, single_digits=self._single_digits):
            found += self._piece("".join(self._letters[byte] for byte in piece.encode()))
        return found

    def _merge(self, letters: str) -> list[int]:
        """Join neighbours, the pair of the lowest rank first, until no pair has one."""
        parts = list(letters)
        worst = len(self._ranks)
        while len(parts) > 1:
            ranks = [self._ranks.get(pair, worst) for pair in itertools.pairwise(parts)]
            best = min(ranks)
            if best == worst:
                break
            joined: list[str] = []
            index = 0
            while index < len(parts):
                if index < len(ranks) and ranks[index] == best:
                    joined.append(parts[index] + parts[index + 1])
                    index += 2
                else:
                    joined.append(parts[index])
                    index += 1
            parts = joined
        return [self._numbers[part] for part in parts]


def split(text: str, *, single_digits: bool) -> Iterator[str]:
    """The pieces of a text, in order and without a gap."""
    start = 0
    while start < len(text):
        end = _piece_end(text, start, single_digits)
        yield text[start:end]
        start = end


def _piece_end(text: str, start: int, single_digits: bool) -> int:
    for contraction in _CONTRACTIONS:
        if text.startswith(contraction, start):
            return start + len(contraction)
    first = start + 1 if text[start] == " " and start + 1 < len(text) else start
    kind = _kind(text[first])
    if kind == "blank":
        return _blanks_end(text, start, single_digits)
    if kind == "number" and single_digits:
        return start + 1  # a blank before a digit stands alone
    end = first + 1
    while end < len(text) and _kind(text[end]) == kind:
        end += 1
    return end


def _blanks_end(text: str, start: int, single_digits: bool) -> int:
    """A run of blanks leaves its last one to the piece behind it, except to a digit that stands alone."""
    end = start
    while end < len(text) and _kind(text[end]) == "blank":
        end += 1
    if end == len(text) or end - start == 1 or (single_digits and _kind(text[end]) == "number"):
        return end
    return end - 1


@functools.lru_cache(maxsize=10_000)
def _kind(letter: str) -> str:
    if letter.isspace():
        return "blank"
    return {"L": "letter", "N": "number"}.get(unicodedata.category(letter)[0], "sign")


def _byte_letters() -> list[str]:
    """The character of each byte: itself where it is printable Latin-1, else one from U+0100 on, in order."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    letters: list[str] = []
    others = 0x100
    for byte in range(256):
        letters.append(chr(byte if byte in printable else others))
        others += byte not in printable
    return letters
