"""What the web page asks of Magika: the type of one file, with the model loaded in the browser.

Enters: the loaded module, a file of which ranges can be read, its name. Leaves: the answer's title and its best labels
with their scores. `webree bundle build/magika.vmfb --program demos/magika/page.py` makes the page; everything around
the model is features.py, as in the demo.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from features import Answer, Magika

__all__ = ["answer"]

SHOWN_LABELS = 5
FOLDER = Path(__file__).parent
CONTENT_TYPES = (FOLDER / "content_types_kb.min.json").read_text(encoding="utf-8")
MAGIKA = Magika((FOLDER / "config.min.json").read_text(encoding="utf-8"), CONTENT_TYPES)
DESCRIPTIONS = {label: facts["description"] or label for label, facts in json.loads(CONTENT_TYPES).items()}


async def answer(module: Any, file: Any, name: str) -> dict[str, Any]:
    """`{title, rows}`: what the file is, and (label, score) pairs, the best first."""
    block = min(MAGIKA.settings.block_size, file.size)
    head, tail = bytes(file.read(0, block)), bytes(file.read(file.size - block, block))
    asked = MAGIKA.prepare(head, tail, file.size)
    if isinstance(asked, Answer):
        return {"title": _title(asked), "rows": []}
    scores = (await module.main_async(memoryview(asked).cast("B").cast("i", (1, len(asked)))))[0]
    scores = scores.tolist()
    best = sorted(zip(scores, MAGIKA.settings.target_labels_space, strict=True), reverse=True)[:SHOWN_LABELS]
    return {"title": _title(MAGIKA.answer(scores)), "rows": [[label, score] for score, label in best]}


def _title(found: Answer) -> str:
    return f"{DESCRIPTIONS.get(found.label, found.label)} ({found.label})"
