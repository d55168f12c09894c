"""Bytes of a file -> Magika's model input, and the model's scores -> the name of a type.

Enters: the two ends of a file, and the model's own settings (`config.min.json`, `content_types_kb.min.json` of magika
1.0.3). Leaves: 2,048 int32 features, and an `Answer`. Standard library only: the demo and its page in the browser use
this file. The rules are Magika's for its model standard_v3_3 (https://github.com/google/magika): the first and the
last 1,024 bytes, after white space at the outer ends is gone, out of 4,096 read at each; padding is 256; too few bytes
are no case for the model; a score below the type's threshold gives only "text" or "unknown".
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

__all__ = ["Answer", "Magika", "Settings"]


@dataclass(frozen=True)
class Answer:
    """What a file is.

    Attributes:
        label: the type's short name (`python`, `zip`, `txt`, `unknown`, `empty`).
        score: the model's confidence, 0 to 1; 1 where the model was not asked.
        guess: the model's own first choice, before thresholds; "" where the model was not asked.
    """

    label: str
    score: float
    guess: str = ""


@dataclass(frozen=True)
class Settings:
    """The model's configuration; field names and units as in its JSON file (sizes in bytes)."""

    beg_size: int
    end_size: int
    block_size: int
    padding_token: int
    min_file_size_for_dl: int
    medium_confidence_threshold: float
    target_labels_space: tuple[str, ...]
    thresholds: Mapping[str, float]
    overwrite_map: Mapping[str, str]

    @property
    def feature_count(self) -> int:
        return self.beg_size + self.end_size


class Magika:
    """Everything around the model, without the model."""

    def __init__(self, config_json: str, content_types_json: str) -> None:
        config = json.loads(config_json)
        if config["mid_size"] != 0 or config["use_inputs_at_offsets"]:
            raise ValueError("this model wants features from the middle of files, which this demo does not make")
        fields = Settings.__dataclass_fields__
        self.settings = Settings(
            **{**{name: config[name] for name in fields}, "target_labels_space": tuple(config["target_labels_space"])}
        )
        self._is_text = {label: bool(facts["is_text"]) for label, facts in json.loads(content_types_json).items()}

    def read_ends(self, stream: BinaryIO) -> tuple[bytes, bytes, int]:
        """First and last block of an open file, and its size in bytes."""
        block = self.settings.block_size
        size = stream.seek(0, 2)
        stream.seek(0)
        head = stream.read(min(block, size))
        stream.seek(size - len(head))
        return head, stream.read(len(head)), size

    def prepare(self, head: bytes, tail: bytes, size: int) -> array[int] | Answer:
        """Features (int32, `feature_count` of them) for the model; or the answer, if there is too little to ask it.

        `head` and `tail` are the first and last `min(size, block_size)` bytes."""
        settings = self.settings
        if size == 0:
            return Answer("empty", 1.0)
        if size < settings.min_file_size_for_dl:
            return self._too_short(head)
        first = head.lstrip()[: settings.beg_size]
        if len(first) < settings.min_file_size_for_dl:
            return self._too_short(head)
        last = tail.rstrip()[-settings.end_size :]
        padding = [settings.padding_token]
        return array(
            "i",
            [*first, *padding * (settings.beg_size - len(first)), *padding * (settings.end_size - len(last)), *last],
        )

    def prepare_bytes(self, data: bytes) -> array[int] | Answer:
        """The same for bytes at hand."""
        block = self.settings.block_size
        return self.prepare(data[:block], data[-block:], len(data))

    def answer(self, scores: Sequence[float]) -> Answer:
        """The type for one row of the model's output (a score for each of `target_labels_space`)."""
        settings = self.settings
        best = max(range(len(scores)), key=scores.__getitem__)
        guess, score = settings.target_labels_space[best], float(scores[best])
        label = settings.overwrite_map.get(guess, guess)
        if score < settings.thresholds.get(guess, settings.medium_confidence_threshold):
            label = "txt" if self._is_text[label] else "unknown"
        return Answer(label, score, guess)

    @staticmethod
    def _too_short(head: bytes) -> Answer:
        try:
            head.decode()
        except UnicodeDecodeError:
            return Answer("unknown", 1.0)
        return Answer("txt", 1.0)
