"""Text to token numbers, as BERT's uncased models read it: pure Python, the same natively and under Pyodide.

Enters: a vocabulary (`vocab.txt`, one token a line) and sentences. Leaves: token numbers between [CLS] and [SEP].
A text is cleaned, put in lower case, rid of accents, and split at spaces, punctuation and around Chinese characters
("basic tokenisation", section 3 and code of https://arxiv.org/abs/1810.04805); each word is then cut into the longest
pieces that the vocabulary has, from the left ("WordPiece", https://arxiv.org/abs/1609.08144).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

__all__ = ["Tokenizer"]

LONGEST_WORD = 100  # in characters; a longer one is unknown as a whole

# Written out in a text they mean themselves, in capitals only.
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SPECIAL_PATTERN = re.compile("(" + "|".join(map(re.escape, SPECIAL)) + ")")

SPACES = frozenset("\t\n\r ")  # control characters that separate words instead of vanishing

# Controls, formats, private use. Code points without a meaning yet stay: the next version of Unicode may give them one.
VANISHING = frozenset(("Cc", "Cf", "Co", "Cs"))

# Blocks of Chinese characters in Unicode, as BERT's code has them: Kana and Hangul are written with spaces around
# words, or are handled by the pieces.
CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)

# ASCII that is no letter or digit counts as punctuation, also where Unicode says symbol: $ + < = > ^ ` | ~
ASCII_PUNCTUATION = frozenset(map(chr, (*range(33, 48), *range(58, 65), *range(91, 97), *range(123, 127))))


class Tokenizer:
    """Token numbers of sentences.

    Args:
        vocabulary: the tokens in the order of their numbers; continuations of words start with "##".
        max_tokens: longer sentences are cut; [CLS] and [SEP] count.
    """

    def __init__(self, vocabulary: Iterable[str], max_tokens: int = 128) -> None:
        self.numbers = {token: number for number, token in enumerate(vocabulary)}
        self.max_tokens = max_tokens
        self.pad, self.unknown, self.start, self.end = (
            self.numbers[token] for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
        )
        self._longest_piece = max(map(len, self.numbers))

    def encode(self, text: str) -> list[int]:
        """Token numbers of one sentence, [CLS] first and [SEP] last, at most `max_tokens`."""
        pieces: list[int] = []
        for part in _SPECIAL_PATTERN.split(text):
            if part in SPECIAL:
                pieces.append(self.numbers[part])
            else:
                pieces.extend(number for word in words(part) for number in self._pieces(word))
        return [self.start, *pieces[: self.max_tokens - 2], self.end]

    def encode_padded(self, text: str) -> tuple[list[int], list[int]]:
        """`encode` filled up with [PAD] to `max_tokens`, and the mask: 1 for tokens, 0 for padding."""
        tokens = self.encode(text)
        padding = self.max_tokens - len(tokens)
        return tokens + [self.pad] * padding, [1] * len(tokens) + [0] * padding

    def _pieces(self, word: str) -> list[int]:
        """Longest pieces from the left; [UNK] for the whole word if some part of it is in no piece."""
        if len(word) > LONGEST_WORD:
            return [self.unknown]
        found: list[int] = []
        begin = 0
        while begin < len(word):
            prefix = "##" if begin else ""
            for end in range(min(len(word), begin + self._longest_piece), begin, -1):
                number = self.numbers.get(prefix + word[begin:end])
                if number is not None:
                    break
            else:
                return [self.unknown]
            found.append(number)
            begin = end
        return found


def words(text: str) -> Iterator[str]:
    """The words and punctuation marks of a text, in lower case and without accents."""
    cleaned = "".join(map(_cleaned, text))
    bare = "".join(
        character for character in unicodedata.normalize("NFD", cleaned) if unicodedata.category(character) != "Mn"
    )
    # One by one: as a whole, a capital sigma would become another letter at the end of a word.
    for word in "".join(map(str.lower, bare)).split():
        begin = 0
        for position, character in enumerate(word):
            if _is_punctuation(character):
                if begin < position:
                    yield word[begin:position]
                yield character
                begin = position + 1
        if begin < len(word):
            yield word[begin:]


def _cleaned(character: str) -> str:
    """What a character becomes first: itself, a space, nothing, or itself between spaces."""
    if character in SPACES:
        return " "
    if character == "\ufffd" or unicodedata.category(character) in VANISHING:
        return ""
    code = ord(character)
    if any(first <= code <= last for first, last in CHINESE):
        return f" {character} "
    return " " if character.isspace() else character


def _is_punctuation(character: str) -> bool:
    return character in ASCII_PUNCTUATION or unicodedata.category(character)[0] == "P"
